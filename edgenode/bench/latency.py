"""From capture to the broker's acknowledgement: one camera, as fast as a given load allows, an event each frame.

The clip's frames are bright and dark in turn. The rule asks whether the model's probability of one label is above the
middle between what it says of the two, so that an untrained model makes an event's beginning of one frame and its end
of the next; each is stored, fsynced, published with QoS 1 and acknowledged.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenode.bench.footage import Footage, film
from edgenode.bench.rtsp import rtsp_cameras
from edgenode.capture.clip_writer import Encoding, write_planes
from edgenode.capture.opening import open_source
from edgenode.capture.source import SourceOptions
from edgenode.clock import SystemClock
from edgenode.errors import EdgeNodeError
from edgenode.inference.classifier import Classifier
from edgenode.inference.pixels import prepare
from edgenode.interpreter import share_lock
from edgenode.node.node import Node
from edgenode.records import U8
from edgenode.settings import (
    CameraSettings,
    HttpSettings,
    ModelSettings,
    MqttSettings,
    NodeSettings,
    RegionSettings,
    RuleSettings,
    Settings,
    SmoothingSettings,
)
from edgenode.telemetry.metrics import Metrics

MOST_FPS = 240
_PROBE_FPS, _PROBE_FRAMES = 30, 60
_CLIP_S = 4.0
_RUNS = 40
_START_S = 60.0
_SETTLE_S = 3.0
_ALIKE = 1e-4
"""Probabilities closer together than this tell no picture from another."""


@dataclass(frozen=True, slots=True)
class LatencyTask:
    model: Path
    broker: tuple[str, int]
    size: tuple[int, int]
    load: float = 0.7
    """Decoding one frame and classifying it, times frames a second."""
    seconds: float = 20.0
    rtsp: bool = False
    """A file's frames are decoded before they are due, so that decoding is not in its latency. Over RTSP it is, and
    so is one frame's interval: FFmpeg's parser gives a picture away when the next one begins."""


@dataclass(frozen=True, slots=True)
class Latency:
    source: str
    fps: int
    load: float
    """What was reached: frame rates are whole numbers, and at most `MOST_FPS`."""
    decode_s: float
    """One frame, median of the bare decoder's calls; CPU time, which is the wall's where nobody else works."""
    infer_s: float
    """A batch of one, median of the bare model's runs; the same."""
    messages: int
    expected: int
    p50_s: float
    p99_s: float

    @property
    def excess_s(self) -> float:
        """What the 99th percentile takes beyond a run of one, and over RTSP beyond decoding and the parser's wait."""
        own_s = self.decode_s + 1.0 / self.fps if self.source == "rtsp" else 0.0
        return self.p99_s - self.infer_s - own_s


def measure(task: LatencyTask, folder: Path) -> Latency:
    """Called on the main thread; `folder` takes the clips. Raises EdgeNodeError."""
    share_lock()
    probe = folder / "probe.mp4"
    write_planes(_flicker(task.size, _PROBE_FPS, _PROBE_FRAMES), probe, Encoding(_PROBE_FPS))
    pictures, decode_s = _decoded(probe)
    infer_s, condition = _model_on(task.model, pictures)
    fps = max(1, min(MOST_FPS, round(task.load / (decode_s + infer_s))))
    clip = folder / "flicker.mp4"
    frames = 2 * max(1, round(_CLIP_S * fps / 2))
    write_planes(_flicker(task.size, fps, frames), clip, Encoding(fps))
    with rtsp_cameras([clip]) if task.rtsp else nullcontext((str(clip),)) as (source,):
        acks, wall_s = _acknowledged(task, source, condition)
    if not acks:
        raise EdgeNodeError("no event was acknowledged; is the broker there, and does the camera play?")
    ordered = sorted(acks)
    return Latency(
        source="rtsp" if task.rtsp else "file",
        fps=fps,
        load=fps * (decode_s + infer_s),
        decode_s=decode_s,
        infer_s=infer_s,
        messages=len(ordered),
        expected=round(wall_s * fps),
        p50_s=ordered[len(ordered) // 2],
        p99_s=ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
    )


def _flicker(size: tuple[int, int], fps: int, frames: int) -> Iterator[U8]:
    """A still street, every second frame of it with its luma turned over."""
    height = size[1]
    still = Footage(size, frames / fps, 0.0, encoding=Encoding(fps))
    for index, picture in enumerate(film(still)):
        if index % 2:
            picture[:height] = 255 - picture[:height]
        yield picture


def _decoded(clip: Path) -> tuple[list[U8], float]:
    """The last two pictures of `clip`, and the median CPU seconds that decoding one took."""
    source = open_source(str(clip), SourceOptions(), SystemClock())
    taken_s: list[float] = []
    grabs = []
    try:
        for _ in range(_PROBE_FRAMES - 2):
            began_s = time.thread_time()
            grab = source.read()
            taken_s.append(time.thread_time() - began_s)
            grabs.append(grab)
        return [grab.rgb() for grab in grabs[-2:]], statistics.median(taken_s[2:])
    finally:
        source.close()


def _model_on(model: Path, pictures: list[U8]) -> tuple[float, str]:
    """The CPU seconds of a run of one, and a condition that holds for one of the two pictures only."""
    with Classifier.load(model) as classifier:
        samples = [prepare(picture, classifier.card.input)[None] for picture in pictures]
        taken_s = []
        for _ in range(_RUNS):
            began_s = time.thread_time()
            classifier.classify(samples[0])
            taken_s.append(time.thread_time() - began_s)
        one, other = (classifier.classify(sample).probabilities[0] for sample in samples)
        place = int(np.abs(one - other).argmax())
        if abs(float(one[place] - other[place])) < _ALIKE:
            raise EdgeNodeError(f"{model} says the same of a bright and a dark picture; take another model")
        label, middle = classifier.card.labels[place], float(one[place] + other[place]) / 2.0
    return statistics.median(taken_s), f'probability(camera.frame, "{label}") > {middle:.6f}'


class _Acknowledged(Metrics):
    """The node's metrics, and each acknowledgement's age as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.acks_s: deque[float] = deque(maxlen=1_000_000)

    def ack_seconds(self, s: float) -> None:
        super().ack_seconds(s)
        self.acks_s.append(s)


def _acknowledged(task: LatencyTask, source: str, condition: str) -> tuple[list[float], float]:
    """Seconds from capture to PUBACK of each event, and the seconds they were gathered in."""
    metrics, stop = _Acknowledged(), threading.Event()
    with tempfile.TemporaryDirectory() as state:
        node = Node(_settings(task, source, condition, Path(state)), Path("/"), metrics=metrics)
        supervisor = threading.Thread(target=node.supervise, args=(stop,), name="supervisor")
        node.start()
        supervisor.start()
        pause = threading.Event()
        try:
            deadline_s = time.monotonic() + _START_S
            while not metrics.acks_s and time.monotonic() < deadline_s:
                pause.wait(0.05)
            pause.wait(_SETTLE_S)
            metrics.acks_s.clear()
            began_s = time.monotonic()
            pause.wait(task.seconds)
            return list(metrics.acks_s), time.monotonic() - began_s
        finally:
            stop.set()
            supervisor.join()
            node.stop()


def _settings(task: LatencyTask, source: str, condition: str, state_dir: Path) -> Settings:
    smoothing = SmoothingSettings(method="none")
    return Settings(
        node=NodeSettings(name="bench", state_dir=state_dir, log_level="error"),
        mqtt=MqttSettings(host=task.broker[0], port=task.broker[1]),
        http=HttpSettings(listen="127.0.0.1:0"),
        models={"model": ModelSettings(file=task.model)},
        cameras=[
            CameraSettings(
                name="camera",
                source=source,
                fps=0.0,
                loop=not task.rtsp,
                gate="none",
                decode="all",
                regions=[RegionSettings(name="frame", smoothing=smoothing)],
            )
        ],
        rules=[RuleSettings(name="flicker", when=condition)],
    )
