"""Missing parts on a real bench (`docs/examples/missing_part.toml`), scored by `edgenode replay` itself.

The clip falls into three parts, in which the left bottle is taken; the left and the middle one; the right one.
Each part is judged by a model that has learnt from the two others alone. The intervals in tests/data/bottles.csv
were read from the frames by eye.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.profiles import LABELS, edgenode, fit, trainer, workplace

CLIP = "intel_bottle-detection.mp4"
PARTS = ((0.0, 15.0), (15.0, 30.0), (30.0, 40.0))
BOXES = {
    "left": "0.03,0.30,0.27,0.92",
    "middle": "0.38,0.30,0.62,0.92",
    "right": "0.74,0.30,0.98,0.92",
}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def scores(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What `replay --truth` says of the whole clip, by the models that have not seen the part of that number."""
    folder = tmp_path_factory.mktemp("missing_part")
    clip = shared_data / "clips" / CLIP
    regions = [f"--region={name}={box}" for name, box in BOXES.items()]
    found = []
    for number in range(len(PARTS)):
        pictures = folder / f"pictures_{number}"
        for from_s, to_s in (part for other, part in enumerate(PARTS) if other != number):
            trainer(
                "collect", clip, *regions, "--labels", LABELS / "bottles.csv", "--out", pictures,
                "--every", "200ms", "--from", str(from_s), "--to", str(to_s), "--margin", "0.15",
            )  # fmt: skip
        model = fit(pictures, folder / f"without_{number}.onnx", 10)
        config = workplace(folder / f"part_{number}", "missing_part.toml", {CLIP: clip, "bottle.onnx": model})
        printed = edgenode(config, "replay", "--truth", LABELS / "bottles.csv", "--json")
        found.append(dict(json.loads(printed)["score"]["total"]))
    return found


def test_every_absence_is_reported_once_and_nothing_else(scores: list[dict[str, Any]]) -> None:
    pairs, false, missed = [], [], []
    for number, score in enumerate(scores):
        begin_s, end_s = PARTS[number]
        pairs += [each for each in score["pairs"] if begin_s <= each["start_s"] < end_s]
        false += [each for each in score["false"] if begin_s <= each["start_s"] < end_s]
        missed += [each for each in score["missed"] if begin_s <= each["start_s"] < end_s]
    assert (false, missed) == ([], []), "an event F1 of 1"
    assert sorted((pair["region"], round(pair["start_s"], 2)) for pair in pairs) == [
        ("left", 6.7),
        ("left", 17.45),
        ("middle", 17.35),
        ("right", 31.65),
    ]
    for pair in pairs:
        assert abs(pair["start_error_s"]) <= 0.5, pair
        assert abs(pair["end_error_s"]) <= 1.5, pair
