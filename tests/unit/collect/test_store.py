"""The store's bounds hold at any moment, and a crash leaves nothing half done."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.collect.record import Kept
from edgenode.collect.store import FOLDER, CollectedStore, StoreLimits, read_kept
from tests.unit.collect.parts import kept


def on_disk(state_dir: Path) -> tuple[int, int]:
    """(bytes, pictures) of every file there is."""
    files = [file for file in (state_dir / FOLDER).rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files), sum(file.suffix == ".png" for file in files)


def opened(state_dir: Path, max_bytes: int = 10**6, max_pictures: int = 100) -> CollectedStore:
    store = CollectedStore(state_dir, StoreLimits(max_bytes, max_pictures))
    store.open()
    return store


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 4000), st.sampled_from("abc")),
        st.tuples(st.just("reopen"), st.integers(1500, 9000), st.integers(1, 6)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_the_store_never_holds_more_than_it_may_and_knows_what_it_holds(
    steps: list[tuple[str, int, object]],
) -> None:
    with TemporaryDirectory() as folder:
        state_dir = Path(folder)
        store = opened(state_dir, 6000, 4)
        added: set[str] = set()
        gone: set[str] = set()
        for number, (what, size, more) in enumerate(steps):
            if what == "reopen":
                before = {each.stem for each in store.kept()}
                store = opened(state_dir, size, int(str(more)))
                gone |= before - {each.stem for each in store.kept()}
            else:
                picture = kept(number, camera=f"line_{more}")
                try:
                    evicted = store.add(b"x" * size, picture)
                except ValueError:
                    assert size + len(picture.line().encode()) > store.limits.max_bytes
                    continue
                added.add(picture.stem)
                gone |= {each.stem for each in evicted if each is not None}
            assert (store.size_bytes, store.pictures) == on_disk(state_dir)
            assert store.size_bytes <= store.limits.max_bytes
            assert store.pictures <= store.limits.max_pictures
            assert {each.stem for each in store.kept()} == added - gone


def test_what_is_kept_can_be_read_back(tmp_path: Path) -> None:
    store = opened(tmp_path)
    picture = kept(1)
    store.add(b"picture", picture)
    file = store.folder / f"{picture.stem}.png"
    assert file.read_bytes() == b"picture"
    assert read_kept(file) == picture
    assert list(opened(tmp_path).kept()) == [picture]
    assert file.stat().st_mode & 0o077 == 0
    assert file.with_suffix(".json").read_text().count("\n") == 1


def test_of_the_commonest_kind_the_oldest_goes_first(tmp_path: Path) -> None:
    store = opened(tmp_path, max_pictures=4)
    for number, label in enumerate(["defect", "ok", "ok", "ok"]):
        store.add(b"x", kept(number, label=label))
    gone = [store.add(b"x", kept(4 + number, label="none")) for number in range(2)]
    assert [each.captured_at for step in gone for each in step if each] == [
        kept(1).captured_at,
        kept(2).captured_at,
    ]


def test_a_day_s_empty_folder_goes_with_its_last_picture(tmp_path: Path) -> None:
    store = opened(tmp_path, max_pictures=1)
    store.add(b"x", kept(0))
    store.add(b"x", kept(9))
    assert [each.name for each in store.folder.iterdir()] == [kept(9).stem.split("/")[0]]


@pytest.mark.parametrize("left", [".080000.000000_line_1_belt.png.new", "080000.000000_line_1_belt.json"])
def test_what_a_crash_left_half_done_is_cleared_up(tmp_path: Path, left: str) -> None:
    day = tmp_path / FOLDER / "2026-03-01"
    day.mkdir(parents=True)
    (day / left).write_text("{}")
    store = opened(tmp_path)
    assert (store.pictures, on_disk(tmp_path)) == (0, (0, 0))


def test_a_picture_without_a_line_counts_and_can_go(tmp_path: Path) -> None:
    day = tmp_path / FOLDER / "2026-03-01"
    day.mkdir(parents=True)
    (day / "other.png").write_bytes(b"x" * 10)
    store = opened(tmp_path)
    assert (store.pictures, store.size_bytes) == (1, 10)
    assert CollectedStore(tmp_path, StoreLimits(5, 5)).open() == 1
    assert on_disk(tmp_path) == (0, 0)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    store = opened(tmp_path)
    picture = kept(1)
    folder = (store.folder / picture.stem).parent
    folder.mkdir()
    os.symlink("/dev/full", folder / f".{Path(picture.stem).name}.png.new")
    with pytest.raises(OSError, match="No space"):
        store.add(b"x" * 100, picture)
    assert [file.name for file in folder.iterdir()] == []
    assert (store.size_bytes, store.pictures) == (0, 0)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"schema": 1}', "\x00"])
def test_other_lines_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Kept.parse(text)
