"""When key frames alone are decoded."""

from __future__ import annotations

from edgenode.capture.keyframes import KeyframeChoice


def choices(wanted_fps: float, times: list[float]) -> list[bool]:
    choice = KeyframeChoice(wanted_fps)
    return [choice.alone(time_s) for time_s in times]


def test_key_frames_as_often_as_frames_are_wanted_are_enough_from_the_fourth_on() -> None:
    assert choices(1.0, [0.0, 1.0, 2.0, 3.0, 4.0]) == [False, False, False, True, True]


def test_key_frames_that_are_too_rare_are_never_enough() -> None:
    assert not any(choices(1.0, [index * 2.0 for index in range(20)]))


def test_one_long_interval_decodes_everything_again_until_three_short_ones() -> None:
    times = [0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0]
    assert choices(1.0, times) == [False, False, False, True, False, False, False, True]


def test_all_frames_wanted_means_that_key_frames_are_never_enough() -> None:
    assert not any(choices(0.0, [index * 0.04 for index in range(20)]))


def test_a_clock_that_stands_still_or_jumps_back_is_not_trusted() -> None:
    assert not any(choices(1.0, [5.0] * 10))
