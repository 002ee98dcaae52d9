"""What goes into the outbox and comes out of it, and how a message lies in its row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from edgenode.records import Message, Severity

LossReason = Literal["evicted", "expired", "too_large", "inbox_full", "unstorable", "set_aside", "dropped"]
RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
NOTICE_RANK = 3
"""Notices about losses outlive everything else: without them a gap could not be explained."""
ROW_BYTES = 96
"""What SQLite keeps beside a message's own bytes, indexes and acknowledgement included (measured, rounded
up).
"""
_EVENT_KEYS = ("specversion", "id", "source", "type", "time")
"""CloudEvents' attributes of an event, in the order in which they are written."""
_SPEC_VERSION = "1.0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that still needs its number. `build` must be pure: it is called again when a commit fails."""

    severity: Severity
    build: Callable[[int], Message]
    expires_at: datetime | None
    captured_at: datetime | None = None
    chained: Callable[[Message, str | None], tuple[Message, str]] | None = None
    """(message, hash of the link before, None for the first) to the message that carries its link, and its
    hash. As pure as `build`."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A stored message handed out for sending. `message.expiry_s` is what remains of its life."""

    seq: int
    message: Message
    captured_at: datetime | None


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    max_bytes: int = 64 * 2**20
    max_messages: int = 100_000
    keep_s: float = 86400.0
    """How long acknowledged messages stay for `replay`."""


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """One instant of the law of B. `bytes` includes acknowledged messages that are kept."""

    appended: int
    waiting: int
    acknowledged: int
    lost: dict[str, int]
    kept: int
    bytes: int
    oldest_at: datetime | None


def to_us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def from_us(us: int | None) -> datetime | None:
    return None if us is None else _EPOCH + timedelta(microseconds=us)


def encode_header(message: Message) -> str:
    """What a message is beside topic and payload. An event's, which differ in four words, in half the bytes."""
    keys = tuple(key for key, _ in message.user_properties)
    usual = (message.qos, message.retain, message.content_type) == (1, False, "application/json")
    if usual and keys == _EVENT_KEYS and message.user_properties[0][1] == _SPEC_VERSION:
        return json.dumps([value for _, value in message.user_properties[1:]], separators=(",", ":"))
    return json.dumps(
        [message.qos, message.retain, message.content_type, message.user_properties], separators=(",", ":")
    )


def decode(topic: str, header: str, payload: bytes, expiry_s: int | None) -> Message:
    words = json.loads(header)
    if isinstance(words[0], str):
        named = zip(_EVENT_KEYS, (_SPEC_VERSION, *words), strict=True)
        return Message(topic, payload, expiry_s=expiry_s, user_properties=tuple(named))
    qos, retain, content_type, properties = words
    return Message(
        topic,
        payload,
        qos=qos,
        retain=retain,
        expiry_s=expiry_s,
        content_type=content_type,
        user_properties=tuple((key, value) for key, value in properties),
    )
