"""The broker of `mosquitto/gateway.conf` with certificates of the shipped script, and who comes to it."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.servers.certificates import Authority, Identity, self_signed
from tests.servers.mosquitto import MosquittoBroker
from tests.system.delivery.stage import PATIENCE_S
from tests.system.delivery.test_mosquitto_files import gateway

BASE = "edgenode/v1"


V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


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
