"""Many pictures through the node's own classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgenode.errors import DataError
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.records import F32, U8
from trainer.reading import Progress

BATCH = 64


def classify_all(
    classifier: Classifier, images: U8, progress: Progress | None = None
) -> tuple[F32, F32 | None]:
    """(probabilities [N, K], embedding [N, D] or None) for uint8 [N, H, W, C], in batches. Raises DataError where
    there are no pictures."""
    outputs = []
    for start in range(0, len(images), BATCH):
        outputs.append(classifier.classify(images[start : start + BATCH]))
        if progress is not None:
            progress(min(start + BATCH, len(images)), len(images))
    if not outputs:
        raise DataError("there are no pictures to classify")
    embeddings = [output.embedding for output in outputs if output.embedding is not None]
    return (
        np.concatenate([output.probabilities for output in outputs]),
        np.concatenate(embeddings) if embeddings else None,
    )


def classify_with(path: Path, images: U8) -> tuple[F32, F32 | None]:
    """The same by the model file at `path`, on one thread. Raises ModelError, DataError."""
    with Classifier.load(path, ClassifierOptions()) as classifier:
        return classify_all(classifier, images)
