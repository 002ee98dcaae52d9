"""The payloads as pydantic models: the one source of the JSON, of its schemas and of `asyncapi.yaml`.

Keys stand in the order of the fields, times are RFC 3339 in UTC with microseconds: equal records give equal
bytes. Readers must ignore keys they do not know; a key never changes its meaning within a `base_topic`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from edgenode.records import JsonObject, ModelIdentity

SCHEMA = "edgenode/v1"


def rfc3339(at: datetime) -> str:
    """`2026-11-23T20:50:37.326000Z`. `at` must be timezone-aware."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


UtcTime = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
ClockQuality = Literal["synchronised", "unsynchronised"]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Schema = Annotated[str, Field(description="Version of all payloads under this base topic.")]


class Payload(BaseModel):
    """A JSON object on a topic."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")

    def to_bytes(self) -> bytes:
        """UTF-8 JSON, no blanks, keys in the order of the fields."""
        return self.model_dump_json().encode()


class ModelReference(Payload):
    """Which model gave an answer."""

    name: str
    version: str
    sha256: str


def model_reference(identity: ModelIdentity | None) -> ModelReference | None:
    if identity is None:
        return None
    return ModelReference(name=identity.name, version=identity.version, sha256=identity.sha256)


class StatePayload(Payload):
    """Whether the node works. The last will says `offline`; a clean stop says `stopped`."""

    state: Literal["online", "degraded", "stopped", "offline"]
    reason: str
    since: UtcTime
    boot: str
    pid: int
    version: str
    schema_: Schema = Field(default=SCHEMA, alias="schema", serialization_alias="schema")

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class InfoPayload(Payload):
    """The birth message: what this node is made of. Further keys come from the node."""

    schema_: Schema = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    node: str
    boot: str
    version: str

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True, extra="allow")


class CameraStatePayload(Payload):
    state: str
    reason: str
    since: UtcTime
    fps: float
    reconnects: int
    width: int
    height: int
    codec: str


class RegionStatePayload(Payload):
    """The decided state of a region. `raw_*` is what the model said of the last sample."""

    camera: str
    region: str
    label: str
    probability: float
    since: UtcTime
    captured_at: UtcTime
    raw_label: str
    raw_probability: float
    reason: str
    model: ModelReference | None
    event_id: str | None


class ClassificationPayload(Payload):
    """One raw prediction, before anything is decided."""

    camera: str
    region: str
    label: str
    probability: float
    probabilities: dict[str, float]
    captured_at: UtcTime
    frame_index: int
    batch_size: int
    model: ModelReference | None


class EventPayload(Payload):
    """One step of an event. De-duplicate by `id` + `n`; a missing message shows as a gap in `seq`."""

    schema_: Schema = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    id: str
    n: Annotated[int, Field(ge=0)]
    seq: Annotated[int, Field(ge=1)]
    boot: str
    node: str
    clock: ClockQuality
    rule: str
    event_type: Literal["start", "update", "end"]
    severity: Literal["info", "warning", "critical"]
    camera: str | None
    region: str | None
    label: str | None
    probability: float | None
    value: float | None
    started_at: UtcTime
    ended_at: UtcTime | None
    captured_at: UtcTime
    reason: str
    model: ModelReference | None
    evidence: str | None
    snapshot_seq: int | None
    """`seq` of the message with the evidence picture, which follows on `/events/<rule>/snapshot`."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class LossRange(Payload):
    """`count` messages with `seq` from `first_seq` to `last_seq` will never be sent (again)."""

    reason: Literal["evicted", "expired", "too_large", "inbox_full", "unstorable", "set_aside"]
    count: int | None
    """None where nobody can know: the damaged file held them."""
    first_seq: int | None
    last_seq: int | None


class OutboxNoticePayload(Payload):
    """Explains gaps in `seq`: which messages the node gave up, and why."""

    schema_: Schema = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    event_type: Literal["loss"] = "loss"
    seq: int
    boot: str
    node: str
    clock: ClockQuality
    noticed_at: UtcTime
    lost: list[LossRange]

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class ModelPayload(Payload):
    """What serves now under a model's name."""

    name: str
    version: str
    sha256: str
    card: JsonObject


class CommandPayload(Payload):
    """A request. An empty payload is a request without arguments."""

    transaction: Annotated[str, Field(max_length=128)] | None = None
    args: dict[str, Any] = {}
    expires_at: datetime | None = None

    model_config = ConfigDict(frozen=True, extra="ignore")


class ReplyError(Payload):
    code: str
    message: str


class ReplyPayload(Payload):
    """The one answer to an accepted request; `data` with `ok`, `error` with `error`."""

    status: Literal["ok", "error"]
    transaction: str | None
    data: JsonObject | None = None
    error: ReplyError | None = None


PAYLOADS: dict[str, type[Payload]] = {
    "state": StatePayload,
    "info": InfoPayload,
    "camera_state": CameraStatePayload,
    "region_state": RegionStatePayload,
    "classification": ClassificationPayload,
    "event": EventPayload,
    "outbox_notice": OutboxNoticePayload,
    "model": ModelPayload,
    "command": CommandPayload,
    "reply": ReplyPayload,
}
"""Every JSON payload by its name in `asyncapi.yaml`."""


def json_schemas() -> dict[str, JsonObject]:
    """The JSON Schema (2020-12) of every payload as it goes over the wire."""
    return {
        name: model.model_json_schema(
            by_alias=True, mode="validation" if model is CommandPayload else "serialization"
        )
        for name, model in PAYLOADS.items()
    }
