"""Who gets past the broker of `mosquitto/gateway.conf` and its access list, and how far; and whom a node trusts.

One broker for all of it; certificates of the shipped script.
"""

from __future__ import annotations

import gc
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgenode.delivery.asking import ask
from edgenode.settings import MqttSettings
from tests.servers.certificates import SCRIPT, Authority, Identity, self_signed
from tests.servers.mosquitto import MOSQUITTO, MosquittoBroker
from tests.system.delivery.stage import PATIENCE_S, Tally, end, event, publisher, wait_for
from tests.system.delivery.test_mosquitto_files import gateway

BASE = "edgenode/v1"
V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
# paho leaves the socket of a failed handshake to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Stage:
    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "certs")
        self.authority.server("localhost", "127.0.0.1")
        for ending in ("crt", "key"):
            source = self.authority.folder / f"server-localhost.{ending}"
            (self.authority.folder / f"server.{ending}").write_bytes(source.read_bytes())
        self.people = {
            name: self.authority.client(name) for name in ("gateway-7", "gateway-8", "dashboard", "operator")
        }
        self.people["revoked"] = self.authority.client("gateway-9")
        self.authority.run("revoke", "gateway-9")
        self.authority.client("gateway-6")
        self.people["expired"] = self.authority.expired("gateway-6")
        self.people["server"] = self.authority.identity("server-localhost")
        self.people["self-signed"] = self_signed(folder, "gateway-7")
        self.other = Authority(folder / "other")
        self.people["another authority's"] = self.other.client("gateway-7")
        self.broker = MosquittoBroker(folder / "broker")
        self.broker.start(gateway(self.broker, self.authority.folder))

    def visitor(self, who: str | None, protocol: MQTTProtocolVersion = V5, **login: str) -> Visitor:
        return Visitor(self, None if who is None else self.people[who], protocol, login)


class Visitor:
    """One client, driven by the test's thread."""

    def __init__(
        self, stage: Stage, identity: Identity | None, protocol: MQTTProtocolVersion, login: dict[str, str]
    ) -> None:
        self.accepted: bool | None = None
        self.answers: dict[int, str] = {}
        self.heard: list[str] = []
        self.subscribed = False
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=login.pop("client_id", f"visitor-{time.monotonic_ns()}"),
            protocol=protocol,
            reconnect_on_failure=False,
        )
        context = ssl.create_default_context(cafile=str(stage.authority.ca_file))
        if identity is not None:
            context.load_cert_chain(identity.cert_file, identity.key_file)
        if "plain" not in login:
            self.client.tls_set_context(context)
        if "username" in login:
            self.client.username_pw_set(login["username"], login.get("password"))
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *_: self._refused()
        self.client.on_publish = lambda _c, _u, mid, reason, _p: self.answers.update({mid: str(reason)})
        self.client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self.client.on_message = lambda _c, _u, message: self.heard.append(message.topic)
        try:
            self.client.connect("127.0.0.1", stage.broker.port)
        except OSError:
            self.accepted = False
        self.until(lambda: self.accepted is not None)

    def _on_connect(
        self, _client: object, _data: object, _flags: object, reason: object, _properties: object
    ) -> None:
        self.accepted = not reason.is_failure  # type: ignore[attr-defined]

    def _refused(self) -> None:
        self.accepted = False

    def until(self, condition: object) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():  # type: ignore[operator]
            if self.client.loop(0.05) != paho.MQTT_ERR_SUCCESS and not condition():  # type: ignore[operator]
                self.accepted = False
                return
            assert time.monotonic() < deadline

    def publish(self, topic: str, payload: bytes = b"x", retain: bool = False) -> str:
        """The broker's word on it."""
        mid = self.client.publish(topic, payload, qos=1, retain=retain).mid
        self.until(lambda: mid in self.answers)
        return self.answers.get(mid, "the connection ended")

    def listen(self, *topics: str) -> None:
        for topic in topics:
            self.subscribed = False
            self.client.subscribe(topic, qos=1)
            self.until(lambda: self.subscribed)

    def close(self) -> None:
        self.client.disconnect()
        sock = self.client.socket()
        if sock is not None:
            sock.close()
        self.client = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _no_socket_for_the_next_test() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if not Path(MOSQUITTO).exists():
        if os.environ.get("CI"):
            pytest.fail("mosquitto is not installed: apt install mosquitto")
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    stage = Stage(tmp_path_factory.mktemp("secure"))
    yield stage
    stage.broker.kill()


@pytest.mark.parametrize("protocol", [V5, V311], ids=["5", "3.1.1"])
@pytest.mark.parametrize(
    ("who", "login"),
    [
        (None, {}),
        (None, {"plain": "yes"}),
        (None, {"username": "gateway-7", "password": "guess"}),
        ("self-signed", {}),
        ("another authority's", {}),
        ("expired", {}),
        ("revoked", {}),
        ("server", {}),
        ("gateway-7", {"client_id": ""}),
    ],
    ids=["no certificate", "no TLS", "a password only", "self-signed", "another authority's", "expired", "revoked",
         "a server's", "no client id"],
)  # fmt: skip
def test_who_is_not_let_in(
    stage: Stage, who: str | None, login: dict[str, str], protocol: MQTTProtocolVersion
) -> None:
    visitor = stage.visitor(who, protocol, **login)
    assert visitor.accepted is False
    visitor.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_is_1_2_at_least(stage: Stage, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(stage.authority.ca_file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    me = stage.people["gateway-7"]
    context.load_cert_chain(me.cert_file, me.key_file)
    with socket.create_connection(("127.0.0.1", stage.broker.port), timeout=PATIENCE_S) as plain:
        if version == ssl.TLSVersion.TLSv1_1:
            with pytest.raises(OSError):  # noqa: PT011 - an alert or a closed connection
                context.wrap_socket(plain, server_hostname="localhost")
        else:
            with context.wrap_socket(plain, server_hostname="localhost") as secure:
                assert secure.version() in ("TLSv1.2", "TLSv1.3")


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


def test_a_packet_over_the_limit_ends_the_connection(stage: Stage) -> None:
    node = stage.visitor("gateway-7")
    assert node.publish(f"{BASE}/gateway-7/large", b"x" * 2_000_000) == "the connection ended"
    assert node.accepted is False
    node.close()


def heard_by(context: ssl.SSLContext, plain: socket.socket) -> bytes:
    """What a client says to a server of `context`; nothing where it goes away before or after the handshake."""
    with plain:
        try:
            with context.wrap_socket(plain, server_side=True) as secure:
                return secure.recv(100)
        except OSError:
            return b""


@pytest.mark.parametrize(
    "what", ["another name", "expired", "a node's own certificate", "another authority's"]
)
def test_a_node_trusts_no_other_broker(stage: Stage, tmp_path: Path, what: str) -> None:
    """Each one holds a key and a certificate that is right but for one thing; the node sends it no password."""
    authority = stage.other if what == "another authority's" else stage.authority
    if what == "a node's own certificate":
        fake = stage.people["gateway-8"]
    else:
        host = {
            "another name": "other.plant.local",
            "expired": "broker-x",
            "another authority's": "127.0.0.1",
        }[what]
        fake = authority.server(host, *(["127.0.0.1"] if what != "another name" else []))
        if what == "expired":
            fake = authority.expired("server-broker-x")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(fake.cert_file, fake.key_file)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        me = stage.people["gateway-7"]
        node = publisher(
            listening.getsockname()[1], tmp_path, Tally(), ca_file=stage.authority.ca_file, cert_file=me.cert_file,
            key_file=me.key_file,
        )  # fmt: skip
        node.start()
        plain, _ = listening.accept()
        plain.settimeout(PATIENCE_S)
        assert heard_by(context, plain) == b""
        wait_for(lambda: "certificate is not trusted" in node.status().reason, "the reason is said")
        end(node, 0.1)


def test_the_script_overwrites_nothing_and_keeps_its_secrets(stage: Stage) -> None:
    folder = stage.authority.folder
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for arguments in (["ca"], ["node", "gateway-7"], ["server", "localhost"], ["client", "dashboard"]):
        done = stage.authority.run(*arguments, check=False)
        assert done.returncode != 0
        assert "nothing is overwritten" in done.stderr
    for name in ("Gateway", "../x", "a b", "-x", "", "x" * 64, "ca", "server-x", "a;id", "$(id)", "a\nb"):
        assert stage.authority.run("node", name, check=False).returncode != 0
    for host in ("a_b", "*.plant", "a,b", "DNS:x", "a b", "10.0.0.1\n"):
        assert stage.authority.run("server", host, check=False).returncode != 0
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert folder.stat().st_mode & 0o777 == 0o700
    keys = list(folder.glob("*.key"))
    assert len(keys) > 5
    assert {path.stat().st_mode & 0o777 for path in keys if path.name != "server.key"} == {0o600}


def test_a_renewed_certificate_serves_and_the_register_says_so(stage: Stage) -> None:
    first = (stage.authority.folder / "gateway-8.crt").read_bytes()
    stage.authority.run("renew", "gateway-8", DAYS="20")
    assert (stage.authority.folder / "gateway-8.crt").read_bytes() != first
    visitor = stage.visitor("gateway-8")
    assert visitor.accepted
    visitor.close()
    register = {line.split()[0]: line for line in stage.authority.run("list").stdout.splitlines()}
    assert "renew now" in register["gateway-8"]
    assert "revoked" in register["gateway-9"]
    assert "expired" in register["gateway-6"]
    assert "good" in register["dashboard"]


def test_the_script_is_one_that_bash_understands() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)]).returncode == 0
    done = subprocess.run([str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "FOLDER revoke" in done.stderr


def test_what_was_published_still_arrives_through_all_of_it(stage: Stage, tmp_path: Path) -> None:
    me = stage.people["gateway-7"]
    reader = stage.visitor("dashboard")
    reader.listen("edgenode/v1/gateway-7/events/#")
    node = publisher(
        stage.broker.port,
        tmp_path,
        Tally(),
        ca_file=stage.authority.ca_file,
        cert_file=me.cert_file,
        key_file=me.key_file,
    )
    node.start()
    node.publish_event(event(1), None)
    reader.until(lambda: "edgenode/v1/gateway-7/events/defective_part" in reader.heard)
    end(node)
    reader.close()


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
