"""What faults of cameras cost, and how fast a node is up again: `python -m tests.bench.cameras [NAME …]`.

Prints one line for each figure. Real servers on loopback; the machine's load shows in all of them.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil

from edgenode.capture.opening import open_source
from edgenode.capture.regions import RegionCutter
from edgenode.capture.source import SourceOptions
from edgenode.clock import SystemClock
from edgenode.errors import SourceError
from edgenode.inference.sample_buffer import BufferLimits, SampleBuffer
from edgenode.settings import RegionSettings
from tests.capture_parts import Recorder, camera_spec, running
from tests.clips import number_of, numbered_clip
from tests.servers.black_hole import BlackHole
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.servers.scripted_rtsp import Script, ScriptedRtsp, access_units
from tests.system.daemon import REPOSITORY, Daemon
from tests.system.plant import Plant

FPS = 25.0
_pause = threading.Event()


def absent(folder: Path) -> None:
    """Row 21: sixteen cameras at a closed port: CPU and log lines."""
    plant = Plant(folder, free_port())
    for number in range(16):
        plant.camera(f"cam_{number}", f"rtsp://127.0.0.1:{free_port()}/cam")
    with plant.node() as node:
        node.wait_until_ready()
        _pause.wait(5.0)
        process = psutil.Process(node.process.pid)
        lines, cpu_s, began_s = len(node.text().splitlines()), sum(process.cpu_times()[:2]), time.monotonic()
        _pause.wait(60.0)
        passed_s = time.monotonic() - began_s
        used = (sum(process.cpu_times()[:2]) - cpu_s) / passed_s
        per = sum(node.metric("edgenode_cpu_seconds_total", thread=f"camera-cam_{n}") for n in range(16)) / (
            passed_s + 5.0
        )
        more = len(node.text().splitlines()) - lines
        node.stop()
    print(
        f"21 refused, 16 cameras: {used:.2%} of a core for the whole node, {per / 16:.3%} for each camera's "
        f"thread; {more} log lines in a minute"
    )


def silent(_: Path) -> None:
    """Row 22: how long opening a black hole takes."""
    with BlackHole() as hole:
        for limit_s in (1.0, 3.0):
            began_s = time.monotonic()
            try:
                open_source(
                    f"rtsp://127.0.0.1:{hole.port}/cam", SourceOptions(open_timeout_s=limit_s), SystemClock()
                )
            except SourceError:
                passed_s = time.monotonic() - began_s
                print(f"22 black hole, open timeout {limit_s:g} s: given up after {passed_s:.2f} s")


def slow_model(folder: Path) -> None:
    """Row 25: a consumer of 5 frames a second at a camera of 25, for a minute."""
    units = access_units(numbered_clip(folder / "c.mp4", 1000, gop=25))
    with ScriptedRtsp(Script(units, FPS)) as server:
        buffer = SampleBuffer("m", BufferLimits(), SystemClock())
        cutter = RegionCutter("r", "m", RegionSettings(name="r"), np.ascontiguousarray)
        recorder = Recorder()
        recorder.offer = buffer.offer  # type: ignore[method-assign]
        ages: list[tuple[float, float]] = []
        spec = camera_spec(server.url, folder, fps=0)
        with running(spec, recorder, cutters=(cutter,)):
            began_s = time.monotonic()
            while (now_s := time.monotonic()) - began_s < 60.0:
                batch = buffer.take(8, 1.0, 0.0)
                if batch is not None:
                    made_s = server.made_at_s[number_of(batch.samples[0].array)]
                    ages.append((now_s - began_s, time.monotonic() - made_s))
                _pause.wait(0.2)
    settled = np.array([age_s for at_s, age_s in ages if at_s > 5.0])
    slope = np.polyfit([at_s for at_s, _ in ages if at_s > 5.0], settled, 1)[0]
    counts = buffer.counts()
    print(
        f"25 model of 5 frames a second, camera of 25, 60 s: age median {np.median(settled) * 1e3:.0f} ms, p99 "
        f"{np.percentile(settled, 99) * 1e3:.0f} ms, slope {slope * 60e3:+.1f} ms a minute; offered "
        f"{counts.offered}, dropped { ({str(k): v for k, v in counts.dropped.items() if v}) }"
    )


def one_hangs(folder: Path) -> None:
    """Row 28: what three cameras get done while the fourth hangs."""
    units = access_units(numbered_clip(folder / "c.mp4", 250, gop=25))
    with ExitStack() as stack:
        servers = [stack.enter_context(ScriptedRtsp(Script(units, FPS))) for _ in range(4)]
        recorders = [Recorder() for _ in servers]
        for server, recorder in zip(servers, recorders, strict=True):
            stack.enter_context(running(camera_spec(server.url, folder, fps=10), recorder))
        for recorder in recorders:
            recorder.wait_samples(10)

        def rate() -> list[float]:
            before = [len(recorder.samples) for recorder in recorders]
            began_s = time.monotonic()
            _pause.wait(20.0)
            passed_s = time.monotonic() - began_s
            return [
                (len(recorder.samples) - had) / passed_s
                for recorder, had in zip(recorders, before, strict=True)
            ]

        usual = rate()
        servers[3].script.stop_after = 1
        hanging = rate()
    print(
        f"28 one of four hangs: the others {statistics.mean(usual[:3]):.2f} samples a second before, "
        f"{statistics.mean(hanging[:3]):.2f} meanwhile; itself {usual[3]:.2f} and {hanging[3]:.2f}"
    )


def end_while_blocked(folder: Path) -> None:
    """Row 31: SIGTERM while reads block: a pipe nobody writes to, a black hole, a stalled stream."""
    units = access_units(numbered_clip(folder / "c.mp4", 250, gop=25))
    plant = Plant(folder, free_port())
    os.mkfifo(folder / "pipe.mp4")
    with BlackHole() as hole, ScriptedRtsp(Script(units, FPS, stop_after=20)) as server:
        plant.camera("pipe", "pipe.mp4")
        plant.camera("hole", f"rtsp://127.0.0.1:{hole.port}/cam", open_timeout="30s")
        plant.camera("stalled", server.url, read_timeout="30s")
        times = []
        for _ in range(3):
            with plant.node() as node:
                while (
                    '"stalled"' not in node.get("/status.json")[1]
                    or node.metric("edgenode_frames_total") < 15
                ):
                    _pause.wait(0.1)
                _pause.wait(1.0)
                began_s = time.monotonic()
                code = node.stop()
                times.append((time.monotonic() - began_s, code))
    print("31 SIGTERM while reads block: " + ", ".join(f"{s:.2f} s (exit {code})" for s, code in times))


def start(folder: Path) -> None:
    """Row 39: from the start to READY, and from kill -9 to READY again, with four cameras and a broker."""
    broker = MosquittoBroker(folder / "broker")
    broker.start()
    plant = Plant(folder, broker.port)
    clip = plant.clip(("dark", 0.5), ("bright", 0.5))
    for number in range(4):
        plant.camera(f"cam_{number}", clip, loop=True, fps=5)
        plant.rule(f"lit_{number}", f'cam_{number}.frame == "bright"')
    ready, first, cpu = [], [], []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(60.0)
        try:
            for _ in range(6):
                began_s = time.monotonic()
                with Daemon(plant.write(), {"NOTIFY_SOCKET": str(folder / "notify")}) as node:
                    while not manager.recv(4096).startswith(b"READY=1"):
                        pass
                    ready.append(time.monotonic() - began_s)
                    cpu.append(sum(psutil.Process(node.process.pid).cpu_times()[:2]))
                    while node.metric("edgenode_inferences_total") == 0:
                        _pause.wait(0.02)
                    first.append(time.monotonic() - began_s)
                    _pause.wait(3.0)
                    node.signal(signal.SIGKILL)
                    node.process.wait()
        finally:
            broker.kill()
    again, seen = statistics.median(ready[1:]), statistics.median(first[1:])
    print(
        f"39 start to READY {ready[0]:.2f} s; after kill -9 with open events: median {again:.2f} s, at most "
        f"{max(ready[1:]):.2f} s (first classification after {seen:.2f} s); "
        f"{statistics.median(cpu):.2f} s of CPU up to READY; load average {os.getloadavg()[0]:.0f}"
    )


def watchdog(folder: Path) -> None:
    """Row 39: a hang of the main thread: when the stacks are in the log, with a watchdog of 4 s."""
    from tests.system.test_supervision import HUNG_MAIN

    plant = Plant(folder, free_port())
    plant.camera("line_1", plant.clip(("dark", 1.0)), loop=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(60.0)
        environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "4000000"}
        with plant.node(environment, HUNG_MAIN) as node:
            last_s = 0.0
            while not re.search(r"Timeout \(", node.text()):
                try:
                    manager.settimeout(0.05)
                    if b"WATCHDOG=1" in manager.recv(4096):
                        last_s = time.monotonic()
                except TimeoutError:
                    continue
            print(
                f"39 main thread hangs, watchdog 4 s: stacks {time.monotonic() - last_s:.2f} s after the last beat"
            )
            node.signal(signal.SIGABRT)
            node.process.wait()


def paced(_: Path) -> None:
    """Row 38: CPU time of an inference at ten a second, with one thread and with two (threads must not spin)."""
    from edgenode.inference.classifier import Classifier, ClassifierOptions

    model = REPOSITORY / "edgenode" / "demo" / "models" / "line_parts.onnx"
    used = {}
    for threads in (1, 2, 1, 2):
        classifier = Classifier.load(model, ClassifierOptions(threads=threads))
        spec = classifier.card.input
        batch = np.zeros((8, spec.height, spec.width, 3), np.uint8)
        classifier.classify(batch)
        began_s = time.process_time()
        for _round in range(100):
            classifier.classify(batch)
            _pause.wait(0.1)
        used[threads] = min(used.get(threads, 1e9), (time.process_time() - began_s) * 10.0)
        classifier.close()
    print(f"38 paced, CPU a run of 8 pictures: {used[1]:.2f} ms with one thread, {used[2]:.2f} ms with two")


def scrape(folder: Path) -> None:
    """Row 46: how long /metrics takes with sixteen cameras at work, and how many series each of them brings."""
    broker = MosquittoBroker(folder / "broker")
    broker.start()
    plant = Plant(folder, broker.port)
    film = plant.clip(("dark", 1.0), ("bright", 1.0))
    for number in range(16):
        plant.camera(f"cam_{number}", film, loop=True, fps=5)
        plant.rule(f"lit_{number}", f'cam_{number}.frame == "bright"')
    took_s: list[float] = []
    try:
        with plant.node() as node:
            node.wait_until_ready()
            _pause.wait(10.0)
            while len(took_s) < 200:
                began_s = time.monotonic()
                text = node.get("/metrics")[1]
                took_s.append(time.monotonic() - began_s)
                _pause.wait(0.05)
            node.stop()
    finally:
        broker.kill()
    series = [line for line in text.splitlines() if line and not line.startswith("#")]
    of_one = sum('camera="cam_7"' in line or 'rule="lit_7"' in line for line in series)
    median_s, p99_s = np.percentile(took_s, (50, 99))
    print(
        f"46 scrape with 16 cameras: median {median_s * 1e3:.1f} ms, p99 {p99_s * 1e3:.1f} ms, "
        f"{len(text) / 1024:.0f} KiB, {len(series)} series, {of_one} of each camera"
    )


FIGURES: dict[str, Callable[[Path], None]] = {
    "absent": absent,
    "silent": silent,
    "slow_model": slow_model,
    "one_hangs": one_hangs,
    "end_while_blocked": end_while_blocked,
    "start": start,
    "watchdog": watchdog,
    "paced": paced,
    "scrape": scrape,
}


def main() -> None:
    for name in sys.argv[1:] or FIGURES:
        with tempfile.TemporaryDirectory() as folder:
            FIGURES[name](Path(folder))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
