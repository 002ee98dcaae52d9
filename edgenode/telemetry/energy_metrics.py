"""Joules by consumer, and what the governor does."""

from __future__ import annotations

from prometheus_client import Counter
from prometheus_client.registry import CollectorRegistry

from edgenode.telemetry.children import Children, LateGauge


class EnergyMetrics:
    """Called by the node's supervising thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        joules = Counter(
            "edgenode_inference_joules",
            "Energy attributed to a model's inference; absent where no meter is readable.",
            ["model"],
            registry=registry,
        )
        stages = Counter(
            "edgenode_stage_joules",
            "Energy attributed to the threads of a stage: capture, inference, decision, delivery, other; absent where "
            "no meter is readable.",
            ["stage"],
            registry=registry,
        )
        self._joules = Children[str, Counter](joules.labels)
        self._stage_joules = Children[str, Counter](stages.labels)
        self._share = LateGauge(
            registry,
            "edgenode_governor_share",
            "Share of its frame rate that the governor leaves a camera; absent without a limit.",
            ("camera",),
        )
        self._pressure = LateGauge(
            registry,
            "edgenode_governor_pressure",
            "What is measured over its limit (watts, temperature, p95); above 1 frame rates fall.",
            ("limit",),
        )

    def inference_joules(self, model: str, joules: float) -> None:
        self._joules[model].inc(max(0.0, joules))

    def stage_joules(self, stage: str, joules: float) -> None:
        self._stage_joules[stage].inc(max(0.0, joules))

    def governor_share(self, camera: str, share: float) -> None:
        self._share.set(share, camera)

    def governor_pressure(self, limit: str, pressure: float) -> None:
        self._pressure.set(pressure, limit)

    def forget_governor(self) -> None:
        """A reload took cameras or limits away; what still holds is set again within seconds."""
        self._share.drop()
        self._pressure.drop()
