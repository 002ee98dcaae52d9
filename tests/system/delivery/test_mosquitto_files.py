"""The shipped broker configurations, run by a real Mosquitto with the paths and ports of the test."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgenode.delivery.publisher import Publisher
from tests.servers.certificates import Authority
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.system.delivery.stage import Listener, Tally, end, event, publisher, wait_for

FILES = Path(__file__).resolve().parents[3] / "mosquitto"
Factory = Callable[..., MosquittoBroker]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the shipped script; the broker's are `server.crt` and `server.key`, as gateway.conf names them."""
    authority = Authority(tmp_path_factory.mktemp("authority") / "certs")
    authority.server("localhost", "127.0.0.1")
    for name in ("gateway-7", "gateway-8", "dashboard"):
        authority.client(name)
    for ending in ("crt", "key"):
        (authority.folder / f"server-localhost.{ending}").rename(authority.folder / f"server.{ending}")
    return authority.folder


def install(broker: MosquittoBroker, name: str, replace: dict[str, str], extra: list[str]) -> Path:
    text = (FILES / name).read_text()
    for old, new in replace.items():
        assert old in text, f"{name} no longer holds {old}"
        text = text.replace(old, new)
    path = broker.folder / name
    path.write_text("\n".join([text, *extra, ""]))
    return path


def debian(broker: MosquittoBroker) -> list[str]:
    """What Debian's main file says, and the user who may read the test's folder."""
    user = ["user root"] if os.getuid() == 0 else []
    return [*user, "persistence true", f"persistence_location {broker.folder}/", "log_dest stderr"]


def gateway(broker: MosquittoBroker, certificates: Path) -> Path:
    acl = broker.folder / "acl"
    acl.write_text((FILES / "acl").read_text())
    acl.chmod(0o600)
    return install(
        broker,
        "gateway.conf",
        {
            "listener 8883": f"listener {broker.port} 127.0.0.1",
            "/etc/mosquitto/certs": str(certificates),
            "/etc/mosquitto/edgenode.acl": str(acl),
        },
        debian(broker),
    )


def secure(broker: MosquittoBroker, state: Path, certificates: Path, name: str = "gateway-7") -> Publisher:
    return publisher(
        broker.port,
        state,
        Tally(),
        ca_file=certificates / "ca.crt",
        cert_file=certificates / f"{name}.crt",
        key_file=certificates / f"{name}.key",
    )


class SecureReader:
    """A subscriber with a client certificate."""

    def __init__(self, port: int, certificates: Path, name: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"{name}-reader", protocol=5)
        self.client.tls_set(
            str(certificates / "ca.crt"), str(certificates / f"{name}.crt"), str(certificates / f"{name}.key")
        )
        self.client.on_connect = lambda client, *_: client.subscribe("edgenode/v1/#", qos=1)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda _c, _u, message: self.heard.append((message.topic, message.payload))
        self.client.reconnect_delay_set(1, 1)
        # kept through a restart of the broker, as a dashboard must that misses nothing
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self.client.loop_start()
        assert subscribed.wait(30.0)

    @property
    def topics(self) -> list[str]:
        return [topic for topic, _ in list(self.heard)]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client = None  # type: ignore[assignment]


def test_the_development_file_serves_loopback_only(mosquitto_factory: Factory, tmp_path: Path) -> None:
    broker = mosquitto_factory()
    web = free_port()
    replace = {"listener 1883": f"listener {broker.port}", "listener 9001": f"listener {web}"}
    user = ["user root"] if os.getuid() == 0 else []
    broker.start(install(broker, "development.conf", replace, [*user, "log_dest stderr"]))

    def bound() -> set[str]:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ports = {f"{broker.port:04X}", f"{web:04X}"}
        return {row[1] for row in rows if row[3] == "0A" and row[1].split(":")[1] in ports}

    wait_for(lambda: len(bound()) == 2, f"both listeners are there:\n{broker.log}")
    assert {address.split(":")[0] for address in bound()} == {"0100007F"}
    node = publisher(broker.port, tmp_path / "state", Tally())
    node.start()
    wait_for(lambda: node.status().connected, "the connection")
    end(node)


def test_a_node_with_its_certificate_may_only_speak_for_itself(
    mosquitto_factory: Factory, tmp_path: Path, certificates: Path
) -> None:
    broker = mosquitto_factory()
    broker.start(gateway(broker, certificates))
    dashboard = SecureReader(broker.port, certificates, "dashboard")
    stranger = SecureReader(broker.port, certificates, "gateway-8")
    mine = secure(broker, tmp_path / "mine", certificates)
    mine.start()
    mine.publish_event(event(1), None)
    try:
        wait_for(
            lambda: "edgenode/v1/gateway-7/events/defective_part" in dashboard.topics, "the dashboard reads"
        )
        assert not mine.status().degraded
        assert stranger.topics == []
        end(mine)
        thief = secure(broker, tmp_path / "thief", certificates, "gateway-8")
        thief.start()
        thief.publish_event(event(2), None)
        wait_for(lambda: thief.status().refused, "another node's certificate is refused its topics")
        assert thief.status().outbox_messages == 1
        end(thief, 0.2)
    finally:
        dashboard.close()
        stranger.close()
    meant = "mosquitto should not be run as root|ACL pattern 'homeassistant/status' does not contain"
    assert not re.findall(rf"(?i)warning: (?!{meant}).*", broker.log)


# paho leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_trusted_certificate_nobody_gets_in(
    mosquitto_factory: Factory, tmp_path: Path, certificates: Path
) -> None:
    broker = mosquitto_factory()
    broker.start(gateway(broker, certificates))
    bare = publisher(broker.port, tmp_path / "bare", Tally(), ca_file=certificates / "ca.crt")
    bare.start()
    wait_for(lambda: "client certificate" in bare.status().reason, "the reason is said")
    assert not bare.status().connected
    end(bare)
    other = Authority(tmp_path / "other")
    fooled = publisher(broker.port, tmp_path / "fooled", Tally(), ca_file=other.ca_file)
    fooled.start()
    wait_for(
        lambda: "certificate is not trusted" in fooled.status().reason, "the broker's certificate is checked"
    )
    end(fooled)


def shipped(option: str) -> list[str]:
    """The two lines of gateway.conf that begin with `option`."""
    lines = [line for line in (FILES / "gateway.conf").read_text().splitlines() if line.startswith(option)]
    assert len(lines) == 2
    return lines


def test_what_the_gateway_acknowledged_survives_its_kill(mosquitto_factory: Factory, tmp_path: Path) -> None:
    """The persistence lines of gateway.conf, with a subscriber that is away."""
    broker = mosquitto_factory(*shipped("autosave"), *shipped("max_queued"))
    broker.start()
    Listener(broker.port, "edgenode/v1/gateway-7/events/#").close()
    node = publisher(broker.port, tmp_path / "state", Tally())
    node.start()
    for number in range(300):
        node.publish_event(event(number), None)
    wait_for(lambda: node.status().delivered == 300, "the broker acknowledged")
    broker.kill()
    broker.start()
    listener = Listener(broker.port, "edgenode/v1/gateway-7/events/#")
    wait_for(
        lambda: {e["seq"] for e in listener.events()} == set(range(1, 301)), "the subscriber gets them all"
    )
    end(node)
    listener.close()


def test_the_bridge_carries_events_up_through_an_outage(
    mosquitto_factory: Factory, tmp_path: Path, certificates: Path
) -> None:
    """Over TLS with the node's certificate, to a central broker that has the gateway's configuration."""
    central = mosquitto_factory()
    configuration = gateway(central, certificates)
    central.start(configuration)
    edge = mosquitto_factory(*shipped("max_queued"))
    lines = [
        line for line in (FILES / "bridge.conf").read_text().splitlines() if line and not line.startswith("#")
    ]
    lines = [line.replace("central.example:8883", f"127.0.0.1:{central.port}") for line in lines]
    edge.lines += [line.replace("/etc/mosquitto/certs", str(certificates)) for line in lines]
    edge.start()
    dashboard = SecureReader(central.port, certificates, "dashboard")
    node = publisher(edge.port, tmp_path / "state", Tally())
    node.start()

    def central_has(count: int) -> bool:
        return set(range(1, count + 1)) <= {
            json.loads(payload)["seq"]
            for topic, payload in list(dashboard.heard)
            if "/events/defective" in topic
        }

    try:
        node.publish_event(event(0), None)
        wait_for(lambda: central_has(1), f"the bridge is up:\n{edge.log}\n{central.log}")
        central.stop()
        for number in range(1, 1500):
            node.publish_event(event(number), None)
            if number % 500 == 0:
                wait_for(lambda n=number: node.status().appended > n - 200, "the inbox empties")
        wait_for(lambda: node.status().delivered == 1500, "the edge broker took them")
        central.start(configuration)
        wait_for(lambda: central_has(1500), "all are central", 60.0)
    finally:
        end(node)
        dashboard.close()
