"""The motion gate: frames in which nothing changes need no classifying."""

from __future__ import annotations

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


class MotionGate:
    """Open while the watched cells differ from a slowly learnt background. Used by one thread.

    A change of brightness common to all watched cells (a cloud, the camera's exposure) is taken out first.
    """

    def __init__(self, cells: NDArray[np.bool_]) -> None:
        self._cells = cells if not cells.all() else None
        """None: all are watched."""
        self._enough = max(1, round(_SHARE * int(cells.sum())))
        self._background: F32 | None = None
        self._seen_s = 0.0
        self._moved_s = 0.0
        self._passed_s = 0.0
        self.open = True
        self.moved = False
        """Whether the last frame itself differed."""

    def passes(self, luma: F32, time_s: float) -> bool:
        """Whether the frame with this small luma ([36, 64]) at `time_s` is classified. Updates `open`."""
        background = self._background
        if background is None:
            self._background = luma.copy()
            self._seen_s = self._moved_s = self._passed_s = time_s
            return True
        difference = luma - background
        watched = difference.ravel() if self._cells is None else difference[self._cells]
        shift = _median(watched) if watched.size else 0.0
        self.moved = int(np.count_nonzero(np.abs(watched - shift) > _LEVELS)) >= self._enough
        if self.moved:
            self._moved_s = time_s
        weight = min(1.0, max(0.0, time_s - self._seen_s) / _ADAPTATION_S)
        self._background = background + weight * difference
        self._seen_s = time_s
        self.open = time_s - self._moved_s <= _HOLD_S
        if self.open or time_s - self._passed_s >= _PASS_S:
            self._passed_s = time_s
            return True
        return False


def _median(values: F32) -> float:
    """As `np.median`, which spends four times as long on checks: 180 µs on cold caches."""
    middle = values.size // 2
    if values.size % 2:
        return float(np.partition(values, middle)[middle])
    ordered = np.partition(values, (middle - 1, middle))
    return float((ordered[middle - 1] + ordered[middle]) / 2)
