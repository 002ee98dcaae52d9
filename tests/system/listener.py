"""A real MQTT 5 subscriber for tests: keeps everything that arrives, in order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.system.daemon import PATIENCE_S, eventually


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as the broker sent it."""

    topic: str
    payload: bytes
    retained: bool
    correlation: bytes | None

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.payload))


class Listener:
    """Subscribes to everything from `__enter__` to `__exit__`, and comes back when the broker does."""

    def __init__(
        self, port: int, root: str, username: str | None = None, password: str | None = None
    ) -> None:
        """`root`: what the topics given to the methods are under."""
        self.root = root
        self._port = port
        self._lock = threading.Lock()
        self._arrivals: list[Arrival] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_disconnect = lambda *_: self._subscribed.clear()
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port, keepalive=30)
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S), "the broker did not confirm the subscription"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        arrival = Arrival(message.topic, bytes(message.payload), message.retain, correlation)
        with self._lock:
            self._arrivals.append(arrival)

    @property
    def subscribed(self) -> bool:
        return self._subscribed.is_set()

    def wait_subscribed(self) -> None:
        assert self._subscribed.wait(PATIENCE_S), "the broker did not confirm the subscription"

    def everything(self) -> list[Arrival]:
        with self._lock:
            return list(self._arrivals)

    def of(self, topic: str) -> list[Arrival]:
        """What came on `topic`, oldest first."""
        return [each for each in self.everything() if each.topic == f"{self.root}/{topic}"]

    def last(self, topic: str) -> dict[str, Any] | None:
        """The newest JSON object on `topic`; None where nothing came or the last word was a removal."""
        found = self.of(topic)
        return found[-1].json if found and found[-1].payload else None

    def wait(self, topic: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The first JSON object on `topic` that `fits`."""
        found: dict[str, Any] = eventually(
            lambda: next((each.json for each in self.of(topic) if each.payload and fits(each.json)), None),
            f"a fitting message on {topic} (came: {[each.payload[:200] for each in self.of(topic)[-3:]]})",
        )
        return found

    def wait_last(self, topic: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The newest JSON object on `topic`, once it `fits`."""

        def newest() -> dict[str, Any] | None:
            value = self.last(topic)
            return value if value is not None and fits(value) else None

        found: dict[str, Any] = eventually(newest, f"{topic} (last: {self.last(topic)})")
        return found

    def events(self, rule: str) -> list[dict[str, Any]]:
        return [each.json for each in self.of(f"events/{rule}")]

    def wait_events(self, rule: str, count: int) -> list[dict[str, Any]]:
        return list(
            eventually(
                lambda: len(self.events(rule)) >= count and self.events(rule), f"{count} messages of {rule}"
            )
        )

    def retained(self) -> dict[str, bytes]:
        """Topic (under the root) to payload of what the broker keeps now, asked by a fresh subscriber.

        The marker arrives after all of them: a broker keeps the order of what it sends to one client.
        """
        with Listener(self._port, self.root) as fresh:
            fresh.publish("marker", b'{"marker": true}')
            fresh.wait("marker")
            return {
                each.topic.removeprefix(f"{self.root}/"): each.payload
                for each in fresh.everything()
                if each.retained
            }

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        self._client.publish(f"{self.root}/{topic}", payload, qos)

    def command(self, verb: str, **arguments: Any) -> None:
        self.publish(f"commands/{verb}", json.dumps({"args": arguments}).encode())

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """Give a command with a response topic of its own; the reply."""
        with self._lock:
            number = len(self._arrivals)
        topic = f"replies/{verb}/{number}"
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = f"{self.root}/{topic}"
        properties.CorrelationData = str(number).encode()
        body = json.dumps({"transaction": f"{verb}-{number}", "args": arguments}).encode()
        self._client.publish(f"{self.root}/commands/{verb}", body, 1, properties=properties)
        reply = self.wait(topic)
        assert reply["transaction"] == f"{verb}-{number}"
        assert self.of(topic)[0].correlation == str(number).encode()
        return reply
