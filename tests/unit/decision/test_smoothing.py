from __future__ import annotations

from math import exp
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.decision.smoothing import smoother_for

METHODS = ["exponential", "vote", "none"]


@pytest.mark.parametrize("method", METHODS)
def test_first_score_is_not_drawn_towards_zero(method: str) -> None:
    scores, confidence = smoother_for(method, 1.0).add(5.0, [0.0, 1.0], 1.0)
    assert scores == [0.0, 1.0]
    assert confidence == 1.0


@pytest.mark.parametrize("fps", [1, 3, 10, 50])
def test_step_response_depends_on_seconds_and_not_on_frames(fps: int) -> None:
    smoother = smoother_for("exponential", 2.0)
    for frame in range(-20 * fps, 1):
        smoother.add(frame / fps, [1.0, 0.0], 1.0)
    for frame in range(1, 4 * fps + 1):
        scores, _ = smoother.add(frame / fps, [0.0, 1.0], 1.0)
        assert scores[1] == pytest.approx(1.0 - exp(-(frame / fps) / 1.0), abs=1e-6)


@pytest.mark.parametrize("fps", [2, 10, 50])
def test_vote_is_the_share_of_the_window(fps: int) -> None:
    smoother = smoother_for("vote", 2.0)
    scores = [0.0, 0.0]
    for frame in range(-20 * fps, fps + 1):
        scores, _ = smoother.add(frame / fps, [0.0, 1.0] if frame > 0 else [1.0, 0.0], 1.0)
    assert scores == [0.5, 0.5]


def test_vote_weighs_samples_by_the_time_they_stand_for() -> None:
    smoother = smoother_for("vote", 10.0)
    for at_s, values in [(0.0, [1.0, 0.0]), (1.0, [1.0, 0.0]), (4.0, [0.0, 1.0])]:
        scores, _ = smoother.add(at_s, values, 1.0)
    assert scores == pytest.approx([0.4, 0.6])


def test_sample_after_a_long_gap_outweighs_what_was_before() -> None:
    smoother = smoother_for("exponential", 1.0)
    for step in range(20):
        smoother.add(step * 0.1, [1.0, 0.0], 1.0)
    scores, _ = smoother.add(60.0, [0.0, 1.0], 1.0)
    assert scores[1] > 0.999


@pytest.mark.parametrize("method", ["exponential", "vote"])
def test_late_sample_changes_nothing(method: str) -> None:
    smoother = smoother_for(method, 1.0)
    smoother.add(1.0, [0.9, 0.1], 0.9)
    before = smoother.add(2.0, [0.9, 0.1], 0.9)
    assert smoother.add(1.5, [0.0, 1.0], 1.0) == before
    assert smoother.add(2.0, [0.0, 1.0], 1.0) == before


def test_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="median"):
        smoother_for("median", 1.0)


samples = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 100)).map(lambda pair: (pair[0] / 16, pair[1] / 100)),
    min_size=1,
    max_size=30,
)


@given(samples, st.sampled_from(METHODS), st.integers(0, 30), st.integers(-1000, 1000))
def test_export_and_restore_lose_nothing(
    scene: Any, steps: list[tuple[float, float]], method: str, cut: int, offset: int
) -> None:
    offset_s = offset / 4
    whole, first, second = (smoother_for(method, 1.0) for _ in range(3))
    t = 0.0
    for index, (pause, p) in enumerate(steps):
        t += pause
        expected = whole.add(t, [p, 1.0 - p], max(p, 1.0 - p))
        if index < cut:
            first.add(t, [p, 1.0 - p], max(p, 1.0 - p))
            continue
        if index == cut:
            second.restore(scene.through_json(first.export()), offset_s)
        assert second.add(t + offset_s, [p, 1.0 - p], max(p, 1.0 - p)) == expected


@given(samples, st.sampled_from(METHODS))
def test_scores_stay_within_what_was_seen(steps: list[tuple[float, float]], method: str) -> None:
    smoother = smoother_for(method, 1.0)
    t = 0.0
    for pause, p in steps:
        t += pause
        scores, confidence = smoother.add(t, [p, 1.0 - p], max(p, 1.0 - p))
        assert sum(scores) == pytest.approx(1.0)
        assert all(-1e-9 <= score <= 1.0 + 1e-9 for score in scores)
        assert 0.5 - 1e-9 <= confidence <= 1.0 + 1e-9
