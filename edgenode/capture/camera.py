"""One camera: a thread that turns its due frames into samples, and what happens when that thread hangs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edgenode.capture.address import AddressKind, parse_address
from edgenode.capture.camera_parts import Admit, CameraParts, CameraSpec, everything
from edgenode.capture.capture_thread import CaptureThread
from edgenode.capture.frame_desk import FrameDesk
from edgenode.capture.move_watch import MoveWatch
from edgenode.capture.observer import CaptureObserver
from edgenode.capture.opening import camera_notes
from edgenode.capture.status import StatusBoard
from edgenode.capture.ticker import ticker
from edgenode.capture.turns import Turn
from edgenode.clock import Clock
from edgenode.errors import SourceError
from edgenode.records import CameraStatus, Frame, Sample

__all__ = ["MOST_ABANDONED", "Camera", "CameraSpec"]

log = logging.getLogger(__name__)

MOST_ABANDONED = 3
"""So many threads of one camera may hang at once. With more the node's health fails, and it is restarted."""
_PAUSED_S = 5.0
"""Where even the ticker was silent for so long, the process was stopped or the machine asleep: no thread's fault."""
_DRIVER_S = 20.0
"""What V4L2 may take beyond our timeouts: OpenCV waits 10 s for a device, when opening and when reading."""


class Camera:
    """Runs from `start` to `stop`, never gives up in between, and never raises out of its threads.

    `offer` is called on the camera's thread with every sample, and `admit` before a frame's samples are cut.
    Neither may block; of a file that is not played in real time `admit` may wait, with the turn given back.
    Reports come from that thread on change, and once a second from the process's `ticker`, so that a read that
    hangs is told. Every frame of a live stream is read and decoded, so that no old ones pile up on the way; only
    due ones are converted. It computes while it holds `turn`. A thread that does not come back from its source
    within its timeouts and `limits.hung_after_s` is abandoned and replaced.
    """

    def __init__(
        self,
        spec: CameraSpec,
        offer: Callable[[Sample], None],
        observer: CaptureObserver,
        clock: Clock,
        turn: Turn | None = None,
        admit: Admit = everything,
    ) -> None:
        settings = spec.settings
        self.name = settings.name
        stale_after_s = min(spec.limits.stale_after_s, settings.read_timeout * 0.8)
        grace_s = settings.open_timeout + 0.5
        self._parts = CameraParts(
            spec=spec,
            offer=offer,
            observer=observer,
            clock=clock,
            board=StatusBoard(self.name, observer, clock, stale_after_s, grace_s),
            desk=FrameDesk(spec.keep_frames),
            moves=MoveWatch(spec.limits.moved_after_s) if settings.detect_moves else None,
            admit=admit,
        )
        self._turn = turn if turn is not None else Turn()
        self._hung_after_s = _hung_after_s(spec)
        self._lock = threading.Lock()
        """Around which thread is at work, and whether one should be."""
        self._stopping = False
        self._enabled = settings.enabled
        self._abandoned: list[CaptureThread] = []
        self._ticked_s = self._resumed_s = clock.monotonic()
        self._thread = CaptureThread(self._parts, self._turn, 0, self._enabled)

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last progress. It grows old only where `MOST_ABANDONED` threads hang."""
        return self._thread.heartbeat_s

    @property
    def enabled(self) -> bool:
        return self._enabled

    def start(self) -> None:
        for note in camera_notes(self._parts.spec.settings):
            log.warning("camera %s: %s", self.name, note)
        ticker.add(self._tick)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end: at once, or when the read in progress returns. Does not wait."""
        with self._lock:
            self._stopping = True
            self._thread.end()
        self._parts.desk.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end after `stop`; whether it came. The source is closed then. Abandoned threads are not
        waited for."""
        ticker.remove(self._tick)
        return self._thread.join(timeout_s)

    def set_enabled(self, enabled: bool) -> None:
        """Switch at run time. Disabled, the source is closed; a file starts from its beginning. Any
        thread."""
        with self._lock:
            if enabled is not self._enabled:
                self._enabled = enabled
                self._thread.set_enabled(enabled)

    def set_pace(self, share: float) -> None:
        """Classify only this share of the frames that are due, above 0 to 1. Any thread."""
        self._parts.pace.share = share

    def request_frame(self, timeout_s: float) -> Frame | None:
        """The next good frame, masks applied, due or not; None when none came in time. Any thread."""
        return self._parts.desk.request(timeout_s)

    def recent_frame(self, frame_index: int) -> Frame | None:
        """A frame that was classified, while it is among the last `keep_frames`. Any thread."""
        return self._parts.desk.recent(frame_index)

    def _tick(self) -> None:
        self._parts.board.tick()
        now_s = self._parts.clock.monotonic()
        if now_s - self._ticked_s > _PAUSED_S:
            self._resumed_s = now_s
        self._ticked_s = now_s
        silent_s = now_s - max(self._thread.heartbeat_s, self._resumed_s)
        if silent_s > self._hung_after_s and self._thread.alive:
            self._replace(silent_s)

    def _replace(self, silent_s: float) -> None:
        """Give the thread up and start another, unless too many hang already. Called by the ticker."""
        with self._lock:
            self._abandoned = [thread for thread in self._abandoned if thread.alive]
            if self._stopping or len(self._abandoned) >= MOST_ABANDONED:
                return
            hung = self._thread
            self._turn = self._turn.anew()
            stack = hung.abandon()
            self._abandoned.append(hung)
            self._thread = CaptureThread(self._parts, self._turn, hung.next_index, self._enabled)
            count = len(self._abandoned)
            self._thread.start()
        self._parts.observer.thread_abandoned(self.name)
        self._parts.board.set(
            CameraStatus.OFFLINE, f"its source has not answered for {silent_s:.0f} s and is opened anew"
        )
        log.error(
            "camera %s: its thread has not come back from its source for %.0f s; it is abandoned (%d of at most "
            "%d that may hang) and another one started; it hangs in\n%s",
            self.name,
            silent_s,
            count,
            MOST_ABANDONED,
            stack,
        )


def _hung_after_s(spec: CameraSpec) -> float:
    """Silence that no timeout of the source can explain any more."""
    settings = spec.settings
    own_s = settings.open_timeout + settings.read_timeout
    try:
        usb = parse_address(settings.source, spec.base_dir).kind is AddressKind.USB
    except SourceError:
        usb = False
    return own_s + (_DRIVER_S if usb else 0.0) + spec.limits.hung_after_s
