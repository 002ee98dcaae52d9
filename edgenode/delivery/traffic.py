"""What is on its way to the broker, what may go next, and what a broker's refusal means."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from edgenode.clock import Backoff, Clock
from edgenode.delivery.link import NOT_SENT, PACKET_TOO_LARGE, Link
from edgenode.delivery.link_options import Acknowledged
from edgenode.delivery.mailbox import Mailbox
from edgenode.delivery.messages import Origin, classification_message
from edgenode.delivery.outbox_rows import Claimed
from edgenode.delivery.storeroom import Storeroom
from edgenode.records import Message

if TYPE_CHECKING:
    from edgenode.delivery.observer import DeliveryObserver

log = logging.getLogger(__name__)

NO_SUBSCRIBER = 0x10
MAX_UNWRITTEN = 50
"""QoS 0 messages given to paho that it has not written yet: a slow network must not fill the memory."""
MAX_UNSETTLED = 1000
LONGEST_REFUSAL_S = 60.0
CAREFUL_LOSSES = 2
CAREFUL_MESSAGES = 200
"""After so many losses in a row with one message as the first unanswered, so many are sent one at a time: then the
one on its way at two more losses is the reason. Some brokers end the connection at a message they will not take;
without this nothing behind it would pass."""


@dataclass(frozen=True, slots=True)
class _Flight:
    """One message the broker has not answered."""

    kind: Literal["outbox", "retained", "reply", "light"]
    message: Message
    seq: int = 0
    captured_at: datetime | None = None


@dataclass(slots=True)
class _Block:
    """A topic the broker refuses: until when it rests, and the first message to come back to."""

    backoff: Backoff
    until_s: float
    first_seq: int | None
    reason: str
    holds_events: bool = False
    """Whether messages of the outbox wait for this topic. Stays so between two tries, until one is accepted.
    """


class Traffic:
    """All on the publisher's thread. `acknowledged` collects numbers for the outbox to settle."""

    def __init__(
        self,
        origin: Origin,
        link: Link,
        mailbox: Mailbox,
        storeroom: Storeroom,
        observer: DeliveryObserver,
        clock: Clock,
        hold_without_subscriber: bool,
    ) -> None:
        self._origin = origin
        self._link = link
        self._mailbox = mailbox
        self._storeroom = storeroom
        self._observer = observer
        self._clock = clock
        self._hold = hold_without_subscriber
        self._generation: int | None = None
        self._window = 0
        self._flights: dict[int, _Flight] = {}
        self._counted = 0
        self._busy: set[str] = set()
        self._blocks: dict[str, _Block] = {}
        self._claimed: list[Claimed] = []
        self._more = False
        self._launched = False
        self._unanswered: tuple[str, int] = ("", 0)
        self._alone = 0
        """How many of these losses met it alone on its way."""
        self._careful = 0
        """Messages still to be sent one at a time."""
        self._losses = 0
        """Connections lost in a row with `_unanswered` (topic and number) as the first message without an answer."""
        self.acknowledged: list[int] = []
        self.acknowledged_at: datetime | None = None
        """When the broker of this connection, or of the one that just ended, last took a message of the outbox."""
        self.refused = 0

    @property
    def connected(self) -> bool:
        return self._generation is not None

    @property
    def on_the_way(self) -> int:
        return len(self._flights)

    @property
    def idle(self) -> bool:
        """Nothing is on its way and nothing could be sent now."""
        return not (self._flights or self._more or self._claimed or self.acknowledged)

    @property
    def trouble(self) -> str:
        blocked = sorted(topic for topic, block in self._blocks.items() if block.holds_events)
        return (
            f"the broker refuses {', '.join(blocked[:3])}: {self._blocks[blocked[0]].reason}"
            if blocked
            else ""
        )

    def begin(self, generation: int, window: int) -> None:
        """A connection was accepted: everything retained goes again."""
        self.end()
        self._generation = generation
        self._window = window
        self.acknowledged_at = None
        self._mailbox.mark_all_retained()

    def end(self) -> None:
        """The connection is gone: what was on its way comes back, oldest first."""
        was_connected = self._generation is not None
        self._generation = None
        flights = list(self._flights.values())
        self._flights.clear()
        self._counted = 0
        self._busy.clear()
        self._storeroom.release(
            [f.seq for f in flights if f.kind == "outbox"] + [c.seq for c in self._claimed]
        )
        self._claimed.clear()
        poison = self._poison(flights) if was_connected else None
        for flight in flights:
            if flight.kind == "reply" and flight is not poison:
                self._mailbox.put_reply(flight.message)
        if poison is not None:
            # its next try may cost a connection again: not before that one counts as a steady one
            rest = Backoff(LONGEST_REFUSAL_S, LONGEST_REFUSAL_S, LONGEST_REFUSAL_S / 2)
            self._refuse(poison, "the connection is lost each time it is sent", rest)

    def _poison(self, flights: list[_Flight]) -> _Flight | None:
        """The message that costs one connection after the other, once it is known."""
        waiting = [flight for flight in flights if flight.kind != "light"]
        if not waiting:
            return None
        suspect = (waiting[0].message.topic, waiting[0].seq)
        if suspect != self._unanswered:
            self._unanswered, self._losses, self._alone = suspect, 0, 0
        self._losses += 1
        if self._careful and len(waiting) == 1:
            self._alone += 1
        if self._losses >= CAREFUL_LOSSES:
            self._careful = CAREFUL_MESSAGES
        return waiting[0] if self._alone >= CAREFUL_LOSSES else None

    def fill(self) -> None:
        """Send what may be sent now."""
        self._unblock()
        if self._generation is None:
            self._mailbox.drop_predictions()
            return
        self._more = False
        while self._room() and (reply := self._mailbox.take_reply()) is not None:
            self._launch(_Flight("reply", reply))
        while self._room() and (message := self._mailbox.take_retained(self._resting())) is not None:
            self._launch(_Flight("retained", message))
        self._fill_events()
        while (
            self.on_the_way - self._counted < MAX_UNWRITTEN
            and self._generation is not None
            and (prediction := self._mailbox.take_prediction()) is not None
        ):
            self._launch(_Flight("light", classification_message(self._origin.topics, prediction)))
        if self._launched:
            self._launched = False
            self._link.flush()

    def answered(self, report: Acknowledged) -> None:
        if report.generation != self._generation:
            return
        flight = self._flights.pop(report.mid, None)
        if flight is None:
            return
        if flight.kind == "light":
            return
        self._counted -= 1
        self._careful = max(0, self._careful - 1)
        self._busy.discard(flight.message.topic)
        held = report.reason_code == NO_SUBSCRIBER and self._hold and flight.kind == "outbox"
        if report.reason_code >= 128 or held:
            self._refuse(flight, report.reason)
            return
        if flight.kind == "outbox":
            self._arrived(flight, report.arrived_s)
        elif flight.kind == "retained" and not flight.message.payload:
            self._mailbox.forgotten(flight.message)

    def _arrived(self, flight: _Flight, arrived_s: float) -> None:
        self.acknowledged.append(flight.seq)
        self.acknowledged_at = self._clock.now()
        self._blocks.pop(flight.message.topic, None)
        if not self._storeroom.is_new(flight.seq):
            return
        if flight.message.content_type == "application/json":
            self._observer.event_delivered(1)
        if flight.captured_at is not None:
            since_s = max(0.0, self._clock.monotonic() - arrived_s)
            self._observer.ack_seconds(self._storeroom.age_s(flight.captured_at, flight.seq) - since_s)

    def _refuse(self, flight: _Flight, reason: str, backoff: Backoff | None = None) -> None:
        """The broker does not take one message: its topic rests, all others go on."""
        topic = flight.message.topic
        self.refused += 1
        self._observer.refused(1)
        if flight.kind == "reply":
            # whoever asked chose the topic: it gets no block of its own and no line that it could vary
            log.warning("the broker lets an answer, or a message that is sent once, not through (%s)", reason)
            return
        now_s = self._clock.monotonic()
        block = self._blocks.get(topic)
        if block is None:
            block = _Block(backoff or Backoff(1.0, LONGEST_REFUSAL_S), 0.0, None, reason)
            if len(self._blocks) < 1000:
                self._blocks[topic] = block
            log.error(
                "the broker refuses messages on %s (%s): check its access list; they are tried again",
                topic,
                reason,
            )
        if now_s >= block.until_s:
            block.until_s = now_s + block.backoff.next_s()
        if flight.kind == "outbox":
            block.holds_events = True
            block.first_seq = flight.seq if block.first_seq is None else min(block.first_seq, flight.seq)
            self._storeroom.release([flight.seq])
        elif flight.kind == "retained":
            self._mailbox.mark_retained(topic)

    def _unblock(self) -> None:
        now_s = self._clock.monotonic()
        for topic, block in list(self._blocks.items()):
            if block.first_seq is not None and now_s >= block.until_s:
                self._storeroom.rewind(block.first_seq)
                block.first_seq = None
            elif self.connected and block.first_seq is None and now_s >= block.until_s + LONGEST_REFUSAL_S:
                # nothing was left to try: what was refused has expired or was evicted
                del self._blocks[topic]

    def _resting(self) -> set[str]:
        now_s = self._clock.monotonic()
        return self._busy | {topic for topic, block in self._blocks.items() if now_s < block.until_s}

    def _fill_events(self) -> None:
        if len(self.acknowledged) >= MAX_UNSETTLED:
            return
        while self._room():
            if not self._claimed:
                now_s = self._clock.monotonic()
                resting = [topic for topic, block in self._blocks.items() if now_s < block.until_s]
                self._claimed = self._storeroom.claim(self._window - self._counted, resting)
                self._claimed.reverse()
                if not self._claimed:
                    return
            claimed = self._claimed.pop()
            if self._launch(_Flight("outbox", claimed.message, claimed.seq, claimed.captured_at)):
                if claimed.captured_at is not None:
                    self._observer.publish_seconds(self._storeroom.age_s(claimed.captured_at, claimed.seq))
            elif self._generation is None:
                return
        self._more = True

    def _room(self) -> bool:
        return self._generation is not None and self._counted < (1 if self._careful else self._window)

    def _launch(self, flight: _Flight) -> bool:
        """Give one message to the link; says whether it is on its way."""
        if self._generation is None:
            return False
        try:
            mid = self._link.send(flight.message, self._generation)
        except ValueError:
            log.exception("a message on %s cannot be sent", flight.message.topic)
            mid = PACKET_TOO_LARGE
        if mid == NOT_SENT:
            self._give_back(flight)
            self.end()
            return False
        if mid == PACKET_TOO_LARGE:
            self._too_large(flight)
            return False
        self._flights[mid] = flight
        self._launched = True
        if flight.kind != "light":
            self._counted += 1
        if flight.kind == "retained":
            self._busy.add(flight.message.topic)
        return True

    def _give_back(self, flight: _Flight) -> None:
        if flight.kind == "outbox":
            self._storeroom.release([flight.seq])
        elif flight.kind == "reply":
            self._mailbox.put_reply(flight.message)
        elif flight.kind == "retained":
            self._mailbox.mark_retained(flight.message.topic)

    def _too_large(self, flight: _Flight) -> None:
        log.error(
            "a message of %d bytes on %s is larger than the broker takes and is not sent",
            len(flight.message.payload),
            flight.message.topic,
        )
        if flight.kind == "outbox":
            self._storeroom.discard(flight.seq, "too_large")
        else:
            self._observer.evicted("too_large", 1)
