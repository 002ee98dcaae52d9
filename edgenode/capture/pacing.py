"""When a picture counts as captured, and how long to wait for that instant."""

from __future__ import annotations

from dataclasses import dataclass

from edgenode.capture.source import Grab, SourceInfo
from edgenode.clock import Clock

_BEHIND_S = 1.0
"""A file that is this late is not caught up: its clock is set back."""


@dataclass(frozen=True, slots=True)
class Moment:
    """`captured_s` is monotonic; the thread waits `wait_s` before it goes on. `time_s` is for the
    schedule."""

    captured_s: float
    wait_s: float
    time_s: float


class Pacing:
    """Turns the clocks of the different sources into monotonic instants. One per opened source.

    Live: now, or what the source says; nobody waits. Files in real time: the start plus the media time.
    Folders in real time: `fps` pictures a second, none left out. Otherwise as fast as it goes, and captured
    on arrival.
    """

    def __init__(self, info: SourceInfo, fps: float, realtime: bool, clock: Clock) -> None:
        self._info = info
        self._picture_s = 1.0 / fps if fps > 0.0 else 0.0
        self._realtime = realtime
        self._clock = clock
        self._start_s: float | None = None
        self._pictures = 0

    def moment(self, grab: Grab) -> Moment:
        now_s = self._clock.monotonic()
        if self._info.live:
            captured_s = grab.captured_s if grab.captured_s is not None else now_s
            return Moment(captured_s, 0.0, grab.media_s if grab.media_s is not None else captured_s)
        if grab.media_s is None:
            media_s = self._pictures * self._picture_s
            self._pictures += 1
        else:
            media_s = grab.media_s
        if grab.recalled and self._start_s is not None:
            return Moment(self._start_s + media_s, 0.0, media_s)
        if not self._realtime:
            return Moment(now_s, 0.0, media_s)
        if self._start_s is None or self._start_s + media_s < now_s - _BEHIND_S:
            self._start_s = now_s - media_s
        due_s = self._start_s + media_s
        return Moment(due_s, max(0.0, due_s - now_s), media_s)
