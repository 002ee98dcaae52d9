"""Smoothing of one region's probabilities over a window in seconds, the same at any frame rate.

What `window` W means: how far the smoothing looks back. A sliding mean over W seconds has a mean age of W/2,
and an exponential average with time constant τ has a mean age of τ, so τ = W/2 makes both equally slow: a
step from 0 to 1 reaches 0.63 after W/2 and 0.86 after W. `window = 0` takes every sample as it is.

Exponential average at irregular times (a sample stands for the time since the one before it):

    α = 1 − exp(−Δt/τ)     m ← (1−α)·m + α·p     w ← (1−α)·w + α     score = m / w

`w` is the weight gathered so far, so the score has no start-up bias (the correction of Adam: Kingma and Ba,
"Adam: A Method for Stochastic Optimization", 2015, section 3): the first score is the first probability. The
first sample has no Δt; it is given that of the second one.

After a gap (a closed gate) the next sample stands for the whole gap, so it outweighs what was before.
"""

from __future__ import annotations

from collections import deque
from math import expm1
from typing import Protocol

from edgenode.records import JsonObject

VOTE_LIMIT = 4096
"""Samples a vote remembers; beyond it the oldest go (30 frames a second for more than two minutes)."""


class Smoother(Protocol):
    """Turns the probabilities of one region into scores. Not thread-safe; one a region."""

    def add(self, at_s: float, probabilities: list[float], confidence: float) -> tuple[list[float], float]:
        """Scores (one a label) and the smoothed confidence after this sample. A late sample changes
        nothing."""
        ...

    def reset(self) -> None:
        """Forget everything: the next sample is the first."""
        ...

    def export(self) -> JsonObject: ...

    def restore(self, state: JsonObject, offset_s: float) -> None:
        """Take over an exported state whose clock read `offset_s` less than ours."""
        ...


class ExponentialSmoother:
    """Time-weighted exponential average, see the module's text."""

    __slots__ = ("_last_s", "_scores", "_sums", "_tau_s", "_weight")

    def __init__(self, window_s: float) -> None:
        self._tau_s = window_s / 2.0
        self._last_s: float | None = None
        self._sums: list[float] = []
        self._scores: list[float] = []
        self._weight = 0.0
        """0 while there is only one sample, whose Δt is not known yet."""

    def add(self, at_s: float, probabilities: list[float], confidence: float) -> tuple[list[float], float]:
        if self._tau_s <= 0.0:
            return probabilities, confidence
        values = [*probabilities, confidence]
        if self._last_s is None:
            self._sums = self._scores = values
            self._weight = 0.0
            self._last_s = at_s
        elif at_s > self._last_s:
            alpha = -expm1((self._last_s - at_s) / self._tau_s)
            keep = 1.0 - alpha
            if self._weight == 0.0:
                self._sums = [alpha * value for value in self._sums]
                self._weight = alpha
            self._sums = [
                keep * before + alpha * value for before, value in zip(self._sums, values, strict=True)
            ]
            self._weight = weight = keep * self._weight + alpha
            self._scores = [total / weight for total in self._sums]
            self._last_s = at_s
        return self._scores[:-1], self._scores[-1]

    def reset(self) -> None:
        self._last_s = None
        self._weight = 0.0

    def export(self) -> JsonObject:
        return {"last_s": self._last_s, "sums": self._sums, "weight": self._weight, "scores": self._scores}

    def restore(self, state: JsonObject, offset_s: float) -> None:
        last_s = state["last_s"]
        self._last_s = None if last_s is None else float(last_s) + offset_s
        self._sums = [float(value) for value in state["sums"]]
        self._scores = [float(value) for value in state["scores"]]
        self._weight = float(state["weight"])


class VoteSmoother:
    """Share of the time in the window during which each label was the most probable one.

    Each sample votes for its most probable label with the time since the sample before it, at most the
    window; votes older than the window are gone. Weights are whole microseconds, so that sums never drift.
    """

    __slots__ = ("_confidence", "_last_s", "_sums", "_total", "_votes", "_window_s")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._votes: deque[tuple[float, int, int]] = deque()
        self._sums: list[int] = []
        self._total = 0
        self._last_s: float | None = None
        self._confidence = ExponentialSmoother(window_s)

    def add(self, at_s: float, probabilities: list[float], confidence: float) -> tuple[list[float], float]:
        _, smoothed = self._confidence.add(at_s, [], confidence)
        if self._last_s is None:
            self._sums = [0] * len(probabilities)
            self._total = 0
            self._votes.clear()
            self._count(at_s, probabilities.index(max(probabilities)), 1)
            self._last_s = at_s
        elif at_s > self._last_s:
            step = max(1, round(min(at_s - self._last_s, self._window_s) * 1e6))
            if len(self._votes) == 1 and self._votes[0][2] == 1:
                first_s, label, _ = self._votes.popleft()
                self._sums[label] -= 1
                self._total -= 1
                self._count(first_s, label, step)
            self._count(at_s, probabilities.index(max(probabilities)), step)
            self._last_s = at_s
            oldest_s = at_s - self._window_s
            while len(self._votes) > 1 and (
                self._votes[0][0] <= oldest_s + 1e-9 or len(self._votes) > VOTE_LIMIT
            ):
                _, label, weight = self._votes.popleft()
                self._sums[label] -= weight
                self._total -= weight
        return [value / self._total for value in self._sums], smoothed

    def reset(self) -> None:
        self._last_s = None
        self._confidence.reset()

    def export(self) -> JsonObject:
        return {
            "last_s": self._last_s,
            "votes": [list(vote) for vote in self._votes],
            "labels": len(self._sums),
            "confidence": self._confidence.export(),
        }

    def restore(self, state: JsonObject, offset_s: float) -> None:
        last_s = state["last_s"]
        self._last_s = None if last_s is None else float(last_s) + offset_s
        self._votes.clear()
        self._sums = [0] * int(state["labels"])
        self._total = 0
        for at_s, label, weight in state["votes"]:
            self._count(float(at_s) + offset_s, int(label), int(weight))
        self._confidence.restore(state["confidence"], offset_s)

    def _count(self, at_s: float, label: int, weight: int) -> None:
        self._votes.append((at_s, label, weight))
        self._sums[label] += weight
        self._total += weight


def smoother_for(method: str, window_s: float) -> Smoother:
    """The smoother named `method` (`exponential`, `vote`, `none`)."""
    if method == "vote" and window_s > 0.0:
        return VoteSmoother(window_s)
    if method in ("exponential", "vote", "none"):
        return ExponentialSmoother(0.0 if method == "none" else window_s)
    raise ValueError(f"no smoothing method {method!r}")
