"""The MQTT 5 properties of a PUBLISH as bytes.

paho's own `Properties` take 40 µs of CPU for an event's seven properties, two thirds of what the whole
message costs; this takes 4. paho only calls `pack` on what it is given.
"""

from __future__ import annotations

from functools import lru_cache

from edgenode.records import Message

# identifiers: MQTT 5.0, section 2.2.2.2
_EXPIRY = 0x02
_CONTENT_TYPE = 0x03
_CORRELATION = 0x09
_USER_PROPERTY = 0x26


class PackedProperties:
    """Looks to paho like its `Properties`. Raises ValueError for what MQTT forbids in a text."""

    __slots__ = ("_packed",)

    def __init__(self, message: Message) -> None:
        body = bytearray()
        if message.expiry_s is not None:
            body.append(_EXPIRY)
            body += min(message.expiry_s, 0xFFFFFFFF).to_bytes(4, "big")
        if message.payload and message.content_type:
            body.append(_CONTENT_TYPE)
            body += text_bytes(message.content_type)
        if message.response_to is not None:
            body.append(_CORRELATION)
            body += _prefixed(message.response_to)
        for key, value in message.user_properties:
            body.append(_USER_PROPERTY)
            body += text_bytes(key)
            body += text_bytes(value)
        self._packed = variable_integer(len(body)) + bytes(body)

    def pack(self) -> bytes:
        """The length and the properties."""
        return self._packed


@lru_cache(maxsize=256)
def text_bytes(text: str) -> bytes:
    """`text` with its length before it. Most are the same in every message: names of properties, source, topic."""
    if "\0" in text:
        # MQTT-1.5.4-2: the broker would end the connection, again after every reconnect
        raise ValueError("a text in an MQTT property may not hold a zero character")
    return _prefixed(text.encode())


def _prefixed(text: bytes) -> bytes:
    if len(text) > 0xFFFF:
        raise ValueError("an MQTT property has at most 65535 bytes")
    return len(text).to_bytes(2, "big") + text


def variable_integer(value: int) -> bytes:
    """MQTT 5.0, section 1.5.5: seven bits a byte, the lowest first."""
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)
