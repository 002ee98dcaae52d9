"""What the collector reports. Implements its `CollectObserver` by shape."""

from __future__ import annotations

from prometheus_client import Counter
from prometheus_client.registry import CollectorRegistry

from edgenode.telemetry.children import Children, LateGauge


class CollectMetrics:
    """Every method may be called from any thread; none blocks or raises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        kept = Counter(
            "edgenode_collect_kept", "Pictures kept to be labelled.", ["rule", "why"], registry=registry
        )
        left = Counter(
            "edgenode_collect_dropped",
            "Pictures a rule chose that were not kept, or not for long.",
            ["rule", "reason"],
            registry=registry,
        )
        self._kept_pictures = Children[tuple[str, str], Counter](lambda key: kept.labels(*key))
        self._left_pictures = Children[tuple[str, str], Counter](lambda key: left.labels(*key))
        self._collect_pictures = LateGauge(
            registry, "edgenode_collect_pictures", "Pictures that wait to be labelled on this node."
        )
        self._collect_bytes = LateGauge(
            registry, "edgenode_collect_bytes", "What the kept pictures take on the disk."
        )

    def picture_kept(self, rule: str, why: str) -> None:
        self._kept_pictures[rule, why].inc()

    def picture_not_kept(self, rule: str, reason: str) -> None:
        self._left_pictures[rule, reason].inc()

    def collection(self, pictures: int, size_bytes: int) -> None:
        self._collect_pictures.set(pictures)
        self._collect_bytes.set(size_bytes)
