"""Labelled pictures: loaded, split, identified, and turned into arrays.

The other modules of the trainer take what they need from here.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from edgenode.errors import DataError, PictureError
from edgenode.inference.card import InputSpec
from edgenode.inference.pixels import prepare
from edgenode.records import U8
from trainer.labelled import Arrays, Dataset, Look, Picture, Problem, Split, shown
from trainer.listing import Entry, Listing, list_files
from trainer.manifest import manifest_csv, manifest_sha256
from trainer.reading import Progress, in_order, look_at, read_picture
from trainer.splits import split

__all__ = [
    "Arrays", "Dataset", "Picture", "Problem", "Split", "load_arrays", "load_dataset", "manifest_csv",
    "manifest_sha256", "split",
]  # fmt: skip

_RESERVED = ("unknown", "invalid")


def load_dataset(path: Path, progress: Progress | None = None, group_pattern: str | None = None) -> Dataset:
    """The data set at `path`: class folders (also under train/ val/ test/) or a CSV manifest.

    Every picture is decoded once, so that what is in the result can be used; what cannot is listed in
    `problems` and left out. `group_pattern`: a regular expression; pictures whose relative paths match with
    the same captured text form a group (where the data names none). Raises DataError when there is nothing
    to learn: a label without a picture, fewer than two labels, names that a model card refuses.
    """
    listing = list_files(Path(path))
    _check_names(listing)
    pattern = _compiled(group_pattern)
    index = {label: number for number, label in enumerate(listing.labels)}
    pictures: list[Picture] = []
    problems = list(listing.problems)
    looks = in_order(_look, [entry.path for entry in listing.entries], progress)
    for entry, found in zip(listing.entries, looks, strict=True):
        if isinstance(found, Problem):
            problems.append(Problem(found.kind, shown(entry.path, listing.root), found.text))
            continue
        indices = tuple(sorted(index[label] for label in entry.labels))
        pictures.append(
            Picture(
                path=entry.path,
                label=indices[0] if listing.task == "single_label" else indices,
                group=entry.group or _group(entry, listing.root, pattern),
                sha256=found[0],
                part=entry.part,
                look=found[1],
            )
        )
    dataset = Dataset(listing.root, listing.labels, listing.task, tuple(pictures), tuple(problems))
    _check_classes(dataset)
    return dataset


def load_arrays(dataset: Dataset, spec: InputSpec, progress: Progress | None = None) -> Arrays:
    """The pictures of `dataset` as `spec` wants them. Raises DataError naming a picture that was readable
    when the set was loaded and is not now, or was changed in between."""
    images = np.empty((len(dataset), *spec.shape), dtype=np.uint8)

    def one(picture: Picture) -> U8:
        name = dataset.name_of(picture)
        try:
            pixels, sha256 = read_picture(picture.path)
        except PictureError as error:
            raise DataError(f"{name}: {error}; it was readable a moment ago") from error
        if sha256 != picture.sha256:
            raise DataError(f"{name}: was changed while the data was in use; start again")
        return prepare(pixels, spec)

    for number, pixels in enumerate(in_order(one, dataset.pictures, progress)):
        images[number] = pixels
    return Arrays(images, dataset.targets())


def _look(path: Path) -> tuple[str, Look] | Problem:
    if not path.is_file():
        return Problem("missing", str(path), "is listed, but there is no such file; left out")
    try:
        return look_at(path)
    except PictureError as error:
        return Problem("unreadable", str(path), f"{error}; left out")


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"the group pattern {pattern!r} is no regular expression: {error}") from error
    if not compiled.groups:
        raise DataError(f"the group pattern {pattern!r} captures nothing; put (…) around what groups share")
    return compiled


def _group(entry: Entry, root: Path, pattern: re.Pattern[str] | None) -> str:
    found = pattern.search(shown(entry.path, root)) if pattern is not None else None
    return "/".join(text or "" for text in found.groups()) if found is not None else ""


def _check_names(listing: Listing) -> None:
    for label in listing.labels:
        if not label or len(label) > 64 or any(ord(character) < 32 for character in label):
            raise DataError(f"{listing.root}: the label {label!r} must have 1 to 64 printable characters")
        if label in _RESERVED:
            raise DataError(
                f"{listing.root}: a class cannot be called {label!r}: the node says that where nothing can "
                "be said; rename it"
            )


def _check_classes(dataset: Dataset) -> None:
    counts = dataset.counts()
    empty = [label for label, count in zip(dataset.labels, counts, strict=True) if count == 0]
    if empty:
        left_out = sum(problem.kind in ("unreadable", "missing") for problem in dataset.problems)
        reason = f"; {left_out} files could not be read, first {dataset.problems[0]}" if left_out else ""
        names = ", ".join(map(repr, empty[:5]))
        raise DataError(f"{dataset.root}: no usable picture of class {names}{reason}")
    if len(dataset.labels) < 2:
        names = ", ".join(map(repr, dataset.labels)) or "none"
        raise DataError(f"{dataset.root}: a classifier needs two classes or more; here there is {names}")
