"""Whether a model's confidence and embedding still look as they did on its validation pictures."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgenode.records import F32

WINDOW = 2000
"""How many of the newest samples an index is about."""

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


class Window:
    """One histogram over the last `size` samples, against a reference with the same bins."""

    def __init__(self, reference: Sequence[float], size: int) -> None:
        total = sum(reference) or 1.0
        self._reference = [share / total for share in reference]
        self._counts = [0] * len(reference)
        self._bins: deque[int] = deque(maxlen=size)

    def add(self, bin_: int) -> None:
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


class DriftMonitor:
    """The index over the last `window` samples of one model. One thread calls it.

    `reference` is the card's histogram of the top label's probability in equal bins from 0 to 1.
    """

    def __init__(self, reference: Sequence[float], window: int = WINDOW) -> None:
        self._window = Window(reference, window)
        self._count = len(reference)

    def add(self, probability: float) -> None:
        """One classified sample's top probability."""
        self._window.add(min(self._count - 1, max(0, int(probability * self._count))))

    @property
    def psi(self) -> float | None:
        """None while fewer than `PSI_MIN_SAMPLES` were seen."""
        return self._window.psi


class EmbeddingBins(Protocol):
    """The card's reference of the embedding; inference's `EmbeddingReference` has this shape."""

    @property
    def histograms(self) -> list[list[float]]: ...

    def bins(self, embedding: F32, /) -> list[int]:
        """The bin along each direction. Raises ValueError where the embedding has another length."""
        ...


class EmbeddingMonitor:
    """The mean over all directions of the index of the embedding. One thread calls it.

    The mean, not the largest: a cloud that moves is seen along nearly all of some random directions, while the
    largest of eight indices is above 0.1 by chance with a few hundred samples.
    """

    def __init__(self, reference: EmbeddingBins, window: int = WINDOW) -> None:
        self._reference = reference
        self._windows = [Window(histogram, window) for histogram in reference.histograms]

    def add(self, embedding: F32) -> None:
        """One sample's embedding; one of another length than the reference's counts for nothing."""
        try:
            bins = self._reference.bins(embedding)
        except ValueError:
            return
        for window, bin_ in zip(self._windows, bins, strict=True):
            window.add(bin_)

    @property
    def psi(self) -> float | None:
        """None while fewer than `PSI_MIN_SAMPLES` were seen."""
        found = [window.psi for window in self._windows]
        known = [each for each in found if each is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None


@dataclass(frozen=True, slots=True)
class DriftReading:
    """A model's indices; None where nothing can be known (yet)."""

    confidence: float | None
    embedding: float | None

    @property
    def worst(self) -> float | None:
        known = [each for each in (self.confidence, self.embedding) if each is not None]
        return max(known, default=None)


class ModelDrift:
    """Both monitors of one model, as far as its card has references."""

    def __init__(self, sha256: str, confidence: Sequence[float], embedding: EmbeddingBins | None) -> None:
        self.sha256 = sha256
        self._confidence = DriftMonitor(confidence) if confidence else None
        self._embedding = EmbeddingMonitor(embedding) if embedding is not None else None

    def add(self, probability: float, embedding: F32 | None) -> None:
        if self._confidence is not None:
            self._confidence.add(probability)
        if self._embedding is not None and embedding is not None:
            self._embedding.add(embedding)

    def reading(self) -> DriftReading:
        return DriftReading(
            self._confidence.psi if self._confidence is not None else None,
            self._embedding.psi if self._embedding is not None else None,
        )
