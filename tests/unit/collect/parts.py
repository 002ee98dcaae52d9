"""Predictions, batches and pictures for the collector's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from edgenode.collect.look import look_of
from edgenode.collect.record import Kept
from edgenode.records import U8, Batch, ModelIdentity, Prediction, Sample

MODEL = ModelIdentity("defects", "1.0.0", "ab" * 32)
ZERO = datetime(2026, 3, 1, 8, tzinfo=UTC)
LABELS = ("ok", "defect", "none")


def textured(number: int, side: int = 24) -> U8:
    """A picture that looks like no other."""
    small = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return np.kron(small, np.ones((side // 6, side // 6, 1), np.uint8))


def answer(
    *probabilities: float,
    at_s: float = 0.0,
    camera: str = "line_1",
    region: str = "belt",
    abstain_below: float = 0.0,
) -> Prediction:
    scores = np.array(probabilities, np.float32)
    labels = LABELS[: len(probabilities)]
    best = int(scores.argmax())
    return Prediction(
        camera=camera,
        region=region,
        model=MODEL,
        labels=labels,
        probabilities=scores,
        label=labels[best],
        probability=float(scores[best]),
        frame_index=round(at_s * 1000),
        captured_s=at_s,
        captured_at=ZERO + timedelta(seconds=at_s),
        batch_size=1,
        abstain_below=abstain_below,
    )


def batch_of(prediction: Prediction, array: U8) -> Batch:
    sample = Sample(
        prediction.camera, prediction.region, prediction.model.name, prediction.frame_index,
        prediction.captured_s, prediction.captured_at, array,
    )  # fmt: skip
    return Batch(prediction.model.name, (sample,))


def kept(number: int, camera: str = "line_1", label: str = "ok") -> Kept:
    return Kept(
        camera=camera,
        region="belt",
        rule="hard",
        why="low_margin",
        captured_at=ZERO + timedelta(hours=7 * number),
        model=MODEL,
        multi_label=False,
        probabilities={"ok": 0.55, "defect": 0.45},
        label=label,
        margin=0.1,
        pixels="region",
        look=look_of(textured(number)),
    )
