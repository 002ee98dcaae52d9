"""The kept pictures on the disk: `collected/DAY/TIME_CAMERA_REGION.png`, and a `.json` line beside each.

A picture is there when its `.png` is. Its line is written first and removed last, each file is swapped in
whole, and what a crash left half done is cleared up by the next `open`.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgenode.collect.record import Kept

FOLDER = "collected"
"""Below the state directory."""
_UNKNOWN = ("", "", "")


@dataclass(frozen=True, slots=True)
class StoreLimits:
    max_bytes: int
    max_pictures: int


@dataclass(frozen=True, slots=True)
class _Entry:
    stem: str
    size_bytes: int
    """Of picture and line."""
    kept: Kept | None


@dataclass(slots=True)
class _Account:
    size_bytes: int = 0
    pictures: int = 0
    kinds: dict[tuple[str, str, str], deque[_Entry]] = field(default_factory=dict)
    """Each kind's pictures, oldest first."""

    def add(self, entry: _Entry) -> None:
        kind = entry.kept.kind if entry.kept is not None else _UNKNOWN
        self.kinds.setdefault(kind, deque()).append(entry)
        self.size_bytes += entry.size_bytes
        self.pictures += 1

    def victim(self) -> _Entry:
        """Takes out the oldest picture of the commonest kind: of it there is most."""
        kind, entries = max(self.kinds.items(), key=lambda item: len(item[1]))
        entry = entries.popleft()
        if not entries:
            del self.kinds[kind]
        self.size_bytes -= entry.size_bytes
        self.pictures -= 1
        return entry


class CollectedStore:
    """Used by one thread. Never holds more than its limits, at no moment; what it may not hold, it removes."""

    def __init__(self, state_dir: Path, limits: StoreLimits) -> None:
        self.folder = state_dir / FOLDER
        self.limits = limits
        self._account = _Account()

    @property
    def size_bytes(self) -> int:
        return self._account.size_bytes

    @property
    def pictures(self) -> int:
        return self._account.pictures

    def open(self) -> int:
        """Read what is there, clear up what is half done, fit it to the limits; returns how many went.

        Raises OSError.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = _Account()
        for day in sorted(each for each in self.folder.iterdir() if each.is_dir()):
            for file in sorted(day.iterdir()):
                if file.name.startswith(".") or (
                    file.suffix == ".json" and not file.with_suffix(".png").exists()
                ):
                    file.unlink(missing_ok=True)
                elif file.suffix == ".png":
                    account.add(_entry(file, f"{day.name}/{file.stem}"))
        self._account = account
        return len(self._make_room(0, 0))

    def kept(self) -> Iterator[Kept]:
        """What is there, as far as its lines can be read."""
        for entries in self._account.kinds.values():
            yield from (entry.kept for entry in entries if entry.kept is not None)

    def add(self, png: bytes, kept: Kept) -> list[Kept | None]:
        """Store one picture durably; returns what went for it (None: of unknown kind).

        Raises ValueError where it alone is over the limits, OSError where it cannot be written: then it is not
        there, and what went for it is gone all the same.
        """
        line = kept.line().encode()
        size = len(png) + len(line)
        if size > self.limits.max_bytes or self.limits.max_pictures < 1:
            raise ValueError(f"a picture of {size} bytes is over the limit of {self.limits.max_bytes}")
        gone = self._make_room(size, 1)
        path = self.folder / f"{kept.stem}.png"
        if path.exists():
            raise FileExistsError(f"{path} is there already")
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            _write(path.with_suffix(".json"), line)
            _write(path, png)
        except OSError:
            for file in (path, path.with_suffix(".json")):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)
            raise
        _settle(path.parent)
        self._account.add(_Entry(kept.stem, size, kept))
        return gone

    def _make_room(self, size_bytes: int, pictures: int) -> list[Kept | None]:
        gone: list[Kept | None] = []
        while self._account.pictures and (
            self._account.size_bytes + size_bytes > self.limits.max_bytes
            or self._account.pictures + pictures > self.limits.max_pictures
        ):
            entry = self._account.victim()
            path = self.folder / f"{entry.stem}.png"
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # other pictures of that day are still there
                path.parent.rmdir()
            gone.append(entry.kept)
        return gone


def read_kept(picture: Path) -> Kept | None:
    """What the line beside `picture` says; None where there is none, or it says something else."""
    try:
        return Kept.parse(picture.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _entry(file: Path, stem: str) -> _Entry:
    line = file.with_suffix(".json")
    size = file.stat().st_size + (line.stat().st_size if line.exists() else 0)
    return _Entry(stem, size, read_kept(file))


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        with open(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _settle(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
