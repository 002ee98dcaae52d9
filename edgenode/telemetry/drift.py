"""Whether a model's confidence still looks as it did on its validation pictures."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

PSI_MIN_SAMPLES = 200
"""Under this the index is mostly noise: its expectation without drift is about (bins - 1) / samples."""
_FLOOR = 1e-4


def psi(reference: Sequence[float], seen: Sequence[float]) -> float:
    """Population stability index of two histograms over the same bins, each summing to 1.

    Σ (seen − reference) · ln(seen / reference), empty bins counted as 0.0001 (N. Siddiqi, "Credit Risk
    Scorecards", 2006, where over 0.25 calls for action and under 0.1 for none).
    """
    return sum(
        (max(s, _FLOOR) - max(r, _FLOOR)) * math.log(max(s, _FLOOR) / max(r, _FLOOR))
        for r, s in zip(reference, seen, strict=True)
    )


class DriftMonitor:
    """The index over the last `window` samples of one model. One thread calls it.

    `reference` is the card's histogram of the top label's probability in equal bins from 0 to 1.
    """

    def __init__(self, reference: Sequence[float], window: int = 2000) -> None:
        total = sum(reference) or 1.0
        self._reference = [share / total for share in reference]
        self._counts = [0] * len(reference)
        self._bins: deque[int] = deque(maxlen=window)

    def add(self, probability: float) -> None:
        """One classified sample's top probability."""
        last = len(self._counts) - 1
        bin_ = min(last, max(0, int(probability * len(self._counts))))
        if len(self._bins) == self._bins.maxlen:
            self._counts[self._bins[0]] -= 1
        self._bins.append(bin_)
        self._counts[bin_] += 1

    @property
    def psi(self) -> float | None:
        """None while fewer than `PSI_MIN_SAMPLES` were seen."""
        seen = len(self._bins)
        if seen < PSI_MIN_SAMPLES:
            return None
        return psi(self._reference, [count / seen for count in self._counts])
