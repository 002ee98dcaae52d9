"""How far the access list of `mosquitto/gateway.conf` lets each go: nodes, operators, read-only accounts."""

from __future__ import annotations

from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgenode.delivery.asking import ask
from edgenode.settings import MqttSettings
from tests.system.delivery.broker_stage import BASE, V5, V311, Stage
from tests.system.delivery.stage import PATIENCE_S, Tally, end, publisher, wait_for

# paho leaves the socket of a failed handshake to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("no_socket_left"),
]


def test_a_node_speaks_for_itself_only(stage: Stage) -> None:
    node, reader = stage.visitor("gateway-7", username="gateway-8"), stage.visitor("dashboard")
    reader.listen("edgenode/v1/#")
    for topic in ("state", "events/lit", "cameras/line_1/state"):
        assert node.publish(f"{BASE}/gateway-7/{topic}") == "Success"
    for topic in (
        f"{BASE}/gateway-8/state", f"{BASE}/gateway-8/events/lit", f"{BASE}/gateway-8/commands/reload",
        f"{BASE}/state", "edgenode/v2/gateway-7/state", "homeassistant/device/gateway-8/config",
        "homeassistant/status", "replies/gateway-8/1", "replies/1", "$SYS/broker/version", "anything",
    ):  # fmt: skip
        assert node.publish(topic) == "Not authorized", topic
    assert node.publish("homeassistant/device/gateway-7/config") != "Not authorized"
    assert node.publish("replies/gateway-7/1") != "Not authorized"
    old = stage.visitor("gateway-7", V311)
    old.publish(f"{BASE}/gateway-8/state", b"forged")  # acknowledged, and thrown away
    old.publish(f"{BASE}/gateway-7/last")
    reader.until(lambda: f"{BASE}/gateway-7/last" in reader.heard)
    assert {topic.split("/")[2] for topic in reader.heard} == {"gateway-7"}
    for each in (node, reader, old):
        each.close()


def test_a_node_hears_its_own_commands_and_nothing_of_others(stage: Stage) -> None:
    node, other, operator = (stage.visitor(who) for who in ("gateway-7", "gateway-8", "operator"))
    node.listen(
        "#", "edgenode/v1/#", "edgenode/v1/+/commands/+", "edgenode/v1/gateway-8/commands/+", "replies/#"
    )
    other.publish(f"{BASE}/gateway-8/events/lit", b"secret of 8")
    other.publish("replies/gateway-8/42", b"secret of 8")
    assert operator.publish(f"{BASE}/gateway-8/commands/reload") != "Not authorized"
    assert operator.publish(f"{BASE}/gateway-7/commands/reload") == "Success"
    node.until(lambda: f"{BASE}/gateway-7/commands/reload" in node.heard)
    assert not [topic for topic in node.heard if "gateway-8" in topic]
    for each in (node, other, operator):
        each.close()


@pytest.mark.parametrize("protocol", [V5, V311], ids=["5", "3.1.1"])
def test_a_read_only_account_can_do_nothing(stage: Stage, protocol: MQTTProtocolVersion) -> None:
    topics = [
        f"{BASE}/gateway-7/commands/reload", f"{BASE}/gateway-7/commands/snapshot", f"{BASE}/dashboard/commands/reload",
        f"{BASE}/gateway-7/state", f"{BASE}/gateway-7/events/lit", f"{BASE}/gateway-7/replies/explain",
        f"{BASE}/dashboard/state", f"{BASE}/dashboard", "replies/dashboard/1", "replies/gateway-7/1", "x",
        "$SYS/broker/x", "homeassistant/status", "homeassistant/device/dashboard/config",
        "homeassistant/device/gateway-7/config",
    ]  # fmt: skip
    reader, watcher = stage.visitor("dashboard", protocol), stage.visitor("operator")
    watcher.listen(f"{BASE}/#", "replies/#", "#")
    for topic in topics:
        for retain in (False, True):
            answer = reader.publish(topic, retain=retain)
            assert answer == "Not authorized" or protocol == V311, topic
    node = stage.visitor("gateway-7")
    node.publish(f"{BASE}/gateway-7/marker")
    watcher.until(lambda: f"{BASE}/gateway-7/marker" in watcher.heard)
    assert set(watcher.heard) == {f"{BASE}/gateway-7/marker"}
    for each in (reader, watcher, node):
        each.close()


def test_an_operator_commands_and_forges_nothing(stage: Stage) -> None:
    operator, node = stage.visitor("operator"), stage.visitor("gateway-7")
    operator.listen("replies/gateway-7/#", f"{BASE}/gateway-7/replies/#")
    assert node.publish("replies/gateway-7/42") == "Success"
    assert node.publish(f"{BASE}/gateway-7/replies/explain") == "Success"
    operator.until(lambda: len(operator.heard) == 2)
    for topic in ("gateway-7/state", "gateway-7/events/lit", "operator/state", "gateway-7/replies/explain"):
        assert operator.publish(f"{BASE}/{topic}") == "Not authorized"
    operator.close()
    node.close()


@pytest.mark.parametrize("account", ["operator", "gateway-7"])
def test_an_operator_and_the_gateway_itself_may_ask_the_node(
    stage: Stage, tmp_path: Path, account: str
) -> None:
    """As `edgenode explain` does: a client id of its own, MQTT 3.1.1, the reply on the node's own topic."""
    me, asker = stage.people["gateway-7"], stage.people[account]
    node = publisher(
        stage.broker.port, tmp_path, Tally(), {"explain": lambda args: {"asked": args}}, cert_file=me.cert_file,
        key_file=me.key_file, ca_file=stage.authority.ca_file,
    )  # fmt: skip
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    mqtt = MqttSettings(
        host="127.0.0.1", port=stage.broker.port, ca_file=stage.authority.ca_file, cert_file=asker.cert_file,
        key_file=asker.key_file,
    )  # fmt: skip
    assert ask(mqtt, "gateway-7", "explain", {"rule": "lit"}, PATIENCE_S) == {"asked": {"rule": "lit"}}
    end(node)


def test_answers_asked_for_where_the_node_may_not_speak_trouble_nobody(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    me, operator = stage.people["gateway-7"], stage.visitor("operator")
    node = publisher(
        stage.broker.port, tmp_path, Tally(), {"explain": lambda args: {}}, ca_file=stage.authority.ca_file,
        cert_file=me.cert_file, key_file=me.key_file,
    )  # fmt: skip
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    for number in range(10):
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = f"elsewhere/word-{number}"
        operator.client.publish(f"{BASE}/gateway-7/commands/explain", b"", 1, properties=properties)
    operator.until(lambda: node.status().refused == 10)
    assert not node.status().degraded
    assert "elsewhere" not in caplog.text
    operator.close()
    end(node)
