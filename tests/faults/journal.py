"""A subscriber that never forgets: which event messages came, in which order, how often.

Its session outlives its connections, and it comes back at once when the broker does.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One event message: what readers tell duplicates and gaps by, and a hash of all its bytes."""

    seq: int
    id: str
    n: int
    digest: bytes


@dataclass
class Books:
    """What came. Written by the subscriber's thread, read under `lock`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    first: dict[int, Entry] = field(default_factory=dict)
    """Each `seq` as it came first, in the order of arrival."""
    times: Counter[int] = field(default_factory=Counter)
    changed: list[tuple[Entry, Entry]] = field(default_factory=list)
    """Pairs with one `seq` and different contents: never allowed."""
    notices: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """`seq` of each notice of loss, to what it says is gone."""
    newest: int = 0
    """The greatest number that came."""


def entry_of(payload: bytes) -> Entry:
    """The entry of an event's or a notice's payload."""
    body = json.loads(payload)
    return Entry(body["seq"], body.get("id", "notice"), body.get("n", 0), hashlib.sha256(payload).digest())


class Journal:
    """From construction to `close`."""

    def __init__(self, port: int, root: str) -> None:
        self.books = Books()
        self._subscribed = threading.Event()
        self._marked = threading.Event()
        self._topic = f"{root}/events/+"
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="journal", protocol=MQTTProtocolVersion.MQTTv5
        )
        client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type] # seconds, whole ones not needed
        client.on_connect = lambda c, *_: c.subscribe(self._topic, qos=1)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 86400
        client.connect("127.0.0.1", port, keepalive=60, clean_start=False, properties=properties)
        client.loop_start()
        self._client: paho.Client | None = client
        assert self._subscribed.wait(PATIENCE_S), "the broker did not confirm the subscription"

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        if message.topic.endswith("/marker"):
            self._marked.set()
            return
        entry = entry_of(payload)
        with self.books.lock:
            self.books.times[entry.seq] += 1
            self.books.newest = max(self.books.newest, entry.seq)
            known = self.books.first.setdefault(entry.seq, entry)
            if known != entry:
                self.books.changed.append((known, entry))
            if message.topic.endswith("/_outbox"):
                self.books.notices[entry.seq] = json.loads(payload)["lost"]

    def settle(self) -> None:
        """Return when everything the broker had for this subscriber has come: it keeps the order."""
        assert self._client is not None
        self._marked.clear()
        info = self._client.publish(self._topic.replace("+", "marker"), b"", qos=1)
        info.wait_for_publish(PATIENCE_S)
        assert self._marked.wait(PATIENCE_S), "the marker did not come back"

    def gaps(self) -> set[int]:
        """Numbers below the newest that did not come (yet)."""
        with self.books.lock:
            return set(range(1, self.books.newest)) - self.books.first.keys()

    def missing(self, seqs: set[int]) -> set[int]:
        with self.books.lock:
            return seqs - self.books.first.keys()

    def close(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None
