"""A camera's status: worked out from what its thread does, reported on change and once a second, logged
once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from edgenode.capture.observer import CaptureObserver
from edgenode.capture.picture_watch import Distrust
from edgenode.capture.source import SourceInfo
from edgenode.clock import Clock
from edgenode.records import CameraReport, CameraStatus

log = logging.getLogger(__name__)

REPORT_S = 1.0
_FPS_WINDOW_S = 5.0
_FPS_FRAMES = 2048
_LOG_BURST = 3.0
_LOG_A_MINUTE = 1.0
_CALM = frozenset({CameraStatus.ONLINE, CameraStatus.DISABLED, CameraStatus.ENDED})


@dataclass(frozen=True, slots=True)
class _Said:
    """The last report's status, and since when it holds."""

    status: CameraStatus
    reason: str
    since_at: datetime


class StatusBoard:
    """Thread-safe. The camera's thread says what happens; `tick` notices what does not happen any more.

    Nothing is said until the first attempt to open the source has ended, or has taken `grace_s`. A camera that
    changes often logs three lines, then one a minute that counts the changes not logged.
    """

    def __init__(
        self,
        camera: str,
        observer: CaptureObserver,
        clock: Clock,
        stale_after_s: float,
        grace_s: float = 0.0,
    ) -> None:
        self._camera = camera
        self._observer = observer
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._base = CameraStatus.OFFLINE
        self._base_reason = "not opened yet"
        self._info: SourceInfo | None = None
        self._alive_s: float | None = None
        self._intervals: deque[float] = deque(maxlen=3)
        self._distrust: Distrust | None = None
        self._classified: deque[float] = deque(maxlen=_FPS_FRAMES)
        self._began_s = clock.monotonic()
        self._opened = 0
        self._said: _Said | None = None
        self._reported_s = 0.0
        self._tokens = _LOG_BURST
        self._tokens_s = self._began_s
        self._unlogged = 0

    def opened(self, info: SourceInfo) -> None:
        """A source is open; the status changes with its first good frame."""
        with self._lock:
            self._info = info
            self._opened += 1
            self._distrust = None
            self._alive_s = None
            self._intervals.clear()

    def alive(self, width: int = 0, height: int = 0) -> None:
        """A good frame came, or the source said that there is nothing new. Sizes other than 0 are taken
        over."""
        with self._lock:
            now_s = self._clock.monotonic()
            if self._alive_s is not None:
                self._intervals.append(now_s - self._alive_s)
            self._alive_s = now_s
            info = self._info
            if width and info is not None and (width, height) != (info.width, info.height):
                self._info = SourceInfo(width, height, info.fps, info.codec, info.live, info.finite)
            changed = self._base is not CameraStatus.ONLINE
            self._base, self._base_reason = CameraStatus.ONLINE, ""
            if changed or self._said is None or self._said.status is not CameraStatus.ONLINE:
                self._say()

    def classified(self, distrust: Distrust | None) -> None:
        """A frame was cut into samples; `distrust` is the picture watch's verdict."""
        with self._lock:
            self._classified.append(self._clock.monotonic())
            changed = distrust != self._distrust
            self._distrust = distrust
            if changed:
                self._say()

    def set(self, status: CameraStatus, reason: str) -> None:
        """The camera is not reading: offline, failed, disabled or ended."""
        with self._lock:
            self._base, self._base_reason = status, reason
            self._distrust = None
            self._say()

    def tick(self) -> None:
        """Call twice a second: notices staleness, and reports once a second."""
        with self._lock:
            if self._said is not None or self._clock.monotonic() - self._began_s >= self._grace_s:
                self._say()

    def _say(self) -> None:
        status, reason = self._now()
        said = self._said
        if said is None or said.status is not status or said.reason != reason:
            same = said is not None and said.status is status
            since_at = said.since_at if said is not None and same else self._clock.now()
            self._said = said = _Said(status, reason, since_at)
            if not same:
                self._unlogged += 1
        elif self._clock.monotonic() - self._reported_s < REPORT_S * 0.9:
            return
        self._reported_s = self._clock.monotonic()
        self._log(said)
        self._observer.camera_report(self._report(said))

    def _now(self) -> tuple[CameraStatus, str]:
        if self._base is not CameraStatus.ONLINE:
            return self._base, self._base_reason
        if self._info is not None and self._info.live and self._alive_s is not None:
            # a camera that sends a picture every 10 s is not stale after 4
            limit_s = max(self._stale_after_s, 3.0 * min(self._intervals, default=0.0))
            if self._clock.monotonic() - self._alive_s > limit_s:
                return CameraStatus.STALE, f"no good frame for more than {limit_s:.0f} s"
        if self._distrust is not None:
            return self._distrust.status, self._distrust.reason
        return CameraStatus.ONLINE, ""

    def _report(self, said: _Said) -> CameraReport:
        info = self._info
        return CameraReport(
            camera=self._camera,
            status=said.status,
            reason=said.reason,
            since_at=said.since_at,
            fps=self._fps(),
            reconnects=max(0, self._opened - 1),
            width=info.width if info is not None else 0,
            height=info.height if info is not None else 0,
            codec=info.codec if info is not None else "",
        )

    def _fps(self) -> float:
        now_s = self._clock.monotonic()
        while self._classified and now_s - self._classified[0] > _FPS_WINDOW_S:
            self._classified.popleft()
        window_s = min(_FPS_WINDOW_S, now_s - self._began_s)
        return len(self._classified) / window_s if window_s > 0.0 else 0.0

    def _log(self, said: _Said) -> None:
        now_s = self._clock.monotonic()
        self._tokens = min(_LOG_BURST, self._tokens + (now_s - self._tokens_s) * _LOG_A_MINUTE / 60.0)
        self._tokens_s = now_s
        if self._unlogged == 0 or self._tokens < 1.0:
            return
        self._tokens -= 1.0
        more = f" ({self._unlogged - 1} changes before this were not logged)" if self._unlogged > 1 else ""
        self._unlogged = 0
        level = logging.INFO if said.status in _CALM else logging.WARNING
        because = f": {said.reason}" if said.reason else ""
        log.log(level, "camera %s is %s%s%s", self._camera, said.status, because, more)
