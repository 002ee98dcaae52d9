"""All metrics of one node in one registry, and their exposition. The names are an API."""

from __future__ import annotations

import gzip
import platform
from dataclasses import dataclass

from prometheus_client import Gauge, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

import edgenode
from edgenode.telemetry.capture_metrics import CaptureMetrics
from edgenode.telemetry.collect_metrics import CollectMetrics
from edgenode.telemetry.cpu import ThreadCpu
from edgenode.telemetry.delivery_metrics import DeliveryMetrics
from edgenode.telemetry.energy_metrics import EnergyMetrics
from edgenode.telemetry.inference_metrics import InferenceMetrics


@dataclass(frozen=True, slots=True)
class Exposition:
    """One scrape's answer."""

    body: bytes
    content_type: str
    gzipped: bool


class Metrics(CaptureMetrics, InferenceMetrics, DeliveryMetrics, EnergyMetrics, CollectMetrics):
    """One node's metrics; is the observer of capture, inference, delivery and the collector at once.

    Built by the node before any stage. Methods may be called from any thread, cost microseconds and never
    raise on what a stage can pass. Two nodes in one process do not share anything.
    """

    def __init__(self) -> None:
        # A `_created` series beside every counter doubles the scrape and tells a query nothing.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        CaptureMetrics.__init__(self, self.registry)
        InferenceMetrics.__init__(self, self.registry, self.stage_seconds)
        DeliveryMetrics.__init__(self, self.registry, self.stage_seconds)
        EnergyMetrics.__init__(self, self.registry)
        CollectMetrics.__init__(self, self.registry)
        ProcessCollector(registry=self.registry)
        self.threads = ThreadCpu()
        self.registry.register(self.threads)
        Gauge(
            "edgenode_build_info", "What runs here.", ["version", "python", "machine"], registry=self.registry
        ).labels(edgenode.__version__, platform.python_version(), platform.machine()).set(1)

    def register(self, collector: Collector) -> None:
        """Add a collector read at each scrape, such as the energy meter."""
        self.registry.register(collector)

    def expose(self, accept: str = "", accept_encoding: str = "") -> Exposition:
        """The scrape in the format the `Accept` header prefers (text, or OpenMetrics), gzipped where
        accepted."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # A version that is not a number: answer as if nothing had been asked for.
            encode, content_type = choose_encoder("")
        body = encode(self.registry)
        gzipped = accepts_gzip(accept_encoding)
        if gzipped:
            # Level 1: scrapes repeat every few seconds and text shrinks tenfold even so.
            body = gzip.compress(body, compresslevel=1, mtime=0)
        return Exposition(body, content_type, gzipped)


def accepts_gzip(header: str) -> bool:
    """Whether an `Accept-Encoding` header allows gzip."""
    for part in header.lower().split(","):
        coding, _, parameter = part.strip().partition(";")
        if coding.strip() in ("gzip", "*"):
            return parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
