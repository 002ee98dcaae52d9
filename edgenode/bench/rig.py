"""A node without a broker: cameras, hand-off A, engine and decisions at work, everything counted."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from edgenode.bench.process import rss_bytes
from edgenode.clock import SystemClock
from edgenode.decision_setup import build_decider, build_rules, region_labels
from edgenode.desk import DecisionDesk, Hooks
from edgenode.pipeline import Pipeline
from edgenode.records import CameraReport, Decision, Event, Prediction, Sample
from edgenode.settings import (
    CameraSettings,
    InferenceSettings,
    ModelSettings,
    NodeSettings,
    RegionSettings,
    Settings,
)
from edgenode.telemetry.cpu import ThreadCpu
from edgenode.telemetry.health import Health
from edgenode.telemetry.metrics import Metrics
from edgenode.wiring import load_classifiers


@dataclass(frozen=True, slots=True)
class Load:
    """What the cameras of a rig do."""

    clips: tuple[Path, ...]
    """Camera n plays number n of them, and begins anew with the first."""
    model: Path
    cameras: int = 16
    regions: int = 1
    """Regions a camera: the frame itself, or tiles of it."""
    fps: float = 0.0
    """Frames a second to classify; 0 takes all."""
    realtime: bool = False
    """False plays the clip as fast as it goes."""
    gate: Literal["none", "motion", "packet"] = "none"
    max_batch: int = 8
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What happened between two instants. CPU seconds are of the whole process, or of the named threads."""

    wall_s: float
    classified: int
    offered: int
    dropped: int
    cpu_s: float
    cpu_by_thread: Mapping[str, float]
    rss_bytes: int

    @property
    def images_per_s(self) -> float:
        return self.classified / self.wall_s


class _Nowhere:
    """The outlet of a bench: everything is decided, nothing is sent."""

    def publish_event(self, event: Event, jpeg: bytes | None) -> None: ...
    def publish_region_state(self, decision: Decision, event_id: str | None) -> None: ...
    def publish_classification(self, prediction: Prediction) -> None: ...
    def publish_camera(self, report: CameraReport) -> None: ...


class _CamerasAlone(Pipeline):
    """Throws every sample away in place of hand-off A."""

    offered = 0

    def offer(self, sample: Sample) -> None:
        del sample
        self.offered += 1


class _Stamped(Pipeline):
    """Notes when each sample was captured, and how old it was when it was offered."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.lateness_s: deque[float] = deque(maxlen=100_000)
        self.captured_s: deque[float] = deque(maxlen=100_000)

    def offer(self, sample: Sample) -> None:
        self.lateness_s.append(time.monotonic() - sample.captured_s)
        self.captured_s.append(sample.captured_s)
        super().offer(sample)


class Rig:
    """Runs a load from `with` to its end. `read` measures the time since the last `read`."""

    def __init__(self, load: Load, state_dir: Path, classify: bool = True) -> None:
        """`classify` False: the cameras work, and nobody takes their samples."""
        self._load = load
        self._classify = classify
        self._settings = Settings(
            node=NodeSettings(name="bench", state_dir=state_dir),
            inference=InferenceSettings(max_batch=load.max_batch, threads=load.threads, max_age=60.0),
            models={"model": ModelSettings(file=load.model)},
            cameras=[
                CameraSettings(
                    name=f"camera_{number}",
                    source=str(load.clips[number % len(load.clips)]),
                    fps=load.fps,
                    loop=True,
                    gate=load.gate,
                    regions=tiles(load.regions),
                )
                for number in range(load.cameras)
            ],
        )
        self._classified = 0
        self._by_camera: Counter[str] = Counter()
        self.latencies_s: deque[float] = deque(maxlen=100_000)
        """From capture to the decision, of the newest samples."""
        self._lock = threading.Lock()
        self._metrics = Metrics()
        self._clock = SystemClock()
        self._threads = ThreadCpu()
        self._last: tuple[float, int, int, int, float, dict[str, float]] = (0.0, 0, 0, 0, 0.0, {})

    def __enter__(self) -> Self:
        settings = self._settings
        classifiers = load_classifiers(settings, Path("/"))
        cards = {name: classifier.card for name, classifier in classifiers.items()}
        desk = DecisionDesk(
            build_decider(settings, cards),
            build_rules(settings, region_labels(settings, cards)),
            _Nowhere(),
            self._metrics,
            lambda _camera, _index: None,
            Hooks(on_prediction=self._count),
        )
        kind = _Stamped if self._classify else _CamerasAlone
        self._pipeline = kind(
            desk.take,
            lambda _report: None,
            lambda _camera, _gate, _is_open: None,
            self._metrics,
            Health(self._clock),
            self._clock,
        )
        self._pipeline.apply(settings, Path("/"), classifiers, realtime=self._load.realtime)
        self._mark()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipeline.stop(0.5)

    def wait_until_classifying(self, timeout_s: float = 20.0) -> None:
        """Return once predictions come. Raises TimeoutError."""
        _wait(lambda: self._classified > 0, "nothing was classified", timeout_s)

    def wait_until_offering(self, timeout_s: float = 20.0) -> None:
        """Return once the cameras of a rig that does not classify offer samples. Raises TimeoutError."""
        alone = self._pipeline
        _wait(lambda: isinstance(alone, _CamerasAlone) and alone.offered > 0, "no camera works", timeout_s)

    def forget(self) -> None:
        """Begin anew with latencies and with images by camera."""
        self.latencies_s.clear()
        self._by_camera.clear()
        if isinstance(self._pipeline, _Stamped):
            self._pipeline.lateness_s.clear()
            self._pipeline.captured_s.clear()

    def lateness_s(self) -> list[float]:
        """How old samples were when their cameras offered them, of the newest since `forget`, ascending."""
        return sorted(self._pipeline.lateness_s) if isinstance(self._pipeline, _Stamped) else []

    def gap_s(self) -> float:
        """The longest time without a new frame of any camera, but for the longest hundredth of these times."""
        moments = sorted(set(self._pipeline.captured_s)) if isinstance(self._pipeline, _Stamped) else []
        gaps = sorted(later - sooner for sooner, later in pairwise(moments))
        return gaps[int(0.99 * len(gaps))] if gaps else 0.0

    def images_by_camera(self) -> list[int]:
        """How many images of each camera were classified since `forget`; cameras without any are left out."""
        return list(self._by_camera.values())

    def read(self) -> Reading:
        """What happened since the last call (or the start)."""
        wall_s, classified, offered, dropped, cpu_s, threads = self._last
        self._mark()
        now = self._last
        return Reading(
            wall_s=now[0] - wall_s,
            classified=now[1] - classified,
            offered=now[2] - offered,
            dropped=now[3] - dropped,
            cpu_s=now[4] - cpu_s,
            cpu_by_thread={name: used - threads.get(name, 0.0) for name, used in now[5].items()},
            rss_bytes=rss_bytes(),
        )

    def _cpu_by_thread(self) -> dict[str, float]:
        return {
            sample.labels["thread"]: sample.value
            for family in self._threads.collect()
            for sample in family.samples
        }

    def _count(self, prediction: Prediction) -> None:
        self._classified += 1
        self._by_camera[prediction.camera] += 1
        self.latencies_s.append(time.monotonic() - prediction.captured_s)

    def _mark(self) -> None:
        counts = self._pipeline.counts().values()
        offered = sum(each.offered for each in counts)
        dropped = sum(sum(each.dropped.values()) for each in counts)
        self._last = (
            time.monotonic(),
            self._classified,
            offered,
            dropped,
            time.process_time(),
            self._cpu_by_thread(),
        )


def _wait(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what} within {timeout_s:g} s")
        pause.wait(0.02)


def tiles(count: int) -> list[RegionSettings]:
    """`count` boxes of equal size that cover the frame, in two rows where `count` is even; none for 1."""
    if count == 1:
        return []
    rows = 2 if count % 2 == 0 else 1
    columns = count // rows
    return [
        RegionSettings(
            name=f"tile_{row * columns + column}",
            box=(column / columns, row / rows, (column + 1) / columns, (row + 1) / rows),
        )
        for row in range(rows)
        for column in range(columns)
    ]
