"""paho's client with a way of its own for PUBLISH and PUBACK.

paho keeps every QoS 1 message in books of its own until it is acknowledged, with a condition variable for each, and
reads an acknowledgement in three calls of the system. The outbox keeps these books already. Here a PUBLISH is bytes
in a queue that leave together, and all acknowledgements that have arrived are read at once; whatever else the broker
says goes to paho, whole packet by whole packet. Measured: 62 µs of CPU for a message from outbox to outbox before,
18 with it (docs/performance.md).

One name that paho does not promise is used, `_sock_recv`; pyproject.toml holds paho to the versions that have it.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from edgenode.delivery.mqtt5_properties import PackedProperties, text_bytes, variable_integer
from edgenode.records import Message

_PUBLISH, _PUBACK = 0x30, 0x40
_FIRST_MID, _LAST_MID = 100, 65535
"""The numbers below are paho's: it takes one for each subscription."""
_CHUNK_BYTES = 64 * 1024
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_MAX_PAYLOAD = 268_435_455


class WireClient(paho.Client):
    """`post` on the publisher's thread, everything else on the network thread.

    `on_answer(mid, reason_code)` is called for each PUBACK, and with 0 for each QoS 0 message that was written.
    """

    def __init__(self, on_answer: Callable[[int, int], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_answer = on_answer
        self._mid = _FIRST_MID - 1
        self._unanswered: set[int] = set()
        self._posted: deque[tuple[bytes, int]] = deque()
        """Packets, and the number of each that nobody will acknowledge, 0 for the others."""
        self._unwritten = b""
        self._light: list[int] = []
        """Messages of QoS 0 among `_unwritten`."""
        self._pahos_turn = False
        """Whether paho may have written half a packet."""
        self._arrived = bytearray()
        self._readable = 0
        """How much of `_arrived` paho may read: one whole packet, or nothing."""
        self._lost = False
        self.closed = False
        """Whether the other end has closed the connection."""

    def post(self, message: Message, properties: PackedProperties | None) -> int:
        """Queue a PUBLISH; its number. `properties`: None in MQTT 3.1.1. Raises ValueError for what MQTT forbids."""
        topic = text_bytes(message.topic)
        if len(topic) <= 2 or "+" in message.topic or "#" in message.topic:
            raise ValueError(f"{message.topic!r} is no topic to publish on")
        if len(message.payload) > _MAX_PAYLOAD:
            raise ValueError("an MQTT payload has at most 268435455 bytes")
        mid = self._next_mid()
        head = topic if message.qos == 0 else topic + mid.to_bytes(2, "big")
        packed = b"" if properties is None else properties.pack()
        first = _PUBLISH | (message.qos << 1) | message.retain
        size = variable_integer(len(head) + len(packed) + len(message.payload))
        packet = b"".join((first.to_bytes(1, "big"), size, head, packed, message.payload))
        if message.qos:
            self._unanswered.add(mid)
        self._posted.append((packet, 0 if message.qos else mid))
        return mid

    def want_write(self) -> bool:
        return bool(self._posted or self._unwritten) or super().want_write()

    def loop_write(self) -> MQTTErrorCode:
        """Everything that the socket takes; a packet is never begun inside another. paho's packets go first: what was
        subscribed to before a message was posted has to reach the broker before it."""
        if not self._unwritten and (self._pahos_turn or super().want_write()):
            rc = super().loop_write()
            self._pahos_turn = super().want_write()
            if rc != MQTTErrorCode.MQTT_ERR_SUCCESS or self._pahos_turn:
                return rc
        while self._unwritten or self._posted:
            if not self._unwritten:
                self._unwritten = self._chunk()
            sock = self.socket()
            if sock is None:
                return MQTTErrorCode.MQTT_ERR_NO_CONN
            try:
                written = sock.send(self._unwritten)
            except _NOT_YET:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            except OSError as error:
                return self._last_words(error)
            self._unwritten = self._unwritten[written:]
            if self._unwritten:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            for mid in self._light:
                self._on_answer(mid, 0)
            self._light.clear()
        if not super().want_write():
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        rc = super().loop_write()
        self._pahos_turn = super().want_write()
        return rc

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:  # noqa: ARG002 - paho's signature
        """Everything that has arrived."""
        sock = self.socket()
        if sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            data = sock.recv(_CHUNK_BYTES)
        except _NOT_YET:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError as error:
            self.closed = self.closed or isinstance(error, ConnectionResetError)
            data = b""
        else:
            self.closed = self.closed or not data
        self._lost = not data
        self._arrived += data
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        while rc == MQTTErrorCode.MQTT_ERR_SUCCESS and self._next_packet():
            rc = super().loop_read()
            if self._readable:
                # paho gave up inside a packet: what follows has no beginning
                return MQTTErrorCode.MQTT_ERR_PROTOCOL if rc == MQTTErrorCode.MQTT_ERR_SUCCESS else rc
        if rc == MQTTErrorCode.MQTT_ERR_SUCCESS and self._lost:
            # paho's own words for a connection that ended: it meets the same end
            return super().loop_read()
        return rc

    def _last_words(self, error: OSError) -> MQTTErrorCode:
        """Nothing more can be written: hear what the broker may have said before it closed the connection."""
        self.closed = isinstance(error, (BrokenPipeError, ConnectionResetError))
        rc = self.loop_read()
        return rc if rc != MQTTErrorCode.MQTT_ERR_SUCCESS else MQTTErrorCode.MQTT_ERR_CONN_LOST

    def _next_packet(self) -> bool:
        """Take the acknowledgements; whether a whole packet for paho comes next."""
        data, at, size = self._arrived, 0, 0
        while (framed := _framed(data, at)) is not None:
            start, size = framed
            end = start + size
            if data[at] != _PUBACK or size < 2:
                break
            if len(data) < end:
                break
            mid = data[start] << 8 | data[start + 1]
            at = end
            if mid in self._unanswered:
                self._unanswered.discard(mid)
                self._on_answer(mid, data[start + 2] if size > 2 else 0)
        del data[:at]
        if framed is None or (len(data) < (whole := framed[0] - at + size)):
            return False
        self._readable = whole
        return True

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._readable == 0:
            if self._lost:
                return b""
            raise BlockingIOError
        taken = bytes(self._arrived[: min(bufsize, self._readable)])
        del self._arrived[: len(taken)]
        self._readable -= len(taken)
        return taken

    def _chunk(self) -> bytes:
        packets: list[bytes] = []
        size = 0
        while self._posted and size < _CHUNK_BYTES:
            packet, light = self._posted.popleft()
            packets.append(packet)
            size += len(packet)
            if light:
                self._light.append(light)
        return packets[0] if len(packets) == 1 else b"".join(packets)

    def _next_mid(self) -> int:
        while True:
            self._mid = self._mid + 1 if self._mid < _LAST_MID else _FIRST_MID
            if self._mid not in self._unanswered:
                return self._mid


def _framed(data: bytearray, at: int) -> tuple[int, int] | None:
    """Where the packet that begins `at` has its body, and the body's size; None while that cannot be seen.

    A size of more than four bytes is no MQTT: the packet then ends with them, so that paho sees and refuses it.
    """
    size = 0
    for place in range(4):
        where = at + 1 + place
        if where >= len(data):
            return None
        size |= (data[where] & 0x7F) << 7 * place
        if data[where] < 0x80:
            return where + 1, size
    return (at + 6, 0) if len(data) >= at + 6 else None
