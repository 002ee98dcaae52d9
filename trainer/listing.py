"""From a folder or a manifest to a list of files with their labels, before any picture is opened.

Class folders `root/LABEL/…` (folders starting with `.` or `_` are skipped); the same under `train/ val/
test/`; a CSV manifest `path,label[,group][,split]`; a multi-label manifest `path,labels[,group][,split]`
with `;` between labels, or one 0/1 column a label. Tables may be separated by commas, tabs or (as spreadsheets do
where the comma is decimal) semicolons.
"""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenode.errors import DataError
from trainer.labelled import Part, Problem, Task, shown
from trainer.reading import looks_like_picture

COLLECTED = "collected.csv"
"""What `collect` writes beside class folders: says which clip and time each picture is from."""
_PART_NAMES: dict[str, Part] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_PATH_NAMES = ("path", "file", "filename", "image")
_NOT_LABELS = frozenset({*_PATH_NAMES, "group", "split", "clip", "region", "time_s"})
_YES, _NO = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no", ""})


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as the folders or the manifest name it."""

    path: Path
    labels: tuple[str, ...]
    group: str = ""
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    root: Path
    task: Task
    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]


def list_files(path: Path) -> Listing:
    """What lies at `path`. Raises DataError when nothing there can be understood as labelled pictures."""
    if path.is_dir():
        return _folders(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such folder or manifest")
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise DataError(f"{path}: data is a folder of class folders or a .csv manifest, not this file")
    return _manifest(path)


def _folders(root: Path) -> Listing:
    inside = _subfolders(root)
    if not inside:
        raise DataError(f"{root}: holds no class folders; put the pictures into one folder per label")
    parts = {folder: _PART_NAMES.get(folder.name.lower()) for folder in inside}
    groups = _collected_groups(root / COLLECTED)
    entries: list[Entry] = []
    problems: list[Problem] = []
    names: set[str] = set()
    if all(parts.values()) and any(_subfolders(folder) for folder in inside):
        classes = [(child, part) for folder, part in parts.items() for child in _subfolders(folder)]
    else:
        classes = [(folder, None) for folder in inside]
    for folder, part in classes:
        label = unicodedata.normalize("NFC", folder.name)
        names.add(label)
        for file in _files_below(folder):
            if looks_like_picture(file):
                entries.append(Entry(file, (label,), groups.get(file.name, ""), part))
            else:
                problems.append(Problem("wrong_type", shown(file, root), "is no picture; left out"))
    entries.sort(key=lambda entry: shown(entry.path, root))
    return Listing(root, "single_label", tuple(sorted(names)), tuple(entries), tuple(problems))


def _subfolders(folder: Path) -> list[Path]:
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror or error}") from error
    return [child for child in children if child.is_dir() and child.name[0] not in "._"]


def _files_below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.lower() not in ("thumbs.db", "desktop.ini"):
                yield Path(where) / name


def _collected_groups(path: Path) -> dict[str, str]:
    """File name to group, from what `collect` wrote; a picture keeps its group when it is moved elsewhere."""
    if not path.is_file():
        return {}
    _, rows = _table(path)
    return {Path(row["path"]).name: row.get("group", "") for row in rows if row.get("path")}


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text, save it as such: {error}") from error
    first = text.split("\n", 1)[0]
    between = "\t" if "\t" in first else ";" if ";" in first and "," not in first else ","
    reader = csv.DictReader(text.splitlines(), delimiter=between, restval="")
    columns = [name.strip() for name in reader.fieldnames or []]
    reader.fieldnames = columns
    try:
        rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}") from error
    return columns, rows


def _manifest(path: Path) -> Listing:
    columns, rows = _table(path)
    path_column = next((name for name in _PATH_NAMES if name in columns), None)
    if path_column is None or not rows:
        raise DataError(f"{path}: a manifest starts with a line `path,label` and has one row per picture")
    root = path.parent
    single = "label" in columns
    label_columns = [name for name in columns if name and name not in _NOT_LABELS]
    if not single and "labels" not in columns and not label_columns:
        raise DataError(f"{path}: has no column `label`, `labels`, nor one 0/1 column per label")
    problems: list[Problem] = []
    found: dict[Path, Entry] = {}
    clashes: set[Path] = set()
    for number, row in enumerate(rows, 2):
        where = row.get(path_column, "")
        try:
            labels = _row_labels(row, single, "labels" in columns, label_columns)
            part = _row_part(row)
        except ValueError as error:
            problems.append(Problem("bad_row", where or f"row {number}", f"row {number}: {error}; left out"))
            continue
        if not where:
            problems.append(Problem("bad_row", f"row {number}", f"row {number}: names no picture; left out"))
            continue
        if "\\" in where and not (root / where).exists():
            where = where.replace("\\", "/")
        entry = Entry(root / where, labels, row.get("group", ""), part)
        before = found.get(entry.path)
        if before is None:
            found[entry.path] = entry
        elif before != entry:
            clashes.add(entry.path)
            problems.append(
                Problem("listed_twice", where, f"row {number}: listed twice, differently; left out")
            )
        else:
            problems.append(Problem("listed_twice", where, f"row {number}: listed twice; taken once"))
    entries = tuple(entry for entry in found.values() if entry.path not in clashes)
    columns_name_labels = not single and "labels" not in columns
    names = label_columns if columns_name_labels else sorted({n for entry in entries for n in entry.labels})
    task: Task = "single_label" if single else "multi_label"
    return Listing(root, task, tuple(names), entries, tuple(problems))


def _row_labels(row: dict[str, str], single: bool, joined: bool, columns: list[str]) -> tuple[str, ...]:
    if single:
        label = unicodedata.normalize("NFC", row.get("label", ""))
        if not label:
            raise ValueError("has no label")
        return (label,)
    if joined:
        parts = (unicodedata.normalize("NFC", part.strip()) for part in row.get("labels", "").split(";"))
        return tuple(sorted({part for part in parts if part}))
    present = []
    for name in columns:
        value = row.get(name, "").lower()
        if value in _YES:
            present.append(name)
        elif value not in _NO:
            raise ValueError(f"column {name!r} holds {value!r}; a label's column holds 0 or 1")
    return tuple(present)


def _row_part(row: dict[str, str]) -> Part | None:
    text = row.get("split", "").lower()
    if text and text not in _PART_NAMES:
        raise ValueError(f"split {text!r} is none of train, val, test")
    return _PART_NAMES.get(text)
