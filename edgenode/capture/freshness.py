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
    """Compares when frames arrive with what their stream's clock says, but only after a gap in arrivals.

    After a stall, frames that were waiting in buffers on the way arrive faster than they were made: each is
    less late than the one before. They are old until the lateness is gone. If the lateness stays, the
    stream's clock itself stood still, and the frames are new.
    """

    def __init__(self) -> None:
        self._arrived_s: float | None = None
        self._usual_lag_s = 0.0
        self._stalled = False
        self._steady_since_s = 0.0
        self._steady_lag_s = 0.0

    def is_new(self, arrived_s: float, media_s: float | None) -> bool:
        """`arrived_s` is monotonic; a stream without a clock (None) is always taken as new."""
        if media_s is None:
            return True
        lag_s = arrived_s - media_s
        previous_s, self._arrived_s = self._arrived_s, arrived_s
        if previous_s is None:
            self._usual_lag_s = lag_s
            return True
        if arrived_s - previous_s > GAP_S:
            self._stalled = True
            self._steady_since_s, self._steady_lag_s = arrived_s, lag_s
        if not self._stalled:
            self._usual_lag_s = lag_s
            return True
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
