"""CPU seconds by thread, from /proc/self/task: what inference costs where no power meter is readable."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_NAME = re.compile(r"^[A-Za-z][\w.:-]{0,47}$")
_NUMBERED = re.compile(r"[-_]\d+$")
NATIVE = "native"
"""Threads that libraries started by themselves (codecs, intra-op pools): Python has no name for them."""
OTHER = "other"
"""Python threads nobody named; each has a number of its own, and a series for each would never end."""


class ThreadCpu(Collector):
    """`edgenode_cpu_seconds_total{thread}`. Threads of one name add up; one that ended keeps its share.

    What a thread used between the last scrape and its end is not seen here; `process_cpu_seconds_total` has
    it.
    """

    def __init__(self, task_dir: Path = Path("/proc/self/task")) -> None:
        self._task_dir = task_dir
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
        self._lock = threading.Lock()
        self._seen: dict[tuple[int, int], int] = {}
        self._totals: dict[str, int] = {}

    def collect(self) -> Iterable[Metric]:
        totals = self.seconds()
        family = CounterMetricFamily(
            "edgenode_cpu_seconds", "CPU time by thread, user and system.", labels=["thread"]
        )
        for name, seconds in sorted(totals.items()):
            family.add_metric([name], seconds)
        if family.samples:
            yield family

    def seconds(self) -> dict[str, float]:
        """Thread's name to the CPU seconds of all threads of that name so far."""
        with self._lock:
            self._update()
            return {name: ticks * self._tick_s for name, ticks in self._totals.items()}

    def describe(self) -> Iterable[Metric]:
        return [CounterMetricFamily("edgenode_cpu_seconds", "")]

    def _update(self) -> None:
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        seen: dict[tuple[int, int], int] = {}
        for tid, started, ticks in _tasks(self._task_dir):
            seen[tid, started] = ticks
            name = thread_label(names.get(tid))
            gained = ticks - self._seen.get((tid, started), 0)
            self._totals[name] = self._totals.get(name, 0) + max(0, gained)
        self._seen = seen


def thread_label(name: str | None) -> str:
    """The label of a Python thread's name; None is a thread Python does not know."""
    if name is None:
        return NATIVE
    if name == "MainThread":
        return "main"
    stem = _NUMBERED.sub("", _NUMBERED.sub("", name))
    if name.startswith(("Thread-", "ThreadPoolExecutor", "Dummy-")) or not _NAME.match(stem):
        return OTHER
    return name if _NAME.match(name) and not name[-1].isdigit() else _keep_digits(name, stem)


def _keep_digits(name: str, stem: str) -> str:
    """`camera-line_1` keeps its number, which is part of the camera's name; `worker-17` is one of many."""
    return name if name.startswith(("camera-", "infer-", "decide-")) else stem


def _tasks(task_dir: Path) -> Iterable[tuple[int, int, int]]:
    """(tid, start time, user + system ticks) of each task; one that ends meanwhile is left out."""
    try:
        entries = [entry.name for entry in os.scandir(task_dir)]
    except OSError:
        return
    for entry in entries:
        try:
            text = (task_dir / entry / "stat").read_text(encoding="utf-8", errors="replace")
            # The command may hold spaces and brackets; the fields after it start behind the last bracket
            # (proc(5): utime is field 14, stime 15, starttime 22).
            fields = text[text.rindex(")") + 2 :].split()
            yield int(entry), int(fields[19]), int(fields[11]) + int(fields[12])
        except (OSError, ValueError, IndexError):
            continue
