"""File cameras at full speed through the node, against a bare onnxruntime loop on the core they leave free.

Two bare loops, each a process of its own: alone on the machine, and beside the same cameras decoding and
cutting as fast as they can with nobody taking their samples. The second shares caches, memory and clock rate
with the same work as the node's model does, so what differs from it is the node's own.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenode.bench.bare import Bare, bare
from edgenode.bench.rig import Load, Reading, Rig
from edgenode.interpreter import share_lock


@dataclass(frozen=True, slots=True)
class Round:
    alone_images_per_s: float
    """The bare loop with the whole machine for itself."""
    bare_images_per_s: float
    """The bare loop beside the cameras."""
    node_images_per_s: float
    offered_per_s: float
    """Samples the cameras offered a second while the node classified."""
    bare_cpu_s_per_image: float
    """Of the bare loop beside the cameras."""
    thread_cpu_s_per_image: float
    """Of the node's thread that runs the model: the rest of it is taking samples and handing answers on."""
    cpu_s: float
    wall_s: float
    rss_bytes: int

    @property
    def ratio(self) -> float:
        return self.node_images_per_s / self.bare_images_per_s

    @property
    def thread_share(self) -> float:
        """What of the model's thread a bare loop would need for the same images. Says nothing of waiting, and hangs
        less on what else the machine does than wall time."""
        return self.bare_cpu_s_per_image / self.thread_cpu_s_per_image

    @property
    def ratio_alone(self) -> float:
        return self.node_images_per_s / self.alone_images_per_s


def measure(load: Load, seconds: float, rounds: int) -> Iterator[Round]:
    """`rounds` times the bare loop alone, the bare loop beside the cameras, and the node, `seconds` each."""
    share_lock()
    for _ in range(rounds):
        alone = _bare(load, seconds)
        with tempfile.TemporaryDirectory() as state, Rig(load, Path(state), classify=False) as rig:
            rig.wait_until_offering()
            beside = _bare(load, seconds)
        reading = _node(load, seconds)
        yield Round(
            alone_images_per_s=alone.images_per_s,
            bare_images_per_s=beside.images_per_s,
            node_images_per_s=reading.images_per_s,
            offered_per_s=reading.offered / reading.wall_s,
            bare_cpu_s_per_image=beside.cpu_s_per_image,
            thread_cpu_s_per_image=max(1e-9, reading.cpu_by_thread.get("infer-model", 0.0))
            / max(1, reading.classified),
            cpu_s=reading.cpu_s,
            wall_s=reading.wall_s,
            rss_bytes=reading.rss_bytes,
        )


def _bare(load: Load, seconds: float) -> Bare:
    return bare(load.model, load.max_batch, load.threads, seconds)


def _node(load: Load, seconds: float) -> Reading:
    with tempfile.TemporaryDirectory() as state, Rig(load, Path(state)) as rig:
        rig.wait_until_classifying()
        threading.Event().wait(0.5)
        rig.read()
        threading.Event().wait(seconds)
        return rig.read()
