"""What inference threads report, and the account of hand-off A. Implements `InferenceObserver` by shape."""

from __future__ import annotations

import re
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from edgenode.records import DropReason, ModelIdentity
from edgenode.telemetry.children import BATCH_BUCKETS, Children, LateGauge

_CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_REASON = re.compile(r"^[a-z][a-z0-9_]{0,31}$")
_AFTER_TAKING = (DropReason.FAILED, DropReason.NON_FINITE)


class BufferAccount(Protocol):
    """One sample buffer's account, all of it from one instant; inference's `BufferCounts` has this shape."""

    @property
    def offered_by_region(self) -> Mapping[tuple[str, str], int]:
        """(camera, region) to samples offered."""
        ...

    @property
    def dropped_by_camera(self) -> Mapping[tuple[str, DropReason], int]:
        """(camera, reason) to samples dropped before they were taken."""
        ...

    @property
    def taken(self) -> int: ...

    @property
    def held(self) -> int: ...


class InferenceMetrics:
    """Every method may be called from any inference thread; none blocks or raises."""

    def __init__(self, registry: CollectorRegistry, stage_seconds: Callable[[str, float], None]) -> None:
        self._infer_stage = stage_seconds
        inferences = Counter("edgenode_inferences", "Samples classified.", ["model"], registry=registry)
        sizes = Histogram(
            "edgenode_batch_size", "Samples in one run.", ["model"], buckets=BATCH_BUCKETS, registry=registry
        )
        lost = Counter(
            "edgenode_samples_failed",
            "Samples taken from the buffer whose inference gave nothing usable.",
            ["camera", "reason"],
            registry=registry,
        )
        failures = Counter(
            "edgenode_inference_failures", "Batches that failed.", ["model", "reason"], registry=registry
        )
        confidence = Histogram(
            "edgenode_prediction_confidence",
            "Probability of the most probable label.",
            ["model"],
            buckets=_CONFIDENCE_BUCKETS,
            registry=registry,
        )
        self._inferences = Children[str, Counter](inferences.labels)
        self._sizes = Children[str, Histogram](sizes.labels)
        self._lost = Children[tuple[str, str], Counter](lambda key: lost.labels(*key))
        self._failures = Children[tuple[str, str], Counter](lambda key: failures.labels(*key))
        self._confidence = Children[str, Histogram](confidence.labels)
        self._drift = LateGauge(
            registry,
            "edgenode_drift_psi",
            "Population stability index of recent confidences against the model card's reference.",
            ("model",),
        )
        self._embedding_drift = LateGauge(
            registry,
            "edgenode_embedding_drift_psi",
            "Population stability index of recent embeddings against the model card's reference, mean over directions.",
            ("model",),
        )
        compared = Counter(
            "edgenode_shadow_samples",
            "Samples that a shadow answered too, by whether it said the same.",
            ["model", "result"],
            registry=registry,
        )
        skipped = Counter(
            "edgenode_shadow_skipped",
            "Samples that a shadow did not answer.",
            ["model", "reason"],
            registry=registry,
        )
        rollbacks = Counter(
            "edgenode_model_rollbacks",
            "Models the node itself took out of service or out of the shadow.",
            ["model", "reason"],
            registry=registry,
        )
        self._shadow_compared = Children[tuple[str, str], Counter](lambda key: compared.labels(*key))
        self._shadow_skipped = Children[tuple[str, str], Counter](lambda key: skipped.labels(*key))
        self._model_rollbacks = Children[tuple[str, str], Counter](lambda key: rollbacks.labels(*key))
        self._model_info = Gauge(
            "edgenode_model_info",
            "The model that serves now.",
            ["model", "version", "sha256"],
            registry=registry,
        )
        self._run_s: dict[str, float] = {}
        self._serving: dict[str, ModelIdentity] = {}
        self._samples = _SampleAccount(registry)

    def batch(self, model: str, size: int, infer_s: float) -> None:
        self._inferences[model].inc(size)
        self._sizes[model].observe(size)
        self._infer_stage("infer", infer_s)
        # Only the model's own thread reports its batches, so no two add to one entry.
        self._run_s[model] = self._run_s.get(model, 0.0) + infer_s

    def run_seconds(self) -> dict[str, float]:
        """Seconds each model has run so far."""
        return dict(self._run_s)

    def queue_seconds(self, s: float) -> None:
        self._infer_stage("queue", s)

    def dropped(self, camera: str, reason: str, count: int) -> None:
        """Counts what was lost after it was taken (`failed`, `non_finite`).

        Losses inside a buffer come from its own account, read at the scrape; a call for them changes nothing,
        or they would count twice.
        """
        if reason in _AFTER_TAKING:
            self._lost[camera, str(reason)].inc(count)

    def inference_failed(self, model: str, reason: str) -> None:
        """`reason` is a word; a sentence would make a new series each time and counts as `other`."""
        self._failures[model, reason if _REASON.match(reason) else "other"].inc()

    def prediction(self, model: str, probability: float) -> None:
        """One classified sample's most probable label."""
        self._confidence[model].observe(probability)

    def drift(self, model: str, confidence: float | None, embedding: float | None = None) -> None:
        """None: too few samples to say anything, or no reference in the card; the series is absent."""
        for gauge, value in ((self._drift, confidence), (self._embedding_drift, embedding)):
            if value is None:
                gauge.drop(model)
            else:
                gauge.set(value, model)

    def shadow_compared(self, model: str, agreed: int, disagreed: int) -> None:
        """So many samples were answered by the shadow too."""
        self._shadow_compared[model, "agreed"].inc(agreed)
        self._shadow_compared[model, "disagreed"].inc(disagreed)

    def shadow_skipped(self, model: str, reason: str, count: int) -> None:
        """`late`, `failed`, `non_finite`."""
        self._shadow_skipped[model, reason].inc(count)

    def model_rolled_back(self, model: str, reason: str) -> None:
        """`raised`, `timeout`, `slow`, `drift`, `non_finite`."""
        self._model_rollbacks[model, reason].inc()

    def model_serving(self, identity: ModelIdentity) -> None:
        """Called at start and after each swap; the model it replaces goes."""
        self.model_gone(identity.name)
        self._serving[identity.name] = identity
        self._model_info.labels(identity.name, identity.version, identity.sha256).set(1)

    def model_gone(self, model: str) -> None:
        old = self._serving.pop(model, None)
        if old is not None:
            self._model_info.remove(old.name, old.version, old.sha256)
        self._drift.drop(model)
        self._embedding_drift.drop(model)

    def watch_samples(self, model: str, counts: Callable[[], BufferAccount]) -> Callable[[], None]:
        """Read the account of the model's buffer at each scrape.

        `counts` is called on the scraping thread, once a scrape, and must be quick. Returns a function to
        call when the buffer is closed and empty: it keeps the final counts, so that no counter runs backwards
        when a reload takes a model away.
        """
        return self._samples.watch(model, counts)


@dataclass(slots=True)
class _Sums:
    offered: Tally[tuple[str, str]] = field(default_factory=Tally)
    dropped: Tally[tuple[str, DropReason]] = field(default_factory=Tally)
    taken: Tally[str] = field(default_factory=Tally)
    held: Tally[str] = field(default_factory=Tally)

    def add(self, model: str, counts: BufferAccount) -> None:
        self.offered.update(counts.offered_by_region)
        self.dropped.update(counts.dropped_by_camera)
        self.taken[model] += counts.taken
        self.held[model] += counts.held

    def copy(self) -> _Sums:
        return _Sums(self.offered.copy(), self.dropped.copy(), self.taken.copy(), self.held.copy())


class _SampleAccount(Collector):
    """offered = taken + dropped + held inside one scrape: each buffer is read once, for all four families."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lock = threading.Lock()
        self._watched: list[tuple[str, Callable[[], BufferAccount]]] = []
        self._finished = _Sums()
        registry.register(self)

    def watch(self, model: str, counts: Callable[[], BufferAccount]) -> Callable[[], None]:
        entry = (model, counts)
        with self._lock:
            self._watched.append(entry)

        def finish() -> None:
            with self._lock:
                if entry in self._watched:
                    self._watched.remove(entry)
                    self._finished.add(model, counts())

        return finish

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            sums = self._finished.copy()
            for model, counts in self._watched:
                sums.add(model, counts())
        offered, dropped, taken, held = self.describe()
        for (camera, region), count in sorted(sums.offered.items()):
            offered.add_metric([camera, region], count)
        for (camera, reason), count in sorted(sums.dropped.items()):
            dropped.add_metric([camera, str(reason)], count)
        for model, count in sorted(sums.taken.items()):
            taken.add_metric([model], count)
        for model, count in sorted(sums.held.items()):
            held.add_metric([model], count)
        return [family for family in (offered, dropped, taken, held) if family.samples]

    def describe(
        self,
    ) -> tuple[CounterMetricFamily, CounterMetricFamily, CounterMetricFamily, GaugeMetricFamily]:
        return (
            CounterMetricFamily(
                "edgenode_samples_offered", "Samples cameras offered.", labels=["camera", "region"]
            ),
            CounterMetricFamily(
                "edgenode_samples_dropped",
                "Samples that left the buffer unclassified.",
                labels=["camera", "reason"],
            ),
            CounterMetricFamily(
                "edgenode_samples_taken", "Samples taken from the buffer to be classified.", labels=["model"]
            ),
            GaugeMetricFamily(
                "edgenode_samples_held", "Samples waiting in the buffer now.", labels=["model"]
            ),
        )
