"""Cameras and model engines: the part of a node that a changed configuration may rebuild while it runs.

All methods but `offer` are called by the node's supervising thread; `offer` by every camera thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgenode.capture.camera import Camera, CameraSpec
from edgenode.capture.turns import turns_for
from edgenode.clock import Clock
from edgenode.inference.card import ModelCard
from edgenode.inference.classifier import Classifier
from edgenode.inference.engine import Engine, EngineOptions, Follow, Witness
from edgenode.inference.sample_buffer import BufferCounts, BufferLimits, SampleBuffer
from edgenode.inference.service_record import ServiceRecord
from edgenode.records import CameraReport, Prediction, Sample
from edgenode.settings import InferenceSettings, Settings
from edgenode.telemetry.health import Health
from edgenode.telemetry.metrics import Metrics
from edgenode.wiring import camera_spec, models_by_region

log = logging.getLogger(__name__)

STALL_LIMIT_S = 30.0
"""A thread without progress for this long has failed."""
JOIN_S = 2.0
"""How long threads may take to end: all cameras together, and all engines together beyond their drain."""
EXCHANGE_S = 3.0
"""How long an engine that a reload ends may take for what it holds."""


Retired = Callable[[str, Classifier, ServiceRecord], None]
"""(model, the classifier that serves no more, what it did)."""


@dataclass(slots=True)
class _Serving:
    """One model at work."""

    engine: Engine
    buffer: SampleBuffer
    inference: InferenceSettings
    """What engine and buffer were made with; other settings need new ones."""
    unwatch: Callable[[], None] = field(default=lambda: None)


@dataclass(slots=True)
class _Running:
    """One camera at work, and the key that says whether a new configuration leaves it as it is."""

    camera: Camera
    spec: CameraSpec
    key: tuple[object, ...]


class Pipeline:
    """Owns the camera threads and the engines. `deliver`, `report` and `gate` are the
    decision desk's."""

    def __init__(
        self,
        deliver: Callable[[Sequence[Prediction]], None],
        report: Callable[[CameraReport], None],
        gate: Callable[[str, str, bool], None],
        metrics: Metrics,
        health: Health,
        clock: Clock,
    ) -> None:
        self._deliver = deliver
        self._observer = _CameraObserver(metrics, report, gate)
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._routing = threading.Lock()
        """Held while a sample finds its buffer: a buffer that is replaced gets none after its successor stands."""
        self._unserved: dict[str, SampleBuffer] = {}
        """Closed buffers that count what comes for a model that serves no more."""
        self._retired: Retired = _close
        self._serving: dict[str, _Serving] = {}
        self._cameras: dict[str, _Running] = {}
        self.witness: Witness | None = None
        """Sees every batch with what was said of it; set before the first `apply`."""
        self._turns = {realtime: turns_for(realtime) for realtime in (False, True)}

    def on_retired(self, retired: Retired) -> None:
        """Give a classifier that another one replaced, on the same engine, to `retired`, which closes it."""
        self._retired = retired

    def apply(
        self,
        settings: Settings,
        base_dir: Path,
        classifiers: Mapping[str, Classifier],
        realtime: bool = True,
    ) -> None:
        """Make what runs match `settings`; what has not changed runs on undisturbed.

        `classifiers` holds one proven classifier for each configured model and now belongs to the pipeline.
        """
        cards = {name: classifier.card for name, classifier in classifiers.items()}
        wanted: dict[str, tuple[CameraSpec, tuple[object, ...]]] = {}
        for camera in settings.cameras:
            spec = camera_spec(camera, settings, cards, base_dir, realtime)
            wanted[camera.name] = (spec, _key(spec, cards, realtime))
        self._stop_cameras(
            [
                name
                for name, running in self._cameras.items()
                if wanted.get(name, (None, None))[1] != running.key
            ]
        )
        self._serve(settings.inference, classifiers, settings)
        for name, (spec, key) in wanted.items():
            if name not in self._cameras:
                self._start_camera(name, spec, key)

    def stop(self, drain_s: float) -> None:
        """Source first: cameras, then engines, which classify what they hold for at most `drain_s`.

        A camera's thread that hangs is not waited for longer than `JOIN_S`."""
        self._stop_cameras(list(self._cameras))
        for serving in self._serving.values():
            serving.engine.stop()
        give_up_s = self._clock.monotonic() + drain_s + JOIN_S
        for name in list(self._serving):
            self._retire(name, max(0.0, give_up_s - self._clock.monotonic()))

    def offer(self, sample: Sample) -> None:
        """Hand-off A. Called on camera threads; may drop, counted."""
        with self._routing:
            serving = self._serving.get(sample.model)
            buffer = serving.buffer if serving is not None else self._no_buffer(sample.model)
            buffer.offer(sample)

    def admit(self, model: str, camera: str, regions: Sequence[str]) -> Sequence[str]:
        """Which of these regions of a new frame `model` will come to. Called on camera threads, before they are cut."""
        with self._routing:
            serving = self._serving.get(model)
            return serving.buffer.admit(camera, regions) if serving is not None else regions

    def camera(self, name: str) -> Camera | None:
        running = self._cameras.get(name)
        return running.camera if running is not None else None

    def set_pace(self, name: str, share: float) -> None:
        """Let camera `name` classify this share of its frames, above 0 to 1; unknown ones are passed over."""
        if (running := self._cameras.get(name)) is not None:
            running.camera.set_pace(share)

    def cameras(self) -> list[str]:
        return list(self._cameras)

    def classifier(self, model: str) -> Classifier | None:
        serving = self._serving.get(model)
        return serving.engine.classifier if serving is not None else None

    def models(self) -> list[str]:
        return list(self._serving)

    def record(self, model: str) -> ServiceRecord | None:
        """What the classifier that serves `model` did since it does."""
        serving = self._serving.get(model)
        return serving.engine.record if serving is not None else None

    def failing(self, model: str) -> bool:
        """Whether the last batch of `model` gave nothing."""
        serving = self._serving.get(model)
        return serving is not None and serving.engine.failures_in_a_row > 0

    def misfit(self, model: str, classifier: Classifier) -> str | None:
        """Why `classifier` cannot serve `model` while cameras and rules stay as they are, or None."""
        return self._serving[model].engine.misfit(classifier)

    def follow(self, model: str, follow: Follow | None) -> None:
        """Let a shadow have what `model` answers."""
        if (serving := self._serving.get(model)) is not None:
            serving.engine.follow(follow)

    def swap(self, model: str, classifier: Classifier) -> Classifier:
        """Let another classifier serve `model` from the next batch on; returns the one that served.

        Waits for the batch that runs now. Raises ModelError for a misfit. Any one thread at a time.
        """
        old = self._serving[model].engine.swap(classifier)
        self._metrics.model_serving(classifier.identity)
        return old

    def counts(self) -> dict[str, BufferCounts]:
        """Each model's accounts at hand-off A."""
        return {name: serving.buffer.counts() for name, serving in dict(self._serving).items()}

    def _serve(
        self, inference: InferenceSettings, classifiers: Mapping[str, Classifier], settings: Settings
    ) -> None:
        for name in [name for name in self._serving if name not in classifiers]:
            self._serving[name].engine.stop()
            self._retire(name, EXCHANGE_S)
        regions = list(models_by_region(settings).values())
        for name, classifier in classifiers.items():
            serving = self._serving.get(name)
            total = max(regions.count(name), inference.max_batch)
            if serving is not None:
                serving.buffer.widen(total)  # there may be more regions now
            if serving is not None and serving.engine.classifier is classifier:
                continue
            if (
                serving is not None
                and serving.inference == inference
                and serving.engine.misfit(classifier) is None
            ):
                record = serving.engine.record
                self._retired(name, self.swap(name, classifier), record)
                continue
            fresh = self._engage(name, classifier, inference, total)
            if serving is not None:
                # it stands in the old one's place by now, and holds what comes while that one ends
                serving.engine.stop()
                self._end(name, serving, EXCHANGE_S)
            self._begin(name, fresh)

    def _begin(self, name: str, engine: Engine) -> None:
        self._metrics.model_serving(engine.classifier.identity)
        self._health.watch(f"model {name}", lambda: engine.heartbeat_s, STALL_LIMIT_S)
        engine.start()

    def _no_buffer(self, model: str) -> SampleBuffer:
        """Where a sample goes whose model was taken away while its camera's thread could not be ended."""
        if model not in self._unserved:
            buffer = SampleBuffer(model, BufferLimits(), self._clock)
            buffer.close()
            self._metrics.watch_samples(model, buffer.counts)
            self._unserved[model] = buffer
        return self._unserved[model]

    def _engage(self, name: str, classifier: Classifier, inference: InferenceSettings, total: int) -> Engine:
        """A new engine in `name`'s place, not started: it takes offers from now on."""
        buffer = SampleBuffer(
            name, BufferLimits(per_region=1, total=total, max_age_s=inference.max_age), self._clock
        )
        engine = Engine(
            name,
            buffer,
            classifier,
            self._deliver,
            self._metrics,
            EngineOptions(
                max_batch=inference.max_batch,
                max_wait_s=inference.max_wait,
                clock=self._clock,
                witness=self.witness,
            ),
        )
        unwatch = self._metrics.watch_samples(name, buffer.counts)
        with self._routing:
            self._serving[name] = _Serving(engine, buffer, inference, unwatch)
        return engine

    def _retire(self, name: str, wait_s: float) -> None:
        with self._routing:
            serving = self._serving.pop(name)
        self._end(name, serving, wait_s)
        self._health.forget(f"model {name}")
        self._metrics.model_gone(name)

    def _end(self, name: str, serving: _Serving, wait_s: float) -> None:
        """Wait for an engine that was told to stop."""
        if not serving.engine.join(wait_s):
            log.error("model %s: its thread did not end in time and is left behind", name)
        else:
            serving.engine.classifier.close()
        serving.unwatch()

    def _start_camera(self, name: str, spec: CameraSpec, key: tuple[object, ...]) -> None:
        turn = self._turns[spec.realtime].turn()
        camera = Camera(spec, self.offer, self._observer, self._clock, turn, self.admit)
        self._cameras[name] = _Running(camera, spec, key)
        self._health.watch(f"camera {name}", lambda: camera.heartbeat_s, STALL_LIMIT_S)
        camera.start()

    def _stop_cameras(self, names: list[str]) -> None:
        for name in names:
            self._cameras[name].camera.stop()
        give_up_s = self._clock.monotonic() + JOIN_S
        for name in names:
            running = self._cameras.pop(name)
            if not running.camera.join(max(0.0, give_up_s - self._clock.monotonic())):
                log.warning("camera %s: its thread waits for its source, and ends when that answers", name)
            self._health.forget(f"camera {name}")
            self._metrics.forget_camera(name)


def _close(model: str, classifier: Classifier, record: ServiceRecord) -> None:
    del model, record
    classifier.close()


def _key(spec: CameraSpec, cards: Mapping[str, ModelCard], realtime: bool) -> tuple[object, ...]:
    """Equal keys: the running camera already does what the new configuration asks."""
    inputs = tuple((cutter.name, cutter.model, cards[cutter.model].input) for cutter in spec.cutters)
    return (spec.settings, inputs, spec.keep_frames, spec.base_dir, realtime)


class _CameraObserver:
    """Gives camera reports and gates to the desk and to the metrics, everything else to the metrics alone."""

    def __init__(
        self,
        metrics: Metrics,
        report: Callable[[CameraReport], None],
        gate: Callable[[str, str, bool], None],
    ) -> None:
        self._report = report
        self._gate = gate
        self._metrics = metrics
        self.frame_decoded = metrics.frame_decoded
        self.packets = metrics.packets
        self.stage_seconds = metrics.stage_seconds
        self.gate_audit = metrics.gate_audit
        self.gate_skipped = metrics.gate_skipped
        self.corrupt_frame = metrics.corrupt_frame
        self.thread_abandoned = metrics.thread_abandoned

    def gate(self, camera: str, gate_name: str, is_open: bool, /) -> None:
        self._metrics.gate(camera, gate_name, is_open)
        self._gate(camera, gate_name, is_open)

    def camera_report(self, report: CameraReport) -> None:
        self._metrics.camera_report(report)
        self._report(report)
