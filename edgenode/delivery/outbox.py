"""Hand-off B: the store that an event enters before it is sent, and leaves only in one of the known ways.

The law, at any time and across crashes: appended = waiting + acknowledged + lost (by reason). One thread
owns an Outbox from `open` to `close`. An append is one transaction with one fsync, so appending fifty costs
little more than one (measured here: 0.2 ms a sync; 5 to 50 ms on SD cards). An acknowledgement is written
without a sync: it survives a killed process, and after a power cut the broker gets a message twice, which
readers detect by `id` and `n`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from edgenode.clock import Clock
from edgenode.delivery.outbox_file import SequenceReserve, open_database, storage_error
from edgenode.delivery.outbox_rows import (
    NOTICE_RANK,
    RANK,
    Claimed,
    Draft,
    LossReason,
    OutboxCounts,
    OutboxLimits,
    decode,
    from_us,
    to_us,
)
from edgenode.delivery.outbox_store import Store
from edgenode.delivery.payloads import LossRange
from edgenode.errors import OutboxError
from edgenode.records import Message

T = TypeVar("T")


class Outbox:
    """Opens with the constructor, which raises OutboxError. Threads and guarantees: see the module.

    `on_loss` hears of every message given up, by reason, after it was committed.
    """

    def __init__(
        self,
        folder: Path,
        limits: OutboxLimits,
        clock: Clock,
        on_loss: Callable[[LossReason, int], None] = lambda _reason, _count: None,
    ) -> None:
        self._clock = clock
        self._on_loss = on_loss
        opened = open_database(folder, limits.max_bytes, clock.now())
        self.set_aside = opened.set_aside
        """Where a damaged database was moved when this one was opened; None where nothing was wrong."""
        self.damage = opened.reason
        self._db = opened.connection
        self._claimed: set[int] = set()
        self._cursor = 0
        self._store = Store(self._db, limits, SequenceReserve(folder))
        try:
            self._transact(self._store.load, f"{folder} cannot be opened")
        except OutboxError:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def append_many(self, drafts: Sequence[Draft]) -> list[int]:
        """Store all or none; on return they are on the disk. The numbers are consecutive.

        Evicts what the limits ask for in the same transaction. Raises OutboxError, with nothing stored, on a
        full disk; the same call works again once there is space.
        """
        if not drafts:
            return []
        first = self._store.next_seq

        def work() -> int:
            now_at = self._clock.now()
            self._store.reserve(len(drafts))
            chaining = any(draft.chained is not None for draft in drafts)
            head = self._store.ledger.chain_head() if chaining else None
            for draft in drafts:
                message = draft.build(self._store.next_seq)
                if draft.chained is not None:
                    message, head = draft.chained(message, head)
                self._store.insert(RANK[draft.severity], message, now_at, draft.expires_at, draft.captured_at)
            self._store.inserted(len(drafts))
            if chaining and head is not None:
                self._store.ledger.set_chain_head(head)
            return self._store.bound(self._claimed)

        for _ in range(8):
            try:
                self._lost("evicted", self._transact(work, f"{len(drafts)} messages cannot be stored"))
                return list(range(first, first + len(drafts)))
            except OutboxError as error:
                if not (self._at_page_limit(error) and self._make_room()):
                    raise
        raise OutboxError(f"outbox: {len(drafts)} messages cannot be stored: they are larger than the outbox")

    def claim(self, limit: int, skip_topics: Collection[str] = ()) -> list[Claimed]:
        """The oldest waiting messages not handed out yet, at most `limit`, in the order of their numbers.

        What has expired is lost instead. Messages on `skip_topics` are passed over: `rewind` to come back.
        Raises OutboxError.
        """
        now_us = to_us(self._clock.now())
        taken: list[Claimed] = []
        expired: list[int] = []
        while len(taken) < limit:
            rows = self._read(
                "SELECT seq, expires_us, captured_us, topic, header, payload FROM waiting "
                "WHERE seq > ? ORDER BY seq LIMIT ?",
                (self._cursor, limit - len(taken)),
            )
            for seq, expires_us, captured_us, topic, header, payload in rows:
                self._cursor = seq
                if seq in self._claimed or topic in skip_topics:
                    continue
                if expires_us is not None and expires_us <= now_us:
                    expired.append(seq)
                    continue
                remaining_s = None if expires_us is None else max(1, (expires_us - now_us) // 1_000_000)
                taken.append(Claimed(seq, decode(topic, header, payload, remaining_s), from_us(captured_us)))
                self._claimed.add(seq)
            if not rows:
                break
        if expired:
            # where this fails, `tidy` finds them again
            with suppress(OutboxError):
                self._lost("expired", self._transact(lambda: self._store.lose(expired, "expired"), "expiry"))
        return taken

    def ack(self, seqs: Collection[int]) -> int:
        """The broker has these; they stay for `keep_s`. Returns how many were waiting. Raises OutboxError."""
        if not seqs:
            return 0
        try:
            self._execute("PRAGMA synchronous=NORMAL")
            count = self._transact(
                lambda: self._store.acknowledge(seqs, self._clock.now()),
                f"{len(seqs)} acknowledgements cannot be stored",
            )
        finally:
            with suppress(OutboxError):
                self._execute("PRAGMA synchronous=FULL")
        self._claimed.difference_update(seqs)
        return count

    def release(self, seqs: Collection[int]) -> None:
        """These were not delivered: hand them out again, oldest first."""
        self._claimed.difference_update(seqs)
        if seqs:
            self.rewind(min(seqs))

    def rewind(self, seq: int) -> None:
        """Let `claim` look again from `seq` on."""
        self._cursor = min(self._cursor, seq - 1)

    def discard(self, seq: int, reason: LossReason) -> None:
        """Give up one claimed message that can never be sent. Raises OutboxError."""
        self._lost(reason, self._transact(lambda: self._store.lose([seq], reason), f"message {seq} stays"))
        self._claimed.discard(seq)

    def record_loss(self, reason: LossReason, count: int) -> None:
        """Note messages lost before they had a number, so that a notice tells of them. Raises OutboxError."""
        self._transact(lambda: self._store.ledger.lose_unnumbered(reason, count), "a loss cannot be recorded")

    def tidy(self) -> None:
        """Forget what was kept long enough, lose what expired. Call about once a second. Raises
        OutboxError.
        """
        expired = self._transact(lambda: self._store.tidy(self._clock.now(), self._claimed), "tidying failed")
        self._lost("expired", expired)

    def replay(self, since: datetime, spare: Collection[int] = ()) -> list[int]:
        """Make kept messages acknowledged at or after `since`, but for `spare`, wait again; their numbers. Raises
        OutboxError."""
        seqs = self._transact(lambda: self._store.revive(since, spare), "nothing can be replayed")
        if seqs:
            self.rewind(seqs[0])
        return seqs

    def drop(self, before: datetime | None = None, rule: str | None = None) -> int:
        """Give up what waits: all, or what was appended before then, or what one rule said; how many messages. A
        notice will name their numbers. Raises OutboxError."""
        count = self._transact(lambda: self._store.drop(before, rule), "nothing can be dropped")
        self._lost("dropped", count)
        return count

    def append_notice(self, build: Callable[[int, list[LossRange]], Message]) -> bool:
        """Turn recorded losses into a message; says whether there were any. Raises OutboxError."""

        def work() -> bool:
            lost, last_id = self._store.ledger.first_losses()
            if not lost:
                return False
            self._store.reserve(1)
            message = build(self._store.next_seq, lost)
            self._store.insert(NOTICE_RANK, message, self._clock.now(), None, None)
            self._store.inserted(1)
            self._store.ledger.settle(last_id)
            return True

        return self._transact(work, "losses cannot be noticed")

    def counts(self) -> OutboxCounts:
        """Raises OutboxError."""
        tallies = dict(self._read("SELECT name, value FROM tally"))
        oldest = self._read("SELECT appended_us FROM waiting ORDER BY seq LIMIT 1") if self.waiting else []
        return OutboxCounts(
            appended=tallies.get("appended", 0),
            waiting=self._store.waiting,
            acknowledged=tallies.get("acknowledged", 0),
            lost={k.removeprefix("lost_"): v for k, v in tallies.items() if k.startswith("lost_")},
            kept=self._store.kept,
            bytes=self._store.bytes,
            oldest_at=from_us(oldest[0][0]) if oldest else None,
        )

    @property
    def waiting(self) -> int:
        return self._store.waiting

    @property
    def size_bytes(self) -> int:
        return self._store.bytes

    @property
    def next_seq(self) -> int:
        return self._store.next_seq

    def _transact(self, work: Callable[[], T], failure: str) -> T:
        """Run `work` as one transaction; when it fails everything, the counts in memory too, is as before."""
        before = self._store.holding()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = work()
            self._db.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            self._store.restore(before)
            if isinstance(error, (sqlite3.Error, OSError)):
                raise storage_error(f"outbox: {failure}", error) from error
            raise
        return result

    def _execute(self, statement: str) -> None:
        try:
            self._db.execute(statement)
        except sqlite3.Error as error:
            raise storage_error("outbox", error) from error

    def _read(self, query: str, values: tuple[int, ...] = ()) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise storage_error("outbox: it cannot be read", error) from error

    def _lost(self, reason: LossReason, count: int) -> None:
        if count:
            self._on_loss(reason, count)

    def _at_page_limit(self, error: OutboxError) -> bool:
        """Whether the database's own limit, not the disk, is full."""
        if getattr(error.__cause__, "sqlite_errorname", "") != "SQLITE_FULL":
            return False
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        return bool(pages >= self._db.execute("PRAGMA max_page_count").fetchone()[0] - 64)

    def _make_room(self) -> bool:
        try:
            freed, evicted = self._transact(
                lambda: self._store.make_room(self._claimed), "no room can be made"
            )
        except OutboxError:
            return False
        self._lost("evicted", evicted)
        return freed > 0
