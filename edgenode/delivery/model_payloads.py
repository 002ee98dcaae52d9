"""The payload of `/models/<model>`: what serves, what its shadow measured, what changed last."""

from __future__ import annotations

from typing import Literal

from edgenode.delivery.payload_form import Payload, Unit, UtcTime
from edgenode.records import JsonObject


class DisagreementPayload(Payload):
    """One sample on which shadow and serving model said different things."""

    camera: str
    """Name of the camera."""
    region: str
    """Name of the region."""
    captured_at: UtcTime
    """When the picture was taken."""
    serving: str
    """The most probable label of the model that serves."""
    serving_probability: Unit
    """And its probability."""
    shadow: str
    """The most probable label of the shadow."""
    shadow_probability: Unit
    """And its probability."""


class ShadowPayload(Payload):
    """A second model that answers the same samples and decides nothing; measured since it began, in this life of the
    process."""

    version: str
    """Version in its card."""
    sha256: str
    """Of its file."""
    samples: int
    """Samples both have answered."""
    agreed: int
    """Of these, how often both said the same."""
    skipped: int
    """Samples the shadow had no time for."""
    failed: int
    """Samples on which it failed."""
    non_finite: int
    """Samples it answered with NaN or Inf."""
    mean_run_ms: float | None
    """Its time for a sample, in milliseconds."""
    disagreements: list[DisagreementPayload]
    """The newest ones."""


class ModelChangePayload(Payload):
    """The last time another file began to serve, in this life of the process."""

    what: Literal["activated", "rolled_back"]
    """What happened."""
    reason: str
    """Why, where the node itself did it; else empty."""
    before_sha256: str
    """What served until then."""
    by: Literal["command", "configuration", "node"]
    """Who asked for it."""
    at: UtcTime
    """When."""


class ModelPayload(Payload):
    """What serves now under a model's name."""

    name: str
    """Name in the model card."""
    version: str
    """Version in the model card."""
    sha256: str
    """Of the whole model file."""
    card: JsonObject
    """Labels, input, evaluation: what helps to trust or doubt an answer."""
    shadow: ShadowPayload | None = None
    """What answers beside it, if anything does."""
    change: ModelChangePayload | None = None
    """Null until something changed."""
