"""Joules of each model and each stage: their shares of what the machine's meter counted.

In each interval: joules × (CPU seconds of the model's runs, or of the stage's threads / CPU seconds the machine was
busy), the way Kepler shares energy among processes. Idle power is spread over whatever ran. The meter is the
processor's (RAPL) where it is readable, else the board's, else the calibrated model; without any, nothing is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgenode.telemetry.cpu_power import MODEL
from edgenode.telemetry.energy import EnergyMeter
from edgenode.telemetry.energy_sources import HWMON, RAPL
from edgenode.telemetry.processor_time import STAT, busy_seconds

_SOURCES = (RAPL, HWMON, MODEL)
"""Nearest to the processor first."""
_STAGES = {
    "camera": "capture",
    "infer": "inference",
    "decide": "decision",
    "publisher": "delivery",
    "mqtt": "delivery",
}


@dataclass(frozen=True, slots=True)
class Consumers:
    """What used CPU time so far, and where its joules are added."""

    run_seconds: Callable[[], Mapping[str, float]]
    """Model to the seconds its runs took."""
    thread_seconds: Callable[[], Mapping[str, float]]
    """Thread's name to its CPU seconds."""
    add_model: Callable[[str, float], None]
    add_stage: Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class _Reading:
    joules: float
    busy_s: float
    models: dict[str, float]
    stages: dict[str, float]


class EnergyShares:
    """The node's supervisor calls `tick` once a second, on one thread; it reads the meter too.

    `threads` is how many threads one run keeps busy.
    """

    def __init__(self, meter: EnergyMeter, consumers: Consumers, threads: int = 1, stat: Path = STAT) -> None:
        self._meter = meter
        self._consumers = consumers
        self._threads = threads
        self._stat = stat
        self._source = next((source for source in _SOURCES if source in meter.totals), None)
        self._last: _Reading | None = None

    def tick(self) -> None:
        self._meter.sample()
        reading = self._read()
        if reading is None:
            self._last = None
            return
        last, self._last = self._last, reading
        if last is None:
            return
        gained, busy = reading.joules - last.joules, reading.busy_s - last.busy_s
        if gained <= 0.0 or busy <= 0.0:
            # The tick came between two updates of a counter: wait for more rather than divide by nothing.
            self._last = last
            return
        _share(gained, busy, _gains(last.models, reading.models, self._threads), self._consumers.add_model)
        _share(gained, busy, _gains(last.stages, reading.stages), self._consumers.add_stage)

    def _read(self) -> _Reading | None:
        joules = self._meter.joules(self._source) if self._source is not None else None
        busy_s = busy_seconds(self._stat)
        if joules is None or busy_s is None:
            return None
        stages: dict[str, float] = {}
        for thread, seconds in self._consumers.thread_seconds().items():
            stage = _STAGES.get(thread.partition("-")[0], "other")
            stages[stage] = stages.get(stage, 0.0) + seconds
        return _Reading(joules, busy_s, dict(self._consumers.run_seconds()), stages)


def _gains(last: Mapping[str, float], now: Mapping[str, float], factor: int = 1) -> dict[str, float]:
    return {name: max(0.0, seconds - last.get(name, 0.0)) * factor for name, seconds in now.items()}


def _share(
    joules: float, busy_s: float, used_s: Mapping[str, float], add: Callable[[str, float], None]
) -> None:
    # /proc/stat counts in ticks of 10 ms: together the shares must not exceed the whole.
    whole = max(busy_s, sum(used_s.values()))
    for name, seconds in used_s.items():
        if seconds > 0.0:
            add(name, joules * seconds / whole)
