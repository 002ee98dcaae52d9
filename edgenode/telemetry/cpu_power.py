"""Energy worked out from CPU time, for machines without a meter that somebody has calibrated with one.

joules = idle power × time + power of one busy core × busy core seconds. A line through two measured points: it
knows nothing of clock rates, memory or what hangs on the board's other ports. Its source is called `model`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgenode.telemetry.processor_time import STAT, busy_seconds

MODEL = "model"


@dataclass(frozen=True, slots=True)
class CpuPower:
    """A meter in the shape of `EnergyCounter`: counts µJ since an arbitrary start, never wraps."""

    idle_watts: float
    core_watts: float
    stat: Path = STAT
    monotonic: Callable[[], float] = time.monotonic
    source: str = field(default=MODEL, init=False)
    domain: str = field(default="machine", init=False)
    range_uj: int | None = field(default=None, init=False)
    is_total: bool = field(default=True, init=False)

    def read_uj(self) -> int | None:
        busy_s = busy_seconds(self.stat)
        if busy_s is None:
            return None
        return round((self.idle_watts * self.monotonic() + self.core_watts * busy_s) * 1e6)


@dataclass(frozen=True, slots=True)
class Point:
    """What a meter outside the machine showed while so many cores were busy, on average."""

    watts: float
    busy_cores: float


def calibrated(idle: Point, busy: Point) -> tuple[float, float]:
    """(idle_watts, core_watts): the line through both points.

    Raises ValueError where they cannot be told apart or the line has no meaning.
    """
    if busy.busy_cores - idle.busy_cores < 0.5:
        raise ValueError(
            f"{idle.busy_cores:.2f} and {busy.busy_cores:.2f} busy cores are too close together to tell what a core "
            "draws; stop what else runs on this machine and try again"
        )
    core_watts = (busy.watts - idle.watts) / (busy.busy_cores - idle.busy_cores)
    idle_watts = idle.watts - core_watts * idle.busy_cores
    if core_watts <= 0.0 or idle_watts <= 0.0:
        raise ValueError(
            f"{busy.watts:g} W busy against {idle.watts:g} W idle makes no sense for this machine; read the meter again"
        )
    return idle_watts, core_watts
