"""Control charts over shares of defective parts: is the line still the line it was?

Shares come from subgroups of n parts. With p₀ the baseline, σ = √(p₀(1−p₀)/n).

- p-chart: z = (p − p₀)/σ, judged by the zone rules of the Western Electric *Statistical Quality Control
  Handbook* (1956), as in D. C. Montgomery, *Introduction to Statistical Quality Control*, sections 5.3.5 and
  7.2: 1: one point beyond 3σ; 2: two of three successive points beyond 2σ on one side; 3: four of five beyond
  1σ on one side; 4: eight successive points on one side of the centre line. The newest point must be one of
  those.
- EWMA chart (Montgomery, section 9.2): z_i = λ·p_i + (1−λ)·z_{i−1}, z_0 = p₀, limits
  p₀ ± L·σ·√(λ/(2−λ)·(1 − (1−λ)^{2i})). It finds small lasting shifts earlier than rule 1 of the p-chart.

Without a baseline, it is the mean of the first `learn` subgroups (Montgomery advises 20 to 25), and the chart
is silent until then. A mean of 0 would make any single defect an alarm: the baseline is then half a defect
among all parts learned from. The normal approximation is coarse below n·p₀ ≈ 5: choose n accordingly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt
from typing import Protocol

from edgenode.records import JsonObject

SIDES = ("above", "below", "both")
ZONE_RULES: dict[int, tuple[int, int, float]] = {
    1: (1, 1, 3.0),
    2: (2, 3, 2.0),
    3: (4, 5, 1.0),
    4: (8, 8, 0.0),
}
"""number → (points needed, of so many successive ones, beyond so many σ)"""


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """`parts`: n, the size of a subgroup. `side`: where a signal is sought. `baseline` None: learned."""

    parts: int
    baseline: float | None = None
    learn: int = 20
    side: str = "above"


class Chart(Protocol):
    """A control chart that is given one share after another."""

    signals: bool
    """Whether the newest point is out of control."""
    value: float
    """What the chart plots: the newest share, or its moving average."""

    def add(self, share: float) -> None: ...

    def export(self) -> JsonObject: ...

    def restore(self, state: JsonObject) -> None: ...


def violated(points: Sequence[float], rules: Sequence[int], side: str = "above") -> list[int]:
    """Which zone rules the newest of `points` (in σ from the centre line, oldest first) completes."""
    signs = {"above": (1.0,), "below": (-1.0,), "both": (1.0, -1.0)}[side]
    found = []
    for rule in rules:
        needed, among, zone = ZONE_RULES[rule]
        recent = points[-among:]
        for sign in signs:
            beyond = [sign * point > zone for point in recent]
            if beyond and beyond[-1] and sum(beyond) >= needed:
                found.append(rule)
                break
    return found


class Baseline:
    """The centre line: given, or the mean of the first `learn` shares."""

    def __init__(self, spec: ChartSpec) -> None:
        self._spec = spec
        self._sum = 0.0
        self._seen = 0
        self.share = spec.baseline

    def learn(self, share: float) -> bool:
        """Whether `share` was used up for learning."""
        if self.share is not None:
            return False
        self._sum += share
        self._seen += 1
        if self._seen == self._spec.learn:
            half = 0.5 / (self._spec.learn * self._spec.parts)
            self.share = min(max(self._sum / self._seen, half), 1.0 - half)
        return True

    def sigma(self) -> float:
        share = self.share if self.share is not None else nan
        return sqrt(share * (1.0 - share) / self._spec.parts)

    def export(self) -> JsonObject:
        return {"share": self.share, "sum": self._sum, "seen": self._seen}

    def restore(self, state: JsonObject) -> None:
        if self._spec.baseline is None:
            self.share, self._sum, self._seen = state["share"], state["sum"], state["seen"]


class PChart:
    """p-chart judged by zone rules."""

    def __init__(self, spec: ChartSpec, rules: Sequence[int]) -> None:
        self._side = spec.side
        self._rules = tuple(rules)
        self._baseline = Baseline(spec)
        self._points: deque[float] = deque(maxlen=8)
        self.signals = False
        self.value = nan
        self.violated: list[int] = []

    def add(self, share: float) -> None:
        self.value = share
        if self._baseline.learn(share):
            return
        assert self._baseline.share is not None
        self._points.append((share - self._baseline.share) / self._baseline.sigma())
        self.violated = violated(list(self._points), self._rules, self._side)
        self.signals = bool(self.violated)

    def export(self) -> JsonObject:
        return {
            "baseline": self._baseline.export(),
            "points": list(self._points),
            "value": None if self.value != self.value else self.value,
        }

    def restore(self, state: JsonObject) -> None:
        self._baseline.restore(state["baseline"])
        self._points = deque(state["points"], maxlen=8)
        self.value = nan if state["value"] is None else state["value"]
        self.violated = violated(list(self._points), self._rules, self._side)
        self.signals = bool(self.violated)


class EwmaChart:
    """Exponentially weighted moving average chart; `weight` is λ, `width` is L."""

    def __init__(self, spec: ChartSpec, weight: float = 0.2, width: float = 2.7) -> None:
        self._side = spec.side
        self._weight = weight
        self._width = width
        self._baseline = Baseline(spec)
        self._index = 0
        self.signals = False
        self.value = nan

    def limit(self) -> float:
        """Half the width between the limits at the newest point."""
        shrink = 1.0 - (1.0 - self._weight) ** (2 * self._index)
        return self._width * self._baseline.sigma() * sqrt(self._weight / (2.0 - self._weight) * shrink)

    def add(self, share: float) -> None:
        if self._baseline.learn(share):
            return
        centre = self._baseline.share
        assert centre is not None
        before = centre if self._index == 0 else self.value
        self._index += 1
        self.value = self._weight * share + (1.0 - self._weight) * before
        self.signals = self._out(centre)

    def _out(self, centre: float) -> bool:
        distance, limit = self.value - centre, self.limit()
        return (self._side != "below" and distance > limit) or (self._side != "above" and -distance > limit)

    def export(self) -> JsonObject:
        return {
            "baseline": self._baseline.export(),
            "index": self._index,
            "value": None if self.value != self.value else self.value,
        }

    def restore(self, state: JsonObject) -> None:
        self._baseline.restore(state["baseline"])
        self._index = int(state["index"])
        self.value = nan if state["value"] is None else state["value"]
        centre = self._baseline.share
        self.signals = self._index > 0 and centre is not None and self._out(centre)
