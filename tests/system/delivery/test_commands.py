"""Commands over a real broker: one answer each, and no harm from any abuse."""

from __future__ import annotations

import json
import random
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edgenode.delivery.commands import CommandError
from edgenode.errors import OutboxError
from edgenode.records import JsonObject
from tests.servers.mosquitto import MosquittoBroker
from tests.system.delivery.stage import Heard, Listener, Tally, end, event, publisher, wait_for

ROOT = "edgenode/v1/gateway-7"


def test_one_request_gets_one_answer(mosquitto_broker: MosquittoBroker, tmp_path: Path) -> None:
    done: list[JsonObject] = []

    def echo(args: JsonObject) -> JsonObject:
        done.append(args)
        return {"echo": args}

    def refuse(args: JsonObject) -> JsonObject:
        raise CommandError("camera_offline", "camera line_1 is offline")

    def busy(args: JsonObject) -> JsonObject:
        raise OutboxError("later")

    def broken(args: JsonObject) -> JsonObject:
        raise ZeroDivisionError("secret detail")

    tally = Tally()
    verbs = {"explain": echo, "snapshot": refuse, "reload": busy, "replay_events": broken}
    node = publisher(mosquitto_broker.port, tmp_path, tally, verbs)
    listener = Listener(mosquitto_broker.port, "#")
    node.start()

    def ask(verb: str, body: object, **properties: object) -> Heard:
        known = len(listener.heard)
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        listener.request(f"{ROOT}/commands/{verb}", payload, **properties)
        answers = lambda: [h for h in listener.heard[known:] if "/replies/" in h.topic or h.topic == "cli/42"]  # noqa: E731
        return wait_for(answers, f"an answer to {verb}")[0]

    try:
        wait_for(lambda: node.status().connected, "the connection")
        answer = ask("explain", {"transaction": "1", "args": {"camera": "line_1"}})
        assert answer.topic == f"{ROOT}/replies/explain"
        assert answer.json == {"status": "ok", "transaction": "1", "data": {"echo": {"camera": "line_1"}}}
        answer = ask("explain", {"args": {}}, ResponseTopic="cli/42", CorrelationData=b"\x00\xff")
        assert answer.topic == "cli/42"
        assert answer.properties.CorrelationData == b"\x00\xff"
        codes = {}
        codes["snapshot"] = ask("snapshot", {"transaction": "2"}).json["error"]
        codes["reload"] = ask("reload", b"").json["error"]
        codes["replay_events"] = ask("replay_events", {"transaction": "3"}).json["error"]
        codes["nonsense"] = ask("nonsense", {"transaction": "4"}).json["error"]
        late = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
        codes["late"] = ask("explain", {"transaction": "5", "expires_at": late}).json["error"]
        codes["no json"] = ask("explain", b"{not json").json["error"]
        codes["list"] = ask("explain", b"[1]").json["error"]
        codes["large"] = ask("explain", b'{"transaction": "6", "args": {"x": "' + b"y" * 5000 + b'"}}').json[
            "error"
        ]
        assert {name: error["code"] for name, error in codes.items()} == {
            "snapshot": "camera_offline",
            "reload": "retry",
            "replay_events": "internal",
            "nonsense": "unknown_verb",
            "late": "expired",
            "no json": "invalid",
            "list": "invalid",
            "large": "too_large",
        }
        assert "secret" not in json.dumps(codes)
        listener.request(f"{ROOT}/commands/explain", b'{"transaction": "1"}')
        listener.request(f"{ROOT}/commands/explain", b"{}", ResponseTopic=f"{ROOT}/commands/explain")
        listener.request(f"{ROOT}/commands/explain", b"{}", ResponseTopic=f"{ROOT}/state")
        ask("explain", {"transaction": "last"})
        assert len(done) == 3
        assert node.status().faults == 0
        assert not [
            h for h in listener.heard if h.topic == f"{ROOT}/commands/explain" and b"status" in h.payload
        ]
    finally:
        end(node)
        listener.close()


def test_a_retained_request_is_never_done(mosquitto_broker: MosquittoBroker, tmp_path: Path) -> None:
    done: list[JsonObject] = []
    listener = Listener(mosquitto_broker.port, f"{ROOT}/#")
    listener.request(f"{ROOT}/commands/reload", b'{"transaction": "0"}', retain=True)
    tally = Tally()
    node = publisher(mosquitto_broker.port, tmp_path, tally, {"reload": lambda args: done.append(args) or {}})
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    listener.request(f"{ROOT}/commands/reload", b'{"transaction": "1"}', retain=True)
    wait_for(lambda: node.status().unanswered_commands == 1, "it was seen and dropped")
    wait_for(lambda: tally.counts["dropped command"] == 1, "it was counted")
    listener.request(f"{ROOT}/commands/reload", b'{"transaction": "2"}')
    wait_for(lambda: listener.on("/replies/reload"), "a fresh one is done")
    assert len(done) == 1
    end(node)
    listener.close()


def test_abuse_changes_nothing(mosquitto_broker: MosquittoBroker, tmp_path: Path) -> None:
    """Thousands of random requests: the node lives, does nothing, and delivers its events all the while."""
    done: list[JsonObject] = []
    node = publisher(
        mosquitto_broker.port,
        tmp_path,
        Tally(),
        {"reload": lambda args: done.append(args) or {"n": len(done)}},
    )
    listener = Listener(mosquitto_broker.port, f"{ROOT}/#")
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    rng = random.Random(7)
    count = 2000
    verbs = ["nonsense", "reload/../x", "x" * 200, "état", "reload "]
    for number in range(count):
        payload = rng.choice([rng.randbytes(rng.randrange(200)), b"[" * 3000, b'{"args": 1}', b"x" * 20_000])
        listener.client.publish(f"{ROOT}/commands/{rng.choice(verbs)}", payload, qos=1)
        if number % 100 == 0:
            node.publish_event(event(number), None)
    try:
        wait_for(lambda: len(listener.events()) == count // 100, "events arrive all the same")
        wait_for(lambda: node.status().unanswered_commands > 500, "most got no answer")
        assert not done
        assert node.status().faults == 0
        assert node.status().connected
    finally:
        end(node)
        listener.close()


def test_a_slow_command_delays_no_event(mosquitto_broker: MosquittoBroker, tmp_path: Path) -> None:
    release = threading.Event()
    verbs = {"model_install": lambda args: {"waited": release.wait(30.0)}}
    node = publisher(mosquitto_broker.port, tmp_path, Tally(), verbs)
    listener = Listener(mosquitto_broker.port, f"{ROOT}/#")
    node.start()
    try:
        wait_for(lambda: node.status().connected, "the connection")
        for number in range(20):
            listener.request(f"{ROOT}/commands/model_install", b'{"transaction": "%d"}' % number)
        node.publish_event(event(1), None)
        wait_for(lambda: len(listener.events()) == 1, "the event passes")
        busy = wait_for(lambda: listener.on("/replies/model_install"), "those beyond the queue hear so")
        assert busy[0].json["error"]["code"] == "busy"
        release.set()
        wait_for(lambda: len(listener.on("/replies/model_install")) == 20, "everyone gets an answer")
        assert len({h.json["transaction"] for h in listener.on("/replies/model_install")}) == 20
    finally:
        release.set()
        end(node)
        listener.close()


def test_packets_leave_at_once(mosquitto_broker: MosquittoBroker, tmp_path: Path) -> None:
    """Without TCP_NODELAY an answer waits 40 ms for an acknowledgement."""
    node = publisher(mosquitto_broker.port, tmp_path, Tally())
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    client = node._courier._parts.link._client
    assert client is not None
    assert client.socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    end(node)
