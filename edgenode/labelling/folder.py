"""The training folder that labelling fills, and that `edgenode-trainer fit` reads.

The files themselves are the record of what was said: a picture with one label lies in the folder of that name; for
several labels at once it lies in `pictures` and has a row in `labels.csv`. Each answer is durable when `put`
returns, a change is one rename, and there is nothing else to lose: whoever opens the folder again goes on.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from edgenode.errors import DataError
from edgenode.labelling.pictures import GROUPS, Picture, group_rows, label_problem

UNUSABLE = "_unusable"
"""Pictures that show nothing; the trainer skips folders that begin with `_`."""
PICTURES, MANIFEST = "pictures", "labels.csv"
"""Of several labels at once."""
_LOCK = ".labelling"
_HALF = ".new"
"""The ending of files that are being written; others that begin with a dot are not ours."""
Said = tuple[str, ...] | None
"""The labels of a picture (none of them: an empty one), or None where it is unusable."""


class TrainingFolder:
    """Open for one process at a time; the methods are called by one thread at a time. All raise DataError."""

    def __init__(self, path: Path, multi_label: bool) -> None:
        self.path = path
        self.multi_label = multi_label
        self._lock_fd: int | None = None
        self._said: dict[str, Said] = {}
        self._groups: dict[str, str] = {}

    def open(self, pictures: Iterable[Picture]) -> Self:
        """Read what was said before, and write down which of `pictures` were taken together."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._claim()
            self._said = self._read()
            self._note_groups(pictures)
        except OSError as error:
            self.close()
            raise DataError(f"{self.path}: cannot be used: {error}") from error
        except DataError:
            self.close()
            raise
        return self

    def close(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def labels(self) -> list[str]:
        """Every label that was given so far, by name."""
        return sorted({label for said in self._said.values() if said is not None for label in said})

    def said(self, name: str) -> tuple[bool, Said]:
        """Whether anything was said of the picture, and what."""
        return name in self._said, self._said.get(name)

    def put(self, picture: Picture, said: Said) -> None:
        """Say what a picture shows, durably, in place of what was said of it before."""
        if said is not None and not self.multi_label and len(said) != 1:
            raise DataError(f"one label for each picture, not {len(said)}")
        for label in said or ():
            if (problem := label_problem(label)) is not None:
                raise DataError(problem)
        with self._telling(picture.name):
            place = UNUSABLE if said is None else PICTURES if self.multi_label else said[0]
            self._move(picture, place)
            self._said[picture.name] = said
            self._write_manifest()

    def take_back(self, picture: Picture) -> None:
        """As if nothing had been said; the picture itself stays where it came from."""
        if picture.name not in self._said:
            return
        with self._telling(picture.name):
            said = self._said.pop(picture.name)
            self._write_manifest()
            place = self._place(picture.name, said)
            place.unlink(missing_ok=True)
            _settle(place.parent)

    @contextlib.contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"{self.path}: {name} cannot be put there: {error.strerror or error}") from error

    def _claim(self) -> None:
        self._lock_fd = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"{self.path}: is open in another `edgenode label`") from error

    def _read(self) -> dict[str, Said]:
        said: dict[str, Said] = {}
        for folder in sorted(each for each in self.path.iterdir() if each.is_dir()):
            if folder.name == UNUSABLE or (not self.multi_label and folder.name[0] not in "._"):
                for file in folder.iterdir():
                    if file.name.startswith(".") and file.suffix == _HALF:
                        file.unlink(missing_ok=True)  # half copied when a process ended
                    elif file.is_file() and not file.name.startswith("."):
                        said[file.name] = None if folder.name == UNUSABLE else (folder.name,)
        if self.multi_label:
            with contextlib.suppress(FileNotFoundError):
                for row in csv.DictReader((self.path / MANIFEST).read_text("utf-8").splitlines()):
                    if row.get("path") is None or row.get("labels") is None:
                        raise DataError(
                            f"{self.path / MANIFEST}: a row lacks path or labels; mend the file or move it away"
                        )
                    name = Path(row["path"]).name
                    said[name] = tuple(filter(None, row["labels"].split(";")))
                    self._groups[name] = row.get("group") or ""
        return said

    def _place(self, name: str, said: Said) -> Path:
        folder = UNUSABLE if said is None else PICTURES if self.multi_label else said[0]
        return self.path / folder / name

    def _move(self, picture: Picture, folder: str) -> None:
        target = self.path / folder / picture.name
        target.parent.mkdir(exist_ok=True)
        before = self._place(picture.name, self._said[picture.name]) if picture.name in self._said else None
        if before is not None and before.exists():
            before.replace(target)
            _settle(before.parent)
        else:
            temporary = target.with_name(f".{target.name}{_HALF}")
            temporary.unlink(missing_ok=True)
            try:
                os.link(picture.path, temporary)  # no second copy on the disk, and atomic
            except OSError:
                shutil.copyfile(picture.path, temporary)
                _sync(temporary)
            temporary.replace(target)
        _settle(target.parent)
        _settle(self.path)

    def _write_manifest(self) -> None:
        if not self.multi_label:
            return
        rows = [
            (f"{PICTURES}/{name}", ";".join(said), self._groups.get(name, ""))
            for name, said in sorted(self._said.items())
            if said is not None
        ]
        self._write(MANIFEST, ("path", "labels", "group"), rows)

    def _note_groups(self, pictures: Iterable[Picture]) -> None:
        self._groups |= {picture.name: picture.group for picture in pictures if picture.group}
        if self.multi_label or not self._groups:
            return
        rows = {Path(row["path"]).name: row for row in group_rows(self.path / GROUPS)}
        for name, group in self._groups.items():
            rows.setdefault(name, {"path": name, "group": group})
        columns = list(dict.fromkeys(["path", *(key for row in rows.values() for key in row if key)]))
        self._write(
            GROUPS, tuple(columns), [tuple(row.get(key) or "" for key in columns) for row in rows.values()]
        )

    def _write(self, name: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        temporary = self.path / f".{name}{_HALF}"
        temporary.write_text(text.getvalue(), encoding="utf-8")
        _sync(temporary)
        temporary.replace(self.path / name)
        _settle(self.path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_settle = _sync
"""Of a folder: makes the names in it durable."""
