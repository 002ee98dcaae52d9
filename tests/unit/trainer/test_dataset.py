"""Reading labelled pictures, whatever the files are like."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from edgenode.errors import DataError
from edgenode.inference.card import InputSpec
from edgenode.inference.pixels import prepare
from tests.pictures_made import class_folders, encoded, noise, save, turned_by_exif
from trainer.dataset import load_arrays, load_dataset, manifest_csv, manifest_sha256, split

SPEC = InputSpec(height=16, width=20)


def test_class_folders(tmp_path: Path) -> None:
    dataset = load_dataset(class_folders(tmp_path, ("b", "a"), each=3))
    assert dataset.labels == ("a", "b")
    assert dataset.task == "single_label"
    assert [dataset.name_of(p) for p in dataset.pictures][:4] == [
        "a/000.png",
        "a/001.png",
        "a/002.png",
        "b/000.png",
    ]
    arrays = load_arrays(dataset, SPEC)
    assert arrays.images.shape == (6, 16, 20, 3)
    assert arrays.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(arrays.images[3], prepare(noise(0), SPEC))


def test_one_name_in_two_folders_and_names_of_all_kinds(tmp_path: Path) -> None:
    class_folders(tmp_path, each=2)
    save(tmp_path / "bad" / "sub" / "000.png", noise(50))
    save(tmp_path / "good" / "größe Σ 图.png", noise(51))
    save(tmp_path / "good" / ".hidden.png", noise(52))
    (tmp_path / "good" / "Thumbs.db").write_bytes(b"x")
    dataset = load_dataset(tmp_path)
    names = [dataset.name_of(p) for p in dataset.pictures]
    assert "bad/000.png" in names
    assert "bad/sub/000.png" in names
    assert "good/größe Σ 图.png" in names
    assert len(names) == 6
    assert not dataset.problems


def test_class_name_composed_differently_is_one_label(tmp_path: Path) -> None:
    class_folders(tmp_path, ("grün", "rot"), each=1)
    save(tmp_path / unicodedata.normalize("NFD", "grün") / "x.png", noise(9))
    assert load_dataset(tmp_path).counts().tolist() == [2, 1]


BOMB = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0crc.\0\0\0\0IENDcrc."
)


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("cut.png", encoded(noise(1))[:900], "cut off"),
        ("cut.jpg", encoded(noise(1, 200, 200), ".jpg")[:1500], "cut off"),
        ("empty.jpg", b"", "empty"),
        ("text.jpg", b"hello, I am no picture at all", "no JPEG"),
        ("bomb.png", BOMB, "60000×60000"),
    ],
)
def test_broken_picture_is_named_and_stops_nothing(tmp_path: Path, name: str, data: bytes, word: str) -> None:
    class_folders(tmp_path, each=2)
    (tmp_path / "bad" / name).write_bytes(data)
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 4
    (problem,) = dataset.problems
    assert problem.kind == "unreadable"
    assert problem.path == f"bad/{name}"
    assert word in problem.text
    assert "\n" not in str(problem)


def test_other_files_are_named(tmp_path: Path) -> None:
    class_folders(tmp_path, each=2)
    (tmp_path / "bad" / "notes.txt").write_text("remember the milk")
    (tmp_path / "bad" / "no_suffix").write_bytes(encoded(noise(77)))
    dataset = load_dataset(tmp_path)
    assert len(dataset) == 5  # a picture is known by its bytes as well
    assert [(p.kind, p.path) for p in dataset.problems] == [("wrong_type", "bad/notes.txt")]


def test_every_kind_of_picture_becomes_three_bytes_a_pixel(tmp_path: Path) -> None:
    class_folders(tmp_path, each=1)
    grey = noise(3, channels=1)
    save(tmp_path / "bad" / "grey.png", grey)
    save(tmp_path / "bad" / "deep.png", grey.astype(np.uint16) * 256 + 99)
    save(tmp_path / "bad" / "alpha.png", np.dstack([np.repeat(grey[..., None], 3, axis=2), grey]))
    save(tmp_path / "bad" / "pixel.png", noise(4, 1, 1))
    upright = noise(5, 20, 30)
    (tmp_path / "bad" / "exif.jpg").write_bytes(turned_by_exif(encoded(upright, ".jpg"), 6))
    dataset = load_dataset(tmp_path)
    assert not dataset.problems
    looks = {p.path.name: p.look for p in dataset.pictures}
    assert looks["exif.jpg"] is not None
    assert (looks["exif.jpg"].width, looks["exif.jpg"].height) == (20, 30)
    assert looks["deep.png"] is not None
    assert looks["deep.png"].stored == "PNG 1×16 bit"
    assert looks["deep.png"].grey
    names = [p.path.name for p in dataset.pictures]
    images = load_arrays(dataset, InputSpec(height=32, width=40, color="grey")).images
    for name in ("grey.png", "deep.png", "alpha.png"):
        assert np.array_equal(images[names.index(name)][..., 0], grey), name
    assert len(np.unique(images[names.index("pixel.png")])) == 1


def test_cmyk_jpeg_has_the_colours_of_its_picture(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="Pillow writes the CMYK picture")
    class_folders(tmp_path, each=1)
    pillow.fromarray(noise(8)).convert("CMYK").save(tmp_path / "bad" / "cmyk.jpg", quality=98)
    dataset = load_dataset(tmp_path)
    image = load_arrays(dataset, InputSpec(height=32, width=40)).images[1]
    assert np.abs(image.astype(int) - noise(8)).mean() < 6


def test_empty_class_is_named(tmp_path: Path) -> None:
    class_folders(tmp_path, each=2)
    (tmp_path / "worn").mkdir()
    (tmp_path / "worn" / "x.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"class 'worn'; 1 files could not be read, first worn/x\.png"):
        load_dataset(tmp_path)


def test_one_class_alone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two classes or more; here there is 'good'"):
        load_dataset(class_folders(tmp_path, ("good",), each=2))


@pytest.mark.parametrize("name", ["unknown", "invalid", "x" * 65])
def test_names_the_card_refuses_are_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError):
        load_dataset(class_folders(tmp_path, ("good", name), each=1))


@pytest.mark.parametrize("what", ["nowhere", "empty", "file.png"])
def test_what_is_no_data_is_said(tmp_path: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()
    save(tmp_path / "file.png", noise(1))
    with pytest.raises(DataError, match=what):
        load_dataset(tmp_path / what)


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_tables_made_on_windows(tmp_path: Path, between: str) -> None:
    class_folders(tmp_path / "pictures", each=2)
    rows = [["path", "label"]]
    rows += [[f"pictures\\{folder}\\00{i}.png", "größer; 5 mm"] for folder in ("bad",) for i in (0, 1)]
    rows += [["pictures\\good\\000.png", "gut"]]
    quoted = [[f'"{cell}"' if ";" in cell else cell for cell in row] for row in rows]
    text = "".join(f"{between.join(row)}\r\n" for row in quoted)
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    dataset = load_dataset(tmp_path / "m.csv")
    assert dataset.labels == ("größer; 5 mm", "gut")
    assert [dataset.name_of(p) for p in dataset.pictures] == [row[0].replace("\\", "/") for row in rows[1:]]
    assert not dataset.problems


def test_manifest(tmp_path: Path) -> None:
    class_folders(tmp_path / "pictures", each=4)
    rows = [
        "path,label,group,split,remark",
        "pictures/bad/000.png,crack,w1,train,x",
        '"pictures/bad/001.png","crack, deep",w1,val,',
        "pictures/good/000.png,fine,,test,",
        "pictures/good/000.png,fine,,test,",
        "pictures/good/001.png,fine,,,",
        "pictures/good/001.png,crack,,,",
        "pictures/good/009.png,fine,,,",
        "pictures/good/002.png,,,,",
        "pictures/good/003.png,fine,,later,",
        "pictures/bad/002.png,crack,,train,",
    ]
    path = tmp_path / "manifest.csv"
    path.write_text("\ufeff" + "\r\n".join(rows), encoding="utf-8")
    dataset = load_dataset(path)
    assert dataset.labels == ("crack", "crack, deep", "fine")
    assert [dataset.name_of(p) for p in dataset.pictures] == [
        "pictures/bad/000.png", "pictures/bad/001.png", "pictures/good/000.png", "pictures/bad/002.png",
    ]  # fmt: skip
    assert [p.part for p in dataset.pictures] == ["train", "val", "test", "train"]
    assert [p.group for p in dataset.pictures] == ["w1", "w1", "", ""]
    kinds = [(p.kind, p.path) for p in dataset.problems]
    assert kinds == [
        ("listed_twice", "pictures/good/000.png"),
        ("listed_twice", "pictures/good/001.png"),
        ("bad_row", "pictures/good/002.png"),
        ("bad_row", "pictures/good/003.png"),
        ("missing", "pictures/good/009.png"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "path,labels\nbad/000.png,\nbad/001.png,dirt; scratch\ngood/000.png,scratch\ngood/001.png,dirt\n",
        "path,dirt,scratch\nbad/000.png,0,\nbad/001.png,1,1.0\ngood/000.png,0,yes\ngood/001.png,true,no\n",
    ],
    ids=["joined", "columns"],
)
def test_multi_label_manifests(tmp_path: Path, text: str) -> None:
    class_folders(tmp_path, each=2)
    (tmp_path / "m.csv").write_text(text)
    dataset = load_dataset(tmp_path / "m.csv")
    assert dataset.task == "multi_label"
    assert dataset.labels == ("dirt", "scratch")
    arrays = load_arrays(dataset, SPEC)
    assert arrays.labels.dtype == np.float32
    assert arrays.labels.tolist() == [[0, 0], [1, 1], [0, 1], [1, 0]]


def test_manifest_without_a_path_column(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("name,label\nx.png,a\n")
    with pytest.raises(DataError, match="path,label"):
        load_dataset(tmp_path / "m.csv")


def test_identity_is_of_content_not_of_place(tmp_path: Path) -> None:
    first = load_dataset(class_folders(tmp_path / "one", each=2))
    class_folders(tmp_path / "two", each=2)
    (tmp_path / "two" / "bad" / "000.png").rename(tmp_path / "two" / "bad" / "zzz.png")
    second = load_dataset(tmp_path / "two")
    assert manifest_sha256(first) == manifest_sha256(second)
    (tmp_path / "two" / "bad" / "zzz.png").rename(tmp_path / "two" / "good" / "zzz.png")
    assert manifest_sha256(load_dataset(tmp_path / "two")) != manifest_sha256(first)


def test_split_written_as_manifest_loads_as_the_same_split(tmp_path: Path) -> None:
    parts = split(load_dataset(class_folders(tmp_path, each=10)), seed=1)
    (tmp_path / "split.csv").write_text(manifest_csv(parts))
    again = split(load_dataset(tmp_path / "split.csv"), seed=7)
    for name in ("train", "val", "test"):
        assert manifest_sha256(getattr(again, name)) == manifest_sha256(getattr(parts, name))


def test_picture_that_changes_under_our_hands_is_named(tmp_path: Path) -> None:
    dataset = load_dataset(class_folders(tmp_path, each=2))
    save(tmp_path / "bad" / "001.png", noise(999))
    with pytest.raises(DataError, match=r"bad/001\.png: was changed"):
        load_arrays(dataset, SPEC)
    (tmp_path / "bad" / "001.png").unlink()
    with pytest.raises(DataError, match=r"bad/001\.png: .*a moment ago"):
        load_arrays(dataset, SPEC)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    dataset = load_dataset(
        class_folders(tmp_path, each=2), progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    told.clear()
    load_arrays(dataset, SPEC, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)


def test_groups_from_names(tmp_path: Path) -> None:
    dataset = load_dataset(class_folders(tmp_path, each=2), group_pattern=r"(\d+)\.png")
    assert [p.group for p in dataset.pictures] == ["000", "001", "000", "001"]
    for pattern in ("(", "abc"):
        with pytest.raises(DataError, match="group pattern"):
            load_dataset(tmp_path, group_pattern=pattern)
