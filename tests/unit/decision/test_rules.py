from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from edgenode.decision.rule import RuleSpec
from edgenode.decision.schedule import Schedule
from edgenode.errors import ConfigurationError
from edgenode.records import INVALID, UNKNOWN, Severity

DEFECT = 'line_1.belt == "defect"'


def test_event_carries_what_the_rule_names(scene: Any) -> None:
    rules = scene.rules(
        RuleSpec("bad", f'{DEFECT} and lane == "ok"', severity=Severity.CRITICAL, snapshot=True)
    )
    scene.play(rules, [(0.5, "ok")], "gate", "lane")
    start, end = scene.play(rules, [(1.0, "defect"), (2.0, "empty")])
    assert (start.camera, start.region, start.label, start.model) == ("line_1", "belt", "defect", scene.MODEL)
    assert (start.severity, start.snapshot, start.probability) == (Severity.CRITICAL, True, 0.9)
    assert (start.started_at, start.captured_at, start.ended_at) == (scene.at(1), scene.at(1), None)
    assert start.reason == (
        'line_1.belt == "defect" and lane == "ok": line_1.belt is defect (0.90), gate.lane is ok (0.90)'
    )
    assert (end.id, end.n, end.ended_at, end.snapshot) == (start.id, 1, scene.at(2), False)
    assert (end.label, end.started_at) == ("defect", scene.at(1))
    assert end.reason == "no longer holds: line_1.belt is empty (0.90), gate.lane is ok (0.90)"


def test_event_is_about_the_region_that_made_the_condition_hold(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", f'{DEFECT} or gate.lane == "defect"'))
    scene.play(rules, [(0.0, "ok")])
    (start,) = scene.play(rules, [(1.0, "defect")], "gate", "lane")
    assert (start.camera, start.region, start.label) == ("gate", "lane", "defect")


def test_event_of_a_probability_is_about_its_region(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", f'{DEFECT} or probability(lane, "defect") > 0.6'))
    scene.play(rules, [(0.0, "ok")])
    (start,) = scene.play(rules, [(1.0, "defect")], "gate", "lane")
    assert (start.region, start.label) == ("lane", "defect")


def test_dwell_that_begins_at_zero_is_measured_from_there(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", DEFECT, for_s=0.5))
    (start,) = scene.play(rules, [(0.0, "defect"), (0.5, "defect")])
    assert "held for 0.50 s" in start.reason


def test_dwell_starts_at_its_exact_time_however_late_it_is_asked(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", DEFECT, for_s=0.3))
    events = scene.play(rules, [(1.0, "defect"), (1.2, "ok"), (2.0, "defect"), (7.0, "ok")])
    assert scene.lines(events) == ["2.3 start bad 0", "7 end bad 1"]
    assert events[0].started_at == scene.at(2.0)
    assert "held for 0.30 s" in events[0].reason


def test_end_carries_the_highest_probability(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", DEFECT))
    for t, p in [(0.0, 0.8), (1.0, 0.97), (2.0, 0.7)]:
        rules.observe(scene.decision(t, "defect", probability=p))
    events = scene.play(rules, [(3.0, "ok")])
    assert [(event.event_type, event.probability) for event in events] == [("end", 0.97)]


def test_cooldown_keeps_the_next_event_back(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", DEFECT, cooldown_s=5.0))
    steps = [(0, "defect"), (1, "ok"), (2, "defect"), (3, "ok"), (4, "defect"), (8, "ok"), (20, "defect")]
    assert scene.lines(scene.play(rules, [(float(t), label) for t, label in steps])) == [
        "0 start bad 0",
        "1 end bad 1",
        "6 start bad 0",
        "8 end bad 1",
        "20 start bad 0",
    ]


def test_update_tells_another_label_and_peaks_only_on_demand(scene: Any) -> None:
    when = 'belt in ["ok", "defect"]'
    samples = [
        (0.0, "ok", 0.7),
        (1.0, "ok", 0.85),
        (2.0, "defect", 0.9),
        (3.0, "defect", 0.9),
        (4.0, "empty", 0.9),
    ]
    expected = {
        "off": ["0 start r 0", "4 end r 1"],
        "change": ["0 start r 0", "2 update r 1", "4 end r 2"],
        "peak": ["0 start r 0", "1 update r 1", "2 update r 2", "4 end r 3"],
    }
    for updates, lines in expected.items():
        rules = scene.rules(RuleSpec("r", when, updates=updates))
        events = []
        for t, label, p in samples:
            events += rules.observe(scene.decision(t, label, probability=p))
            events += rules.tick(t, scene.at(t))
        assert scene.lines(events) == lines


def test_updates_every_so_often(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", DEFECT, update_every_s=10.0))
    events = scene.play(rules, [(0.0, "defect"), (25.0, "ok")])
    assert scene.lines(events) == ["0 start bad 0", "10 update bad 1", "20 update bad 2", "25 end bad 3"]
    assert events[1].reason.startswith("still holds: line_1.belt is defect")


def sequence(scene: Any, *steps: tuple[float, str, str]) -> list[str]:
    """Lane detections `far` and `near`; (time, region, label)."""
    rules = scene.rules(
        RuleSpec("wrong_way", sequence=('gate.lane == "ok"', 'line_1.exit == "ok"'), within_s=4.0)
    )
    where = {"far": ("gate", "lane"), "near": ("line_1", "exit")}
    events = [
        *scene.play(rules, [(0.0, "empty")], "gate", "lane"),
        *scene.play(rules, [(0.0, "empty")], "line_1", "exit"),
    ]
    for t, region, label in steps:
        events += scene.play(rules, [(t, label)], *where[region])
    return list(scene.lines(events))


def passage(first: str, second: str, t: float) -> list[tuple[float, str, str]]:
    return [(t, first, "ok"), (t + 1, second, "ok"), (t + 1.5, first, "empty"), (t + 2.5, second, "empty")]


def test_sequence_in_order_is_an_event_and_the_reverse_is_silent(scene: Any) -> None:
    assert sequence(scene, *passage("far", "near", 1.0)) == ["2 start wrong_way 0", "3.5 end wrong_way 1"]
    assert sequence(scene, *passage("near", "far", 1.0)) == []


def test_sequence_must_be_quick_enough(scene: Any) -> None:
    slow = [(1.0, "far", "ok"), (2.0, "far", "empty"), (5.1, "near", "ok")]
    assert sequence(scene, *slow) == []


def test_vehicles_close_behind_each_other_in_the_right_direction_are_silent(scene: Any) -> None:
    assert sequence(scene, *passage("near", "far", 1.0), *passage("near", "far", 4.0)) == []


def test_flicker_of_a_lane_begins_no_sequence(scene: Any) -> None:
    steps = [
        (1.0, "near", "ok"),
        (2.0, "far", "ok"),
        (2.2, "far", UNKNOWN),
        (2.4, "far", "ok"),
        (2.6, "near", UNKNOWN),
        (2.8, "near", "ok"),
    ]
    assert sequence(scene, *steps) == []


def test_each_vehicle_in_the_wrong_direction_is_an_event(scene: Any) -> None:
    both = sequence(scene, *passage("far", "near", 1.0), *passage("far", "near", 4.0))
    assert [line for line in both if "start" in line] == ["2 start wrong_way 0", "5 start wrong_way 0"]


def test_sequence_begins_with_its_first_step(scene: Any) -> None:
    rules = scene.rules(RuleSpec("s", sequence=('belt == "ok"', 'belt == "defect"'), within_s=4.0))
    (start,) = scene.play(rules, [(0.0, "empty"), (1.0, "ok"), (2.5, "defect")])
    assert (start.started_at, start.label) == (scene.at(1.0), "defect")
    assert "completed in 1.50 s" in start.reason


def test_rule_follows_another_whatever_their_order(scene: Any) -> None:
    rules = scene.rules(
        RuleSpec("alarm", 'rule.bad and not gate.lane == "ok"'), RuleSpec("bad", DEFECT, for_s=1.0)
    )
    events = scene.play(rules, [(0.0, "defect"), (3.0, "ok")])
    assert scene.lines(events) == ["1 start bad 0", "1 start alarm 0", "3 end bad 1", "3 end alarm 1"]
    assert events[1].region == "belt"


def test_schedule_ends_and_holds_back_events(scene: Any) -> None:
    hours = Schedule(((13 * 60 + 1, 13 * 60 + 2),), zone=ZoneInfo("Europe/Berlin"))  # T0 is 13:00 there
    rules = scene.rules(RuleSpec("bad", DEFECT, schedule=hours))
    events = scene.play(rules, [(float(t), "defect") for t in range(0, 200, 20)])
    assert scene.lines(events) == ["60 start bad 0", "120 end bad 1"]
    assert events[1].reason == "outside its schedule now"


def test_switching_a_rule_off_ends_its_event(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", DEFECT), RuleSpec("alarm", "rule.bad"))
    scene.play(rules, [(0.0, "defect")])
    events = rules.set_enabled("bad", False, 1.0, scene.at(1.0))
    assert scene.lines(events) == ["1 end bad 1", "1 end alarm 1"]
    assert events[0].reason == "the rule was switched off"
    assert scene.play(rules, [(2.0, "ok"), (3.0, "defect")]) == []
    assert not rules.is_enabled("bad")
    events = rules.set_enabled("bad", True, 4.0, scene.at(4.0))
    assert scene.lines(events) == ["4 start bad 0", "4 start alarm 0"]


def test_disabled_rule_goes_on_counting(scene: Any) -> None:
    rules = scene.rules(RuleSpec("many", 'count(belt == "ok", window = "1h") >= 2', enabled=False))
    assert scene.play(rules, [(0.0, "empty"), (1.0, "ok"), (2.0, "empty"), (3.0, "ok")]) == []
    assert scene.lines(rules.set_enabled("many", True, 4.0, scene.at(4.0))) == ["4 start many 0"]


def test_lost_camera_ends_the_event_with_its_reason(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", DEFECT))
    events = scene.play(rules, [(0.0, "defect"), (1.0, INVALID)])
    assert events[-1].reason == "no longer holds: line_1.belt is invalid: made by the test"


def test_end_all_ends_with_the_given_reason(scene: Any) -> None:
    rules = scene.rules(RuleSpec("bad", DEFECT), RuleSpec("other", 'belt == "ok"'))
    scene.play(rules, [(0.0, "defect")])
    events = rules.end_all("the recording is over", 2.0, scene.at(2.0))
    assert [(event.rule, event.event_type, event.reason) for event in events] == [
        ("bad", "end", "the recording is over")
    ]
    assert rules.active() == {}


def restarted(scene: Any, before: Any, after: Any, now_s: float, t: float) -> list[Any]:
    events: list[Any] = after.restore(scene.through_json(before.export()), now_s, scene.at(t))
    return events


def test_open_event_survives_a_restart_and_ends_by_what_is_seen(scene: Any) -> None:
    before = scene.rules(RuleSpec("bad", DEFECT, for_s=1.0))
    (start,) = scene.play(before, [(0.0, "defect"), (2.0, "defect")])
    after = scene.rules(RuleSpec("bad", DEFECT, for_s=1.0))
    assert restarted(scene, before, after, 102.0, 60.0) == []
    assert after.active() == {"bad": start.id}
    assert after.tick(103.0, scene.at(61.0)) == []
    after.observe(scene.decision(103.5, "ok"))
    (end,) = after.tick(103.5, scene.at(61.5))
    assert (end.id, end.n, end.event_type, end.started_at) == (start.id, 1, "end", scene.at(0.0))


def test_dwell_does_not_run_while_nobody_watches(scene: Any) -> None:
    spec = RuleSpec("bad", DEFECT, for_s=5.0)
    before, after = scene.rules(spec), scene.rules(spec)
    scene.play(before, [(0.0, "defect"), (4.0, "defect")])
    restarted(scene, before, after, 60.0, 60.0)
    assert after.tick(61.0, scene.at(61.0)) == []
    events = scene.play(after, [(62.0, "defect"), (70.0, "ok")])
    assert scene.lines(events) == ["67 start bad 0", "70 end bad 1"]


@pytest.mark.parametrize(
    ("now", "why"),
    [([RuleSpec("bad", 'belt == "ok"')], "the rule was changed"), ([], "the rule is no longer configured")],
)
def test_event_of_a_rule_that_is_gone_ends_at_the_restart(scene: Any, now: list[RuleSpec], why: str) -> None:
    before = scene.rules(RuleSpec("bad", DEFECT, severity=Severity.CRITICAL))
    (start,) = scene.play(before, [(0.0, "defect")])
    (end,) = restarted(scene, before, scene.rules(*now), 5.0, 5.0)
    assert (end.id, end.n, end.event_type, end.reason) == (start.id, 1, "end", why)
    assert (end.severity, end.label, end.ended_at) == (Severity.CRITICAL, "defect", scene.at(5.0))


def test_switch_survives_a_restart_until_the_configuration_changes(scene: Any) -> None:
    before = scene.rules(RuleSpec("bad", DEFECT))
    before.set_enabled("bad", False, 0.0, scene.at(0.0))
    same = scene.rules(RuleSpec("bad", DEFECT))
    restarted(scene, before, same, 1.0, 1.0)
    assert not same.is_enabled("bad")


def test_clock_set_back_during_a_restart_does_no_harm(scene: Any) -> None:
    spec = RuleSpec("bad", DEFECT, for_s=1.0)
    before, after = scene.rules(spec), scene.rules(spec)
    scene.play(before, [(100.0, "defect"), (100.5, "defect")])
    restarted(scene, before, after, 3.0, 3.0)
    assert scene.lines(scene.play(after, [(4.0, "defect"), (6.0, "ok")])) == [
        "3.5 start bad 0",
        "6 end bad 1",
    ]


def test_unknown_regions_state_is_neither_equal_nor_seen(scene: Any) -> None:
    rules = scene.rules(RuleSpec("r", 'belt == "unknown"'), RuleSpec("s", 'lane == "ok"'))
    assert scene.lines(rules.tick(0.0, scene.at(0.0))) == []
    assert scene.lines(scene.play(rules, [(1.0, UNKNOWN)])) == ["1 start r 0"]


def test_every_mistake_of_every_rule_is_told_at_once(scene: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scene.rules(
            RuleSpec("a", 'belt == "defekt" and lane == "oke"'),
            RuleSpec("b", "rule.c"),
            RuleSpec("c", 'rule.d or belt = "ok"'),
            RuleSpec("d", "rule.b and rule.e"),
            RuleSpec("e", 'rule.b and belt == "ok"'),
            RuleSpec("f", DEFECT, sequence=(DEFECT, DEFECT), within_s=1.0),
            RuleSpec("g"),
            RuleSpec("h", sequence=(DEFECT,), within_s=0.0),
            RuleSpec("i", sequence=(DEFECT, 'belt == "of"'), within_s=1.0),
            RuleSpec("j", "rule.j"),
        )
    assert caught.value.problems == [
        'rules.a.when, column 9: line_1.belt has no label "defekt"; did you mean "defect"? '
        "(it has: empty, ok, defect, unknown, invalid)",
        'rules.a.when, column 30: gate.lane has no label "oke"; did you mean "ok"? '
        "(it has: empty, ok, defect, unknown, invalid)",
        'rules.c.when, column 16: cannot be read: invalid syntax; write "==" to compare',
        "rules.f: give either when or sequence",
        "rules.g: give either when or sequence",
        "rules.h.sequence: needs at least two conditions",
        'rules.h.within: a sequence needs a time, such as within = "4s"',
        'rules.i.sequence[1], column 9: line_1.belt has no label "of" '
        "(it has: empty, ok, defect, unknown, invalid)",
        "rules.j.when: rules name each other in a circle: j → j",
    ]


def test_circle_of_rules_is_refused(scene: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scene.rules(
            RuleSpec("a", "rule.b"), RuleSpec("b", "not rule.c"), RuleSpec("c", f"rule.a or {DEFECT}")
        )
    assert caught.value.problems == ["rules.a.when: rules name each other in a circle: a → b → c → a"]


def test_circle_in_an_expression_of_several_lines_is_refused(scene: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scene.rules(
            RuleSpec("a", f"{DEFECT}"),
            RuleSpec("b", f"{DEFECT}\n  or count(rule.b, window='1m') > 1 or rule.b"),
        )
    assert caught.value.problems == ["rules.b.when: rules name each other in a circle: b → b"]


def test_chain_of_rules_longer_than_the_stack_is_deep(scene: Any) -> None:
    chain = [RuleSpec(f"r{number}", f"rule.r{number + 1}") for number in range(2000)]
    rules = scene.rules(*chain, RuleSpec("r2000", DEFECT))
    assert rules.names == tuple(f"r{number}" for number in range(2000, -1, -1))


def test_subjects_name_what_a_rule_looks_for(scene: Any) -> None:
    rules = scene.rules(
        RuleSpec("a", f'{DEFECT} and count(lane == "ok", window = "1m") > 1'), RuleSpec("b", "rule.a")
    )
    assert rules.subjects() == {
        "a": (("line_1", "belt", "defect"), ("gate", "lane", "ok")),
        "b": (),
    }
