"""A subscriber whose session outlives its connections: counts which numbers of a node's events came."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class EventCounter:
    """Subscribed to `<root>/events/#` from `__enter__` to `__exit__`."""

    def __init__(self, port: int, root: str) -> None:
        self._port = port
        self._topic = f"{root}/events/#"
        self._lock = threading.Lock()
        self._seen: set[int] = set()
        self.messages = 0
        self._subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="event-counter", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(self._topic, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", self._port, keepalive=10, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self._subscribed.wait(30.0), "the broker did not confirm the subscription"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        user = dict(getattr(message.properties, "UserProperty", []))
        number = int(user["seq"]) if "seq" in user else json.loads(message.payload)["seq"]
        with self._lock:
            self.messages += 1
            self._seen.add(number)

    def missing(self) -> list[int]:
        """Numbers between the first and the last one that never came."""
        with self._lock:
            return sorted(set(range(min(self._seen), max(self._seen) + 1)) - self._seen) if self._seen else []

    @property
    def distinct(self) -> int:
        with self._lock:
            return len(self._seen)
