"""The governor: lowers and raises the cameras' frame rates to stay inside a budget of power, heat and delay.

Pure: no clock, no sensors, no threads. `PaceKeeper` in `pacekeeper.py` reads the sensors and passes the answer on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RELEASE_AT = 0.9
"""Rates rise again once every measure is under this part of its limit: the gap keeps them from swinging."""
STEP_DOWN, STEP_UP = 0.5, 0.1
"""Of one priority's range, per decision. Down in proportion to the excess, at most this; up slowly."""
EXCESS_FOR_FULL_STEP = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold; None: no such limit."""

    watts: float | None = None
    celsius: float | None = None
    p95_s: float | None = None
    battery_share: float = 1.0
    """Share of the frame rates that is kept while a battery feeds the machine."""
    slowest: float = 0.2
    """No camera is slowed below this share of its frame rate."""

    @property
    def any(self) -> bool:
        return self.battery_share < 1.0 or any(
            limit is not None for limit in (self.watts, self.celsius, self.p95_s)
        )


@dataclass(frozen=True, slots=True)
class Measures:
    """What the sensors say now; None where nothing can be known, which limits nothing."""

    watts: float | None = None
    celsius: float | None = None
    p95_s: float | None = None
    on_battery: bool = False


@dataclass(frozen=True, slots=True)
class Paces:
    """A decision: the share of its frame rate that each camera may take, and why."""

    shares: Mapping[str, float]
    pressure: Mapping[str, float]
    """Limit (`watts`, `temperature`, `p95`) to measure / limit; above 1 it is exceeded."""
    relief: float
    """0: everybody at full rate; each whole number more has brought one more priority to its slowest."""


class Governor:
    """Slows the cameras of the lowest priority first, each down to `slowest`, before it touches the next.

    `decide` is called at a steady interval by one thread. Cameras of one priority share one pace.
    """

    def __init__(self, limits: Limits, priorities: Mapping[str, int]) -> None:
        """`priorities`: camera to 0 (slowed first) … 9 (slowed last)."""
        self._limits = limits
        self._priorities = dict(priorities)
        self._order = sorted(set(priorities.values()))
        self._relief = 0.0

    def decide(self, measures: Measures) -> Paces:
        """The paces until the next decision."""
        pressure = self._pressure(measures)
        worst = max(pressure.values(), default=0.0)
        if worst > 1.0:
            step = STEP_DOWN * min(1.0, (worst - 1.0) / EXCESS_FOR_FULL_STEP)
            self._relief = min(float(len(self._order)), self._relief + max(STEP_UP, step))
        elif worst < RELEASE_AT:
            self._relief = max(0.0, self._relief - STEP_UP)
        ceiling = self._limits.battery_share if measures.on_battery else 1.0
        shares = {
            camera: max(self._limits.slowest, min(ceiling, self._share(priority)))
            for camera, priority in self._priorities.items()
        }
        return Paces(shares, pressure, self._relief)

    def _share(self, priority: int) -> float:
        slowed = min(1.0, max(0.0, self._relief - self._order.index(priority)))
        return 1.0 - slowed * (1.0 - self._limits.slowest)

    def _pressure(self, measures: Measures) -> dict[str, float]:
        pairs = {
            "watts": (measures.watts, self._limits.watts),
            "temperature": (measures.celsius, self._limits.celsius),
            "p95": (measures.p95_s, self._limits.p95_s),
        }
        return {
            name: value / limit
            for name, (value, limit) in pairs.items()
            if value is not None and limit is not None
        }
