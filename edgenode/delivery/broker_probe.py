"""Asks a broker, with a connection of its own, what the node will need of it: for `edgenode doctor`.

Each step raises LinkError with the sentence an operator needs. Nothing it publishes is retained, and its topics
(`…/_doctor/probe`, one level deeper than what anybody subscribes to) match no filter but `#`.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from edgenode.delivery.certificates import CertificateTold, certificate_told
from edgenode.delivery.link_options import failure, read_password, refusal, tls_context, unanswered
from edgenode.delivery.topics import HOME_ASSISTANT_STATUS, Topics
from edgenode.errors import LinkError
from edgenode.settings import MqttSettings

_LOOP_S = 0.1
_VERSION_TOPIC = "$SYS/broker/version"
_REFUSED_FROM = 0x80
_RETURN_S = 2.0
"""A message that the broker has acknowledged and not brought back by then is not coming."""


@dataclass(frozen=True, slots=True)
class TlsSeen:
    version: str
    cipher: str
    certificate: CertificateTold | None


@dataclass(frozen=True, slots=True)
class Reached:
    """The broker's address answers."""

    addresses: tuple[str, ...]
    connect_s: float
    tls: TlsSeen | None


@dataclass(slots=True)
class BrokerAnswer:
    """What the broker said. None where it said nothing, which by the standard means no limit."""

    protocol: Literal["5", "3.1.1"]
    connack_s: float = 0.0
    receive_maximum: int | None = None
    max_packet_bytes: int | None = None
    maximum_qos: int | None = None
    retain_available: bool = True
    server_keepalive_s: int | None = None
    software: str = ""
    """What `$SYS/broker/version` says, where the node may read it."""
    refused_subscriptions: list[str] = field(default_factory=list)
    refused_publications: dict[str, str] = field(default_factory=dict)
    """Topic to reason."""
    round_trip_s: float | None = None
    """From PUBLISH to the same message coming back; None where it did not."""


def resolve(host: str, port: int, timeout_s: float) -> tuple[str, ...]:
    """The numeric addresses of `host`, each once. Raises LinkError, also when the system's resolver takes too long."""
    answers: list[tuple[str, ...] | OSError] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.append(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except OSError as error:
            answers.append(error)

    # a daemon thread, left behind when it hangs: getaddrinfo takes no deadline
    asking = threading.Thread(target=ask, name="resolve", daemon=True)
    asking.start()
    asking.join(timeout_s)
    if not answers:
        raise LinkError(f"{host}: the name service did not answer within {timeout_s:g} s")
    if isinstance(answers[0], OSError):
        raise LinkError(f"{host}: no such host ({answers[0].strerror or answers[0]})")
    return answers[0]


def reach(mqtt: MqttSettings, timeout_s: float) -> Reached:
    """Resolve, connect and, with `ca_file`, shake hands. Raises LinkError."""
    port = mqtt.effective_port
    addresses = resolve(mqtt.host, port, timeout_s)
    context = tls_context(mqtt)
    began_s = time.monotonic()
    try:
        with socket.create_connection((mqtt.host, port), timeout=timeout_s) as plain:
            connect_s = time.monotonic() - began_s
            if context is None:
                return Reached(addresses, connect_s, None)
            with context.wrap_socket(plain, server_hostname=mqtt.host) as encrypted:
                return Reached(addresses, connect_s, _tls_seen(encrypted))
    except (OSError, ssl.SSLError) as error:
        raise LinkError(failure(error, mqtt)[0]) from error


def _tls_seen(encrypted: ssl.SSLSocket) -> TlsSeen:
    der = encrypted.getpeercert(binary_form=True)
    cipher = encrypted.cipher()
    try:
        certificate = certificate_told(der) if der else None
    except (ValueError, IndexError):
        certificate = None
    return TlsSeen(encrypted.version() or "TLS", cipher[0] if cipher else "", certificate)


def converse(mqtt: MqttSettings, node: str, timeout_s: float) -> BrokerAnswer:
    """Log in as the node does, subscribe and publish where it will have to, and wait for one message to come back.

    The client id is one of its own, so that a running node is not disconnected. Raises LinkError.
    """
    topics = Topics(mqtt.base_topic, node)
    attempts: tuple[Literal["5", "3.1.1"], ...] = (
        ("5", "3.1.1") if mqtt.protocol == "auto" else (mqtt.protocol,)
    )
    for number, protocol in enumerate(attempts):
        conversation = _Conversation(mqtt, topics, protocol, timeout_s)
        try:
            return conversation.hold()
        except _OtherProtocolError:
            if number + 1 == len(attempts):
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


class _OtherProtocolError(LinkError):
    """The broker may know another version of MQTT."""


class _Conversation:
    """One connection. paho's callbacks, all on the caller's thread inside `loop`, only note."""

    def __init__(
        self, mqtt: MqttSettings, topics: Topics, protocol: Literal["5", "3.1.1"], timeout_s: float
    ) -> None:
        self._mqtt, self._topics, self._timeout_s = mqtt, topics, timeout_s
        self._is_5 = protocol == "5"
        self.answer = BrokerAnswer(protocol)
        self._token = secrets.token_hex(8)
        self._connack: tuple[int, str] | None = None
        self._subscribing: dict[int, str] = {}
        self._publishing: dict[int, str] = {}
        self._returned_s: float | None = None
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{topics.node}-doctor-{self._token[:6]}",
            protocol=paho.MQTTv5 if self._is_5 else paho.MQTTv311,
            reconnect_on_failure=False,
        )

    def hold(self) -> BrokerAnswer:
        client = self._client
        client.connect_timeout = self._timeout_s
        client.on_socket_open = _no_delay
        context = tls_context(self._mqtt)
        if context is not None:
            client.tls_set_context(context)
        if self._mqtt.username is not None:
            client.username_pw_set(self._mqtt.username, read_password(self._mqtt))
        client.on_connect, client.on_subscribe = self._connected, self._subscribed
        client.on_publish, client.on_message = self._published, self._received
        began_s = time.monotonic()
        try:
            client.connect(
                self._mqtt.host, self._mqtt.effective_port, keepalive=max(5, round(self._mqtt.keepalive))
            )
        except Exception as error:
            raise LinkError(failure(error, self._mqtt)[0]) from error
        try:
            self._log_in()
            self.answer.connack_s = time.monotonic() - began_s
            self._subscribe()
            self._publish()
            client.disconnect()
            client.loop(_LOOP_S)
        finally:
            sock = client.socket()
            if sock is not None:
                sock.close()
        return self.answer

    def _log_in(self) -> None:
        if not self._until(lambda: self._connack is not None) or self._connack is None:
            text = unanswered(self._mqtt)
            raise _OtherProtocolError(text) if self._is_5 else LinkError(text)
        code, name = self._connack
        if code == 0x84:
            raise _OtherProtocolError(refusal(code, name, self._mqtt))
        if code >= _REFUSED_FROM:
            raise LinkError(refusal(code, name, self._mqtt))

    def _subscribe(self) -> None:
        wanted = [self._topics.all_commands, f"{self._topics.command('_doctor')}/#"]
        if self._mqtt.home_assistant:
            wanted.append(HOME_ASSISTANT_STATUS)
        for topic in (_VERSION_TOPIC, *wanted):
            _, mid = self._client.subscribe(topic, qos=1)
            if mid is not None:
                self._subscribing[mid] = topic
        if not self._until(lambda: not self._subscribing):
            left = ", ".join(self._subscribing.values())
            raise LinkError(f"the broker did not answer the subscription to {left}")

    def _publish(self) -> None:
        root = self._topics.root
        there = [f"{root}/{part}/_doctor/probe" for part in ("events", "cameras", "models", "replies")]
        if self._mqtt.home_assistant:
            there.append(f"homeassistant/device/{self._topics.node}/_doctor/probe")
        there.append(f"{self._topics.command('_doctor')}/probe")
        began_s = 0.0
        for topic in there:
            began_s = time.monotonic()
            info = self._client.publish(topic, self._token.encode(), qos=1)
            self._publishing[info.mid] = topic
        if not self._until(lambda: not self._publishing):
            left = ", ".join(self._publishing.values())
            raise LinkError(f"the broker did not acknowledge what was published on {left}")
        if there[-1] in self.answer.refused_publications:
            return
        self._until(lambda: self._returned_s is not None, min(_RETURN_S, self._timeout_s))
        if self._returned_s is not None:
            self.answer.round_trip_s = self._returned_s - began_s

    def _until(self, done: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Run the connection until `done()`; False when time or the connection ended first."""
        deadline_s = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        while not done():
            if time.monotonic() > deadline_s:
                return False
            if self._client.loop(_LOOP_S) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return done()
        return True

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        self._connack = (reason.value, str(reason))
        answer = self.answer
        answer.receive_maximum = getattr(properties, "ReceiveMaximum", None)
        answer.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        answer.maximum_qos = getattr(properties, "MaximumQoS", None)
        answer.retain_available = getattr(properties, "RetainAvailable", 1) != 0
        answer.server_keepalive_s = getattr(properties, "ServerKeepAlive", None)

    def _subscribed(self, _client: Any, _data: Any, mid: int, reasons: Any, _properties: Any) -> None:
        topic = self._subscribing.pop(mid, "")
        if topic != _VERSION_TOPIC and any(reason.value >= _REFUSED_FROM for reason in reasons):
            self.answer.refused_subscriptions.append(topic)

    def _published(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        topic = self._publishing.pop(mid, "")
        if reason.value >= _REFUSED_FROM:
            self.answer.refused_publications[topic] = str(reason)

    def _received(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        if message.topic == _VERSION_TOPIC:
            self.answer.software = message.payload.decode("utf-8", errors="replace")[:64]
        elif message.payload == self._token.encode():
            self._returned_s = time.monotonic()


def _no_delay(_client: Any, _data: Any, sock: Any) -> None:
    # as the node's own connection: otherwise the round trip is 40 ms of waiting for acknowledgements
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
