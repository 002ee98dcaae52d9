"""The whole node as one of the rivals: everything that `edgenode run` starts, in a process of its own."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Literal, cast

from edgenode.bench.joules import Joules
from edgenode.bench.process import rss_bytes, thread_seconds
from edgenode.bench.rivals import Cost, Task, with_joules
from edgenode.desk import Hooks
from edgenode.heap import share_heaps
from edgenode.interpreter import share_lock
from edgenode.node.node import Node
from edgenode.records import Prediction
from edgenode.settings import (
    CameraSettings,
    HttpSettings,
    InferenceSettings,
    ModelSettings,
    MqttSettings,
    NodeSettings,
    Settings,
)

_START_S = 60.0
_NO_PORT = 9
"""Discard: nobody listens. A node without a broker tries on in the background."""


def node_cost(kind: str, task: Task) -> Cost:
    """Run the node with gate `kind` for the warm-up and the measured time. Called on the main thread."""
    share_heaps()
    share_lock()
    with tempfile.TemporaryDirectory() as state:
        run = _Run(_settings(kind, task, Path(state)), task)
        return run.measure(kind)


def _settings(kind: str, task: Task, state_dir: Path) -> Settings:
    host, port = task.broker if task.broker is not None else ("127.0.0.1", _NO_PORT)
    gate, _, pixels = kind.partition("-")
    return Settings(
        node=NodeSettings(name="bench", state_dir=state_dir, log_level="error"),
        mqtt=MqttSettings(host=host, port=port),
        http=HttpSettings(listen="127.0.0.1:0"),
        inference=InferenceSettings(),
        models={"model": ModelSettings(file=Path(task.model))},
        cameras=[
            CameraSettings(
                name=f"camera_{number}",
                source=task.clip(number),
                fps=task.fps,
                loop=_loops(task, number),
                gate=cast("Literal['none', 'motion', 'packet']", gate),
                pixels="fast" if pixels == "fast" else "exact",
            )
            for number in range(task.cameras)
        ],
    )


def _loops(task: Task, number: int) -> bool:
    return "://" not in task.clip(number) and not task.clip(number).startswith("synthetic:")


class _Run:
    def __init__(self, settings: Settings, task: Task) -> None:
        self._task = task
        self._images: Counter[str] = Counter()
        self._latencies_s: deque[float] = deque(maxlen=200_000)
        self._node = Node(settings, Path("/"), hooks=Hooks(on_prediction=self._count))
        self._stop = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")

    def _count(self, prediction: Prediction) -> None:
        self._images[prediction.camera] += 1
        self._latencies_s.append(time.monotonic() - prediction.captured_s)

    def _supervise(self) -> None:
        self._node.supervise(self._stop)

    def measure(self, kind: str) -> Cost:
        self._node.start()
        self._supervisor.start()
        try:
            return self._measure(kind)
        finally:
            self._stop.set()
            self._supervisor.join()
            self._node.stop()

    def _measure(self, kind: str) -> Cost:
        pause = threading.Event()
        deadline_s = time.monotonic() + _START_S
        while not self._images and self._task.cameras and time.monotonic() < deadline_s:
            pause.wait(0.05)
        pause.wait(self._task.warm_up_s)
        self._images.clear()
        self._latencies_s.clear()
        counts = self._counts()
        meter = Joules(self._task.watts)
        by_thread, begun_s, cpu_s = thread_seconds(), time.monotonic(), time.process_time()
        pause.wait(self._task.seconds)
        cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - begun_s
        drawn = meter.drawn(cpu_s)
        used = {name: seconds - by_thread.get(name, 0.0) for name, seconds in thread_seconds().items()}
        gained = self._counts()
        gained.subtract(counts)
        ordered = sorted(self._latencies_s)
        images = [self._images[f"camera_{number}"] for number in range(self._task.cameras)]
        found = Cost(
            kind,
            self._task.cameras,
            cpu_s,
            wall_s,
            sum(images),
            rss_bytes(),
            p50_s=_quantile(ordered, 0.5),
            p99_s=_quantile(ordered, 0.99),
            offered=gained["offered"],
            dropped={
                name[8:]: count for name, count in gained.items() if name.startswith("dropped ") and count
            },
            fairness=min(images) / max(images) if any(images) else None,
            audits={name: gained[name] for name in ("caught", "missed") if gained[name]},
            decoded=gained["decoded"],
            packets=gained["packets"],
            cpu_by_thread=used,
        )
        return with_joules(found, drawn)

    def _counts(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for each in self._node.pipeline.counts().values():
            found["offered"] += each.offered
            for reason, count in each.dropped.items():
                found[f"dropped {reason}"] += count
        for sample in (each for family in self._node.metrics.registry.collect() for each in family.samples):
            if sample.name == "edgenode_frames_total":
                found["decoded"] += round(sample.value)
            elif sample.name == "edgenode_packets_total":
                found["packets"] += round(sample.value)
            elif sample.name == "edgenode_gate_audits_total":
                found[sample.labels["result"]] += round(sample.value)
        return found


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
