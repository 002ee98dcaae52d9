"""Wrong way and passages on a real road (`docs/examples/wrong_way.toml`).

The clip falls into three parts: a white car upwards; a silver one downwards beside a red one upwards; a white
convertible downwards. Each part is judged by a model that has learnt from the two others alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.profiles import LABELS, Seen, fit, seen, steps, trainer, workplace

CLIP = "intel_car-detection.mp4"
PARTS = ((0.0, 12.0), (12.0, 22.0), (22.0, 31.0))
BOXES = {
    "left_far": "0.15,0.08,0.36,0.38",
    "left_near": "0.08,0.62,0.36,0.95",
    "right_far": "0.38,0.08,0.58,0.38",
    "right_near": "0.38,0.62,0.64,0.95",
}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def events(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """Of the whole clip: each part's events as the model that has not seen it decided."""
    folder = tmp_path_factory.mktemp("wrong_way")
    clip = shared_data / "clips" / CLIP
    regions = [f"--region={name}={box}" for name, box in BOXES.items()]
    found: list[Seen] = []
    for number, (begin_s, end_s) in enumerate(PARTS):
        pictures = folder / f"pictures_{number}"
        for part, (from_s, to_s) in enumerate(PARTS):
            if part != number:
                trainer(
                    "collect", clip, *regions, "--labels", LABELS / "vehicles.csv", "--out", pictures,
                    "--every", "160ms", "--from", str(from_s), "--to", str(to_s), "--margin", "0.1",
                )  # fmt: skip
        model = fit(pictures, folder / f"without_{number}.onnx", 10)
        config = workplace(folder / f"part_{number}", "wrong_way.toml", {CLIP: clip, "vehicle.onnx": model})
        found.extend(event for event in seen(steps(config)) if begin_s <= event.start_s < end_s)
    return found


def of(events: list[Seen], *rules: str) -> list[Seen]:
    return [event for event in events if event.rule in rules]


def test_upwards_is_reported_exactly_twice(events: list[Seen]) -> None:
    wrong = of(events, "wrong_way_left", "wrong_way_right")
    assert [event.rule for event in wrong] == ["wrong_way_right", "wrong_way_right"], wrong
    for event, begin_s in zip(wrong, (4.60, 15.15), strict=True):
        assert abs(event.start_s - begin_s) <= 1.0, event


def test_four_passages_are_counted_and_their_directions_are_right(events: list[Seen]) -> None:
    passages = of(events, "wrong_way_left", "wrong_way_right", "passage_left", "passage_right")
    assert [event.rule for event in passages] == [
        "wrong_way_right",
        "passage_left",
        "wrong_way_right",
        "passage_left",
    ], passages
    for event, begin_s in zip(passages, (4.60, 14.75, 15.15, 25.50), strict=True):
        assert abs(event.start_s - begin_s) <= 1.0, event
