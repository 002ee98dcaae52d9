"""The thread that opens a camera's source, keeps it open, and reads until it is told to end."""

from __future__ import annotations

import logging
import sys
import threading
import traceback

from edgenode.capture.address import LIVE_KINDS, AddressKind, parse_address, redact
from edgenode.capture.camera_parts import CameraParts
from edgenode.capture.intake import Intake, Worth
from edgenode.capture.opening import open_source
from edgenode.capture.packet_gate import PacketGate
from edgenode.capture.picture_watch import PictureWatch
from edgenode.capture.source import Source, SourceIdleError, SourceOptions
from edgenode.capture.turns import Turn
from edgenode.clock import Backoff
from edgenode.errors import CredentialsRefusedError, SourceEndedError, SourceError
from edgenode.records import CameraStatus

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 2.0
"""A camera that is back is found within 2 s and the time it takes to open: within 5 s in all."""
LOCK_FLOOR_S, LOCK_PAUSE_S = 10.0, 30.0
"""Credentials that were refused are shown again after 10 to 30 s: some cameras lock an account after a few."""
_FAULT_PAUSE_S = 30.0
_STABLE_S = 5.0
"""After this long with good frames the next failure is the first again."""
_FIRST_PICTURE_S = 30.0
"""A live source that sends data but never a good frame is opened anew: key frames may be 20 s apart."""


class CaptureThread:
    """Runs from `start` to `end` and never raises. Once ended it touches nothing of the camera's any more.

    A read that hangs cannot be ended; then `heartbeat_s` grows old, and the camera starts another one.
    """

    def __init__(self, parts: CameraParts, turn: Turn, first_index: int, enabled: bool) -> None:
        self._parts = parts
        self._settings = parts.spec.settings
        self._name = parts.spec.settings.name
        self._clock = parts.clock
        self._board = parts.board
        self._turn = turn
        self._gate = self._packet_gate()
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._locked = Backoff(LOCK_PAUSE_S, LOCK_PAUSE_S, floor_s=LOCK_FLOOR_S)
        self._faults = Backoff(FIRST_PAUSE_S, _FAULT_PAUSE_S)
        self._fault = ""
        self._began_s = self._waited_s = 0.0
        self._ending = threading.Event()
        self._wake = threading.Event()
        self._intake = Intake(parts, self._gate, turn, self._pause, first_index, self._ending)
        self._enabled = enabled
        self._heartbeat_s = self._clock.monotonic()
        # a daemon: the interpreter must not wait for one that hangs
        self._thread = threading.Thread(target=self._run, name=f"camera-{self._name}", daemon=True)

    def _packet_gate(self) -> PacketGate | None:
        settings, observer = self._settings, self._parts.observer
        if settings.gate != "packet" or settings.decode == "keyframes":
            return None
        return PacketGate(settings.gate_audit, lambda caught: observer.gate_audit(self._name, caught))

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last progress. Standing in line for a turn is none of its own faults."""
        return max(self._heartbeat_s, self._turn.stood_until_s)

    @property
    def next_index(self) -> int:
        return self._intake.index

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Ask it to end: at once, or when the call in progress returns. Does not wait. Any thread."""
        self._ending.set()
        self._wake.set()

    def abandon(self) -> str:
        """`end` for a thread that hangs: its turn goes to others. Returns its stack. Any thread."""
        self.end()
        self._turn.forfeit()
        frame = sys._current_frames().get(self._thread.ident or 0)
        return redact("".join(traceback.format_stack(frame))) if frame is not None else ""

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; whether it came. The source is closed then."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def set_enabled(self, enabled: bool) -> None:
        self._enabled = enabled
        self._wake.set()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._wake.clear()
            if self._ending.is_set():
                return
            if not self._enabled:
                self._tell(CameraStatus.DISABLED, "switched off")
                if self._parts.moves is not None:
                    self._parts.moves.forget()
                self._pause(None)
                continue
            self._attempt()

    def _interrupted(self) -> bool:
        return self._ending.is_set() or self._wake.is_set()

    def _pause(self, seconds: float | None) -> bool:
        """Wait, for ever where None, until woken, which it returns; in steps, so that the heart goes on
        beating."""
        left_s = seconds if seconds is not None else float("inf")
        while left_s > 0.0 and not self._interrupted():
            self._beat()
            step_s = min(1.0, left_s)
            self._clock.wait(self._wake, step_s)
            left_s -= step_s
        self._beat()
        return self._interrupted()

    def _beat(self) -> None:
        self._heartbeat_s = self._clock.monotonic()

    def _tell(self, status: CameraStatus, reason: str) -> None:
        if not self._ending.is_set():
            self._board.set(status, reason)

    def _attempt(self) -> None:
        """Open, read until something happens, close, and wait as long as what happened calls for."""
        self._began_s = self._clock.monotonic()
        self._waited_s = 0.0
        try:
            self._open_and_read()
        except SourceEndedError as ended:
            self._tell(CameraStatus.ENDED, str(ended))
            self._pause(None)
        except CredentialsRefusedError as error:
            self._tell(self._down(), str(error))
            self._pause(self._locked.next_s())
        except SourceError as error:
            self._tell(self._down(), str(error))
            self._pause(max(0.1, self._backoff.next_s() - self._waited_s))
        except Exception as error:
            self._tell_fault(error)
            self._pause(self._faults.next_s())

    def _tell_fault(self, error: Exception) -> None:
        """A fault of ours. Its stack is logged when it is a new one; addresses in it are shown without
        secrets."""
        fault = f"a fault inside: {type(error).__name__}: {redact(str(error))}"
        if fault != self._fault:
            stack = redact("".join(traceback.format_exception(error)))
            log.error("camera %s: %s; it is started again\n%s", self._name, fault, stack)
        self._fault = fault
        self._tell(CameraStatus.FAILED, fault)

    def _down(self) -> CameraStatus:
        """A camera that cannot be reached is offline; a file that cannot be read has failed."""
        try:
            kind = parse_address(self._settings.source, self._parts.spec.base_dir).kind
        except SourceError:
            return CameraStatus.FAILED
        return CameraStatus.OFFLINE if kind in LIVE_KINDS else CameraStatus.FAILED

    def _open_and_read(self) -> None:
        settings, spec = self._settings, self._parts.spec
        kind = parse_address(settings.source, spec.base_dir).kind
        try:
            source = open_source(settings.source, self._options(), self._clock, spec.scenes)
        finally:
            # the time a camera was waited for counts as the pause before it is asked again
            self._waited_s = self._clock.monotonic() - self._began_s
            self._beat()
        self._waited_s = 0.0
        try:
            if self._ending.is_set():
                return
            self._board.opened(source.info)
            watch = None
            if source.info.live:
                watch = PictureWatch(spec.limits, kind in LIVE_KINDS, self._parts.moves)
            self._intake.opened(source.info, watch, buffered=kind is AddressKind.RTSP)
            self._read_all(source, kind)
        finally:
            self._turn.end()
            source.close()

    def _read_all(self, source: Source, kind: AddressKind) -> None:
        began_s = self._clock.monotonic()
        good_s: float | None = None
        while not self._interrupted():
            self._beat()
            try:
                grab = source.read()
            except SourceIdleError:
                self._turn.end()
                if kind is AddressKind.RTSP:
                    self._expect_picture(began_s, good_s)
                elif not self._ending.is_set():
                    self._board.alive()
                continue
            if self._ending.is_set():
                return
            worth = self._intake.take(grab)
            if kind is AddressKind.FILE:
                self._turn.rest()
            else:
                self._turn.end()  # the next read waits for a camera: others compute meanwhile
            if worth is Worth.GOOD:
                good_s = self._clock.monotonic()
                if good_s - began_s > _STABLE_S:
                    self._backoff.reset()
                    self._faults.reset()
            elif worth is Worth.DAMAGED and source.info.live:
                self._expect_picture(began_s, good_s)
        self._beat()

    def _expect_picture(self, began_s: float, good_s: float | None) -> None:
        """Raises SourceError when good pictures have stopped, though data comes: a codec that was changed."""
        since_s = good_s if good_s is not None else began_s
        limit_s = self._settings.read_timeout if good_s is not None else _FIRST_PICTURE_S
        if self._clock.monotonic() - since_s > limit_s:
            raise SourceError(f"{redact(self._settings.source)} sends data, but no good picture")

    def _options(self) -> SourceOptions:
        settings, spec = self._settings, self._parts.spec
        return SourceOptions(
            open_timeout_s=settings.open_timeout,
            read_timeout_s=settings.read_timeout,
            transport=settings.transport,
            loop=settings.loop,
            keyframes_only=settings.decode == "keyframes",
            enough_fps=settings.fps if settings.decode == "auto" else 0.0,
            follow=spec.follow,
            poll_s=1.0 / settings.fps if settings.fps > 0.0 else SourceOptions().poll_s,
            base_dir=spec.base_dir,
            turn=self._turn,
            gate=self._gate,
            hurry=self._intake.hurry,
        )
