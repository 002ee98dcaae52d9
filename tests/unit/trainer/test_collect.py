"""Regions cut out of real clips into labelled pictures."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edgenode.errors import DataError
from tests.pictures_made import noise, save
from tests.system.daemon import eventually
from trainer.collect import (
    COLLECTED,
    UNLABELLED,
    CollectOptions,
    collect,
    collect_command,
    subject_of_config,
    subject_of_regions,
)
from trainer.dataset import load_dataset, split
from trainer.intervals import read_intervals

ROOT = Path(__file__).parents[3]
HEADER = "clip,region,label,start_s,end_s\n"
REGIONS = ("left=0.1,0.1,0.4,0.9", "middle=0.4,0.1,0.6,0.9", "right=0.6,0.1,0.9,0.9")


def test_real_clip_by_its_labels(tmp_path: Path, shared_data: Path) -> None:
    clip = shared_data / "clips" / "intel_bottle-detection.mp4"
    subject = subject_of_regions(str(clip), REGIONS)
    labels = read_intervals(Path(__file__).parents[2] / "data" / "bottles.csv", subject.clip)
    options = CollectOptions(every_s=0.5, to_s=20.0, margin_s=0.3)
    done = collect(subject, tmp_path, options, labels)
    assert 38 <= done.frames <= 41
    assert done.pictures + done.skipped == 3 * done.frames
    for path in tmp_path.glob("*/*.png"):
        _, region, time_s = path.stem.rsplit("_", 2)
        assert labels[region].at(float(time_s)) == path.parent.name
        assert cv2.imread(str(path)).shape[0] == 288  # 0.8 of 360 lines, not resized
    dataset = load_dataset(tmp_path)
    groups = [{p.group for p in part.pictures} for part in vars_of(split(dataset))]
    assert all(picture.group for picture in dataset.pictures)
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    again = collect(subject, tmp_path, options, labels)
    assert again.pictures == done.pictures == len(list(tmp_path.glob("*/*.png")))


def vars_of(result: object) -> list:  # type: ignore[type-arg]
    return [getattr(result, name) for name in ("train", "val", "test")]


def test_folder_without_labels_and_masks_of_a_configuration(tmp_path: Path) -> None:
    for index in range(3):
        save(tmp_path / "shots" / f"{index}.png", noise(index, 40, 60))
    (tmp_path / "node.toml").write_text(
        '[[cameras]]\nname = "cam"\nsource = "shots/"\n'
        "masks = [[[0.0, 0.0], [0.3, 0.0], [0.3, 1.0], [0.0, 1.0]]]\n"
        '[[cameras.regions]]\nname = "all"\n'
    )
    done = collect(
        subject_of_config(tmp_path / "node.toml", None), tmp_path / "out", CollectOptions(every_s=0)
    )
    assert done.by_label == {"_unlabelled": 3}
    first = sorted((tmp_path / "out" / "_unlabelled").iterdir())[0]
    picture = cv2.imread(str(first))
    assert not picture[:, :18].any()
    assert np.array_equal(picture[:, 20:, ::-1], noise(0, 40, 60)[:, 20:])


def test_margins_stand_at_changes_alone(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(HEADER + "c.mp4,r,a,0,2\nc.mp4,r,a,2,4\nc.mp4,r,b,4,6\n")
    labels = read_intervals(tmp_path / "l.csv", "c.mp4")["r"]
    asked = (0.0, 2.0, 3.6, 4.0, 4.4, 4.5, 5.9, 6.0)
    assert [labels.at(t, 0.5) for t in asked] == ["a", "a", None, None, None, "b", "b", None]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ("c.mp4,r,a,0,5\nc.mp4,r,b,4,6\n", "overlaps"),
        ("c.mp4,r,a,5,1\n", "line 2"),
        ("c.mp4,r,a,x,1\n", "line 2"),
        ("other.mp4,r,a,0,1\n", "it names other.mp4"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, rows: str, word: str) -> None:
    (tmp_path / "l.csv").write_text(HEADER + rows)
    with pytest.raises(DataError, match=word):
        read_intervals(tmp_path / "l.csv", "c.mp4")


@pytest.mark.parametrize("text", ["r=0,0,1", "r=0.5,0,0.1,1", "R x=0,0,1,1", "r"])
def test_wrong_region_is_named(text: str) -> None:
    with pytest.raises(DataError, match="name=x0,y0,x1,y1"):
        subject_of_regions("c.mp4", [text])


def test_command_says_what_it_wrote(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path / "shots" / f"{index}.png", noise(index))
    arguments = [
        str(tmp_path / "shots"),
        "--region",
        "r=0,0,1,1",
        "--to",
        "1s",
        "--out",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(collect_command, arguments, catch_exceptions=False)
    assert result.output.split()[0] == "2"
    with pytest.raises(DataError, match="nothing to write"):
        CliRunner().invoke(collect_command, [*arguments, "--from", "2s"], catch_exceptions=False)


def test_ctrl_c_ends_a_collection_from_a_camera_and_keeps_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer.cli", "collect", "synthetic:line", "--every", "100ms"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    folder = tmp_path / UNLABELLED
    eventually(lambda: folder.is_dir() and any(folder.iterdir()), "the first picture")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "what was collected so far is kept" in said
    with (tmp_path / COLLECTED).open(encoding="utf-8", newline="") as file:
        listed = {row["path"] for row in csv.DictReader(file)}
    assert listed == {f"{UNLABELLED}/{path.name}" for path in folder.iterdir()}
