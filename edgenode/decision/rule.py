"""One rule: its settings, its condition bound to the facts, and the life of its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from edgenode.records import Event, JsonObject, Severity

from .event_machine import EventMachine, Lifetime, Subject
from .expression import compile_condition
from .facts import Fact, World
from .instruments import Instrument
from .schedule import Schedule, ScheduleWatch
from .sequences import Sequence
from .terms import Compiled, Used, doubt

QUOTED_TEXT = 120
"""Characters of a condition that are quoted in an event's reason."""


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One rule as configured. Either `when` or `sequence` (with `within_s`) says what it looks for."""

    name: str
    when: str | None = None
    sequence: tuple[str, ...] = ()
    within_s: float = 0.0
    for_s: float = 0.0
    cooldown_s: float = 0.0
    schedule: Schedule | None = None
    updates: str = "change"
    update_every_s: float = 0.0
    severity: Severity = Severity.WARNING
    snapshot: bool = False
    enabled: bool = True

    @property
    def conditions(self) -> tuple[str, ...]:
        return self.sequence if self.when is None else (self.when,)

    @property
    def text(self) -> str:
        """What it looks for, in one line; a rule with another text is another rule to a restart."""
        if self.when is not None:
            return " ".join(self.when.split())
        return f"[{', '.join(self.sequence)}] within {self.within_s:g} s"


class RuleStatus(StrEnum):
    """What a rule is doing; `explain` reads it back."""

    IDLE = "idle"
    DWELLING = "dwelling"
    COOLING_DOWN = "cooling down"
    """The condition holds, but the last event ended too short a time ago."""
    ACTIVE = "active"
    CLOSED = "outside its schedule"
    DISABLED = "disabled"


class Rule:
    """A rule at work. Evaluated by the rule set, in an order in which rules stand after those they name."""

    def __init__(self, spec: RuleSpec, conditions: list[Compiled], new_id: Callable[[datetime], str]) -> None:
        self.spec = spec
        self.enabled = spec.enabled
        self.used = merge([condition.used for condition in conditions])
        only_counts = bool(self.used.instruments) and not self.used.atoms
        """It is about a number: another label of the region is no news of its event."""
        self.machine = EventMachine(
            Lifetime(
                spec.name,
                spec.for_s,
                spec.cooldown_s,
                "off" if only_counts and spec.updates == "change" else spec.updates,
                spec.update_every_s,
                spec.severity,
                spec.snapshot,
            ),
            new_id,
        )
        self._steps = [(each.holds, doubt(each.used)) for each in conditions]
        self._holds = conditions[0].holds
        self._sequence = Sequence(len(conditions), spec.within_s) if spec.sequence else None
        self._schedule = ScheduleWatch(spec.schedule)
        self.facts: list[Fact] = list(self.used.facts)
        """Regions that events are about, most important first; the rule set adds those of rules it names."""
        self.atoms = list(self.used.atoms)
        self._counted = self.used.counted[0] if only_counts and self.used.counted else None
        """(region, label) that a rule which only counts is about."""
        if spec.sequence:
            last = conditions[-1].used
            self.facts.sort(key=lambda fact: fact not in last.facts)
            self.atoms = list(last.atoms)
        self.named = [*self.used.named, *self.used.counted]
        """The (region, label) pairs of its comparisons."""
        self.instruments: list[Instrument] = self.used.instruments
        self.timed = self.used.timed or spec.schedule is not None
        self.restless = self.timed or self.used.scored or spec.updates == "peak"
        """Whether each sample of its regions matters, not only another label."""
        self.told_status: RuleStatus | None = None
        self.told_since_s: float | None = None
        """What the trace was told last."""
        self.due_queued_s: float | None = None
        self.waiting = False
        """Whether it is to be looked at when the instant closes."""
        self.followers: list[int] = []
        """Positions of the rules that name this one."""
        self.in_force = True
        self.now_s = 0.0
        self._holding = False

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def status(self) -> RuleStatus:
        if not self.enabled:
            return RuleStatus.DISABLED
        if not self.in_force:
            return RuleStatus.CLOSED
        machine = self.machine
        if machine.open is not None:
            return RuleStatus.ACTIVE
        if machine.since_s is None:
            return RuleStatus.IDLE
        if machine.cooldown_left_s(self.now_s) > 0.0:
            return RuleStatus.COOLING_DOWN
        return RuleStatus.DWELLING

    def evaluate(self, now_s: float, now_at: datetime) -> Event | None:
        """Look at the facts as they are at `now_s`."""
        for instrument in self.instruments:
            instrument.update(now_s)
        self.now_s = now_s
        begun = None
        if self._sequence is None:
            holds = self._holds()
        else:
            holds = self._sequence.step(
                [None if in_doubt() else holds_now() for holds_now, in_doubt in self._steps], now_s, now_at
            )
            if holds and self._sequence.begun_s is not None and self._sequence.begun_at is not None:
                begun = (self._sequence.begun_s, self._sequence.begun_at)
        if not self.enabled:
            return None
        self.in_force = self._schedule.covers(now_at)
        self._holding = holds
        return self.machine.step(holds and self.in_force, now_s, now_at, self._subject, self._reason, begun)

    def _subject(self) -> Subject:
        """The first region whose comparison is true now; the region an open event started with, if there is
        one."""
        fact: Fact | None = None
        if self.machine.open is not None:
            started = self.machine.open.subject
            fact = next(
                (
                    each
                    for each in self.facts
                    if (each.camera, each.region) == (started.camera, started.region)
                ),
                None,
            )
        else:
            fact = next((each for each, true in self.atoms if true() and each in self.facts), None)
        if fact is None:
            fact = self.facts[0] if self.facts else None
        value = next(iter(self.instruments)).measure(self.now_s) if self.instruments else None
        if value is not None and value != value:
            value = None
        if self._counted is not None:
            fact, label = self._counted
            return Subject(fact.camera, fact.region, label, None, fact.model, value)
        if fact is None:
            return Subject(value=value)
        decision = fact.decision
        return Subject(
            camera=fact.camera,
            region=fact.region,
            label=fact.label,
            probability=None if decision is None else decision.probability,
            model=fact.model,
            value=value,
        )

    def _reason(self) -> str:
        if not self.in_force and self._holding:
            return "outside its schedule now"
        facts = self.facts_text()
        if not self._holding:
            return f"no longer holds: {facts}"
        if self.machine.open is not None and self.machine.open.n > 0:
            return f"still holds: {facts}"
        text = self.spec.text
        text = text if len(text) <= QUOTED_TEXT else text[: QUOTED_TEXT - 1] + "…"
        if self._sequence is not None:
            begun_s = self._sequence.begun_s
            took_s = 0.0 if begun_s is None else self.now_s - begun_s
            return f"{text}: completed in {took_s:.2f} s; {facts}"
        since_s = self.machine.since_s
        held_s = 0.0 if since_s is None else self.now_s - since_s
        return f"{text}: held for {held_s:.2f} s; {facts}" if held_s > 0.0 else f"{text}: {facts}"

    def facts_text(self) -> str:
        """The named regions' states in words."""
        parts = []
        for fact in self.facts[:6]:
            decision = fact.decision
            if decision is None:
                parts.append(f"{fact.name} has not been seen")
            elif not fact.present:
                parts.append(f"{fact.name} is {decision.reason if ': ' in decision.reason else fact.label}")
            else:
                parts.append(f"{fact.name} is {fact.label} ({decision.probability:.2f})")
        parts.extend(f"measured {each.measure(self.now_s):.4g}" for each in self.instruments[:3])
        return ", ".join(parts) or "no region is named"

    def progress_text(self) -> str:
        """How far a sequence has come; empty for other rules."""
        if self._sequence is None:
            return ""
        return f"{self._sequence.progress()} of {len(self._steps)} steps seen"

    def export(self) -> JsonObject:
        return {
            "name": self.name,
            "text": self.spec.text,
            "severity": str(self.spec.severity),
            "configured": self.spec.enabled,
            "enabled": self.enabled,
            "machine": self.machine.export(),
            "sequence": None if self._sequence is None else self._sequence.export(),
        }

    def restore(self, state: JsonObject, offset_s: float) -> None:
        """Go on from an export of a rule with the same text. A switch set at run time outlives a restart
        for as long as the configuration says the same as then."""
        if state["configured"] == self.spec.enabled:
            self.enabled = state["enabled"]
        self.machine.restore(state["machine"], offset_s)
        if self._sequence is not None and state["sequence"] is not None:
            self._sequence.restore(state["sequence"], offset_s)


def merge(all_used: list[Used]) -> Used:
    """What several conditions use together, each thing once, in the order of naming."""
    merged = Used()
    for used in all_used:
        merged.facts.extend(each for each in used.facts if each not in merged.facts)
        merged.rules.extend(each for each in used.rules if each not in merged.rules)
        merged.instruments.extend(each for each in used.instruments if each not in merged.instruments)
        merged.atoms.extend(used.atoms)
        merged.named.extend(used.named)
        merged.counted.extend(used.counted)
        merged.scored = merged.scored or used.scored
        merged.timed = merged.timed or used.timed
    return merged


def compile_error_text(rule: str, key: str, column: int | None, message: str) -> str:
    """How a mistake in a rule is told: `rules.NAME.KEY, column N: …` with N from 1."""
    where = "" if column is None else f", column {column + 1}"
    return f"rules.{rule}.{key}{where}: {message}"


def bind(spec: RuleSpec, world: World, new_id: Callable[[datetime], str]) -> tuple[Rule | None, list[str]]:
    """The rule bound to the world's facts, or all that is wrong with it."""
    problems: list[str] = []
    conditions: list[Compiled] = []
    name = spec.name
    if (spec.when is None) == (not spec.sequence):
        return None, [f"rules.{name}: give either when or sequence"]
    if spec.sequence and len(spec.sequence) < 2:
        problems.append(f"rules.{name}.sequence: needs at least two conditions")
    if spec.sequence and spec.within_s <= 0.0:
        problems.append(f'rules.{name}.within: a sequence needs a time, such as within = "4s"')
    for position, text in enumerate(spec.conditions):
        compiled, mistakes = compile_condition(text, world)
        key = "when" if spec.when is not None else f"sequence[{position}]"
        problems.extend(compile_error_text(name, key, mistake.column, str(mistake)) for mistake in mistakes)
        if compiled is not None:
            conditions.append(compiled)
    if problems:
        return None, problems
    return Rule(spec, conditions, new_id), []
