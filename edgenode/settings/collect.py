"""`[collect]`: which pictures are kept on the node for somebody to label."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from edgenode.settings.values import Duration, Fraction, Name, Section, Size, refuse_repeats

Why = Literal["disagreement", "abstained", "low_margin", "random", "periodic"]
"""Why a picture is kept, the most telling first."""


class CollectRuleSettings(Section):
    name: Name
    """Stands with every picture it kept, and in the metrics."""
    why: Annotated[list[Why], Field(min_length=1)] = ["disagreement", "abstained", "low_margin"]
    """`disagreement`: the shadow model says another label; `abstained`: confidence under the abstain threshold;
    `low_margin`: two labels are nearly as probable; `random`: a share of all; `periodic`: one from time to time."""
    models: list[Name] = []
    """Only what these models classify; none given: all."""
    cameras: list[Name] = []
    """Only from these cameras; none given: all."""
    regions: list[Name] = []
    """Only from regions of these names; none given: all."""
    margin: Fraction = 0.2
    """`low_margin`: the most probable label leads by less than this; of several labels at once, the least decided one
    is nearer than half of this to 0.5."""
    share: Fraction = 0.001
    """`random`: this share of all classified samples."""
    every: Duration = 3600.0
    """`periodic`: one of each region in this time."""
    per_label: Annotated[int, Field(ge=1, le=100_000)] = 50
    """At most so many a day (UTC) of each label the model names."""
    pause: Duration = 2.0
    """Between two pictures of one region at least this long: what comes at once looks alike."""
    pixels: Literal["region", "model"] = "region"
    """`region`: cut at full resolution while the frame is still there (the camera keeps its last few); `model`: the
    model's own small input."""


class CollectSettings(Section):
    max_size: Size = 256 * 2**20
    """What the pictures may take on the disk; when full, the oldest of the commonest kind goes, counted."""
    max_pictures: Annotated[int, Field(ge=1, le=100_000)] = 5000
    """How many pictures are kept, under the same law."""
    rules: list[CollectRuleSettings] = []
    """What to keep; without any, nothing is."""

    @field_validator("rules")
    @classmethod
    def _unique(cls, rules: list[CollectRuleSettings]) -> list[CollectRuleSettings]:
        refuse_repeats([rule.name for rule in rules], "collect rules")
        return rules
