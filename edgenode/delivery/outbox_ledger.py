"""The outbox's books: how many messages went which way, and which numbers were lost.

Every method runs inside a transaction of the Outbox that owns the connection.
"""

from __future__ import annotations

import sqlite3

from edgenode.delivery.outbox_rows import LossReason
from edgenode.delivery.payloads import LossRange

MAX_LOSS_RANGES = 512
NOTICE_RANGES = 64


class Ledger:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def tallies(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT name, value FROM tally").fetchall())

    def add(self, name: str, change: int) -> None:
        if change:
            self._db.execute(
                "INSERT INTO tally VALUES (?, ?) "
                "ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
                (name, change),
            )

    def set_next_seq(self, seq: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO tally VALUES ('next_seq', ?)", (seq,))

    def chain_head(self) -> str | None:
        """The hash of the newest link of the evidence chain; None before the first."""
        row = self._db.execute("SELECT head FROM chain").fetchone()
        return None if row is None else str(row[0])

    def set_chain_head(self, head: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO chain VALUES (1, ?)", (head,))

    def lose(self, reason: LossReason, seqs: list[int]) -> None:
        """Record the numbers in `seqs` as lost."""
        for seq in sorted(seqs):
            self.extend(reason, seq)
        self.fold()
        self.add(f"lost_{reason}", len(seqs))

    def lose_unnumbered(self, reason: LossReason, count: int | None, last_seq: int | None = None) -> None:
        """Record losses without numbers: `count` of them, or unknown ones up to `last_seq`."""
        self._db.execute(
            "INSERT INTO loss(reason, count, last_seq) VALUES (?, ?, ?)", (reason, count, last_seq)
        )

    def first_losses(self) -> tuple[list[LossRange], int]:
        """The oldest recorded losses, enough for one notice, and what to give to `settle` once it is
        stored.
        """
        rows = self._db.execute(
            "SELECT id, reason, count, first_seq, last_seq FROM loss ORDER BY id LIMIT ?", (NOTICE_RANGES,)
        ).fetchall()
        lost = [LossRange(reason=r, count=c, first_seq=f, last_seq=last) for _, r, c, f, last in rows]
        return lost, rows[-1][0] if rows else 0

    def settle(self, last_id: int) -> None:
        self._db.execute("DELETE FROM loss WHERE id <= ?", (last_id,))

    def extend(self, reason: LossReason, seq: int) -> None:
        extended = self._db.execute(
            "UPDATE loss SET last_seq = ?, count = count + 1 WHERE reason = ? AND last_seq = ?",
            (seq, reason, seq - 1),
        ).rowcount
        if not extended:
            self._db.execute(
                "INSERT INTO loss(reason, count, first_seq, last_seq) VALUES (?, 1, ?, ?)", (reason, seq, seq)
            )

    def fold(self) -> None:
        """Bound the ranges: beyond the limit, the two oldest of one reason become one that spans both."""
        while self._db.execute("SELECT count(*) FROM loss").fetchone()[0] > MAX_LOSS_RANGES:
            pair = self._db.execute(
                "SELECT reason FROM loss WHERE first_seq IS NOT NULL "
                "GROUP BY reason ORDER BY count(*) DESC LIMIT 1"
            ).fetchone()
            if pair is None:
                return
            rows = self._db.execute(
                "SELECT id, count, first_seq, last_seq FROM loss WHERE reason = ? AND first_seq IS NOT NULL "
                "ORDER BY first_seq LIMIT 2",
                pair,
            ).fetchall()
            if len(rows) < 2:
                return
            (kept, count, first, last), (gone, more, _, later) = rows
            self._db.execute(
                "UPDATE loss SET count = ?, first_seq = ?, last_seq = ? WHERE id = ?",
                (count + more, first, max(last, later), kept),
            )
            self._db.execute("DELETE FROM loss WHERE id = ?", (gone,))
