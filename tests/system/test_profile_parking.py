"""Occupancy of a car park (`docs/examples/parking.toml`), with a model that has learnt from other pictures.

By eye: a dark car leaves the right-hand bay of the sixth row at about 1 to 8 s, a pale pickup that of the third
row at about 9 to 17 s; the left-hand bay of the second row is free all the time, all others are taken.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.profiles import Seen, fit, seen, steps, workplace

CLIP = "parking_crop.mp4"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def events(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    folder = tmp_path_factory.mktemp("parking")
    model = fit(shared_data / "images" / "parking_occupancy", folder / "parking.onnx", 4)
    clip = shared_data / "clips" / CLIP
    config = workplace(folder / "lot", "parking.toml", {CLIP: clip, "parking.onnx": model})
    return seen(steps(config))


def test_each_departure_is_reported_once_and_no_other_bay_flickers(events: list[Seen]) -> None:
    assert sorted(event.rule for event in events) == ["free_left_2", "free_right_3", "free_right_6"], events
    assert {event.reason for event in events} == {"the recording is over"}, "a bay that is free stays free"


def test_the_departures_are_reported_while_the_cars_leave(events: list[Seen]) -> None:
    starts = {event.rule: event.start_s for event in events}
    assert starts["free_left_2"] <= 1.0
    assert 1.0 <= starts["free_right_6"] <= 9.0
    assert 9.0 <= starts["free_right_3"] <= 18.0
