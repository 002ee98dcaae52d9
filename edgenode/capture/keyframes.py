"""Whether a stream's key frames alone are enough: decoding only them costs a fifth."""

from __future__ import annotations

from collections import deque

_SEEN = 3
_TOLERANCE = 1.02


class KeyframeChoice:
    """Decides, at every key frame, how to decode until the next one.

    Key frames are enough while the last three came at least as often as frames are wanted. Decoding may
    change at key frames only: in between, the pictures that the others refer to would be missing.
    """

    def __init__(self, wanted_fps: float) -> None:
        self._wanted_s = 1.0 / wanted_fps if wanted_fps > 0.0 else 0.0
        self._intervals: deque[float] = deque(maxlen=_SEEN)
        self._last_s: float | None = None

    def alone(self, key_s: float) -> bool:
        """Whether key frames alone are decoded from this one on, at `key_s` of the stream's clock."""
        if self._last_s is not None:
            self._intervals.append(key_s - self._last_s)
        self._last_s = key_s
        return len(self._intervals) == _SEEN and 0.0 < max(self._intervals) <= self._wanted_s * _TOLERANCE
