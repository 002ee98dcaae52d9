"""What other threads hand to the publisher: bounded, never blocking, newest wins where only that matters.

Any thread puts; the publisher's thread takes. The lock is held for a few dictionary operations.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgenode.delivery.outbox_rows import RANK
from edgenode.records import Event, Message, Prediction

MAX_EVENTS = 2000
MAX_EVENT_BYTES = 16 * 2**20
MAX_RETAINED = 10_000
MAX_REPLIES = 256
MAX_CLASSIFICATIONS = 500
_EVENT_BYTES = 1024
"""What an event without its picture is taken to weigh."""


@dataclass(frozen=True, slots=True)
class Handed:
    """An event as it was handed over, and when (monotonic seconds)."""

    event: Event
    jpeg: bytes | None
    handed_s: float

    @property
    def weight(self) -> int:
        return _EVENT_BYTES + (len(self.jpeg) if self.jpeg is not None else 0)


class Mailbox:
    def __init__(self, wake: threading.Event, policy: Literal["on_change", "all", "off"]) -> None:
        self._wake = wake
        self._policy = policy
        self._lock = threading.Lock()
        self._events: deque[Handed] = deque()
        self._event_bytes = 0
        self._lost_events = 0
        self._retained: OrderedDict[str, Message] = OrderedDict()
        self._unsent: OrderedDict[str, None] = OrderedDict()
        self._fresh: OrderedDict[tuple[str, str], Prediction] = OrderedDict()
        self._every: deque[Prediction] = deque(maxlen=MAX_CLASSIFICATIONS)
        self._said: dict[tuple[str, str], tuple[str, float]] = {}
        self._replies: deque[Message] = deque(maxlen=MAX_REPLIES)
        self._jobs: deque[Callable[[], None]] = deque()
        self.lost_replies = 0
        self.lost_retained = 0
        self.lost_classifications = 0

    # Putting: any thread

    def put_event(self, event: Event, jpeg: bytes | None, now_s: float) -> None:
        """When full, the least severe and oldest event goes, counted; a picture goes before its event."""
        with self._lock:
            handed = Handed(event, jpeg, now_s)
            self._events.append(handed)
            self._event_bytes += handed.weight
            while len(self._events) > MAX_EVENTS or self._event_bytes > MAX_EVENT_BYTES:
                self._shed()
        self._wake.set()

    def put_retained(self, message: Message) -> None:
        """Keep `message` as the newest of its topic, to be sent now and after every connect."""
        with self._lock:
            if message.topic not in self._retained and len(self._retained) >= MAX_RETAINED:
                self.lost_retained += 1
                return
            self._retained[message.topic] = message
            self._unsent[message.topic] = None
        self._wake.set()

    def put_prediction(self, prediction: Prediction, now_s: float) -> None:
        """Keep what the policy wants: every one, or changes and one a second; the newest of each region
        wins.
        """
        if self._policy == "off":
            return
        key = (prediction.camera, prediction.region)
        with self._lock:
            if self._policy == "all":
                if len(self._every) == MAX_CLASSIFICATIONS:
                    self.lost_classifications += 1
                self._every.append(prediction)
            else:
                label, said_s = self._said.get(key, (None, 0.0))
                if label == prediction.label and now_s - said_s < 1.0:
                    return
                if len(self._said) >= MAX_RETAINED and key not in self._said:
                    self._said.clear()
                self._said[key] = (prediction.label, now_s)
                self._fresh[key] = prediction
        self._wake.set()

    def put_reply(self, message: Message) -> None:
        with self._lock:
            if len(self._replies) == MAX_REPLIES:
                self.lost_replies += 1
            self._replies.append(message)
        self._wake.set()

    def put_job(self, job: Callable[[], None]) -> None:
        """Something to do on the publisher's thread."""
        with self._lock:
            self._jobs.append(job)
        self._wake.set()

    # Taking: the publisher's thread

    def take_events(self, max_count: int, max_bytes: int) -> list[Handed]:
        """The oldest events, at least one if there is any."""
        taken: list[Handed] = []
        weight = 0
        with self._lock:
            while self._events and len(taken) < max_count:
                if taken and weight + self._events[0].weight > max_bytes:
                    break
                handed = self._events.popleft()
                weight += handed.weight
                taken.append(handed)
            self._event_bytes -= weight
        return taken

    def put_back(self, handed: list[Handed]) -> None:
        """Events that could not be stored, to the front again."""
        with self._lock:
            self._events.extendleft(reversed(handed))
            self._event_bytes += sum(each.weight for each in handed)
            while len(self._events) > MAX_EVENTS or self._event_bytes > MAX_EVENT_BYTES:
                self._shed()

    def take_lost_events(self) -> int:
        """How many events were shed since the last call."""
        with self._lock:
            lost, self._lost_events = self._lost_events, 0
        return lost

    def mark_all_retained(self) -> None:
        """After a connect: everything retained is to be sent again, in the order of its first arrival."""
        with self._lock:
            self._unsent = OrderedDict.fromkeys(self._retained)

    def mark_retained(self, topic: str) -> None:
        with self._lock:
            if topic in self._retained:
                self._unsent[topic] = None

    def mark_retained_under(self, prefix: str) -> None:
        with self._lock:
            self._unsent.update((topic, None) for topic in self._retained if topic.startswith(prefix))

    def take_retained(self, busy: set[str]) -> Message | None:
        """The next retained message to send whose topic is not in `busy`."""
        with self._lock:
            topic = next((topic for topic in self._unsent if topic not in busy), None)
            if topic is None:
                return None
            del self._unsent[topic]
            return self._retained[topic]

    def forgotten(self, message: Message) -> None:
        """The broker confirmed an empty retained message: nothing is left to repeat."""
        with self._lock:
            if self._retained.get(message.topic) is message:
                del self._retained[message.topic]
                self._unsent.pop(message.topic, None)

    def take_prediction(self) -> Prediction | None:
        with self._lock:
            if self._every:
                return self._every.popleft()
            return self._fresh.popitem(last=False)[1] if self._fresh else None

    def drop_predictions(self) -> None:
        """While there is no connection old predictions help nobody."""
        with self._lock:
            self._every.clear()
            self._fresh.clear()

    def take_reply(self) -> Message | None:
        with self._lock:
            return self._replies.popleft() if self._replies else None

    def take_jobs(self) -> list[Callable[[], None]]:
        with self._lock:
            jobs = list(self._jobs)
            self._jobs.clear()
        return jobs

    @property
    def events_waiting(self) -> int:
        return len(self._events)

    def _shed(self) -> None:
        """Make the inbox smaller by its least valuable part."""
        if self._event_bytes > MAX_EVENT_BYTES:
            for index, handed in enumerate(self._events):
                if handed.jpeg is not None:
                    self._events[index] = Handed(handed.event, None, handed.handed_s)
                    self._event_bytes -= len(handed.jpeg)
                    self._lost_events += 1
                    return
        rank = min(RANK[handed.event.severity] for handed in self._events)
        index = next(i for i, handed in enumerate(self._events) if RANK[handed.event.severity] == rank)
        self._event_bytes -= self._events[index].weight
        del self._events[index]
        self._lost_events += 1
