"""The commands as a user runs them: fit, an interruption, export of what was reached, several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgenode.errors import DataError
from edgenode.inference.classifier import Classifier
from trainer.cli import Duration, cli, main
from trainer.dataset import Dataset, load_dataset, manifest_sha256, split
from trainer.run_state import best_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of three classes: where the bright blob is. Large and noisy enough to be no near duplicates."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for label, (top, left) in {"left": (8, 2), "right": (8, 16), "top ünten": (1, 9)}.items():
        (root / label).mkdir()
        for number in range(20):
            coarse = rng.integers(0, 130, (6, 6), dtype=np.uint8)
            image = cv2.resize(coarse, (24, 24), interpolation=cv2.INTER_NEAREST)
            image[top : top + 7, left : left + 7] = 220
            done, data = cv2.imencode(".png", image)
            assert done
            (root / label / f"{number}.png").write_bytes(data.tobytes())
    return root


def test_fit_makes_a_model_the_node_accepts_and_a_report(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "blobs.onnx"
    arguments = ["fit", str(pictures), "--out", str(out), "--arch", "edge-s", "--epochs", "8", "--batch", "8"]
    options = ["--prune", "0.3", "--augment", "0.3", "--orientation", "fixed", "--precision", "float32"]
    options += ["--tolerance", "100"]  # keeps the pruned network whatever it costs
    result = CliRunner().invoke(cli, [*arguments, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.output
    assert "pruning 30%" in result.output
    with Classifier.load(out) as classifier:
        card = classifier.card
    assert card.labels == ["left", "right", "top ünten"]
    assert card.input.color == "grey"
    assert card.evaluation is not None
    assert card.evaluation.samples == sum(map(sum, card.evaluation.confusion))
    assert card.drift is not None
    assert card.training.options["augment.orientation"] == "fixed"
    assert card.training.options["pruned_to"]
    assert card.training.epochs == 8 + 5, "the pruned network's epochs follow on the first training's"
    assert 8 < int(str(card.training.options["best_epoch"])) <= 13
    assert card.training.data_manifest_sha256
    assert (tmp_path / "report" / "index.html").exists()
    again = split(load_dataset_of(pictures, (tmp_path / "report" / "split.csv").read_text()))
    assert len(again.test) == card.evaluation.samples
    assert manifest_sha256(again.test) == card.evaluation.test_set_sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs.onnx", "report"]


def load_dataset_of(pictures: Path, manifest: str) -> Dataset:
    """The split that a report tells, put beside the pictures as a user would."""
    path = pictures / "split.csv"
    path.write_text(manifest)
    try:
        return load_dataset(path)
    finally:
        path.unlink()


def test_an_interruption_leaves_a_checkpoint_that_can_be_exported(pictures: Path, tmp_path: Path) -> None:
    checkpoint, out = tmp_path / "run.checkpoint", tmp_path / "model.onnx"
    arguments = [
        str(pictures),
        "--out",
        str(checkpoint),
        "--arch",
        "edge-s",
        "--epochs",
        "5000",
        "--batch",
        "8",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer.cli", "train", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    with process.stderr as lines:
        seen = [next(lines)]
        while not seen[-1].startswith("epoch "):
            seen.append(next(lines))
        process.send_signal(signal.SIGINT)
        rest = lines.read()
    assert process.wait(60) == 130, rest
    assert "--resume goes on" in rest
    result = CliRunner().invoke(
        cli, ["export", str(checkpoint), str(pictures), "--out", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    with Classifier.load(out) as classifier:
        assert classifier.card.training.epochs is not None
    result = CliRunner().invoke(
        cli, ["quantise", str(out), str(pictures), "--out", str(tmp_path / "int8.onnx"), "--always"],
        catch_exceptions=False,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with Classifier.load(tmp_path / "int8.onnx") as classifier:
        assert classifier.card.quantisation is not None


def test_train_and_export_make_what_fit_makes_pruned_and_on_the_same_split(
    pictures: Path, tmp_path: Path
) -> None:
    options = [
        "--arch",
        "edge-s",
        "--epochs",
        "3",
        "--batch",
        "8",
        "--precision",
        "float32",
        "--prune",
        "0.3",
    ]
    options += [
        "--tolerance",
        "100",
        "--split-seed",
        "5",
        "--group-pattern",
        r"(\d)\.png",
        "--required-precision",
        "1",
    ]
    whole, checkpoint, half = (tmp_path / name for name in ("whole.onnx", "run.checkpoint", "half.onnx"))
    report = tmp_path / "other"
    for arguments in (
        ["fit", str(pictures), "--out", str(whole), "--quantise", "never", "--name", "same", *options],
        ["train", str(pictures), "--out", str(checkpoint), *options],
        ["export", str(checkpoint), str(pictures), "--out", str(half), "--name", "same", "--required-precision", "1",
         "--report", str(report)],
    ):  # fmt: skip
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert "epoch" in (report / "index.html").read_text(encoding="utf-8")
    cards = []
    for path in (whole, half):
        with Classifier.load(path) as classifier:
            cards.append(classifier.card)
    first, second = cards
    assert second.training.options["pruned_to"] == first.training.options["pruned_to"]
    assert second.golden == first.golden
    assert second.evaluation == first.evaluation
    assert second.training.options["group_pattern"] == r"(\d)\.png"


def test_an_earlier_checkpoint_is_put_aside_and_a_wrong_path_costs_nothing(
    pictures: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    checkpoint.write_bytes(b"ten hours")
    arguments = ["--out", str(checkpoint), "--arch", "edge-s", "--epochs", "1", "--batch", "8"]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="no class folders"):
        CliRunner().invoke(cli, ["train", str(tmp_path / "nothing"), *arguments], catch_exceptions=False)
    assert checkpoint.read_bytes() == b"ten hours"
    assert (
        CliRunner().invoke(cli, ["train", str(pictures), *arguments], catch_exceptions=False).exit_code == 0
    )
    assert (tmp_path / "run.checkpoint.old").read_bytes() == b"ten hours"
    assert best_of(checkpoint).best_epoch == 0


@pytest.mark.parametrize("command", ["fit", "train", "export", "quantise"])
def test_what_cannot_be_written_is_said_before_anything_is_read(
    command: str, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    given = {"export": [str(tmp_path / "file")], "quantise": [str(tmp_path / "file")]}.get(command, [])
    out = tmp_path / "file" / "below" / "m.onnx"
    with pytest.raises(NotADirectoryError, match="cannot be written"):
        CliRunner().invoke(cli, [command, *given, str(pictures), "--out", str(out)], catch_exceptions=False)


def test_two_processes_make_the_model_that_one_makes(pictures: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "--no-python",
    ]
    fit = [sys.executable, "-m", "trainer.cli", "fit", str(pictures), "--arch", "edge-s", "--epochs", "4"]
    # every random effect on, every source of a coarser rounding off; a budget too wide to matter is still agreed on
    fit += ["--batch", "8", "--precision", "float32", "--dropout", "0.3", "--mixup", "0.2", "--cutmix", "0.2"]
    fit += ["--quantise", "never", "--budget", "1h"]
    answers = []
    rng = np.random.default_rng(0)
    probes = rng.integers(0, 256, (16, 24, 24, 1), dtype=np.uint8)
    for name, launcher in (("one", []), ("two", torchrun)):
        out = tmp_path / name / "model.onnx"
        command = [*launcher, *fit, "--out", str(out), "--name", "same"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("accuracy ") == 1, "one process speaks"
        assert [path.name for path in sorted(out.parent.iterdir())] == ["model.onnx", "report"]
        with Classifier.load(out) as classifier:
            answers.append(classifier.classify(probes).probabilities)
    assert np.abs(answers[0] - answers[1]).max() < 5e-3
    assert np.abs(answers[0] - 1 / 3).max() > 0.025, "a model that answers nothing would always agree"


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    from trainer.distributed import World

    with pytest.raises(DataError, match="3 equal parts"):
        World(0, 3).slice_of(32)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


def test_mistakes_are_one_line(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one_class = tmp_path / "one"
    (one_class / "only").mkdir(parents=True)
    (one_class / "only" / "a.png").write_bytes((pictures / "left" / "0.png").read_bytes())
    for arguments, expected in (
        (["fit", str(pictures), "--out", str(tmp_path / "m.onnx"), "--arch", "resnet"], "classic, edge-s"),
        (["fit", str(one_class), "--out", str(tmp_path / "m.onnx")], "two classes"),
        (["fit", str(pictures), "--out", str(tmp_path / "m.onnx"), "--budget", "soon"], "not a duration"),
        (["train", str(pictures), "--out", str(tmp_path / "no.checkpoint"), "--resume"], "no checkpoint"),
    ):
        monkeypatch.setattr("sys.argv", ["edgenode-trainer", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (1, 2)
        told = capsys.readouterr().err
        assert expected in told
        assert "Traceback" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
