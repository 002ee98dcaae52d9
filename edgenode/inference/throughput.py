"""What a model costs on this machine: the bare classifier in a loop (`edgenode bench`, `edgenode tune`)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgenode.inference.card import golden_input
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.inference.onnx_file import read_model_bytes
from edgenode.records import U8


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds: the median, the quartiles and the extremes."""

    median: float
    lower_quartile: float
    upper_quartile: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Effort:
    """How long one point of the measurement runs."""

    warm_up_s: float = 0.2
    round_s: float = 0.3
    """A round is as many runs as fill this, one at least."""
    rounds: int = 7


@dataclass(frozen=True, slots=True)
class ThroughputPoint:
    """One batch size with one number of threads. Seconds of CPU are of the whole process."""

    batch: int
    threads: int
    provider: str
    runs: int
    """Over all rounds, without the warm-up."""
    images_per_s: Spread
    cpu_s_per_image: Spread
    run_s: Spread
    """Wall time of one run of the whole batch; over the runs, not the rounds."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """One model on this machine."""

    model: str
    version: str
    sha256: str
    points: tuple[ThroughputPoint, ...]

    @property
    def best(self) -> ThroughputPoint:
        """The point with the most images a second; of those within 3 % of it the one with the least CPU."""
        most = max(point.images_per_s.median for point in self.points)
        close = [point for point in self.points if point.images_per_s.median >= 0.97 * most]
        return min(close, key=lambda point: (point.cpu_s_per_image.median, point.batch))


def measure_throughput(
    path: Path,
    batches: Sequence[int],
    threads: Sequence[int] = (1,),
    options: ClassifierOptions | None = None,
    effort: Effort | None = None,
) -> Throughput:
    """Run the model at `path` for every pair of batch size and threads; raises ModelError or InferenceError.

    Rounds of all batch sizes take turns, so that a machine that slows down slows all of them alike. The
    pictures are the golden generator's: a CNN's time does not depend on what it sees. Nothing else is in the
    loop: no buffer, no camera; the figures are the ceiling of what a node can do.
    """
    options = options if options is not None else ClassifierOptions()
    effort = effort if effort is not None else Effort()
    data = read_model_bytes(path)
    points: list[ThroughputPoint] = []
    for count in threads:
        with Classifier.load_bytes(data, str(path), replace(options, threads=count)) as classifier:
            points += _measure(classifier, batches, count, effort)
            identity = classifier.identity
    return Throughput(identity.name, identity.version, identity.sha256, tuple(points))


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value (quartiles by linear interpolation between the ordered values)."""
    lower, upper = (float(np.percentile(values, percent)) for percent in (25, 75))
    return Spread(statistics.median(values), lower, upper, min(values), max(values))


@dataclass(slots=True)
class _Series:
    """What the rounds of one batch size gave so far."""

    run_s: list[float]
    images_per_s: list[float]
    cpu_s_per_image: list[float]


def _measure(
    classifier: Classifier, batches: Sequence[int], threads: int, effort: Effort
) -> list[ThroughputPoint]:
    arrays = {batch: golden_input(classifier.card.input, batch, seed=1) for batch in dict.fromkeys(batches)}
    series = {batch: _Series([], [], []) for batch in arrays}
    for array in arrays.values():
        _runs(classifier, array, effort.warm_up_s)
    for _ in range(effort.rounds):
        for batch, array in arrays.items():
            cpu_s = time.process_time()
            runs = _runs(classifier, array, effort.round_s)
            cpu_s = time.process_time() - cpu_s
            images = len(runs) * batch
            series[batch].run_s += runs
            series[batch].images_per_s.append(images / sum(runs))
            series[batch].cpu_s_per_image.append(cpu_s / images)
    return [
        ThroughputPoint(
            batch=batch,
            threads=threads,
            provider=classifier.provider,
            runs=len(each.run_s),
            images_per_s=spread(each.images_per_s),
            cpu_s_per_image=spread(each.cpu_s_per_image),
            run_s=spread(each.run_s),
        )
        for batch, each in series.items()
    ]


def _runs(classifier: Classifier, array: U8, seconds: float) -> list[float]:
    """The wall time of each run until `seconds` have passed; one run at least."""
    durations: list[float] = []
    end_s = time.perf_counter() + seconds
    while True:
        started_s = time.perf_counter()
        classifier.classify(array)
        now_s = time.perf_counter()
        durations.append(now_s - started_s)
        if now_s >= end_s:
            return durations
