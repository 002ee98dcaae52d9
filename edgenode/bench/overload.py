"""More frames than the model can take: how old is what is decided, and is every camera served alike."""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenode.bench.bare import bare
from edgenode.bench.rig import Load, Rig
from edgenode.interpreter import share_lock

CAMERAS = 8
_LIGHT = 0.3
"""Share of its capacity that an unloaded model is asked for."""


@dataclass(frozen=True, slots=True)
class Burden:
    factor: float
    """Samples offered over what the bare model can classify; measured, not asked."""
    images_per_s: float
    dropped_per_s: float
    p50_s: float
    p99_s: float
    """Capture to decision of what was decided."""
    late_p99_s: float
    """Capture to the hand-off, of all that was offered: decoding, cutting, and waiting for a core. A node that has no
    processor for its cameras is late here, whatever the hand-off does."""
    fairness: float
    """Fewest over most images of a camera."""
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class OverloadTask:
    clip: Path
    model: Path
    clip_fps: float
    max_batch: int = 8
    seconds: float = 8.0


def measure(task: OverloadTask, factors: tuple[float, ...]) -> Iterator[Burden]:
    """First an unloaded node, then one for each factor: eight cameras, and as many regions as it takes."""
    share_lock()
    capacity = bare(task.model, 1, 1, min(4.0, task.seconds)).images_per_s
    for factor in (_LIGHT, *factors):
        wanted = factor * capacity
        regions = max(1, math.ceil(wanted / (CAMERAS * task.clip_fps)))
        fps = wanted / (CAMERAS * regions)
        yield _run(task, min(fps, task.clip_fps), regions, capacity)


def _run(task: OverloadTask, fps: float, regions: int, capacity: float) -> Burden:
    load = Load(
        (task.clip,),
        task.model,
        cameras=CAMERAS,
        regions=regions,
        fps=fps,
        realtime=True,
        max_batch=task.max_batch,
    )
    with tempfile.TemporaryDirectory() as state, Rig(load, Path(state)) as rig:
        rig.wait_until_classifying()
        threading.Event().wait(2.0)
        rig.read()
        rig.forget()
        threading.Event().wait(task.seconds)
        reading = rig.read()
        ordered, late = sorted(rig.latencies_s) or [0.0], rig.lateness_s() or [0.0]
        images = rig.images_by_camera()
    return Burden(
        factor=reading.offered / reading.wall_s / capacity,
        images_per_s=reading.images_per_s,
        dropped_per_s=reading.dropped / reading.wall_s,
        p50_s=ordered[len(ordered) // 2],
        p99_s=ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        late_p99_s=late[min(len(late) - 1, int(0.99 * len(late)))],
        fairness=min(images) / max(images) if len(images) == CAMERAS else 0.0,
        rss_bytes=reading.rss_bytes,
    )
