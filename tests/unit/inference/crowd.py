"""Cameras and a model in simulated time, around the real hand-off A."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from edgenode.clock import ManualClock
from edgenode.inference.sample_buffer import BufferLimits, SampleBuffer
from tests.unit.inference.samples import assert_law, sample

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Player:
    """One camera: a frame every 1 / `fps` seconds, the first after `phase_s`, all `regions` of it at once."""

    fps: float
    regions: int = 1
    phase_s: float = 0.0
    away: tuple[float, float] = (0.0, 0.0)
    """Between these instants it has nothing to offer."""


def staggered(count: int, fps: float, regions: int = 1) -> list[Player]:
    """`count` cameras whose frames come one after the other, evenly."""
    return [Player(fps, regions, number / count / fps) for number in range(count)]


def together(count: int, fps: float, regions: int = 1) -> list[Player]:
    """`count` cameras whose frames come at the same instant."""
    return [Player(fps, regions) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Answer:
    camera: str
    region: str
    captured_s: float
    answered_s: float

    @property
    def age_s(self) -> float:
        return self.answered_s - self.captured_s


@dataclass(slots=True)
class Outcome:
    answers: list[Answer] = field(default_factory=list)
    offered: int = 0
    cut: int = 0
    """Samples that cameras made."""

    @property
    def p99_s(self) -> float:
        ages = sorted(answer.age_s for answer in self.answers)
        return ages[int(0.99 * len(ages))]

    @property
    def by_camera(self) -> Counter[str]:
        return Counter(answer.camera for answer in self.answers)

    @property
    def by_region(self) -> Counter[tuple[str, str]]:
        return Counter((answer.camera, answer.region) for answer in self.answers)


def fairness(counts: Mapping[K, int], among: Sequence[K] | None = None) -> float:
    """Fewest over most; of `among`, or of all that have any."""
    values = [counts[name] for name in (among if among is not None else counts)]
    return min(values) / max(values)


def play(
    players: Sequence[Player],
    run_s: Callable[[int], float],
    seconds: float,
    max_batch: int = 1,
    begin_s: float = 1.0,
) -> Outcome:
    """What a model whose run of n samples takes `run_s(n)` answers from `begin_s` on. It takes what waits as soon as it
    is free, at most `max_batch`."""
    clock = ManualClock()
    limits = BufferLimits(1, max(max_batch, sum(player.regions for player in players)), 10.0)
    buffer = SampleBuffer("m", limits, clock)
    due = [(player.phase_s, number, 0) for number, player in enumerate(players)]
    heapq.heapify(due)
    outcome = Outcome()
    free_s = 0.0
    while clock.monotonic() < begin_s + seconds:
        clock.set(max(clock.monotonic(), min(due[0][0], free_s) if buffer.held else due[0][0]))
        now_s = clock.monotonic()
        while due[0][0] <= now_s:
            at_s, number, frame = heapq.heappop(due)
            player = players[number]
            heapq.heappush(due, (player.phase_s + (frame + 1) / player.fps, number, frame + 1))
            if player.away[0] <= at_s < player.away[1]:
                continue
            cut = buffer.admit(f"c{number}", [f"r{region}" for region in range(player.regions)])
            if at_s >= begin_s:
                outcome.offered += player.regions
                outcome.cut += len(cut)
            for region in cut:
                buffer.offer(sample(f"c{number}", region, frame, at_s))
        if free_s <= now_s and (batch := buffer.take(max_batch, 0.0)) is not None:
            free_s = now_s + run_s(len(batch.samples))
            if now_s >= begin_s:
                outcome.answers += [
                    Answer(each.camera, each.region, each.captured_s, free_s) for each in batch.samples
                ]
    assert_law(buffer.counts())
    return outcome
