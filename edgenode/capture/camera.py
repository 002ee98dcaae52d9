"""One camera: a thread that opens its source, keeps it open, and turns due frames into samples."""

from __future__ import annotations

import logging
import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from edgenode.capture.address import LIVE_KINDS, AddressKind, parse_address, redact
from edgenode.capture.frame_desk import FrameDesk
from edgenode.capture.frame_path import FramePath, Outcome, Stamp
from edgenode.capture.move_watch import MoveWatch
from edgenode.capture.observer import CaptureObserver
from edgenode.capture.opening import camera_notes, open_source
from edgenode.capture.packet_gate import PacketGate
from edgenode.capture.picture_watch import PictureWatch, WatchLimits
from edgenode.capture.regions import RegionCutter
from edgenode.capture.scenery import SceneFactory
from edgenode.capture.source import Grab, Source, SourceIdleError
from edgenode.capture.source_setup import SourceClocks, source_options
from edgenode.capture.status import StatusBoard
from edgenode.capture.ticker import ticker
from edgenode.capture.turns import Turn
from edgenode.clock import Backoff, Clock
from edgenode.errors import PictureError, SourceEndedError, SourceError, SourceRefusedError
from edgenode.records import CameraStatus, Frame, Sample
from edgenode.settings import CameraSettings

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
REFUSED_FLOOR_S = 10.0
"""A camera that said no is asked again after 10 to 30 s: some lock an account after a few wrong passwords."""
_STABLE_S = 5.0
"""After this long with good frames the next failure is the first again."""
_AHEAD_S = 0.2
"""Frames of a paced file that nobody needs are read this far ahead: a wait for each is a wake-up for nothing."""
_NO_PICTURE_S = 30.0
"""A live source that sends data but no good frame for this long is opened anew."""


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """What a camera thread is made of."""

    settings: CameraSettings
    cutters: tuple[RegionCutter, ...]
    base_dir: Path
    keep_frames: int = 0
    """How many classified frames `recent_frame` can still find."""
    realtime: bool = True
    """False plays files as fast as they can be read."""
    follow: bool = True
    """False reads a folder once and ends."""
    limits: WatchLimits = field(default_factory=WatchLimits)
    scenes: SceneFactory | None = None
    """In place of the built-in scenes."""


class Camera:
    """Runs from `start` to `stop`, never gives up in between, and never raises out of its threads.

    `offer` is called on the camera's thread with every sample; it must not block. Reports come from that
    thread on change, and once a second from the process's `ticker`, so that a read that hangs is told. Every
    frame of a live stream is read and decoded, so that no old ones pile up on the way; only due ones are
    converted. It computes while it holds `turn`.
    """

    def __init__(
        self,
        spec: CameraSpec,
        offer: Callable[[Sample], None],
        observer: CaptureObserver,
        clock: Clock,
        turn: Turn | None = None,
    ) -> None:
        self._spec = spec
        self._settings = spec.settings
        self.name = spec.settings.name
        self._observer = observer
        self._clock = clock
        self._turn = turn if turn is not None else Turn()
        self._desk = FrameDesk(spec.keep_frames)
        self._gate = self._packet_gate()
        self._path = FramePath(spec.settings, spec.cutters, offer, observer, self._desk, self._gate)
        stale_after_s = min(spec.limits.stale_after_s, spec.settings.read_timeout * 0.8)
        self._board = StatusBoard(self.name, observer, clock, stale_after_s)
        self._moves = MoveWatch(spec.limits.moved_after_s) if spec.settings.detect_moves else None
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._refused = Backoff(LONGEST_PAUSE_S, LONGEST_PAUSE_S, floor_s=REFUSED_FLOOR_S)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._enabled = spec.settings.enabled
        self._index = 0
        self._fault = ""
        self._heartbeat_s = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"camera-{self.name}")

    def _packet_gate(self) -> PacketGate | None:
        settings = self._settings
        if settings.gate != "packet" or settings.decode == "keyframes":
            return None
        return PacketGate(settings.gate_audit, lambda caught: self._observer.gate_audit(self.name, caught))

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last progress. Never older than open timeout + read timeout + 1 s in
        health."""
        return self._heartbeat_s

    @property
    def enabled(self) -> bool:
        return self._enabled

    def start(self) -> None:
        for note in camera_notes(self._settings):
            log.warning("camera %s: %s", self.name, note)
        ticker.add(self._board.tick)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end: at once, or when the read in progress returns. Does not wait."""
        self._stopping.set()
        self._wake.set()
        self._desk.close()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end after `stop`; whether it came. The source is closed then."""
        ticker.remove(self._board.tick)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def set_enabled(self, enabled: bool) -> None:
        """Switch at run time. Disabled, the source is closed; a file starts from its beginning. Any
        thread."""
        if enabled is not self._enabled:
            self._enabled = enabled
            self._wake.set()

    def request_frame(self, timeout_s: float) -> Frame | None:
        """The next good frame, masks applied, due or not; None when none came in time. Any thread."""
        return self._desk.request(timeout_s)

    def recent_frame(self, frame_index: int) -> Frame | None:
        """A frame that was classified, while it is among the last `keep_frames`. Any thread."""
        return self._desk.recent(frame_index)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            if self._stopping.is_set():
                return
            if not self._enabled:
                self._board.set(CameraStatus.DISABLED, "switched off")
                if self._moves is not None:
                    self._moves.forget()
                self._pause(None)
                continue
            self._attempt()

    def _interrupted(self) -> bool:
        return self._stopping.is_set() or self._wake.is_set()

    def _pause(self, seconds: float | None) -> None:
        """Wait, for ever where None, until woken; in steps, so that the heart goes on beating."""
        left_s = seconds if seconds is not None else float("inf")
        while left_s > 0.0 and not self._interrupted():
            self._beat()
            step_s = min(1.0, left_s)
            self._clock.wait(self._wake, step_s)
            left_s -= step_s
        self._beat()

    def _beat(self) -> None:
        self._heartbeat_s = self._clock.monotonic()

    def _attempt(self) -> None:
        """Open, read until something happens, close, and wait as long as what happened calls for."""
        try:
            self._open_and_read()
        except SourceEndedError as ended:
            self._board.set(CameraStatus.ENDED, str(ended))
            self._pause(None)
        except SourceRefusedError as error:
            self._board.set(self._down(), str(error))
            self._pause(self._refused.next_s())
        except SourceError as error:
            self._board.set(self._down(), str(error))
            self._pause(self._backoff.next_s())
        except Exception as error:
            self._tell_fault(error)
            self._pause(random.uniform(LONGEST_PAUSE_S / 2, LONGEST_PAUSE_S))  # noqa: S311 - spreads load

    def _tell_fault(self, error: Exception) -> None:
        """A fault of ours. Its stack is logged when it is a new one; addresses in it are shown without
        secrets."""
        fault = f"a fault inside: {type(error).__name__}: {redact(str(error))}"
        if fault != self._fault:
            stack = redact("".join(traceback.format_exception(error)))
            log.error("camera %s: %s; it is started again\n%s", self.name, fault, stack)
        self._fault = fault
        self._board.set(CameraStatus.FAILED, fault)

    def _down(self) -> CameraStatus:
        """A camera that cannot be reached is offline; a file that cannot be read has failed."""
        try:
            kind = parse_address(self._settings.source, self._spec.base_dir).kind
        except SourceError:
            return CameraStatus.FAILED
        return CameraStatus.OFFLINE if kind in LIVE_KINDS else CameraStatus.FAILED

    def _open_and_read(self) -> None:
        settings = self._settings
        kind = parse_address(settings.source, self._spec.base_dir).kind
        options = source_options(settings, self._spec.base_dir, self._spec.follow, self._turn, self._gate)
        source = open_source(settings.source, options, self._clock, self._spec.scenes)
        self._beat()
        try:
            self._board.opened(source.info)
            watch = None
            if source.info.live:
                watch = PictureWatch(self._spec.limits, kind in LIVE_KINDS, self._moves)
            self._path.restart(watch)
            self._read_all(source, kind)
        finally:
            self._turn.end()
            source.close()

    def _read_all(self, source: Source, kind: AddressKind) -> None:
        reader = SourceClocks(source, self._settings.fps, self._spec.realtime, self._clock)
        began_s = good_s = self._clock.monotonic()
        while not self._interrupted():
            self._beat()
            try:
                grab = source.read()
            except SourceIdleError:
                self._turn.end()
                if kind is AddressKind.RTSP:
                    self._expect_picture(good_s)
                else:
                    self._board.alive()
                continue
            good = self._take(grab, source, reader)
            self._turn.rest()
            if good:
                good_s = self._clock.monotonic()
                if good_s - began_s > _STABLE_S:
                    self._backoff.reset()
            elif source.info.live:
                self._expect_picture(good_s)
        self._beat()

    def _expect_picture(self, good_s: float) -> None:
        if self._clock.monotonic() - good_s > _NO_PICTURE_S:
            raise SourceError(f"{redact(self._settings.source)} sends data, but no good picture")

    def _take(self, grab: Grab, source: Source, clocks: SourceClocks) -> bool:
        """One grab, whatever it is worth; whether it was a good and present frame."""
        if grab.skipped:
            return self._pass_over(grab, clocks)
        arrived_s = self._clock.monotonic()
        self._index += 1
        self._observer.frame_decoded(self.name)
        self._observer.packets(self.name, grab.packets)
        if grab.corrupt:
            self._observer.corrupt_frame(self.name)
            return False
        moment = clocks.pacing.moment(grab)
        fresh = not source.info.live or grab.recalled or clocks.freshness.is_new(arrived_s, grab.media_s)
        due = clocks.schedule.due(moment.time_s)
        if not fresh:
            if due:
                self._observer.gate_skipped(self.name, "late")
            return False
        if moment.wait_s > (0.0 if due or self._desk.wanted else _AHEAD_S):
            self._turn.end()
            self._pause(moment.wait_s)
            if self._interrupted():
                return True
        captured_at = self._clock.now()
        if grab.recalled:
            captured_at -= timedelta(seconds=max(0.0, self._clock.monotonic() - moment.captured_s))
        stamp = Stamp(self._index - 1, moment.captured_s, captured_at)
        try:
            outcome = self._use(grab, stamp, due)
        except PictureError:
            self._observer.corrupt_frame(self.name)
            return False
        if outcome is None:
            self._board.alive()
        else:
            self._board.alive(outcome.width, outcome.height)
            if outcome.classified:
                self._board.classified(outcome.distrust)
        return True

    def _pass_over(self, grab: Grab, clocks: SourceClocks) -> bool:
        """Packets that were not decoded."""
        self._observer.packets(self.name, grab.packets)
        moment = clocks.pacing.moment(grab)
        clocks.freshness.is_new(self._clock.monotonic(), grab.media_s)
        for time_s in grab.skipped:
            if clocks.schedule.due(time_s):
                self._observer.gate_skipped(self.name, "packet")
        if self._desk.wanted and self._gate is not None:
            self._gate.demand()
        self._path.tell_gate()
        if moment.wait_s > 0.0:
            self._turn.end()
            self._pause(moment.wait_s)
        self._board.alive()
        return True

    def _use(self, grab: Grab, stamp: Stamp, due: bool) -> Outcome | None:
        if not due and not self._desk.wanted:
            return None
        self._turn.begin()
        return self._path.classify(grab, stamp) if due else self._path.show(grab, stamp)
