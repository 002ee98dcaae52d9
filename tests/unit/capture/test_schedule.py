"""The schedule: which frames are due."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from edgenode.capture.schedule import FrameSchedule


def taken(fps: float, times: list[float]) -> list[int]:
    schedule = FrameSchedule(fps)
    return [index for index, time_s in enumerate(times) if schedule.due(time_s)]


def test_of_25_frames_a_second_a_schedule_of_5_takes_exactly_every_fifth() -> None:
    assert taken(5.0, [index / 25.0 for index in range(5000)]) == list(range(0, 5000, 5))


def test_zero_takes_every_frame() -> None:
    assert taken(0.0, [0.0, 0.01, 0.01, 5.0, 1.0]) == [0, 1, 2, 3, 4]


@given(st.integers(1, 60), st.integers(1, 12), st.floats(0.0, 1e6), st.integers(0, 2**32))
def test_a_whole_ratio_takes_every_nth_frame_in_spite_of_jitter(
    fps: int, ratio: int, start_s: float, seed: int
) -> None:
    rng = random.Random(seed)
    interval_s = 1.0 / (fps * ratio)
    times = [start_s + (index + rng.uniform(-0.2, 0.2)) * interval_s for index in range(40 * ratio)]
    times[0] = start_s
    assert taken(fps, times) == list(range(0, 40 * ratio, ratio))


@given(st.floats(0.5, 60.0), st.floats(1.0, 20.0), st.integers(50, 400))
def test_any_ratio_keeps_the_rate_and_the_grid(fps: float, ratio: float, count: int) -> None:
    source_s = 1.0 / (fps * ratio)
    times = [index * source_s for index in range(count)]
    indices = taken(fps, times)
    expected = times[-1] * fps + 1.0
    assert abs(len(indices) - expected) <= 1.0
    for index in indices:
        off_s = times[index] * fps - round(times[index] * fps)
        assert abs(off_s) / fps <= source_s / 2.0 + 1e-9 or index <= 1


@given(st.floats(1.0, 60.0), st.floats(0.2, 1.0))
def test_a_source_slower_than_the_schedule_loses_no_frame(fps: float, part: float) -> None:
    times = [index / (fps * part) for index in range(100)]
    assert taken(fps, times) == list(range(100))


def test_a_gap_is_not_caught_up() -> None:
    times = [index * 0.04 for index in range(50)]
    times += [100.0 + index * 0.04 for index in range(50)]
    after = [index for index in taken(5.0, times) if index >= 50]
    assert after == list(range(50, 100, 5))


def test_time_that_goes_backwards_starts_the_grid_anew() -> None:
    times = [1000.0 + index * 0.04 for index in range(50)] + [index * 0.04 for index in range(50)]
    assert taken(5.0, times) == [*range(0, 50, 5), *range(50, 100, 5)]


@given(st.floats(0.05, 1.0), st.sampled_from([0.0, 5.0]))
def test_a_pace_takes_its_share_evenly(pace: float, fps: float) -> None:
    schedule, at_full = FrameSchedule(fps), FrameSchedule(fps)
    times = [index / 25.0 for index in range(500)]
    due = [index for index, time_s in enumerate(times) if at_full.due(time_s)]
    paced = [index for index, time_s in enumerate(times) if schedule.due(time_s, pace)]
    assert set(paced) <= set(due)
    assert abs(len(paced) - pace * len(due)) <= 1.0
    place = {index: number for number, index in enumerate(due)}
    gaps = [place[after] - place[before] for before, after in itertools.pairwise(paced)]
    assert not gaps or max(gaps) - min(gaps) <= 1
