"""Whether a frame of a live stream shows the present, or comes out of a buffer after a stall."""

from __future__ import annotations

GAP_S = 1.0
"""Frames further apart than this on arrival mark a stall."""
LATE_S = 1.0
"""A frame this much further behind than before the stall is old."""
_STEADY_S = 2.0
"""When frames have come at their own pace for this long, what looked late is the stream's new normal."""
_SLACK_S = 0.25


class Freshness:
    """Judges frames only after a gap in their arrivals; a stream that does not stall is always new.

    With a clock: after a stall, frames that were waiting in buffers on the way are late by that clock, and
    come faster than they were made, each less late than the one before. They are old until the lateness is
    gone. If it stays, the stream's clock itself stood still, and the frames are new.
    Without one (MJPEG): the first frame after a stall is old, and so are those that follow it much faster
    than frames usually come.
    """

    def __init__(self) -> None:
        self._arrived_s: float | None = None
        self._usual_s = 0.0
        self._usual_lag_s = 0.0
        self._stalled = False
        self._steady_since_s = 0.0
        self._steady_lag_s = 0.0

    def is_new(self, arrived_s: float, media_s: float | None) -> bool:
        """`arrived_s` is monotonic, `media_s` the frame's time on the stream's own clock, None without
        one."""
        lag_s = arrived_s - media_s if media_s is not None else 0.0
        previous_s, self._arrived_s = self._arrived_s, arrived_s
        if previous_s is None:
            self._usual_lag_s = lag_s
            return True
        interval_s = arrived_s - previous_s
        if interval_s > max(GAP_S, 3.0 * self._usual_s):
            self._stalled = True
            self._steady_since_s, self._steady_lag_s = arrived_s, lag_s
            if media_s is None:
                return False
        if not self._stalled:
            self._usual_lag_s = lag_s
            self._usual_s += 0.1 * (interval_s - self._usual_s)
            return True
        if media_s is None:
            hurried = interval_s < self._usual_s / 2.0
            self._stalled = hurried and arrived_s - self._steady_since_s < _STEADY_S
            return not self._stalled
        return self._judge(arrived_s, lag_s)

    def _judge(self, arrived_s: float, lag_s: float) -> bool:
        if lag_s - self._usual_lag_s <= LATE_S:
            self._stalled = False
            return True
        if abs(lag_s - self._steady_lag_s) > _SLACK_S:
            self._steady_since_s, self._steady_lag_s = arrived_s, lag_s
        elif arrived_s - self._steady_since_s >= _STEADY_S:
            self._stalled = False
            self._usual_lag_s = lag_s
            return True
        return False
