"""Old frames after a stall."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from edgenode.capture.freshness import Freshness

FRAME_S = 0.04
OLD_S = 2.0
"""No frame older than this is ever used as if it were new."""


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
    """After the first seconds in which it looks like a reader that falls behind."""
    arrivals = [(index * FRAME_S, index * FRAME_S * speed) for index in range(2000)]
    verdicts = run(Freshness(), arrivals)
    assert verdicts.count(False) * FRAME_S <= 2.2
    assert all(verdicts[300:]) or speed > 0.85  # a slower drift is noticed later


def test_a_reader_that_falls_behind_never_uses_an_old_frame_and_catches_up() -> None:
    """A frame in use takes five frames' time, one that is only read a tenth of one: the buffer fills and empties."""
    hurry = threading.Event()
    freshness = Freshness(hurry)
    now_s, used, number = 0.0, [], 0
    while number < 5000:
        now_s = max(now_s, number * FRAME_S)
        if freshness.is_new(now_s, number * FRAME_S):
            used.append(now_s - number * FRAME_S)
            now_s += 5.0 * FRAME_S
        else:
            now_s += 0.1 * FRAME_S
        number += 1
    assert max(used) <= OLD_S
    assert len(used) > 500
    assert not hurry.is_set()


def test_where_even_decoding_is_too_slow_key_frames_alone_are_asked_for() -> None:
    hurry = threading.Event()
    freshness = Freshness(hurry)
    now_s, number, hurried = 0.0, 0, 0
    while number < 5000:
        now_s = max(now_s, number * FRAME_S)
        if not hurry.is_set() or number % 25 == 0:
            new = freshness.is_new(now_s, number * FRAME_S)
            assert not new or now_s - number * FRAME_S <= OLD_S
            now_s += 1.5 * FRAME_S
        hurried += hurry.is_set()
        number += 1
    assert hurried > 500


@given(st.integers(2, 500))
def test_what_a_server_had_kept_before_the_connection_is_old(kept: int) -> None:
    """It comes as fast as the line allows; after it frames come as they are made."""
    freshness = Freshness(buffered=True)
    burst = run(freshness, [(500.0 + index * 0.002, index * FRAME_S) for index in range(kept)])
    after = run(freshness, paced(500.0 + kept * 0.002 + FRAME_S, kept * FRAME_S, 100))
    assert not any(burst)
    assert all(after[1:])


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(-3600.0, 3600.0)), max_size=5))
def test_a_clock_that_jumps_costs_seconds_and_no_more(jumps: list[tuple[int, float]]) -> None:
    freshness = Freshness()
    verdicts = []
    for index in range(int(80 / FRAME_S)):
        arrived_s = index * FRAME_S
        media_s = arrived_s + sum(by_s for at_s, by_s in jumps if at_s <= arrived_s)
        verdicts.append(freshness.is_new(arrived_s, media_s))
    assert verdicts.count(False) * FRAME_S <= 2.2 * len(jumps)
    assert all(verdicts[int(70 / FRAME_S) :])


def test_a_clock_that_stands_still_costs_seconds_and_no_more() -> None:
    freshness = Freshness()
    verdicts = [freshness.is_new(index * FRAME_S, min(index * FRAME_S, 4.0)) for index in range(2500)]
    assert verdicts.count(False) * FRAME_S <= 12.0
    assert verdicts[100:].count(True) > 2000


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
