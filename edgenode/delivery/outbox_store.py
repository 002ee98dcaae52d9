"""The outbox's rows and how many there may be. Everything here runs inside a transaction of the `Outbox`."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from edgenode.delivery.outbox_file import SequenceReserve
from edgenode.delivery.outbox_ledger import Ledger
from edgenode.delivery.outbox_rows import (
    NOTICE_RANK,
    ROW_BYTES,
    LossReason,
    OutboxLimits,
    encode_header,
    to_us,
)
from edgenode.records import Message

STEP = 256
"""Rows looked at in one step of forgetting or evicting."""


@dataclass(frozen=True, slots=True)
class Holding:
    """How much there is, kept in memory because it is asked for with every append."""

    next_seq: int
    waiting: int
    kept: int
    bytes: int


class Store:
    def __init__(self, db: sqlite3.Connection, limits: OutboxLimits, reserve: SequenceReserve) -> None:
        self._db = db
        self._limits = limits
        self._reserve = reserve
        self.ledger = Ledger(db)
        self.next_seq, self.waiting, self.kept, self.bytes = 1, 0, 0, 0

    def load(self) -> None:
        """Count what is there. Where the numbers of a lost database may have been used, continue above
        them.
        """
        total, self.bytes = self._db.execute(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM message"
        ).fetchone()
        self.kept = self._db.execute("SELECT count(*) FROM ack").fetchone()[0]
        self.waiting = total - self.kept
        known = self.ledger.tallies().get("next_seq")
        if known is not None:
            self.next_seq = known
        elif self._reserve.limit > 0:
            self.ledger.lose_unnumbered("set_aside", None, self._reserve.limit)
            self.next_seq = self._reserve.limit + 1
            self.ledger.set_next_seq(self.next_seq)

    def holding(self) -> Holding:
        return Holding(self.next_seq, self.waiting, self.kept, self.bytes)

    def restore(self, holding: Holding) -> None:
        """After a rollback: what the numbers were before."""
        self.next_seq, self.waiting = holding.next_seq, holding.waiting
        self.kept, self.bytes = holding.kept, holding.bytes

    def reserve(self, count: int) -> None:
        """Before `count` inserts. Raises OSError."""
        self._reserve.ensure(self.next_seq + count)

    def insert(
        self,
        rank: int,
        message: Message,
        appended_at: datetime,
        expires_at: datetime | None,
        captured_at: datetime | None,
    ) -> None:
        """Store `message`, which was built with `next_seq`."""
        header = encode_header(message)
        size = len(message.payload) + len(message.topic) + len(header) + ROW_BYTES
        self._db.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.next_seq,
                rank,
                size,
                to_us(appended_at),
                None if expires_at is None else to_us(expires_at),
                None if captured_at is None else to_us(captured_at),
                message.topic,
                header,
                message.payload,
            ),
        )
        self.next_seq += 1
        self.waiting += 1
        self.bytes += size

    def inserted(self, count: int) -> None:
        """After `count` inserts: the books, once a transaction."""
        self.ledger.set_next_seq(self.next_seq)
        self.ledger.add("appended", count)

    def acknowledge(self, seqs: Collection[int], at: datetime) -> int:
        """Returns how many of `seqs`, of which there is at least one, were waiting."""
        at_us = to_us(at)
        count = self._db.executemany(
            "INSERT OR IGNORE INTO ack SELECT seq, ? FROM message WHERE seq = ?",
            [(at_us, seq) for seq in seqs],
        ).rowcount
        self.ledger.add("acknowledged", count)
        self.waiting -= count
        self.kept += count
        return count

    def revive(self, since: datetime, spare: Collection[int] = ()) -> list[int]:
        """Make what was acknowledged at or after `since`, but for `spare`, wait again; its numbers, ascending."""
        rows = self._db.execute(
            "SELECT seq FROM ack WHERE at_us >= ? ORDER BY seq", (to_us(since),)
        ).fetchall()
        seqs = [seq for (seq,) in rows if seq not in spare]
        self._db.executemany("DELETE FROM ack WHERE seq = ?", [(seq,) for seq in seqs])
        self.ledger.add("acknowledged", -len(seqs))
        self.waiting += len(seqs)
        self.kept -= len(seqs)
        return seqs

    def lose(self, seqs: Collection[int], reason: LossReason) -> int:
        """Delete waiting messages and record their numbers; returns how many there were."""
        gone: list[int] = []
        for seq in seqs:
            row = self._db.execute("SELECT bytes FROM waiting WHERE seq = ?", (seq,)).fetchone()
            if row is not None:
                self.bytes -= row[0]
                gone.append(seq)
        self._db.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq in gone])
        self.ledger.lose(reason, gone)
        self.waiting -= len(gone)
        return len(gone)

    def drop(self, before: datetime | None, rule: str | None) -> int:
        """Lose what waits: all, or what was appended before then, or what belongs to one rule. Notices stay."""
        query = "SELECT seq, topic FROM waiting WHERE appended_us < ? AND severity < ? ORDER BY seq"
        before_us = 2**62 if before is None else to_us(before)
        topics = None if rule is None else (f"/events/{rule}", f"/events/{rule}/snapshot")
        rows = self._db.execute(query, (before_us, NOTICE_RANK)).fetchall()
        return self.lose([seq for seq, topic in rows if topics is None or topic.endswith(topics)], "dropped")

    def bound(self, claimed: Collection[int]) -> int:
        """Keep the limits: first what is only kept goes, then the least severe, then the oldest.

        What is on its way to the broker (`claimed`) is spared. Returns how many were evicted.
        """
        evicted = 0
        while self._over():
            if self._forget_kept():
                continue
            chosen = self._least(claimed)
            if not chosen:
                break
            evicted += self.lose(chosen, "evicted")
        return evicted

    def make_room(self, claimed: Collection[int]) -> tuple[int, int]:
        """Free one step's worth of rows although the limits are kept: (rows freed, of them evicted)."""
        rows = self._db.execute("SELECT seq, bytes FROM kept ORDER BY seq LIMIT ?", (STEP,)).fetchall()
        if rows:
            self._forget([seq for seq, _ in rows], sum(size for _, size in rows))
            return len(rows), 0
        evicted = self.lose(self._least(claimed, at_least=STEP), "evicted")
        return evicted, evicted

    def tidy(self, now_at: datetime, claimed: Collection[int]) -> int:
        """Forget what was kept long enough, and lose what has expired; returns how many expired."""
        now_us = to_us(now_at)
        rows = self._db.execute("SELECT seq, at_us, bytes FROM kept ORDER BY seq LIMIT 1000").fetchall()
        due = [(seq, size) for seq, at_us, size in rows if at_us <= now_us - int(self._limits.keep_s * 1e6)]
        self._forget([seq for seq, _ in due], sum(size for _, size in due))
        expired = self._db.execute(
            "SELECT seq FROM waiting WHERE expires_us <= ? LIMIT 1000", (now_us,)
        ).fetchall()
        return self.lose([seq for (seq,) in expired if seq not in claimed], "expired")

    def _over(self, freed_bytes: int = 0, freed: int = 0) -> bool:
        held = self.waiting + self.kept - freed
        return self.bytes - freed_bytes > self._limits.max_bytes or held > self._limits.max_messages

    def _forget_kept(self) -> bool:
        rows = self._db.execute("SELECT seq, bytes FROM kept ORDER BY seq LIMIT ?", (STEP,)).fetchall()
        chosen: list[int] = []
        freed = 0
        for seq, size in rows:
            if not self._over(freed, len(chosen)):
                break
            chosen.append(seq)
            freed += size
        self._forget(chosen, freed)
        return bool(chosen)

    def _forget(self, seqs: list[int], size: int) -> None:
        self._db.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq in seqs])
        self._db.executemany("DELETE FROM ack WHERE seq = ?", [(seq,) for seq in seqs])
        self.kept -= len(seqs)
        self.bytes -= size

    def _least(self, claimed: Collection[int], at_least: int = 0) -> list[int]:
        """The waiting messages that matter least, enough to be within the limits, or `at_least` so many."""
        rows = self._db.execute(
            "SELECT seq, bytes FROM waiting ORDER BY severity, seq LIMIT ?", (STEP + len(claimed),)
        ).fetchall()
        chosen: list[int] = []
        freed = 0
        for seq, size in rows:
            if len(chosen) >= at_least and not self._over(freed, len(chosen)):
                break
            if seq not in claimed:
                chosen.append(seq)
                freed += size
        return chosen
