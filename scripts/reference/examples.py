"""One message for every topic, made by the same functions that make them on a gateway."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from edgenode.delivery import messages
from edgenode.delivery.commands import reply_message
from edgenode.delivery.identity import ClockReading
from edgenode.delivery.messages import Origin
from edgenode.delivery.payloads import CommandPayload, LossRange, rfc3339
from edgenode.delivery.topics import MODELS_RULE, Topics
from edgenode.records import (
    CameraReport,
    CameraStatus,
    Decision,
    Event,
    EventType,
    Message,
    ModelIdentity,
    Prediction,
    Severity,
)

TOPICS = Topics("edgenode/v1", "gateway-7")
CAMERA, REGION, RULE, MODEL, VERB = "line_1", "belt", "defective_part", "defects", "snapshot"
_AT = datetime(2026, 1, 31, 12, 0, 0, 326000, UTC)
_ORIGIN = Origin(TOPICS, "6f0c1d0a9b3e4f57", "0.1.0", 812)
_JPEG = b"\xff\xd8 a picture \xff\xd9"
_IDENTITY = ModelIdentity("defects", "3", hashlib.sha256(b"an example").hexdigest())
_REASON = 'line_1.belt == "defect" held for 300 ms'

_REPORT = CameraReport(CAMERA, CameraStatus.ONLINE, "", _AT, 5.0, 1, 1920, 1080, "h264")
_DECISION = Decision(
    camera=CAMERA,
    region=REGION,
    label="defect",
    probability=0.87,
    raw_label="defect",
    raw_probability=0.934,
    reason="defect has 0.87, at least 0.8",
    changed=True,
    since_s=0.0,
    since_at=_AT,
    captured_s=0.0,
    captured_at=_AT,
    model=_IDENTITY,
)
_PREDICTION = Prediction(
    camera=CAMERA,
    region=REGION,
    model=_IDENTITY,
    labels=("ok", "defect"),
    probabilities=np.array([0.066, 0.934], dtype=np.float32),
    label="defect",
    probability=0.934,
    frame_index=1042,
    captured_s=0.0,
    captured_at=_AT,
    batch_size=2,
)
_EVENT = Event(
    id="019c1421-3546-7a20-9a55-3b9f8f0c2d11",
    n=0,
    event_type=EventType.START,
    rule=RULE,
    severity=Severity.WARNING,
    camera=CAMERA,
    region=REGION,
    label="defect",
    probability=0.87,
    started_at=_AT - timedelta(milliseconds=300),
    ended_at=None,
    captured_at=_AT,
    reason=_REASON,
    model=_IDENTITY,
    snapshot=True,
    evidence=hashlib.sha256(_JPEG).hexdigest(),
)

_MODEL_EVENT = replace(
    _EVENT,
    id="019c1421-4c01-7be1-8d3a-1f0e5a77c9d2",
    rule=MODELS_RULE,
    camera=None,
    region=None,
    label="rolled_back",
    probability=None,
    started_at=_AT,
    reason="model defects 5a3f0c9d1e2b slow: takes 31.0 ms a sample, its budget is 20.0 ms; 3 serves",
    snapshot=False,
    evidence=None,
)
_SHADOW = {
    "version": "4",
    "sha256": hashlib.sha256(b"another example").hexdigest(),
    "samples": 1830,
    "agreed": 1811,
    "skipped": 7320,
    "failed": 0,
    "non_finite": 0,
    "mean_run_ms": 12.4,
    "disagreements": [
        {
            "camera": CAMERA,
            "region": REGION,
            "captured_at": _AT,
            "serving": "ok",
            "serving_probability": 0.61,
            "shadow": "defect",
            "shadow_probability": 0.83,
        }
    ],
}
_CHANGE = {
    "what": "rolled_back",
    "reason": "slow: takes 31.0 ms a sample, its budget is 20.0 ms",
    "before_sha256": hashlib.sha256(b"a slow example").hexdigest(),
    "by": "node",
    "at": _AT,
}


def example_messages() -> dict[str, Message]:
    """Member of `Topics` to a message on that topic."""
    card = {"labels": ["ok", "defect"], "accuracy": {"value": 0.983, "low": 0.969, "high": 0.991}}
    lost = [LossRange(reason="expired", count=3, first_seq=390, last_seq=394)]
    request = CommandPayload(transaction="42", args={"camera": CAMERA, "draw": True})
    outline = [[0.1, 0.25], [0.6, 0.25], [0.6, 0.9], [0.1, 0.9]]
    region = {"name": REGION, "model": MODEL, "outline": outline}
    info = {
        "started_at": rfc3339(_AT),
        "provider": "cpu",
        "cameras": [{"name": CAMERA, "regions": [region]}],
    }
    return {
        "state": messages.state_message(_ORIGIN, "online", "", _AT),
        "info": messages.info_message(_ORIGIN, info),
        "instance": messages.instance_message(_ORIGIN, ["1b7e5a02c4d98f36"]),
        "camera_state": messages.camera_message(TOPICS, _REPORT),
        "camera_snapshot": messages.camera_snapshot_message(TOPICS, CAMERA, _JPEG, None),
        "region_state": messages.region_message(TOPICS, _DECISION, _EVENT.id),
        "classification": messages.classification_message(TOPICS, _PREDICTION),
        "event": messages.event_message(_ORIGIN, _EVENT, 412, ClockReading("synchronised", 0.000021), 413),
        "event_snapshot": messages.event_snapshot_message(_ORIGIN, _EVENT, _JPEG, 413),
        "outbox_notice": messages.notice_message(_ORIGIN, 414, lost, _AT, "synchronised"),
        "model_event": messages.event_message(
            _ORIGIN, _MODEL_EVENT, 415, ClockReading("synchronised", 0.000021)
        ),
        "model": messages.model_message(TOPICS, MODEL, _IDENTITY, card, _SHADOW, _CHANGE),
        "command": Message(TOPICS.command(VERB), request.model_dump_json(exclude_none=True).encode()),
        "reply": replace(
            reply_message(TOPICS.reply(VERB), None, "42", {"camera": CAMERA, "bytes": 41233}),
            response_to=b"42",
        ),
    }
