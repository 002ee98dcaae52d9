"""Samples and the law, for the tests of hand-off A."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np

from edgenode.inference.sample_buffer import BufferCounts
from edgenode.records import DropReason, Sample

AT = datetime(2026, 1, 1, tzinfo=UTC)


def sample(camera: str = "a", region: str = "r", index: int = 0, captured_s: float = 0.0) -> Sample:
    return Sample(
        camera, region, "tiny", index, captured_s, AT, np.full((2, 2, 1), index % 256, dtype=np.uint8)
    )


def assert_law(counts: BufferCounts) -> None:
    assert counts.offered == counts.taken + sum(counts.dropped.values()) + counts.held
    assert counts.offered == sum(counts.offered_by_region.values())
    by_reason: Counter[DropReason] = Counter()
    for (_, reason), count in counts.dropped_by_camera.items():
        by_reason[reason] += count
    assert by_reason == Counter(counts.dropped)
