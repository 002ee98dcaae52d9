"""Watching a folder of pictures."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgenode.capture.address import Address, AddressKind
from edgenode.capture.folder import FolderSource
from edgenode.capture.source import SourceIdleError, SourceOptions
from edgenode.clock import ManualClock
from edgenode.errors import PictureError, SourceError
from tests.clips import jpeg, number_of, numbered


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


def watch(folder: Path, clock: ManualClock) -> FolderSource:
    options = SourceOptions(read_timeout_s=1.0, follow=True)
    return FolderSource(Address(AddressKind.FOLDER, str(folder)), options, clock)


def put(folder: Path, name: str, number: int) -> Path:
    path = folder / name
    path.write_bytes(jpeg(numbered(number)))
    return path


def read_all(source: FolderSource) -> list[int]:
    numbers = []
    while True:
        try:
            numbers.append(number_of(source.read().rgb()))
        except SourceIdleError:
            return numbers


def test_what_is_there_comes_in_name_order_then_what_appears_and_nothing_twice(
    tmp_path: Path, clock: ManualClock
) -> None:
    for number, name in enumerate(["a.jpg", "b.JPEG", "c.png.jpg"]):
        put(tmp_path, name, number)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.jpg").write_bytes(b"no picture")
    (tmp_path / "below").mkdir()
    put(tmp_path / "below", "x.jpg", 99)
    source = watch(tmp_path, clock)
    assert read_all(source) == [0, 1, 2]
    put(tmp_path, "0-new.jpg", 7)
    assert read_all(source) == [7]
    assert read_all(source) == []


def test_a_replaced_picture_is_a_new_one(tmp_path: Path, clock: ManualClock) -> None:
    put(tmp_path, "latest.jpg", 1)
    source = watch(tmp_path, clock)
    assert read_all(source) == [1]
    put(tmp_path, "next.tmp", 2).replace(tmp_path / "latest.jpg")
    assert read_all(source) == [2]
    (tmp_path / "latest.jpg").unlink()
    assert read_all(source) == []
    put(tmp_path, "latest.jpg", 3)
    assert read_all(source) == [3]


def test_a_half_written_picture_is_left_until_it_is_whole(tmp_path: Path, clock: ManualClock) -> None:
    put(tmp_path, "a.jpg", 1)
    source = watch(tmp_path, clock)
    assert read_all(source) == [1]
    whole = jpeg(numbered(5))
    with (tmp_path / "b.jpg").open("wb") as file:
        for start in range(0, len(whole), len(whole) // 4 + 1):
            file.write(whole[start : start + len(whole) // 4 + 1])
            file.flush()
            os.utime(tmp_path / "b.jpg", (clock.now().timestamp(), clock.now().timestamp()))
            if file.tell() < len(whole):
                assert read_all(source) == []
    assert read_all(source) == [5]


def test_a_damaged_picture_comes_out_once_as_corrupt_and_does_not_stop_the_rest(
    tmp_path: Path, clock: ManualClock
) -> None:
    source = watch(tmp_path, clock)
    damaged = put(tmp_path, "a.jpg", 1)
    damaged.write_bytes(damaged.read_bytes()[:-100])
    put(tmp_path, "b.jpg", 2)
    assert number_of(source.read().rgb()) == 2
    grab = None
    for _ in range(5):
        try:
            grab = source.read()
            break
        except SourceIdleError:
            continue
    assert grab is not None
    assert grab.corrupt
    with pytest.raises(PictureError, match=r"a\.jpg"):
        grab.rgb()
    assert read_all(source) == []


def test_a_folder_that_goes_away_is_a_source_error(tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    source = watch(folder, clock)
    folder.rmdir()
    with pytest.raises(SourceError, match="cannot be read"):
        source.read()
