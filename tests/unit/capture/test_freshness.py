"""Old frames after a stall."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgenode.capture.freshness import Freshness

FRAME_S = 0.04


def run(freshness: Freshness, arrivals: list[tuple[float, float]]) -> list[bool]:
    return [freshness.is_new(arrived_s, media_s) for arrived_s, media_s in arrivals]


def paced(start_s: float, media_s: float, count: int) -> list[tuple[float, float]]:
    return [(start_s + index * FRAME_S, media_s + index * FRAME_S) for index in range(count)]


def test_a_steady_stream_is_always_new() -> None:
    assert all(run(Freshness(), paced(500.0, 0.0, 1000)))


def test_frames_out_of_the_buffer_after_a_stall_are_old_until_the_stream_has_caught_up() -> None:
    freshness = Freshness()
    run(freshness, paced(0.0, 0.0, 100))
    resumed_s = 4.0 + 10.0
    burst = [(resumed_s + index * 0.001, 4.0 + index * FRAME_S) for index in range(400)]
    verdicts = run(freshness, burst)
    first_new = verdicts.index(True)
    assert all(verdicts[first_new:])
    arrived_s, media_s = burst[first_new]
    assert arrived_s - media_s <= 1.0
    assert not any(verdicts[:first_new])


def test_last_frames_handed_out_late_are_old() -> None:
    freshness = Freshness()
    run(freshness, paced(0.0, 0.0, 100))
    assert run(freshness, [(7.0, 4.0), (10.0, 4.04)]) == [False, False]


def test_a_stream_whose_clock_stood_still_is_new_again_after_some_steady_seconds() -> None:
    freshness = Freshness()
    run(freshness, paced(0.0, 0.0, 100))
    verdicts = run(freshness, paced(20.0, 4.0, 200))
    assert not verdicts[0]
    assert verdicts[-1]
    assert verdicts.count(False) * FRAME_S <= 2.5


@given(st.floats(0.5, 2.0))
def test_a_stream_with_a_wrong_clock_is_new_as_long_as_it_does_not_stall(speed: float) -> None:
    arrivals = [(index * FRAME_S, index * FRAME_S * speed) for index in range(2000)]
    assert all(run(Freshness(), arrivals))


def test_a_slow_stream_without_a_backlog_is_new() -> None:
    arrivals = [(index * 3.0, index * 3.0) for index in range(50)]
    assert all(run(Freshness(), arrivals))


def test_without_a_clock_the_burst_after_a_stall_is_old_and_what_follows_is_new() -> None:
    freshness = Freshness()
    assert all(freshness.is_new(index * FRAME_S, None) for index in range(200))
    burst = [freshness.is_new(20.0 + index * 0.002, None) for index in range(30)]
    assert not any(burst)
    after = [freshness.is_new(20.1 + index * FRAME_S, None) for index in range(30)]
    assert all(after)


def test_without_a_clock_a_stream_that_only_changed_its_pace_is_new_again_soon() -> None:
    freshness = Freshness()
    assert all(freshness.is_new(float(index), None) for index in range(20))
    verdicts = [freshness.is_new(100.0 + index * 0.1, None) for index in range(100)]
    assert not verdicts[0]
    assert all(verdicts[21:])


@given(st.floats(0.01, 0.9), st.integers(2, 300))
def test_without_a_clock_a_stream_that_never_stalls_is_new(interval_s: float, count: int) -> None:
    freshness = Freshness()
    assert all(freshness.is_new(index * interval_s, None) for index in range(count))
