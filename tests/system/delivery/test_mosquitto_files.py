"""The shipped broker configurations, run by a real Mosquitto with the paths and ports of the test."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from edgenode.delivery.publisher import Publisher
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.system.delivery.stage import Listener, Tally, end, event, publisher, wait_for

FILES = Path(__file__).resolve().parents[3] / "mosquitto"
Factory = Callable[..., MosquittoBroker]


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certificate(folder: Path, name: str, extension: str = "") -> None:
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
    extra = []
    if extension:
        (folder / f"{name}.ext").write_text(extension)
        extra = ["-extfile", f"{name}.ext"]
    openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-out", f"{name}.crt", *extra,
    )  # fmt: skip


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    folder = tmp_path / "certs"
    folder.mkdir()
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
    openssl(
        folder, "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-days", "2", "-out", "ca.crt"
    )
    certificate(folder, "server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
    for name in ("gateway-7", "gateway-8", "dashboard"):
        certificate(folder, name)
    return folder


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
        self.topics: list[str] = []
        subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"{name}-reader", protocol=5)
        self.client.tls_set(
            str(certificates / "ca.crt"), str(certificates / f"{name}.crt"), str(certificates / f"{name}.key")
        )
        self.client.on_connect = lambda client, *_: client.subscribe("edgenode/v1/#", qos=1)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda _c, _u, message: self.topics.append(message.topic)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(30.0)

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
    assert not re.findall(r"(?i)warning: (?!mosquitto should not be run as root).*", broker.log)


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
    other = tmp_path / "other"
    other.mkdir()
    openssl(other, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
    openssl(
        other, "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-days", "2", "-out", "ca.crt"
    )
    fooled = publisher(broker.port, tmp_path / "fooled", Tally(), ca_file=other / "ca.crt")
    fooled.start()
    wait_for(
        lambda: "certificate is not trusted" in fooled.status().reason, "the broker's certificate is checked"
    )
    end(fooled)


def test_what_the_gateway_acknowledged_survives_its_kill(mosquitto_factory: Factory, tmp_path: Path) -> None:
    """The persistence lines of gateway.conf, with a subscriber that is away."""
    shipped = [
        line for line in (FILES / "gateway.conf").read_text().splitlines() if line.startswith("autosave")
    ]
    assert len(shipped) == 2
    broker = mosquitto_factory(*shipped, "max_queued_messages 100000")
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


def test_the_bridge_carries_events_up_through_an_outage(mosquitto_factory: Factory, tmp_path: Path) -> None:
    central = mosquitto_factory(
        "max_queued_messages 100000", "autosave_interval 1", "autosave_on_changes true"
    )
    central.start()
    edge = mosquitto_factory("max_queued_messages 100000")
    lines = [
        line
        for line in (FILES / "bridge.conf").read_text().splitlines()
        if not line.startswith(("#", "bridge_cafile", "bridge_certfile", "bridge_keyfile"))
    ]
    edge.lines += [line.replace("central.example:8883", f"127.0.0.1:{central.port}") for line in lines]
    edge.start()
    listener = Listener(central.port, "edgenode/v1/gateway-7/events/#")
    node = publisher(edge.port, tmp_path / "state", Tally())
    node.start()
    node.publish_event(event(0), None)
    wait_for(lambda: len(listener.events()) == 1, "the bridge is up")
    central.stop()
    for number in range(1, 1500):
        node.publish_event(event(number), None)
        if number % 500 == 0:
            wait_for(lambda n=number: node.status().appended > n - 200, "the inbox empties")
    wait_for(lambda: node.status().delivered == 1500, "the edge broker took them")
    central.start()
    wait_for(lambda: {e["seq"] for e in listener.events()} == set(range(1, 1501)), "all are central", 60.0)
    end(node)
    listener.close()
