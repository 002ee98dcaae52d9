"""Tells what changed about the models: `/models/<model>`, events, metrics, the log."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from edgenode.delivery.identity import Uuid7
from edgenode.delivery.topics import MODELS_RULE
from edgenode.node.status import card_summary, shadow_summary
from edgenode.records import Event, EventType, JsonObject, ModelIdentity, Severity
from edgenode.rollout.judgement import Fault

if TYPE_CHECKING:
    from edgenode.node.node import Node
    from edgenode.telemetry.drift import DriftReading

log = logging.getLogger(__name__)

FILE = "drifting"
"""In the state directory: the open events about drift."""


@dataclass(frozen=True, slots=True)
class Change:
    """The last time another file began to serve."""

    what: Literal["activated", "rolled_back"]
    reason: str
    """Empty where somebody asked for it."""
    before_sha256: str
    by: Literal["command", "configuration", "node"]


class Teller:
    """Called by the command thread and the supervising thread, under the rollout's lock."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._new_id = Uuid7(node.clock)
        self._changes: dict[str, tuple[Change, datetime]] = {}
        self._drifting: dict[str, Event] = {}
        """Also in the state directory: a node that is killed leaves none open for ever."""
        self._left_open = _recalled(node.state_directory.recall(FILE))

    def publish(self, model: str) -> None:
        """The retained topic of `model`: what serves, its shadow, the last change."""
        serving = self._node.pipeline.classifier(model)
        if serving is None:
            return
        self._node.publisher.publish_model(
            model,
            serving.identity,
            card_summary(serving.card),
            shadow_summary(self._node.rollout.shadows.get(model)),
            self._last(model),
        )

    def changed(self, model: str, change: Change) -> None:
        serving = self._node.pipeline.classifier(model)
        now = serving.identity if serving is not None else None
        self._changes[model] = (change, self._node.clock.now())
        log.warning(
            "model %s: %s %s serves now instead of %s (%s, by %s)",
            model,
            now.version if now is not None else "",
            now.sha256 if now is not None else "",
            change.before_sha256,
            f"{change.what}{': ' if change.reason else ''}{change.reason}",
            change.by,
        )
        self.publish(model)

    def fault(self, model: str, fault: Fault, sha256: str, now_serves: ModelIdentity | None) -> None:
        """The node sent a model back, or could not for want of another one."""
        after = (
            f"{now_serves.version} serves" if now_serves is not None else "there is no version to go back to"
        )
        self._node.metrics.model_rolled_back(model, fault.kind)
        event = self._event("rolled_back" if now_serves is not None else "faulty", model)
        reason = f"model {model} {sha256[:12]} {fault.kind}: {fault.reason}; {after}"
        event = replace(event, model=now_serves, reason=reason)
        log.error("%s", event.reason)
        self._node.publisher.publish_event(event, None)
        self._node.publisher.publish_event(_ended(event, event.captured_at, event.reason), None)
        self.publish(model)

    def drift(self, model: str, reading: DriftReading, limit: float) -> None:
        """An event while an index lies above `limit`; it ends when it is under four fifths of that."""
        worst, open_event = reading.worst, self._drifting.get(model)
        if worst is not None and worst > limit and open_event is None:
            serving = self._node.pipeline.classifier(model)
            event = replace(
                self._event("drift", model),
                value=round(worst, 4),
                model=serving.identity if serving is not None else None,
                reason=f"model {model}: what it answers lies {worst:.2f} from its card's reference (limit {limit:g})",
            )
            self._drifting[model] = event
            self._remember()
            log.warning("%s", event.reason)
            self._node.publisher.publish_event(event, None)
        elif open_event is not None and (worst is None or worst < 0.8 * limit):
            del self._drifting[model]
            said = "its index is gone" if worst is None else f"its index is {worst:.2f} again"
            self._node.publisher.publish_event(_ended(open_event, self._node.clock.now(), said), None)
            self._remember()

    def keep(self, models: Collection[str]) -> None:
        """Forget models but these: nobody measures their drift any more, so an event about it ends. So does what a
        life before left open: it is measured anew."""
        for event in self._left_open:
            said = "the node ended while it drifted; it is measured anew"
            self._node.publisher.publish_event(_ended(event, self._node.clock.now(), said), None)
        ended, self._left_open = bool(self._left_open), []
        for model in [name for name in self._drifting if name not in models]:
            event = self._drifting.pop(model)
            said = "it is not measured any more"
            self._node.publisher.publish_event(_ended(event, self._node.clock.now(), said), None)
            ended = True
        if ended:
            self._remember()
        for model in [name for name in self._changes if name not in models]:
            del self._changes[model]

    def _remember(self) -> None:
        kept = [_recallable(event) for event in self._drifting.values()]
        try:
            self._node.state_directory.remember({"open": kept}, FILE)
        except OSError as error:
            log.warning("which models drift cannot be remembered: %s", error)

    def _last(self, model: str) -> JsonObject | None:
        if model not in self._changes:
            return None
        change, at = self._changes[model]
        return {
            "what": change.what,
            "reason": change.reason,
            "before_sha256": change.before_sha256,
            "by": change.by,
            "at": at,
        }

    def _event(self, label: str, model: str) -> Event:
        now = self._node.clock.now()
        return Event(
            id=self._new_id(),
            n=0,
            event_type=EventType.START,
            rule=MODELS_RULE,
            severity=Severity.WARNING,
            camera=None,
            region=None,
            label=label,
            probability=None,
            started_at=now,
            ended_at=None,
            captured_at=now,
            reason=f"model {model}",
        )


def _recallable(event: Event) -> JsonObject:
    model = event.model
    return {
        "id": event.id,
        "severity": event.severity.value,
        "label": event.label,
        "value": event.value,
        "started_at": event.started_at.isoformat(),
        "reason": event.reason,
        "model": None if model is None else [model.name, model.version, model.sha256],
    }


def _recalled(content: JsonObject) -> list[Event]:
    try:
        return [_event_of(kept) for kept in content.get("open", [])]
    except (KeyError, TypeError, ValueError) as error:
        log.warning("which models drifted before is not understood and left aside: %r", error)
        return []


def _event_of(kept: JsonObject) -> Event:
    started_at = datetime.fromisoformat(kept["started_at"])
    return Event(
        id=kept["id"],
        n=0,
        event_type=EventType.START,
        rule=MODELS_RULE,
        severity=Severity(kept["severity"]),
        camera=None,
        region=None,
        label=kept["label"],
        probability=None,
        value=kept["value"],
        started_at=started_at,
        ended_at=None,
        captured_at=started_at,
        reason=kept["reason"],
        model=None if kept["model"] is None else ModelIdentity(*kept["model"]),
    )


def _ended(event: Event, at: datetime, reason: str) -> Event:
    return replace(event, n=1, event_type=EventType.END, ended_at=at, captured_at=at, reason=reason)
