"""INT8 beside FP32: measured in one run, and chosen only where it wins."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgenode.inference.card import Interval
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.records import F32, U8
from trainer.augment import Augment, Augmenter
from trainer.classify import classify_all
from trainer.labelled import Arrays
from trainer.options import Examples
from trainer.quantise import Ranges, quantise

PROOF_PICTURES = 1000
"""On so many INT8 is held against FP32, so that one answer is a tenth of a point."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one picture costs through the node's classifier on one thread, one picture a run."""

    file_bytes: int
    wall_ms: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class SideBySide:
    """FP32 and INT8, measured in turns in one run."""

    float_cost: Cost
    int8_cost: Cost
    speedup: float
    """FP32 time over INT8 time, median of pairs."""
    float_accuracy: float
    int8_accuracy: float
    accuracy_change: Interval
    """INT8 minus FP32 on the same pictures, with its 95 % interval (paired bootstrap)."""
    pictures: int
    ranges: Ranges = "widest"


def prove_int8(float_path: Path, out: Path, calibration: U8, proof: Examples, tolerance: float) -> SideBySide:
    """Writes the INT8 form of the file at `float_path` to `out` and measures both on `proof`.

    Where the usual ranges lose more than `tolerance`, the other kind is tried; of both, the one that loses less
    is left at `out`. Raises ModelError.
    """
    quantise(float_path, calibration, out)
    measured = side_by_side(float_path, out, proof)
    if measured.accuracy_change.value >= -tolerance - 1e-9:
        return measured
    other = out.with_name(f"{out.name}.clipped")
    try:
        quantise(float_path, calibration, other, ranges="clipped")
        again = replace(side_by_side(float_path, other, proof), ranges="clipped")
        if again.accuracy_change.value <= measured.accuracy_change.value:
            return measured
        os.replace(other, out)
        return again
    finally:
        other.unlink(missing_ok=True)


def proof_pictures(train: Examples, val: Examples, augment: Augment, seed: int) -> Arrays:
    """What INT8 is held against FP32 on: the validation part, and as many augmented training pictures as make it
    PROOF_PICTURES, which lie nearer to the borders between labels than the pictures as they were learnt."""
    count = min(2 * len(train.images), PROOF_PICTURES - len(val.images))
    if count <= 0:
        return Arrays(val.images, val.labels)
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([rng.permutation(len(train.images)) for _ in range(2)])[:count]
    calm = replace(augment, mixup=0.0, cutmix=0.0)
    images = torch.from_numpy(np.ascontiguousarray(train.images))
    augmenter = Augmenter(images, torch.zeros(len(images), 1), calm, seed)
    views = []
    for start in range(0, count, 100):
        index = torch.from_numpy(chosen[start : start + 100])
        pixels, _ = augmenter.batch(index, seed + start, slice(None))
        views.append(pixels.permute(0, 2, 3, 1).clamp(0, 255).round().to(torch.uint8).numpy())
    return Arrays(np.concatenate([val.images, *views]), np.concatenate([val.labels, train.labels[chosen]]))


def side_by_side(float_path: Path, int8_path: Path, proof: Examples, rounds: int = 40) -> SideBySide:
    """Measures both files on the same pictures, in turns, so that a busy machine slows both alike."""
    images, labels = proof.images, proof.labels
    float_model = Classifier.load(float_path, ClassifierOptions())
    int8_model = Classifier.load(int8_path, ClassifierOptions())
    try:
        float_right = correct(classify_all(float_model, images)[0], labels)
        int8_right = correct(classify_all(int8_model, images)[0], labels)
        one = images[:1]
        float_times, int8_times = [], []
        for _ in range(rounds):
            float_times.append(_timed(float_model, one))
            int8_times.append(_timed(int8_model, one))
    finally:
        float_model.close()
        int8_model.close()
    return SideBySide(
        float_cost=_cost(float_path, float_times),
        int8_cost=_cost(int8_path, int8_times),
        speedup=statistics.median(f[0] / i[0] for f, i in zip(float_times, int8_times, strict=True)),
        float_accuracy=float(float_right.mean()),
        int8_accuracy=float(int8_right.mean()),
        accuracy_change=paired_change(float_right, int8_right),
        pictures=len(images),
    )


def wins(measured: SideBySide, tolerance: float) -> bool:
    """Whether INT8 is faster and loses no more than `tolerance` (a fraction) of accuracy."""
    return measured.speedup > 1.0 and measured.accuracy_change.value >= -tolerance - 1e-9


def paired_change(before: NDArray[np.float64], after: NDArray[np.float64], rounds: int = 2000) -> Interval:
    """Mean of after − before over the same pictures and its 95 % bootstrap interval (percentiles)."""
    change = after - before
    draws = np.random.default_rng(0).integers(0, len(change), (rounds, len(change)))
    means = change[draws].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(value=float(change.mean()), low=float(low), high=float(high))


def correct(probabilities: F32, labels: NDArray[Any]) -> NDArray[np.float64]:
    """1 where right; of several labels, the part of them that is right."""
    if labels.ndim == 2:
        return np.asarray(((probabilities >= 0.5) == (labels >= 0.5)).mean(axis=1), dtype=np.float64)
    return np.asarray(probabilities.argmax(axis=1) == labels, dtype=np.float64)


def _timed(model: Classifier, one: U8, repeats: int = 8) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        model.classify(one)
    return (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats


def _cost(path: Path, times: list[tuple[float, float]]) -> Cost:
    return Cost(
        file_bytes=path.stat().st_size,
        wall_ms=1000 * statistics.median(wall for wall, _ in times),
        cpu_s=statistics.median(cpu for _, cpu in times),
    )
