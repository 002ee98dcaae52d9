"""Hand-off A and the size of batches under overload, in simulated time: how old is what is decided, and is every camera
served alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.unit.inference.crowd import Player, fairness, play, staggered, together

SAMPLE_S, CALL_S = 0.0025, 0.0002
"""A model that gains nothing by batches, as most on a processor."""


def alone(samples: int) -> float:
    return CALL_S + SAMPLE_S * samples


def in_batches(samples: int) -> float:
    """A model on a device: eight take three times as long as one."""
    return 0.004 + 0.001 * samples


def random_phases(count: int, fps: float, regions: int = 1) -> list[Player]:
    """The same at each call; the largest gap between two of 8 is a quarter of an interval."""
    return [Player(fps, regions, (0.618 * number * number % 1.0) / fps) for number in range(count)]


Crowd = Callable[[int, float, int], Sequence[Player]]


@pytest.mark.parametrize("crowd", [staggered, together])
@pytest.mark.parametrize("factor_fps", [(2, 13.5, 8), (10, 15.0, 36)])
def test_too_much_is_decided_as_soon_as_three_times_an_unloaded_answer(
    crowd: Crowd, factor_fps: tuple[float, float, int]
) -> None:
    factor, fps, regions = factor_fps
    unloaded = play(crowd(8, 8.0, 2), alone, seconds=5.0)
    loaded = play(crowd(8, fps, regions), alone, seconds=5.0)
    assert loaded.offered / len(loaded.answers) >= factor
    assert loaded.p99_s <= 3.0 * unloaded.p99_s
    assert len(loaded.answers) >= 0.98 * 5.0 / alone(1), "the model is never kept waiting"
    assert loaded.cut <= 2.2 * len(loaded.answers), "next to nothing is cut for nobody"
    assert fairness(loaded.by_camera) >= 0.95
    assert len(loaded.by_region) == 8 * regions
    assert fairness(loaded.by_region) >= 0.8, "a sample more or less"


def test_of_cameras_that_come_as_they_like_a_decision_is_no_older_than_their_frames() -> None:
    """While no camera has a new frame the model takes what there is, rather than nothing."""
    loaded = play(random_phases(8, 15.0, 36), alone, seconds=5.0)
    assert loaded.p99_s <= 1 / 15.0 + 2 * alone(1)
    assert len(loaded.answers) >= 0.99 * 5.0 / alone(1)
    assert fairness(loaded.by_camera) >= 0.95


@pytest.mark.parametrize("crowd", [staggered, together, random_phases])
@pytest.mark.parametrize(("cameras", "regions"), [(16, 8), (32, 4), (64, 1)])
def test_many_cameras_are_served_alike(crowd: Crowd, cameras: int, regions: int) -> None:
    loaded = play(crowd(cameras, 15.0, regions), alone, seconds=10.0)
    assert loaded.offered / len(loaded.answers) >= 2.0
    assert fairness(loaded.by_camera) >= 0.9
    assert loaded.p99_s <= 1 / 15.0 + 2 * alone(1)


@pytest.mark.parametrize("crowd", [staggered, together, random_phases])
def test_a_model_that_wants_full_batches_is_shared_too(crowd: Crowd) -> None:
    loaded = play(crowd(16, 15.0, 8), in_batches, seconds=10.0, max_batch=8)
    assert len(loaded.answers) >= 0.99 * 10.0 * 8 / in_batches(8), "its batches are full"
    assert fairness(loaded.by_camera) >= 0.9
    assert loaded.p99_s <= 1 / 15.0 + 2 * in_batches(8)


def test_cameras_of_different_frame_rates_have_the_share_that_they_can_use() -> None:
    """One frame a second of many regions is served while it is fresh; a lone region at its own pace always."""
    slow, lone = Player(1.0, 36, 0.31), Player(5.0, 1, 0.02)
    loaded = play([*staggered(6, 15.0, 36), slow, lone], alone, seconds=20.0)
    counts = loaded.by_camera
    assert counts["c7"] >= 0.95 * 20 * 5, "asks for less than its share, and gets it"
    assert counts["c6"] >= 0.95 * 20 * 36, "36 a second are less than a share of 50"
    assert fairness(counts, [f"c{number}" for number in range(6)]) >= 0.95
    ages = sorted(answer.age_s for answer in loaded.answers if answer.camera == "c7")
    assert ages[len(ages) // 2] <= 0.03


def test_a_camera_that_comes_back_gets_no_more_than_others_for_long() -> None:
    away = (2.0, 12.0)
    loaded = play([*staggered(7, 15.0, 36), Player(15.0, 36, 0.03, away)], alone, seconds=14.0)
    soon = [answer.camera for answer in loaded.answers if 12.0 <= answer.answered_s < 13.0]
    share = len(soon) / 8
    assert share <= soon.count("c7") <= 1.0 + 0.2 / SAMPLE_S + share
    later = play([*staggered(7, 15.0, 36), Player(15.0, 36, 0.03, away)], alone, seconds=7.0, begin_s=13.0)
    assert fairness(later.by_camera) >= 0.95


@pytest.mark.parametrize("crowd", [staggered, together])
def test_while_nothing_is_dropped_the_oldest_goes_first(crowd: Crowd) -> None:
    """A burst that can be served is served in order: the last one waits for it, nobody for the last one."""
    calm = play([*crowd(8, 4.0, 2), Player(0.5, 40, 0.1)], alone, seconds=10.0)
    assert calm.offered <= len(calm.answers) + 56
    longest_s = max(answer.age_s for answer in calm.answers)
    assert longest_s <= 56 * alone(1) + alone(1)
