"""Models made by Keras and by TensorFlow become model files that answer as the frameworks do.

Needs an interpreter with TensorFlow, Keras and tf2onnx, named by EDGENODE_TEST_TENSORFLOW (`make test-interop`
makes one); skips, saying so, without.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edgenode.inference.classifier import Classifier, ClassifierOptions
from trainer.import_model import import_command

MAKER = Path(__file__).with_name("make_models.py")
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make_models.py` filled."""
    python = os.environ.get("EDGENODE_TEST_TENSORFLOW")
    if not python:
        pytest.skip("EDGENODE_TEST_TENSORFLOW names no interpreter with TensorFlow; `make test-interop` does")
    folder = tmp_path_factory.mktemp("made")
    done = subprocess.run([python, str(MAKER), str(folder)], capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    (folder / "labels.txt").write_text("disc\nsquare\ncross\n")
    return folder


@pytest.mark.parametrize(
    ("name", "scaling"),
    [
        ("keras", ["--scale", str(1 / 127.5), "--mean", "1", "--std", "1"]),
        ("tensorflow", ["--scale", str(1 / 255)]),
    ],
)
def test_answers_stay_the_frameworks_own(made: Path, tmp_path: Path, name: str, scaling: list[str]) -> None:
    out = tmp_path / "model.onnx"
    labels = str(made / "labels.txt")
    arguments = [
        str(made / f"{name}.onnx"),
        "--out",
        str(out),
        "--labels",
        labels,
        "--layout",
        "nhwc",
        *scaling,
    ]
    done = CliRunner().invoke(import_command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output

    with np.load(made / f"{name}.npz") as given:
        images, truth, expected = given["images"], given["labels"], given["answers"]
    with Classifier.load(out, ClassifierOptions(threads=1, run_timeout_s=60)) as classifier:
        assert list(classifier.card.labels) == ["disc", "square", "cross"]
        # 7 does not divide 400: the last batch is a short one, and the TensorFlow graph was exported for one picture
        answers = np.concatenate(
            [classifier.classify(images[i : i + 7]).probabilities for i in range(0, len(images), 7)]
        )
    assert np.abs(answers - expected).max() < 1e-4
    assert (answers.argmax(axis=1) == expected.argmax(axis=1)).all()
    right = float((answers.argmax(axis=1) == truth).mean())
    assert right > 0.9, f"the {name} model learned too little for this test to mean anything: {right:.1%}"
