"""What is in a data set, and what is wrong with it, before anything is trained on it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

from trainer.dataset import Dataset, Picture, load_dataset
from trainer.duplicates import Pairs, cluster, near_duplicates
from trainer.files import write_file
from trainer.sheets import class_sheets, file_names, png
from trainer.terminal import progress_bar

Severity = Literal["error", "warning", "info"]
_LISTED = 12
_TINY_CLASS = 20
_IMBALANCE = 5.0
_SMALL_PIXELS = 16
_NEIGHBOURS = 8
_NEIGHBOURS_TRUSTED = 0.8
"""Neighbours tell on labels only where they name this part of all labels rightly."""
_SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "BMP": (".bmp",), "WebP": (".webp",),
             "TIFF": (".tif", ".tiff")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    severity: Severity
    kind: str
    text: str
    paths: tuple[str, ...] = ()
    """Up to twelve of the pictures it is about."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a data set looks like."""

    pictures: int
    counts: tuple[tuple[str, int], ...]
    """Label and number of its pictures."""
    findings: tuple[Finding, ...]
    """Errors first."""


def inspect_dataset(
    dataset: Dataset,
    features: NDArray[Any] | None = None,
    probabilities: NDArray[Any] | None = None,
) -> Inspection:
    """Looks at `dataset`, whose pictures carry their looks.

    `features` float [N, D] (a model's embedding) replace the thumbnails in the search for odd labels;
    `probabilities` float [N, K], in the order of the data's labels, add what a model is sure of.
    """
    pairs = near_duplicates(dataset.pictures)
    found = [
        *_left_out(dataset),
        *_copies(dataset),
        *_near(dataset, pairs),
        *_across_parts(dataset, pairs),
        *_balance(dataset),
        *_shapes(dataset),
        *_storage(dataset),
        *_odd_neighbours(dataset, features),
        *_disagreement(dataset, probabilities),
    ]
    order = {"error": 0, "warning": 1, "info": 2}
    found.sort(key=lambda finding: order[finding.severity])
    counts = tuple(zip(dataset.labels, dataset.counts().tolist(), strict=True))
    return Inspection(len(dataset), counts, tuple(found))


def _left_out(dataset: Dataset) -> list[Finding]:
    kinds: dict[str, list[str]] = defaultdict(list)
    for problem in dataset.problems:
        kinds[problem.kind].append(str(problem))
    words = {
        "unreadable": "cannot be decoded",
        "wrong_type": "are no pictures",
        "missing": "are listed but not there",
        "listed_twice": "are listed more than once",
        "bad_row": "rows cannot be understood",
    }
    return [
        Finding("warning", kind, f"{len(lines)} files {words[kind]}", tuple(lines[:_LISTED]))
        for kind, lines in kinds.items()
    ]


def _copies(dataset: Dataset) -> list[Finding]:
    same: dict[str, list[Picture]] = defaultdict(list)
    for picture in dataset.pictures:
        same[picture.sha256].append(picture)
    groups = [group for group in same.values() if len(group) > 1]
    clashes = [group for group in groups if len({picture.present for picture in group}) > 1]
    found = []
    if clashes:
        text = f"{len(clashes)} identical files have different labels: at most one of each is right"
        found.append(Finding("error", "copies_with_different_labels", text, _together(dataset, clashes)))
    if groups:
        text = f"{sum(map(len, groups)) - len(groups)} files are exact copies of others"
        found.append(Finding("warning", "exact_duplicates", text, _together(dataset, groups)))
    return found


def _near(dataset: Dataset, pairs: Pairs) -> list[Finding]:
    pictures = dataset.pictures
    surest = np.argsort(-pairs.correlation, kind="stable")
    apart = [
        (i, j)
        for i, j in zip(pairs.first[surest].tolist(), pairs.second[surest].tolist(), strict=True)
        if pictures[i].sha256 != pictures[j].sha256
    ]
    if not apart:
        return []
    clusters = cluster(pictures, pairs)
    sizes = clusters.sizes()
    text = (
        f"{len(apart)} pairs are near duplicates: {int(sizes[sizes > 1].sum())} pictures in "
        f"{int((sizes > 1).sum())} clusters, the largest of {int(sizes.max())}; a split keeps them together"
    )
    found = [Finding("info", "near_duplicates", " ".join([text, *clusters.notes]))]
    odd = [[pictures[i], pictures[j]] for i, j in apart if pictures[i].present != pictures[j].present]
    if odd:
        text = (
            f"{len(odd)} pairs of near duplicates have different labels (most alike first): one may be wrong"
        )
        found.append(Finding("warning", "label_suspects", text, _together(dataset, odd)))
    return found


def _across_parts(dataset: Dataset, pairs: Pairs) -> list[Finding]:
    pictures = dataset.pictures
    crossing = [
        [pictures[i], pictures[j]]
        for i, j in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
        if pictures[i].part != pictures[j].part
    ]
    if not crossing:
        return []
    text = (
        f"{len(crossing)} pairs of near duplicates lie on both sides of the given parts: results are too good"
    )
    return [Finding("warning", "duplicates_across_parts", text, _together(dataset, crossing))]


def _balance(dataset: Dataset) -> list[Finding]:
    counts = dataset.counts()
    found = []
    tiny = [
        f"{label} ({count})"
        for label, count in zip(dataset.labels, counts, strict=True)
        if count < _TINY_CLASS
    ]
    if tiny:
        text = f"classes with fewer than {_TINY_CLASS} pictures: {', '.join(tiny[:_LISTED])}; collect more"
        found.append(Finding("warning", "tiny_classes", text))
    if counts.min() and counts.max() / counts.min() >= _IMBALANCE:
        most, least = dataset.labels[int(counts.argmax())], dataset.labels[int(counts.argmin())]
        text = f"{most!r} has {counts.max() / counts.min():.0f} times the pictures of {least!r}"
        found.append(
            Finding("warning", "imbalance", f"{text}; look at balanced accuracy and each class's recall")
        )
    return found


def _shapes(dataset: Dataset) -> list[Finding]:
    looks = [picture.look for picture in dataset.pictures if picture.look is not None]
    if not looks:
        return []
    sizes = Counter((look.width, look.height) for look in looks)
    found = []
    if len(sizes) > 1:
        widths, heights = zip(*sizes, strict=True)
        aspects = [look.width / look.height for look in looks]
        low, high = float(np.quantile(aspects, 0.05)), float(np.quantile(aspects, 0.95))
        text = (
            f"{len(sizes)} sizes, {min(widths)} to {max(widths)} wide, "
            f"{min(heights)} to {max(heights)} high, width over height {low:.2f} to {high:.2f}"
        )
        if high > 1.5 * low:
            text += "; stretching distorts them differently: consider --resize letterbox"
        found.append(Finding("info", "mixed_sizes", text))
    small = [
        dataset.name_of(picture)
        for picture, look in zip(dataset.pictures, looks, strict=True)
        if min(look.width, look.height) < _SMALL_PIXELS
    ]
    if small:
        text = f"{len(small)} pictures are under {_SMALL_PIXELS} pixels wide or high"
        found.append(Finding("warning", "small_pictures", text, tuple(small[:_LISTED])))
    return found


def _storage(dataset: Dataset) -> list[Finding]:
    looks = [(picture, picture.look) for picture in dataset.pictures if picture.look is not None]
    stored = Counter(look.stored for _, look in looks)
    grey = sum(look.grey for _, look in looks)
    found = []
    if len(stored) > 1:
        kinds = ", ".join(f"{count} {kind}" for kind, count in stored.most_common(6))
        found.append(Finding("info", "mixed_storage", f"stored as {kinds}"))
    if grey == len(looks) and looks:
        found.append(
            Finding("info", "grey", "all pictures are grey; a grey model needs a third of the input")
        )
    elif grey:
        few = [dataset.name_of(picture) for picture, look in looks if look.grey != (grey > len(looks) / 2)]
        text = f"{grey} pictures are grey and {len(looks) - grey} have colour"
        found.append(Finding("warning", "mixed_channels", text, tuple(few[:_LISTED])))
    if any("16 bit" in kind for kind in stored):
        found.append(Finding("info", "deep", "of 16-bit pictures the upper 8 bits are used"))
    named = [
        dataset.name_of(picture)
        for picture, look in looks
        if picture.path.suffix.lower() not in _SUFFIXES.get(look.stored.split(" ")[0], ("",))
    ]
    if named:
        text = f"{len(named)} files are named unlike what they hold; they were read by what they hold"
        found.append(Finding("info", "misnamed", text, tuple(named[:_LISTED])))
    return found


def _odd_neighbours(dataset: Dataset, features: NDArray[Any] | None) -> list[Finding]:
    """Pictures whose nearest neighbours all but agree on another label (k nearest by cosine, near
    duplicates of one cluster counting once being left to the check of pairs)."""
    if dataset.task != "single_label" or len(dataset) < 10 * _NEIGHBOURS or len(dataset) > 20_000:
        return []
    if features is None:
        thumbnails = [picture.look.thumbnail for picture in dataset.pictures if picture.look is not None]
        features = np.stack(thumbnails).reshape(len(dataset), -1)
    values = features.astype(np.float32)
    values = values - values.mean(axis=1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    labels = dataset.targets()
    votes = np.zeros((len(values), len(dataset.labels)), dtype=np.int64)
    for start in range(0, len(values), 1024):
        likeness = values[start : start + 1024] @ values.T
        rows = np.arange(len(likeness))
        likeness[rows, start + rows] = -2.0
        nearest = np.argpartition(-likeness, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
        np.add.at(votes, (np.repeat(start + rows, _NEIGHBOURS), labels[nearest].reshape(-1)), 1)
    if float((votes.argmax(axis=1) == labels).mean()) < _NEIGHBOURS_TRUSTED:
        return []
    own = votes[np.arange(len(labels)), labels]
    odd = np.nonzero((own == 0) & (votes.max(axis=1) >= _NEIGHBOURS - 1))[0]
    if not len(odd):
        return []
    text = f"{len(odd)} pictures look like those of another class: check their labels"
    lines = [
        f"{dataset.name_of(dataset.pictures[i])} looks like {dataset.labels[int(votes[i].argmax())]}"
        for i in odd
    ]
    return [Finding("warning", "label_suspects", text, tuple(lines[:_LISTED]))]


def _disagreement(dataset: Dataset, probabilities: NDArray[Any] | None) -> list[Finding]:
    if probabilities is None or dataset.task != "single_label":
        return []
    labels = dataset.targets()
    own = probabilities[np.arange(len(labels)), labels]
    sure = np.nonzero((probabilities.max(axis=1) >= 0.95) & (own < 0.05))[0]
    if not len(sure):
        return []
    sure = sure[np.argsort(own[sure], kind="stable")]
    answers = [dataset.labels[int(k)] for k in probabilities[sure].argmax(axis=1)]
    lines = [
        f"{dataset.name_of(dataset.pictures[i])} is {answer} to the model ({probabilities[i].max():.3f})"
        for i, answer in zip(sure, answers, strict=True)
    ]
    text = f"the model is sure of another label for {len(sure)} pictures: check them"
    return [Finding("warning", "label_suspects", text, tuple(lines[:_LISTED]))]


def _together(dataset: Dataset, groups: Sequence[Sequence[Picture]]) -> tuple[str, ...]:
    return tuple(" = ".join(dataset.name_of(p) for p in group[:4]) for group in groups[:_LISTED])


def inspection_text(inspection: Inspection) -> str:
    """The findings for a terminal."""
    lines = [f"{inspection.pictures} pictures"]
    lines += [f"{count:8d}  {label}" for label, count in inspection.counts]
    for finding in inspection.findings:
        lines.append(f"{finding.severity}: {finding.text}")
        lines += [f"    {path}" for path in finding.paths]
    return "\n".join(lines)


@click.command("inspect")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write a sheet of pictures per class there.")
@click.option("--model", type=click.Path(path_type=Path), help="A model to find odd labels with.")
@click.option(
    "--group-pattern", help="Regular expression; pictures with the same captured text stay together."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def inspect_command(
    data: Path, out: Path | None, model: Path | None, group_pattern: str | None, as_json: bool
) -> None:
    """Look for what is wrong with DATA: unreadable files, duplicates, imbalance, odd labels."""
    with progress_bar("reading", quiet=as_json) as progress:
        dataset = load_dataset(data, progress, group_pattern)
    features = probabilities = None
    if model is not None:
        from trainer.evaluate import answers_of

        answers = answers_of(model, dataset)
        features = answers.embedding
        order = [answers.card.labels.index(label) for label in dataset.labels]
        probabilities = answers.probabilities[:, order]
    inspection = inspect_dataset(dataset, features, probabilities)
    if out is not None:
        sheets = class_sheets(dataset)
        for label, name in file_names(sheets).items():
            write_file(out / name, png(sheets[label]))
    if as_json:
        click.echo(json.dumps(asdict(inspection), indent=2, ensure_ascii=False))
    else:
        click.echo(inspection_text(inspection))
        if out is not None:
            click.echo(f"sheets in {out}")
