"""The pictures that a model gets wrong: the surest ones, and which label is taken for which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenode.errors import PictureError
from edgenode.inference.card import ModelCard
from edgenode.records import F32, U8
from trainer.decided import answer_text
from trainer.labelled import Dataset
from trainer.metrics import EvaluationResult, confident_wrongs
from trainer.reading import read_picture
from trainer.sheets import fitted


@dataclass(frozen=True, slots=True)
class Wrong:
    """A picture that was answered wrongly."""

    picture: U8
    """uint8 [h, w, 3] RGB, or grey."""
    name: str
    truth: str
    answer: str
    probability: float


def wrongs(
    card: ModelCard, dataset: Dataset, probabilities: F32, labels: NDArray[Any], count: int = 24
) -> tuple[Wrong, ...]:
    """The most confidently wrong pictures, read from their files; one that can no longer be read is left out.

    `probabilities` and `labels` are of the pictures of `dataset`, in the card's order of labels.
    """
    found = []
    for index in confident_wrongs(probabilities, labels, count):
        picture, row = dataset.pictures[index], probabilities[index]
        try:
            pixels = fitted(read_picture(picture.path)[0], 192)
        except PictureError:
            continue
        truth = dataset.label_text(picture)
        found.append(Wrong(pixels, dataset.name_of(picture), truth, answer_text(card, row), float(row.max())))
    return tuple(found)


def mixed_up(result: EvaluationResult, count: int = 10) -> list[tuple[str, str, int, int]]:
    """(truth, answer, pictures, pictures of that truth) of what is most often taken for something else."""
    if result.task == "multi_label":
        return []
    wrong = result.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    names, of = result.label_names, result.confusion.sum(axis=1)
    pairs = [divmod(int(place), len(names)) for place in order]
    return [(names[i], names[j], int(wrong[i, j]), int(of[i])) for i, j in pairs if wrong[i, j]]
