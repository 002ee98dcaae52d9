"""A fuzz target: what a broker, or something that stands in its place, may say to the node's MQTT client."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from pathlib import Path

from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from edgenode.delivery.link_options import received
from edgenode.delivery.link_wire import WireClient
from edgenode.records import Message
from tests.faults.mutation import damaged

_BODY = b"\x00\x20edgenode/v1/gateway-7/commands/x"
_PROPERTIES = b"\x14\x08\x00\x09replies/1\x09\x00\x042026"
_SAID = [
    b"\x20\x03\x00\x00\x00", b"\x20\x06\x00\x00\x03\x21\x00\x14", b"\x40\x02\x00\x64", b"\x40\x04\x00\x65\x87\x00",
    b"\x30" + bytes([len(_BODY) + 1 + 2]) + _BODY + b"\x00{}",
    b"\x30" + bytes([len(_BODY) + len(_PROPERTIES) + 2]) + _BODY + _PROPERTIES + b"{}",
    b"\x32" + bytes([len(_BODY) + 2 + 1 + 2]) + _BODY + b"\x00\x07\x00{}",
    b"\x90\x04\x00\x01\x00\x01", b"\xd0\x00", b"\xe0\x02\x8e\x00", b"\xe0\x00", b"\xf0\x02\x18\x00",
]  # fmt: skip
_PIECE = 4000
"""Fits into a socket's buffer at once."""


def broker(folder: Path) -> Callable[[random.Random], str]:
    """Packets, damaged or whole, in pieces of any size. What paho raises ends the connection: the link begins anew."""
    del folder

    def feed(rng: random.Random) -> str:
        answered: list[int] = []
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            client = WireClient(
                lambda mid, _code: answered.append(mid),
                callback_api_version=CallbackAPIVersion.VERSION2,
                client_id="gateway-7",
                protocol=rng.choice((MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311)),
                reconnect_on_failure=False,
            )
            client.on_socket_register_write = _nothing
            client.on_message = _heard
            client._sock = near
            posted = [client.post(Message("a/b", b"{}"), None) for _ in range(rng.randrange(4))]
            data = b"".join(rng.choices(_SAID, k=rng.randint(1, 6)))
            if rng.random() < 0.8:
                data = damaged(rng, data, _PIECE)
            word = _read(client, far, data, rng)
            client._sock = None
        assert len(set(answered)) == len(answered)
        assert set(answered) <= set(posted)
        return word

    return feed


def _read(client: WireClient, far: socket.socket, data: bytes, rng: random.Random) -> str:
    while data:
        size = rng.randint(1, len(data))
        far.sendall(data[:size])
        data = data[size:]
        try:
            rc = client.loop_read()
        except Exception as error:
            return f"paho raised {type(error).__name__}"
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return "ended"
        if client.socket() is None:
            return "closed"
    return "read"


def _nothing(*_: object) -> None:
    return


def _heard(_client: object, _data: object, message: object) -> None:
    received(message)  # type: ignore[arg-type]
