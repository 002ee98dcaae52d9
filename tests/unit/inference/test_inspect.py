"""What `edgenode model inspect` says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgenode.errors import ModelError
from edgenode.inference.card import ClassScore, Evaluation, Interval, Threshold
from edgenode.inference.classifier import Classifier
from edgenode.inference.inspect import inspection, inspection_json, inspection_text
from edgenode.inference.onnx_file import file_sha256
from tests.models import make_model

EVALUATION = Evaluation(
    samples=30,
    test_set_sha256="ab" * 32,
    accuracy=Interval(value=0.9, low=0.8, high=0.97),
    macro_precision=0.91,
    macro_recall=0.89,
    macro_f1=0.899,
    per_class=[
        ClassScore(label="dark", precision=0.95, recall=0.85, f1=0.897, support=14),
        ClassScore(label="bright", precision=0.87, recall=0.93, f1=0.901, auc=0.99, support=16),
    ],
    ece=0.021,
    confusion=[[12, 2], [1, 15]],
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_model(
        tmp_path / "model.onnx",
        evaluation=EVALUATION,
        abstain_below=0.55,
        embedding=True,
        thresholds=(Threshold(label="bright", enter=0.7, leave=0.5, precision=0.98),),
    )


def test_text_says_what_the_card_and_the_graph_say(path: Path) -> None:
    text = inspection_text(inspection(path))
    lines = text.splitlines()
    for words in (
        "tiny 1.0.0  (single_label)",
        file_sha256(path),
        "dark, bright",
        "8×8 rgb, stretch, area",
        "under 0.55",
        "images uint8 [N, 8, 8, 3]",
        "probabilities float32 [N, 2]; embedding float32 [N, 3]",
        "ai.onnx 18 (IR 9)",
        "mean-colour, 8 parameters",
        "0.900 (95 %: 0.800 to 0.970)",
        "evaluated on 30 pictures (test set abababababab)",
    ):
        assert words in text, words
    cells = [line.split() for line in lines]
    assert ["bright", "0.870", "0.930", "0.901", "0.990", "16"] in cells
    assert ["dark", "12", "2"] in cells
    assert ["bright", "0.700", "0.500", "0.980", "-"] in cells
    assert max(len(line) for line in lines if str(path) not in line) <= 110


def test_json_holds_the_same_and_is_json(path: Path) -> None:
    found = inspection(path)
    data = json.loads(inspection_json(found))
    assert data["accepted"] is True
    assert data["refusal"] is None
    assert data["file"]["sha256"] == file_sha256(path)
    assert data["file"]["size_bytes"] == path.stat().st_size
    assert data["graph"]["inputs"] == [{"name": "images", "type": "uint8", "shape": ["N", 8, 8, 3]}]
    assert data["graph"]["opsets"] == {"ai.onnx": 18}
    assert data["card"]["evaluation"]["confusion"] == [[12, 2], [1, 15]]
    assert type(found.card).model_validate(data["card"]) == found.card


def test_a_model_without_an_evaluation_says_so(tmp_path: Path) -> None:
    assert inspection_text(inspection(make_model(tmp_path / "m.onnx"))).endswith("not evaluated\n")


@pytest.mark.parametrize("defect", ["external_initializer", "golden_wrong", "input_float"])
def test_a_file_that_this_node_refuses_is_shown_with_the_reason(tmp_path: Path, defect: str) -> None:
    path = make_model(tmp_path / "m.onnx", defect=defect)
    found = inspection(path)
    with pytest.raises(ModelError) as refused:
        Classifier.load(path)
    assert found.refusal == str(refused.value)
    assert f"this node refuses it: {found.refusal}" in inspection_text(found)
    data = json.loads(inspection_json(found))
    assert (data["accepted"], data["refusal"]) == (False, found.refusal)


def test_looking_without_proving_says_so_and_needs_no_onnxruntime(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from edgenode.inference.inspect import inspection, inspection_json, inspection_text\n"
        "found = inspection(Path(sys.argv[1]), prove=False)\n"
        "assert 'not tried' in inspection_text(found)\n"
        "assert '\"accepted\": null' in inspection_json(found)\n"
        "assert 'onnxruntime' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)


def test_a_file_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model card"):
        inspection(make_model(tmp_path / "m.onnx", defect="no_card"))
