"""Which pictures there are to label, the most telling first."""

from __future__ import annotations

import csv
import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenode.capture.pictures import PICTURE_SUFFIXES
from edgenode.collect.record import Kept
from edgenode.collect.store import FOLDER, read_kept
from edgenode.errors import DataError

UNLABELLED = "_unlabelled"
"""Where `edgenode-trainer collect` puts pictures of which nobody said what they show."""
GROUPS = "collected.csv"
"""Says which pictures were taken together; the trainer keeps those on one side of its split."""
BLOCK_S = 2.0
"""Kept pictures of one region within one such stretch of time form a group, as with `edgenode-trainer collect`."""
_WHY = ("disagreement", "abstained", "low_margin", "periodic", "random")
"""The most telling first."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture to label. `name` is its file name in the training folder, unlike every other."""

    path: Path
    name: str
    group: str
    kept: Kept | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What there is to label, and what is known of it."""

    pictures: tuple[Picture, ...]
    labels: tuple[str, ...]
    """Of the models that looked at them, in their order."""
    multi_label: bool


def find_pictures(source: Path, out: Path) -> Subject:
    """The pictures of a state directory (what its node kept) or of any folder.

    In a folder that is itself the training folder `out`, those that stand in it or in `_unlabelled`; in another
    one, all below it. Raises DataError where there is none.
    """
    if not source.is_dir():
        raise DataError(f"{source}: there is no such folder; give a state directory or a folder of pictures")
    root = source / FOLDER if (source / FOLDER).is_dir() else source
    groups = _groups(root / GROUPS)
    pictures: list[Picture] = []
    taken: set[str] = set()
    for path in sorted(_files(root, out)):
        inside = path.relative_to(root)
        parts = inside.parts[1:] if inside.parts[0] == UNLABELLED else inside.parts
        kept = read_kept(path)
        group = _group(kept) if kept is not None else groups.get(path.name, "")
        name = "_".join(parts)
        if name in taken:  # `a/b_c.png` and `a_b/c.png`
            name = f"{hashlib.sha256(str(inside).encode()).hexdigest()[:12]}_{name}"
        taken.add(name)
        pictures.append(Picture(path, name, group, kept))
    if not pictures:
        what = "the node has kept nothing yet: see [collect]" if root != source else "holds no pictures"
        raise DataError(f"{root}: {what}")
    known = [picture.kept for picture in pictures if picture.kept is not None]
    labels = dict.fromkeys(label for kept in known for label in kept.probabilities)
    return Subject(
        tuple(sorted(pictures, key=_urgency)), tuple(labels), any(kept.multi_label for kept in known)
    )


def label_problem(label: str) -> str | None:
    """Why `label` cannot name a class, which is a folder; None when it can."""
    if not label or len(label.encode()) > 100:
        return "a label has 1 to 100 characters"
    if label != unicodedata.normalize("NFC", label.strip()) or any(not each.isprintable() for each in label):
        return f"the label {label!r} has spaces at its ends or signs that cannot be seen"
    if label[0] in "._" or any(each in "/\\;" for each in label):
        return f'the label {label!r} may not begin with "." or "_", nor hold "/", "\\" or ";"'
    return None


def _files(root: Path, out: Path) -> Iterator[Path]:
    is_out = root.resolve() == out.resolve()
    for path in [*root.iterdir(), *(root / UNLABELLED).rglob("*")] if is_out else root.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        labelled = not is_out and path.resolve().is_relative_to(out.resolve())
        if path.suffix.lower() in PICTURE_SUFFIXES and not hidden and not labelled and path.is_file():
            yield path


def _groups(path: Path) -> dict[str, str]:
    """File name to group, as `edgenode-trainer collect` wrote it."""
    return {Path(row["path"]).name: row.get("group") or "" for row in group_rows(path)}


def group_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a `collected.csv` that name a picture; none where there is no such file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.DictReader(file) if row.get("path")]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _group(kept: Kept) -> str:
    return f"{kept.camera}:{kept.region}:{int(kept.captured_at.timestamp() // BLOCK_S)}"


def _urgency(picture: Picture) -> tuple[int, float, str]:
    kept = picture.kept
    if kept is None:
        return len(_WHY), 0.0, picture.name
    rank = _WHY.index(kept.why) if kept.why in _WHY else len(_WHY)
    return rank, kept.margin, picture.name
