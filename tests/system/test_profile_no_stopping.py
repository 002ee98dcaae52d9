"""Stopping where it is forbidden (`docs/examples/no_stopping.toml`): two parked cars, and traffic beside them.

Each half of the clip is judged by a model that has learnt from the other half alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.profiles import LABELS, Seen, fit, seen, steps, trainer, workplace

CLIP = "ckuhn_street_camera.mp4"
MIDDLE_S = 38.0
HALVES = ((0.0, MIDDLE_S), (MIDDLE_S, 80.0))
BOXES = {
    "kerb_left": "0.25,0.58,0.47,0.86",
    "kerb_right": "0.47,0.63,0.74,0.88",
    "lane_lower": "0.27,0.42,0.50,0.57",
    "lane_upper": "0.42,0.30,0.62,0.50",
}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def replays(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[Seen]]:
    """The clip's events by the model that has learnt from the first half, and from the second."""
    folder = tmp_path_factory.mktemp("no_stopping")
    clip = shared_data / "clips" / CLIP
    regions = [f"--region={name}={box}" for name, box in BOXES.items()]
    found = []
    for number, (from_s, to_s) in enumerate(HALVES):
        pictures = folder / f"half_{number}"
        trainer(
            "collect", clip, *regions, "--labels", LABELS / "street.csv", "--out", pictures,
            "--every", "200ms", "--from", str(from_s), "--to", str(to_s), "--margin", "0.3",
        )  # fmt: skip
        model = fit(pictures, folder / f"half_{number}.onnx", 12, "--balance", "weights")
        config = workplace(folder / f"by_{number}", "no_stopping.toml", {CLIP: clip, "vehicle.onnx": model})
        found.append(seen(steps(config)))
    return found


def test_parked_cars_are_one_unbroken_event_through_passing_traffic(replays: list[list[Seen]]) -> None:
    for events in replays:
        stopped = [event for event in events if event.rule.startswith("stopped")]
        assert sorted(event.rule for event in stopped) == ["stopped_left", "stopped_right"], stopped
        for event in stopped:
            assert event.start_s <= 3.0, "it was parked when the recording began"
            assert event.reason == "the recording is over", event


def test_traffic_that_passes_is_not_stopping_and_its_flow_is_counted(replays: list[list[Seen]]) -> None:
    for events in replays:
        assert [event for event in events if event.rule == "lane_blocked"] == []
    by_first, _ = replays
    busy = [event for event in by_first if event.rule == "busy" and event.start_s >= MIDDLE_S]
    assert len(busy) == 1, (
        "a white car at 43.6 s, a bus at 51.7 s, a red car at 60.9 s: three in half a minute"
    )
    assert 60.5 <= busy[0].start_s <= 62.5
    assert busy[0].value == 6.0
