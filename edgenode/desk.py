"""The decision desk: predictions in, decided states and events out.

Called with a batch's predictions by the threads that follow the models, on camera threads with reports, and by the
supervisor's tick; one lock keeps the order. Nothing here waits for a disk, a network or a JPEG.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from edgenode.decision.decider import UnknownRegionError
from edgenode.evidence_lane import EvidenceLane, Picture
from edgenode.records import (
    CameraReport,
    Decision,
    Event,
    EventType,
    JsonObject,
    ModelIdentity,
    Prediction,
)
from edgenode.telemetry.drift import DriftReading, ModelDrift

if TYPE_CHECKING:
    from edgenode.decision.decider import Decider
    from edgenode.decision.rules import RuleSet
    from edgenode.decision.trace import Explanation

log = logging.getLogger(__name__)

FRAMES_REMEMBERED = 16
"""Numbers of the newest frames of a camera, by time: to find the picture an event was decided on."""


class Outlet(Protocol):
    """Where decided things go; the publisher in the daemon, a file in a replay. Must not block or raise."""

    def publish_event(self, event: Event, jpeg: bytes | None) -> None: ...
    def publish_region_state(self, decision: Decision, event_id: str | None) -> None: ...
    def publish_classification(self, prediction: Prediction) -> None: ...
    def publish_camera(self, report: CameraReport) -> None: ...


class DeskObserver(Protocol):
    def stage_seconds(self, stage: str, seconds: float) -> None: ...
    def prediction(self, model: str, probability: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """Listeners inside the process (the demo's table). Called under the desk's lock: be quick."""

    on_prediction: Callable[[Prediction], None] | None = None
    on_decision: Callable[[Decision], None] | None = None
    on_event: Callable[[Event], None] | None = None


Evidence = Callable[[Event, int], Picture | None]
"""(event, frame index of its camera) to what makes the JPEG of that frame, or None where it is gone."""
FLUSH_S = 0.5
"""How long an export waits for pictures: states must not say of an event what nobody has been told."""


class DecisionDesk:
    def __init__(
        self,
        decider: Decider,
        rules: RuleSet,
        outlet: Outlet,
        observer: DeskObserver,
        evidence: Evidence,
        hooks: Hooks = Hooks(),
    ) -> None:
        self._decider = decider
        self._rules = rules
        self._outlet = outlet
        self._observer = observer
        self._evidence = evidence
        self._lane = EvidenceLane(outlet.publish_event)
        self._hooks = hooks
        self._lock = threading.Lock()
        self._frames: dict[str, deque[tuple[datetime, int]]] = {}
        self._stale: dict[tuple[str, str], None] = {}
        """Regions whose published state is no longer theirs: another label, or another open event."""
        self._drift: dict[str, ModelDrift] = {}
        self._told: dict[str, str] = {}
        """What each camera was said to be last, in the trace."""
        self._dirty = False

    @property
    def evidence_heartbeat_s(self) -> float:
        """Of the thread that makes evidence pictures: events wait behind one that is never done."""
        return self._lane.heartbeat_s

    def watch_drift(self, models: Mapping[str, ModelDrift]) -> None:
        """Compare what these models answer with their cards' references, from now on; a model that is watched
        already goes on with what it has seen."""
        with self._lock:
            known = self._drift
            self._drift = {
                name: known[name] if name in known and known[name].sha256 == model.sha256 else model
                for name, model in models.items()
            }

    def drift(self) -> dict[str, DriftReading]:
        """Each watched model's population stability indices."""
        with self._lock:
            return {model: monitor.reading() for model, monitor in self._drift.items()}

    def drift_of(self, model: ModelIdentity) -> float | None:
        """The larger index of the model that serves, where something can be said."""
        with self._lock:
            monitor = self._drift.get(model.name)
            return monitor.reading().worst if monitor is not None and monitor.sha256 == model.sha256 else None

    def take(self, predictions: Sequence[Prediction]) -> None:
        """Decide on one batch's predictions (not empty), in their order. Called on engine threads."""
        begun = time.perf_counter()
        with self._lock:
            for prediction in predictions:
                self._observer.prediction(prediction.model.name, prediction.probability)
                monitor = self._drift.get(prediction.model.name)
                if monitor is not None and monitor.sha256 == prediction.model.sha256:
                    monitor.add(prediction.probability, prediction.embedding)
                if self._hooks.on_prediction is not None:
                    self._hooks.on_prediction(prediction)
                self._outlet.publish_classification(prediction)
                recent = self._frames.setdefault(prediction.camera, deque(maxlen=FRAMES_REMEMBERED))
                recent.append((prediction.captured_at, prediction.frame_index))
                try:
                    decision = self._decider.observe(prediction)
                except UnknownRegionError:
                    continue  # a reload took the region away; the others of the batch must not go with it
                self._follow(decision)
            newest = max(predictions, key=lambda prediction: prediction.captured_s)
            self._emit(self._rules.tick(newest.captured_s, newest.captured_at))
            self._publish_states()
        self._observer.stage_seconds("decide", time.perf_counter() - begun)

    def report(self, report: CameraReport, now_s: float, now_at: datetime) -> None:
        """Pass on what a camera says of itself; where its picture can't be trusted its states become invalid."""
        self._outlet.publish_camera(report)
        with self._lock:
            told = f"{report.status}: {report.reason}" if report.reason else str(report.status)
            if self._told.get(report.camera) != told:
                self._told[report.camera] = told
                self._rules.trace.note(report.camera, now_at, f"the camera is {told}")
            for decision in self._decider.observe_camera(report, now_s, now_at):
                self._follow(decision)
            self._publish_states()

    def tick(self, now_s: float, now_at: datetime) -> None:
        """Let time pass for the rules: dwell and cooldown end without a new sample. Called by the supervisor,
        with a time a little in the past: samples that are still on their way were captured before it.
        """
        with self._lock:
            self._emit(self._rules.tick(now_s, now_at))
            self._publish_states()

    def set_rule_enabled(self, rule: str, enabled: bool, now_s: float, now_at: datetime) -> None:
        with self._lock:
            self._emit(self._rules.set_enabled(rule, enabled, now_s, now_at))
            self._publish_states()

    def swap(self, decider: Decider, rules: RuleSet, now_s: float, now_at: datetime) -> None:
        """Continue with other rules; the states and open events that both know are carried over."""
        with self._lock:
            content = self._export()
            self._decider = decider
            self._rules = rules
            self._restore(content, now_s, now_at)

    def restore(self, content: JsonObject, now_s: float, now_at: datetime) -> None:
        """Go on from what a former process exported; events it left open go on, or end with a reason."""
        with self._lock:
            self._restore(content, now_s, now_at)

    def current(self) -> list[Decision]:
        """The latest decision of every region that has one."""
        with self._lock:
            return self._decider.current()

    def end_all(self, reason: str, now_s: float, now_at: datetime) -> None:
        """End every open event: the recordings are over."""
        with self._lock:
            self._emit(self._rules.end_all(reason, now_s, now_at))

    def explain(self, camera: str | None, rule: str, at: datetime) -> Explanation:
        """Why there was or wasn't an event of `rule` at `at`. Raises KeyError for an unknown rule."""
        with self._lock:
            return self._rules.explain(camera, rule, at)

    def note(self, camera: str, at: datetime, text: str) -> None:
        """A fact about a camera that `explain` should know of: a gate that closed, samples that were dropped."""
        with self._lock:
            self._rules.trace.note(camera, at, text)

    def export(self) -> JsonObject:
        """What must survive a restart: states and open events, JSON-able."""
        with self._lock:
            # What is remembered as told must be in the outbox: no event comes in between.
            self._lane.flush(FLUSH_S)
            self._dirty = False
            return self._export()

    def close(self, timeout_s: float) -> None:
        """Hand over the events whose pictures are still being made, as far as that can be done in time."""
        if not self._lane.close(timeout_s):
            log.error("the thread that makes pictures of events did not end in time and is left behind")

    @property
    def dirty(self) -> bool:
        """Whether a state or an event changed since the last export."""
        return self._dirty

    def _export(self) -> JsonObject:
        return {"decider": self._decider.export(), "rules": self._rules.export()}

    def _restore(self, content: JsonObject, now_s: float, now_at: datetime) -> None:
        self._dirty = True
        try:
            self._decider.restore(content["decider"], now_s, now_at)
            events = self._rules.restore(content["rules"], now_s, now_at)
        except (KeyError, TypeError, ValueError):
            log.exception("the remembered states do not fit and are left aside")
            return
        self._emit(events)
        self._stale.update(((decision.camera, decision.region), None) for decision in self._decider.current())
        self._publish_states()

    def _picture(self, event: Event) -> Picture | None:
        """The evidence of `event`: the frame it was captured on, or the nearest one still remembered."""
        if event.camera is None or not (recent := self._frames.get(event.camera)):
            return None
        _, index = min(recent, key=lambda entry: abs((entry[0] - event.captured_at).total_seconds()))
        return self._evidence(event, index)

    def _follow(self, decision: Decision) -> None:
        events = self._rules.observe(decision)
        if self._hooks.on_decision is not None:
            self._hooks.on_decision(decision)
        self._emit(events)
        if decision.changed:
            self._dirty = True
            self._stale[decision.camera, decision.region] = None

    def _publish_states(self) -> None:
        """After all that one moment brought: the label and the event about it stand in one message."""
        for camera, region in self._stale:
            decision = self._decider.latest(camera, region)
            if decision is not None:
                self._outlet.publish_region_state(decision, self._rules.event_about(camera, region))
        self._stale.clear()

    def _emit(self, events: Sequence[Event]) -> None:
        for event in events:
            self._dirty = True
            if event.camera is not None and event.region is not None and event.event_type != EventType.UPDATE:
                self._stale[event.camera, event.region] = None
            if self._hooks.on_event is not None:
                self._hooks.on_event(event)
            self._lane.put(event, self._picture(event) if event.snapshot else None)
