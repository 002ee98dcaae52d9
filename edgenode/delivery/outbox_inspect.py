"""Looking into the outbox from another process, while the node runs: for `edgenode outbox`.

Everything here reads. To send again while the node runs there is the command `replay_events`; without a node
`replay_offline` does it, and its caller must hold the state directory.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgenode.clock import Clock
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_file import DATABASE, connect_read_only, storage_error
from edgenode.delivery.outbox_rows import OutboxLimits, decode, from_us, to_us
from edgenode.delivery.payloads import rfc3339
from edgenode.errors import OutboxError
from edgenode.records import JsonObject

MAX_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """The law of B as the files tell it: appended = waiting + acknowledged + the sum of lost."""

    appended: int
    waiting: int
    acknowledged: int
    lost: dict[str, int]
    kept: int
    bytes: int
    oldest_s: float | None
    """Age of the oldest message that waits."""
    next_seq: int
    set_aside: tuple[Path, ...]
    """Damaged files that were replaced."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    seq: int
    topic: str
    bytes: int
    appended_at: datetime
    expires_at: datetime | None
    acknowledged_at: datetime | None


def stats(folder: Path, now_at: datetime) -> OutboxStats:
    """Raises OutboxError where there is no outbox in `folder`."""
    with closing(connect_read_only(folder)) as db:
        try:
            tallies = dict(db.execute("SELECT name, value FROM tally").fetchall())
            waiting, oldest_us = db.execute("SELECT count(*), min(appended_us) FROM waiting").fetchone()
            kept = db.execute("SELECT count(*) FROM ack").fetchone()[0]
            size = db.execute("SELECT coalesce(sum(bytes), 0) FROM message").fetchone()[0]
        except sqlite3.Error as error:
            raise storage_error(f"outbox in {folder}", error) from error
    oldest_at = from_us(oldest_us)
    return OutboxStats(
        appended=tallies.get("appended", 0),
        waiting=waiting,
        acknowledged=tallies.get("acknowledged", 0),
        lost={k.removeprefix("lost_"): v for k, v in tallies.items() if k.startswith("lost_")},
        kept=kept,
        bytes=size,
        oldest_s=None if oldest_at is None else (now_at - oldest_at).total_seconds(),
        next_seq=tallies.get("next_seq", 1),
        set_aside=tuple(
            sorted(p for p in folder.glob("outbox.db.damaged-*") if not p.name.endswith(("-wal", "-shm")))
        ),
    )


def list_messages(folder: Path, limit: int = 100, waiting_only: bool = False) -> list[StoredMessage]:
    """The oldest messages first. Raises OutboxError."""
    query = (
        "SELECT message.seq, topic, length(payload), appended_us, expires_us, at_us "
        "FROM message LEFT JOIN ack ON ack.seq = message.seq WHERE at_us IS NULL OR ? "
        "ORDER BY message.seq LIMIT ?"
    )
    with closing(connect_read_only(folder)) as db:
        try:
            rows = db.execute(query, (not waiting_only, limit)).fetchall()
        except sqlite3.Error as error:
            raise storage_error(f"outbox in {folder}", error) from error
    return [
        StoredMessage(seq, topic, size, _known(appended_us), from_us(expires_us), from_us(at_us))
        for seq, topic, size, appended_us, expires_us, at_us in rows
    ]


def export(folder: Path) -> Iterator[JsonObject]:
    """Every stored message as a JSON object, oldest first; what is not text (a JPEG) in hexadecimal.

    Raises OutboxError.
    """
    query = (
        "SELECT message.seq, topic, header, payload, appended_us, at_us "
        "FROM message LEFT JOIN ack ON ack.seq = message.seq ORDER BY message.seq"
    )
    with closing(connect_read_only(folder)) as db:
        try:
            for seq, topic, header, payload, appended_us, at_us in db.execute(query):
                acknowledged_at = from_us(at_us)
                line: JsonObject = {
                    "seq": seq,
                    "topic": topic,
                    "appended_at": rfc3339(_known(appended_us)),
                    "acknowledged_at": None if acknowledged_at is None else rfc3339(acknowledged_at),
                    "content_type": decode(topic, header, payload, None).content_type,
                }
                try:
                    line["payload_text"] = payload.decode()
                except UnicodeDecodeError:
                    line["payload_hex"] = payload.hex()
                yield line
        except sqlite3.Error as error:
            raise storage_error(f"outbox in {folder}", error) from error


def steps_since(folder: Path, since: datetime) -> list[JsonObject]:
    """The events' payloads appended at or after `since`, the newest 10,000 of them, in the order of `seq`.

    Nothing where there is no outbox yet. Raises OutboxError.
    """
    if not (folder / DATABASE).is_file():
        return []
    steps: list[JsonObject] = []
    with closing(connect_read_only(folder)) as db:
        try:
            for appended_us, topic, payload in db.execute(
                "SELECT appended_us, topic, payload FROM message ORDER BY seq DESC LIMIT ?", (MAX_STEPS,)
            ):
                if appended_us < to_us(since):
                    break
                if not topic.endswith(("/snapshot", "/_outbox")):
                    steps.append(json.loads(payload))
        except (sqlite3.Error, ValueError) as error:
            raise storage_error(f"outbox in {folder}", error) from error
    return steps[::-1]


def replay_offline(folder: Path, limits: OutboxLimits, clock: Clock, since: datetime) -> int:
    """Make what was acknowledged since then wait again; no node may be running. Raises OutboxError."""
    connect_read_only(folder).close()
    outbox = Outbox(folder, limits, clock)
    try:
        return len(outbox.replay(since))
    finally:
        outbox.close()


def drop_offline(
    folder: Path, limits: OutboxLimits, clock: Clock, before: datetime | None, rule: str | None
) -> int:
    """Give up what waits (see `Outbox.drop`); no node may be running. Raises OutboxError."""
    connect_read_only(folder).close()
    outbox = Outbox(folder, limits, clock)
    try:
        return outbox.drop(before, rule)
    finally:
        outbox.close()


def _known(us: int) -> datetime:
    at = from_us(us)
    if at is None:
        raise OutboxError("outbox: a message has no time")
    return at
