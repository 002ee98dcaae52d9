"""What a stretch of work drew: this process's share, by CPU time, of what the machine's meter counted.

The way the node itself attributes energy (`telemetry/energy_shares.py`): joules × (own CPU seconds / CPU seconds the
machine was busy), idle power spread over whatever ran. Without a meter nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgenode.telemetry.cpu_power import MODEL, CpuPower
from edgenode.telemetry.energy import EnergyMeter
from edgenode.telemetry.energy_sources import HWMON, RAPL
from edgenode.telemetry.processor_time import busy_seconds

_SOURCES = (RAPL, HWMON, MODEL)
"""Nearest to the processor first."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """`source` says how it is known: `rapl`, `hwmon`, or `model`, worked out from CPU time by a calibration."""

    joules: float
    source: str


class Joules:
    """From its making to `drawn`. `watts`: idle power and power of one busy core, as `edgenode energy calibrate` finds
    them, for a machine without a meter."""

    def __init__(self, watts: tuple[float, float] | None) -> None:
        self._meter = EnergyMeter.of_this_machine(CpuPower(*watts) if watts is not None else None)
        self._source = next((source for source in _SOURCES if source in self._meter.totals), None)
        self._before = self._read()

    def drawn(self, cpu_s: float) -> Drawn | None:
        """The share of `cpu_s` seconds of CPU; None without a meter, or where it did not move."""
        before, after = self._before, self._read()
        if before is None or after is None or self._source is None:
            return None
        joules, busy_s = after[0] - before[0], after[1] - before[1]
        if joules <= 0.0 or busy_s <= 0.0:
            return None
        # /proc/stat counts in ticks of 10 ms: a share must not exceed the whole
        return Drawn(joules * cpu_s / max(busy_s, cpu_s), self._source)

    def _read(self) -> tuple[float, float] | None:
        if self._source is None:
            return None
        self._meter.sample()
        joules, busy_s = self._meter.joules(self._source), busy_seconds()
        return (joules, busy_s) if joules is not None and busy_s is not None else None
