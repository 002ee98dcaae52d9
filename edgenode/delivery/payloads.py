"""The payloads as pydantic models: the one source of the JSON, of its schemas and of `asyncapi.yaml`.

Keys stand in the order of the fields, times are RFC 3339 in UTC with microseconds: equal records give equal
bytes. Readers must ignore keys they do not know; a key never changes its meaning within a `base_topic`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from edgenode.delivery.model_payloads import ModelPayload as ModelPayload
from edgenode.delivery.payload_form import Payload as Payload
from edgenode.delivery.payload_form import UtcTime
from edgenode.delivery.payload_form import rfc3339 as rfc3339
from edgenode.records import JsonObject, ModelIdentity

SCHEMA = "edgenode/v1"
ClockQuality = Literal["synchronised", "unsynchronised"]
Schema = Annotated[str, Field(description="Version of all payloads under this base topic.")]


class ModelReference(Payload):
    """Which model gave an answer."""

    name: str
    """Name in the model card."""
    version: str
    """Version in the model card."""
    sha256: str
    """Of the whole model file: its identity."""


def model_reference(identity: ModelIdentity | None) -> ModelReference | None:
    if identity is None:
        return None
    return ModelReference(name=identity.name, version=identity.version, sha256=identity.sha256)


class StatePayload(Payload):
    """Whether the node works. The last will says `offline`; a clean stop says `stopped`."""

    state: Literal["online", "degraded", "stopped", "offline"]
    """`degraded`: it works, but something is amiss; `stopped`: ended cleanly; `offline`: the last will."""
    reason: str
    """Why, in words; empty while all is well."""
    since: UtcTime
    """When this state began."""
    boot: str
    """This life of the process: another one after each start."""
    pid: int
    """Process id on the gateway."""
    version: str
    """The program's version."""
    schema_: Schema = Field(default=SCHEMA, alias="schema", serialization_alias="schema")

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class InfoPayload(Payload):
    """The birth message: what this node is made of. Further keys come from the node: a region's `outline` is its
    corners in fractions of the frame, null for the whole frame."""

    schema_: Schema = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    node: str
    """Its name."""
    boot: str
    """As in the node's state."""
    version: str
    """The program's version."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True, extra="allow")


MAX_DISPLACED = 8
"""Lives that `instance` remembers beside the newest: enough for as many nodes of one name to notice each other."""


class InstancePayload(Payload):
    """Which life of the node came last, and whose place it took: two nodes of one name notice each other by it."""

    boot: Annotated[str, Field(max_length=64)]
    """As in the node's state."""
    displaced: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_DISPLACED)]
    """The lives that it found here, newest first. One that finds itself in the list of another is not alone."""
    schema_: Schema = Field(default=SCHEMA, alias="schema", serialization_alias="schema")

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class CameraStatePayload(Payload):
    """What a camera is doing. It is up only while the node is `online` or `degraded` too."""

    state: str
    """`online`, `stale`, `offline`, `disabled`, `failed`, `frozen`, `blind`, `moved`, `ended`."""
    reason: str
    """Why, in words."""
    since: UtcTime
    """When this state began."""
    fps: float
    """Frames classified a second, over the last seconds."""
    reconnects: int
    """How often the source was opened again."""
    width: int
    """Pixels of the picture; 0 while unknown."""
    height: int
    """Pixels of the picture; 0 while unknown."""
    codec: str
    """Of the stream; empty while unknown."""


class RegionStatePayload(Payload):
    """The decided state of a region. `raw_*` is what the model said of the last sample."""

    camera: str
    """Name of the camera."""
    region: str
    """Name of the region."""
    label: str
    """The decided label; `unknown`, `none` and `invalid` are explained in `docs/rules.md`."""
    probability: float
    """The smoothed score of `label`."""
    since: UtcTime
    """When this state began."""
    captured_at: UtcTime
    """Of the picture that decided it."""
    raw_label: str
    """What the model said of that picture."""
    raw_probability: float
    """And how sure it was."""
    reason: str
    """Why the state is what it is, in words."""
    model: ModelReference | None
    """Which model answered."""
    event_id: str | None
    """The event that is open about this region."""


class ClassificationPayload(Payload):
    """One raw prediction, before anything is decided."""

    camera: str
    """Name of the camera."""
    region: str
    """Name of the region."""
    label: str
    """The most probable label."""
    probability: float
    """Its probability."""
    probabilities: dict[str, float]
    """Of every label of the model."""
    captured_at: UtcTime
    """When the picture was taken."""
    frame_index: int
    """Counts the camera's decoded frames since the start."""
    batch_size: int
    """How many samples went through the model together."""
    model: ModelReference | None
    """Which model answered."""


class ChainReference(Payload):
    """An event's place in the chain of evidence: the hash of the link before, and its own.

    hash = sha256(previous, newline, canonical JSON of {"event": this payload without `chain`, "evidence": the
    picture's sha256 or null}), in hexadecimal; the first link follows 64 zeros.
    """

    previous: str
    """Hash of the link before; 64 zeros for the first."""
    hash: str
    """Of this link: note the newest elsewhere, to prove later that no event after it was removed."""


class EventPayload(Payload):
    """One step of an event. De-duplicate by `id` + `n`; a missing message shows as a gap in `seq`."""

    schema_: Schema = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    id: str
    """UUID version 7, the same for all steps of one event."""
    n: Annotated[int, Field(ge=0)]
    """0, 1, 2… within the event."""
    seq: Annotated[int, Field(ge=1)]
    """Per node, never used twice, goes on across restarts; a gap is a message that is missing."""
    boot: str
    """As in the node's state."""
    node: str
    """Name of the node."""
    clock: ClockQuality
    """Whether the gateway's clock is disciplined: whether the times can be trusted."""
    clock_offset_s: float | None
    """What the gateway's kernel still had to correct in its clock, seconds; null where that is not known."""
    rule: str
    """Name of the rule."""
    event_type: Literal["start", "update", "end"]
    """Which step this is."""
    severity: Literal["info", "warning", "critical"]
    """As the rule says."""
    camera: str | None
    """What the event is about."""
    region: str | None
    """What the event is about."""
    label: str | None
    """The label the event is about."""
    probability: float | None
    """Its smoothed score."""
    value: float | None
    """The measured number of a counting rule."""
    started_at: UtcTime
    """When the condition began to hold."""
    ended_at: UtcTime | None
    """Only with `end`."""
    captured_at: UtcTime
    """Of the picture that caused this step."""
    reason: str
    """Why, in words."""
    model: ModelReference | None
    """Which model answered."""
    evidence: str | None
    """sha256 of the picture's JPEG bytes."""
    snapshot_seq: int | None
    """`seq` of the message with the evidence picture, which follows on `/events/<rule>/snapshot`."""
    chain: ChainReference | None = None
    """With `outbox.chain`: this event's link."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class LossRange(Payload):
    """`count` messages with `seq` from `first_seq` to `last_seq` will never be sent (again)."""

    reason: Literal["evicted", "expired", "too_large", "inbox_full", "unstorable", "set_aside", "dropped"]
    """What happened to them; `dropped`: by an operator, with `edgenode outbox drop`."""
    count: int | None
    """Null where nobody can know: the damaged file held them."""
    first_seq: int | None
    """Null where they never had a number."""
    last_seq: int | None
    """Null where they never had a number."""


class OutboxNoticePayload(Payload):
    """Explains gaps in `seq`: which messages the node gave up, and why."""

    schema_: Schema = Field(default=SCHEMA, alias="schema", serialization_alias="schema")
    event_type: Literal["loss"] = "loss"
    """Always `loss`."""
    seq: int
    """The notice's own number, of the same count as events."""
    boot: str
    """As in the node's state."""
    node: str
    """Name of the node."""
    clock: ClockQuality
    """As in events."""
    noticed_at: UtcTime
    """When the node knew."""
    lost: list[LossRange]
    """What is gone, by reason."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class CommandPayload(Payload):
    """A request. An empty payload is a request without arguments."""

    transaction: Annotated[str, Field(max_length=128)] | None = None
    """Comes back in the reply; a repeated one is not done twice."""
    args: dict[str, Any] = Field(default_factory=dict)
    """What the verb needs."""
    expires_at: datetime | None = None
    """With a time zone; after it the command is answered `expired` and not done."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ReplyError(Payload):
    code: str
    """For programs."""
    message: str
    """For people."""


class ReplyPayload(Payload):
    """The one answer to an accepted request; `data` with `ok`, `error` with `error`."""

    status: Literal["ok", "error"]
    """Whether it was done."""
    transaction: str | None
    """The request's."""
    data: JsonObject | None = None
    """What the verb answers; only with `ok`."""
    error: ReplyError | None = None
    """What went wrong; only with `error`."""


PAYLOADS: dict[str, type[Payload]] = {
    "state": StatePayload,
    "info": InfoPayload,
    "instance": InstancePayload,
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
