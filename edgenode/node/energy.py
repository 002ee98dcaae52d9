"""Everything of one node that has to do with energy: the meter, who used it, and the governor's paces."""

from __future__ import annotations

from collections.abc import Callable

from edgenode.node.pacekeeper import EVERY_S, PaceKeeper
from edgenode.settings import Settings
from edgenode.telemetry.cpu_power import CpuPower
from edgenode.telemetry.energy import EnergyMeter
from edgenode.telemetry.energy_shares import Consumers, EnergyShares
from edgenode.telemetry.metrics import Metrics


class NodeEnergy:
    """Used by the node's supervising thread. `set_pace` takes (camera, share of its frame rate)."""

    def __init__(self, settings: Settings, metrics: Metrics, set_pace: Callable[[str, float], None]) -> None:
        self._metrics = metrics
        self._set_pace = set_pace
        self._modelled = _modelled(settings)
        self._meter = EnergyMeter.of_this_machine(self._modelled)
        self._paced_s = 0.0
        metrics.register(self._meter)
        self._build(settings)

    def misfit(self, settings: Settings) -> str | None:
        """Why only a restart can take on `settings`; None where `apply` can: counters must not jump."""
        if _modelled(settings) == self._modelled:
            return None
        return "energy: idle_watts or core_watts changed, which needs a restart of the node"

    def apply(self, settings: Settings) -> None:
        """Other limits, other cameras. All begin at their full rate."""
        self._metrics.forget_governor()
        for camera in settings.cameras:
            self._set_pace(camera.name, 1.0)
        self._build(settings)

    def tick(self, now_s: float) -> None:
        """Called once a second."""
        self._shares.tick()
        if now_s - self._paced_s >= EVERY_S:
            self._paced_s = now_s
            self._pace.tick()

    def _build(self, settings: Settings) -> None:
        consumers = Consumers(
            run_seconds=self._metrics.run_seconds,
            thread_seconds=self._metrics.threads.seconds,
            add_model=self._metrics.inference_joules,
            add_stage=self._metrics.stage_joules,
        )
        self._shares = EnergyShares(self._meter, consumers, settings.inference.threads)
        self._pace = PaceKeeper(settings, self._meter, self._metrics, self._set_pace)


def _modelled(settings: Settings) -> CpuPower | None:
    """The meter made of CPU time, where somebody has calibrated it."""
    energy = settings.energy
    if energy.idle_watts is None or energy.core_watts is None:
        return None
    return CpuPower(energy.idle_watts, energy.core_watts)
