"""What the delivery tests share: a subscriber that writes everything down, an observer, events, waiting."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgenode.clock import Clock, SystemClock
from edgenode.delivery.commands import CommandHandler
from edgenode.delivery.link_options import LinkOptions
from edgenode.delivery.publisher import Publisher, PublisherOptions
from edgenode.records import Event, EventType, Severity
from edgenode.settings import MqttSettings, OutboxSettings

PATIENCE_S = 60.0


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """The first true answer of `condition`. Polls: what is waited for lies in other processes."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.01)


class Tally:
    """A DeliveryObserver that counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.evictions: Counter[str] = Counter()
        self.commands: list[tuple[str, bool]] = []
        self.connections = 0
        self.is_connected = False

    def event_appended(self, rule: str, event_type: str) -> None:
        self.counts["appended"] += 1

    def event_delivered(self, count: int) -> None:
        self.counts["delivered"] += count

    def deliver_seconds(self, s: float) -> None:
        assert s >= 0.0

    def publish_seconds(self, s: float) -> None:
        self.counts["published"] += 1

    def ack_seconds(self, s: float) -> None:
        self.counts["acknowledged"] += 1

    def outbox(self, messages: int, bytes: int) -> None:  # noqa: A002 - the observer says so
        self.counts["outbox"] = messages

    def evicted(self, reason: str, count: int) -> None:
        self.evictions[reason] += count

    def connected(self, connected: bool) -> None:
        self.connections += connected
        self.is_connected = connected

    def refused(self, count: int) -> None:
        self.counts["refused"] += count

    def rivalled(self) -> None:
        self.counts["rivalled"] += 1

    def messages_dropped(self, kind: str, count: int) -> None:
        self.counts[f"dropped {kind}"] += count

    def command(self, verb: str, ok: bool) -> None:
        self.commands.append((verb, ok))


@dataclass(frozen=True)
class Heard:
    topic: str
    payload: bytes
    retain: bool
    properties: Any

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


class Listener:
    """A subscriber with a session that outlives its connections."""

    def __init__(
        self, port: int, topic: str = "#", v5: bool = True, client_id: str = "listener", **login: str
    ) -> None:
        self.heard: list[Heard] = []
        self._subscribed = threading.Event()
        self._v5 = v5
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            **({} if v5 else {"clean_session": False}),
        )
        self.client.reconnect_delay_set(1, 1)
        if login:
            self.client.username_pw_set(login["username"], login["password"])
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = self._on_message
        keep = {}
        if v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600
            keep = {"clean_start": False, "properties": properties}
        self.client.connect("127.0.0.1", port, keepalive=60, **keep)
        self.client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        self.heard.append(
            Heard(message.topic, bytes(message.payload), bool(message.retain), message.properties)
        )

    def on(self, ending: str) -> list[Heard]:
        return [each for each in list(self.heard) if each.topic.endswith(ending)]

    def events(self) -> list[Any]:
        return [
            each.json
            for each in list(self.heard)
            if "/events/" in each.topic and not each.topic.endswith(("/snapshot", "/_outbox"))
        ]

    def request(self, topic: str, payload: bytes, retain: bool = False, **properties: Any) -> None:
        wire = None
        if self._v5:
            wire = Properties(PacketTypes.PUBLISH)
            for name, value in properties.items():
                setattr(wire, name, value)
        self.client.publish(topic, payload, qos=1, retain=retain, properties=wire).wait_for_publish(
            PATIENCE_S
        )

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        # paho closes its wake-up pipe when it is collected
        self.client = None  # type: ignore[assignment]


def event(number: int, rule: str = "defective_part", severity: Severity = Severity.WARNING) -> Event:
    now = datetime.now(UTC)
    return Event(
        id=f"{number:08d}",
        n=0,
        event_type=EventType.START,
        rule=rule,
        severity=severity,
        camera="line_1",
        region="belt",
        label="defect",
        probability=0.93,
        started_at=now,
        ended_at=None,
        captured_at=now,
        reason="test",
    )


def quick(options: LinkOptions) -> LinkOptions:
    """Short pauses: what is tested is that it comes back, not how patiently."""
    return replace(options, first_pause_s=0.1, longest_pause_s=0.3, slow_pause_s=3.0)


def publisher(
    port: int,
    state_dir: Path,
    tally: Tally,
    commands: Mapping[str, CommandHandler] | None = None,
    link: Callable[[LinkOptions], LinkOptions] = quick,
    outbox: OutboxSettings | None = None,
    hold_without_subscriber: bool = False,
    node: str = "gateway-7",
    clock: Clock | None = None,
    **mqtt: Any,
) -> Publisher:
    options = PublisherOptions(
        node=node,
        version="0.1.0",
        state_dir=state_dir,
        mqtt=MqttSettings(host="127.0.0.1", port=port, **{"keepalive": 60.0, **mqtt}),
        outbox=outbox if outbox is not None else OutboxSettings(),
        hold_without_subscriber=hold_without_subscriber,
    )
    return Publisher(options, tally, clock or SystemClock(), commands, link)


def end(publisher: Publisher, drain_s: float = 10.0) -> None:
    publisher.stop(drain_s)
    assert publisher.join(drain_s + 15.0), "the publisher's threads did not end"
