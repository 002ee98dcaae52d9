"""Half an hour of faults against one node, and whether anything grows: `python -m tests.faults.soak --minutes 30`.

A real node with cameras of five kinds and a real broker. Every ten seconds something happens to it, drawn by a
seed that is printed: a camera's server is killed, frozen, sends garbage; the broker stops or freezes; SIGHUP with the
same or with other settings; commands, good and bad. After each fault of a camera the time is taken from its repair
until the node classifies its frames again. Memory, threads and file descriptors of the node are read every two seconds.

Writes `soak.json` and `soak.png` into `--out`, prints a summary, and ends with 1 where the node died, an event is
missing, a camera did not come back, or memory, threads or descriptors grew.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import psutil

from tests.clips import jpeg
from tests.faults.event_counter import EventCounter
from tests.faults.soak_record import Happening, Record, Sample, draw, judge
from tests.servers.http_camera import Behaviour, HttpCamera
from tests.servers.mosquitto import MosquittoBroker
from tests.servers.rtsp_server import RtspServer
from tests.system.daemon import Daemon
from tests.system.listener import Listener
from tests.system.plant import ROOT, Plant, blinking_clip, moving

EVERY_S = 10.0


SAMPLE_S = 2.0


BACK_S = 30.0
"""A camera that is not back after this long counts as lost."""


class Soak:
    """The plant under test, and what may happen to it."""

    def __init__(self, folder: Path, seed: int, stack: ExitStack) -> None:
        self.rng = random.Random(seed)
        self.broker = MosquittoBroker(
            folder / "broker",
            ["autosave_interval 1", "autosave_on_changes true", "max_queued_messages 0"],
        )
        self.broker.start()
        stack.callback(self.broker.kill)
        self.plant = Plant(folder, self.broker.port)
        film = blinking_clip(folder / "film.mp4", [("dark", 2.0), ("bright", 2.0)])
        self.rtsp = RtspServer(film, "--loop").start()
        stack.callback(self.rtsp.kill)
        pictures = [jpeg(moving(20, number)) for number in range(50)]
        self.good = pictures + [jpeg(moving(235, number)) for number in range(50)]
        self.web = stack.enter_context(HttpCamera(Behaviour(list(self.good), fps=20.0)))
        (folder / "pictures").mkdir()
        plant = self.plant
        plant.camera("rtsp", self.rtsp.url, fps=5, read_timeout="2s", open_timeout="2s")
        plant.camera("mjpeg", self.web.url("stream"), fps=5, read_timeout="2s", open_timeout="2s")
        plant.camera("still", self.web.url("still"), fps=2, read_timeout="2s", open_timeout="2s")
        plant.camera("film", "film.mp4", loop=True, fps=5)
        plant.camera("drawn", "synthetic:line", fps=5, gate="motion")
        for camera in ("rtsp", "mjpeg", "film"):
            plant.rule(f"lit_{camera}", f'{camera}.frame == "bright"', snapshot=True)
        self.node = stack.enter_context(plant.node())
        self.listener = stack.enter_context(Listener(self.broker.port, ROOT))
        self.events = stack.enter_context(EventCounter(self.broker.port, ROOT))
        self.pause = threading.Event()
        self.fps = 5

    def faults(self) -> list[Callable[[], str | None]]:
        """Each does one thing, undoes it, and returns the camera that must come back, if any."""
        return [
            self.kill_rtsp,
            self.freeze_rtsp,
            self.drop_http,
            self.stall_http,
            self.garbage_http,
            self.refuse_http,
            self.stop_broker,
            self.kill_broker,
            self.freeze_broker,
            self.reload_same,
            self.reload_other,
            self.snapshots,
            self.switch_off_and_on,
            self.bad_commands,
        ]

    def kill_rtsp(self) -> str:
        self.rtsp.kill()
        self.pause.wait(self.rng.uniform(0.5, 5.0))
        self.rtsp.start()
        return "rtsp"

    def freeze_rtsp(self) -> str:
        self.rtsp.freeze()
        self.pause.wait(self.rng.uniform(0.5, 5.0))
        self.rtsp.thaw()
        return "rtsp"

    def drop_http(self) -> str:
        self.web.drop_connections()
        return "mjpeg"

    def stall_http(self) -> str:
        self.web.behaviour.stall.set()
        self.pause.wait(self.rng.uniform(0.5, 5.0))
        self.web.behaviour.stall.clear()
        return "mjpeg"

    def garbage_http(self) -> str:
        self.web.behaviour.pictures[:] = [self.rng.randbytes(3000), self.good[0][: self.rng.randint(2, 900)]]
        self.pause.wait(self.rng.uniform(0.5, 4.0))
        self.web.behaviour.pictures[:] = self.good
        return "mjpeg"

    def refuse_http(self) -> str:
        self.web.behaviour.status = self.rng.choice([404, 500, 503])
        self.web.drop_connections()
        self.pause.wait(self.rng.uniform(0.5, 4.0))
        self.web.behaviour.status = 200
        return "still"

    def stop_broker(self) -> None:
        self.broker.stop()
        self.pause.wait(self.rng.uniform(0.5, 5.0))
        self.broker.start()

    def kill_broker(self) -> None:
        # at once after a kill Mosquitto may have lost what it had acknowledged: wait for its saved state
        self.pause.wait(1.5)
        self.broker.kill()
        self.broker.start()

    def freeze_broker(self) -> None:
        self.broker.freeze()
        self.pause.wait(self.rng.uniform(0.5, 5.0))
        self.broker.thaw()

    def reload_same(self) -> None:
        self.node.signal(signal.SIGHUP)

    def reload_other(self) -> str:
        self.fps = 8 if self.fps == 5 else 5
        for camera in self.plant.cameras:
            if camera["name"] in ("rtsp", "film"):
                camera["fps"] = self.fps
        self.plant.write()
        self.node.signal(signal.SIGHUP)
        self.pause.wait(1.0)
        return "film"

    def snapshots(self) -> None:
        for camera in ("rtsp", "mjpeg", "drawn", "nobody"):
            self.listener.command("snapshot", camera=camera, draw=True)

    def switch_off_and_on(self) -> str:
        camera = self.rng.choice(["rtsp", "mjpeg", "still", "film", "drawn"])
        self.listener.command("camera_disable", camera=camera)
        self.pause.wait(self.rng.uniform(0.2, 3.0))
        self.listener.command("camera_enable", camera=camera)
        return camera

    def bad_commands(self) -> None:
        for _ in range(20):
            verb = self.rng.choice(["snapshot", "explain", "nothing", "reload", "rule_disable"])
            if verb == "reload":
                verb = "reload_"
            payload = self.rng.choice([b"", b"{", self.rng.randbytes(200), b'{"args": 7}', b"[1]" * 3000])
            self.listener.publish(f"commands/{verb}", payload)

    def wait_back(self, camera: str) -> float | None:
        """Seconds until frames of `camera` are classified again; None where that takes longer than `BACK_S`."""
        began_s = time.monotonic()
        before = self.offered(camera)
        while (passed_s := time.monotonic() - began_s) < BACK_S:
            if self.offered(camera) > before:
                return round(passed_s, 2)
            self.pause.wait(0.1)
        return None

    def offered(self, camera: str) -> float:
        return self.node.metric("edgenode_samples_offered_total", camera=camera)


def watch(node: Daemon, record: Record, began_s: float, over: threading.Event) -> None:
    process = psutil.Process(node.process.pid)
    while not over.wait(SAMPLE_S):
        try:
            rss = process.memory_info().rss / 2**20
            record.samples.append(
                Sample(
                    round(time.monotonic() - began_s, 1),
                    round(rss, 2),
                    process.num_threads(),
                    process.num_fds(),
                )
            )
        except psutil.Error:
            return


def run(soak: Soak, record: Record, minutes: float) -> None:
    node = soak.node.wait_until_ready()
    began_s = time.monotonic()
    over = threading.Event()
    watcher = threading.Thread(target=watch, args=(node, record, began_s, over), name="watch")
    watcher.start()
    faults = soak.faults()
    next_s = began_s + EVERY_S
    try:
        while time.monotonic() - began_s < minutes * 60.0 and node.process.poll() is None:
            soak.pause.wait(max(0.0, next_s - time.monotonic()))
            next_s = max(next_s + EVERY_S, time.monotonic())
            fault = soak.rng.choice(faults)
            happening = Happening(round(time.monotonic() - began_s, 1), fault.__name__)
            record.happenings.append(happening)
            camera = fault()
            if camera is not None:
                happening.back_after_s = soak.wait_back(camera)
                if happening.back_after_s is None:
                    record.problems.append(f"{camera} was not back {BACK_S:g} s after {fault.__name__}")
    finally:
        over.set()
        watcher.join()
    finish(soak, record)


def finish(soak: Soak, record: Record) -> None:
    """The node ends well, and every event that it numbered has come."""
    node = soak.node
    if node.process.poll() is not None:
        record.problems.append(f"the node ended with {node.process.poll()}")
        return
    deadline_s = time.monotonic() + BACK_S
    while node.metric("edgenode_outbox_messages") > 0 and time.monotonic() < deadline_s:
        soak.pause.wait(0.2)
    if (code := node.stop()) != 0:
        record.problems.append(f"the node's exit code was {code}")
    soak.pause.wait(1.0)
    missing = soak.events.missing()
    if missing:
        record.problems.append(f"{len(missing)} numbers of events never came: {missing[:5]}")
    record.events, record.messages = soak.events.distinct, soak.events.messages
    if record.events == 0:
        record.problems.append("no event came at all")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("out/soak"))
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = Record(seed)
    with tempfile.TemporaryDirectory(prefix="soak") as folder, ExitStack() as stack:
        soak = Soak(Path(folder), seed, stack)
        try:
            run(soak, record, arguments.minutes)
        finally:
            (arguments.out / "node.log").write_text(soak.node.text())
    fits = judge(record)
    backs = sorted(each.back_after_s for each in record.happenings if each.back_after_s is not None)
    summary = {
        "minutes": arguments.minutes,
        "happenings": len(record.happenings),
        "events": record.events,
        "repeated": record.messages - record.events,
        "cameras_back": {
            "count": len(backs),
            "median_s": backs[len(backs) // 2] if backs else None,
            "longest_s": backs[-1] if backs else None,
        },
        "growth_an_hour": {name: asdict(fit) for name, fit in fits.items()},
        "problems": record.problems,
    }
    (arguments.out / "soak.json").write_text(json.dumps({"summary": summary, **asdict(record)}, indent=1))
    draw(record, arguments.out / "soak.png")
    print(json.dumps(summary, indent=1))
    return 1 if record.problems else 0


if __name__ == "__main__":
    sys.exit(main())
