"""Whether a frame of a live stream shows the present, or comes out of a buffer: after a stall, or because its reader
is too slow."""

from __future__ import annotations

import threading

GAP_S = 1.0
"""Frames further apart than this on arrival mark a stall, for streams without a clock."""
LATE_S = 1.0
"""A frame this much further behind its clock than frames usually are is old."""
_CAUGHT_UP_S = 0.3
_PATIENCE_S = 1.0
"""Reading as fast as it goes without the lateness shrinking: first for this long as it is, then with key frames
alone; then it is the clock that is wrong."""
_STEADY_S = 2.0
"""Without a clock: after this long what looked late is the stream's new pace."""
_SLACK_S = 0.25
_MOST_DRIFT = 1.0
"""A clock that stands still loses so much each second."""
_FORGET = 0.98
"""What is left of a learned drift for each frame that shows less."""


class Freshness:
    """Judges the frames of one connection, in order.

    With a clock: frames that waited in buffers on the way are late by that clock. They are old until the
    lateness is gone; while they are read and not used it shrinks. Where it does not, even with `hurry` set (the
    source then decodes next to nothing), the stream's clock stood still, jumped or runs too slowly: that is
    learned, and the frames are new.
    Where the other side is `buffered` (RTSP), a connection may begin with what was kept there, up to seconds old: the
    first frame is never new, and those that follow it are not as long as they come faster than they were made.
    Without a clock (MJPEG): the first frame after a stall is old, and so are those that follow it much faster than
    frames usually come. What piles up before a slow reader the source itself must know.
    """

    def __init__(self, hurry: threading.Event | None = None, buffered: bool = False) -> None:
        self._hurry = hurry if hurry is not None else threading.Event()
        self._hurry.clear()
        self._arrived_s: float | None = None
        self._usual_lag_s = self._usual_at_s = self._drift = 0.0
        self._lag_s = 0.0
        self._settled = not buffered
        self._late = False
        self._jumped = False
        """Since frames were last in time: the lag grew at once, not little by little."""
        self._shrunk_at_s = self._shrunk_to_s = 0.0
        self._usual_s = 0.0
        self._stalled_at_s: float | None = None

    def is_new(self, arrived_s: float, media_s: float | None) -> bool:
        """`arrived_s` is monotonic, `media_s` the frame's time on the stream's own clock, None without
        one."""
        previous_s, self._arrived_s = self._arrived_s, arrived_s
        if media_s is None:
            return previous_s is None or self._by_arrival(arrived_s, arrived_s - previous_s)
        lag_s = arrived_s - media_s
        if previous_s is None:
            self._learn(arrived_s, lag_s, 0.0)
            self._lag_s = lag_s
            return self._settled
        if not self._settled:
            made_s = arrived_s - previous_s - (lag_s - self._lag_s)
            self._settled = 2.0 * (arrived_s - previous_s) >= made_s
            self._learn(arrived_s, lag_s, 0.0)
            self._lag_s = lag_s
            return self._settled
        step_s, self._lag_s = lag_s - self._lag_s, lag_s
        interval_s = arrived_s - previous_s
        stalled = interval_s > max(GAP_S, 3.0 * self._usual_s)
        if not stalled:
            self._usual_s += 0.1 * (interval_s - self._usual_s)
        if stalled or step_s > LATE_S / 2.0:
            self._jumped = True
        return self._by_clock(arrived_s, lag_s, stalled)

    def _by_clock(self, arrived_s: float, lag_s: float, stalled: bool) -> bool:
        usual_s = self._usual_lag_s + self._drift * (arrived_s - self._usual_at_s)
        if lag_s < usual_s:
            self._learn(arrived_s, lag_s, self._drift * _FORGET)
            usual_s = lag_s
        behind_s = lag_s - usual_s
        if not self._late:
            if behind_s <= LATE_S:
                return True
            self._late = True
            self._shrunk_at_s, self._shrunk_to_s = arrived_s, lag_s
            return False
        if behind_s <= _CAUGHT_UP_S:
            self._caught_up()
            return True
        if stalled or lag_s < self._shrunk_to_s - _SLACK_S:
            self._shrunk_at_s, self._shrunk_to_s = arrived_s, lag_s
        elif arrived_s - self._shrunk_at_s > 2.0 * _PATIENCE_S:
            drift = (lag_s - self._usual_lag_s) / (arrived_s - self._usual_at_s)
            self._learn(arrived_s, lag_s, 0.0 if self._jumped else min(drift, _MOST_DRIFT))
            self._caught_up()
            return True
        elif arrived_s - self._shrunk_at_s > _PATIENCE_S:
            self._hurry.set()
        return False

    def _learn(self, arrived_s: float, lag_s: float, drift: float) -> None:
        """Frames usually have this lag, growing by `drift` each second."""
        self._usual_lag_s, self._usual_at_s, self._drift = lag_s, arrived_s, drift

    def _caught_up(self) -> None:
        self._late = self._jumped = False
        self._hurry.clear()

    def _by_arrival(self, arrived_s: float, interval_s: float) -> bool:
        if interval_s > max(GAP_S, 3.0 * self._usual_s):
            self._stalled_at_s = arrived_s
            return False
        if self._stalled_at_s is None:
            self._usual_s += 0.1 * (interval_s - self._usual_s)
            return True
        hurried = interval_s < self._usual_s / 2.0
        if hurried and arrived_s - self._stalled_at_s < _STEADY_S:
            return False
        self._stalled_at_s = None
        return True
