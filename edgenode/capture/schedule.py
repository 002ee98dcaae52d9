"""Which frames of a stream are classified."""

from __future__ import annotations

_SMOOTHING = 0.1


class FrameSchedule:
    """Picks frames at `fps` from a faster stream, on a fixed grid of instants; 0 picks all.

    The grid is anchored at the first frame and never moves with the frames that are taken, so that nothing
    drifts: of 25 fps a schedule of 5 takes every fifth. A frame is due when it is the nearest to a grid
    point, taken as: not more than half a source interval before it. After a gap the grid goes on; nothing is
    caught up. When time goes backwards the grid starts anew. At a pace below 1 that share of the due frames is
    taken, evenly spread; the grid stays.
    """

    def __init__(self, fps: float) -> None:
        self._interval_s = 1.0 / fps if fps > 0.0 else 0.0
        self._anchor_s: float | None = None
        self._next = 0
        self._last_s = 0.0
        self._source_s = 0.0
        self._credit = 0.0

    def due(self, time_s: float, pace: float = 1.0) -> bool:
        """Whether the frame at `time_s` (of the stream's own clock where it has one) is classified."""
        if not self._on_grid(time_s):
            return False
        if pace >= 1.0:
            self._credit = 0.0
            return True
        self._credit += pace
        if self._credit < 1.0 - 1e-9:
            return False
        self._credit -= 1.0
        return True

    def _on_grid(self, time_s: float) -> bool:
        if self._interval_s == 0.0:
            return True
        if self._anchor_s is None or time_s < self._last_s:
            self._anchor_s, self._next = time_s, 0
        else:
            self._learn(time_s - self._last_s)
        self._last_s = time_s
        slack_s = min(self._source_s, self._interval_s) / 2.0
        position = (time_s - self._anchor_s + slack_s) / self._interval_s
        if position < self._next:
            return False
        self._next = max(self._next + 1, int(position) + 1)
        return True

    def _learn(self, interval_s: float) -> None:
        if interval_s <= 0.0:
            return
        interval_s = min(interval_s, self._interval_s)  # a gap teaches little
        if self._source_s == 0.0:
            self._source_s = interval_s
        else:
            self._source_s += _SMOOTHING * (interval_s - self._source_s)
