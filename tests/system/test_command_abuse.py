"""Ten thousand commands that nobody should send: nothing changes, nothing grows, and good ones are still answered."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.faults.mutation import damaged
from tests.system.daemon import PATIENCE_S, Daemon, eventually
from tests.system.listener import Listener
from tests.system.plant import ROOT, Plant, StartNode

VERBS = (
    "reload_", "snapshot", "explain", "replay_events", "rule_disable", "rule_enable", "camera_disable",
    "model_install", "model_rollback", "nothing", "+", "a/b", "SNAPSHOT", "..",
)  # fmt: skip
MOST_MB = 5.0


def hostile(rng: random.Random) -> tuple[str, bytes]:
    """A verb and a payload that must not have an effect; `line_1` and `lit` exist and are never named whole."""
    verb = rng.choice([verb for verb in VERBS if "+" not in verb])
    good = {"transaction": "t", "args": {"camera": "line_1x", "rule": "litt", "at": "2026-01-01T00:00:00Z"}}
    match rng.randrange(8):
        case 0:
            return verb, rng.randbytes(rng.randrange(400))
        case 1:
            return verb, damaged(rng, json.dumps(good).encode()).replace(b"line_1", b"x").replace(
                b"lit", b"y"
            )
        case 2:
            return verb, b"[" * rng.choice((10, 3000))
        case 3:
            return verb, json.dumps({"args": {"camera": "x" * rng.choice((5000, 100_000))}}).encode()
        case 4:
            return verb, json.dumps({"args": rng.choice([7, [], "x", None, {"camera": {"a": []}}])}).encode()
        case 5:
            return verb, b""
        case 6:
            return verb, json.dumps({"args": {}, "extra": rng.random(), "transaction": "x" * 3000}).encode()
        case _:
            return verb, json.dumps(good).encode()


class Stranger:
    """A client that sends as fast as the broker takes it."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.max_queued_messages_set(0)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(
        self, verb: str, payload: bytes, retain: bool = False, correlation: bytes | None = None, qos: int = 1
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if correlation is not None:
            properties.CorrelationData = correlation
        self._last = self._client.publish(f"{ROOT}/commands/{verb}", payload, qos, retain, properties)

    def close(self) -> None:
        self._last.wait_for_publish(PATIENCE_S)
        self._client.disconnect()
        self._client.loop_stop()


def lasting(listener: Listener) -> dict[str, Any]:
    """What the broker keeps of the node, without what moves by itself."""
    kept = {}
    for topic, payload in listener.retained().items():
        if topic.startswith(("commands/", "marker")) or not payload:
            continue
        value = json.loads(payload) if payload[:1] == b"{" else payload
        if isinstance(value, dict):
            value = {
                name: each for name, each in value.items() if name in ("state", "reason", "label", "sha256")
            }
        kept[topic] = value
    return kept


def answered(listener: Listener, verb: str, **arguments: Any) -> bool:
    """Asks, and says whether an earlier one was done."""
    listener.command(verb, **arguments)
    return any(each.json["status"] == "ok" for each in listener.of(f"replies/{verb}"))


@pytest.fixture
def running(plant: Plant, start: StartNode, listener: Listener) -> Daemon:
    """With a command of each dangerous kind kept by the broker from before the node's start."""
    plant.camera("line_1", plant.clip(("bright", 1.0)), loop=True, fps=5)
    plant.rule("lit", 'line_1.frame == "bright"')
    stranger = Stranger(plant.mqtt_port)
    for verb, name in (("camera_disable", "camera"), ("rule_disable", "rule")):
        target = "line_1" if name == "camera" else "lit"
        stranger.send(verb, json.dumps({"args": {name: target}}).encode(), retain=True)
    stranger.close()
    node = start(plant).wait_until_ready()
    listener.wait_events("lit", 1)
    listener.wait_last("cameras/line_1/state", lambda state: state["state"] == "online")
    return node


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_hostile_commands_change_nothing_and_good_ones_are_answered_after_them(
    plant: Plant, listener: Listener, running: Daemon, count: int
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    # done once, undone, and then sent again by somebody who listened
    assert listener.ask("camera_disable", camera="line_1")["status"] == "ok"
    replayed = [each for each in listener.everything() if each.topic.endswith("/commands/camera_disable")][-1]
    assert listener.ask("camera_enable", camera="line_1")["status"] == "ok"
    listener.wait_last("cameras/line_1/state", lambda state: state["state"] == "online")
    listener.wait_last("cameras/line_1/regions/frame/state", lambda state: state["label"] == "bright")
    eventually(lambda: listener.events("lit")[-1]["event_type"] == "start", "the event is open again")
    before, events = lasting(listener), len(listener.events("lit"))
    process = psutil.Process(running.process.pid)
    memory_mb = process.memory_info().rss / 2**20
    stranger = Stranger(plant.mqtt_port)
    for number in range(count):
        verb, payload = hostile(rng)
        stranger.send(verb, payload)
        if number % 50 == 0:
            stranger.send("camera_disable", replayed.payload, correlation=replayed.correlation)
    stranger.close()
    # beyond the rate limit requests get no answer at all: ask again
    pause = threading.Event()
    eventually(
        lambda: pause.wait(0.3) or answered(listener, "snapshot", camera="line_1"), "a good one is done"
    )
    grown_mb = process.memory_info().rss / 2**20 - memory_mb
    print(f"{count} commands: {grown_mb:+.1f} MB")
    after = lasting(listener)
    after.pop("cameras/line_1/snapshot", None)
    before.pop("cameras/line_1/snapshot", None)
    assert after == before
    assert len(listener.events("lit")) == events
    assert running.metric("edgenode_camera_up", camera="line_1") == 1
    assert "Traceback" not in running.text()
    assert grown_mb <= MOST_MB
    assert Path(f"/proc/{running.process.pid}").exists()
    assert running.stop() == 0
