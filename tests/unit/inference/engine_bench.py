"""One engine on a bench: real buffer, real classifier, and a recorder at both ends."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgenode.clock import SystemClock
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.inference.engine import Engine, EngineOptions
from edgenode.inference.sample_buffer import BufferLimits, SampleBuffer
from edgenode.records import DropReason, Prediction, Sample
from tests.models import make_model

DEADLINE_S = 60.0
AT = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = EngineOptions(idle_s=0.05, first_pause_s=0.001, longest_pause_s=0.01)


class Recorder:
    """Both ends of an engine: receives the predictions and observes; `wait` blocks on a condition."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.predictions: list[Prediction] = []
        self.batches: list[int] = []
        self.waits: list[float] = []
        self.drops: Counter[tuple[str, DropReason]] = Counter()
        self.failures: list[str] = []
        self.raise_on_deliver = False

    def deliver(self, predictions: Sequence[Prediction]) -> None:
        if self.raise_on_deliver:
            raise RuntimeError("nobody is there")
        with self.changed:
            self.predictions.extend(predictions)
            self.changed.notify_all()

    def batch(self, model: str, size: int, infer_s: float) -> None:
        with self.changed:
            assert infer_s > 0
            self.batches.append(size)
            self.changed.notify_all()

    def queue_seconds(self, seconds: float) -> None:
        self.waits.append(seconds)

    def dropped(self, camera: str, reason: DropReason, count: int) -> None:
        with self.changed:
            self.drops[camera, reason] += count
            self.changed.notify_all()

    def inference_failed(self, model: str, reason: str) -> None:
        with self.changed:
            self.failures.append(reason)
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S), "the engine did not get there in time"


class Bench:
    """One engine with its buffer and recorder, and models made on the way; ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recorder = Recorder()
        self.buffer = SampleBuffer(
            "tiny", BufferLimits(per_region=64, total=64, max_age_s=1000.0), SystemClock()
        )
        self.engine: Engine | None = None
        self.classifiers: list[Classifier] = []

    def model(self, run_timeout_s: float = 5.0, **options: object) -> Classifier:
        path = make_model(self.folder / f"m{len(self.classifiers)}.onnx", **options)  # type: ignore[arg-type]
        self.classifiers.append(Classifier.load(path, ClassifierOptions(run_timeout_s=run_timeout_s)))
        return self.classifiers[-1]

    def start(self, classifier: Classifier, options: EngineOptions = QUICK) -> Engine:
        self.engine = Engine("tiny", self.buffer, classifier, self.recorder.deliver, self.recorder, options)
        self.engine.start()
        return self.engine

    def offer(self, level: int = 0, camera: str = "a", index: int = 0) -> None:
        array = np.full((8, 8, 3), level, dtype=np.uint8)
        self.buffer.offer(Sample(camera, "r", "tiny", index, time.monotonic(), AT, array))

    def end(self) -> None:
        if self.engine is not None:
            self.engine.stop()
            assert self.engine.join(DEADLINE_S)
        for classifier in self.classifiers:
            classifier.close()
