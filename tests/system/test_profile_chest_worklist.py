"""A worklist of chest radiographs with abstention (`docs/examples/chest_worklist.toml`).

The model learns from the training set; the pictures of the list come from the validation set. 28 x 28 pixels and
seconds of training make no diagnosis: what is proven is that the order helps and that doubt is said.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.profiles import edgenode, fit, seen, steps, workplace

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def config(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 60 pneumonia and 60 normal pictures; the name says which, which nobody reads."""
    folder = tmp_path_factory.mktemp("chest")
    data = shared_data / "images" / "pneumonia_mnist"
    training = folder / "training"
    for label, every in (("normal", 2), ("pneumonia", 5)):
        (training / label).mkdir(parents=True)
        for picture in sorted((data / "train" / label).iterdir())[::every]:
            (training / label / picture.name).symlink_to(picture)
    model = fit(training, folder / "chest.onnx", 6)
    incoming = folder / "incoming"
    incoming.mkdir()
    for label in ("normal", "pneumonia"):
        for picture in sorted((data / "val" / label).iterdir())[:60]:
            (incoming / f"{picture.stem}_{label}.png").symlink_to(picture)
    (incoming / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return workplace(folder / "clinic", "chest_worklist.toml", {"chest.onnx": model, "incoming": incoming})


@pytest.fixture(scope="module")
def listed(config: Path) -> dict[str, Any]:
    return dict(json.loads(edgenode(config, "worklist", "--label", "pneumonia", "--json")))


def is_ill(case: dict[str, Any]) -> bool:
    return bool(case["file"].endswith("_pneumonia.png"))


def test_likely_cases_come_first(listed: dict[str, Any]) -> None:
    cases = listed["cases"]
    assert len(cases) == 120
    probabilities = [case["probability"] for case in cases]
    assert probabilities == sorted(probabilities, reverse=True)
    ill = [place for place, case in enumerate(cases) if is_ill(case)]
    well = [place for place, case in enumerate(cases) if not is_ill(case)]
    before = sum(one < other for one in ill for other in well) / (len(ill) * len(well))
    assert before >= 0.9, "how often an ill one stands before a well one (area under the ROC curve)"


def test_doubt_is_said_and_what_is_decided_is_righter_than_what_is_not(listed: dict[str, Any]) -> None:
    decided = [case for case in listed["cases"] if case["decided"] != "unknown"]
    unsure = [case for case in listed["cases"] if case["decided"] == "unknown"]
    assert all(case["confidence"] < 0.8 for case in unsure)
    assert all(case["confidence"] >= 0.8 for case in decided)
    assert unsure
    assert len(decided) >= 60
    right = [case for case in decided if (case["decided"] == "pneumonia") == is_ill(case)]
    would = [case for case in unsure if (case["probability"] >= 0.5) == is_ill(case)]
    assert len(right) / len(decided) > len(would) / len(unsure)


def test_a_torn_file_is_named_and_the_list_says_what_it_is_not(config: Path, listed: dict[str, Any]) -> None:
    assert listed["damaged"] == ["torn.png"]
    assert "Not a medical device" in listed["note"]
    text = edgenode(config, "worklist", "--label", "pneumonia")
    assert text.splitlines()[0].split() == ["P(pneumonia)", "decided", "file"]
    assert len(text.splitlines()) == 122


def test_a_doubtful_picture_asks_for_a_second_reader(config: Path, listed: dict[str, Any]) -> None:
    events = [event for event in seen(steps(config)) if event.rule == "second_reader"]
    by_name = sorted(listed["cases"], key=lambda case: str(case["file"]))
    states = [case["decided"] == "unknown" for case in by_name]
    begun = sum(now and not before for before, now in zip([False, *states], states, strict=False))
    assert len(events) == begun
