"""Ends onnxruntime runs that take too long, with one thread for all models.

`RunOptions.terminate` is looked at between operators and between the turns of a `Loop`: an endless loop ends
within milliseconds of its limit, one huge convolution only when it is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Run:
    """One run under a limit. `expired` is true once the limit has ended it."""

    options: Any
    deadline_s: float
    expired: bool = False


class RunLimiter:
    """Watches runs against their deadlines.

    Its thread lives while at least one user holds it (`acquire` to `release`). Starting a run costs a lock
    and a dictionary entry: the thread is woken only when it sleeps without a deadline, so it wakes about once
    in each limit's length, not once a run.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._runs: dict[int, Run] = {}
        self._wake_s: float | None = None
        """When the thread wakes by itself; None while it sleeps until it is told."""
        self._users = 0
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Keep the thread running until `release`."""
        with self._changed:
            self._users += 1
            if self._thread is None:
                self._wake_s = time.monotonic()  # about to look for itself
                self._thread = threading.Thread(target=self._watch, name="run-limiter", daemon=True)
                self._thread.start()

    def release(self) -> None:
        """Undo one `acquire`; the last one ends the thread."""
        with self._changed:
            self._users -= 1
            thread = self._thread if self._users == 0 else None
            if thread is not None:
                self._thread = None
                self._changed.notify_all()
        if thread is not None:
            thread.join()

    @contextmanager
    def limit(self, options: Any, timeout_s: float) -> Iterator[Run]:
        """For the `with` block's length: set `options.terminate` once `timeout_s` have passed."""
        run = Run(options, time.monotonic() + timeout_s)
        with self._changed:
            self._runs[id(run)] = run
            if self._wake_s is None or run.deadline_s < self._wake_s:
                self._changed.notify_all()
        try:
            yield run
        finally:
            with self._changed:
                del self._runs[id(run)]

    def _watch(self) -> None:
        me = threading.current_thread()
        with self._changed:
            while self._thread is me:
                now_s = time.monotonic()
                for run in self._runs.values():
                    if run.deadline_s <= now_s and not run.expired:
                        run.expired = True
                        run.options.terminate = True
                waiting = [run.deadline_s for run in self._runs.values() if not run.expired]
                self._wake_s = min(waiting, default=None)
                self._changed.wait(None if self._wake_s is None else self._wake_s - now_s)


limiter = RunLimiter()
"""The process's one limiter; every open Classifier holds it."""
