"""What the node's cost is compared with, each a process of its own: `python -m edgenode.bench.rivals`.

`plain` is the loop anyone would write, `tuned` the same by an expert, `decode` and `onnxruntime` the limits,
`none`, `motion` and `packet` the node with that gate. None of them publishes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from edgenode.bench.rig import Load, Rig, rss_bytes
from edgenode.errors import EdgeNodeError

GATES = ("none", "motion", "packet")
KINDS = ("plain", "tuned", "decode", "onnxruntime", *GATES)


@dataclass(frozen=True, slots=True)
class Task:
    """The same for every rival: cameras that play `clip` in real time, `fps` frames a second classified."""

    clip: str
    model: str
    cameras: int
    fps: float
    warm_up_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    kind: str
    cameras: int
    cpu_s: float
    wall_s: float
    images: int
    rss_bytes: int
    p50_s: float | None = None
    p99_s: float | None = None
    """Capture to decision; a recalled frame counts from its own capture."""


def cost(kind: str, task: Task) -> Cost:
    """Run one rival as a process and wait for it. Raises EdgeNodeError."""
    command = [sys.executable, "-m", __name__, kind, json.dumps(asdict(task))]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise EdgeNodeError(f"the {kind} loop failed: {done.stderr.strip().splitlines()[-1:]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _node(kind: str, task: Task) -> Cost:
    gate = cast("Literal['none', 'motion', 'packet']", kind)
    load = Load(Path(task.clip), Path(task.model), task.cameras, fps=task.fps, realtime=True, gate=gate)
    with tempfile.TemporaryDirectory() as state, Rig(load, Path(state)) as rig:
        rig.wait_until_classifying()
        threading.Event().wait(task.warm_up_s)
        rig.read()
        rig.latencies_s.clear()
        threading.Event().wait(task.seconds)
        reading = rig.read()
        ordered = sorted(rig.latencies_s)
    return Cost(
        kind,
        task.cameras,
        reading.cpu_s,
        reading.wall_s,
        reading.classified,
        reading.rss_bytes,
        ordered[len(ordered) // 2] if ordered else None,
        ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else None,
    )


def _loops(kind: str, task: Task) -> Cost:
    from edgenode.capture.plain_video import PlainVideo, shrink
    from edgenode.inference.plain_session import PlainSession

    tuned = kind == "tuned"
    session = PlainSession(Path(task.model), tuned)
    stop = threading.Event()
    counts = [0] * task.cameras

    def camera(number: int) -> None:
        video = PlainVideo(Path(task.clip), threads=1 if tuned else None)
        every = max(1, round(video.fps / task.fps))
        begun_s, index = time.monotonic(), 0
        while not stop.wait(max(0.0, begun_s + index / video.fps - time.monotonic())):
            due = index % every == 0
            index += 1
            if tuned and not due:
                video.skip()
            elif (picture := video.read()) is not None and due:
                session.run(shrink(picture, *session.size))
                counts[number] += 1

    threads = [threading.Thread(target=camera, args=(number,)) for number in range(task.cameras)]
    for thread in threads:
        thread.start()
    stop.wait(task.warm_up_s)
    begun_s, cpu_s, before = time.monotonic(), time.process_time(), sum(counts)
    stop.wait(task.seconds)
    wall_s, cpu_s, images = time.monotonic() - begun_s, time.process_time() - cpu_s, sum(counts) - before
    rss = rss_bytes()
    stop.set()
    for thread in threads:
        thread.join()
    return Cost(kind, task.cameras, cpu_s, wall_s, images, rss)


def _decode(task: Task) -> Cost:
    """Every packet of as much media time as the others play, one camera after the other, nothing else."""
    from edgenode.capture.opening import open_source
    from edgenode.capture.source import SourceOptions
    from edgenode.clock import SystemClock

    begun_s, cpu_s = time.monotonic(), time.process_time()
    for _ in range(task.cameras):
        source = open_source(task.clip, SourceOptions(loop=True), SystemClock())
        while (source.read().media_s or 0.0) < task.seconds:
            pass
        source.close()
    return Cost(
        "decode", task.cameras, time.process_time() - cpu_s, time.monotonic() - begun_s, 0, rss_bytes()
    )


def _onnxruntime(task: Task) -> Cost:
    """As many images as the others classify, in batches of eight."""
    import numpy as np

    from edgenode.inference.card import golden_input
    from edgenode.inference.classifier import Classifier, ClassifierOptions

    with Classifier.load(Path(task.model), ClassifierOptions()) as classifier:
        spec = classifier.card.input
        batch = np.ascontiguousarray(np.resize(golden_input(spec, 2, 0), (8, *spec.shape)))
        images = round(task.cameras * task.fps * task.seconds)
        begun_s, cpu_s = time.monotonic(), time.process_time()
        for _ in range(max(1, images // 8)):
            classifier.classify(batch)
        return Cost(
            "onnxruntime",
            task.cameras,
            time.process_time() - cpu_s,
            time.monotonic() - begun_s,
            images,
            rss_bytes(),
        )


def _main(kind: str, text: str) -> None:
    fields: dict[str, Any] = json.loads(text)
    task = Task(**fields)
    if kind in GATES:
        found = _node(kind, task)
    elif kind == "decode":
        found = _decode(task)
    elif kind == "onnxruntime":
        found = _onnxruntime(task)
    else:
        found = _loops(kind, task)
    sys.stdout.write(json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
