"""File cameras at full speed through the node, against a bare onnxruntime loop on the core they leave free.

The bare loop runs while the same cameras decode and cut as fast as they can, with nobody taking their samples:
so both share the machine with the same work, and what differs is the node's own.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenode.bench.rig import Load, Rig
from edgenode.inference.card import golden_input
from edgenode.inference.classifier import Classifier, ClassifierOptions


@dataclass(frozen=True, slots=True)
class Round:
    bare_images_per_s: float
    node_images_per_s: float
    offered_per_s: float
    """Samples the cameras offered a second while the node classified."""
    cpu_s: float
    wall_s: float
    rss_bytes: int

    @property
    def ratio(self) -> float:
        return self.node_images_per_s / self.bare_images_per_s


def measure(load: Load, seconds: float, rounds: int) -> Iterator[Round]:
    """`rounds` pairs of bare and node, `seconds` each."""
    with Classifier.load(load.model, ClassifierOptions(threads=load.threads)) as classifier:
        bare_loop(classifier, load.max_batch, 0.5)
        for _ in range(rounds):
            bare = bare_loop(classifier, load.max_batch, seconds)
            with tempfile.TemporaryDirectory() as state, Rig(load, Path(state)) as rig:
                rig.wait_until_classifying()
                rig.read()
                threading.Event().wait(seconds)
                reading = rig.read()
            yield Round(
                bare_images_per_s=bare,
                node_images_per_s=reading.images_per_s,
                offered_per_s=reading.offered / reading.wall_s,
                cpu_s=reading.cpu_s,
                wall_s=reading.wall_s,
                rss_bytes=reading.rss_bytes,
            )


def bare_loop(classifier: Classifier, batch: int, seconds: float) -> float:
    """Images a second of nothing but the model, on one thread of this process."""
    images = np.ascontiguousarray(
        np.resize(golden_input(classifier.card.input, 2, 0), (batch, *classifier.card.input.shape))
    )
    begun_s = time.monotonic()
    done = 0
    while (elapsed_s := time.monotonic() - begun_s) < seconds:
        classifier.classify(images)
        done += batch
    return done / elapsed_s
