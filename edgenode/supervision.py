"""When a part of the node fails: its stacks go to the log, and the process ends although threads may hang.

All of this belongs to the process, not to a node: the daemon alone uses it.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from edgenode.telemetry.health import Health

log = logging.getLogger(__name__)

SILENCE_S = 30.0
"""Without a watchdog: after this long without a beat of the main thread the stacks are written."""
LONG_WORK_S = 300.0
"""How long a reload may take before the watchdog counts it as hung."""
_END_S = 20.0
"""How long a failed node may take to stop before the process ends anyway."""


class ThreadWatch:
    """From `__enter__` to `__exit__`, a thread that dies of an exception is logged and fails `health`."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def __enter__(self) -> Self:
        self._former = threading.excepthook
        threading.excepthook = self._died
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        threading.excepthook = self._former

    def _died(self, arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread is not None else "unknown"
        kind, error, trace = arguments.exc_type, arguments.exc_value, arguments.exc_traceback
        text = "".join(traceback.format_exception(kind, error, trace))
        log.critical("the thread %s has died\n%s", name, text)
        self._health.lost(f"thread {name}", f"it died of {kind.__name__}")


class StallAlarm:
    """Writes all stacks to standard error when `beat` has not been called for `limit_s`: before the service
    manager, which waits longer, ends the process. Needs no cooperation of any thread, and no lock of Python's.
    """

    def __init__(self, watchdog_interval_s: float | None) -> None:
        self.limit_s = watchdog_interval_s * 0.75 if watchdog_interval_s is not None else SILENCE_S

    def beat(self) -> None:
        """The main thread makes progress."""
        faulthandler.dump_traceback_later(self.limit_s)

    def stop(self) -> None:
        faulthandler.cancel_dump_traceback_later()


@contextmanager
def patience(beat: Callable[[], object], every_s: float, longest_s: float = LONG_WORK_S) -> Iterator[None]:
    """Within the block another thread calls `beat` in place of the main thread, which loads models for longer than
    a watchdog waits; for at most `longest_s`, so that what hangs there is still noticed."""
    over = threading.Event()

    def work() -> None:
        give_up_s = time.monotonic() + longest_s
        while not over.wait(every_s) and time.monotonic() < give_up_s:
            beat()

    thread = threading.Thread(target=work, name="patience", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def all_stacks() -> str:
    """What every thread is doing now, by name."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        stack = "".join(traceback.format_stack(frame))
        parts.append(f"thread {names.get(ident, ident)}:\n{stack}")
    return "\n".join(parts)


def end_in_time() -> None:
    """The node stops because it failed: whatever hangs while it stops, the process ends in `_END_S`, with stacks
    and a code other than 0."""
    faulthandler.dump_traceback_later(_END_S, exit=True)


def leave(code: int) -> int:
    """`code`, to be returned to the shell; where threads are left that hang, the process ends here with it.

    The interpreter must not be torn down under a thread inside a library: it would crash, or wait for ever.
    """
    faulthandler.cancel_dump_traceback_later()
    left = sorted(each.name for each in threading.enumerate() if each is not threading.main_thread())
    if not left:
        return code
    log.warning("threads that did not end in time are left behind: %s", ", ".join(left))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
