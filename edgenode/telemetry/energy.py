"""Energy since the start and power now, from the meters that can be read; absent where there are none."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgenode.clock import Clock, SystemClock
from edgenode.telemetry.cpu_power import MODEL, CpuPower
from edgenode.telemetry.energy_sources import (
    BATTERY,
    HWMON,
    RAPL,
    EnergyCounter,
    PowerSensor,
    batteries,
    hwmon_meters,
    rapl_counters,
)

Meter = EnergyCounter | PowerSensor | CpuPower

MAX_GAP_S = 5.0
"""Power read further apart than this is not added up: what happened in between would be a guess."""
MIN_STEP_S = 0.2
"""Readings closer together than this add noise and no knowledge; RAPL itself updates every millisecond."""
_WIDEST = (HWMON, BATTERY, MODEL, RAPL)


@dataclass(slots=True)
class _Account:
    """What one meter has measured since the first reading."""

    joules: float | None = None
    watts: float | None = None
    last_uj: int | None = None
    last_s: float = 0.0


class EnergyMeter(Collector):
    """`edgenode_energy_joules_total{domain,source}` and `edgenode_power_watts{source}`.

    The node calls `sample` once a second; every scrape does too. Counters that wrap are followed through one
    wrap between two readings (at 200 W a package's counter takes about 20 minutes for a turn). Any thread may
    call.
    """

    def __init__(self, meters: Sequence[Meter], clock: Clock | None = None) -> None:
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._accounts = [(meter, _Account()) for meter in meters]
        self._lock = threading.Lock()
        self._sampled_s: float | None = None

    @classmethod
    def of_this_machine(cls, modelled: CpuPower | None = None) -> EnergyMeter:
        """With every meter this process may read, often none, and what is worked out from CPU time."""
        meters: list[Meter] = [*rapl_counters(), *hwmon_meters(), *batteries()]
        return cls(meters if modelled is None else [*meters, modelled])

    @property
    def sources(self) -> tuple[str, ...]:
        """The kinds of meter there are: `rapl`, `hwmon`, `battery`."""
        return tuple(sorted({meter.source for meter, _ in self._accounts}))

    @property
    def totals(self) -> frozenset[str]:
        """The sources that measure a whole, not only parts of one."""
        return frozenset(meter.source for meter, _ in self._accounts if meter.is_total)

    def on_battery(self) -> bool:
        """Whether a battery feeds the machine now."""
        return any(
            isinstance(meter, PowerSensor) and meter.source == BATTERY and meter.read_w() is not None
            for meter, _ in self._accounts
        )

    def watts(self) -> float | None:
        """What the machine draws now, from the source that covers the most of it; None where none is known.

        The board's own sensor, the battery, the calibrated model, and last the processor's counters, which leave the
        board out.
        """
        self.sample()
        with self._lock:
            by_source = self._watts()
        return next((value for source in _WIDEST if (value := by_source.get(source)) is not None), None)

    def sample(self) -> None:
        """Read every meter now; a call too soon after the last does nothing."""
        if not self._accounts:
            return
        with self._lock:
            now_s = self._clock.monotonic()
            if self._sampled_s is not None and now_s - self._sampled_s < MIN_STEP_S:
                return
            self._sampled_s = now_s
            for meter, account in self._accounts:
                if isinstance(meter, PowerSensor):
                    _integrate(meter, account, now_s)
                else:
                    _count(meter, account, now_s)

    def joules(self, source: str) -> float | None:
        """Energy of the source's totals since the first reading; None where nothing was measured."""
        with self._lock:
            values = [
                account.joules
                for meter, account in self._accounts
                if meter.source == source and meter.is_total and account.joules is not None
            ]
        return sum(values) if values else None

    def collect(self) -> Iterable[Metric]:
        self.sample()
        energy, power = self.describe()
        with self._lock:
            for meter, account in self._accounts:
                if account.joules is not None:
                    energy.add_metric([meter.domain, meter.source], account.joules)
            watts = self._watts()
        for source, value in sorted(watts.items()):
            if value is not None:
                power.add_metric([source], value)
        return [family for family in (energy, power) if family.samples]

    def _watts(self) -> dict[str, float | None]:
        """Source to the sum of its totals. One unreadable part makes the sum unknown, not smaller."""
        watts: dict[str, float | None] = {}
        for meter, account in self._accounts:
            if meter.is_total:
                so_far = watts.get(meter.source, 0.0)
                known = so_far is not None and account.watts is not None
                watts[meter.source] = so_far + account.watts if known else None  # type: ignore[operator]
        return watts

    def describe(self) -> tuple[CounterMetricFamily, GaugeMetricFamily]:
        return (
            CounterMetricFamily(
                "edgenode_energy_joules",
                "Energy a meter of this machine counted since the start.",
                labels=["domain", "source"],
            ),
            GaugeMetricFamily(
                "edgenode_power_watts", "Power now, of what the source's meters cover.", labels=["source"]
            ),
        )


def _count(meter: EnergyCounter | CpuPower, account: _Account, now_s: float) -> None:
    value_uj = meter.read_uj()
    last_uj, last_s = account.last_uj, account.last_s
    account.last_uj, account.last_s, account.watts = value_uj, now_s, None
    if value_uj is None:
        return
    if account.joules is None:
        account.joules = 0.0
    if last_uj is None:
        return
    gained_uj = value_uj - last_uj
    if gained_uj < 0:
        if meter.range_uj is None:
            # Reset or wrapped at a place nobody knows: this interval is lost, not guessed.
            return
        gained_uj += meter.range_uj
    account.joules += gained_uj * 1e-6
    if now_s > last_s:
        account.watts = gained_uj * 1e-6 / (now_s - last_s)


def _integrate(sensor: PowerSensor, account: _Account, now_s: float) -> None:
    """Trapezoids between neighbouring readings."""
    watts = sensor.read_w()
    last_w, gap_s = account.watts, now_s - account.last_s
    account.watts, account.last_s = watts, now_s
    if watts is None:
        return
    if account.joules is None:
        account.joules = 0.0
    if last_w is not None and gap_s <= MAX_GAP_S:
        account.joules += (watts + last_w) / 2.0 * gap_s
