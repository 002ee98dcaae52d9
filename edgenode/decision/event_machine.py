"""The life of one rule's events: dwell, start, updates, end, cooldown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from edgenode.records import Decision, Event, EventType, JsonObject, ModelIdentity, Severity

from .instruments import TICK_S

CLOCK_SET = timedelta(seconds=2)
"""The two clocks disagree by more than this only where the wall clock was set."""
PEAK_STEP = 0.1
"""A probability must rise by this much over the last reported one to be worth an update."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How one rule makes events. `updates`: `off`, `change` (another label) or `peak` (that, or a new
    peak)."""

    rule: str
    for_s: float = 0.0
    cooldown_s: float = 0.0
    updates: str = "change"
    update_every_s: float = 0.0
    """An update at least this often while the event lasts; 0 never."""
    severity: Severity = Severity.WARNING
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about, at one moment."""

    camera: str | None = None
    region: str | None = None
    label: str | None = None
    probability: float | None = None
    model: ModelIdentity | None = None
    value: float | None = None


@dataclass(slots=True)
class OpenEvent:
    """An event that has started and not ended."""

    id: str
    n: int
    started_at: datetime
    started_s: float | None
    """`started_at` on the monotonic clock, as the wall clock may be set while the event is open; None where a former
    version did not write it down."""
    subject: Subject
    reported_s: float
    peak: float | None = None
    reported_peak: float | None = None
    label_now: str | None = None


class EventMachine:
    """Turns whether a condition holds into events. The caller steps it when that may have changed, and at
    `due_s`."""

    def __init__(self, spec: Lifetime, new_id: Callable[[datetime], str]) -> None:
        self.spec = spec
        self._new_id = new_id
        self.since_s: float | None = None
        """Since when the condition holds."""
        self.since_at: datetime | None = None
        self.open: OpenEvent | None = None
        self.cooldown_until_s: float | None = None

    def cooldown_left_s(self, now_s: float) -> float:
        return 0.0 if self.cooldown_until_s is None else max(0.0, self.cooldown_until_s - now_s)

    @property
    def due_s(self) -> float | None:
        """The next moment at which something happens by itself, if the condition stays as it is."""
        if self.open is not None:
            return self.open.reported_s + self.spec.update_every_s if self.spec.update_every_s > 0.0 else None
        if self.since_s is None:
            return None
        full_s = self.since_s + self.spec.for_s
        return full_s if self.cooldown_until_s is None else max(full_s, self.cooldown_until_s)

    def step(
        self,
        holds: bool,
        now_s: float,
        now_at: datetime,
        subject: Callable[[], Subject],
        reason: Callable[[], str],
        begun: tuple[float, datetime] | None = None,
    ) -> Event | None:
        """What the rule says at `now_s`. `begun`: when what is reported began, if before the condition
        held."""
        if not holds:
            self.since_s = None
            return self.end(reason(), now_s, now_at) if self.open is not None else None
        if self.since_s is None:
            self.since_s, self.since_at = now_s, now_at
        if self.open is not None:
            return self._update(self.open, now_s, now_at, subject(), reason)
        due_s = self.due_s
        if due_s is not None and now_s < due_s - TICK_S:
            return None
        started_s, started_at = (self.since_s, self.since_at) if begun is None else begun
        assert started_at is not None
        about = subject()
        self.open = OpenEvent(
            id=self._new_id(now_at),
            n=0,
            started_at=started_at,
            started_s=started_s,
            subject=about,
            reported_s=now_s,
            peak=about.probability,
            reported_peak=about.probability,
            label_now=about.label,
        )
        return self._event(self.open, EventType.START, about, now_at, None, reason())

    def heighten(self, decision: Decision) -> None:
        """Keep the greatest probability while the open event's region stays what it was."""
        event = self.open
        if (
            event is not None
            and event.peak is not None
            and decision.probability > event.peak
            and decision.label == event.subject.label
            and decision.region == event.subject.region
            and decision.camera == event.subject.camera
        ):
            event.peak = decision.probability

    def end(self, reason: str, now_s: float, now_at: datetime) -> Event | None:
        """End the open event, whatever the condition says."""
        event = self.open
        self.since_s = None
        if event is None:
            return None
        self.open = None
        self.cooldown_until_s = now_s + self.spec.cooldown_s if self.spec.cooldown_s > 0.0 else None
        event.n += 1
        about = event.subject
        last = Subject(about.camera, about.region, about.label, event.peak, about.model, about.value)
        return self._event(event, EventType.END, last, now_at, ended_at(event, now_s, now_at), reason)

    def _update(
        self, event: OpenEvent, now_s: float, now_at: datetime, about: Subject, reason: Callable[[], str]
    ) -> Event | None:
        started = event.subject
        if about.probability is not None and about.label == started.label:
            event.peak = max(event.peak or 0.0, about.probability)
        every = self.spec.update_every_s
        due = every > 0.0 and now_s >= event.reported_s + every - TICK_S
        relabelled = self.spec.updates != "off" and about.label != event.label_now
        risen = (
            self.spec.updates == "peak"
            and event.peak is not None
            and event.peak >= (event.reported_peak or 0.0) + PEAK_STEP
        )
        if not (due or relabelled or risen):
            return None
        event.n += 1
        event.reported_s, event.reported_peak, event.label_now = now_s, event.peak, about.label
        return self._event(event, EventType.UPDATE, about, now_at, None, reason())

    def _event(
        self,
        event: OpenEvent,
        kind: EventType,
        about: Subject,
        now_at: datetime,
        ended_at: datetime | None,
        reason: str,
    ) -> Event:
        return Event(
            id=event.id,
            n=event.n,
            event_type=kind,
            rule=self.spec.rule,
            severity=self.spec.severity,
            camera=about.camera,
            region=about.region,
            label=about.label,
            probability=about.probability,
            started_at=event.started_at,
            ended_at=ended_at,
            captured_at=now_at,
            reason=reason,
            model=about.model,
            snapshot=self.spec.snapshot and kind is EventType.START,
            value=about.value,
        )

    def resume(self, now_s: float) -> None:
        """After a pause in which nobody watched: a dwell begins anew, a periodic update is due from now
        on."""
        if self.open is None:
            self.since_s = None
        else:
            self.open.reported_s = max(self.open.reported_s, now_s)

    def export(self) -> JsonObject:
        event = self.open
        return {
            "since_s": self.since_s,
            "since_at": None if self.since_at is None else self.since_at.isoformat(),
            "cooldown_until_s": self.cooldown_until_s,
            "open": None if event is None else open_event_to_json(event),
        }

    def restore(self, state: JsonObject, offset_s: float) -> None:
        def moved(value: float | None) -> float | None:
            return None if value is None else value + offset_s

        self.since_s = moved(state["since_s"])
        since_at = state["since_at"]
        self.since_at = None if since_at is None else datetime.fromisoformat(since_at)
        self.cooldown_until_s = moved(state["cooldown_until_s"])
        self.open = None if state["open"] is None else open_event_from_json(state["open"], offset_s)


def ended_at(event: OpenEvent, now_s: float, now_at: datetime) -> datetime:
    """When an event ends. Where the wall clock was set meanwhile its end would lie before its start, or hours after
    it: then it ends as long after its start as it lasted."""
    if event.started_s is None:
        return now_at
    lasted = timedelta(seconds=max(0.0, now_s - event.started_s))
    return now_at if abs(now_at - event.started_at - lasted) <= CLOCK_SET else event.started_at + lasted


def open_event_to_json(event: OpenEvent) -> JsonObject:
    about, model = event.subject, event.subject.model
    return {
        "id": event.id,
        "n": event.n,
        "started_at": event.started_at.isoformat(),
        "started_s": event.started_s,
        "camera": about.camera,
        "region": about.region,
        "label": about.label,
        "probability": about.probability,
        "model": None if model is None else [model.name, model.version, model.sha256],
        "value": about.value,
        "reported_s": event.reported_s,
        "peak": event.peak,
        "reported_peak": event.reported_peak,
        "label_now": event.label_now,
    }


def open_event_from_json(state: JsonObject, offset_s: float) -> OpenEvent:
    model = state["model"]
    return OpenEvent(
        id=state["id"],
        n=state["n"],
        started_at=datetime.fromisoformat(state["started_at"]),
        started_s=None if state.get("started_s") is None else state["started_s"] + offset_s,
        subject=Subject(
            camera=state["camera"],
            region=state["region"],
            label=state["label"],
            probability=state["probability"],
            model=None if model is None else ModelIdentity(*model),
            value=state["value"],
        ),
        reported_s=state["reported_s"] + offset_s,
        peak=state["peak"],
        reported_peak=state["reported_peak"],
        label_now=state["label_now"],
    )


def orphan_end(rule: str, severity: str, event: OpenEvent, reason: str, now_at: datetime) -> Event:
    """The end of an event whose rule no longer exists."""
    machine = EventMachine(Lifetime(rule, severity=Severity(severity)), lambda _: event.id)
    machine.open = event
    event.started_s = None  # `now_at` is all that is known of the present
    ended = machine.end(reason, 0.0, now_at)
    assert ended is not None
    return ended
