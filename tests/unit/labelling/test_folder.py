"""The training folder is what was said, at any moment, and the trainer reads it so."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.errors import DataError
from edgenode.labelling.folder import Said, TrainingFolder
from edgenode.labelling.pictures import Picture
from tests.unit.collect.parts import textured
from trainer.listing import list_files


def pictures(folder: Path, count: int = 4) -> list[Picture]:
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), textured(number))
        found.append(Picture(path, path.name, f"minute {number // 2}", None))
    return found


def read_by_trainer(out: Path, multi_label: bool) -> dict[str, tuple[str, ...]]:
    path = out / "labels.csv" if multi_label else out
    return {entry.path.name: entry.labels for entry in list_files(path).entries}


ANSWERS = st.one_of(st.just("undo"), st.none(), st.sampled_from(["ok", "defect", "other"]))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), ANSWERS, st.booleans()), max_size=12), st.booleans())
def test_what_was_said_last_holds_also_for_who_opens_it_again(
    steps: list[tuple[int, str | None, bool]], multi_label: bool
) -> None:
    with TemporaryDirectory() as name:
        out = Path(name) / "out"
        subject = pictures(Path(name) / "kept")
        folder = TrainingFolder(out, multi_label).open(subject)
        model: dict[str, Said] = {}
        for number, answer, again in steps:
            picture = subject[number]
            if answer == "undo":
                folder.take_back(picture)
                model.pop(picture.name, None)
            else:
                said = None if answer is None else (answer,)
                folder.put(picture, said)
                model[picture.name] = said
            if again:
                folder.close()
                folder = TrainingFolder(out, multi_label).open(subject)
            assert {each.name: folder.said(each.name) for each in subject} == {
                each.name: (each.name in model, model.get(each.name)) for each in subject
            }
        folder.close()
        usable = {name: said for name, said in model.items() if said is not None}
        if usable:
            assert read_by_trainer(out, multi_label) == usable
        assert all(picture.path.exists() for picture in subject), "the sources stay where they are"


def test_several_labels_and_none_are_written_as_the_trainer_reads_them(tmp_path: Path) -> None:
    one, two, three, _ = subject = pictures(tmp_path / "kept")
    folder = TrainingFolder(tmp_path / "out", multi_label=True).open(subject)
    folder.put(one, ("truck", "person"))
    folder.put(two, ())
    folder.put(three, None)
    folder.close()
    listing = list_files(tmp_path / "out" / "labels.csv")
    assert {entry.path.name: (set(entry.labels), entry.group) for entry in listing.entries} == {
        "0.png": ({"truck", "person"}, "minute 0"),
        "1.png": (set(), "minute 0"),
    }
    assert all(entry.path.is_file() for entry in listing.entries)


def test_the_trainer_learns_which_pictures_were_taken_together(tmp_path: Path) -> None:
    subject = pictures(tmp_path / "kept")
    out = tmp_path / "out"
    out.mkdir()
    (out / "collected.csv").write_text("path,label,group\nold.png,ok,clip:1\n0.png,,clip:7\n")
    folder = TrainingFolder(out, multi_label=False).open(subject)
    for picture in subject:
        folder.put(picture, ("ok",))
    folder.close()
    groups = {entry.path.name: entry.group for entry in list_files(out).entries}
    assert groups == {"0.png": "clip:7", "1.png": "minute 0", "2.png": "minute 1", "3.png": "minute 1"}
    assert "old.png,ok,clip:1" in (out / "collected.csv").read_text()


def test_no_second_copy_is_made_where_a_link_can_be(tmp_path: Path) -> None:
    one, *_ = subject = pictures(tmp_path / "kept")
    folder = TrainingFolder(tmp_path / "out", multi_label=False).open(subject)
    folder.put(one, ("ok",))
    folder.close()
    copy = tmp_path / "out" / "ok" / one.name
    assert copy.samefile(one.path)
    one.path.unlink()  # the node made room
    assert cv2.imread(str(copy)) is not None


def test_two_persons_cannot_fill_one_folder(tmp_path: Path) -> None:
    first = TrainingFolder(tmp_path, multi_label=False).open([])
    with pytest.raises(DataError, match="another"):
        TrainingFolder(tmp_path, multi_label=False).open([])
    first.close()
    TrainingFolder(tmp_path, multi_label=False).open([]).close()


def test_what_was_half_copied_is_nothing(tmp_path: Path) -> None:
    subject = pictures(tmp_path / "kept")
    half = tmp_path / "out" / "ok" / ".0.png.new"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    folder = TrainingFolder(tmp_path / "out", multi_label=False).open(subject)
    assert folder.said("0.png") == (False, None)
    assert not half.exists()
    folder.put(subject[0], ("ok",))
    folder.close()


@pytest.mark.parametrize("said", [("../evil",), ("",), ("ok", "defect"), ()])
def test_wrong_answers_change_nothing(tmp_path: Path, said: Said) -> None:
    one, *_ = subject = pictures(tmp_path / "kept")
    folder = TrainingFolder(tmp_path / "out", multi_label=False).open(subject)
    with pytest.raises(DataError):
        folder.put(one, said)
    assert folder.said(one.name) == (False, None)
    folder.close()
    assert [each.name for each in (tmp_path / "out").iterdir() if each.is_dir()] == []


def test_a_picture_that_went_meanwhile_is_told(tmp_path: Path) -> None:
    one, *_ = subject = pictures(tmp_path / "kept")
    folder = TrainingFolder(tmp_path / "out", multi_label=False).open(subject)
    one.path.unlink()
    with pytest.raises(DataError, match=r"0\.png"):
        folder.put(one, ("ok",))
    assert folder.said(one.name) == (False, None)
    folder.close()


def test_what_others_hide_in_the_folder_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "ok").mkdir(parents=True)
    (out / "ok" / ".gitkeep").touch()
    (out / "ok" / ".0.png.new").write_bytes(b"half")
    TrainingFolder(out, False).open(()).close()
    assert [path.name for path in (out / "ok").iterdir()] == [".gitkeep"]


def test_a_manifest_without_its_columns_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n0.png,ok\n")
    with pytest.raises(DataError, match=r"labels\.csv: a row lacks path or labels"):
        TrainingFolder(tmp_path, True).open(())
