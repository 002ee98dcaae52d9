"""What the node stands on, read at each scrape: the disk of its state directory, the clock, its certificate."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_TEXTS = {
    "edgenode_disk_free_bytes": "Free for the node on the disk of its state directory.",
    "edgenode_disk_bytes": "Size of the disk of the state directory.",
    "edgenode_outbox_limit_bytes": "What the outbox may take on the disk: outbox.max_size.",
    "edgenode_clock_synchronised": "1 while a time source disciplines the machine's clock.",
    "edgenode_certificate_expiry_timestamp_seconds": "When the node's own certificate ends, Unix time.",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where to look. The functions are called on the thread that scrapes and must not raise."""

    state_dir: Path
    outbox_limit_bytes: int
    clock_synchronised: Callable[[], bool]
    certificate_ends: Callable[[], datetime | None]
    """None where the node has no certificate, or it cannot be read."""


class SurroundingsMetrics(Collector):
    """Any thread. What cannot be read is absent."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings

    def collect(self) -> Iterable[Metric]:
        for name, value in self._values().items():
            family = GaugeMetricFamily(name, _TEXTS[name])
            family.add_metric([], value)
            yield family

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily(name, "") for name in _TEXTS]

    def _values(self) -> dict[str, float]:
        values = {
            "edgenode_outbox_limit_bytes": float(self._around.outbox_limit_bytes),
            "edgenode_clock_synchronised": float(self._around.clock_synchronised()),
        }
        try:
            stat = os.statvfs(self._around.state_dir)
        except OSError:
            pass  # the folder is gone: the outbox says so
        else:
            values["edgenode_disk_free_bytes"] = float(stat.f_bavail * stat.f_frsize)
            values["edgenode_disk_bytes"] = float(stat.f_blocks * stat.f_frsize)
        ends = self._around.certificate_ends()
        if ends is not None:
            values["edgenode_certificate_expiry_timestamp_seconds"] = ends.timestamp()
        return values
