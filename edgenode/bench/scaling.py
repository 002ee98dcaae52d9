"""Cost against cameras, at a pace that the machine can keep: is the last camera as cheap as the first."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenode.bench.footage import Footage, make_clips
from edgenode.bench.report import Rounds, cpu_spreads
from edgenode.bench.rivals import Cost, Task, cost
from edgenode.capture.clip_writer import Encoding
from edgenode.errors import EdgeNodeError

_PILOT_CAMERAS, _PILOT_S, _WARM_UP_S = 8, 4.0, 3.0
_LOWEST_FPS = 1


@dataclass(frozen=True, slots=True)
class ScalingTask:
    model: Path
    numbers: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    size: tuple[int, int] = (1280, 720)
    share: float = 0.6
    """Of the machine, that the most cameras may use."""
    fps: int = 15
    """Of the cameras; lowered where the share asks for it. Every frame is classified."""
    kind: str = "none"
    seconds: float = 10.0
    rounds: int = 1
    broker: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """A straight line through the medians, by least squares of the relative distances: the small numbers count too."""

    base_cpu_share: float
    """Of a core, with no camera."""
    camera_cpu_share: float
    """Of a core, each further camera."""
    distances: Mapping[int, float]
    """Cameras to (measured - line) / line."""

    @property
    def largest(self) -> float:
        return max(abs(each) for each in self.distances.values())


def pace(task: ScalingTask, folder: Path) -> int:
    """Frames a second at which the most cameras stay within the share, by a run of a few. Raises EdgeNodeError."""
    clips = _clips(task, folder / "pilot", task.fps)
    cameras = min(_PILOT_CAMERAS, max(task.numbers))
    found = cost(task.kind, _task(task, clips, cameras, _PILOT_S))
    if not found.images:
        raise EdgeNodeError("the pilot run classified nothing")
    image_s = found.cpu_s / found.images
    budget_s = task.share * len(os.sched_getaffinity(0))
    return max(_LOWEST_FPS, min(task.fps, int(budget_s / (max(task.numbers) * image_s))))


def measure(task: ScalingTask, fps: int, folder: Path) -> Iterator[Cost]:
    """A run for each number of cameras, in rounds. Raises EdgeNodeError."""
    clips = _clips(task, folder / "paced", fps)
    for _ in range(task.rounds):
        for cameras in task.numbers:
            yield cost(task.kind, _task(task, clips, cameras, task.seconds))


def fit(rounds: Rounds, kind: str) -> Fit:
    """Of at least three numbers of cameras. Raises EdgeNodeError."""
    wall_s = statistics.median(each.wall_s for runs in rounds for each in runs)
    points = {
        cameras: each.median / wall_s
        for (name, cameras), each in cpu_spreads(rounds).items()
        if name == kind and each.median > 0.0
    }
    if len(points) < 3:
        raise EdgeNodeError("a straight line can be told from three numbers of cameras on")
    base, slope = _line(list(points), list(points.values()))
    distances = {cameras: y / (base + slope * cameras) - 1.0 for cameras, y in points.items()}
    return Fit(base, slope, distances)


def _line(cameras: Sequence[int], values: Sequence[float]) -> tuple[float, float]:
    """(offset, slope) of the line with the least sum of ((value - line) / value)², by the normal equations."""
    weights = [1.0 / (value * value) for value in values]
    total = sum(weights)
    mean_x = sum(w * x for w, x in zip(weights, cameras, strict=True)) / total
    mean_y = sum(w * y for w, y in zip(weights, values, strict=True)) / total
    spread = sum(w * (x - mean_x) ** 2 for w, x in zip(weights, cameras, strict=True))
    both = sum(w * (x - mean_x) * (y - mean_y) for w, x, y in zip(weights, cameras, values, strict=True))
    slope = both / spread
    return mean_y - slope * mean_x, slope


def _clips(task: ScalingTask, folder: Path, fps: int) -> tuple[str, ...]:
    folder.mkdir()
    footage = Footage(task.size, 8.0, 1.0, encoding=Encoding(fps))
    return tuple(str(clip) for clip in make_clips(folder, footage, min(4, max(task.numbers))))


def _task(task: ScalingTask, clips: tuple[str, ...], cameras: int, seconds: float) -> Task:
    # at 0 every frame is classified: a schedule of the clip's own rate could miss one by rounding
    return Task(clips, str(task.model), cameras, 0.0, _WARM_UP_S, seconds, task.broker)
