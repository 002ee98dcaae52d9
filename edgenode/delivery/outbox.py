"""Hand-off B: the store that an event enters before anything is sent, and leaves only in one of the known
ways.

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

from edgenode.clock import Clock
from edgenode.delivery.outbox_file import SequenceReserve, open_database, storage_error
from edgenode.delivery.outbox_ledger import Ledger
from edgenode.delivery.outbox_rows import (
    NOTICE_RANK,
    RANK,
    ROW_BYTES,
    Claimed,
    Draft,
    LossReason,
    OutboxCounts,
    OutboxLimits,
    decode,
    encode_header,
    from_us,
    to_us,
)
from edgenode.delivery.payloads import LossRange
from edgenode.errors import OutboxError
from edgenode.records import Message

_STEP = 256
_WAITING = "NOT EXISTS (SELECT 1 FROM ack WHERE ack.seq = message.seq)"
_KEPT = "FROM ack JOIN message ON message.seq = ack.seq ORDER BY ack.seq LIMIT ?"


class Outbox:
    """Open with the constructor; raises OutboxError. See the module's text for threads and guarantees."""

    def __init__(self, folder: Path, limits: OutboxLimits, clock: Clock) -> None:
        self._clock = clock
        self._limits = limits
        opened = open_database(folder, limits.max_bytes, clock.now())
        self._db = opened.connection
        self._ledger = Ledger(self._db)
        self.set_aside = opened.set_aside
        """Where a damaged database was moved when this one was opened; None where nothing was wrong."""
        self.damage = opened.reason
        self._claimed: set[int] = set()
        self._cursor = 0
        try:
            self._reserve = SequenceReserve(folder)
            self._load()
        except (sqlite3.Error, OSError) as error:
            self._db.close()
            raise storage_error("outbox: cannot be opened", error) from error

    def close(self) -> None:
        self._db.close()

    def append_many(self, drafts: Sequence[Draft]) -> list[int]:
        """Store all or none; on return they are on the disk. The numbers are consecutive.

        Evicts what the limits ask for in the same transaction. Raises OutboxError (nothing stored) on a
        full disk.
        """
        if not drafts:
            return []
        for attempt in range(3):
            try:
                return self._append(drafts)
            except (sqlite3.Error, OSError) as error:
                self._rollback()
                if attempt == 2 or not self._at_page_limit(error) or not self._make_room():
                    raise storage_error(f"outbox: {len(drafts)} messages cannot be stored", error) from error
        raise AssertionError("unreachable")

    def claim(self, limit: int, skip_topics: Collection[str] = ()) -> list[Claimed]:
        """The oldest waiting messages not handed out yet, at most `limit`, in the order of their numbers.

        What has expired is counted as lost instead. Messages on `skip_topics` are passed over: `rewind` to
        come back.
        """
        now_us = to_us(self._clock.now())
        taken: list[Claimed] = []
        expired: list[int] = []
        try:
            while len(taken) < limit:
                rows = self._db.execute(
                    "SELECT seq, expires_us, captured_us, topic, header, payload FROM message "
                    f"WHERE seq > ? AND {_WAITING} ORDER BY seq LIMIT ?",
                    (self._cursor, limit - len(taken)),
                ).fetchall()
                if not rows:
                    break
                for seq, expires_us, captured_us, topic, header, payload in rows:
                    self._cursor = seq
                    if seq in self._claimed:
                        continue
                    if expires_us is not None and expires_us <= now_us:
                        expired.append(seq)
                        continue
                    if topic in skip_topics:
                        continue
                    remaining_s = None if expires_us is None else max(1, (expires_us - now_us) // 1_000_000)
                    taken.append(
                        Claimed(seq, decode(topic, header, payload, remaining_s), from_us(captured_us))
                    )
                    self._claimed.add(seq)
            if expired:
                self._lose(expired, "expired")
        except sqlite3.Error as error:
            self._rollback()
            if not taken:
                raise storage_error("outbox: cannot be read", error) from error
        return taken

    def ack(self, seqs: Sequence[int]) -> int:
        """The broker has these. They stay for `keep_s`. Returns how many were still waiting. Raises
        OutboxError.
        """
        now_us = to_us(self._clock.now())
        try:
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("BEGIN IMMEDIATE")
            count = size = 0
            for seq in seqs:
                row = self._db.execute("SELECT bytes FROM message WHERE seq = ?", (seq,)).fetchone()
                if row is None:
                    continue
                added = self._db.execute("INSERT OR IGNORE INTO ack VALUES (?, ?)", (seq, now_us)).rowcount
                count += added
                size += row[0] * added
            self._ledger.add("acknowledged", count)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            raise storage_error(f"outbox: {len(seqs)} acknowledgements cannot be stored", error) from error
        finally:
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA synchronous=FULL")
        self._claimed.difference_update(seqs)
        self._waiting -= count
        self._kept += count
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
        """Give up one claimed message that can never be sent."""
        self._guard(lambda: self._lose([seq], reason))
        self._claimed.discard(seq)

    def record_loss(self, reason: LossReason, count: int) -> None:
        """Note `count` messages lost before they had a number, so that a notice tells of them."""
        self._guard(lambda: self._ledger.lose_unnumbered(reason, count))

    def tidy(self) -> None:
        """Remove acknowledged messages older than `keep_s` and expired ones. Call about once a second."""
        self._guard(self._tidy)

    def replay(self, since: datetime) -> int:
        """Make kept messages acknowledged at or after `since` wait again; returns how many. Raises
        OutboxError.
        """
        count = 0

        def again() -> None:
            nonlocal count
            rows = self._db.execute(
                "SELECT seq FROM ack WHERE at_us >= ? ORDER BY seq", (to_us(since),)
            ).fetchall()
            self._db.execute("DELETE FROM ack WHERE at_us >= ?", (to_us(since),))
            count = len(rows)
            self._ledger.add("acknowledged", -count)
            self._waiting += count
            self._kept -= count
            if rows:
                self.rewind(rows[0][0])

        self._guard(again)
        return count

    def append_notice(self, build: Callable[[int, list[LossRange]], Message]) -> bool:
        """Turn recorded losses into a message of its own; says whether there were any. Raises OutboxError."""
        lost, last_id = self._ledger.first_losses()
        if not lost:
            return False

        def store() -> None:
            seq = self._next
            self._reserve.ensure(seq)
            self._insert(seq, NOTICE_RANK, build(seq, lost), None, None)
            self._ledger.settle(last_id)

        self._guard(store)
        return True

    def counts(self) -> OutboxCounts:
        tallies = self._ledger.tallies()
        oldest = None
        if self._waiting:
            row = self._db.execute(
                f"SELECT appended_us FROM message WHERE {_WAITING} ORDER BY seq LIMIT 1"
            ).fetchone()
            oldest = from_us(row[0]) if row is not None else None
        return OutboxCounts(
            appended=tallies.get("appended", 0),
            waiting=self._waiting,
            acknowledged=tallies.get("acknowledged", 0),
            lost={k.removeprefix("lost_"): v for k, v in tallies.items() if k.startswith("lost_")},
            kept=self._kept,
            bytes=self._bytes,
            oldest_at=oldest,
        )

    @property
    def waiting(self) -> int:
        return self._waiting

    @property
    def size_bytes(self) -> int:
        return self._bytes

    @property
    def next_seq(self) -> int:
        return self._next

    def _append(self, drafts: Sequence[Draft]) -> list[int]:
        first = self._next
        self._reserve.ensure(first + len(drafts))
        saved = self._snapshot()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for offset, draft in enumerate(drafts):
                message = draft.build(first + offset)
                self._insert(
                    first + offset, RANK[draft.severity], message, draft.expires_at, draft.captured_at
                )
            self._bound()
            self._db.execute("COMMIT")
        except BaseException:
            self._restore(saved)
            raise
        return list(range(first, first + len(drafts)))

    def _insert(
        self, seq: int, rank: int, message: Message, expires_at: datetime | None, captured_at: datetime | None
    ) -> None:
        header = encode_header(message)
        size = len(message.payload) + len(message.topic) + len(header) + ROW_BYTES
        self._db.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                seq,
                rank,
                size,
                to_us(self._clock.now()),
                None if expires_at is None else to_us(expires_at),
                None if captured_at is None else to_us(captured_at),
                message.topic,
                header,
                message.payload,
            ),
        )
        self._next = seq + 1
        self._ledger.set_next_seq(self._next)
        self._ledger.add("appended", 1)
        self._waiting += 1
        self._bytes += size

    def _bound(self) -> None:
        """Keep the limits: first what is only kept goes, then the least severe, then the oldest."""
        while self._bytes > self._limits.max_bytes or self._waiting + self._kept > self._limits.max_messages:
            if not (self._forget_kept(_STEP) or self._evict(_STEP)):
                return

    def _over(self, freed_bytes: int, freed: int) -> bool:
        held = self._waiting + self._kept - freed
        return self._bytes - freed_bytes > self._limits.max_bytes or held > self._limits.max_messages

    def _forget_kept(self, limit: int) -> int:
        rows = self._db.execute(
            "SELECT ack.seq, bytes FROM ack JOIN message ON message.seq = ack.seq ORDER BY ack.seq LIMIT ?",
            (limit,),
        ).fetchall()
        chosen: list[int] = []
        freed = 0
        for seq, size in rows:
            if not self._over(freed, len(chosen)):
                break
            chosen.append(seq)
            freed += size
        self._forget(chosen, freed)
        return len(chosen)

    def _forget(self, seqs: list[int], size: int) -> None:
        self._db.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq in seqs])
        self._db.executemany("DELETE FROM ack WHERE seq = ?", [(seq,) for seq in seqs])
        self._kept -= len(seqs)
        self._bytes -= size

    def _evict(self, limit: int, at_least: int = 0) -> int:
        rows = self._db.execute(
            f"SELECT seq, bytes FROM message WHERE {_WAITING} ORDER BY severity, seq LIMIT ?",
            (limit + len(self._claimed),),
        ).fetchall()
        chosen: list[int] = []
        freed = 0
        for seq, size in rows:
            if len(chosen) >= at_least and not self._over(freed, len(chosen)):
                break
            if seq not in self._claimed:
                chosen.append(seq)
                freed += size
        self._lose(chosen, "evicted")
        return len(chosen)

    def _lose(self, seqs: list[int], reason: LossReason) -> None:
        """Delete waiting messages and record their numbers as ranges."""
        if not seqs:
            return
        opened = not self._db.in_transaction
        if opened:
            self._db.execute("BEGIN IMMEDIATE")
        size = 0
        gone: list[int] = []
        for seq in seqs:
            row = self._db.execute("SELECT bytes FROM message WHERE seq = ?", (seq,)).fetchone()
            if row is not None:
                size += row[0]
                gone.append(seq)
        self._db.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq in gone])
        self._ledger.lose(reason, gone)
        if opened:
            self._db.execute("COMMIT")
        self._waiting -= len(gone)
        self._bytes -= size

    def _tidy(self) -> None:
        now_us = to_us(self._clock.now())
        old = self._db.execute(
            "SELECT ack.seq, at_us, bytes FROM ack JOIN message ON message.seq = ack.seq ORDER BY ack.seq LIMIT 1000"
        ).fetchall()
        limit_us = now_us - int(self._limits.keep_s * 1e6)
        due = [(seq, size) for seq, at_us, size in old if at_us <= limit_us]
        self._forget([seq for seq, _ in due], sum(size for _, size in due))
        expired = self._db.execute(
            "SELECT seq FROM message WHERE expires_us <= ? AND NOT EXISTS "
            "(SELECT 1 FROM ack WHERE ack.seq = message.seq) LIMIT 1000",
            (now_us,),
        ).fetchall()
        self._lose([seq for (seq,) in expired if seq not in self._claimed], "expired")

    def _guard(self, work: Callable[[], object]) -> None:
        """Run `work` in one transaction; on failure everything, the numbers in memory too, is as before."""
        saved = self._snapshot()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            work()
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._rollback()
            self._restore(saved)
            raise storage_error("outbox: cannot be changed", error) from error

    def _snapshot(self) -> tuple[int, int, int, int]:
        return self._next, self._waiting, self._kept, self._bytes

    def _restore(self, saved: tuple[int, int, int, int]) -> None:
        self._next, self._waiting, self._kept, self._bytes = saved

    def _rollback(self) -> None:
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _at_page_limit(self, error: Exception) -> bool:
        """Whether the database's own limit, not the disk, is full."""
        if getattr(error, "sqlite_errorname", "") != "SQLITE_FULL":
            return False
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        return bool(pages >= self._db.execute("PRAGMA max_page_count").fetchone()[0] - 8)

    def _make_room(self) -> bool:
        """Free a share of the database inside its page limit: what is kept first, then evictions."""
        freed = 0

        def work() -> None:
            nonlocal freed
            rows = self._db.execute(
                "SELECT ack.seq, bytes FROM ack JOIN message ON message.seq = ack.seq ORDER BY ack.seq LIMIT ?",
                (_STEP,),
            ).fetchall()
            self._forget([seq for seq, _ in rows], sum(size for _, size in rows))
            freed = len(rows) or self._evict(_STEP, at_least=_STEP)

        try:
            self._guard(work)
        except OutboxError:
            return False
        return freed > 0

    def _load(self) -> None:
        tallies = self._ledger.tallies()
        self._next = tallies.get("next_seq", 1)
        total, self._bytes = self._db.execute(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM message"
        ).fetchone()
        self._kept = self._db.execute("SELECT count(*) FROM ack").fetchone()[0]
        self._waiting = total - self._kept
        if "next_seq" not in tallies and self._reserve.limit > 0:
            skipped = self._reserve.limit
            self._next = skipped + 1

            self._db.execute("BEGIN IMMEDIATE")
            self._ledger.lose_unnumbered("set_aside", None, skipped)
            self._ledger.set_next_seq(self._next)
            self._db.execute("COMMIT")
