"""One thread for all that cameras do by time alone: sixty-four cameras must not mean 128 threads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edgenode.capture.status import REPORT_S

log = logging.getLogger(__name__)

Tick = Callable[[], None]


class Ticker:
    """Calls every tick it knows twice a second. Its thread lives while it knows one. Any thread may call."""

    def __init__(self, period_s: float = REPORT_S / 2.0) -> None:
        self._period_s = period_s
        self._changed = threading.Condition(threading.Lock())
        self._ticks: list[Tick] = []
        self._thread: threading.Thread | None = None
        self._heartbeat_s = time.monotonic()

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last round; now, while there is nothing to call."""
        return self._heartbeat_s if self._thread is not None else time.monotonic()

    def add(self, tick: Tick) -> None:
        """Call `tick` from now on; it must be quick. What it raises is logged."""
        with self._changed:
            self._ticks.append(tick)
            if self._thread is None:
                self._heartbeat_s = time.monotonic()
                self._thread = threading.Thread(target=self._run, name="camera-reports", daemon=True)
                self._thread.start()

    def remove(self, tick: Tick) -> None:
        """Call it no more (a call in progress may still end); unknown ones are passed over. The last one ends
        the thread."""
        with self._changed:
            if tick in self._ticks:
                self._ticks.remove(tick)
            thread = self._thread if not self._ticks else None
            if thread is not None:
                self._thread = None
                self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                if self._thread is me:
                    self._changed.wait(self._period_s)
                if self._thread is not me:
                    return
                ticks = tuple(self._ticks)
            self._heartbeat_s = time.monotonic()
            for tick in ticks:
                try:
                    tick()
                except Exception:
                    log.exception("a camera's report failed")


ticker = Ticker()
"""The process's one ticker."""
