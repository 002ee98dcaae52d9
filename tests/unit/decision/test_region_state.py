from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.decision.decider import Decider, UnknownRegionError
from edgenode.decision.region_state import RegionSpec
from edgenode.records import INVALID, NONE, UNKNOWN, CameraReport, CameraStatus, Decision

TWO = ("ok", "defect")


def decider(**settings: Any) -> Decider:
    return Decider([RegionSpec("line_1", "belt", **settings)])


def run(scene: Any, states: Decider, values: list[float], start: float = 0.0, fps: float = 10.0) -> list[str]:
    """Labels decided for a row of probabilities of `defect`."""
    return [
        states.observe(scene.prediction(start + i / fps, [1 - p, p], TWO)).label for i, p in enumerate(values)
    ]


def test_first_confident_sample_is_the_state_at_once(scene: Any) -> None:
    decision = decider(enter=0.8, leave=0.5).observe(scene.prediction(7.0, [0.1, 0.9], TWO))
    assert (decision.label, decision.changed, decision.since_s) == ("defect", True, 7.0)
    assert decision.probability == pytest.approx(0.9)
    assert decision.present == ("defect",)
    assert decision.reason == "enters defect: score 0.90, entered from 0.80"


def test_score_between_leave_and_enter_keeps_the_state(scene: Any) -> None:
    states = decider(method="none", enter=0.7, leave=0.4)
    assert run(scene, states, [0.1, 0.5, 0.69, 0.71, 0.5, 0.41, 0.39, 0.31, 0.29]) == [
        "ok", "ok", UNKNOWN, "defect", "defect", "defect", UNKNOWN, UNKNOWN, "ok",
    ]  # fmt: skip


def test_flicker_shorter_than_the_window_is_smoothed_away(scene: Any) -> None:
    states = decider(window_s=1.0)
    values = [0.02] * 20 + [0.98] + [0.02] * 20 + [0.98, 0.98] + [0.02] * 20
    assert set(run(scene, states, values)) == {"ok"}


def test_raw_and_decided_label_stand_apart_with_the_reason(scene: Any) -> None:
    states = decider(window_s=1.0)
    run(scene, states, [0.02] * 20)
    decision = states.observe(scene.prediction(2.0, [0.03, 0.97], TWO))
    assert (decision.raw_label, decision.label, decision.changed) == ("defect", "ok", False)
    assert decision.raw_probability == pytest.approx(0.97)
    assert decision.reason == "stays ok: score 0.81, left under 0.40"


def test_sensitive_label_wins_over_a_more_probable_one(scene: Any) -> None:
    states = decider(method="none", thresholds={"defect": (0.3, 0.2)})
    assert run(scene, states, [0.1, 0.25, 0.45, 0.35, 0.28, 0.15]) == [
        "ok", "ok", "defect", "defect", "defect", "ok",
    ]  # fmt: skip


def test_state_stays_for_its_hold(scene: Any) -> None:
    states = decider(method="none", hold_s=0.5)
    assert run(scene, states, [0.9] + [0.1] * 6) == ["defect"] * 5 + ["ok"] * 2
    assert "holds" not in states.current()[0].reason


def test_little_confidence_is_unknown_and_comes_back(scene: Any) -> None:
    states = decider(method="none", enter=0.5, leave=0.4)
    labels = [
        states.observe(scene.prediction(i * 0.1, [1 - p, p], TWO, abstain_below=0.7)).label
        for i, p in enumerate([0.9, 0.65, 0.6, 0.75])
    ]
    assert labels == ["defect", UNKNOWN, UNKNOWN, "defect"]


def test_abstain_of_the_settings_goes_before_the_cards(scene: Any) -> None:
    states = decider(method="none", enter=0.5, leave=0.4, abstain_below=0.0)
    assert states.observe(scene.prediction(0.0, [0.45, 0.55], TWO, abstain_below=0.9)).label == "defect"


def test_one_doubtful_sample_is_not_unknown_yet(scene: Any) -> None:
    states = decider(window_s=1.0)
    for i in range(20):
        states.observe(scene.prediction(i * 0.1, [0.03, 0.97], TWO, abstain_below=0.7))
    assert states.observe(scene.prediction(2.0, [0.45, 0.55], TWO, abstain_below=0.7)).label == "defect"


def test_distrusted_camera_is_invalid_until_fresh_evidence(scene: Any) -> None:
    states = decider(method="none", hold_s=5.0)
    run(scene, states, [0.9])
    (told,) = states.invalidate("line_1", None, "the picture is frozen", 0.3, scene.at(0.3))
    assert (told.label, told.changed, told.since_s) == (INVALID, True, 0.3)
    assert told.reason == "invalid: the picture is frozen"
    assert states.invalidate("line_1", None, "the picture is frozen", 0.4, scene.at(0.4)) == []
    assert run(scene, states, [0.9, 0.9], start=0.5) == [INVALID, INVALID]
    states.validate("line_1", None, 1.0)
    old = states.observe(scene.prediction(0.9, [0.1, 0.9], TWO))
    assert (old.label, old.since_s) == (INVALID, 0.3)
    fresh = states.observe(scene.prediction(1.1, [0.9, 0.1], TWO))
    assert (fresh.label, fresh.changed, fresh.since_s) == ("ok", True, 1.1)


def test_validating_a_good_region_changes_nothing(scene: Any) -> None:
    states = decider(window_s=1.0)
    run(scene, states, [0.05] * 10)
    states.validate("line_1", None, 5.0)
    assert states.observe(scene.prediction(1.0, [0.2, 0.8], TWO)).label == "ok"


@pytest.mark.parametrize(
    ("status", "label"),
    [
        (CameraStatus.FROZEN, INVALID),
        (CameraStatus.BLIND, INVALID),
        (CameraStatus.MOVED, INVALID),
        (CameraStatus.OFFLINE, INVALID),
        (CameraStatus.STALE, "ok"),
        (CameraStatus.ENDED, "ok"),
    ],
)
def test_camera_reports_decide_what_is_trusted(scene: Any, status: CameraStatus, label: str) -> None:
    def report(status: CameraStatus) -> CameraReport:
        return CameraReport("line_1", status, "because", scene.T0, 5.0, 0)

    states = decider(method="none")
    run(scene, states, [0.1])
    decisions = states.observe_camera(report(status), 1.0, scene.at(1.0))
    assert [each.label for each in decisions] == ([INVALID] if label == INVALID else [])
    assert states.current()[0].label == label
    states.observe_camera(report(CameraStatus.ONLINE), 2.0, scene.at(2.0))
    assert run(scene, states, [0.1], start=2.5) == ["ok"]


def test_one_region_can_be_distrusted_alone(scene: Any) -> None:
    states = Decider([RegionSpec("line_1", "belt"), RegionSpec("line_1", "exit"), RegionSpec("gate", "lane")])
    assert len(states.invalidate("line_1", "exit", "covered", 0.0, scene.at(0.0))) == 1
    assert len(states.invalidate("line_1", None, "covered", 0.0, scene.at(0.0))) == 1


def test_labels_of_a_multi_label_model_come_and_go_by_themselves(scene: Any) -> None:
    states = decider(method="none", multi_label=True, enter=0.6, leave=0.4, thresholds={"rust": (0.3, 0.2)})
    labels = ("scratch", "rust", "dent")
    seen: list[Decision] = [
        states.observe(scene.prediction(t, values, labels))
        for t, values in enumerate([[0.1, 0.1, 0.1], [0.7, 0.1, 0.9], [0.5, 0.35, 0.3], [0.3, 0.25, 0.1]])
    ]
    assert [each.label for each in seen] == [NONE, "dent", "rust", "rust"]
    assert [each.present for each in seen] == [(), ("dent", "scratch"), ("rust", "scratch"), ("rust",)]


def test_model_with_other_labels_starts_from_nothing(scene: Any) -> None:
    states = decider(window_s=10.0)
    run(scene, states, [0.9] * 10)
    decision = states.observe(scene.prediction(2.0, [0.8, 0.1, 0.1]))
    assert decision.label == "empty"
    assert decision.scores["empty"] == pytest.approx(0.8)


def test_unknown_region_is_an_error(scene: Any) -> None:
    with pytest.raises(UnknownRegionError, match=r"line_1\.exit"):
        decider().observe(scene.prediction(0.0, [0.5, 0.5], TWO, region="exit"))


def test_state_survives_a_restart_under_another_clock(scene: Any) -> None:
    before = decider(window_s=1.0)
    run(scene, before, [0.1] * 10 + [0.9] * 10)
    before.invalidate("line_1", None, "blind", 2.0, scene.at(2.0))
    after = decider(window_s=1.0)
    after.restore(scene.through_json(before.export()), 100.0, scene.at(12.0))
    (decision,) = after.current()
    assert (decision.label, decision.since_at, decision.changed) == (INVALID, scene.at(2.0), False)
    assert decision.since_s == pytest.approx(90.0)
    assert after.observe(scene.prediction(100.1, [0.9, 0.1], TWO)).label == INVALID
    after.validate("line_1", None, 100.2)
    assert after.observe(scene.prediction(100.3, [0.9, 0.1], TWO)).label == "ok"


def test_restore_passes_over_what_is_not_configured_any_more(scene: Any) -> None:
    before = Decider([RegionSpec("gone", "belt")])
    before.invalidate("gone", None, "off", 0.0, scene.at(0.0))
    after = decider()
    after.restore(scene.through_json(before.export()), 0.0, scene.at(0.0))
    assert after.current() == []


steps = st.lists(
    st.tuples(st.integers(1, 8), st.sampled_from(["see", "see", "see", "lose", "find"]), st.integers(0, 100)),
    min_size=1,
    max_size=25,
)


@given(steps, st.sampled_from(["exponential", "vote", "none"]), st.booleans(), st.integers(0, 24))
def test_restart_at_any_point_changes_no_later_decision(
    scene: Any, row: list[tuple[int, str, int]], method: str, multi_label: bool, cut: int
) -> None:
    def make() -> Decider:
        return decider(method=method, multi_label=multi_label, hold_s=0.5)

    whole, split, t = make(), make(), 0.0
    for index, (pause, what, percent) in enumerate(row):
        t += pause / 16
        outcomes = []
        for states in (whole, split):
            if what == "see":
                p = percent / 100
                outcome: Any = states.observe(scene.prediction(t, [1 - p, p], TWO, abstain_below=0.55))
            elif what == "lose":
                outcome = states.invalidate("line_1", None, "blind", t, scene.at(t))
            else:
                states.validate("line_1", None, t)
                outcome = None
            outcomes.append(outcome)
        assert outcomes[0] == outcomes[1]
        if index == cut and split.current():
            state = scene.through_json(split.export())
            split = make()
            split.restore(state, t, scene.at(t))
            assert [replace(each, changed=False) for each in whole.current()] == split.current()


@given(steps, st.sampled_from(["exponential", "vote"]))
def test_since_is_the_last_change_and_unchanged_labels_keep_it(
    scene: Any, row: list[tuple[int, str, int]], method: str
) -> None:
    states, t = decider(method=method), 0.0
    before: Decision | None = None
    for pause, _, percent in row:
        t += pause / 16
        p = percent / 100
        now = states.observe(scene.prediction(t, [1 - p, p], TWO))
        assert now.changed == (before is None or before.label != now.label)
        assert now.since_s == (t if now.changed or before is None else before.since_s)
        assert now.since_at == scene.at(now.since_s)
        before = now
