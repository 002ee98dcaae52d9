"""Turns at the processor: how many camera threads compute at once.

Threads of one process share Python's lock. With sixteen cameras runnable on two cores, whoever holds that
lock is likely not on a core: every step of the inference thread then waits through the time slices of the
others (measured: 200 images a second instead of 3,200; `docs/decisions/0030-turns-at-the-processor.md`).
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque

SLICE_S = 0.02
"""A thread that never waits keeps its turn this long: a hand-over each frame costs caches and wake-ups."""


class Turns:
    """At most `limit` turns are held at once; who waits longest is next. Used by all camera threads."""

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"at least one camera must have a turn: {limit}")
        self._lock = threading.Lock()
        self._free = limit
        self._line: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """Threads in line now."""
        return len(self._line)

    def turn(self) -> Turn:
        """One camera thread's own; not held yet."""
        return Turn(self)

    def enter(self, gate: threading.Lock) -> None:
        """For `Turn` alone: returns holding a turn. `gate` is the caller's, locked, and locked again after."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            self._line.append(gate)
        gate.acquire()

    def leave(self) -> None:
        """For `Turn` alone. Hands the turn to the first in line: a thread that comes again at once queues."""
        with self._lock:
            if self._line:
                self._line.popleft().release()
            else:
                self._free += 1


class Turn:
    """One camera thread's right to compute. Beginning twice and ending twice are allowed.

    Held from decoding to the hand-off of the samples; never while waiting for a network, a disk or a due
    time. Made without `turns` it is always granted. All but `forfeit`, `stood_until_s` and `anew` belong to the
    thread.
    """

    __slots__ = ("_began_s", "_gate", "_held", "_lock", "_stood_until_s", "_turns", "_waiting")

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns
        self._held = False
        self._waiting = False
        self._began_s = 0.0
        self._stood_until_s = -math.inf
        self._gate = threading.Lock()
        self._gate.acquire()
        self._lock = threading.Lock()
        """Between the thread's hand-over and another's `forfeit`."""

    @property
    def stood_until_s(self) -> float:
        """Until when (monotonic) the thread last stood in line, now while it does: it did not hang, others computed."""
        return time.monotonic() if self._waiting else self._stood_until_s

    def anew(self) -> Turn:
        """A turn of the same kind, for the thread that replaces this one."""
        return Turn(self._turns)

    def begin(self) -> None:
        """Wait until it is this thread's turn."""
        turns = self._turns
        if turns is None or self._held:
            return
        self._waiting = True
        turns.enter(self._gate)
        self._stood_until_s = (
            time.monotonic()
        )  # first: who looks in between must not take the long wait for silence
        self._waiting = False
        with self._lock:
            if self._turns is None:  # forfeited while it stood in line
                turns.leave()
                return
            self._held = True
            self._began_s = time.monotonic()

    def rest(self) -> None:
        """Between two frames: let the next one in if this thread has computed for `SLICE_S`."""
        if self._held and time.monotonic() - self._began_s >= SLICE_S:
            self.end()

    def end(self) -> None:
        """Let the next one in."""
        with self._lock:
            if self._held and self._turns is not None:
                self._held = False
                self._turns.leave()

    def forfeit(self) -> None:
        """Take it from a thread that hangs, for good: what that thread still does, it does without one."""
        with self._lock:
            if self._held and self._turns is not None:
                self._turns.leave()
            self._held = False
            self._turns = None


def turns_for(realtime: bool, cores: int | None = None) -> Turns:
    """As many turns as cores; one less for files at full speed, which would never leave a core to others."""
    cores = cores if cores is not None else len(os.sched_getaffinity(0))
    return Turns(max(1, cores if realtime else cores - 1))
