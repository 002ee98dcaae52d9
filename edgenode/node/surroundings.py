"""Ties what telemetry reports of the machine to those who know it: delivery's clock check and certificates."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from edgenode.clock import Clock
from edgenode.delivery.certificates import read_certificate
from edgenode.delivery.identity import ClockCheck
from edgenode.errors import LinkError
from edgenode.settings import Settings
from edgenode.telemetry.metrics import Metrics
from edgenode.telemetry.surroundings import Surroundings, SurroundingsMetrics
from edgenode.telemetry.temperature import Temperature


def register_surroundings(metrics: Metrics, settings: Settings, base_dir: Path, clock: Clock) -> None:
    """Disk, clock, certificate and temperature, read at each scrape."""
    metrics.register(SurroundingsMetrics(surroundings_of(settings, base_dir, clock)))
    metrics.register(Temperature())


def surroundings_of(settings: Settings, base_dir: Path, clock: Clock) -> Surroundings:
    """For the scrape's thread; the clock is asked at most twice a minute, the certificate's file each time."""
    check = ClockCheck(clock)
    certificate = settings.mqtt.cert_file

    def ends() -> datetime | None:
        if certificate is None:
            return None
        try:
            return read_certificate(base_dir / certificate).not_after
        except LinkError:
            return None

    return Surroundings(
        base_dir / settings.node.state_dir,
        settings.outbox.max_size,
        lambda: check.quality() == "synchronised",
        ends,
    )
