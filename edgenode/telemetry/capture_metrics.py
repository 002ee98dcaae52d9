"""What camera threads report. Implements capture's `CaptureObserver` by shape."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from edgenode.records import CameraReport, CameraStatus
from edgenode.telemetry.children import LATENCY_BUCKETS_S, Children, LateGauge

_UP = (CameraStatus.ONLINE, CameraStatus.FROZEN, CameraStatus.BLIND, CameraStatus.MOVED)
"""A frozen or covered camera still sends pictures; its state topic says what is wrong with them."""


class CaptureMetrics:
    """Every method may be called from any camera thread; none blocks or raises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        frames = Counter("edgenode_frames", "Decoded frames.", ["camera"], registry=registry)
        packets = Counter("edgenode_packets", "Packets read from the source.", ["camera"], registry=registry)
        corrupt = Counter(
            "edgenode_corrupt_frames", "Frames the decoder flagged as damaged.", ["camera"], registry=registry
        )
        skipped = Counter(
            "edgenode_gate_skipped",
            "Frames a gate kept from inference.",
            ["camera", "gate"],
            registry=registry,
        )
        stages = Histogram(
            "edgenode_stage_seconds",
            "Time one item spends in a stage: decode, prepare, queue, infer, decide, deliver.",
            ["stage"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        audits = Counter(
            "edgenode_gate_audits",
            "Beginnings of motion that the packet gate's packets told, or did not.",
            ["camera", "result"],
            registry=registry,
        )
        abandoned = Counter(
            "edgenode_camera_threads_abandoned",
            "Threads given up because they did not come back from their source; each was replaced.",
            ["camera"],
            registry=registry,
        )
        self._abandoned = Children[str, Counter](abandoned.labels)
        self._audits = Children[tuple[str, str], Counter](lambda key: audits.labels(*key))
        self._frames = Children[str, Counter](frames.labels)
        self._packets = Children[str, Counter](packets.labels)
        self._corrupt = Children[str, Counter](corrupt.labels)
        self._skipped = Children[tuple[str, str], Counter](lambda key: skipped.labels(*key))
        self._stages = Children[str, Histogram](stages.labels)
        self._camera_up = LateGauge(
            registry, "edgenode_camera_up", "1 while the camera delivers pictures.", ("camera",)
        )
        self._camera_fps = LateGauge(
            registry,
            "edgenode_camera_fps",
            "Frames classified a second, over the last seconds.",
            ("camera",),
        )
        self._gate_open = LateGauge(
            registry, "edgenode_gate_open", "1 while the camera's gate lets frames through.", ("camera",)
        )
        self._reconnects = _Reconnects(registry)

    def frame_decoded(self, camera: str) -> None:
        self._frames[camera].inc()

    def packets(self, camera: str, count: int) -> None:
        self._packets[camera].inc(count)

    def corrupt_frame(self, camera: str) -> None:
        self._corrupt[camera].inc()

    def stage_seconds(self, stage: str, seconds: float) -> None:
        """`stage` is one of decode, prepare, queue, infer, decide, deliver."""
        self._stages[stage].observe(max(0.0, seconds))

    def stage_buckets(self, stage: str) -> dict[float, float]:
        """Upper edge in seconds, infinity the last, to how many items took at most that long."""
        return {
            float(sample.labels["le"]): sample.value
            for family in self._stages[stage].collect()
            for sample in family.samples
            if sample.name.endswith("_bucket")
        }

    def camera_report(self, report: CameraReport) -> None:
        if report.status is CameraStatus.DISABLED:
            # Switched off on purpose: neither up nor down, and no alert may come of it.
            self._camera_up.drop(report.camera)
            self._camera_fps.drop(report.camera)
            return
        self._camera_up.set(float(report.status in _UP), report.camera)
        self._camera_fps.set(report.fps, report.camera)
        self._reconnects.seen(report.camera, report.reconnects)

    def gate(self, camera: str, gate_name: str, open: bool) -> None:  # noqa: A002 - the observer's word
        del gate_name
        self._gate_open.set(float(open), camera)

    def gate_skipped(self, camera: str, gate_name: str) -> None:
        self._skipped[camera, gate_name].inc()

    def gate_audit(self, camera: str, caught: bool) -> None:
        self._audits[camera, "caught" if caught else "missed"].inc()

    def thread_abandoned(self, camera: str) -> None:
        self._abandoned[camera].inc()

    def forget_camera(self, camera: str) -> None:
        """Called when a reload took the camera away: its gauges go, its counters stay."""
        for gauge in (self._camera_up, self._camera_fps, self._gate_open):
            gauge.drop(camera)


class _Reconnects(Collector):
    """`CameraReport.reconnects` counts from the camera object's start; a reload must not turn the counter
    back."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._last: dict[str, int] = {}
        self._total: dict[str, int] = {}
        registry.register(self)

    def seen(self, camera: str, reconnects: int) -> None:
        last = self._last.get(camera, 0)
        gained = reconnects - last if reconnects >= last else reconnects
        self._last[camera] = reconnects
        self._total[camera] = self._total.get(camera, 0) + gained

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "edgenode_camera_reconnects", "Times the source was opened again.", labels=["camera"]
        )
        for camera, total in sorted(self._total.copy().items()):
            family.add_metric([camera], total)
        if family.samples:
            yield family

    def describe(self) -> Iterable[Metric]:
        return [CounterMetricFamily("edgenode_camera_reconnects", "")]
