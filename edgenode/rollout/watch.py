"""Looks after the models that serve: probation, runs that never end, drift, and what the shadows measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgenode.inference.shadow import Shadow
from edgenode.rollout.judgement import Fault, fault_in_service, fault_on_probation
from edgenode.telemetry.drift import DriftReading

if TYPE_CHECKING:
    from edgenode.node.node import Node

MEASURE_S = 1.0
"""How often drift is worked out."""
TELL_S = 5.0
"""How often what a shadow measured is published, while it changes."""


class RolloutWatch:
    """`look` is called about ten times a second by the supervising thread, and never waits for another one."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._measured_s = 0.0
        self._told_s = 0.0
        self._told: dict[str, tuple[str, int, int]] = {}
        self._given_up: set[str] = set()
        """sha256 of models with a fault and without a version before: told once."""
        self._drift: dict[str, DriftReading] = {}

    def look(self) -> None:
        rollout = self._node.rollout
        if not rollout.lock.acquire(blocking=False):
            return  # something changes right now; the next look is in a tenth of a second
        try:
            self._look()
        finally:
            rollout.lock.release()

    def _look(self) -> None:
        now_s = self._node.clock.monotonic()
        if now_s - self._measured_s >= MEASURE_S:
            self._measured_s = now_s
            self._measure()
        for model in self._node.pipeline.models():
            fault = self._fault(model, now_s)
            if fault is not None:
                self._act(model, fault)
        for model in self._node.rollout.shadows.models():
            shadow = self._node.rollout.shadows.get(model)
            if shadow is not None and shadow.endless:
                self._end_endless(model, shadow)
        if now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            self._tell_shadows()

    def _measure(self) -> None:
        limit = self._node.settings.rollout.max_drift
        self._drift = self._node.desk.drift()
        for model, reading in self._drift.items():
            self._node.metrics.drift(model, reading.confidence, reading.embedding)
            self._node.rollout.teller.drift(model, reading, limit)
        failing = [
            f"model {model} fails: {record.last_error}"
            for model in self._node.pipeline.models()
            if self._node.pipeline.failing(model)
            and (record := self._node.pipeline.record(model)) is not None
        ]
        self._node.health.condition("inference", not failing, "; ".join(failing))

    def _fault(self, model: str, now_s: float) -> Fault | None:
        record = self._node.pipeline.record(model)
        if record is None or record.sha256 in self._given_up:
            return None
        probation = self._node.rollout.probation.get(model)
        limits = self._node.settings.rollout
        if probation is None:
            return fault_in_service(record)
        reading = self._drift.get(model)
        psi = reading.worst if reading is not None and now_s - probation.since_s >= MEASURE_S else None
        fault = fault_on_probation(record, probation.measured, psi, limits)
        if fault is None and now_s - probation.since_s >= limits.probation:
            self._node.rollout.end_probation(model)
        return fault

    def _act(self, model: str, fault: Fault) -> None:
        record = self._node.pipeline.record(model)
        self._node.rollout.go_back(model, fault)
        self._drift.pop(model, None)
        after = self._node.pipeline.record(model)
        if record is not None and after is not None and after.sha256 == record.sha256:
            self._given_up.add(record.sha256)

    def _end_endless(self, model: str, shadow: Shadow) -> None:
        rollout = self._node.rollout
        fault = Fault("timeout", shadow.endless, quarantine=True)
        name, sha256 = shadow.classifier.card.name, shadow.classifier.identity.sha256
        rollout.drop_shadow(model, name, sha256, fault)

    def _tell_shadows(self) -> None:
        for model in self._node.rollout.shadows.models():
            shadow = self._node.rollout.shadows.get(model)
            if shadow is None:
                continue
            counts = shadow.counts()
            told = (shadow.classifier.identity.sha256, counts.samples, counts.agreed)
            if self._told.get(model) != told:
                self._told[model] = told
                self._node.rollout.teller.publish(model)
