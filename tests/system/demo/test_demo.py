"""The whole demo as people run it: one process, its own broker, a real subscriber, an orderly end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgenode.records import JsonObject
from tests.system.daemon import PATIENCE_S, REPOSITORY

pytest.importorskip("amqtt")
COMMAND = [sys.executable, "-m", "edgenode", "demo", "--http-port", "0"]


def start(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *options],
        cwd=REPOSITORY,
        env={**os.environ, "EDGENODE__MQTT__HOST": "nowhere.invalid"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_some_seconds_give_one_json_summary_of_what_really_happened() -> None:
    process = start("--seconds", "12", "--json")
    out, err = process.communicate(timeout=12 + 2 * PATIENCE_S)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["notices"] == []
    assert told["classifications"] > 20
    assert told["mqtt_messages_received"] > 5
    assert told["latency_ms"]["capture_to_subscriber"]["of"] > 0
    for name, share in told["accuracy"].items():
        assert share is not None, name
        assert share["of"] > 5, name
        assert share["right"] > 0.95, (name, share)
    for rule, count in told["events"].items():
        assert min(1, count["least"] // 2) <= count["started"] <= count["most"], (rule, count)


def test_ctrl_c_ends_it_with_a_summary_and_leaves_nothing(tmp_path: Path) -> None:
    process = start()
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first.startswith("live page http://127.0.0.1:"), first
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "messages received from the broker" in out


def test_a_demo_inside_a_process_leaves_no_thread_and_no_file(nothing_left_behind: None) -> None:
    """On a thread of its own: loading a model makes its thread take denormal numbers as zero, and the other tests'
    thread should not."""
    from edgenode.demo.run import DemoOptions, run_demo

    out = io.StringIO()
    told: list[JsonObject] = []
    options = DemoOptions(seconds=3.0, http_port=0)
    thread = threading.Thread(target=lambda: told.append(run_demo(options, out)))
    thread.start()
    thread.join(2 * PATIENCE_S)
    assert told[0]["classifications"] > 0
    assert told[0]["mqtt_messages_received"] > 0
    assert "classifications" in out.getvalue()
