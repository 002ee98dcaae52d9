from __future__ import annotations

from typing import Any

import pytest

from edgenode.decision.facts import Inventory, RegionLabels
from edgenode.decision.rule import RuleSpec
from edgenode.decision.rules import RuleSet
from edgenode.records import INVALID, UNKNOWN


def row(labels: str, step: float = 1.0) -> list[tuple[float, str]]:
    """`e o d ? !` → a row of times and labels."""
    words = {"e": "empty", "o": "ok", "d": "defect", "?": UNKNOWN, "!": INVALID}
    return [(i * step, words[each]) for i, each in enumerate(labels.replace(" ", ""))]


def starts(scene: Any, when: str, labels: str, step: float = 1.0) -> list[float]:
    """When events of the rule started."""
    events = scene.play(scene.rules(RuleSpec("r", when)), row(labels, step))
    return [(e.captured_at - scene.T0).total_seconds() for e in events if e.event_type == "start"]


def test_count_counts_entries_and_not_samples(scene: Any) -> None:
    assert starts(scene, 'count(belt == "defect", window = "1h") >= 2', "e ddd e ddd e") == [5.0]


def test_passage_interrupted_by_doubt_counts_once(scene: Any) -> None:
    assert starts(scene, 'count(belt == "defect", window = "1h") >= 2', "e dd ? dd ?? d ! d e") == []
    assert starts(scene, 'count(belt == "defect", window = "1h") >= 2', "e dd ? e ? d e") == [6.0]


def test_doubt_itself_can_be_counted(scene: Any) -> None:
    assert starts(scene, 'count(belt == "unknown", window = "1h") >= 2', "e ? e ?") == [3.0]


def test_what_was_there_at_the_first_look_is_no_entry(scene: Any) -> None:
    assert starts(scene, 'count(belt == "defect", window = "1h") >= 1', "? dd e e") == []


def test_count_forgets_what_is_older_than_the_window(scene: Any) -> None:
    events = scene.play(
        scene.rules(RuleSpec("r", 'count(belt == "defect", window = "4s") >= 2')), row("e d e d e e e e e e")
    )
    assert scene.lines(events) == ["3 start r 0", "5 end r 1"]
    assert events[0].value == 2.0
    assert (events[0].region, events[0].label, events[0].probability) == ("belt", "defect", None)


def test_rate_per_minute(scene: Any) -> None:
    assert starts(scene, 'rate_per_minute(belt == "ok", window = "30s") >= 4', "e o e o e o") == [3.0]


def test_duration_grows_while_nothing_is_observed(scene: Any) -> None:
    rules = scene.rules(RuleSpec("r", 'duration(belt == "defect") > 3'))
    events = scene.play(rules, row("e d d"))
    for t in (4.0, 4.25, 9.0):
        events += rules.tick(t, scene.at(t))
    events += scene.play(rules, [(10.0, "ok")])
    assert scene.lines(events) == ["4.25 start r 0", "10 end r 1"]


def test_rate_is_the_share_of_the_last_parts(scene: Any) -> None:
    when = 'rate(belt == "defect", parts = 4) >= 0.5'
    assert starts(scene, when, "e d e d e o e o e o e") == [8.0]
    assert starts(scene, when, "e d e o e o e d e") == [8.0]
    assert starts(scene, when, "e d e d e d") == []


def test_part_that_changes_its_label_is_one_part(scene: Any) -> None:
    when = 'rate(belt == "defect", parts = 2) == 0.5'
    assert starts(scene, when, "e oodoo e ooo e") == [10.0]


def test_part_not_seen_from_end_to_end_is_no_part(scene: Any) -> None:
    when = 'rate(belt == "defect", parts = 1) == 1'
    assert starts(scene, when, "d e o e") == []
    assert starts(scene, when, "e d ! d e") == []
    assert starts(scene, when, "e d ? d e") == [4.0]


def test_without_background_each_change_is_a_part(scene: Any) -> None:
    when = 'rate(belt == "defect", parts = 3, background = []) > 0.6'
    assert starts(scene, when, "o d o d") == []
    assert starts(scene, when, "o d o d o") == [4.0]
    assert starts(scene, when, "e d o d ? d o") == [6.0]


def test_region_without_known_labels_takes_a_named_background(scene: Any) -> None:
    rules = RuleSet(
        [RuleSpec("r", 'rate(belt == "defect", parts = 1, background = "empty") == 1')],
        Inventory({("line_1", "belt"): None}),
        str,
    )
    assert scene.lines(scene.play(rules, row("e d e"))) == ["2 start r 0"]


def test_control_chart_starts_an_event_with_the_share_as_its_value(scene: Any) -> None:
    when = 'control_chart(belt == "defect", parts = 4, baseline = 0.1, rules = "1")'
    parts = "oooo oodo dddo"
    events = scene.play(
        scene.rules(RuleSpec("drift", when)), row("e" + "".join(f"{p}e" for p in parts.replace(" ", "")))
    )
    assert scene.lines(events) == ["24 start drift 0"]
    assert events[0].value == 0.75


def test_rule_inside_count_escalates(scene: Any) -> None:
    rules = scene.rules(
        RuleSpec("escalation", 'count(rule.defect, window = "1h") >= 3'),
        RuleSpec("defect", 'belt == "defect"'),
    )
    events = scene.play(rules, row("e d e d e d e"))
    assert [line for line in scene.lines(events) if "escalation" in line] == ["5 start escalation 0"]


def test_equal_calls_of_two_rules_are_one_instrument(scene: Any) -> None:
    rules = scene.rules(
        RuleSpec("a", 'count(belt == "ok", window="1m") >= 2'),
        RuleSpec("b", 'count(belt == "ok",window = "1m") >= 2', enabled=False),
    )
    assert len(rules.export()["instruments"]) == 1
    assert scene.lines(scene.play(rules, row("e o e o"))) == ["3 start a 0"]


@pytest.mark.parametrize("labels", [("ok", "defect"), ("nothing", "ok")])
def test_default_background_must_be_a_label(labels: tuple[str, ...]) -> None:
    from edgenode.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="stands between parts"):
        RuleSet(
            [RuleSpec("r", 'rate(belt == "ok", parts = 3) > 0')],
            Inventory({("line_1", "belt"): RegionLabels(labels)}),
            str,
        )
