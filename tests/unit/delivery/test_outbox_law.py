"""The law of hand-off B under any order of steps, crashes and reopenings included."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgenode.clock import ManualClock
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_rows import Draft, OutboxLimits
from edgenode.delivery.payloads import LossRange
from edgenode.records import Message, Severity

SEVERITIES = list(Severity)
LIMITS = OutboxLimits(max_bytes=6_000, max_messages=25, keep_s=50.0)


class OutboxMachine(RuleBasedStateMachine):
    """The model knows every number ever given, and where it must be: waiting, acknowledged or lost."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-"))
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.lost: Counter[str] = Counter()
        self.open = self._open()
        self.used: set[int] = set()
        self.severity: dict[int, Severity] = {}
        self.waiting: set[int] = set()
        self.acked: set[int] = set()
        self.claimed: list[int] = []
        self.noticed: list[LossRange] = []

    def _open(self) -> Outbox:
        return Outbox(self.folder, LIMITS, self.clock, self._on_loss)

    def _on_loss(self, reason: str, count: int) -> None:
        self.lost[reason] += count

    def teardown(self) -> None:
        self.open.close()
        shutil.rmtree(self.folder)

    def _sync(self) -> set[int]:
        """Read back what waits; the difference to the model must be exactly what was reported lost."""
        held = {row[0] for row in self.open._db.execute("SELECT seq FROM waiting")}
        gone = self.waiting - held
        self.waiting = held
        return gone

    @rule(
        drafts=st.lists(
            st.tuples(st.sampled_from(SEVERITIES), st.integers(0, 900), st.none() | st.integers(1, 100)),
            min_size=1,
            max_size=6,
        )
    )
    def append(self, drafts: list[tuple[Severity, int, int | None]]) -> None:
        def draft(severity: Severity, size: int, life_s: int | None) -> Draft:
            expires = None if life_s is None else self.clock.now() + timedelta(seconds=life_s)
            return Draft(severity, lambda seq: Message("t", b"%d:" % seq + b"x" * size), expires)

        before = self.lost["evicted"]
        seqs = self.open.append_many([draft(*each) for each in drafts])
        assert seqs == list(range(seqs[0], seqs[0] + len(drafts)))
        assert not self.used & set(seqs)
        assert not self.used or seqs[0] > max(self.used)
        self.used |= set(seqs)
        self.severity.update(zip(seqs, (severity for severity, _, _ in drafts), strict=True))
        self.waiting |= set(seqs)
        claimed = set(self.claimed)
        free = self.waiting - claimed
        gone = self._sync()
        assert len(gone) == self.lost["evicted"] - before
        assert not gone & claimed
        for seq in gone:
            # nobody less important, or as important and older, was spared
            rank = SEVERITIES.index(self.severity.get(seq, Severity.CRITICAL))
            assert not [
                s
                for s in free - gone
                if s in self.severity and (SEVERITIES.index(self.severity[s]), s) < (rank, seq)
            ]

    @rule(limit=st.integers(1, 8))
    def claim(self, limit: int) -> None:
        before = self.lost["expired"]
        taken = self.open.claim(limit)
        seqs = [each.seq for each in taken]
        assert seqs == sorted(seqs)
        assert not set(seqs) & set(self.claimed)
        gone = self._sync()
        assert len(gone) == self.lost["expired"] - before
        assert set(seqs) <= self.waiting
        for each in taken:
            if each.message.topic == "t":
                assert each.message.payload.startswith(b"%d:" % each.seq)
        self.claimed += seqs

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(self.claimed), min_size=1, unique=True))
        assert self.open.ack(some) == len(some)
        self.claimed = [seq for seq in self.claimed if seq not in some]
        self.waiting -= set(some)
        self.acked |= set(some)

    @precondition(lambda self: self.claimed)
    @rule()
    def disconnect(self) -> None:
        self.open.release(self.claimed)
        expected = min(self.waiting)
        self.claimed = []
        taken = self.open.claim(1)
        gone = self._sync()
        if taken and not gone:
            assert taken[0].seq == expected
        self.claimed = [each.seq for each in taken]

    @rule()
    def crash_and_reopen(self) -> None:
        """Only what is in the files counts: a copy of them is what a killed process leaves."""
        copy = self.folder.with_name(self.folder.name + "-copy")
        shutil.copytree(self.folder, copy)
        self.open.close()
        shutil.rmtree(self.folder)
        copy.rename(self.folder)
        self.open = self._open()
        assert self.open.set_aside is None
        self.claimed = []
        held = set(self.waiting)
        assert self._sync() == set()
        assert self.waiting == held

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        before = self.lost["expired"]
        self.open.tidy()
        assert len(self._sync()) == self.lost["expired"] - before

    @rule(seconds=st.integers(0, 60))
    def replay(self, seconds: int) -> None:
        count = len(self.open.replay(self.clock.now() - timedelta(seconds=seconds)))
        held = set(self.waiting)
        self._sync()
        fresh = self.waiting - held
        assert len(fresh) == count
        assert fresh <= self.acked
        self.acked -= fresh

    @rule()
    def notice(self) -> None:
        def build(seq: int, lost: list[LossRange]) -> Message:
            self.noticed += lost
            self.used.add(seq)
            return Message("notice", b"%d" % seq)

        self.open.append_notice(build)
        self._sync()

    @invariant()
    def the_law_holds(self) -> None:
        counts = self.open.counts()
        assert counts.appended == counts.waiting + counts.acknowledged + sum(counts.lost.values())
        assert counts.waiting == len(self.waiting)
        assert counts.lost == dict(+self.lost)
        actual = self.open._db.execute("SELECT coalesce(sum(bytes), 0) FROM message").fetchone()[0]
        assert counts.bytes == actual
        recorded = self.open._db.execute("SELECT coalesce(sum(count), 0) FROM loss").fetchone()[0]
        assert recorded + sum(r.count or 0 for r in self.noticed) == sum(self.lost.values())


OutboxMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOutboxLaw = OutboxMachine.TestCase
