"""Reads what the governor must know, lets it decide, and passes its paces on to cameras, metrics and the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from edgenode.node.governor import Governor, Limits, Measures, Paces
from edgenode.settings import Settings
from edgenode.telemetry.energy import EnergyMeter
from edgenode.telemetry.metrics import Metrics
from edgenode.telemetry.temperature import hottest

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""A decision; a meter's reading and a histogram's growth over less time are noise."""
_MIN_SAMPLES = 20
"""A 95th percentile of fewer says nothing."""


class PaceKeeper:
    """Ticked by the node's supervising thread; `set_pace` takes (camera, share of its frame rate)."""

    def __init__(
        self,
        settings: Settings,
        meter: EnergyMeter,
        metrics: Metrics,
        set_pace: Callable[[str, float], None],
        temperature: Callable[[], float | None] = hottest,
    ) -> None:
        self._limits = limits_of(settings)
        self._governor = Governor(self._limits, {c.name: c.priority for c in settings.cameras})
        self._meter = meter
        self._metrics = metrics
        self._set_pace = set_pace
        self._temperature = temperature
        self._waits = _Percentile(lambda: metrics.stage_buckets("queue"))
        self._runs = _Percentile(lambda: metrics.stage_buckets("infer"))
        self._slowed = False

    def tick(self) -> None:
        """One decision; does nothing where the configuration sets no limit."""
        if not self._limits.any:
            return
        paces = self._governor.decide(self._measures())
        for camera, share in paces.shares.items():
            self._set_pace(camera, share)
            self._metrics.governor_share(camera, share)
        for limit, value in paces.pressure.items():
            self._metrics.governor_pressure(limit, value)
        self._tell(paces)

    def _measures(self) -> Measures:
        waits, runs = self._waits.of(0.95), self._runs.of(0.95)
        return Measures(
            watts=self._meter.watts() if self._limits.watts is not None else None,
            celsius=self._temperature() if self._limits.celsius is not None else None,
            p95_s=waits + runs if waits is not None and runs is not None else None,
            on_battery=self._meter.on_battery(),
        )

    def _tell(self, paces: Paces) -> None:
        slowed = min(paces.shares.values(), default=1.0) < 1.0
        if slowed is self._slowed:
            return
        self._slowed = slowed
        if slowed:
            exceeded = ", ".join(
                f"{name} at {value:.0%} of its limit" for name, value in paces.pressure.items() if value > 1.0
            )
            log.warning("frame rates are lowered: %s", exceeded or "running on battery")
        else:
            log.info("frame rates are back where the configuration wants them")


def limits_of(settings: Settings) -> Limits:
    energy = settings.energy
    return Limits(
        watts=energy.budget_watts,
        celsius=energy.max_temperature,
        p95_s=energy.target_p95,
        battery_share=energy.on_battery,
        slowest=energy.slowest,
    )


class _Percentile:
    """A percentile of what a cumulative histogram has gained since the last question."""

    def __init__(self, buckets: Callable[[], Mapping[float, float]]) -> None:
        self._buckets = buckets
        self._last: Mapping[float, float] = {}

    def of(self, fraction: float) -> float | None:
        """In seconds, by a straight line within the bucket that holds it; None of too few samples.

        Above the last finite edge that edge is the answer.
        """
        now, last = self._buckets(), self._last
        self._last = now
        gained = {edge: count - last.get(edge, 0.0) for edge, count in now.items()}
        total = max(gained.values(), default=0.0)
        if total < _MIN_SAMPLES:
            return None
        low_s, below = 0.0, 0.0
        for edge_s in sorted(edge for edge in gained if edge != float("inf")):
            if gained[edge_s] >= fraction * total:
                return low_s + (edge_s - low_s) * (fraction * total - below) / (gained[edge_s] - below)
            low_s, below = edge_s, gained[edge_s]
        return low_s
