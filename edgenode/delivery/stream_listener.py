"""A subscriber whose session outlives its connections: what comes while it is away waits at the broker."""

from __future__ import annotations

import ssl
import threading
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgenode.delivery.link_options import failure, read_password, refusal, tls_context
from edgenode.errors import LinkError
from edgenode.settings import MqttSettings

SESSION_S = 3600
_HELD = 100_000


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message with its MQTT 5 user properties."""

    topic: str
    payload: bytes
    properties: tuple[tuple[str, str], ...]


class StreamListener:
    """MQTT 5. `start`, `wait`, `take`, `stop` belong to one thread; paho's thread only puts records."""

    def __init__(self, broker: MqttSettings, filters: Sequence[str]) -> None:
        self._broker = broker
        self._filters = [(topic, 1) for topic in filters]
        self._arrivals: deque[Arrived] = deque()
        self._came = threading.Event()
        self._subscribed = threading.Event()
        self._refused: str | None = None
        self._connections = 0
        self.overrun = 0
        """Messages dropped because they were not taken."""
        self.forgotten = 0
        """Reconnects at which the broker knew nothing of the subscription: messages may have passed by."""
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"verify-stream-{uuid.uuid4().hex[:12]}",
            protocol=mqtt.MQTTv5,
        )
        self._client.reconnect_delay_set(1, 2)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def start(self, timeout_s: float = 10.0) -> None:
        """Connect and subscribe; returns once the broker has confirmed. Raises LinkError."""
        broker = self._broker
        context = tls_context(broker)
        if context is not None:
            self._client.tls_set_context(context)
        if broker.username is not None:
            self._client.username_pw_set(broker.username, read_password(broker))
        try:
            self._client.connect(
                broker.host, broker.effective_port, 30, clean_start=False, properties=_session(SESSION_S)
            )
        except (OSError, ssl.SSLError) as error:
            raise LinkError(failure(error, broker)[0]) from error
        self._client.loop_start()
        if not self._subscribed.wait(timeout_s) or self._refused is not None:
            self.stop()
            where = f"{broker.host}:{broker.effective_port}"
            raise LinkError(self._refused or f"the broker at {where} did not confirm the subscription")

    def wait(self, timeout_s: float) -> None:
        """Until something came, at most so long."""
        self._came.wait(timeout_s)
        self._came.clear()

    def take(self) -> list[Arrived]:
        """What has arrived since the last call, in order."""
        taken = []
        while self._arrivals:
            taken.append(self._arrivals.popleft())
        return taken

    def stop(self) -> None:
        """Disconnect, let the broker forget the session, and end the thread."""
        self._client.disconnect(properties=_session(0, PacketTypes.DISCONNECT))
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refused = refusal(reason.value, str(reason), self._broker)
            self._subscribed.set()
            return
        self._connections += 1
        if self._connections > 1 and not flags.session_present:
            self.forgotten += 1
        client.subscribe(self._filters)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refused = "the broker does not let this account subscribe: check its access list"
        self._subscribed.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if len(self._arrivals) >= _HELD:
            self.overrun += 1
            return
        told = getattr(message.properties, "UserProperty", ())
        self._arrivals.append(Arrived(message.topic, bytes(message.payload), tuple(told)))
        self._came.set()


def _session(expiry_s: int, packet: int = PacketTypes.CONNECT) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = expiry_s
    return properties
