"""Which threads, batch and provider serve best: measured on this machine with these models (`edgenode tune`)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgenode.errors import InferenceError, ModelError
from edgenode.inference.classifier import ClassifierOptions
from edgenode.inference.throughput import Effort, Throughput, ThroughputPoint, measure_throughput

Goal = Literal["energy", "throughput", "latency"]
BATCHES = (1, 2, 4, 8, 16, 32)
_NEAR = {"energy": 1.10, "throughput": 1.03, "latency": 1.10}
"""How far from the best a point may be and still be taken for something better in the second place: measurements of
one point differ by about this much from run to run."""
_WORTH_WAITING = 1.5
"""A fuller batch must give this many times the images of a single one before a sample waits for company."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run the models; over several models geometric means, so that no model counts for more."""

    provider: str
    threads: int
    batch: int
    images_per_s: float
    cpu_s_per_image: float
    run_s: float
    """The slowest model's run of one whole batch, median."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Everything measured, the choice, and what was left out and why."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    max_wait_s: float
    left_out: tuple[str, ...]

    def settings(self) -> dict[str, str | int]:
        """`[inference]`'s keys."""
        return {
            "provider": self.chosen.provider,
            "threads": self.chosen.threads,
            "max_batch": self.chosen.batch,
            "max_wait": f"{round(1000 * self.max_wait_s)}ms",
        }


_Cost = Callable[[Candidate], float]
_ORDER: dict[Goal, tuple[_Cost, _Cost]] = {
    "energy": (lambda c: c.cpu_s_per_image, lambda c: 1.0 / c.images_per_s),
    "throughput": (lambda c: 1.0 / c.images_per_s, lambda c: c.cpu_s_per_image),
    "latency": (lambda c: c.run_s, lambda c: c.cpu_s_per_image),
}


def tune(
    models: Sequence[Path],
    providers: Iterable[str],
    goal: Goal = "energy",
    batches: Sequence[int] = BATCHES,
    effort: Effort | None = None,
    progress: Callable[[str], None] = lambda _what: None,
    cores: int | None = None,
) -> Tuning:
    """Measure every provider with 1, 2, 4 … threads and every batch. Raises ModelError where no way works.

    A provider that does not load, or fails in a run, is left out, said so; one that answers otherwise than the card's
    golden vector is refused by the classifier itself and so left out too.
    """
    found: list[Candidate] = []
    left_out: list[str] = []
    for provider in providers:
        counts = thread_counts(cores) if provider in ("cpu", "openvino") else (1,)
        measured: list[Throughput] = []
        try:
            for path in models:
                progress(f"{path.name} on {provider}, {', '.join(map(str, counts))} threads")
                options = ClassifierOptions(provider=provider, run_timeout_s=60.0)
                measured.append(measure_throughput(path, batches, counts, options, effort))
        except (InferenceError, ModelError) as error:
            left_out.append(f"{provider}: {error}")
            continue
        found += _together(measured)
    if not found:
        raise ModelError("; ".join(left_out) or "there is no model to measure")
    chosen = choose(found, goal)
    return Tuning(tuple(found), chosen, max_wait_s(found, chosen), tuple(left_out))


def thread_counts(cores: int | None = None) -> tuple[int, ...]:
    """1, 2, 4 … up to the cores this process may use."""
    cores = cores if cores is not None else len(os.sched_getaffinity(0))
    return tuple(2**power for power in range(cores.bit_length()) if 2**power <= cores)


def choose(candidates: Sequence[Candidate], goal: Goal) -> Candidate:
    """The best for `goal`; of those near to it the one that is best in the second place.

    energy: least CPU an image, then most images a second. throughput: most images, then least CPU. latency: the
    shortest run, then least CPU.
    """
    first, second = _ORDER[goal]
    best = min(first(candidate) for candidate in candidates)
    near = [candidate for candidate in candidates if first(candidate) <= _NEAR[goal] * best]
    return min(near, key=lambda c: (second(c), c.batch, c.threads))


def max_wait_s(candidates: Sequence[Candidate], chosen: Candidate) -> float:
    """How long to wait for a fuller batch: one run's time where that pays, else not at all."""
    single = next(
        c
        for c in candidates
        if (c.provider, c.threads) == (chosen.provider, chosen.threads)
        and c.batch == min(o.batch for o in candidates)
    )
    pays = chosen.batch > 1 and chosen.images_per_s >= _WORTH_WAITING * single.images_per_s
    return chosen.run_s if pays else 0.0


def _together(measured: Sequence[Throughput]) -> list[Candidate]:
    by_way: dict[tuple[str, int, int], list[ThroughputPoint]] = {}
    for throughput in measured:
        for point in throughput.points:
            by_way.setdefault((point.provider, point.threads, point.batch), []).append(point)
    return [
        Candidate(
            provider=provider,
            threads=threads,
            batch=batch,
            images_per_s=_mean([point.images_per_s.median for point in points]),
            cpu_s_per_image=_mean([point.cpu_s_per_image.median for point in points]),
            run_s=max(point.run_s.median for point in points),
        )
        for (provider, threads, batch), points in by_way.items()
    ]


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
