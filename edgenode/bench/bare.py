"""A process with nothing in it but onnxruntime: `python -m edgenode.bench.bare MODEL BATCH THREADS SECONDS`.

Prints images a second and CPU seconds an image. A process of its own shares no interpreter lock with the cameras.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenode.errors import EdgeNodeError
from edgenode.inference.card import golden_input
from edgenode.inference.classifier import Classifier, ClassifierOptions

WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Bare:
    images_per_s: float
    cpu_s_per_image: float


def bare(model: Path, batch: int, threads: int, seconds: float) -> Bare:
    """Run this module as a process and wait for its answer. Raises EdgeNodeError."""
    command = [sys.executable, "-m", __name__, str(model), str(batch), str(threads), str(seconds)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise EdgeNodeError(f"the bare loop over {model} failed: {done.stderr.strip().splitlines()[-1:]}")
    return Bare(*map(float, done.stdout.split()))


def loop(classifier: Classifier, batch: int, seconds: float) -> Bare:
    """Nothing but the model."""
    spec = classifier.card.input
    images = np.ascontiguousarray(np.resize(golden_input(spec, 2, 0), (batch, *spec.shape)))
    begun_s, cpu_s = time.monotonic(), time.process_time()
    done = 0
    while (elapsed_s := time.monotonic() - begun_s) < seconds:
        classifier.classify(images)
        done += batch
    return Bare(done / elapsed_s, (time.process_time() - cpu_s) / done)


def _main(model: str, batch: str, threads: str, seconds: str) -> None:
    with Classifier.load(Path(model), ClassifierOptions(threads=int(threads))) as classifier:
        loop(classifier, int(batch), WARM_UP_S)
        found = loop(classifier, int(batch), float(seconds))
        sys.stdout.write(f"{found.images_per_s} {found.cpu_s_per_image}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
