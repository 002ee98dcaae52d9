"""What must hold for every row of decisions, whatever the rules are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.decision.decider import Decider
from edgenode.decision.region_state import RegionSpec
from edgenode.decision.rule import RuleSpec
from edgenode.records import INVALID, UNKNOWN, Event

GRID_S = 1 / 8
REGIONS = (("line_1", "belt"), ("line_1", "exit"), ("gate", "lane"))
WORDS = ("empty", "ok", "defect", UNKNOWN, INVALID)

RULES = (
    RuleSpec("plain", 'belt == "defect"'),
    RuleSpec("dwell", 'belt == "defect" and not lane == "ok"', for_s=0.5),
    RuleSpec("cool", 'exit in ["ok", "defect"]', cooldown_s=1.0, updates="peak"),
    RuleSpec("both", 'belt == "ok" or probability(exit, "defect") > 0.5', for_s=0.25, cooldown_s=0.5),
    RuleSpec("follow", "rule.dwell or rule.seq", for_s=0.25),
    RuleSpec("seq", sequence=('lane == "ok"', 'belt == "ok"'), within_s=2.0),
    RuleSpec("many", 'count(belt == "defect", window = "3s") >= 2'),
    RuleSpec("share", 'rate(belt == "defect", parts = 2) >= 0.5'),
    RuleSpec("long", 'duration(lane == "defect") >= 1', update_every_s=1.0),
    RuleSpec("chart", 'control_chart(belt == "defect", parts = 2, baseline = 0.2, rules = "1,2")'),
    RuleSpec("often", 'count(rule.plain, window = "1h") >= 2'),
)
NAMES = tuple(rule.name for rule in RULES)
BY_TIME_ALONE = frozenset({"many", "long"})
"""Conditions over time are looked at when something is observed or ticked: their events depend on ticks."""

Instant = dict[int, tuple[str, float]]
"""What is decided at one moment: position in REGIONS → label and probability."""

instant = st.dictionaries(
    st.integers(0, 2), st.tuples(st.sampled_from(WORDS), st.sampled_from([0.55, 0.7, 0.9])), max_size=3
)
rows = st.lists(st.tuples(st.integers(1, 12), instant), max_size=25)
Rows = list[tuple[int, Instant]]


def feed(scene: Any, rules: Any, t: float, now: Instant, shift_s: float = 0.0, order: int = 1) -> list[Event]:
    events: list[Event] = []
    for position in sorted(now, reverse=order < 0):
        label, probability = now[position]
        camera, region = REGIONS[position]
        events += rules.observe(scene.decision(t + shift_s, label, camera, region, probability))
    events += rules.tick(t + shift_s, scene.at(t + shift_s))
    return events


def whole(scene: Any, row: Rows, shift_s: float = 0.0, order: int = 1) -> list[Event]:
    rules, t = scene.rules(*RULES), 0.0
    events: list[Event] = []
    for pause, now in row:
        t += pause * GRID_S
        events += feed(scene, rules, t, now, shift_s, order)
    return events


@given(rows)
def test_start_and_end_alternate_with_one_id(scene: Any, row: Rows) -> None:
    by_rule: dict[str, list[Event]] = defaultdict(list)
    for event in whole(scene, row):
        by_rule[event.rule].append(event)
    for events in by_rule.values():
        current: str | None = None
        n = 0
        for event in events:
            if event.event_type == "start":
                assert current is None
                current, n = event.id, 0
                assert event.started_at <= event.captured_at
            else:
                assert event.id == current
                n += 1
                if event.event_type == "end":
                    current = None
                    assert event.ended_at == event.captured_at
            assert event.n == n
            assert (event.ended_at is not None) == (event.event_type == "end")
        times = [event.captured_at for event in events]
        assert times == sorted(times)


@given(rows, st.integers(-100_000, 100_000))
def test_shifting_all_times_shifts_the_events(scene: Any, row: Rows, steps: int) -> None:
    shift = timedelta(seconds=steps * GRID_S)
    expected = [
        replace(
            event,
            started_at=event.started_at + shift,
            captured_at=event.captured_at + shift,
            ended_at=None if event.ended_at is None else event.ended_at + shift,
        )
        for event in whole(scene, row)
    ]
    assert whole(scene, row, shift.total_seconds()) == expected


@given(rows)
def test_order_of_cameras_within_an_instant_changes_nothing(scene: Any, row: Rows) -> None:
    assert whole(scene, row, order=-1) == whole(scene, row)


@given(rows, st.lists(st.integers(1, 11), max_size=5))
def test_ticks_between_change_no_dwell_cooldown_or_sequence(
    scene: Any, row: Rows, between: list[int]
) -> None:
    steady = [rule for rule in RULES if rule.name not in BY_TIME_ALONE]
    plain, ticked = scene.rules(*steady), scene.rules(*steady)
    expected: list[Event] = []
    events: list[Event] = []
    t = 0.0
    for pause, now in row:
        for step in sorted(set(between)):
            if step < pause:
                events += ticked.tick(t + step * GRID_S, scene.at(t + step * GRID_S))
        t += pause * GRID_S
        expected += feed(scene, plain, t, now)
        events += feed(scene, ticked, t, now)
    assert events == expected


@given(rows, st.integers(0, 24), st.booleans(), st.integers(-1000, 1000))
def test_restart_at_any_point_changes_no_later_event(
    scene: Any, row: Rows, cut: int, unsettled: bool, clock: int
) -> None:
    """Also in the middle of an instant, and under a monotonic clock that reads something else."""
    offset_s = clock * GRID_S
    numbers = count()
    rules, t = scene.rules(*RULES, numbers=numbers), 0.0
    events: list[Event] = []
    moved = False
    for index, (pause, now) in enumerate(row):
        t += pause * GRID_S
        if index != cut:
            events += feed_at(scene, rules, t, offset_s if moved else 0.0, now)
            continue
        if unsettled:
            for position, (label, probability) in now.items():
                camera, region = REGIONS[position]
                events += rules.observe(scene.decision(t, label, camera, region, probability))
        else:
            events += feed(scene, rules, t, now)
        anchor = t if now or not unsettled else t - pause * GRID_S
        state = scene.through_json(rules.export())
        rules = scene.rules(*RULES, numbers=numbers)
        events += rules.restore(state, anchor + offset_s, scene.at(anchor))
        moved = True
        if unsettled:
            events += rules.tick(t + offset_s, scene.at(t))
    assert events == whole(scene, row)


def feed_at(scene: Any, rules: Any, t: float, offset_s: float, now: Instant) -> list[Event]:
    """Monotonic times moved by `offset_s`, UTC as it is."""
    events: list[Event] = []
    for position in sorted(now):
        label, probability = now[position]
        decision = scene.decision(t, label, *REGIONS[position], probability)
        events += rules.observe(
            replace(decision, captured_s=t + offset_s, since_s=decision.since_s + offset_s)
        )
    events += rules.tick(t + offset_s, scene.at(t))
    return events


segments = st.lists(
    st.tuples(st.integers(12, 40), st.sampled_from([0.02, 0.1, 0.9, 0.98])), min_size=1, max_size=6
)


@settings(max_examples=60)
@given(
    segments,
    st.sampled_from(
        [("exponential", 1.0), ("exponential", 0.5), ("vote", 1.0), ("vote", 0.5), ("none", 0.0)]
    ),
    st.sampled_from([0.6, 0.8]),
    st.sampled_from([0.0, 0.5]),
)
def test_halving_the_frame_rate_moves_no_start_by_more_than_a_frame_and_the_window(
    scene: Any, parts: list[tuple[int, float]], smoothing: tuple[str, float], enter: float, for_s: float
) -> None:
    method, window_s = smoothing

    def starts(step: int) -> list[float]:
        states = Decider(
            [RegionSpec("line_1", "belt", method=method, window_s=window_s, enter=enter, leave=0.4)]
        )
        rules = scene.rules(RuleSpec("r", 'belt == "defect"', for_s=for_s))
        row = [p for length, p in parts for _ in range(length)]
        events: list[Event] = []
        for i in range(0, len(row), step):
            t = i * GRID_S
            prediction = scene.prediction(t, [1 - row[i], row[i]], ("ok", "defect"))
            events += rules.observe(states.observe(prediction))
            events += rules.tick(t, scene.at(t))
        return [
            (event.captured_at - scene.T0).total_seconds() for event in events if event.event_type == "start"
        ]

    fast, slow = starts(1), starts(2)
    assert len(fast) == len(slow)
    for one, other in zip(fast, slow, strict=True):
        assert abs(one - other) <= 2 * GRID_S + window_s
