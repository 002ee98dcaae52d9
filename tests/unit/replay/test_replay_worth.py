"""Scoring a replay rule by rule, and comparing two configurations' events."""

from __future__ import annotations

from math import inf

import pytest

from edgenode.errors import DataError
from edgenode.replay.scoring import EventInterval, TruthInterval
from edgenode.replay.worth import compare, score_rules
from edgenode.settings import CameraSettings, RegionSettings, RuleSettings, Settings

CLIP = "bench.mp4"
SUBJECTS = {
    "missing": (("bench", "left", "absent"),),
    "both": (("bench", "left", "absent"), ("bench", "right", "absent")),
    "moved": (("bench", "right", "moved"),),
}
SETTINGS = Settings(
    cameras=[
        CameraSettings(
            name="bench",
            source=f"clips/{CLIP}",
            regions=[RegionSettings(name="left"), RegionSettings(name="right")],
        )
    ],
    rules=[
        RuleSettings(name="missing", when='left == "absent"', for_=0.5),
        RuleSettings(name="both", when='left == "absent" and right == "absent"'),
        RuleSettings(name="moved", when='right == "moved"'),
    ],
)


def event(rule: str, region: str, start_s: float, end_s: float = inf) -> EventInterval:
    return EventInterval(CLIP, rule, region, "absent", start_s, end_s)


def truth(region: str, start_s: float, end_s: float, label: str = "absent") -> TruthInterval:
    return TruthInterval(CLIP, region, label, start_s, end_s)


def test_a_rule_is_scored_with_its_regions_or_with_truth_in_its_own_name() -> None:
    events = [
        event("missing", "left", 1.2, 4.0),
        event("both", "right", 2.5, 4.0),
        event("both", "left", 8.0, 9.0),
    ]
    scores = score_rules(
        events,
        [
            truth("left", 1.0, 4.0),
            truth("left", 6.0, 6.3),
            truth("left", 0.0, 1.0, "present"),
            truth("both", 2.4, 4.0, "x"),
        ],
        SETTINGS,
        SUBJECTS,
    )
    assert scores.rules["missing"].f1 == 1.0, "shorter than the rule's `for`: need not be reported"
    assert scores.rules["missing"].start_errors_s == pytest.approx([0.2])
    assert scores.rules["both"].precision == 0.5
    assert scores.rules["both"].recall == 1.0
    assert scores.unscored == ("moved",)
    assert scores.total.f1 == pytest.approx(0.8)
    assert "rule moved: not scored" in scores.text()
    assert scores.to_json()["rules"]["both"]["false"][0]["start_s"] == 8.0


def test_a_rule_without_true_intervals_is_scored_where_its_region_was_labelled() -> None:
    scores = score_rules(
        [event("missing", "left", 1.0)], [truth("left", 0.0, 9.0, "present")], SETTINGS, SUBJECTS
    )
    assert scores.rules["missing"].precision == 0.0
    assert scores.rules["missing"].recall is None


@pytest.mark.parametrize(
    ("stranger", "hint"),
    [
        (TruthInterval("bensh.mp4", "left", "absent", 0, 1), 'did you mean "bench.mp4"?'),
        (truth("lefft", 0, 1), 'did you mean "left"?'),
    ],
)
def test_truth_about_what_is_not_there_is_a_mistake(stranger: TruthInterval, hint: str) -> None:
    with pytest.raises(DataError, match=hint.replace("?", r"\?")):
        score_rules([], [stranger], SETTINGS, SUBJECTS)


def test_comparison_pairs_events_and_names_the_rest() -> None:
    here = [
        event("missing", "left", 1.0, 3.0),
        event("missing", "left", 7.0, 8.0),
        event("both", "left", 1.0, 2.0),
    ]
    there = [
        event("missing", "left", 1.4, 3.0),
        event("missing", "left", 20.0),
        event("both", "left", 1.02, 2.0),
    ]
    found = compare(here, there)
    assert [(pair.truth.start_s, pair.event.start_s) for pair in found.both] == [(1.0, 1.4), (1.0, 1.02)]
    assert [pair.event.start_s for pair in found.moved] == [1.4]
    assert [each.start_s for each in found.only_here] == [7.0]
    assert [each.start_s for each in found.only_there] == [20.0]
    assert "moved: bench.mp4 left absent from 1.00 s to 1.40 s (+0.40 s)" in found.text("other.toml")
    assert found.to_json()["only_there"][0]["end_s"] is None


def test_the_same_events_differ_in_nothing() -> None:
    same = [event("missing", "left", 1.0, 3.0), event("both", "right", 2.0)]
    found = compare(same, list(same))
    assert (len(found.both), found.moved, found.only_here, found.only_there) == (2, (), (), ())
