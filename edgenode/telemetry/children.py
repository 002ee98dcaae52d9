"""Two small parts the metric files share: label children in a dictionary, and gauges that may be absent."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

LATENCY_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""One millisecond (a small model on a desktop core) to ten seconds (a broker that has just come back)."""
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Children(dict[K, V]):
    """Label values to the metric's child, made at first use.

    `labels()` takes a lock and builds a tuple each time; a dictionary hit costs a third of it. Two threads
    may make the same child at once: the library hands both the same object.
    """

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        child = self._make(key)
        self[key] = child
        return child


class LateGauge(Collector):
    """Gauges that are absent until somebody knows their value. Any thread may call `set` and `drop`."""

    def __init__(
        self, registry: CollectorRegistry, name: str, documentation: str, labels: tuple[str, ...] = ()
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._values: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def set(self, value: float, *labels: str) -> None:
        self._values[labels] = value

    def drop(self, *labels: str) -> None:
        """Forget every series whose first labels are these."""
        for key in [key for key in tuple(self._values) if key[: len(labels)] == labels]:
            self._values.pop(key, None)

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, value in sorted(self._values.copy().items()):
            family.add_metric(labels, value)
        if family.samples:
            yield family

    def describe(self) -> Iterable[Metric]:
        """Claims the name in the registry before there is a value, so that nobody else can take it."""
        return [GaugeMetricFamily(self._name, self._documentation, labels=self._labels)]
