"""What the service manager sees of a node that fails, and what is left in its log."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.daemon import PATIENCE_S, eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode

STALLED_SOON = "import edgenode.pipeline, edgenode.node.node\nedgenode.pipeline.STALL_LIMIT_S = 2.0\n"

HUNG_SOON = (
    STALLED_SOON
    + "import edgenode.capture.camera\n"
    + "edgenode.capture.camera._hung_after_s = lambda spec: 0.5 if spec.settings.name == 'pipe' else 60.0\n"
)

DEAD_ENGINE = """
from edgenode.inference.engine import Engine
def step(self):
    raise SystemExit("sabotage")
Engine._step = step
"""
HUNG_ENGINE = (
    STALLED_SOON
    + """
import threading
from edgenode.inference.engine import Engine
def step(self):
    threading.Event().wait()
Engine._step = step
"""
)
HUNG_MAIN = """
import threading
from edgenode.node.node import Node
tick, ticks = Node.tick, []
def stuck(self):
    ticks.append(1)
    if len(ticks) == 20:
        threading.Event().wait()
    tick(self)
Node.tick = stuck
"""


class Manager:
    """The service manager's end of the notify socket."""

    def __init__(self, receiver: socket.socket, address: str) -> None:
        self._receiver = receiver
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}

    def told(self, first: str) -> str:
        """The next message that begins with `first`."""
        while True:
            text = self._receiver.recv(4096).decode()
            if text.startswith(first):
                return text

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long, once what waits has been read."""
        self._receiver.settimeout(seconds)
        try:
            for _ in range(50):
                self._receiver.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._receiver.settimeout(PATIENCE_S)
        return False


@contextmanager
def listening(path: Path) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(PATIENCE_S)
        yield Manager(receiver, str(path))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with listening(tmp_path / "notify") as each:
        yield each


@pytest.fixture
def looping(plant: Plant) -> Plant:
    plant.sections["node"]["drain"] = "200ms"
    plant.camera("line_1", plant.clip(("dark", 1.0)), loop=True, fps=5)
    return plant


def test_a_thread_that_dies_ends_the_node_with_70_and_every_stack_in_the_log(
    looping: Plant, start: StartNode
) -> None:
    node = start(looping, sabotage=DEAD_ENGINE)
    assert node.process.wait(PATIENCE_S) == 70
    log = node.text()
    assert "the thread infer-tiny has died" in log
    assert 'raise SystemExit("sabotage")' in log or "SystemExit: sabotage" in log
    assert "thread infer-tiny: it died of SystemExit" in log
    for thread in ("MainThread", "camera-line_1", "publisher", "mqtt", "http"):
        assert f"thread {thread}:\n" in log, thread


def test_a_thread_that_hangs_ends_the_node_with_70_although_it_never_returns(
    looping: Plant, start: StartNode, manager: Manager
) -> None:
    node = start(looping, manager.environment, HUNG_ENGINE)
    manager.told("READY=1")
    manager.told("STOPPING=1")
    assert manager.silent(0.2), "a failed node fed the watchdog"
    assert node.process.wait(PATIENCE_S) == 70
    log = node.text()
    assert "model tiny: no progress for" in log
    assert re.search(r"thread infer-tiny:\n(.*\n)*?.*threading\.Event\(\)\.wait|in step", log)
    assert "left behind: infer-tiny" in log


def test_a_camera_whose_every_thread_hangs_ends_the_node_after_three_were_replaced(
    looping: Plant, start: StartNode, manager: Manager
) -> None:
    os.mkfifo(looping.folder / "pipe.mp4")
    looping.camera("pipe", "pipe.mp4")
    node = start(looping, manager.environment, HUNG_SOON)
    manager.told("READY=1")
    manager.told("STOPPING=1")
    assert manager.silent(0.2), "a failed node fed the watchdog"
    assert node.process.wait(PATIENCE_S) == 70
    log = node.text()
    for count in (1, 2, 3):
        assert f"it is abandoned ({count} of at most 3 that may hang)" in log
    assert "camera pipe: no progress for" in log
    assert "what every thread was doing" in log


def test_a_main_thread_that_hangs_feeds_no_watchdog_and_its_stacks_are_in_the_log_before_it_bites(
    looping: Plant, start: StartNode, manager: Manager
) -> None:
    node = start(looping, manager.environment, HUNG_MAIN)
    manager.told("READY=1")
    manager.told("WATCHDOG=1")
    node.wait_for_text(r"Timeout \(0:00:00\.75")
    node.wait_for_text(r"in stuck")
    assert manager.silent(0.5)
    assert node.process.poll() is None
    node.signal(signal.SIGABRT)  # what systemd sends when WatchdogSec has passed
    assert node.process.wait(PATIENCE_S) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in node.text()


@pytest.mark.slow
def test_a_process_that_was_stopped_for_a_while_does_not_take_its_threads_for_hanging(
    looping: Plant, start: StartNode, listener: Listener
) -> None:
    """A machine that slept, a paused virtual machine, a debugger."""
    node = start(looping, sabotage=STALLED_SOON)
    listener.wait("cameras/line_1/regions/frame/classification")
    node.signal(signal.SIGSTOP)
    threading.Event().wait(7.0)  # longer than any limit of this node
    node.signal(signal.SIGCONT)
    before = node.metric("edgenode_inferences_total")
    eventually(lambda: node.metric("edgenode_inferences_total") > before + 5, "it goes on")
    assert "no progress" not in node.text()
    assert node.metric("edgenode_camera_threads_abandoned_total") == 0
    assert node.stop() == 0


def test_the_manager_is_told_what_the_node_s_state_is(
    looping: Plant, start: StartNode, manager: Manager, listener: Listener
) -> None:
    looping.camera("away", "rtsp://127.0.0.1:9/cam")
    node = start(looping, manager.environment)
    manager.told("READY=1")
    status = ""
    while "degraded" not in status:
        status = manager.told("STATUS=")
    assert "away offline" in status
    assert "2 cameras, 1 models, 0 rules" in status
    assert node.stop() == 0


def test_a_read_that_blocks_for_ever_does_not_hold_up_the_end(
    looping: Plant, start: StartNode, listener: Listener
) -> None:
    """A pipe without a writer: no timeout of FFmpeg's ends that."""
    os.mkfifo(looping.folder / "pipe.mp4")
    looping.camera("pipe", "pipe.mp4")
    node = start(looping)
    listener.wait("cameras/line_1/regions/frame/classification")
    eventually(lambda: 'thread="camera-pipe"' in node.get("/metrics")[1], "the thread that hangs")
    assert node.stop() == 0
    assert "left behind: camera-pipe" in node.text()
    assert "Fatal" not in node.text()


def test_a_camera_that_takes_long_to_open_makes_nothing_degraded(
    looping: Plant, start: StartNode, listener: Listener
) -> None:
    """Its pipe opens when somebody writes to it: 2 s after the start, long after half a second."""
    os.mkfifo(looping.folder / "slow.mp4")
    clip = (looping.folder / "clip.mp4").read_bytes()
    looping.camera("slow", "slow.mp4", open_timeout="20s", loop=False, fps=0)
    node = start(looping)
    listener.wait_last("cameras/line_1/state", lambda state: state["state"] == "online")
    eventually(lambda: len(listener.of("cameras/line_1/regions/frame/classification")) >= 2, "two seconds")
    assert node.get("/readyz")[0] == 503
    (looping.folder / "slow.mp4").write_bytes(clip)
    node.wait_until_ready()
    states = [each.json for each in listener.of("state") if each.payload]
    assert {state["state"] for state in states} == {"online"}, states
    assert not any(each.json["reason"] == "not opened yet" for each in listener.of("cameras/slow/state"))
    assert node.stop() == 0
