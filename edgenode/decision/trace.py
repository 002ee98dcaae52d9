"""What happened lately, kept in RAM and bounded, so that `explain` can say why there was or wasn't an
event."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from edgenode.records import Decision, Event

if TYPE_CHECKING:
    from .rule import Rule

DECISIONS = 20_000
"""Decisions kept over all regions; about 600 bytes each."""
PER_REGION = (16, 600)
"""Least and most of them for one region."""
PER_RULE = 200
PER_CAMERA = 200
CAMERAS = 1000


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule has been doing since `at`."""

    at: datetime
    status: str
    since_at: datetime | None
    """Since when its condition holds."""
    cooldown_s: float
    """What remained of the cooldown at `at`."""
    facts: str


@dataclass(frozen=True, slots=True)
class Note:
    """A fact about a camera from outside the decisions: a gate that closed, samples that were dropped."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why there was or wasn't an event. `sentences` are for people, in order."""

    rule: str
    camera: str | None
    at: datetime
    event_id: str | None
    """The event that was open at that time."""
    sentences: tuple[str, ...]


class Trace:
    """Rings of recent facts. Filled by the rule set; gates and drops by whoever knows of them (`note`)."""

    def __init__(self, regions: int) -> None:
        least, most = PER_REGION
        self._length = max(least, min(most, DECISIONS // max(regions, 1)))
        self._decisions: dict[tuple[str, str], deque[Decision]] = {}
        self._judgements: dict[str, deque[Judgement]] = {}
        self._events: dict[str, deque[Event]] = {}
        self._notes: dict[str, deque[Note]] = {}

    def decided(self, decision: Decision) -> None:
        key = (decision.camera, decision.region)
        ring = self._decisions.get(key)
        if ring is None:
            ring = self._decisions[key] = deque(maxlen=self._length)
        ring.append(decision)

    def judged(self, rule: Rule, now_at: datetime) -> None:
        """Remember what `rule` is doing now."""
        ring = self._judgements.setdefault(rule.name, deque(maxlen=PER_RULE))
        machine = rule.machine
        cooldown_s = machine.cooldown_left_s(rule.now_s)
        ring.append(Judgement(now_at, str(rule.status), machine.since_at, cooldown_s, rule.facts_text()))

    def happened(self, event: Event) -> None:
        self._events.setdefault(event.rule, deque(maxlen=PER_RULE)).append(event)

    def note(self, camera: str, at: datetime, text: str) -> None:
        """A gate that opened or closed, samples that were dropped, a camera that went: in words."""
        if camera in self._notes or len(self._notes) < CAMERAS:
            self._notes.setdefault(camera, deque(maxlen=PER_CAMERA)).append(Note(at, text))

    def decisions(self, camera: str, region: str) -> list[Decision]:
        """The remembered decisions of a region, oldest first."""
        return list(self._decisions.get((camera, region), ()))

    def judgements(self, rule: str) -> list[Judgement]:
        return list(self._judgements.get(rule, ()))

    def events(self, rule: str) -> list[Event]:
        return list(self._events.get(rule, ()))

    def notes(self, camera: str) -> list[Note]:
        return list(self._notes.get(camera, ()))


def explain(trace: Trace, rule: Rule, camera: str | None, at: datetime) -> Explanation:
    """What the trace tells of `rule` at `at`; `camera` narrows the regions that are told of."""
    lines = [f"rule {rule.name}: {rule.spec.text}" + _manner(rule)]
    event = _event_at(trace.events(rule.name), at)
    if event is not None:
        lines.append(
            f"an event was open: {event.id}, started at {_clock(event.started_at)}, "
            f"reported at {_clock(event.captured_at)}: {event.reason}"
        )
    lines.extend(_judgement_lines(trace.judgements(rule.name), rule, at))
    facts = [fact for fact in rule.facts if camera in (None, fact.camera)]
    if not facts and camera is not None:
        lines.append(f"the rule names no region of camera {camera}")
    lines.extend(_decision_line(fact.name, trace.decisions(fact.camera, fact.region), at) for fact in facts)
    for name in dict.fromkeys(fact.camera for fact in facts):
        near = [each for each in trace.notes(name) if abs(each.at - at) <= timedelta(seconds=5)]
        lines.extend(f"camera {name}, {_clock(each.at)}: {each.text}" for each in near[-5:])
    return Explanation(rule.name, camera, at, None if event is None else event.id, tuple(lines))


def _manner(rule: Rule) -> str:
    parts = []
    if rule.spec.for_s > 0.0:
        parts.append(f"for {rule.spec.for_s:g} s")
    if rule.spec.cooldown_s > 0.0:
        parts.append(f"cooldown {rule.spec.cooldown_s:g} s")
    if rule.spec.schedule is not None:
        parts.append("on a schedule")
    return f" ({', '.join(parts)})" if parts else ""


def _event_at(events: list[Event], at: datetime) -> Event | None:
    """The first step of the event that was open at `at`."""
    starts = [each for each in events if each.event_type == "start" and each.captured_at <= at]
    if not starts:
        return None
    ended = [each for each in events if each.id == starts[-1].id and each.ended_at is not None]
    return None if ended and ended[0].captured_at <= at else starts[-1]


def _judgement_lines(judgements: list[Judgement], rule: Rule, at: datetime) -> list[str]:
    past = [each for each in judgements if each.at <= at]
    if not past:
        if not judgements:
            return ["the rule has not been looked at yet: none of its regions has been seen"]
        return [f"the trace begins at {_clock(judgements[0].at)}, later than asked for"]
    last = past[-1]
    lines = [f"the rule was {last.status} since {_clock(last.at)}: {last.facts}"]
    if last.status in ("dwelling", "cooling down") and last.since_at is not None:
        dwell_s = (at - last.since_at).total_seconds()
        lines.append(f"the condition had held for {dwell_s:.2f} s of the {rule.spec.for_s:g} s that it must")
        left_s = last.cooldown_s - (at - last.at).total_seconds()
        if left_s > 0.0:
            lines.append(f"the cooldown of the event before had {left_s:.2f} s to go")
    if rule.progress_text() and last is judgements[-1]:
        lines.append(f"of the sequence, {rule.progress_text()} by now")
    later = [each for each in judgements if each.at > at]
    if later:
        lines.append(f"at {_clock(later[0].at)} it became {later[0].status}: {later[0].facts}")
    return lines


def _decision_line(name: str, decisions: list[Decision], at: datetime) -> str:
    past = [each for each in decisions if each.captured_at <= at]
    if not decisions:
        return f"{name} has never been decided"
    if not past:
        return f"{name}: the trace begins at {_clock(decisions[0].captured_at)}, later than asked for"
    last = past[-1]
    age_s = (at - last.captured_at).total_seconds()
    scores = sorted(last.scores.items(), key=lambda item: -item[1])[:4]
    shown = ", ".join(f"{label} {score:.2f}" for label, score in scores)
    return (
        f"{name} was {last.label} since {_clock(last.since_at)} ({last.reason}); "
        f"last sample {age_s:.2f} s before: raw {last.raw_label} {last.raw_probability:.2f}"
        + (f", scores {shown}" if shown else "")
    )


def _clock(at: datetime) -> str:
    return at.strftime("%H:%M:%S.%f")[:-3]
