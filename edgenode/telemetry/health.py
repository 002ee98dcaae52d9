"""Whether the node is well: heartbeats of threads, conditions stages report, and what both mean together.

`failed`: a supervised thread makes no progress; the service manager should restart the node.
`degraded`: it works, but not whole (the broker is away, a camera is offline, the disk is full); a restart
would not help. `ok`: everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from edgenode.clock import Clock, SystemClock

PAUSED_S = 5.0
BEAT_LIMIT_S = 30.0
"""How long a name that only beats may stay silent."""


class HealthStatus(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The node's health at one instant. Reasons are sentences that start with the part's name."""

    status: HealthStatus
    reasons: tuple[str, ...]
    ready: bool
    not_ready: tuple[str, ...]

    @property
    def alive(self) -> bool:
        """Whether every supervised thread makes progress."""
        return self.status is not HealthStatus.FAILED


@dataclass(frozen=True, slots=True)
class _Watched:
    heartbeat: Callable[[], float]
    limit_s: float


class Patience:
    """Tells a supervisor's own silence from that of the threads it watches. Used by its thread."""

    def __init__(self, now_s: float) -> None:
        self._asked_s = now_s
        self._until_s = now_s

    def forgives(self, now_s: float) -> bool:
        """Asked in every round: whether not even this thread ran for `PAUSED_S` just now. Then the process was
        stopped or the machine asleep, and the others get as long to go on."""
        if now_s - self._asked_s > PAUSED_S:
            self._until_s = now_s + PAUSED_S
        self._asked_s = now_s
        return now_s < self._until_s


class Health:
    """Collects heartbeats and conditions; any thread may call any method."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._lock = threading.Lock()
        self._beats: dict[str, float] = {}
        self._watched: dict[str, _Watched] = {}
        self._conditions: dict[str, tuple[bool, str]] = {}
        self._lost: dict[str, str] = {}
        self._required: tuple[str, ...] = ()

    def beat(self, name: str) -> None:
        """`name` is making progress now; from the first call on it must go on doing so."""
        with self._lock:
            self._beats[name] = self._clock.monotonic()

    def watch(self, name: str, heartbeat: Callable[[], float], limit_s: float) -> None:
        """Fail when `heartbeat()` (monotonic seconds of the last progress) is older than `limit_s`."""
        with self._lock:
            self._watched[name] = _Watched(heartbeat, limit_s)

    def forget(self, name: str) -> None:
        """The part was stopped on purpose: neither its beats nor its condition count any more."""
        with self._lock:
            self._beats.pop(name, None)
            self._watched.pop(name, None)
            self._conditions.pop(name, None)

    def lost(self, name: str, reason: str) -> None:
        """A part is gone for good: failed from now on, whatever else is reported."""
        with self._lock:
            self._lost[name] = reason

    def condition(self, name: str, ok: bool, reason: str = "") -> None:
        """What a part says of itself; the newest word counts. `reason` is for people."""
        with self._lock:
            self._conditions[name] = (ok, reason)

    def require(self, *names: str) -> None:
        """Ready means that each of these conditions has been reported and is ok."""
        with self._lock:
            self._required = names

    def report(self) -> HealthReport:
        """The health now. A heartbeat that raises counts as a thread that makes no progress."""
        with self._lock:
            watched, beats = dict(self._watched), dict(self._beats)
            conditions, required = dict(self._conditions), self._required
            stuck = [f"{name}: {reason}" for name, reason in sorted(self._lost.items())]
        # The clock is read after the beats, so that no age is negative; heartbeats are called without the
        # lock, because a stage may hold its own lock while it reports a condition.
        for name, beat in beats.items():
            watched.setdefault(name, _Watched(partial(float, beat), BEAT_LIMIT_S))
        stuck += [
            reason
            for name, watch in sorted(watched.items())
            if (reason := self._stuck(name, watch.heartbeat, watch.limit_s)) is not None
        ]
        poor = [
            f"{name}: {reason or 'not ok'}" for name, (ok, reason) in sorted(conditions.items()) if not ok
        ]
        not_ready = [f"{name}: not yet" for name in required if name not in conditions]
        not_ready += [
            f"{name}: {conditions[name][1] or 'not ok'}"
            for name in required
            if name in conditions and not conditions[name][0]
        ]
        status = HealthStatus.FAILED if stuck else HealthStatus.DEGRADED if poor else HealthStatus.OK
        return HealthReport(
            status=status,
            reasons=tuple(stuck + poor),
            ready=not stuck and not not_ready,
            not_ready=tuple(stuck + not_ready),
        )

    def _stuck(self, name: str, heartbeat: Callable[[], float], limit_s: float) -> str | None:
        try:
            age_s = self._clock.monotonic() - heartbeat()
        except Exception as error:
            return f"{name}: its heartbeat cannot be read ({type(error).__name__})"
        return f"{name}: no progress for {age_s:.0f} s (limit {limit_s:g} s)" if age_s > limit_s else None
