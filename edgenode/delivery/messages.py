"""From records to messages: topic, bytes, quality of service, retention, expiry and MQTT 5 properties.

Pure functions of their arguments, called on the publisher's thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from edgenode.delivery.identity import ClockReading
from edgenode.delivery.payloads import (
    CameraStatePayload,
    ClassificationPayload,
    ClockQuality,
    EventPayload,
    InfoPayload,
    InstancePayload,
    LossRange,
    ModelPayload,
    OutboxNoticePayload,
    Payload,
    RegionStatePayload,
    StatePayload,
    model_reference,
    rfc3339,
)
from edgenode.delivery.topics import Topics
from edgenode.records import CameraReport, Decision, Event, JsonObject, Message, ModelIdentity, Prediction

CLASSIFICATION_EXPIRY_S = 30
REPLY_EXPIRY_S = 60
MAX_SNAPSHOT_BYTES = 256 * 1024
"""Larger pictures are never sent: a gateway's uplink carries events first."""
JPEG = "image/jpeg"
FIRST_LINK = "0" * 64
"""What the first link of a chain of evidence follows."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who speaks: the node, this life of its process, and its program's version."""

    topics: Topics
    boot: str
    version: str
    pid: int


def _retained(topic: str, payload: Payload) -> Message:
    return Message(topic, payload.to_bytes(), qos=1, retain=True)


def state_message(origin: Origin, state: str, reason: str, since: datetime) -> Message:
    """The node's own state; with `offline` the last will. Raises ValidationError for another word."""
    return _retained(
        origin.topics.state,
        StatePayload.model_validate(
            {
                "state": state,
                "reason": reason,
                "since": since,
                "boot": origin.boot,
                "pid": origin.pid,
                "version": origin.version,
            }
        ),
    )


def info_message(origin: Origin, info: JsonObject) -> Message:
    """The birth message; the node's own `info` may add keys but not contradict who it is."""
    identity = {"node": origin.topics.node, "boot": origin.boot, "version": origin.version}
    extra = {key: value for key, value in info.items() if key not in (*identity, "schema", "schema_")}
    return _retained(origin.topics.info, InfoPayload.model_validate({**identity, **extra}))


def instance_message(origin: Origin, displaced: list[str]) -> Message:
    """What a connection leaves for a second node of this name; `delivery/rivalry.py` sends it."""
    return _retained(origin.topics.instance, InstancePayload(boot=origin.boot, displaced=displaced))


def camera_message(topics: Topics, report: CameraReport) -> Message:
    payload = CameraStatePayload(
        state=report.status.value,
        reason=report.reason,
        since=report.since_at,
        fps=round(report.fps, 2),
        reconnects=report.reconnects,
        width=report.width,
        height=report.height,
        codec=report.codec,
    )
    return _retained(topics.camera_state(report.camera), payload)


def region_message(topics: Topics, decision: Decision, event_id: str | None) -> Message:
    payload = RegionStatePayload(
        camera=decision.camera,
        region=decision.region,
        label=decision.label,
        probability=round(decision.probability, 6),
        since=decision.since_at,
        captured_at=decision.captured_at,
        raw_label=decision.raw_label,
        raw_probability=round(decision.raw_probability, 6),
        reason=decision.reason,
        model=model_reference(decision.model),
        event_id=event_id,
    )
    return _retained(topics.region_state(decision.camera, decision.region), payload)


def classification_message(topics: Topics, prediction: Prediction) -> Message:
    payload = ClassificationPayload(
        camera=prediction.camera,
        region=prediction.region,
        label=prediction.label,
        probability=round(float(prediction.probability), 6),
        probabilities={
            label: round(float(p), 6)
            for label, p in zip(prediction.labels, prediction.probabilities, strict=True)
        },
        captured_at=prediction.captured_at,
        frame_index=prediction.frame_index,
        batch_size=prediction.batch_size,
        model=model_reference(prediction.model),
    )
    return Message(
        topics.classification(prediction.camera, prediction.region),
        payload.to_bytes(),
        qos=0,
        expiry_s=CLASSIFICATION_EXPIRY_S,
    )


def model_message(
    topics: Topics,
    model: str,
    identity: ModelIdentity,
    card: JsonObject,
    shadow: JsonObject | None = None,
    change: JsonObject | None = None,
) -> Message:
    """`shadow` and `change` have the keys of `ShadowPayload` and `ModelChangePayload`. Raises ValidationError."""
    payload = ModelPayload.model_validate(
        {
            "name": identity.name,
            "version": identity.version,
            "sha256": identity.sha256,
            "card": card,
            "shadow": shadow,
            "change": change,
        }
    )
    return _retained(topics.model(model), payload)


def event_message(
    origin: Origin, event: Event, seq: int, clock: ClockReading, snapshot_seq: int | None = None
) -> Message:
    """One step of an event, with CloudEvents' binary attributes as MQTT 5 user properties."""
    payload = EventPayload(
        id=event.id,
        n=event.n,
        seq=seq,
        boot=origin.boot,
        node=origin.topics.node,
        clock=clock.quality,
        clock_offset_s=None if clock.offset_s is None else round(clock.offset_s, 9),
        rule=event.rule,
        event_type=event.event_type.value,
        severity=event.severity.value,
        camera=event.camera,
        region=event.region,
        label=event.label,
        probability=None if event.probability is None else round(event.probability, 6),
        value=event.value,
        started_at=event.started_at,
        ended_at=event.ended_at,
        captured_at=event.captured_at,
        reason=event.reason,
        model=model_reference(event.model),
        evidence=event.evidence,
        snapshot_seq=snapshot_seq,
    )
    return Message(
        origin.topics.event(event.rule),
        payload.to_bytes(),
        user_properties=_cloud_event(
            origin, f"{event.id}-{event.n}", event.event_type.value, event.captured_at
        ),
    )


LinkHash = Callable[[str | None, JsonObject, str | None], str]
"""(hash of the link before or None for the first, event payload, sha256 of its picture) to the link's hash."""


def chained_message(message: Message, previous: str | None, link_hash: LinkHash) -> tuple[Message, str]:
    """An event's message with its link in the chain of evidence, and the link's hash."""
    payload = json.loads(message.payload)
    payload.pop("chain", None)
    hashed = link_hash(previous, payload, payload["evidence"])
    payload["chain"] = {"previous": previous if previous is not None else FIRST_LINK, "hash": hashed}
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return replace(message, payload=text.encode()), hashed


def event_snapshot_message(origin: Origin, event: Event, jpeg: bytes, seq: int) -> Message:
    """An event's evidence picture. Its properties name the event and the message's own `seq`."""
    attributes = _cloud_event(origin, f"{event.id}-{event.n}-snapshot", "snapshot", event.captured_at)
    return Message(
        origin.topics.event_snapshot(event.rule),
        jpeg,
        content_type=JPEG,
        user_properties=(*attributes, ("event_id", event.id), ("n", str(event.n)), ("seq", str(seq))),
    )


def camera_snapshot_message(topics: Topics, camera: str, jpeg: bytes, event_id: str | None) -> Message:
    properties = () if event_id is None else (("event_id", event_id),)
    return Message(
        topics.camera_snapshot(camera), jpeg, retain=True, content_type=JPEG, user_properties=properties
    )


def notice_message(
    origin: Origin, seq: int, lost: list[LossRange], noticed_at: datetime, clock: ClockQuality
) -> Message:
    """What became of messages that will not come, on `/events/_outbox`."""
    payload = OutboxNoticePayload(
        seq=seq,
        boot=origin.boot,
        node=origin.topics.node,
        clock=clock,
        noticed_at=noticed_at,
        lost=lost,
    )
    return Message(
        origin.topics.outbox_notice,
        payload.to_bytes(),
        user_properties=_cloud_event(origin, f"{origin.topics.node}-{seq}", "loss", noticed_at),
    )


def forget_message(topic: str) -> Message:
    """Removes what the broker keeps under `topic`."""
    return Message(topic, b"", qos=1, retain=True)


def _cloud_event(origin: Origin, identifier: str, kind: str, at: datetime) -> tuple[tuple[str, str], ...]:
    """CloudEvents 1.0, MQTT binding, binary mode; `datacontenttype` is MQTT's own content type."""
    return (
        ("specversion", "1.0"),
        ("id", identifier),
        ("source", f"/{origin.topics.root}"),
        ("type", f"edgenode.event.{kind}"),
        ("time", rfc3339(at)),
    )
