"""Cutting a data set into training, validation and test parts that share nothing.

The unit that is dealt out is a cluster: near duplicates, copies and declared groups together. Clusters go,
large ones first, each to the part that its labels then fit best, so every part has every label in
proportion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenode.errors import DataError
from trainer.duplicates import Clusters, cluster, near_duplicates
from trainer.labelled import PARTS, Dataset, Split


def split(dataset: Dataset, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0) -> Split:
    """The parts of `dataset`: the same for the same pictures, fractions and seed.

    Given parts are kept as they are and what is missing is cut out of `train`. Where only train and val are
    given, val is held out as the test part: it is what the data's author meant nobody to train on, and the
    parts that are chosen by must not be the one that is reported. Raises DataError on fewer than three
    clusters, or fractions that make no sense.
    """
    if min(fractions) < 0 or fractions[0] <= 0 or not 0.999 < sum(fractions) < 1.001:
        raise DataError(
            f"the fractions {fractions} must be three numbers from 0 that sum to 1, train above 0"
        )
    pictures = dataset.pictures
    given = np.array([PARTS.index(p.part) if p.part else -1 for p in pictures], dtype=np.int64)
    clusters = cluster(pictures, near_duplicates(pictures))
    notes = list(clusters.notes)
    if (given >= 0).any():
        assigned = _respect(given, dataset, clusters, fractions, seed, notes)
    else:
        everything = np.arange(len(pictures), dtype=np.int64)
        assigned = _deal(dataset, clusters.of, everything, np.array(fractions), seed, notes)
    parts = [
        dataset.subset(tuple(p for p, where in zip(pictures, assigned, strict=True) if where == part))
        for part in range(3)
    ]
    joined = clusters.sizes()
    grouped = int(joined[joined > 1].sum())
    if grouped:
        notes.append(
            f"{grouped} of {len(pictures)} pictures have near duplicates or share a group; "
            f"their {int((joined > 1).sum())} clusters (largest {int(joined.max())}) were kept together"
        )
    return Split(parts[0], parts[1], parts[2], tuple(notes))


def _respect(
    given: NDArray[np.int64],
    dataset: Dataset,
    clusters: Clusters,
    fractions: tuple[float, float, float],
    seed: int,
    notes: list[str],
) -> NDArray[np.int64]:
    given = np.where(given < 0, 0, given)  # a manifest may name only what is held out
    there = [bool((given == part).any()) for part in range(3)]
    if not there[0]:
        raise DataError(f"{dataset.root}: gives a val or test part, but none to train on")
    if there[1] and not there[2]:
        notes.append("the given val part is held out as test; a validation part was cut out of train")
        given = np.where(given == 1, 2, given)
        there = [True, False, True]
    wanted = np.array([fractions[0], *(0.0 if there[p] else fractions[p] for p in (1, 2))])
    inside = np.nonzero(given == 0)[0]
    assigned = given.copy()
    if wanted[1:].any():
        assigned[inside] = _deal(dataset, clusters.of, inside, wanted / wanted.sum(), seed, notes)
    crossing = sum(
        len(set(given[members].tolist())) > 1
        for members in _members(clusters.of, np.arange(len(given), dtype=np.int64))
        if len(members) > 1
    )
    if crossing:
        notes.append(
            f"{crossing} groups of near duplicates cross the given parts, which were left as given: "
            "the test result is too good"
        )
    return assigned


def _deal(
    dataset: Dataset,
    cluster_of: NDArray[np.int64],
    indices: NDArray[np.int64],
    fractions: NDArray[np.float64],
    seed: int,
    notes: list[str],
) -> NDArray[np.int64]:
    """The part of each picture in `indices`.

    Greedy: a cluster goes where it lowers sum over labels of (have - want)² / (total² · fraction) most, the
    squared relative distance from the proportions wanted.
    """
    wanted_parts = [part for part in range(3) if fractions[part] > 0]
    groups = _members(cluster_of, indices)
    if len(groups) < len(wanted_parts):
        raise DataError(
            f"{dataset.root}: has {len(groups)} independent groups of pictures; {len(wanted_parts)} parts "
            "need at least one each"
        )
    presence = _presence(dataset)
    rng = np.random.default_rng(seed)
    groups = [groups[i] for i in rng.permutation(len(groups))]
    groups.sort(key=len, reverse=True)
    counts = np.stack([presence[members].sum(axis=0) for members in groups])
    total = counts.sum(axis=0)
    weight = np.where(total > 0, 1.0 / np.maximum(total, 1) ** 2, 0.0)
    target = fractions[wanted_parts, None] * total[None, :]
    scale = weight[None, :] / fractions[wanted_parts, None]
    have = np.zeros_like(target)
    where = np.zeros(len(groups), dtype=np.int64)
    for index, count in enumerate(counts):
        change = (scale * count * (2 * (have - target) + count)).sum(axis=1)
        where[index] = int(np.argmin(change))
        have[where[index]] += count
    _give_everyone_some(dataset, counts, where, have, notes)
    position = {int(i): at for at, i in enumerate(indices)}
    result = np.zeros(len(indices), dtype=np.int64)
    for members, part in zip(groups, where, strict=True):
        for member in members:
            result[position[int(member)]] = wanted_parts[part]
    return result


def _give_everyone_some(
    dataset: Dataset,
    counts: NDArray[np.float64],
    where: NDArray[np.int64],
    have: NDArray[np.float64],
    notes: list[str],
) -> None:
    """Moves the smallest clusters so that each part has each label, where there are clusters enough."""
    for label, name in enumerate(dataset.labels):
        for part in range(len(have)):
            if have[part, label] > 0:
                continue
            holders = np.bincount(where[counts[:, label] > 0], minlength=len(have))
            movable = np.nonzero((counts[:, label] > 0) & (holders[where] > 1))[0]
            if not len(movable):
                notes.append(
                    f"label {name!r} has too few independent pictures to be in every part; one part lacks it"
                )
                break
            chosen = movable[np.argmin(counts[movable].sum(axis=1), keepdims=True)[0]]
            have[where[chosen]] -= counts[chosen]
            have[part] += counts[chosen]
            where[chosen] = part


def _presence(dataset: Dataset) -> NDArray[np.float64]:
    """float64 [N, K + 1]: the labels a picture has; the last column marks those with none."""
    rows = np.zeros((len(dataset), len(dataset.labels) + 1))
    for row, picture in zip(rows, dataset.pictures, strict=True):
        row[list(picture.present) or [-1]] = 1.0
    return rows


def _members(cluster_of: NDArray[np.int64], indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    numbers = cluster_of[indices]
    order = np.argsort(numbers, kind="stable")
    borders = np.nonzero(np.diff(numbers[order]))[0] + 1
    return [indices[part] for part in np.split(order, borders)] if len(indices) else []
