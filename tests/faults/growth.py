"""Whether a series grows: a straight line through it, and how sure its slope is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLOCK_S = 60.0
_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Growth:
    """Slope with its 95 % interval, per hour, and the level it started from."""

    an_hour: float
    low_an_hour: float
    high_an_hour: float
    level: float

    def __str__(self) -> str:
        return f"{self.an_hour:+.2f} an hour ({self.low_an_hour:+.2f} to {self.high_an_hour:+.2f})"


def growth(at_s: list[float], values: list[float], seed: int = 0) -> Growth:
    """Least squares over `values` at `at_s` seconds; the interval from a bootstrap over blocks of residuals.

    Neighbouring samples resemble each other, so whole minutes are drawn, not samples (moving block bootstrap:
    H. Künsch, "The Jackknife and the Bootstrap for General Stationary Observations", Annals of Statistics 1989).
    """
    hours, series = np.asarray(at_s) / 3600.0, np.asarray(values, dtype=float)
    slope, level = np.polyfit(hours, series, 1)
    residuals = series - (slope * hours + level)
    step_s = float(np.median(np.diff(at_s))) if len(at_s) > 1 else 1.0
    block = max(1, min(len(series) - 1, round(_BLOCK_S / step_s)))
    rng = np.random.default_rng(seed)
    count = -(-len(series) // block)
    slopes = []
    for _ in range(_ROUNDS):
        starts = rng.integers(0, len(series) - block + 1, count)
        drawn = np.concatenate([residuals[start : start + block] for start in starts])[: len(series)]
        slopes.append(np.polyfit(hours, slope * hours + level + drawn, 1)[0])
    low, high = np.percentile(slopes, [2.5, 97.5])
    return Growth(round(float(slope), 3), round(float(low), 3), round(float(high), 3), round(float(level), 2))
