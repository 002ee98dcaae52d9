"""Model files measured on pictures, and the gate between two of them."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgenode.errors import DataError
from edgenode.inference.classifier import Classifier
from edgenode.rollout.judgement import gate
from edgenode.settings import RolloutSettings
from tests.models import Tiny, file_sha256, make_card, make_model
from tests.pictures_made import shades
from trainer.compare import compare, compare_command, mcnemar
from trainer.dataset import load_dataset, manifest_sha256
from trainer.evaluate import answers_of, chosen_part, evaluate_command, learnt_note, undone_temperature
from trainer.report import report_command


def test_evaluate_a_file_as_a_node_runs_it(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m.onnx")
    dataset = load_dataset(shades(tmp_path / "data", wrong=2))
    assert dataset.labels == ("bright", "dark")  # not the model's order
    result = answers_of(model, dataset).evaluation()
    assert result.accuracy.value == pytest.approx(20 / 22)
    assert result.confusion.tolist() == [[10, 2], [0, 10]]


def test_evaluate_command_tells_all_as_json(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m.onnx")
    shades(tmp_path / "data", wrong=1)
    (tmp_path / "data" / "dark" / "broken.png").write_bytes(b"\x89PNG")
    arguments = [str(model), str(tmp_path / "data"), "--json"]
    told = json.loads(CliRunner().invoke(evaluate_command, arguments, catch_exceptions=False).output)
    assert told["evaluation"]["accuracy"]["value"] == pytest.approx(20 / 21)
    assert [w["path"] for w in told["confident_wrongs"]] == ["dark/wrong0.png"]
    assert told["data"]["left_out"][0].startswith("dark/broken.png")
    text = CliRunner().invoke(evaluate_command, arguments[:2], catch_exceptions=False).output
    assert "95.24%" in text


def several(root: Path) -> Path:
    """A manifest of several labels a picture: dark, bright, both, none."""
    shades(root)
    rows = [
        f"{label}/{i}.png,{label if i % 3 else 'bright;dark'}"
        for label in ("dark", "bright")
        for i in range(9)
    ]
    (root / "labels.csv").write_text("path,labels\r\n" + "\r\n".join([*rows, "dark/9.png,"]) + "\r\n")
    return root / "labels.csv"


def test_several_labels_go_through_every_command(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m.onnx", task="multi_label")
    other = make_model(tmp_path / "n.onnx", task="multi_label", prototypes=((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    data = several(tmp_path / "data")
    told = json.loads(CliRunner().invoke(evaluate_command, [str(model), str(data), "--json"]).output)
    assert told["evaluation"]["samples"] == 19
    assert told["ece_by_chance"]["median"] < told["ece_by_chance"]["95"]
    answers = {wrong["answer"] for wrong in told["confident_wrongs"]}
    assert answers <= {"dark", "bright", "dark; bright", "none"}
    assert "calibration error" in CliRunner().invoke(evaluate_command, [str(model), str(data)]).output
    arguments = [str(model), str(other), str(data), "--json"]
    told = json.loads(CliRunner().invoke(compare_command, arguments, catch_exceptions=False).output)
    assert {picture["b"] for picture in told["lost"]} <= {"dark", "bright", "dark; bright", "none"}
    report = [str(model), str(data), "--out", str(tmp_path / "report")]
    assert CliRunner().invoke(report_command, report, catch_exceptions=False).exit_code == 0


def test_figures_on_the_pictures_of_the_training_are_called_flattering(tmp_path: Path) -> None:
    data = shades(tmp_path / "data")
    card = make_card(Tiny())
    seen = manifest_sha256(load_dataset(data))
    learnt = card.model_copy(
        update={"training": card.training.model_copy(update={"data_manifest_sha256": seen})}
    )
    whole = load_dataset(data)
    assert "flatter" in learnt_note(learnt, whole, whole)
    assert learnt_note(card, whole, whole) == ""
    assert learnt_note(learnt, whole, whole.subset(whole.pictures[:5])) == ""


def test_labels_the_model_does_not_know(tmp_path: Path) -> None:
    shades(tmp_path / "data")
    model = make_model(tmp_path / "m.onnx", labels=("dark", "light"))
    with pytest.raises(DataError, match="'bright'; it knows 'dark', 'light'"):
        answers_of(model, load_dataset(tmp_path / "data"))


def test_part_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no test part"):
        chosen_part(load_dataset(shades(tmp_path)), "test")


def test_temperature_is_undone() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 4)) * 3

    def softmax(values: np.ndarray) -> np.ndarray:
        raised = np.exp(values - values.max(axis=1, keepdims=True))
        return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)

    assert np.abs(undone_temperature(softmax(logits / 2.5), 2.5, False) - softmax(logits)).max() < 1e-4
    sigmoid = (1 / (1 + np.exp(-logits / 2.5))).astype(np.float32)
    assert np.abs(undone_temperature(sigmoid, 2.5, True) - 1 / (1 + np.exp(-logits))).max() < 1e-4


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 0), (1, 9), (7, 7), (40, 60)])
def test_mcnemar_sums_all_splits_as_uneven(b: int, c: int) -> None:
    total = b + c
    uneven = [comb(total, k) / 2**total for k in range(total + 1) if abs(2 * k - total) >= abs(b - c)]
    assert mcnemar(b, c) == pytest.approx(min(1.0, sum(uneven)))


def pair(total: int, only_a: int, only_b: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.ones(total, dtype=bool), np.ones(total, dtype=bool)
    b[:only_a] = False
    a[only_a : only_a + only_b] = False
    return a, b


@pytest.mark.parametrize(
    ("total", "only_a", "only_b", "verdict"),
    [
        (1000, 2, 30, "better"),
        (1000, 30, 2, "worse"),
        (10_000, 2, 3, "equal"),
        (10_000, 0, 0, "equal"),
        (100, 2, 3, "equal"),
    ],
)
def test_verdicts(total: int, only_a: int, only_b: int, verdict: str) -> None:
    result = compare(*pair(total, only_a, only_b))
    assert result.verdict == verdict
    assert result.difference.value == pytest.approx((only_b - only_a) / total)
    assert result.difference.low <= result.difference.value <= result.difference.high


def test_too_few_pictures_are_not_called_proof() -> None:
    assert "cannot exclude" in compare(*pair(100, 0, 0)).reason
    assert "within" in compare(*pair(10_000, 0, 0)).reason


def test_paired_interval_is_that_of_drawing_pictures() -> None:
    a, b = pair(400, 12, 30)
    rng = np.random.default_rng(2)
    drawn = [(lambda i: b[i].mean() - a[i].mean())(rng.integers(0, 400, 400)) for _ in range(3000)]
    found = compare(a, b).difference
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.006)
    assert found.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.006)


def test_compare_command_fails_a_worse_model(tmp_path: Path) -> None:
    good = make_model(tmp_path / "good.onnx")
    bad = make_model(tmp_path / "bad.onnx", prototypes=((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    data = str(shades(tmp_path / "data"))
    worse = CliRunner().invoke(compare_command, [str(good), str(bad), data, "--json"])
    assert worse.exit_code == 1
    told = json.loads(worse.output)
    assert (told["verdict"], told["only_a_right"], len(told["lost"])) == ("worse", 20, 12)
    better = CliRunner().invoke(compare_command, [str(bad), str(good), data])
    assert better.exit_code == 0
    assert better.output.startswith("better")


def test_a_comparison_is_written_into_the_new_models_card_and_opens_the_gate(tmp_path: Path) -> None:
    old = make_model(tmp_path / "old.onnx", prototypes=((0.4, 0.4, 0.4), (0.2, 0.2, 0.2)))
    new, out = make_model(tmp_path / "new.onnx", version="2"), tmp_path / "attested.onnx"
    data = shades(tmp_path / "data")
    arguments = [str(old), str(new), str(data), "--attest", str(out)]
    result = CliRunner().invoke(compare_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    before = file_sha256(old)
    with Classifier.load(out) as classifier:
        card = classifier.card
    assert card.card_version == 2
    assert card.comparison is not None
    assert (card.comparison.verdict, card.comparison.against_sha256) == ("better", before)
    assert card.comparison.samples == 20
    assert gate(card, before, None, RolloutSettings()) is None
    assert gate(card, "0" * 64, None, RolloutSettings()) is not None
    worse = CliRunner().invoke(
        compare_command, [str(new), str(old), str(data), "--attest", str(tmp_path / "no")]
    )
    assert worse.exit_code == 1
    assert not (tmp_path / "no").exists()
