"""The publisher's thread: it alone owns the outbox, and decides at every moment what is sent next.

One step: hear what the link reports, store what was handed over (one commit for all of it), note what the
broker acknowledged, fill the window. Replies and states go before events, events in the order of their
numbers.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from edgenode.clock import Clock
from edgenode.delivery.command_lanes import CommandLanes
from edgenode.delivery.commands import CommandRequest, Gate
from edgenode.delivery.identity import ClockCheck
from edgenode.delivery.link import Link
from edgenode.delivery.link_options import (
    Acknowledged,
    Connected,
    Disconnected,
    LinkReport,
    Received,
    Rivalled,
)
from edgenode.delivery.mailbox import Mailbox
from edgenode.delivery.messages import LinkHash, Origin
from edgenode.delivery.observer import DeliveryObserver, DeliveryStatus
from edgenode.delivery.storeroom import Storeroom
from edgenode.delivery.topics import HOME_ASSISTANT_STATUS
from edgenode.delivery.traffic import Traffic
from edgenode.errors import OutboxError
from edgenode.records import Message
from edgenode.settings import OutboxSettings

log = logging.getLogger(__name__)

TICK_S = 1.0
SETTLE_S = 0.02
SETTLE_MESSAGES = 200
MANY_WAITING = 1000
"""While so many messages wait, acknowledgements are noted after 20 ms or 200 of them. A process that is killed
meanwhile sends these again: with fewer waiting, each is noted at once."""
GOODBYE_S = 1.0
"""How long the word `stopped` may take to be acknowledged."""
_REPEAT_LOG_S = 60.0
RIVAL_S = 120.0
"""So long after it was met last a second node of this name counts as gone: both come back within a minute."""


@dataclass(frozen=True, slots=True)
class CourierParts:
    origin: Origin
    folder: Path
    outbox: OutboxSettings
    hold_without_subscriber: bool
    link_hash: LinkHash | None
    mailbox: Mailbox
    link: Link
    gate: Gate
    worker: CommandLanes
    clock_check: ClockCheck
    wake: threading.Event


class Courier:
    """`start`, `stop`, `join` by the publisher; `status` and `heartbeat_s` by anybody; the rest on its
    thread.
    """

    def __init__(self, parts: CourierParts, observer: DeliveryObserver, clock: Clock) -> None:
        self._parts = parts
        self._observer = observer
        self._clock = clock
        self._storeroom = Storeroom(
            parts.folder,
            parts.outbox,
            parts.origin,
            parts.clock_check,
            parts.mailbox,
            observer,
            clock,
            parts.link_hash,
        )
        self._traffic = Traffic(
            parts.origin,
            parts.link,
            parts.mailbox,
            self._storeroom,
            observer,
            clock,
            parts.hold_without_subscriber,
        )
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._stop_at_s: float | None = None
        self._stopped: Message | None = None
        self._reason = "not connected yet"
        self._protocol = ""
        self._logged: tuple[str, float] = ("", 0.0)
        self._rival: tuple[str, float] = ("", 0.0)
        """In words, and when it was met last."""
        self._faults = 0
        self._dropped: Counter[str] = Counter()
        """As it was told last."""
        self._ticked_s = -TICK_S
        self._unsettled_s: float | None = None
        """When the oldest acknowledgement came that is not noted yet."""
        self.heartbeat_s = clock.monotonic()
        self.status = DeliveryStatus()

    def start(self) -> None:
        self._thread.start()

    def stop(self, drain_s: float, stopped: Message) -> None:
        self._stopped = stopped
        self._stop_at_s = self._clock.monotonic() + drain_s
        self._parts.wake.set()

    def join(self, timeout_s: float) -> bool:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def replay(self, since: datetime, result: Future[int]) -> None:
        """On the thread, as a job of the mailbox."""
        try:
            result.set_result(self._storeroom.replay(since))
        except OutboxError as error:
            result.set_exception(error)

    def _run(self) -> None:
        self._observer.connected(False)
        self._parts.link.start()
        try:
            while self._stop_at_s is None:
                self._parts.wake.wait(self._patience_s())
                self._parts.wake.clear()
                self._step_safely()
            self._drain(self._stop_at_s)
            self._say_stopped()
        finally:
            self._parts.link.stop()
            self._parts.link.join(self._parts.link.patience_s)
            self._step_safely()
            self._storeroom.close()

    def _patience_s(self) -> float:
        due_s = self._ticked_s + TICK_S - self._clock.monotonic()
        if self._unsettled_s is not None:
            due_s = min(due_s, self._unsettled_s + SETTLE_S - self._clock.monotonic())
        if self._parts.mailbox.events_waiting and not self._storeroom.trouble:
            due_s = min(due_s, self._storeroom.commit_in_s)
        return min(TICK_S, max(0.0, due_s))

    def _step_safely(self) -> None:
        """A fault in one step must not end the delivery of everything after it."""
        self.heartbeat_s = self._clock.monotonic()
        try:
            self._step()
        except Exception:
            self._faults += 1
            log.exception("a step of the delivery failed (%d so far); it goes on", self._faults)
            self._clock.wait(threading.Event(), 0.1)

    def _step(self) -> None:
        now_s = self._clock.monotonic()
        for report in self._parts.link.take():
            self._hear(report)
        for job in self._parts.mailbox.take_jobs():
            job()
        self._storeroom.store()
        if self._settle_due(now_s):
            self._storeroom.settle(self._traffic.acknowledged)
        if now_s - self._ticked_s >= TICK_S:
            self._ticked_s = now_s
            self._storeroom.tick()
            if self._traffic.connected:
                self._storeroom.notice()
            self._tell()
        self._traffic.fill()

    def _settle_due(self, now_s: float) -> bool:
        """In a great hurry acknowledgements are noted together: each note costs three pages of the disk, for one as for
        a hundred."""
        count = len(self._traffic.acknowledged)
        if (
            0 < count < SETTLE_MESSAGES
            and self._storeroom.waiting >= MANY_WAITING
            and self._stop_at_s is None
        ):
            if self._unsettled_s is None:
                self._unsettled_s = now_s
            if now_s - self._unsettled_s < SETTLE_S:
                return False
        self._unsettled_s = None
        return count > 0

    def _hear(self, report: LinkReport) -> None:
        if isinstance(report, Acknowledged):
            self._traffic.answered(report)
        elif isinstance(report, Received):
            self._receive(report)
        elif isinstance(report, Connected):
            self._traffic.begin(report.generation, report.window)
            self._reason, self._protocol = "", report.protocol
            self._observer.connected(True)
            self._ticked_s = -TICK_S
            log.info(
                "connected to the broker with MQTT %s, %d messages at once", report.protocol, report.window
            )
        elif isinstance(report, Rivalled):
            self._rivalled(report)
        else:
            self._disconnected(report)

    def _rivalled(self, report: Rivalled) -> None:
        self._rival = (report.reason, self._clock.monotonic())
        self._observer.rivalled()
        self._ticked_s = -TICK_S
        self._log_once(logging.ERROR, report.reason)

    def _disconnected(self, report: Disconnected) -> None:
        self._traffic.end()
        self._reason = report.reason
        self._observer.connected(False)
        self._ticked_s = -TICK_S
        if self._stop_at_s is not None:
            return
        if report.was_connected:
            self._repeat()
        self._log_once(logging.ERROR if report.lasting else logging.WARNING, report.reason)

    def _log_once(self, level: int, reason: str) -> None:
        """A minute, while the reason stays the same."""
        now_s = self._clock.monotonic()
        said, said_s = self._logged
        if reason != said or now_s - said_s >= _REPEAT_LOG_S:
            self._logged = (reason, now_s)
            log.log(level, "no broker: %s", reason)

    def _repeat(self) -> None:
        """A broker that died forgot some of what it had acknowledged. One that was silent for longer than a death
        can go unnoticed had the time to write it down."""
        acknowledged_at = self._traffic.acknowledged_at
        unnoticed = timedelta(seconds=2.0 * self._parts.link.keepalive_s)
        if acknowledged_at is not None and self._clock.now() - acknowledged_at <= unnoticed:
            self._storeroom.settle(self._traffic.acknowledged)
            self._storeroom.repeat(acknowledged_at)

    def _receive(self, received: Received) -> None:
        if received.topic == HOME_ASSISTANT_STATUS:
            if received.payload == b"online":
                self._parts.mailbox.mark_retained_under("homeassistant/")
            return
        admitted = self._parts.gate.admit(received)
        if isinstance(admitted, CommandRequest):
            self._parts.worker.offer(admitted)
        elif admitted is not None:
            self._parts.mailbox.put_reply(admitted)

    def _drain(self, stop_at_s: float) -> None:
        """Go on until nothing more can be delivered or the time is up."""
        while True:
            self._step_safely()
            left_s = stop_at_s - self._clock.monotonic()
            stored = self._parts.mailbox.events_waiting == 0
            if left_s <= 0.0 or (stored and (not self._traffic.connected or self._traffic.idle)):
                return
            self._parts.wake.wait(min(left_s, 0.1))
            self._parts.wake.clear()

    def _say_stopped(self) -> None:
        if self._stopped is None:
            return
        self._parts.mailbox.put_retained(self._stopped)
        until_s = self._clock.monotonic() + GOODBYE_S
        while self._traffic.connected and self._clock.monotonic() < until_s:
            self._step_safely()
            if self._traffic.idle:
                return
            self._parts.wake.wait(0.05)
            self._parts.wake.clear()

    def _tell(self) -> None:
        """Renew the status others see."""
        counts = self._storeroom.counts
        oldest_s = 0.0
        if counts.oldest_at is not None:
            oldest_s = max(0.0, (self._clock.now() - counts.oldest_at).total_seconds())
        mailbox = self._parts.mailbox
        rival, met_s = self._rival
        self.status = DeliveryStatus(
            connected=self._traffic.connected,
            reason="" if self._traffic.connected else self._reason,
            rival=rival if self._clock.monotonic() - met_s < RIVAL_S else "",
            protocol=self._protocol if self._traffic.connected else "",
            degraded=bool(self._storeroom.trouble or self._traffic.trouble),
            degraded_reason="; ".join(filter(None, (self._storeroom.trouble, self._traffic.trouble))),
            outbox_messages=counts.waiting,
            outbox_bytes=counts.bytes,
            oldest_s=oldest_s,
            pending=mailbox.events_waiting,
            on_the_way=self._traffic.on_the_way,
            appended=counts.appended,
            delivered=counts.acknowledged,
            evicted=sum(counts.lost.values()),
            lost=dict(counts.lost),
            refused=self._traffic.refused,
            dropped_states=mailbox.lost_retained,
            dropped_classifications=mailbox.lost_classifications,
            unanswered_commands=self._parts.gate.unanswered,
            faults=self._faults,
        )
        self._observer.outbox(counts.waiting, counts.bytes)
        self._tell_dropped()

    def _tell_dropped(self) -> None:
        mailbox = self._parts.mailbox
        dropped = Counter(
            state=mailbox.lost_retained,
            classification=mailbox.lost_classifications,
            reply=mailbox.lost_replies,
            command=self._parts.gate.unanswered,
            incoming=self._parts.link.unread,
        )
        for kind, count in (dropped - self._dropped).items():
            self._observer.messages_dropped(kind, count)
        self._dropped = dropped
