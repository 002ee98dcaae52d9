"""What is found in data, and the page on a model."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from click.testing import CliRunner

from tests.models import make_model
from tests.pictures_made import class_folders, encoded, noise, save, shades
from trainer.dataset import load_dataset
from trainer.inspection import Finding, inspect_command, inspect_dataset
from trainer.report import Wrong, inputs_of, report_command, write_report
from trainer.sheets import sheet


def found(path: Path) -> dict[str, Finding]:
    return {finding.kind: finding for finding in inspect_dataset(load_dataset(path)).findings}


def test_everything_wrong_at_once(tmp_path: Path) -> None:
    class_folders(tmp_path, each=8)
    (tmp_path / "bad" / "cut.png").write_bytes(encoded(noise(1))[:400])
    (tmp_path / "bad" / "notes.txt").write_text("x")
    save(tmp_path / "good" / "copy.png", noise(0))
    save(tmp_path / "good" / "nearly.jpg", noise(1), quality=80)
    save(tmp_path / "good" / "grey.png", noise(77, channels=1))
    save(tmp_path / "good" / "small.png", noise(78, 8, 8))
    (tmp_path / "good" / "liar.jpg").write_bytes(encoded(noise(79)))
    kinds = found(tmp_path)
    assert set(kinds) >= {
        "unreadable", "wrong_type", "copies_with_different_labels", "exact_duplicates", "near_duplicates",
        "label_suspects", "tiny_classes", "mixed_sizes", "small_pictures", "mixed_channels", "misnamed",
    }  # fmt: skip
    assert kinds["copies_with_different_labels"].severity == "error"
    assert kinds["copies_with_different_labels"].paths == ("bad/000.png = good/copy.png",)
    assert kinds["label_suspects"].paths == ("bad/001.png = good/nearly.jpg",)
    assert kinds["mixed_channels"].paths == ("good/grey.png",)
    assert kinds["misnamed"].paths == ("good/liar.jpg",)


def test_odd_one_among_its_neighbours(tmp_path: Path) -> None:
    bases = {"a": noise(1, 40, 40).astype(float), "b": noise(2, 40, 40).astype(float)}
    for index in range(45):
        for label, base in bases.items():
            rough = np.random.default_rng(index).normal(0, 30, base.shape)
            save(tmp_path / label / f"{index}.png", (base + rough).clip(0, 255).astype(np.uint8))
    rough = np.random.default_rng(99).normal(0, 45, (40, 40, 3))
    save(tmp_path / "a" / "odd.png", (bases["b"] + rough).clip(0, 255).astype(np.uint8))
    texts = [f for f in inspect_dataset(load_dataset(tmp_path)).findings if f.kind == "label_suspects"]
    assert any("a/odd.png" in path for finding in texts for path in finding.paths)


def test_real_steel_names_its_identical_pair(shared_data: Path) -> None:
    kinds = found(shared_data / "images" / "neu_steel")
    assert kinds["exact_duplicates"].paths == ("patches/patches_101.jpg = patches/patches_105.jpg",)
    assert "grey" in kinds
    assert "label_suspects" not in kinds


def test_inspect_command(tmp_path: Path) -> None:
    class_folders(tmp_path / "data", each=5)
    arguments = [str(tmp_path / "data"), "--out", str(tmp_path / "sheets"), "--json"]
    told = json.loads(CliRunner().invoke(inspect_command, arguments, catch_exceptions=False).output)
    assert told["pictures"] == 10
    written = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert written == ["class_00_bad.png", "class_01_good.png"]
    assert cv2.imread(str(tmp_path / "sheets" / written[0])).shape == (104, 504, 3)


def test_sheet_holds_pictures_of_all_shapes() -> None:
    paper = sheet([noise(1, 10, 90), noise(2, 90, 10, 1), noise(3, 1, 1)], columns=2, side=50)
    assert paper.shape == (112, 112, 3)
    assert (paper[0] == 255).all()


def test_report_page_is_whole_and_safe(tmp_path: Path) -> None:
    labels = ("dark", "bright")
    dataset = load_dataset(shades(tmp_path / "data", wrong=1))
    from dataclasses import replace

    from trainer.evaluate import answers_of

    inputs = inputs_of(answers_of(make_model(tmp_path / "m.onnx", labels), dataset), dataset)
    assert [wrong.name for wrong in inputs.wrongs] == ["dark/wrong0.png"]
    evil = Wrong(noise(1), '<script>alert("x")</script>', "图", "<b>", 0.9)
    (tmp_path / "report").mkdir()
    for stale in ("curves.png", "class_07_other.png", "mine.png"):
        (tmp_path / "report" / stale).write_bytes(b"")
    page = write_report(
        tmp_path / "report", replace(inputs, wrongs=(*inputs.wrongs, evil), augmented=noise(1)[None])
    )
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert 'src="data:image/png;base64,' in text
    assert "http" not in text.split("</style>")[1].split("Model card")[0]
    names = {path.name for path in page.parent.iterdir()}
    assert names == {
        "index.html", "confusion.png", "reliability.png", "risk_coverage.png", "augmented.png",
        "confident_wrongs.png", "class_00_bright.png", "class_01_dark.png", "mine.png",
    }  # fmt: skip


def test_report_command(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m.onnx")
    arguments = [str(model), str(shades(tmp_path / "data")), "--out", str(tmp_path / "out")]
    CliRunner().invoke(report_command, arguments, catch_exceptions=False)
    assert "rule of three" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
