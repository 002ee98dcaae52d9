"""A way that swallows everything, code that raises, a process that stands still, a store that was damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgenode.clock import SystemClock
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_rows import OutboxLimits
from edgenode.records import CameraReport, CameraStatus, JsonObject
from tests.servers.mosquitto import MosquittoBroker
from tests.servers.mqtt_proxy import MqttProxy
from tests.system.delivery.stage import Listener, Tally, end, event, publisher, wait_for
from tests.system.delivery.test_faults import PUBLISHER, ROOT

EVENTS = "edgenode/v1/gateway-7/events/#"

SUSPECTED_S = 90.0
"""Connections that end at once, again and again, look like a second node of the same name, and pauses grow."""


def test_a_way_that_swallows_every_packet_is_noticed_and_nothing_is_lost(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    listener = Listener(mosquitto_broker.port, EVENTS)
    with MqttProxy(mosquitto_broker.port) as proxy:
        node = publisher(proxy.port, tmp_path / "state", Tally(), keepalive=5.0)
        node.start()
        wait_for(lambda: node.status().connected, "the connection")
        proxy.stall()
        for number in range(50):
            node.publish_event(event(number), None)
        wait_for(lambda: not node.status().connected, "the silence is noticed")
        proxy.flow()
        wait_for(lambda: {e["seq"] for e in listener.events()} == set(range(1, 51)), "all arrive")
        end(node)
    listener.close()


def test_an_exception_in_a_handler_costs_one_answer(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    def broken(args: JsonObject) -> JsonObject:
        raise ZeroDivisionError("not for strangers")

    tally = Tally()
    listener = Listener(mosquitto_broker.port, "edgenode/v1/gateway-7/#")
    node = publisher(mosquitto_broker.port, tmp_path, tally, {"explain": broken})
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    listener.request("edgenode/v1/gateway-7/commands/explain", b'{"transaction": "1"}')
    answer = wait_for(lambda: listener.on("/replies/explain"), "an answer")[0].json
    node.publish_event(event(1), None)
    wait_for(lambda: len(listener.events()) == 1, "events go on")
    assert answer["error"]["code"] == "internal"
    assert "strangers" not in answer["error"]["message"]
    assert tally.commands == [("explain", False)]
    assert tally.connections == 1
    end(node)
    listener.close()


def test_an_exception_on_the_network_thread_costs_a_connection_and_no_event(
    mosquitto_broker: MosquittoBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """paho lets it end its thread and goes on saying that it is connected."""
    tally = Tally()
    listener = Listener(mosquitto_broker.port, EVENTS)
    node = publisher(mosquitto_broker.port, tmp_path, tally)
    link = node._courier._parts.link
    sound = link._on_answer

    def broken(*arguments: Any) -> None:
        link._on_answer = sound  # type: ignore[method-assign]
        raise ZeroDivisionError("once")

    link._on_answer = broken  # type: ignore[method-assign]
    node.start()
    for number in range(100):
        node.publish_event(event(number), None)
    wait_for(lambda: {e["seq"] for e in listener.events()} == set(range(1, 101)), "all arrive")
    wait_for(lambda: node.status().connected and node.status().outbox_messages == 0, "all was taken")
    assert tally.connections == 2
    assert [r for r in caplog.records if "unexpected way" in r.message]
    end(node)
    listener.close()


@pytest.mark.parametrize(
    "poison", ["events/secret", pytest.param("cameras/line_1/state", marks=pytest.mark.slow)]
)
def test_a_message_that_costs_the_connection_does_not_hold_up_the_others(
    mosquitto_broker: MosquittoBroker, tmp_path: Path, poison: str
) -> None:
    """A broker that hangs up at one topic, and says nothing."""
    listener = Listener(mosquitto_broker.port, EVENTS)
    with MqttProxy(mosquitto_broker.port) as proxy:
        proxy.poison = poison.encode()
        node = publisher(proxy.port, tmp_path / "state", Tally())
        node.publish_camera(CameraReport("line_1", CameraStatus.ONLINE, "", SystemClock().now(), 5.0, 0))
        node.start()
        for number in range(20):
            node.publish_event(event(number, "secret" if number == 3 else "open_rule"), None)
        arrived = 19 if "secret" in poison else 20
        wait_for(
            lambda: len({e["id"] for e in listener.events()}) == arrived, "the others arrive", SUSPECTED_S
        )
        wait_for(lambda: node.status().outbox_messages == 20 - arrived, "the poison is kept", SUSPECTED_S)
        assert ("events/secret" in node.status().degraded_reason) == ("secret" in poison)
        assert proxy.connections <= 6
        end(node, 0.5)
    listener.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_forbidden_message_that_ends_the_connection_is_not_repeated_for_ever(
    mosquitto_factory: Callable[..., MosquittoBroker], tmp_path: Path, protocol: str
) -> None:
    """Mosquitto 2.0.11 with unlimited queues answers a forbidden message and then ends the connection."""
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite #\ntopic deny edgenode/v1/gateway-7/events/secret\n")
    broker = mosquitto_factory(f"acl_file {rules}", "max_queued_messages 0")
    broker.start()
    listener = Listener(broker.port, EVENTS)
    node = publisher(broker.port, tmp_path / "state", Tally(), protocol=protocol)
    node.start()
    for number in range(20):
        node.publish_event(event(number, "secret" if number == 3 else "open_rule"), None)
    wait_for(lambda: len({e["id"] for e in listener.events()}) == 19, "the others arrive", SUSPECTED_S)
    # MQTT 3.1.1 knows no refusal: what it forbids looks delivered
    wait_for(
        lambda: node.status().outbox_messages == (1 if protocol == "5" else 0),
        "the rest is settled",
        SUSPECTED_S,
    )
    end(node, 0.5)
    listener.close()


@pytest.mark.slow
def test_a_node_that_stands_still_is_said_to_be_offline(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    listener = Listener(mosquitto_broker.port, "edgenode/v1/gateway-7/state")
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(mosquitto_broker.port), str(tmp_path), "0"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: listener.on("/state"), "the node says that it is there")
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: listener.on("/state")[-1].json["state"] == "offline", "the broker says it is gone")
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: listener.on("/state")[-1].json["state"] == "online", "it is back")
    finally:
        process.kill()
        process.wait()
        listener.close()


def test_a_damaged_outbox_is_told_of_and_events_flow(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    folder = tmp_path / "state" / "outbox"
    tally = Tally()
    listener = Listener(mosquitto_broker.port, EVENTS)
    node = publisher(mosquitto_broker.port, tmp_path / "state", tally)
    node.start()
    node.publish_event(event(1), None)
    wait_for(lambda: node.status().delivered == 1, "the first is delivered")
    end(node)
    (folder / "outbox.db").write_bytes(os.urandom(20_000))
    node = publisher(mosquitto_broker.port, tmp_path / "state", tally)
    node.start()
    node.publish_event(event(2), None)
    notice = wait_for(lambda: listener.on("/_outbox"), "the damage is told")[0].json
    wait_for(lambda: len(listener.events()) == 2, "events flow")
    end(node)
    first, second = (each["seq"] for each in listener.events())
    assert [(each["reason"], each["first_seq"]) for each in notice["lost"]] == [("set_aside", None)]
    assert first < notice["lost"][0]["last_seq"] < second
    assert tally.evictions["set_aside"] == 1
    assert list(folder.glob("outbox.db.damaged-*"))
    Outbox(folder, OutboxLimits(), SystemClock()).close()
    listener.close()
