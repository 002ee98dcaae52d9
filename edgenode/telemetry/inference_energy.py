"""Joules of each model's inference: its share of what the processor's meter counted.

In each interval: joules of packages and memory × (CPU seconds of the model's runs / CPU seconds the machine
was busy), the way Kepler shares energy among processes. Idle power is spread over whatever ran. It needs a
readable RAPL meter; without one nothing is reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from edgenode.telemetry.energy import EnergyMeter
from edgenode.telemetry.energy_sources import RAPL


class InferenceEnergy:
    """The node's supervisor calls `tick` once a second, on one thread; it reads the meter too.

    `run_seconds` gives the seconds each model has run so far, `threads` how many threads one run keeps busy,
    and `add` takes (model, joules).
    """

    def __init__(
        self,
        meter: EnergyMeter,
        run_seconds: Callable[[], Mapping[str, float]],
        add: Callable[[str, float], None],
        threads: int = 1,
        stat: Path = Path("/proc/stat"),
    ) -> None:
        self._meter = meter
        self._run_seconds = run_seconds
        self._add = add
        self._threads = threads
        self._stat = stat
        self._last: tuple[float, float, dict[str, float]] | None = None

    def tick(self) -> None:
        self._meter.sample()
        joules, busy_s = self._meter.joules(RAPL), busy_seconds(self._stat)
        if joules is None or busy_s is None:
            self._last = None
            return
        ran_s = dict(self._run_seconds())
        last, self._last = self._last, (joules, busy_s, ran_s)
        if last is None:
            return
        gained, busy = joules - last[0], busy_s - last[1]
        if gained <= 0.0 or busy <= 0.0:
            # The tick came between two updates of a counter: wait for more rather than divide by nothing.
            self._last = last
            return
        used = {
            model: (seconds - last[2].get(model, 0.0)) * self._threads for model, seconds in ran_s.items()
        }
        # /proc/stat counts in ticks of 10 ms: together the shares must not exceed the whole.
        whole = max(busy, sum(used.values()))
        for model, seconds in used.items():
            if seconds > 0.0:
                self._add(model, gained * seconds / whole)


def busy_seconds(stat: Path) -> float | None:
    """CPU seconds the cores were busy since boot: user, nice, system, irq, softirq (proc(5), `cpu` line)."""
    try:
        fields = stat.read_text(encoding="ascii").split("\n", 1)[0].split()
        ticks = [int(field) for field in fields[1:8]]
        return (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
