"""When a picture counts as captured, and how long to wait for that instant."""

from __future__ import annotations

from dataclasses import dataclass

from edgenode.capture.source import Grab, SourceInfo
from edgenode.clock import Clock

_BEHIND_S = 1.0
"""A file that is this late is not caught up: its clock is set back."""
_JUMP_S = 10.0
"""A file whose time jumps further ahead, and further than ten of its frames, is not waited for."""


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
        self._last_s = 0.0
        self._pictures = 0
        self._grid = LiveTime()

    def moment(self, grab: Grab) -> Moment:
        now_s = self._clock.monotonic()
        if self._info.live:
            captured_s = grab.captured_s if grab.captured_s is not None else now_s
            return Moment(captured_s, 0.0, self._grid.time_s(captured_s, grab.media_s))
        if grab.media_s is None:
            media_s = self._pictures * self._picture_s
            self._pictures += 1
        else:
            media_s = grab.media_s
        if grab.recalled and self._start_s is not None:
            return Moment(self._start_s + media_s, 0.0, media_s)
        if not self._realtime:
            return Moment(now_s, 0.0, media_s)
        step_s, self._last_s = media_s - self._last_s, media_s
        jumped = step_s > max(_JUMP_S, 10.0 / self._info.fps if self._info.fps > 0.0 else 0.0)
        if self._start_s is None or jumped or self._start_s + media_s < now_s - _BEHIND_S:
            self._start_s = now_s - media_s
        due_s = self._start_s + media_s
        return Moment(due_s, max(0.0, due_s - now_s), media_s)


class LiveTime:
    """The time of a live stream's frames for the schedule: evenly spaced as on the stream's own clock, at the
    pace of ours, whatever that clock does (jumps, repeats, stands still, runs too slowly)."""

    _SLACK_S = 1.0
    """Frames may arrive this much earlier or later than their clock says: network and buffers."""

    def __init__(self) -> None:
        self._arrived_s = 0.0
        self._media_s: float | None = None
        self._time_s: float | None = None

    def time_s(self, arrived_s: float, media_s: float | None) -> float:
        """`arrived_s` is monotonic; `media_s` None for a stream without a clock."""
        passed_s, self._arrived_s = arrived_s - self._arrived_s, arrived_s
        before_s, self._media_s = self._media_s, media_s
        if media_s is None or before_s is None or self._time_s is None:
            self._time_s = arrived_s
            return arrived_s
        step_s = media_s - before_s
        if not 0.0 < step_s < passed_s + self._SLACK_S:
            step_s = passed_s
        time_s = self._time_s + step_s
        if abs(time_s - arrived_s) > self._SLACK_S:
            time_s = max(self._time_s, arrived_s)
        self._time_s = time_s
        return time_s
