"""How long the machine's cores were busy, from /proc/stat."""

from __future__ import annotations

import os
from pathlib import Path

STAT = Path("/proc/stat")


def busy_seconds(stat: Path = STAT) -> float | None:
    """CPU seconds the cores were busy since boot: user, nice, system, irq, softirq (proc(5), `cpu` line)."""
    try:
        fields = stat.read_text(encoding="ascii").split("\n", 1)[0].split()
        ticks = [int(field) for field in fields[1:8]]
        return (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
