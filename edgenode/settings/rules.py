"""`[[rules]]`: what makes an event, and when a rule is in force."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from edgenode.records import Severity
from edgenode.settings.values import Duration, Name, Section


class ScheduleSettings(Section):
    """When a rule is in force; outside, its condition counts as not holding."""

    hours: str | list[str] = "00:00-24:00"
    """Local times such as "06:00-22:00", or several; "22:00-06:00" crosses midnight and belongs to the day it
    begins."""
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = []
    """Days of the week; none given: all."""
    timezone: str = "UTC"
    """IANA name such as `Europe/Berlin`."""


class RuleSettings(Section):
    """Either `when`, or `sequence` with `within`."""

    name: Name
    """Topic level of its events; other rules may name it."""
    when: str | None = None
    """An expression over the states of regions, such as `line_1.belt == "defect"`."""
    sequence: list[str] = []
    """Expressions that must begin to hold one after the other. The reverse order is silent."""
    within: Duration = 0.0
    """The whole sequence takes at most this long."""
    for_: Duration = Field(default=0.0, alias="for")
    """How long it must hold before the event starts."""
    cooldown: Duration = 0.0
    """After an event has ended no other starts for this long; what still holds then starts one."""
    schedule: ScheduleSettings | None = None
    """When it is in force; left out: always."""
    update: Literal["off", "change", "peak"] = "change"
    """While an event lasts, report another label of its region (`change`), and each rise of the probability
    by 0.1 over what was reported (`peak`), or nothing (`off`)."""
    update_every: Duration = 0.0
    """Report at least this often while an event lasts; 0 never."""
    severity: Severity = Severity.WARNING
    """From a full outbox the less severe go first."""
    snapshot: bool | Literal["bare", "drawn"] = False
    """Publish one JPEG with the event: the picture as it was (`true` or "bare"), or with the regions drawn."""
    enabled: bool = True
    """`false` keeps it silent until the command `rule_enable`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
