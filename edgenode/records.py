"""The frozen records that cross a border between stages.

Times come in pairs: `captured_s` is monotonic seconds (media time when a file is replayed) and drives all
logic; `captured_at` is UTC and is what people read. Arrays inside records must not be written to once the
record exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


class DropReason(StrEnum):
    """Why a sample that was offered was not classified."""

    SUPERSEDED = "superseded"
    """A newer sample of the same region arrived while this one waited: newest wins."""
    FULL = "full"
    """The buffer held its limit; the oldest sample of the region with the most waiting went."""
    SURPLUS = "surplus"
    """The model would not have come to it before the camera's next frame: it was not even cut."""
    STALE = "stale"
    """Older than the limit when its turn came."""
    CLOSED = "closed"
    """The node is stopping or the model was taken away."""
    FAILED = "failed"
    """The model raised or ran out of time on the batch; counted after the sample was taken."""
    NON_FINITE = "non_finite"
    """The model answered NaN or Inf; counted after the sample was taken."""


class CameraStatus(StrEnum):
    """What a camera is doing; the words of its state topic."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    DISABLED = "disabled"
    FAILED = "failed"
    FROZEN = "frozen"
    BLIND = "blind"
    MOVED = "moved"
    ENDED = "ended"
    """A file that is not looped has been played to its end."""


class Severity(StrEnum):
    """How much an event matters; decides what is evicted first from a full outbox."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class EventType(StrEnum):
    START = "start"
    UPDATE = "update"
    END = "end"


UNKNOWN = "unknown"
"""Decided label while the model is not confident enough to say anything."""
NONE = "none"
"""Decided label of a multi-label region in which no label is present."""
INVALID = "invalid"
"""Decided label while the camera's picture cannot be trusted (frozen, blind, moved, gone)."""


@dataclass(frozen=True, slots=True)
class Planes:
    """One decoded picture as its decoder left it: brightness, and both colour differences in half the resolution.

    Not to be written to. Each is uint8; limited range unless `full_range`.
    """

    luma: U8
    """[h, w]"""
    blue: U8
    """[h / 2, w / 2], halves rounded up."""
    red: U8
    hd: bool
    """Which matrix: ITU-R BT.709, else BT.601."""
    full_range: bool
    left: int = 0
    """1: colour begins a pixel of luma further left."""
    top: int = 0

    def box(self, x0: int, y0: int, x1: int, y1: int) -> Planes:
        """Columns x0 to x1 and rows y0 to y1, ends excluded. Colour reaches a pixel beyond an odd edge."""
        columns = slice((x0 + self.left) // 2, (x1 + self.left + 1) // 2)
        rows = slice((y0 + self.top) // 2, (y1 + self.top + 1) // 2)
        return replace(
            self,
            luma=self.luma[y0:y1, x0:x1],
            blue=self.blue[rows, columns],
            red=self.red[rows, columns],
            left=(x0 + self.left) % 2,
            top=(y0 + self.top) % 2,
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture of one camera, privacy masks already black. `array` is uint8 [H, W, 3], RGB."""

    camera: str
    index: int
    """Counts the camera's decoded frames since the process started."""
    captured_s: float
    captured_at: datetime
    array: U8


@dataclass(frozen=True, slots=True)
class Sample:
    """One region of one frame, cut and resized to its model's input: uint8 [H, W, C] (a picture today)."""

    camera: str
    region: str
    model: str
    frame_index: int
    captured_s: float
    captured_at: datetime
    array: U8


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples that go through one model in one run, oldest first."""

    model: str
    samples: tuple[Sample, ...]
    waited_s: tuple[float, ...] = ()
    """How long each sample waited in the buffer, in the order of `samples`."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model gave an answer. `sha256` is of the whole file, lower-case hexadecimal."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model said of one sample, before anything is decided.

    `probabilities` is float32 [K] in the order of `labels`; `label` is the most probable one.
    """

    camera: str
    region: str
    model: ModelIdentity
    labels: tuple[str, ...]
    probabilities: F32
    label: str
    probability: float
    frame_index: int
    captured_s: float
    captured_at: datetime
    batch_size: int
    abstain_below: float = 0.0
    """The card's calibrated confidence under which the answer counts as `unknown`."""
    embedding: F32 | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decided state of one region after one prediction.

    `label` is what is decided, `raw_label` what the model said of this sample; `reason` says in words why
    they are what they are. `changed` is true exactly when `label` differs from the decision before.
    """

    camera: str
    region: str
    label: str
    probability: float
    raw_label: str
    raw_probability: float
    reason: str
    changed: bool
    since_s: float
    since_at: datetime
    captured_s: float
    captured_at: datetime
    model: ModelIdentity | None
    scores: Mapping[str, float] = field(default_factory=dict)
    """The smoothed score of each label."""
    present: tuple[str, ...] = ()
    """The labels that hold now, strongest first: several or none for a multi-label model, `label` for a
    single-label one, none while `label` is `unknown` or `invalid`."""


@dataclass(frozen=True, slots=True)
class Event:
    """One step (start, update, end) in the life of an event. All steps share `id`; `n` counts them from 0."""

    id: str
    n: int
    event_type: EventType
    rule: str
    severity: Severity
    camera: str | None
    region: str | None
    label: str | None
    probability: float | None
    started_at: datetime
    ended_at: datetime | None
    captured_at: datetime
    reason: str
    model: ModelIdentity | None = None
    snapshot: bool = False
    """Whether the rule asks for a picture with this step."""
    evidence: str | None = None
    """sha256 of the snapshot's JPEG bytes."""
    value: float | None = None
    """The measured number of a counting rule (a rate, a count), where there is one."""


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT publication, ready to send. `expiry_s` is MQTT 5's message expiry interval."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_s: int | None = None
    content_type: str = "application/json"
    user_properties: tuple[tuple[str, str], ...] = ()
    response_to: bytes | None = None
    """Correlation data of the command this answers."""


@dataclass(frozen=True, slots=True)
class CameraReport:
    """What a camera thread says when its status changes or a second has passed."""

    camera: str
    status: CameraStatus
    reason: str
    since_at: datetime
    fps: float
    """Frames classified a second, over the last seconds."""
    reconnects: int
    width: int = 0
    height: int = 0
    codec: str = ""


JsonObject = dict[str, Any]
"""A decoded JSON object at the border to the outside, before validation."""
