"""Time as an argument: a clock that can be replaced, and the pauses between retries."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the daemon knows of time. Logic runs on `monotonic`; people read `now`."""

    def monotonic(self) -> float:
        """Seconds that never go backwards; their zero means nothing."""
        ...

    def now(self) -> datetime:
        """UTC, timezone-aware."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or `timeout_s` passed; says whether it is set."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(timeout_s)


class ManualClock:
    """A clock that moves only when told to: for tests and for replaying media time."""

    def __init__(self, start: datetime = datetime(1970, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0

    def monotonic(self) -> float:
        return self._elapsed_s

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        if not event.is_set():
            self._elapsed_s += timeout_s
        return event.is_set()

    def set(self, elapsed_s: float) -> None:
        """Move to `elapsed_s` seconds after the start."""
        self._elapsed_s = elapsed_s

    def advance(self, seconds: float) -> None:
        self._elapsed_s += seconds


def parse_moment(text: str) -> datetime:
    """The UTC instant of RFC 3339 `text`, which is UTC where it names no offset. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:  # an offset that leads out of the years 1 to 9999
        raise ValueError(str(error)) from error


class ClockSteps:
    """Ages of what carries a wall clock's time, although that clock may be set while the thing waits.

    Whoever hands out rising numbers calls `look` often; a jump of the wall clock against the monotonic one is kept
    with the next number, and taken off the age of every smaller one. Slow corrections are no jumps. One thread.
    """

    _JUMP_S = 0.5
    _MOST = 100

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_s = self._measure()
        self._steps: list[tuple[int, float]] = []
        """The first number after a jump, and by how much the wall clock went forward."""

    def look(self, next_number: int) -> None:
        """Before numbers from `next_number` on are handed out."""
        offset_s = self._measure()
        step_s = offset_s - self._offset_s
        self._offset_s = offset_s
        if abs(step_s) >= self._JUMP_S:
            self._steps = [*self._steps[1 - self._MOST :], (next_number, step_s)]

    def age_s(self, at: datetime, number: int) -> float:
        """How long ago `at` was, of the thing with `number`; never negative."""
        stepped_s = sum(step_s for first, step_s in self._steps if number < first) if self._steps else 0.0
        return max(0.0, (self._clock.now() - at).total_seconds() - stepped_s)

    def _measure(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()


class Backoff:
    """Pauses between retries: exponential with full jitter.

    Pause n is drawn evenly from 0 to min(`longest_s`, `first_s` · 2^n), but never under `floor_s`, so that
    a hundred gateways do not come back at the same instant
    (formula: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
    """

    def __init__(
        self, first_s: float, longest_s: float, floor_s: float = 0.1, rng: random.Random | None = None
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._floor_s = floor_s
        self._rng = rng if rng is not None else random.Random()  # noqa: S311 - spreads load, guards nothing
        self._attempt = 0

    @property
    def attempt(self) -> int:
        """How many pauses were asked for since the last success."""
        return self._attempt

    def next_s(self) -> float:
        """The pause before the next try, in seconds."""
        ceiling_s = min(self._longest_s, self._first_s * 2.0 ** min(self._attempt, 32))
        self._attempt += 1
        return max(self._floor_s, self._rng.uniform(0.0, ceiling_s))

    def reset(self) -> None:
        """Call after a success."""
        self._attempt = 0
