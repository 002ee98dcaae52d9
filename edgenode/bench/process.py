"""What this process has used."""

from __future__ import annotations

import os
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def rss_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def thread_seconds() -> dict[str, float]:
    """CPU seconds by thread name so far; all cameras' threads and all models' are one each."""
    from edgenode.telemetry.cpu import ThreadCpu

    found: dict[str, float] = {}
    for family in ThreadCpu().collect():
        for sample in family.samples:
            name = sample.labels["thread"]
            group = "cameras" if name.startswith("camera-") and name != "camera-reports" else name
            group = next((each for each in ("infer", "decide") if name.startswith(f"{each}-")), group)
            found[group] = found.get(group, 0.0) + sample.value
    return found
