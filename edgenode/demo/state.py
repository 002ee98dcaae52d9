"""What the demo knows at one instant, and the tally it is taken from. Nothing here draws or does I/O."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from edgenode.capture.scenes import Scene
from edgenode.records import Decision, Event, EventType

FEED = 8
"""Events shown."""
RATE_WINDOW_S = 5.0
LATENCIES = 4096
"""The newest latencies percentiles are taken from."""


@dataclass(frozen=True, slots=True)
class RegionView:
    camera: str
    region: str
    label: str
    probability: float
    held_s: float
    """How long the state has been what it is."""
    truth: str
    """What the scene showed in the picture that was classified last."""
    settled: bool
    right: int
    """Raw answers equal to the truth, of the `judged` ones: those at which the truth is settled."""
    judged: int

    @property
    def accuracy(self) -> float | None:
        return self.right / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class EventView:
    at: datetime
    rule: str
    severity: str
    lasted_s: float | None
    """None while the event goes on."""
    reason: str
    """Why it began."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of latencies, in milliseconds."""

    p50_ms: float
    p99_ms: float
    count: int


@dataclass(frozen=True, slots=True)
class Links:
    """Where others can look on."""

    page_url: str
    metrics_url: str
    mqtt_host: str
    mqtt_port: int
    topics: str


@dataclass(frozen=True, slots=True)
class DemoState:
    elapsed_s: float
    regions: tuple[RegionView, ...]
    events: tuple[EventView, ...]
    """The newest first."""
    started: Mapping[str, int]
    """Events started, by rule."""
    classifications: int
    classifications_per_s: float
    messages: int
    """Received by the subscriber from the broker."""
    messages_per_s: float
    decided: Spread | None
    """From the capture of a picture to the decision on it."""
    received: Spread | None
    """From the capture of a picture to the subscriber's receipt of a live message about it."""
    cpu_percent: float
    """Of one core, for all of it: drawing, node, broker, subscriber, this display."""
    links: Links | None
    notices: tuple[str, ...] = ()


@dataclass(slots=True)
class _Region:
    decision: Decision | None = None
    truth: str = ""
    settled: bool = False
    right: int = 0
    judged: int = 0


@dataclass(slots=True)
class _Times:
    """Instants of the last few seconds."""

    window: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))

    def per_second(self, now_s: float, elapsed_s: float) -> float:
        while self.window and self.window[0] < now_s - RATE_WINDOW_S:
            self.window.popleft()
        return len(self.window) / max(0.1, min(RATE_WINDOW_S, elapsed_s))


class Tally:
    """Counts what the node's hooks and the subscriber tell. Methods may be called from any thread.

    `started_s` and all other times are monotonic seconds, which are also the scenes' own.
    """

    def __init__(self, scenes: Mapping[str, Scene], rules: tuple[str, ...], started_s: float) -> None:
        self._scenes = scenes
        self._started_s = started_s
        self._lock = threading.Lock()
        self._regions = {
            (camera, region): _Region() for camera, scene in scenes.items() for region in scene.regions
        }
        self._events: dict[str, EventView] = {}
        self._started: Counter[str] = Counter(dict.fromkeys(rules, 0))
        self._classified = 0
        self._messages = 0
        self._classified_at, self._messages_at = _Times(), _Times()
        self._decided: deque[float] = deque(maxlen=LATENCIES)
        self._received: deque[float] = deque(maxlen=LATENCIES)
        self._notices: deque[str] = deque(maxlen=4)
        self.first_s: float | None = None
        """Capture of the first picture that was decided on."""

    def decision(self, decision: Decision, now_s: float) -> None:
        """A region was decided on at `now_s`."""
        scene = self._scenes[decision.camera]
        truth = scene.truth(decision.captured_s)[decision.region]
        settled = scene.settled(decision.captured_s)[decision.region]
        with self._lock:
            region = self._regions[decision.camera, decision.region]
            region.decision, region.truth, region.settled = decision, truth, settled
            if settled:
                region.judged += 1
                region.right += decision.raw_label == truth
            if self.first_s is None:
                self.first_s = decision.captured_s
            self._classified += 1
            self._classified_at.window.append(now_s)
            self._decided.append(now_s - decision.captured_s)

    def event(self, event: Event) -> None:
        """A step of an event."""
        lasted_s = (event.ended_at - event.started_at).total_seconds() if event.ended_at else None
        with self._lock:
            begun = self._events.get(event.id)
            reason = event.reason if begun is None else begun.reason
            view = EventView(event.started_at, event.rule, event.severity.value, lasted_s, reason)
            if event.event_type is EventType.START:
                self._started[event.rule] += 1
            self._events[event.id] = view
            while len(self._events) > FEED:
                del self._events[next(iter(self._events))]

    def message(self, now_s: float, latency_s: float | None) -> None:
        """A message came from the broker, `latency_s` after the capture it tells of, where it does."""
        with self._lock:
            self._messages += 1
            self._messages_at.window.append(now_s)
            if latency_s is not None:
                self._received.append(latency_s)

    def notice(self, text: str) -> None:
        """Something people should see, such as a warning."""
        with self._lock:
            self._notices.append(text)

    def state(self, now_s: float, cpu_s: float, links: Links | None) -> DemoState:
        """All of it at `now_s`, when the process has used `cpu_s` seconds of processor since the start."""
        elapsed_s = now_s - self._started_s
        with self._lock:
            return DemoState(
                elapsed_s=elapsed_s,
                regions=tuple(_view(key, region, now_s) for key, region in self._regions.items()),
                events=tuple(reversed(self._events.values())),
                started=dict(self._started),
                classifications=self._classified,
                classifications_per_s=self._classified_at.per_second(now_s, elapsed_s),
                messages=self._messages,
                messages_per_s=self._messages_at.per_second(now_s, elapsed_s),
                decided=_spread(self._decided),
                received=_spread(self._received),
                cpu_percent=100.0 * cpu_s / elapsed_s if elapsed_s > 0 else 0.0,
                links=links,
                notices=tuple(self._notices),
            )


def _view(key: tuple[str, str], region: _Region, now_s: float) -> RegionView:
    camera, name = key
    decision = region.decision
    return RegionView(
        camera=camera,
        region=name,
        label=decision.label if decision is not None else "",
        probability=decision.probability if decision is not None else 0.0,
        held_s=max(0.0, now_s - decision.since_s) if decision is not None else 0.0,
        truth=region.truth,
        settled=region.settled,
        right=region.right,
        judged=region.judged,
    )


def _spread(latencies_s: deque[float]) -> Spread | None:
    if not latencies_s:
        return None
    p50, p99 = np.percentile(np.fromiter(latencies_s, dtype=np.float64), (50, 99)) * 1000.0
    return Spread(float(p50), float(p99), len(latencies_s))
