"""Which pictures are asked about, in which order, under which names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from edgenode.collect.store import CollectedStore, StoreLimits
from edgenode.errors import DataError
from edgenode.labelling.pictures import find_pictures, label_problem
from edgenode.records import U8
from tests.unit.collect.parts import kept, textured


def write(path: Path, picture: U8 | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), textured(1) if picture is None else picture)
    return path


def test_what_a_node_kept_comes_the_most_telling_first(tmp_path: Path) -> None:
    store = CollectedStore(tmp_path, StoreLimits(10**6, 10))
    store.open()
    for number, (why, margin) in enumerate(
        [("random", 0.0), ("low_margin", 0.2), ("low_margin", 0.1), ("disagreement", 0.9)]
    ):
        store.add(b"png", replace(kept(number), why=why, margin=margin))
    subject = find_pictures(tmp_path, tmp_path / "out")
    told = [(picture.kept.why, picture.kept.margin) for picture in subject.pictures if picture.kept]
    assert told == [("disagreement", 0.9), ("low_margin", 0.1), ("low_margin", 0.2), ("random", 0.0)]
    assert subject.labels == ("ok", "defect")
    assert not subject.multi_label
    assert subject.pictures[0].name == f"{kept(3).stem.replace('/', '_')}.png"


def test_kept_pictures_of_the_same_minutes_belong_together(tmp_path: Path) -> None:
    store = CollectedStore(tmp_path, StoreLimits(10**6, 10))
    store.open()
    for second in (0, 1, 7200):
        at = kept(0).captured_at.replace(hour=8 + second // 3600, second=second % 60)
        store.add(b"png", replace(kept(0), captured_at=at))
    groups = [picture.group for picture in find_pictures(tmp_path, tmp_path / "out").pictures]
    assert len(set(groups)) == 2
    assert all(group.startswith("line_1:belt:") for group in groups)


def test_of_the_training_folder_itself_only_the_unsorted_are_asked_about(tmp_path: Path) -> None:
    write(tmp_path / "_unlabelled" / "clip_belt_1.png")
    write(tmp_path / "loose.jpg")
    write(tmp_path / "ok" / "sorted.png")
    write(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "collected.csv").write_text("path,group\n_unlabelled/clip_belt_1.png,clip:3\n")
    pictures = find_pictures(tmp_path, tmp_path).pictures
    assert {(picture.name, picture.group) for picture in pictures} == {
        ("clip_belt_1.png", "clip:3"),
        ("loose.jpg", ""),
    }


def test_of_another_folder_all_are_asked_about_but_those_already_copied(tmp_path: Path) -> None:
    write(tmp_path / "monday" / "1.png")
    write(tmp_path / "tuesday" / "1.png")
    write(tmp_path / "out" / "ok" / "monday_1.png")
    names = [picture.name for picture in find_pictures(tmp_path, tmp_path / "out").pictures]
    assert names == ["monday_1.png", "tuesday_1.png"]


def test_nothing_to_label_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pictures"):
        find_pictures(tmp_path, tmp_path)
    (tmp_path / "collected").mkdir()
    with pytest.raises(DataError, match="kept nothing yet"):
        find_pictures(tmp_path, tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_pictures(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize("label", ["ok", "no entry", "grün", "20_km", "a" * 100])
def test_labels_that_may_be(label: str) -> None:
    assert label_problem(label) is None


@pytest.mark.parametrize(
    "label",
    ["", " ok", "ok ", "_ok", ".ok", "a/b", "..", "a\\b", "a;b", "a\nb", "\u0000", "u\u0308", "a" * 101],
)
def test_labels_that_may_not(label: str) -> None:
    assert label_problem(label) is not None


def test_two_pictures_never_share_a_name(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b_c.png")
    write(tmp_path / "a_b" / "c.png", textured(2))
    first = find_pictures(tmp_path, tmp_path / "out").pictures
    assert len({picture.name for picture in first}) == 2
    assert [picture.name for picture in find_pictures(tmp_path, tmp_path / "out").pictures] == [
        picture.name for picture in first
    ]
