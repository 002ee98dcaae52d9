"""The example flow in a real Node-RED, against a real broker and a real node. `make test-node-red`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.servers.mosquitto import free_port
from tests.system.daemon import PATIENCE_S, REPOSITORY, eventually
from tests.system.plant import NODE, Plant, StartNode

PROGRAM = os.environ.get("EDGENODE_NODE_RED") or shutil.which("node-red")


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason="node-red is not installed: make test-node-red")
def test_node_red_receives_states_and_events_and_sends_a_command(
    plant: Plant, start: StartNode, tmp_path: Path
) -> None:
    assert PROGRAM is not None
    flow = json.loads((REPOSITORY / "deploy/node-red/flows.json").read_text())
    for node in flow:
        if node["type"] == "mqtt-broker":
            node["broker"], node["port"] = "127.0.0.1", str(plant.mqtt_port)
        if node["type"] == "debug":
            node["console"] = True
    text = json.dumps(flow).replace("gateway-7", NODE)
    home = tmp_path / "node-red"
    home.mkdir()
    (home / "flows.json").write_text(text)
    port = free_port()
    (home / "settings.js").write_text(
        f'module.exports = {{ uiHost: "127.0.0.1", uiPort: {port}, flowFile: "flows.json", '
        "telemetry: { enabled: false, updateNotification: false } }\n"
    )
    plant.camera("line_1", plant.clip(("dark", 1.5), ("bright", 1.5)), loop=True)
    plant.rule("bright", 'line_1.frame == "bright"')
    log = tmp_path / "node-red.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [PROGRAM, "--userDir", str(home)], stdout=out, stderr=subprocess.STDOUT, cwd=home
        )
    try:
        said = log.read_text
        eventually(
            lambda: "Connected to broker" in said(errors="replace"), "Node-RED is connected", 3 * PATIENCE_S
        )
        start(plant).wait_until_ready()
        for name in ("event starts", "event ends", "state"):
            eventually(lambda name=name: f"[debug:{name}]" in said(errors="replace"), f"{name} arrives")
        assert re.search(r"rule: 'bright'", said(errors="replace"))
        ask = urllib.request.Request(
            f"http://127.0.0.1:{port}/inject/edgenode_button", data=b"{}", method="POST",
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(ask, timeout=60) as answer:
            assert answer.status == 200
        for name in ("reply", "picture (JPEG)"):
            eventually(lambda name=name: f"[debug:{name}]" in said(errors="replace"), f"{name} arrives")
        assert "status: 'ok'" in said(errors="replace")
        assert not re.search(r"\[error\]|\[warn\] .*(mqtt|flow)", said(errors="replace"))
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE_S)
