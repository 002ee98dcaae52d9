"""All rules: decisions in, events out."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from edgenode.errors import ConfigurationError
from edgenode.records import INVALID, Decision, Event, JsonObject

from .event_machine import open_event_from_json, orphan_end
from .expression import named_rules
from .facts import Fact, Inventory, World
from .instruments import TICK_S
from .region_state import clock_offset_s, decision_from_json, decision_to_json
from .rule import Rule, RuleSpec, bind
from .trace import Explanation, Trace, explain

STATE_VERSION = 1


class RuleSet:
    """Evaluates rules over the decided states. Pure and not thread-safe: the caller serialises the calls.

    What happens at one instant is looked at once all of it is known: `observe` only takes the decision in and
    returns the events of earlier instants; `tick` closes the instant. So the order in which cameras' samples
    of one instant arrive changes nothing. Dwell, cooldown and periodic updates happen at their exact times
    however late the next call is; conditions over time (`duration`, `count`, schedules) are looked at when a
    region they name is observed and at each tick.

    Whom to call when: after each batch, `tick` with the newest capture time in it; while nothing comes, about
    four times a second with a time that lies back by the usual latency (half a second): no decision of before
    that is still on its way then. A replay ticks with each frame's time.

    Time never goes back: a decision that is older than what was seen counts as of now.
    """

    def __init__(
        self,
        specs: Iterable[RuleSpec],
        inventory: Inventory,
        new_id: Callable[[datetime], str],
        trace: Trace | None = None,
    ) -> None:
        """`new_id` names an event that begins at the given time. Raises ConfigurationError with all
        mistakes."""
        listed = list(specs)
        self._world = World(Inventory(inventory.regions, tuple(spec.name for spec in listed)))
        self._rules = _in_order(_bind_all(listed, self._world, new_id))
        self._positions = {rule.name: position for position, rule in enumerate(self._rules)}
        self._watching: dict[Fact, list[int]] = {fact: [] for fact in self._world.facts.values()}
        for position, rule in enumerate(self._rules):
            for name in rule.used.rules:
                named = self._rules[self._positions[name]]
                named.followers.append(position)
                rule.facts.extend(fact for fact in named.facts if fact not in rule.facts)
                rule.atoms.extend(named.atoms)
            for fact in rule.facts:
                self._watching[fact].append(position)
        self._timed = [position for position, rule in enumerate(self._rules) if rule.timed]
        self._waiting: list[int] = []
        """A heap of the positions of the rules to look at when this instant closes."""
        self._due: list[tuple[float, int]] = []
        self._now_s = float("-inf")
        self._now_at = datetime.fromtimestamp(0, UTC)
        self._unseen: set[Fact] = set()
        """Facts of a former process that no sample of this one has confirmed yet."""
        self.trace = trace if trace is not None else Trace(regions=len(self._world.facts))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._positions)

    def active(self) -> dict[str, str]:
        """Rules with an open event, and its id."""
        return {rule.name: rule.machine.open.id for rule in self._rules if rule.machine.open is not None}

    def event_about(self, camera: str, region: str) -> str | None:
        """The id of the open event about a region; of several rules' the one that began last."""
        opened = [rule.machine.open for rule in self._rules if rule.machine.open is not None]
        here = [each for each in opened if (each.subject.camera, each.subject.region) == (camera, region)]
        return max(here, key=lambda each: each.started_at).id if here else None

    def subjects(self) -> dict[str, tuple[tuple[str, str, str], ...]]:
        """For each rule the (camera, region, label) that its condition names, in order."""
        return {
            rule.name: tuple(dict.fromkeys((fact.camera, fact.region, label) for fact, label in rule.named))
            for rule in self._rules
        }

    def is_enabled(self, rule: str) -> bool:
        return self._rules[self._positions[rule]].enabled

    def observe(self, decision: Decision) -> list[Event]:
        """Take a decision in. Events of instants before it, oldest first. Unknown regions are passed over."""
        fact = self._world.facts.get((decision.camera, decision.region))
        events = self._advance(decision.captured_s, decision.captured_at)
        self.trace.decided(decision)
        if fact is None:
            return events
        changed = fact.take(decision)
        if self._unseen and fact in self._unseen:
            self._unseen.discard(fact)
            changed = True
        rules = self._rules
        for position in self._watching[fact]:
            rule = rules[position]
            if changed or rule.restless:
                self._wait(position)
            elif rule.machine.open is not None:
                rule.machine.heighten(decision)
        return events

    def tick(self, now_s: float, now_at: datetime) -> list[Event]:
        """Close the instant `now_s`: everything up to and with it is decided. Events, oldest first."""
        events = self._advance(now_s, now_at)
        for position in self._timed:
            self._wait(position)
        self._close(events)
        return events

    def set_enabled(self, rule: str, enabled: bool, now_s: float, now_at: datetime) -> list[Event]:
        """Switch a rule on or off at run time; an open event ends. Raises KeyError for an unknown rule."""
        position = self._positions[rule]
        events = self.tick(now_s, now_at)
        switched = self._rules[position]
        if switched.enabled != enabled:
            switched.enabled = enabled
            self._append(events, switched.machine.end("the rule was switched off", self._now_s, self._now_at))
            self._after(position)
            self._wait(position)
            self._close(events)
        return events

    def end_all(self, reason: str, now_s: float, now_at: datetime) -> list[Event]:
        """End every open event, as when the recordings that were replayed are over. Not for a restart."""
        events = self.tick(now_s, now_at)
        for position, rule in enumerate(self._rules):
            self._append(events, rule.machine.end(reason, self._now_s, self._now_at))
            self._after(position)
        return events

    def explain(self, camera: str | None, rule: str, at: datetime) -> Explanation:
        """Why there was or wasn't an event of `rule` at `at`. Raises KeyError for an unknown rule."""
        return explain(self.trace, self._rules[self._positions[rule]], camera, at)

    def _advance(self, now_s: float, now_at: datetime) -> list[Event]:
        """Decide everything before `now_s` and go there."""
        events: list[Event] = []
        if now_s <= self._now_s:
            if now_s == self._now_s and now_at > self._now_at:
                self._now_at = now_at
            return events
        if self._waiting:
            self._close(events)
        while self._due and self._due[0][0] < now_s - TICK_S:
            due_s, position = heapq.heappop(self._due)
            rule = self._rules[position]
            if rule.due_queued_s == due_s:
                rule.due_queued_s = None
            if rule.machine.due_s == due_s:
                passed_s = max(due_s - self._now_s, 0.0)
                self._now_at += timedelta(seconds=passed_s)
                self._now_s += passed_s
                self._wait(position)
                self._close(events)
        self._now_s, self._now_at = now_s, now_at
        return events

    def _close(self, events: list[Event]) -> None:
        """Look at every waiting rule as of now; rules that name a changed one follow it."""
        now_s, now_at = self._now_s, self._now_at
        self._world.now_s = now_s
        while self._due and self._due[0][0] <= now_s + TICK_S:
            due_s, position = heapq.heappop(self._due)
            if self._rules[position].due_queued_s == due_s:
                self._rules[position].due_queued_s = None
            self._wait(position)
        waiting = self._waiting
        while waiting:
            position = heapq.heappop(waiting)
            rule = self._rules[position]
            rule.waiting = False
            if self._unseen and not self._unseen.isdisjoint(rule.used.facts):
                continue
            self._append(events, rule.evaluate(now_s, now_at))
            self._after(position)

    def _append(self, events: list[Event], event: Event | None) -> None:
        if event is not None:
            events.append(event)
            self.trace.happened(event)

    def _after(self, position: int) -> None:
        """Remember what a rule has become: for rules that name it, for its next due time, for `explain`."""
        rule = self._rules[position]
        machine = rule.machine
        active = machine.open is not None
        if self._world.active[rule.name] != active:
            self._world.active[rule.name] = active
            for follower in rule.followers:
                self._wait(follower)
        if machine.since_s is not None:
            due_s = machine.due_s
            if due_s is not None and due_s != rule.due_queued_s:
                rule.due_queued_s = due_s
                heapq.heappush(self._due, (due_s, position))
        status = rule.status
        if status is not rule.told_status or machine.since_s != rule.told_since_s:
            rule.told_status, rule.told_since_s = status, machine.since_s
            self.trace.judged(rule, self._now_at)

    def _wait(self, position: int) -> None:
        rule = self._rules[position]
        if not rule.waiting:
            rule.waiting = True
            heapq.heappush(self._waiting, position)

    def export(self) -> JsonObject:
        """The state as a JSON object, for `restore` in a later process."""
        return {
            "version": STATE_VERSION,
            "anchor_s": self._now_s if self._now_s != float("-inf") else 0.0,
            "anchor_at": self._now_at.isoformat(),
            "rules": [rule.export() for rule in self._rules],
            "waiting": sorted({self._rules[position].name for position in self._waiting}),
            "instruments": {key: each.export() for key, each in self._world.instruments.items()},
            "decisions": [
                decision_to_json(fact.decision)
                for fact in self._world.facts.values()
                if fact.decision is not None
            ],
        }

    def restore(self, state: JsonObject, now_s: float, now_at: datetime) -> list[Event]:
        """Go on from an export; call it before anything is observed.

        Open events stay open until a sample of this process says otherwise. Those of rules that are gone or
        changed end now: they are returned. A dwell in progress begins anew if there was a pause, and until a
        rule's regions have been seen again it is not looked at: nobody watched in the meantime. Raises
        KeyError, TypeError or ValueError on an object that `export` did not make.
        """
        if state["version"] != STATE_VERSION:
            return []
        offset_s = clock_offset_s(state, now_s, now_at)
        paused = now_s - (float(state["anchor_s"]) + offset_s) > TICK_S
        for entry in state["decisions"]:
            fact = self._world.facts.get((entry["camera"], entry["region"]))
            if fact is not None:
                fact.take(decision_from_json(entry, offset_s))
                if paused and fact.label != INVALID:
                    self._unseen.add(fact)
        for key, instrument in self._world.instruments.items():
            if key in state["instruments"]:
                instrument.restore(state["instruments"][key], offset_s)
        self._now_s, self._now_at = now_s, now_at
        events: list[Event] = []
        for entry in state["rules"]:
            position = self._positions.get(entry["name"])
            if position is None or self._rules[position].spec.text != entry["text"]:
                why = "is no longer configured" if position is None else "was changed"
                self._append(events, _last_of(entry, f"the rule {why}", offset_s, now_at))
                continue
            rule = self._rules[position]
            rule.restore(entry, offset_s)
            if paused:
                rule.machine.resume(now_s)
            self._world.active[rule.name] = rule.machine.open is not None
            self._after(position)
        if not paused:
            for name in state["waiting"]:
                if name in self._positions:
                    self._wait(self._positions[name])
        return events


def _bind_all(specs: list[RuleSpec], world: World, new_id: Callable[[datetime], str]) -> list[Rule]:
    problems: list[str] = []
    rules: list[Rule] = []
    for spec in specs:
        rule, mistakes = bind(spec, world, new_id)
        problems.extend(mistakes)
        if rule is not None:
            rules.append(rule)
    problems.extend(
        _circles(
            {spec.name: [name for text in spec.conditions for name in named_rules(text)] for spec in specs}
        )
    )
    if problems:
        raise ConfigurationError(problems)
    return rules


def _circles(names: dict[str, list[str]]) -> list[str]:
    """One sentence for each circle of rules that name each other."""
    problems: list[str] = []
    done: set[str] = set()
    for start in names:
        path: list[str] = []
        # a chain may be longer than Python's stack is deep
        visits = [iter([start])]
        while visits:
            name = next(visits[-1], None)
            if name is None:
                visits.pop()
                done.update(path[-1:])
                del path[-1:]
            elif name in path:
                circle = [*path[path.index(name) :], name]
                problems.append(f"rules.{name}.when: rules name each other in a circle: {' → '.join(circle)}")
            elif name not in done:
                path.append(name)
                visits.append(iter(dict.fromkeys(names.get(name, []))))
    return problems


def _in_order(rules: list[Rule]) -> list[Rule]:
    """Rules after those they name, otherwise as configured; no circles."""
    by_name = {rule.name: rule for rule in rules}
    ordered: dict[str, Rule] = {}
    for first in rules:
        waiting = [first]
        while waiting:
            rule = waiting[-1]
            missing = [name for name in rule.used.rules if name not in ordered]
            if missing:
                waiting.extend(by_name[name] for name in reversed(missing))
            else:
                ordered.setdefault(rule.name, waiting.pop())
    return list(ordered.values())


def _last_of(entry: JsonObject, reason: str, offset_s: float, now_at: datetime) -> Event | None:
    """The end of an event whose rule is gone."""
    if entry["machine"]["open"] is None:
        return None
    return orphan_end(
        entry["name"],
        entry["severity"],
        open_event_from_json(entry["machine"]["open"], offset_s),
        reason,
        now_at,
    )
