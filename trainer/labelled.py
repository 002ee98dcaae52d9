"""The records in which labelled pictures travel through the trainer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgenode.records import U8

Task = Literal["single_label", "multi_label"]
Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Look:
    """What one decoding of a picture told: enough to compare and describe it without reading it again."""

    thumbnail: U8
    """uint8 [24, 24, 3] RGB, stretched."""
    width: int
    height: int
    grey: bool
    """All three channels alike, whatever the file stores."""
    stored: str
    """How the file stores it, such as `JPEG 3×8 bit`."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One readable picture of a data set."""

    path: Path
    label: int | tuple[int, ...]
    """Index into the labels; for multi-label sets the sorted indices of all that are present."""
    group: str
    """Pictures of one group (a clip's time block, a workpiece) stay in one part. Empty: stands alone."""
    sha256: str
    """Of the file's bytes."""
    part: Part | None = None
    """Where the data itself says it belongs."""
    look: Look | None = field(default=None, compare=False, repr=False)

    @property
    def present(self) -> tuple[int, ...]:
        """The indices of the labels that the picture has."""
        return (self.label,) if isinstance(self.label, int) else self.label


ProblemKind = Literal["unreadable", "wrong_type", "missing", "listed_twice", "bad_row"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was left out, and why, in one line."""

    kind: ProblemKind
    path: str
    """Relative to the data set's root where it lies inside."""
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled pictures. `pictures` is in a fixed order: by path for folders, by row for manifests."""

    root: Path
    labels: tuple[str, ...]
    task: Task
    pictures: tuple[Picture, ...]
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    def subset(self, pictures: tuple[Picture, ...]) -> Dataset:
        """The same set with other pictures, without the problems of reading it."""
        return replace(self, pictures=pictures, problems=())

    def counts(self) -> NDArray[np.int64]:
        """How many pictures have each label, int64 [K]."""
        counts = np.zeros(len(self.labels), dtype=np.int64)
        for picture in self.pictures:
            counts[list(picture.present)] += 1
        return counts

    def targets(self) -> NDArray[Any]:
        """int64 [N] indices, or float32 [N, K] of zeros and ones for multi-label sets."""
        if self.task == "single_label":
            return np.array([picture.label for picture in self.pictures], dtype=np.int64)
        rows = np.zeros((len(self.pictures), len(self.labels)), dtype=np.float32)
        for row, picture in zip(rows, self.pictures, strict=True):
            row[list(picture.present)] = 1.0
        return rows

    def name_of(self, picture: Picture) -> str:
        """The picture's path for people: relative to the root where it lies inside."""
        return shown(picture.path, self.root)

    def label_text(self, picture: Picture) -> str:
        """The picture's labels for people."""
        return "; ".join(self.labels[index] for index in picture.present) or "none"


@dataclass(frozen=True, slots=True)
class Split:
    """The three parts. Nothing is ever chosen by looking at `test`."""

    train: Dataset
    val: Dataset
    test: Dataset
    notes: tuple[str, ...] = ()
    """What the reader of a result should know of how the parts were made."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """Pictures in memory, in the order of the data set."""

    images: U8
    """uint8 [N, H, W, C], prepared by `pixels.prepare`."""
    labels: NDArray[Any]
    """int64 [N], or float32 [N, K] for multi-label sets."""


def shown(path: Path, root: Path) -> str:
    """`path` relative to `root` where it lies inside, with forward slashes."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
