"""A plain subscriber: sees what any other program on the broker sees."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgenode.errors import LinkError

_HELD = 20_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came from the broker."""

    topic: str
    payload: bytes
    retained: bool
    received_at: datetime


class Subscriber:
    """Subscribes to one topic filter and keeps what arrives until it is taken.

    `start`, `take` and `stop` belong to one thread; paho's thread only puts records.
    """

    def __init__(
        self, host: str, port: int, topic_filter: str, protocol: Literal["5", "3.1.1"] = "3.1.1"
    ) -> None:
        version = mqtt.MQTTv5 if protocol == "5" else mqtt.MQTTv311
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=version)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._where = (host, port)
        self._filter = topic_filter
        self._subscribed = threading.Event()
        self._arrivals: deque[Arrival] = deque(maxlen=_HELD)
        self._received = 0

    @property
    def received(self) -> int:
        """Messages since the start. Of more than 20,000 waiting ones `take` no longer gets the oldest."""
        return self._received

    def start(self, timeout_s: float = 10.0) -> None:
        """Connect and subscribe; returns once the broker has confirmed. Raises LinkError."""
        host, port = self._where
        try:
            self._client.connect(host, port, keepalive=30)
        except OSError as error:
            raise LinkError(f"no broker at {host}:{port}: {error}") from error
        self._client.loop_start()
        if not self._subscribed.wait(timeout_s):
            self.stop()
            raise LinkError(f"the broker at {host}:{port} did not confirm a subscription to {self._filter}")

    def take(self) -> list[Arrival]:
        """What has arrived since the last call, in order."""
        taken = []
        while self._arrivals:
            taken.append(self._arrivals.popleft())
        return taken

    def stop(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(self._filter, qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._received += 1
        self._arrivals.append(
            Arrival(message.topic, bytes(message.payload), message.retain, datetime.now(UTC))
        )
