from __future__ import annotations

from typing import Any

import pytest

from edgenode.decision.rule import RuleSpec
from edgenode.decision.trace import PER_CAMERA, PER_RULE, Trace

RULE = RuleSpec("bad", 'line_1.belt == "defect"', for_s=1.0, cooldown_s=5.0)


def told(rules: Any, scene: Any, t: float, camera: str | None = "line_1") -> str:
    return "\n".join(rules.explain(camera, "bad", scene.at(t)).sentences)


def test_before_anything_was_seen(scene: Any) -> None:
    rules = scene.rules(RULE)
    text = told(rules, scene, 0.0)
    assert 'rule bad: line_1.belt == "defect" (for 1 s, cooldown 5 s)' in text
    assert "has not been looked at yet" in text
    assert "line_1.belt has never been decided" in text


def test_dwell_so_far_with_scores(scene: Any) -> None:
    rules = scene.rules(RULE)
    scene.play(rules, [(0.0, "ok"), (2.0, "defect"), (2.5, "ok")])
    text = told(rules, scene, 2.4)
    assert "the rule was dwelling since 12:00:02.000" in text
    assert "had held for 0.40 s of the 1 s that it must" in text
    assert "at 12:00:02.500 it became idle" in text
    assert "line_1.belt was defect since 12:00:02.000" in text
    assert "last sample 0.40 s before: raw defect 0.90, scores defect 0.90" in text
    assert rules.explain("line_1", "bad", scene.at(2.4)).event_id is None


def test_open_event_is_named(scene: Any) -> None:
    rules = scene.rules(RULE)
    (start, _) = scene.play(rules, [(0.0, "defect"), (9.0, "ok")])
    explanation = rules.explain("line_1", "bad", scene.at(5.0))
    assert explanation.event_id == start.id
    assert any(start.id in each and "reported at 12:00:01.000" in each for each in explanation.sentences)
    assert rules.explain("line_1", "bad", scene.at(9.5)).event_id is None
    assert rules.explain("line_1", "bad", scene.at(0.5)).event_id is None


def test_cooldown_that_kept_an_event_back(scene: Any) -> None:
    rules = scene.rules(RULE)
    scene.play(rules, [(0.0, "defect"), (2.0, "ok"), (3.0, "defect"), (4.5, "defect"), (5.0, "defect")])
    rules.observe(scene.decision(6.0, "ok"))
    rules.tick(6.0, scene.at(6.0))
    text = told(rules, scene, 5.0)
    assert "the rule was cooling down" in text
    assert "had held for 2.00 s of the 1 s that it must" in text
    assert "the cooldown of the event before had 2.00 s to go" in text


def test_gates_and_drops_near_the_time(scene: Any) -> None:
    rules = scene.rules(RULE)
    scene.play(rules, [(0.0, "ok")])
    rules.trace.note("line_1", scene.at(3.0), "gate motion closed: no motion for 2 s")
    rules.trace.note("line_1", scene.at(90.0), "much later")
    text = told(rules, scene, 4.0)
    assert "camera line_1, 12:00:03.000: gate motion closed: no motion for 2 s" in text
    assert "much later" not in text


def test_switched_off_and_other_camera(scene: Any) -> None:
    rules = scene.rules(RULE)
    rules.set_enabled("bad", False, 1.0, scene.at(1.0))
    assert "the rule was disabled" in told(rules, scene, 2.0)
    assert "the rule names no region of camera gate" in told(rules, scene, 2.0, "gate")


def test_time_before_the_trace_begins_is_said_to_be(scene: Any) -> None:
    rules = scene.rules(RULE)
    scene.play(rules, [(10.0, "ok")])
    assert "the trace begins at 12:00:10.000, later than asked for" in told(rules, scene, 3.0)


def test_unknown_rule(scene: Any) -> None:
    with pytest.raises(KeyError):
        scene.rules(RULE).explain(None, "worse", scene.T0)


def test_rings_are_bounded(scene: Any) -> None:
    trace = Trace(regions=10_000)
    for i in range(500):
        trace.decided(scene.decision(float(i), "ok"))
        trace.note("line_1", scene.at(float(i)), "note")
    assert len(trace.decisions("line_1", "belt")) == 16
    assert trace.decisions("line_1", "belt")[-1].captured_s == 499.0
    assert len(trace.notes("line_1")) == PER_CAMERA
    rules = scene.rules(RuleSpec("bad", 'belt == "defect"'))
    scene.play(rules, [(float(i), "ok" if i % 2 else "defect") for i in range(1000)])
    assert len(rules.trace.judgements("bad")) == PER_RULE
    assert len(rules.trace.events("bad")) == PER_RULE
