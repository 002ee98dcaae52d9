"""The outbox as the publisher's thread uses it: opened late, reopened when damaged, patient while a disk is
full.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgenode.clock import Backoff, Clock, ClockSteps
from edgenode.delivery.identity import ClockCheck
from edgenode.delivery.mailbox import Handed, Mailbox
from edgenode.delivery.messages import (
    LinkHash,
    Origin,
    chained_message,
    event_message,
    event_snapshot_message,
    notice_message,
)
from edgenode.delivery.outbox import Outbox
from edgenode.delivery.outbox_file import OutboxDamagedError
from edgenode.delivery.outbox_rows import Claimed, Draft, LossReason, OutboxCounts, OutboxLimits
from edgenode.delivery.payloads import LossRange
from edgenode.delivery.seq_set import SeqSet
from edgenode.errors import OutboxError
from edgenode.records import Event, Message, Severity
from edgenode.settings import OutboxSettings

if TYPE_CHECKING:
    from edgenode.delivery.observer import DeliveryObserver

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_EVENTS = 500
BATCH_BYTES = 2 * 2**20
"""One commit's worth. The write-ahead log grows by as much: it must stay small beside the outbox's limit."""
SENDING_SHARE = 2.0
LONGEST_WAIT_S = 0.1
FEW_WAITING = 50
"""While fewer messages than this are not acknowledged yet there is next to nothing that a commit could hold up."""
MOST_REPEATS = 2
_NOTHING = OutboxCounts(appended=0, waiting=0, acknowledged=0, lost={}, kept=0, bytes=0, oldest_at=None)


class Storeroom:
    """All methods on the publisher's thread. None raises for a full disk or a damaged file; `trouble` says
    so.
    """

    def __init__(
        self,
        folder: Path,
        settings: OutboxSettings,
        origin: Origin,
        clock_check: ClockCheck,
        mailbox: Mailbox,
        observer: DeliveryObserver,
        clock: Clock,
        link_hash: LinkHash | None = None,
    ) -> None:
        """`link_hash`: chain the events with it; None leaves them unchained."""
        self._folder = folder
        self._settings = settings
        self._origin = origin
        self._clock_check = clock_check
        self._mailbox = mailbox
        self._observer = observer
        self._clock = clock
        self._link_hash = link_hash
        self._outbox: Outbox | None = None
        self._backoff = Backoff(1.0, 5.0, floor_s=0.5)
        self._retry_s = 0.0
        self._next_commit_s = 0.0
        self._repeats: dict[int, int] = {}
        """How often each message was repeated in a row; only those of the last repetition."""
        self._steps = ClockSteps(clock)
        self._again = SeqSet()
        """Messages that were acknowledged before and wait again."""
        self._unrecorded = 0
        """Events shed from memory of which the outbox does not know yet: a notice must tell of them."""
        self.trouble = ""
        """Why nothing can be stored now; empty while all is well."""
        self.counts = _NOTHING
        """As of the last `tick`."""

    def store(self) -> None:
        """Put everything handed over on the disk, in one commit for each batch.

        While many messages are to be sent, less than a full batch waits `SENDING_SHARE` times as long as a commit took:
        the thread that waits for the disk is the one that sends.
        """
        if self._outbox is not None:
            self._steps.look(self._outbox.next_seq)
        while (
            self._due() and self._ready() and (handed := self._mailbox.take_events(BATCH_EVENTS, BATCH_BYTES))
        ):
            begun_s = self._clock.monotonic()
            if self._attempt(lambda outbox: self._append(outbox, handed)) is None:
                self._mailbox.put_back(handed)
            ended_s = self._clock.monotonic()
            self._next_commit_s = ended_s + min(SENDING_SHARE * (ended_s - begun_s), LONGEST_WAIT_S)
        if lost := self._mailbox.take_lost_events():
            self._unrecorded += lost
            self._on_loss("inbox_full", lost)
        if self._unrecorded and self._attempt(self._record_shed):
            self._unrecorded = 0

    @property
    def waiting(self) -> int:
        """How many messages are not acknowledged yet; 0 while the outbox cannot be opened."""
        return 0 if self._outbox is None else self._outbox.waiting

    @property
    def commit_in_s(self) -> float:
        """How long what was handed over still waits for its commit."""
        if self.waiting < FEW_WAITING:
            return 0.0
        return max(0.0, self._next_commit_s - self._clock.monotonic())

    def _due(self) -> bool:
        return self.commit_in_s == 0.0 or self._mailbox.events_waiting >= BATCH_EVENTS

    def _record_shed(self, outbox: Outbox) -> bool:
        outbox.record_loss("inbox_full", self._unrecorded)
        return True

    def claim(self, limit: int, skip_topics: Collection[str]) -> list[Claimed]:
        return self._attempt(lambda outbox: outbox.claim(limit, skip_topics)) or []

    def settle(self, acknowledged: list[int]) -> None:
        """Note what the broker has and empty the list; while the disk is full the list waits."""
        if acknowledged and self._attempt(lambda outbox: outbox.ack(acknowledged)) is not None:
            acknowledged.clear()

    def release(self, seqs: Collection[int]) -> None:
        if self._outbox is not None:
            self._outbox.release(seqs)

    def rewind(self, seq: int) -> None:
        if self._outbox is not None:
            self._outbox.rewind(seq)

    def discard(self, seq: int, reason: LossReason) -> None:
        def work(outbox: Outbox) -> bool:
            outbox.discard(seq, reason)
            return True

        if self._attempt(work) is None:
            self.release([seq])

    def notice(self) -> None:
        """Tell the world of what was lost."""
        while self._ready() and self._attempt(lambda outbox: outbox.append_notice(self._build_notice)):
            pass

    def tick(self) -> None:
        """About once a second: forget, expire, count."""

        def work(outbox: Outbox) -> OutboxCounts:
            outbox.tidy()
            return outbox.counts()

        self.counts = self._attempt(work) or self.counts

    def replay(self, since: datetime) -> int:
        """Raises OutboxError."""
        if self._outbox is None:
            raise OutboxError(f"outbox: it is not open: {self.trouble}")
        return len(self._revived(self._outbox.replay(since)))

    def _revived(self, seqs: list[int]) -> list[int]:
        for seq in seqs:
            self._again.add(seq)
        return seqs

    def is_new(self, seq: int) -> bool:
        """Whether the broker acknowledged `seq` for the first time in this life of the process. Ask once for each
        acknowledgement."""
        if seq not in self._again:
            return True
        self._again.remove(seq)
        return False

    def age_s(self, captured_at: datetime, seq: int) -> float:
        """Since the capture that led to message `seq`, however the wall clock was set in between."""
        return self._steps.age_s(captured_at, seq)

    def repeat(self, acknowledged_at: datetime) -> None:
        """A connection was lost whose last acknowledgement came at `acknowledged_at`: send again what the broker
        may not have written to its disk. No message more often than `MOST_REPEATS` times: it might be the reason of
        the loss."""
        if self._settings.repeat == 0.0:
            return
        since = acknowledged_at - timedelta(seconds=self._settings.repeat)
        spare = {seq for seq, times in self._repeats.items() if times >= MOST_REPEATS}
        again = self._attempt(lambda outbox: outbox.replay(since, spare))
        if again is not None:
            self._revived(again)
            self._repeats = {seq: self._repeats.get(seq, 0) + 1 for seq in again}

    def close(self) -> None:
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None

    def _append(self, outbox: Outbox, handed: list[Handed]) -> bool:
        """Raises OutboxError; `handed` then holds those that are still to be stored."""
        try:
            self._append_together(outbox, handed)
        except OutboxError:
            raise
        except Exception:
            # one record that cannot be written down must not hold up its neighbours
            while handed:
                self._append_alone(outbox, handed[0])
                del handed[0]
        return True

    def _append_alone(self, outbox: Outbox, handed: Handed) -> None:
        try:
            self._append_together(outbox, [handed])
        except OutboxError:
            raise
        except Exception:
            log.exception("an event of rule %s cannot be written down and is lost", handed.event.rule)
            self._on_loss("unstorable", 1)
            outbox.record_loss("unstorable", 1)

    def _append_together(self, outbox: Outbox, handed: list[Handed]) -> None:
        expires_at = self._clock.now() + timedelta(seconds=self._settings.max_age)
        drafts: list[Draft] = []
        for each in handed:
            drafts.extend(self._drafts(each.event, each.jpeg, expires_at))
        outbox.append_many(drafts)
        now_s = self._clock.monotonic()
        for each in handed:
            self._observer.event_appended(each.event.rule, each.event.event_type.value)
            self._observer.deliver_seconds(max(0.0, now_s - each.handed_s))

    def _drafts(self, event: Event, jpeg: bytes | None, expires_at: datetime) -> list[Draft]:
        clock = self._clock_check.reading()
        has_picture = jpeg is not None

        def build(seq: int) -> Message:
            return event_message(self._origin, event, seq, clock, seq + 1 if has_picture else None)

        link_hash = self._link_hash
        chained = None if link_hash is None else partial(chained_message, link_hash=link_hash)
        drafts = [Draft(event.severity, build, expires_at, event.captured_at, chained)]
        if jpeg is not None:
            picture = jpeg
            # pictures weigh a hundred times what events do and go first when space is short
            drafts.append(
                Draft(
                    Severity.INFO,
                    lambda seq: event_snapshot_message(self._origin, event, picture, seq),
                    expires_at,
                    event.captured_at,
                )
            )
        return drafts

    def _build_notice(self, seq: int, lost: list[LossRange]) -> Message:
        return notice_message(self._origin, seq, lost, self._clock.now(), self._clock_check.quality())

    def _ready(self) -> bool:
        """Whether the outbox may be tried now; opens it."""
        if self.trouble and self._clock.monotonic() < self._retry_s:
            return False
        if self._outbox is not None:
            return True
        limits = OutboxLimits(self._settings.max_size, self._settings.max_events, self._settings.keep)
        try:
            self._outbox = Outbox(self._folder, limits, self._clock, self._on_loss)
        except OutboxError as error:
            self._fail(error)
            return False
        self._well()
        if self._outbox.set_aside is not None:
            log.error(
                "the outbox was damaged (%s); the file is kept as %s and a new one begins at message %d",
                self._outbox.damage,
                self._outbox.set_aside,
                self._outbox.next_seq,
            )
            self._observer.evicted("set_aside", 1)
        return True

    def _attempt(self, work: Callable[[Outbox], T]) -> T | None:
        if not self._ready() or self._outbox is None:
            return None
        try:
            result = work(self._outbox)
        except OutboxError as error:
            self._fail(error)
            return None
        self._well()
        return result

    def _fail(self, error: OutboxError) -> None:
        if not self.trouble:
            log.error("%s; it is tried again, events wait in memory", error)
        self.trouble = str(error)
        self._retry_s = self._clock.monotonic() + self._backoff.next_s()
        if isinstance(error, OutboxDamagedError):
            self.close()

    def _well(self) -> None:
        if self.trouble:
            log.warning("the outbox stores again")
            self.trouble = ""
        self._backoff.reset()

    def _on_loss(self, reason: LossReason, count: int) -> None:
        self._observer.evicted(reason, count)
