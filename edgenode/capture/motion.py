"""The motion gate: frames in which nothing changes need no classifying."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edgenode.records import F32

_LEVELS = 12.0
"""A cell has changed when its luma is this far from the background; sensor noise averages out below it."""
_SHARE = 0.004
"""Part of the watched cells that must have changed; a single cell is always enough for small regions."""
_HOLD_S = 2.0
"""The gate stays open this long after the last change."""
_PASS_S = 5.0
"""A closed gate lets one frame through this often, so that states stay confirmed and slow changes are
seen."""
_ADAPTATION_S = 10.0
"""The background follows the picture with this time constant."""
_REST_S, _REST_LEVELS = 2.0, 4.0
"""What differs from the background and has looked the same for so long, to so many levels, has come to rest."""
_REMEMBERED = 8
"""Pictures of the last `_REST_S` that are kept to tell so."""


class MotionGate:
    """Open while the watched cells differ from a slowly learnt background and from what they showed a moment ago. Used
    by one thread.

    A change of brightness common to all watched cells (a cloud, the camera's exposure) is taken out first. Cars that
    passed for some seconds are in the background themselves, and the empty road differs from it until they are
    forgotten: without the second look the gate stayed open for up to 9 s after the last one.
    """

    def __init__(self, cells: NDArray[np.bool_]) -> None:
        self._cells = cells if not cells.all() else None
        """None: all are watched."""
        self._enough = max(1, round(_SHARE * int(cells.sum())))
        self._background: F32 | None = None
        self._seen_s = 0.0
        self._moved_s = 0.0
        self._passed_s = 0.0
        self._before: deque[tuple[float, F32]] = deque()
        """Frames of the last `_REST_S` and the one before those, with their times."""
        self.open = True
        self.moved = False
        """Whether something moved in the last frame."""
        self.still = True
        """Whether the last frame showed nothing but the background: neither what moves nor what has come to rest."""

    def passes(self, luma: F32, time_s: float) -> bool:
        """Whether the frame with this small luma ([36, 64]) at `time_s` is classified. Updates `open`."""
        background = self._background
        if background is None:
            self._background = luma.copy()
            self._seen_s = self._moved_s = self._passed_s = time_s
            self._remember(luma, time_s)
            return True
        difference = luma - background
        other = self._far(difference, _LEVELS)
        self.still = int(np.count_nonzero(other)) < self._enough
        self.moved = not self.still and self._moving(other, luma)
        if self.moved:
            self._moved_s = time_s
        self._remember(luma, time_s)
        weight = min(1.0, max(0.0, time_s - self._seen_s) / _ADAPTATION_S)
        self._background = background + weight * difference
        self._seen_s = time_s
        self.open = time_s - self._moved_s <= _HOLD_S
        if self.open or time_s - self._passed_s >= _PASS_S:
            self._passed_s = time_s
            return True
        return False

    def _far(self, difference: F32, levels: float) -> NDArray[np.bool_]:
        """Which of the watched cells differ by more than `levels` from what all of them have in common."""
        watched = difference.ravel() if self._cells is None else difference[self._cells]
        shift = _median(watched) if watched.size else 0.0
        return np.asarray(np.abs(watched - shift) > levels)

    def _moving(self, other: NDArray[np.bool_], luma: F32) -> bool:
        """Whether enough of the cells that are `other` than the background have not come to rest."""
        changed = self._far(luma - self._before[0][1], _REST_LEVELS)
        return int(np.count_nonzero(other & changed)) >= self._enough

    def _remember(self, luma: F32, time_s: float) -> None:
        before = self._before
        if before and time_s < before[-1][0]:
            before.clear()
        if len(before) < 2 or time_s - before[-1][0] >= _REST_S / _REMEMBERED:
            before.append((time_s, luma))
        while len(before) > 1 and before[1][0] <= time_s - _REST_S:
            before.popleft()


def _median(values: F32) -> float:
    """As `np.median`, which spends four times as long on checks: 180 µs on cold caches."""
    middle = values.size // 2
    if values.size % 2:
        return float(np.partition(values, middle)[middle])
    ordered = np.partition(values, (middle - 1, middle))
    return float((ordered[middle - 1] + ordered[middle]) / 2)
