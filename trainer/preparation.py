"""From a folder of pictures to arrays: what size, which colours, which parts."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgenode.inference.card import InputSpec
from trainer.dataset import Dataset, Split, load_arrays, load_dataset, manifest_sha256, split
from trainer.labelled import Arrays

SIZES = (32, 48, 64, 96, 128)
"""Sides chosen from when none is given. Above 128 the picture costs more than it has told so far; ask for it."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How pictures become the model's input; what is not given is read off the data."""

    size: int | None = None
    color: Literal["auto", "grey", "rgb"] = "auto"
    resize: Literal["stretch", "letterbox", "crop"] = "stretch"
    group_pattern: str | None = None
    """Pictures whose paths match with the same captured text stay in one part."""
    split_seed: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """The data of one training, in memory."""

    dataset: Dataset
    split: Split
    train: Arrays
    val: Arrays
    test: Arrays
    input: InputSpec
    manifest_sha256: str
    test_sha256: str
    summary: str


def prepare_data(
    path: Path,
    options: InputOptions,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
    like: InputSpec | None = None,
) -> Prepared:
    """Reads, splits and shrinks the pictures at `path`; `like` is the input of a model that is there already.

    Raises DataError.
    """
    dataset = load_dataset(path, lambda done, all_: progress("reading", done, all_), options.group_pattern)
    parts = split(dataset, seed=options.split_seed)
    spec = like or input_spec(dataset, options)
    arrays = [
        load_arrays(part, spec, lambda done, all_, name=name: progress(f"preparing {name}", done, all_))  # type: ignore[misc]
        for name, part in (("train", parts.train), ("val", parts.val), ("test", parts.test))
    ]
    counts = " ".join(f"{n}={c}" for n, c in zip(dataset.labels, dataset.counts().tolist(), strict=True))
    summary = f"{len(dataset)} pictures ({len(parts.train)}/{len(parts.val)}/{len(parts.test)}); {counts}"
    return Prepared(
        dataset=dataset,
        split=parts,
        train=arrays[0],
        val=arrays[1],
        test=arrays[2],
        input=spec,
        manifest_sha256=manifest_sha256(dataset),
        test_sha256=manifest_sha256(parts.test),
        summary=summary if len(summary) <= 500 else f"{summary[:497]}...",
    )


def input_spec(dataset: Dataset, options: InputOptions) -> InputSpec:
    """The model's input for these pictures.

    Side: if all pictures are alike and small (up to 64), their own; else the largest of 32 to 128 that is not
    above the median picture's. Grey where every picture is.
    """
    looks = [picture.look for picture in dataset.pictures if picture.look is not None]
    size = options.size
    height, width = size or 64, size or 64
    if size is None and looks:
        shapes = {(look.height, look.width) for look in looks}
        height, width = next(iter(shapes))
        if len(shapes) > 1 or not 16 <= min(height, width) <= max(height, width) <= 64:
            median = statistics.median((look.height * look.width) ** 0.5 for look in looks)
            height = width = max((side for side in SIZES if side <= 1.1 * median), default=SIZES[0])
    grey = options.color == "grey" or (
        options.color == "auto" and bool(looks) and all(look.grey for look in looks)
    )
    return InputSpec(height=height, width=width, color="grey" if grey else "rgb", resize=options.resize)


def model_name(path: Path) -> str:
    """A name the node accepts, from a file's name: lower case, digits and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")[:32].rstrip("_")
    return name if name and name[0].isalpha() else f"model_{name}"[:32].rstrip("_")
