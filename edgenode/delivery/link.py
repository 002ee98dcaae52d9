"""The connection to the broker: paho-mqtt driven by one thread of its own, one fresh client a connection.

A fresh client knows no old messages: what was on its way when a connection ended is sent again by the outbox,
oldest first, so the order holds and nothing is sent by two parties. paho's callbacks only append to a deque (an
exception in one would kill the thread, and a lock taken in one would meet paho's own); `wake` is set once for all
that one turn of the loop brought.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from functools import partial
from typing import Any, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgenode.clock import Backoff, Clock
from edgenode.delivery.link_client import asked_for, build_client, packet_bytes
from edgenode.delivery.link_loop import Knock, turn
from edgenode.delivery.link_options import (
    TAKEN_OVER,
    Acknowledged,
    Connected,
    Disconnected,
    LinkOptions,
    LinkReport,
    Rivalled,
    Suspicion,
    failure,
    reason_text,
    received,
    refusal,
    rivalled,
    suspected,
    unanswered,
)
from edgenode.delivery.link_wire import WireClient
from edgenode.delivery.mqtt5_properties import PackedProperties
from edgenode.delivery.rivalry import Rivalry
from edgenode.records import Message

log = logging.getLogger(__name__)

_UNSUPPORTED_VERSION = 0x84
_LOOP_S = 0.5
_GOODBYE_S = 1.0
"""How long a DISCONNECT may take to leave the socket."""
_UNREAD_REPORTS = 10_000
"""Messages from the broker beyond this are dropped; acknowledgements are bounded by the window."""
PACKET_TOO_LARGE = -1
"""Answer of `send`: larger than the broker takes, not sent."""
NOT_SENT = -2
"""Answer of `send`: there is no connection, not sent."""


class Link:
    """`start`, `send`, `take`, `stop`, `join` are called by the publisher's thread. Reports come through
    `take`.
    """

    def __init__(self, options: LinkOptions, clock: Clock, wake: threading.Event) -> None:
        self._options = options
        self._clock = clock
        self._wake = wake
        self._reports: deque[LinkReport] = deque()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._knock = Knock()
        self._client: WireClient | None = None
        self._generation = 0
        self._accepted = threading.Event()
        self._ended: tuple[str, int] | None = None
        self._max_packet_bytes: int | None = None
        self._is_5 = True
        self._spoke_5 = False
        self._rivalry = Rivalry(options.instance_topic, options.boot)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self.heartbeat_s = clock.monotonic()
        """Of the thread's last progress. Looking the broker's name up and a pause may take a minute."""
        self.unread = 0
        """Messages from the broker that were dropped because nobody took them."""

    @property
    def patience_s(self) -> float:
        """How long the thread may take to end after `stop`."""
        return self._options.connect_timeout_s + _GOODBYE_S + 2 * _LOOP_S

    @property
    def keepalive_s(self) -> float:
        return self._options.mqtt.keepalive

    def start(self) -> None:
        self._thread.start()

    def take(self) -> list[LinkReport]:
        """Everything reported since the last call, in order."""
        reports: list[LinkReport] = []
        while self._reports:
            reports.append(self._reports.popleft())
        return reports

    def send(self, message: Message, generation: int) -> int:
        """Hand `message` to the connection `generation`; its number, or PACKET_TOO_LARGE, or NOT_SENT. `flush`
        sends it.

        The caller keeps to the window. Never blocks on the network. Raises ValueError for an invalid topic.
        """
        client = self._client
        if client is None or generation != self._generation or not self._accepted.is_set():
            return NOT_SENT
        properties = PackedProperties(message) if self._is_5 else None
        if self._max_packet_bytes is not None and packet_bytes(message, properties) > self._max_packet_bytes:
            return PACKET_TOO_LARGE
        # after the connection's end it stays in this client, which ends with it
        return client.post(message, properties)

    def flush(self) -> None:
        """After the last `send` of several: write them to the network now."""
        self._knock.knock()

    def hurry(self) -> None:
        """Cut a pause between two attempts short: what made the last one fail may have been repaired. Any
        thread."""
        self._hurry.set()

    def stop(self) -> None:
        """End the connection with a DISCONNECT; the broker then drops the will. Does not wait."""
        self._stopping.set()
        self._hurry.set()
        client = self._client
        if client is not None and self._accepted.is_set():
            client.disconnect()
            self._knock.knock()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; says whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._knock.close()
        return True

    def _run(self) -> None:
        backoff = Backoff(self._options.first_pause_s, self._options.longest_pause_s)
        suspicion = Suspicion(self._options.quick_loss_s)
        is_5 = self._options.mqtt.protocol != "3.1.1"
        while not self._stopping.is_set():
            self.heartbeat_s = self._clock.monotonic()
            try:
                pause_s, is_5 = self._connection(is_5, backoff, suspicion)
            except Exception as error:
                # paho may raise on a malformed packet; the next connection starts from nothing
                log.exception("the connection to the broker failed in an unexpected way")
                self._report(Disconnected(self._generation, f"unexpected: {error}", was_connected=True))
                pause_s = backoff.next_s()
            finally:
                self._accepted.clear()
                self._drop_client()
            if not self._stopping.is_set():
                self._hurry.wait(pause_s)

    def _connection(self, is_5: bool, backoff: Backoff, suspicion: Suspicion) -> tuple[float, bool]:
        """One connection from attempt to end: (pause before the next attempt, whether that one speaks
        MQTT 5).
        """
        self._generation += 1
        self._ended = None
        self._hurry.clear()
        generation = self._generation
        prefers_5 = self._options.mqtt.protocol != "3.1.1"
        try:
            client = self._build(is_5, generation)
            mqtt = self._options.mqtt
            client.connect(
                mqtt.host,
                mqtt.effective_port,
                # paho asks after one of these and gives up after another, at its loop's next turn: within two of ours
                keepalive=max(1, int(0.9 * mqtt.keepalive)),
                properties=asked_for() if is_5 else None,
            )
        except Exception as error:
            suspicion.alone()
            reason, lasting = failure(error, self._options.mqtt)
            self._report(Disconnected(generation, reason, lasting))
            return self._pause(backoff, lasting), prefers_5
        lived_s = self._serve(client)
        self._spoke_5 = self._spoke_5 or (is_5 and lived_s is not None)
        reason, code = self._ended or ("the connection was lost", 0)
        if lived_s is None:
            if code == 0:
                # a proxy whose broker is away takes the connection and ends it; another node of this name does not
                suspicion.alone()
            return self._not_accepted(generation, reason, code, is_5, backoff)
        if self._stopping.is_set():
            self._report(Disconnected(generation, "stopped", was_connected=True))
            return 0.0, prefers_5
        reason, slow = self._judge(reason, code, lived_s, client.closed, suspicion)
        self._report(Disconnected(generation, reason, slow, was_connected=True))
        if lived_s >= self._options.quick_loss_s:
            backoff.reset()
        return self._pause(backoff, slow), prefers_5

    def _judge(
        self, reason: str, code: int, lived_s: float, closed: bool, suspicion: Suspicion
    ) -> tuple[str, bool]:
        """Why an accepted connection ended, and whether to come back slowly."""
        rivalry, name = self._rivalry, self._options.client_id
        rivalry.lost()
        if rivalry.undisputed:
            suspicion.alone()
        slow = suspicion.lost(lived_s, code, closed)
        if rivalry.rival and closed:
            return rivalled(name, rivalry.rival), True
        if code == TAKEN_OVER:
            self._report(Rivalled(self._generation, rivalled(name)))
            return rivalled(name), True
        return f"{reason}; {suspected(name)}" if slow else reason, slow

    def _not_accepted(
        self, generation: int, reason: str, code: int, is_5: bool, backoff: Backoff
    ) -> tuple[float, bool]:
        # kept apart from `_connection`: nothing of this counts as a lost connection
        if is_5 and self._options.mqtt.protocol == "auto":
            if code == _UNSUPPORTED_VERSION:
                return 0.0, False
            # amqtt leaves an MQTT 5 CONNECT with a will unanswered; one that spoke MQTT 5 before is only slow
            if code < 128 and not self._spoke_5:
                self._report(Disconnected(generation, unanswered(self._options.mqtt)))
                return self._pause(backoff, False), False
        if code == 0:
            reason = unanswered(self._options.mqtt)
        lasting = code >= 128 and code not in (0x88, 0x89, 0x97, 0x9F)
        text = refusal(code, reason, self._options.mqtt) if code >= 128 else reason
        self._report(Disconnected(generation, text, lasting))
        return self._pause(backoff, lasting), self._options.mqtt.protocol != "3.1.1"

    def _serve(self, client: WireClient) -> float | None:
        """Run the connection until it ends; how long it was accepted, None where it never was."""
        begun_s = self._clock.monotonic()
        accepted_s: float | None = None
        stopped_s: float | None = None
        while self._ended is None:
            rc = turn(client, self._knock, _LOOP_S)
            if self._reports:
                self._wake.set()
            self.heartbeat_s = now_s = self._clock.monotonic()
            if accepted_s is None and self._accepted.is_set():
                accepted_s = now_s
            if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
            if accepted_s is None and now_s - begun_s > self._options.connect_timeout_s:
                self._ended = ("the broker accepts the connection but does not answer", 0)
            if self._stopping.is_set():
                stopped_s = now_s if stopped_s is None else stopped_s
                if accepted_s is None or now_s - stopped_s > _GOODBYE_S:
                    break
        return None if accepted_s is None else self._clock.monotonic() - accepted_s

    def _pause(self, backoff: Backoff, slow: bool) -> float:
        if not slow:
            return backoff.next_s()
        # spreads load, guards nothing
        return self._options.slow_pause_s * random.uniform(1.0, 1.5)  # noqa: S311

    def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            sock = client.socket()
            if sock is not None:
                sock.close()

    def _report(self, report: LinkReport) -> None:
        self._reports.append(report)
        self._wake.set()

    def _build(self, is_5: bool, generation: int) -> WireClient:
        """Raises LinkError."""
        client = build_client(self._options, is_5, partial(self._on_answer, generation))
        client.on_connect = partial(self._on_connect, generation, is_5)
        client.on_disconnect = partial(self._on_disconnect, generation)
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._client = client
        self._is_5 = is_5
        return client

    def _on_connect(
        self,
        generation: int,
        is_5: bool,
        client: paho.Client,
        _userdata: Any,
        _flags: Any,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._ended = (str(reason), reason.value)
            return
        announced = getattr(properties, "ReceiveMaximum", 65535)
        self._max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        protocol: Literal["5", "3.1.1"] = "5" if is_5 else "3.1.1"
        window = max(1, min(self._options.max_inflight, announced))
        self._rivalry.begin(client, is_5)
        for topic in self._options.subscriptions:
            if is_5:
                client.subscribe(
                    topic, options=SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2)
                )
            else:
                client.subscribe(topic, qos=1)
        self._reports.append(Connected(generation, protocol, window, self._max_packet_bytes))
        self._accepted.set()
        self._wake.set()

    def _on_disconnect(
        self, generation: int, _client: Any, _userdata: Any, flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if self._ended is None and generation == self._generation:
            # where the broker said nothing paho makes up a reason of its own, "Unspecified error"
            told = flags.is_disconnect_packet_from_server
            self._ended = (f"the connection was lost ({reason})", reason.value if told else 0)

    def _on_answer(self, generation: int, mid: int, code: int) -> None:
        self._reports.append(Acknowledged(generation, mid, code, reason_text(code), self._clock.monotonic()))

    def _on_subscribe(
        self, client: paho.Client, _userdata: Any, mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        self._rivalry.subscribed(client, mid, any(each.is_failure for each in reasons), self._is_5)

    def _on_message(self, client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        told = received(message) if len(self._reports) < _UNREAD_REPORTS else None
        if told is None:
            self.unread += 1
            return
        if not self._rivalry.heard(client, told, self._is_5):
            self._report(told)
        elif self._rivalry.rival:
            reason = rivalled(self._options.client_id, self._rivalry.rival)
            self._report(Rivalled(self._generation, reason))
