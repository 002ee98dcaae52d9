"""What the node's cost is compared with, each a process of its own: `python -m edgenode.bench.rivals`.

`plain` is the loop anyone would write, `tuned` the same by an expert, `decode` and `onnxruntime` the limits,
`keyframes` the decoding of key frames alone; `none`, `motion` and `packet` the whole node with that gate, with `-fast`
and `pixels = "fast"`. All but the limits publish, where there is a broker.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgenode.bench.joules import Drawn, Joules
from edgenode.bench.process import rss_bytes, thread_seconds
from edgenode.errors import EdgeNodeError

GATES = ("none", "motion", "packet", "none-fast", "packet-fast")
LIMITS = ("decode", "keyframes", "onnxruntime")
KINDS = ("plain", "tuned", *LIMITS, *GATES)


@dataclass(frozen=True, slots=True)
class Task:
    """The same for every rival: cameras that play `clips` in real time, `fps` frames a second classified."""

    clips: tuple[str, ...]
    """Paths or addresses; camera n plays number n of them, and begins anew with the first."""
    model: str
    cameras: int
    fps: float
    """0 classifies every frame."""
    warm_up_s: float
    seconds: float
    broker: tuple[str, int] | None = None
    watts: tuple[float, float] | None = None
    """Idle, and of one busy core: for machines without a meter."""

    def clip(self, number: int) -> str:
        return self.clips[number % len(self.clips)]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one rival used in `wall_s` seconds. Nothing is known of latencies where they are None."""

    kind: str
    cameras: int
    cpu_s: float
    wall_s: float
    images: int
    rss_bytes: int
    p50_s: float | None = None
    """Capture to decision; a recalled frame counts from its own capture."""
    p99_s: float | None = None
    expected: int = 0
    """Images that were due. A loop on a loaded machine falls behind: its CPU-seconds are then of less work."""
    offered: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    fairness: float | None = None
    """Fewest over most images of a camera."""
    audits: Mapping[str, int] = field(default_factory=dict)
    """Beginnings of motion that packets told, or did not."""
    decoded: int = 0
    packets: int = 0
    cpu_by_thread: Mapping[str, float] = field(default_factory=dict)
    """Of the node: `cameras`, `infer`, `decide`, and each other thread by its name."""
    joules: float | None = None
    """This process's share of what the meter counted; None without one."""
    energy_source: str = ""
    """`rapl`, `hwmon`, or `model`: worked out from CPU time."""


def with_joules(found: Cost, drawn: Drawn | None) -> Cost:
    """`found` and what it drew."""
    return found if drawn is None else replace(found, joules=drawn.joules, energy_source=drawn.source)


def cost(kind: str, task: Task) -> Cost:
    """Run one rival as a process and wait for it. Raises EdgeNodeError."""
    command = [sys.executable, "-m", __name__, kind, json.dumps(asdict(task))]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise EdgeNodeError(f"the {kind} loop failed: {done.stderr.strip().splitlines()[-1:]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _loops(kind: str, task: Task) -> Cost:
    from edgenode.capture.plain_video import PlainVideo, shrink
    from edgenode.delivery.plain_publisher import PlainPublisher
    from edgenode.inference.plain_session import PlainSession

    tuned = kind == "tuned"
    session = PlainSession(Path(task.model), tuned)
    publisher = PlainPublisher(*task.broker) if task.broker is not None else None
    stop = threading.Event()
    counts = [0] * task.cameras

    def camera(number: int) -> None:
        video = PlainVideo(task.clip(number), threads=1 if tuned else None)
        every = max(1, round(video.fps / task.fps)) if task.fps > 0.0 else 1
        begun_s, index = time.monotonic(), 0
        while not stop.wait(max(0.0, begun_s + index / video.fps - time.monotonic())):
            due = index % every == 0
            index += 1
            if tuned and not due:
                video.skip()
            elif (picture := video.read()) is not None and due:
                scores = session.run(shrink(picture, *session.size))
                counts[number] += 1
                if publisher is not None:
                    payload = json.dumps({"label": int(scores.argmax()), "score": float(scores.max())})
                    publisher.publish(f"bench/{kind}/{number}", payload)

    threads = [threading.Thread(target=camera, args=(number,)) for number in range(task.cameras)]
    for thread in threads:
        thread.start()
    stop.wait(task.warm_up_s)
    meter = Joules(task.watts)
    begun_s, cpu_s, before = time.monotonic(), time.process_time(), sum(counts)
    by_thread = thread_seconds()
    stop.wait(task.seconds)
    wall_s, cpu_s, images = time.monotonic() - begun_s, time.process_time() - cpu_s, sum(counts) - before
    used = {name: seconds - by_thread.get(name, 0.0) for name, seconds in thread_seconds().items()}
    rss, drawn = rss_bytes(), meter.drawn(cpu_s)
    stop.set()
    for thread in threads:
        thread.join()
    if publisher is not None:
        publisher.close()
    fps = task.fps if task.fps > 0.0 else PlainVideo(task.clip(0)).fps
    expected = round(task.cameras * fps * wall_s)
    found = Cost(kind, task.cameras, cpu_s, wall_s, images, rss, expected=expected, cpu_by_thread=used)
    return with_joules(found, drawn)


def _decode(kind: str, task: Task) -> Cost:
    """Every packet of as much media time as the others play, one camera after the other, nothing else."""
    from edgenode.capture.opening import open_source
    from edgenode.capture.source import SourceOptions
    from edgenode.clock import SystemClock

    options = SourceOptions(loop=True, keyframes_only=kind == "keyframes")
    meter = Joules(task.watts)
    begun_s, cpu_s, frames = time.monotonic(), time.process_time(), 0
    for number in range(task.cameras):
        source = open_source(task.clip(number), options, SystemClock())
        while (source.read().media_s or 0.0) < task.seconds:
            frames += 1
        source.close()
    spent_s, wall_s = time.process_time() - cpu_s, time.monotonic() - begun_s
    found = Cost(kind, task.cameras, spent_s, wall_s, 0, rss_bytes(), decoded=frames)
    return with_joules(found, meter.drawn(spent_s))


def _onnxruntime(task: Task) -> Cost:
    """As many images as the others classify, in batches of eight."""
    import numpy as np

    from edgenode.capture.plain_video import PlainVideo
    from edgenode.inference.card import golden_input
    from edgenode.inference.classifier import Classifier, ClassifierOptions

    fps = task.fps if task.fps > 0.0 else PlainVideo(task.clip(0)).fps
    with Classifier.load(Path(task.model), ClassifierOptions()) as classifier:
        spec = classifier.card.input
        batch = np.ascontiguousarray(np.resize(golden_input(spec, 2, 0), (8, *spec.shape)))
        images = round(task.cameras * fps * task.seconds)
        meter = Joules(task.watts)
        begun_s, cpu_s = time.monotonic(), time.process_time()
        for _ in range(max(1, images // 8)):
            classifier.classify(batch)
        spent_s, wall_s = time.process_time() - cpu_s, time.monotonic() - begun_s
        drawn = meter.drawn(spent_s)
    return with_joules(Cost("onnxruntime", task.cameras, spent_s, wall_s, images, rss_bytes()), drawn)


def _main(kind: str, text: str) -> None:
    fields: dict[str, Any] = json.loads(text)
    for name in ("broker", "watts"):  # JSON knows no tuples
        fields[name] = tuple(fields[name]) if fields[name] is not None else None
    task = Task(**fields)
    if kind in GATES:
        from edgenode.bench.node_cost import node_cost

        found = node_cost(kind, task)
    elif kind in ("decode", "keyframes"):
        found = _decode(kind, task)
    elif kind == "onnxruntime":
        found = _onnxruntime(task)
    else:
        found = _loops(kind, task)
    sys.stdout.write("\n" + json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
