"""What the publisher, the outbox and the link report. Implements delivery's `DeliveryObserver` by shape."""

from __future__ import annotations

import re
from collections.abc import Callable

from prometheus_client import Counter, Histogram
from prometheus_client.registry import CollectorRegistry

from edgenode.telemetry.children import LATENCY_BUCKETS_S, Children, LateGauge

_WORD = re.compile(r"^[a-z][a-z0-9_]{0,31}$")
_LONG_BUCKETS_S = (*LATENCY_BUCKETS_S, 60.0, 600.0, 3600.0)
"""An acknowledgement may be an outage late: up to an hour is told apart."""
_VERBS = frozenset(
    {
        "reload",
        "snapshot",
        "model_install",
        "model_activate",
        "model_rollback",
        "model_shadow",
        "camera_enable",
        "camera_disable",
        "rule_enable",
        "rule_disable",
        "explain",
        "replay_events",
    }
)


class DeliveryMetrics:
    """Every method may be called from the publisher's or the link's thread; none blocks or raises."""

    def __init__(self, registry: CollectorRegistry, stage_seconds: Callable[[str, float], None]) -> None:
        self._deliver_stage = stage_seconds
        events = Counter(
            "edgenode_events",
            "Steps of events put into the outbox.",
            ["rule", "event_type"],
            registry=registry,
        )
        evicted = Counter(
            "edgenode_outbox_evicted",
            "Events that left the outbox undelivered.",
            ["reason"],
            registry=registry,
        )
        commands = Counter("edgenode_commands", "Commands answered.", ["verb", "result"], registry=registry)
        self._events = Children[tuple[str, str], Counter](lambda key: events.labels(*key))
        self._evicted = Children[str, Counter](evicted.labels)
        self._commands = Children[tuple[str, str], Counter](lambda key: commands.labels(*key))
        self._delivered = Counter(
            "edgenode_events_delivered", "Steps of events the broker acknowledged.", registry=registry
        )
        self._refused = Counter(
            "edgenode_events_refused",
            "Publications of events the broker answered with a failure; they stay in the outbox.",
            registry=registry,
        )
        self._rivalled = Counter(
            "edgenode_mqtt_rivals",
            "Times that another client of this node's name was met at the broker.",
            registry=registry,
        )
        dropped = Counter(
            "edgenode_messages_dropped",
            "Messages beside the outbox that a full buffer lost, and commands without an answer.",
            ["kind"],
            registry=registry,
        )
        self._dropped = Children[str, Counter](dropped.labels)
        self._to_publish = Histogram(
            "edgenode_capture_to_publish_seconds",
            "From the frame's capture to the event's PUBLISH.",
            buckets=_LONG_BUCKETS_S,
            registry=registry,
        )
        self._to_ack = Histogram(
            "edgenode_capture_to_ack_seconds",
            "From the frame's capture to the broker's PUBACK.",
            buckets=_LONG_BUCKETS_S,
            registry=registry,
        )
        self._messages = LateGauge(registry, "edgenode_outbox_messages", "Undelivered events in the outbox.")
        self._bytes = LateGauge(registry, "edgenode_outbox_bytes", "Bytes the outbox takes on the disk.")
        self._connected = LateGauge(registry, "edgenode_mqtt_connected", "1 while connected to the broker.")

    def event_appended(self, rule: str, event_type: str) -> None:
        self._events[rule, str(event_type)].inc()

    def event_delivered(self, count: int = 1) -> None:
        self._delivered.inc(count)

    def deliver_seconds(self, s: float) -> None:
        self._deliver_stage("deliver", s)

    def publish_seconds(self, s: float) -> None:
        self._to_publish.observe(max(0.0, s))

    def ack_seconds(self, s: float) -> None:
        self._to_ack.observe(max(0.0, s))

    def outbox(self, messages: int, bytes: int) -> None:  # noqa: A002 - the observer's word
        self._messages.set(messages)
        self._bytes.set(bytes)

    def evicted(self, reason: str, count: int) -> None:
        self._evicted[str(reason) if _WORD.match(reason) else "other"].inc(count)

    def connected(self, connected: bool) -> None:
        self._connected.set(float(connected))

    def rivalled(self) -> None:
        self._rivalled.inc()

    def refused(self, count: int = 1) -> None:
        self._refused.inc(count)

    def messages_dropped(self, kind: str, count: int) -> None:
        self._dropped[kind].inc(count)

    def command(self, verb: str, ok: bool) -> None:
        """`verb` comes from a topic anybody may write to: unknown ones share one series."""
        self._commands[verb if verb in _VERBS else "unknown", "ok" if ok else "error"].inc()
