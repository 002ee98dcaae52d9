"""What the doctor says: one record for each thing looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from edgenode.records import JsonObject


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Works; somebody may want to know."""
    WARNING = "warning"
    """Works now, and will not always, or not as it seems to be meant."""
    PROBLEM = "problem"
    """Does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is what to do, empty where nothing is to be done."""

    part: str
    """`broker`, `camera`, `model`, `load`, `clock`, `disk`, `secrets`, `port`, `energy`, `service`, `limits`."""
    subject: str
    """Which of them: a camera's name, a path, an address."""
    level: Level
    text: str
    advice: str = ""
    facts: JsonObject = field(default_factory=dict)
    """The same for programs; keys carry their units."""


def worst(findings: list[Finding]) -> Level:
    """The gravest level among `findings`; `ok` for none."""
    order = list(Level)
    return max((each.level for each in findings), key=order.index, default=Level.OK)
