"""A shadow answers the same samples, measures how it agrees, keeps its budget, and is in nobody's way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgenode.inference.classifier import Classifier, ClassifierOptions, Outputs
from edgenode.inference.shadow import EXAMPLES, Shadow, Witness
from edgenode.records import Batch
from tests.models import ENDLESS, make_model
from tests.unit.inference.engine_bench import DEADLINE_S, Bench
from tests.unit.inference.samples import sample

TURNED = {"prototypes": ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))}


class Observer:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.counts: Counter[str] = Counter()

    def shadow_compared(self, model: str, agreed: int, disagreed: int) -> None:
        self._count({"agreed": agreed, "disagreed": disagreed})

    def shadow_skipped(self, model: str, reason: str, count: int) -> None:
        self._count({reason: count})

    def _count(self, counts: dict[str, int]) -> None:
        with self.changed:
            self.counts.update(counts)
            self.changed.notify_all()

    def wait(self, what: str, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.counts[what] >= count, DEADLINE_S), self.counts


class Stage:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.observer = Observer()
        self.serving = Classifier.load(make_model(folder / "serving.onnx"))
        self.shadows: list[Shadow] = []

    def shadow(
        self, share: float = 1.0, timeout_s: float = 5.0, witness: Witness | None = None, **options: object
    ) -> Shadow:
        file = make_model(self.folder / "shadow.onnx", **options)  # type: ignore[arg-type]
        classifier = Classifier.load(file, ClassifierOptions(run_timeout_s=timeout_s))
        self.shadows.append(Shadow("tiny", classifier, share, self.observer, witness))
        self.shadows[-1].start()
        return self.shadows[-1]

    def answered(self, *levels: int) -> tuple[Batch, Outputs]:
        array = np.stack([np.full((8, 8, 3), level, dtype=np.uint8) for level in levels])
        samples = tuple(replace(sample(index=index), array=picture) for index, picture in enumerate(array))
        return Batch("tiny", samples), self.serving.classify(array)

    def end(self) -> None:
        for shadow in self.shadows:
            shadow.stop()
            assert shadow.join(DEADLINE_S)
            shadow.classifier.close()
        self.serving.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.end()


def test_a_witness_sees_both_answers_where_they_differ_and_only_there(stage: Stage) -> None:
    seen: list[tuple[Batch, Outputs, Outputs]] = []
    agreeing = stage.shadow(version="2", witness=lambda *both: seen.append(both))
    agreeing.offer(*stage.answered(0, 255))
    stage.observer.wait("agreed", 2)
    turned = stage.shadow(witness=lambda *both: seen.append(both), **TURNED)
    batch, outputs = stage.answered(0, 255)
    turned.offer(batch, outputs)
    stage.observer.wait("disagreed", 2)
    stage.end()
    ((given, served, shadowed),) = seen
    assert given is batch
    assert served is outputs
    assert list(shadowed.probabilities.argmax(axis=1)) == [1, 0]
    stage.shadows.clear()


def test_agreement_and_disagreement_are_counted_and_the_newest_kept(stage: Stage) -> None:
    same = stage.shadow(version="2")
    same.offer(*stage.answered(0, 255, 0))
    stage.observer.wait("agreed", 3)
    assert (same.counts().samples, same.counts().agreement) == (3, 1.0)
    turned = stage.shadow(version="3", **TURNED)
    turned.offer(*stage.answered(*([0] * (EXAMPLES + 4))))
    stage.observer.wait("disagreed", EXAMPLES + 4)
    counts = turned.counts()
    assert counts.agreement == 0.0
    assert [(each.serving, each.shadow) for each in counts.examples] == [("dark", "bright")] * EXAMPLES


def test_what_it_has_no_time_for_is_skipped_and_counted(stage: Stage) -> None:
    shadow = stage.shadow(share=1e-9)  # one run, then it rests for years
    shadow.offer(*stage.answered(0))
    stage.observer.wait("agreed", 1)
    for _ in range(5):
        shadow.offer(*stage.answered(0, 0))
    stage.observer.wait("late", 10)
    counts = shadow.counts()
    assert (counts.samples, counts.skipped_late) == (1, 10)


def test_a_shadow_that_never_ends_is_ended_and_says_so(stage: Stage) -> None:
    shadow = stage.shadow(timeout_s=1.0, trips_when_bright=ENDLESS)
    shadow.offer(*stage.answered(255))
    stage.observer.wait("failed", 1)
    assert shadow.join(DEADLINE_S)
    assert "ran longer than 1 s" in shadow.endless
    shadow.offer(*stage.answered(0))
    assert shadow.counts().samples == 0


def test_what_is_not_a_number_counts_for_neither(stage: Stage) -> None:
    shadow = stage.shadow(nan_when_bright=True)
    shadow.offer(*stage.answered(255, 0))
    stage.observer.wait("non_finite", 1)
    assert (shadow.counts().samples, shadow.counts().agreed) == (1, 1)


def test_an_engine_hands_on_after_it_delivered_and_serves_whatever_the_shadow_does(bench: Bench) -> None:
    engine = bench.start(bench.model())
    order: list[str] = []
    delivered = bench.recorder.deliver

    def deliver(predictions: object) -> None:
        order.append("delivered")
        delivered(predictions)  # type: ignore[arg-type]

    engine._deliver = deliver
    engine.follow(lambda batch, outputs: order.append(f"shadow {len(batch.samples)} {len(outputs.finite)}"))
    bench.offer()
    bench.recorder.wait(lambda: len(bench.recorder.batches) == 1)
    assert order == ["delivered", "shadow 1 1"]
    engine.follow(None)
    bench.offer()
    bench.recorder.wait(lambda: len(bench.recorder.batches) == 2)
    assert len(order) == 3


def test_what_a_model_did_is_counted_since_it_serves(bench: Bench) -> None:
    engine = bench.start(bench.model(nan_when_bright=True))
    bench.offer(level=255)
    bench.offer(level=0)
    bench.recorder.wait(lambda: sum(bench.recorder.batches) == 2)
    assert (engine.record.samples, engine.record.non_finite, engine.record.failed) == (2, 1, 0)
    endless = bench.model(run_timeout_s=1.0, trips_when_bright=ENDLESS)
    engine.swap(endless)
    assert engine.record.samples == 0
    bench.offer(level=255)
    bench.recorder.wait(lambda: "failed" in bench.recorder.failures)
    assert (engine.record.sha256, engine.record.timeouts_in_a_row) == (endless.identity.sha256, 1)
    assert "ran longer than 1 s" in engine.record.last_error
