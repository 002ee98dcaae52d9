"""What cannot work is one clear message and exit 78; what hangs ends the process; secrets stay secret."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgenode.clock import SystemClock
from edgenode.configuration.file import load
from edgenode.delivery.commands import CommandRequest
from edgenode.errors import EdgeNodeError
from edgenode.node import commands, threads
from edgenode.node.node import Node
from edgenode.records import JsonObject
from tests.clips import write_clip
from tests.models import DEFECTS, ENDLESS, make_model
from tests.system.daemon import PATIENCE_S, REPOSITORY, eventually
from tests.system.listener import Listener
from tests.system.plant import Plant, StartNode

REFUSED = sorted(DEFECTS)[0]


def spoil(plant: Plant, what: str) -> None:
    if what == "missing model":
        (plant.folder / "tiny.onnx").unlink()
    elif what == "refused model":
        make_model(plant.folder / "tiny.onnx", defect=REFUSED)
    elif what == "unknown key":
        plant.sections["http"]["listne"] = "x"
    elif what == "unknown label":
        plant.rule("lit", 'line_1.frame == "brigt"')


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing model", "models.tiny.file"),
        ("refused model", "models.tiny.file"),
        ("unknown key", "listen"),
        ("unknown label", "bright"),
    ],
)
def test_a_configuration_that_cannot_work_is_exit_78(
    tmp_path: Path, start: StartNode, what: str, said: str
) -> None:
    plant = Plant(tmp_path, 1)
    plant.camera("line_1", plant.clip(("dark", 0.2)))
    spoil(plant, what)
    node = start(plant)
    assert node.process.wait(PATIENCE_S) == 78
    assert said in node.text()
    assert "Traceback" not in node.text()
    assert len(node.text().splitlines()) == 1
    assert not (plant.folder / "state").exists(), "something was written before the proof"


def test_a_port_in_use_and_a_state_folder_in_use_are_exit_78(tmp_path: Path, start: StartNode) -> None:
    plant = Plant(tmp_path, 1)
    plant.camera("line_1", plant.clip(("dark", 1.0)), loop=True)
    first = start(plant).wait_until_ready()
    plant.config = tmp_path / "second.toml"
    second = start(plant)
    assert second.process.wait(PATIENCE_S) == 78
    assert f"in use by another node (process {first.process.pid})" in second.text()
    plant.config = tmp_path / "third.toml"
    plant.sections["node"]["state_dir"] = str(tmp_path / "other")
    third = start(plant)
    assert third.process.wait(PATIENCE_S) == 78
    assert f"http.listen: cannot listen on 127.0.0.1:{plant.http_port}" in third.text()
    assert "Traceback" not in second.text() + third.text()
    assert first.get("/healthz")[0] == 200
    assert first.stop() == 0


def test_a_model_that_never_answers_is_stopped_and_the_node_goes_on(
    plant: Plant, listener: Listener, start: StartNode
) -> None:
    make_model(plant.folder / "tiny.onnx", trips_when_bright=ENDLESS)
    plant.sections["inference"] = {"run_timeout": "1s"}
    white = np.full((48, 64, 3), 255, dtype=np.uint8)
    write_clip(plant.folder / "white.mp4", [white] * 10)
    plant.camera("bright", "white.mp4", loop=True, fps=5)
    plant.camera("dark", plant.clip(("dark", 0.5)), loop=True, fps=5)
    node = start(plant).wait_until_ready()
    eventually(
        lambda: node.metric("edgenode_samples_failed_total", camera="bright") >= 2, "runs were stopped"
    )
    seen = len(listener.of("cameras/dark/regions/frame/classification"))
    eventually(
        lambda: len(listener.of("cameras/dark/regions/frame/classification")) > seen, "the other goes on"
    )
    assert node.get("/healthz")[0] == 200
    assert node.stop() == 0


def test_a_thread_without_progress_fails_the_node(tmp_path: Path) -> None:
    plant = Plant(tmp_path, 1)
    plant.sections["http"]["listen"] = "127.0.0.1:0"
    loaded = load(plant.write(), {})
    node = Node(loaded.settings, loaded.base_dir)
    node.start()
    try:
        node.supervise(stopped_after(node, 3))
        node.health.watch("camera stuck", lambda: SystemClock().monotonic() - 60.0, 30.0)
        with pytest.raises(EdgeNodeError, match="camera stuck: no progress for 60 s"):
            node.supervise(threading.Event())
    finally:
        node.stop()


@pytest.mark.parametrize(("verb", "thread"), [("explain", "commands"), ("model_rollback", "slow-commands")])
def test_a_command_that_never_ends_fails_the_node(
    verb: str, thread: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other would be done any more, and nobody told."""
    asked, over = threading.Event(), threading.Event()

    def endless(node: Node, arguments: JsonObject) -> JsonObject:
        del node
        asked.set()
        over.wait(60.0)
        return arguments

    monkeypatch.setitem(commands._HANDLERS, verb, endless)
    monkeypatch.setattr(threads, "COMMAND_LIMIT_S", 1.0)
    monkeypatch.setattr(threads, "SLOW_COMMAND_MARGIN_S", 1.0)
    plant = Plant(tmp_path, 1)
    plant.sections["http"]["listen"] = "127.0.0.1:0"
    plant.sections["rollout"] = {"timeout": "100ms"}
    loaded = load(plant.write(), {})
    node = Node(loaded.settings, loaded.base_dir)
    node.start()
    try:
        node.supervise(stopped_after(node, 3))
        reply = node.publisher.topics.reply(verb)
        node.publisher._worker.offer(CommandRequest(verb, {}, None, reply, None, None))
        assert asked.wait(20.0)
        with pytest.raises(EdgeNodeError, match=f"{thread}: no progress for"):
            node.supervise(threading.Event())
    finally:
        over.set()
        node.stop()


def stopped_after(node: Node, ticks: int) -> threading.Event:
    stop = threading.Event()
    left = ticks
    tick = node.tick

    def counted() -> None:
        nonlocal left
        tick()
        left -= 1
        if left == 0:
            stop.set()

    node.tick = counted  # type: ignore[method-assign]
    return stop


def test_the_service_manager_is_told_everything(plant: Plant, listener: Listener, start: StartNode) -> None:
    plant.camera("line_1", plant.clip(("dark", 1.0)), loop=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = str(plant.folder / "notify")
        manager.bind(address)
        manager.settimeout(PATIENCE_S)
        node = start(plant, {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})

        def told(first: str) -> str:
            while True:
                text = manager.recv(4096).decode()
                if text.startswith(first):
                    return text

        assert "1 cameras" in told("READY=1")
        told("WATCHDOG=1")
        told("WATCHDOG=1")
        node.signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in told("RELOADING=1")
        told("READY=1")
        node.signal(signal.SIGTERM)
        told("STOPPING=1")
        assert node.process.wait(PATIENCE_S) == 0


def test_no_secret_appears_anywhere(plant: Plant, listener: Listener, start: StartNode) -> None:
    canaries = ["canary-broker-7f", "canary-camera-7f", "canary%2Dweb%2D7f", "canary-web-7f"]
    (plant.folder / "word").write_text(f"{canaries[0]}\n")
    plant.sections["mqtt"] |= {"username": "line-7", "password_file": "word"}
    plant.camera("rtsp", f"rtsp://viewer:{canaries[1]}@127.0.0.1:9/cam")
    plant.camera("web", f"http://viewer:{canaries[2]}@127.0.0.1:9/still")
    plant.camera("query", f"http://127.0.0.1:9/still?user=a&password={canaries[1]}")
    plant.sections["node"]["log_level"] = "debug"
    node = start(plant).wait_until_ready()
    for camera in ("rtsp", "web", "query"):
        listener.wait_last(
            f"cameras/{camera}/state", lambda each: each["state"] == "offline" and "9" in each["reason"]
        )
    pages = [node.get(path)[1] for path in ("/metrics", "/status.json", "/", "/readyz", "/healthz")]
    told = [each.payload.decode(errors="replace") for each in listener.everything()]
    arguments = Path(f"/proc/{node.process.pid}/cmdline").read_bytes().decode()
    assert node.stop() == 0
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    checked = subprocess.run(
        [sys.executable, "-m", "edgenode", "check", "--config", str(plant.config)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE_S,
    )
    assert checked.returncode == 0, checked.stderr
    for text in [node.text(), *pages, *told, arguments, checked.stdout + checked.stderr]:
        for canary in canaries:
            assert canary not in text, text
