"""The model's thread: everything offered is answered or counted, whatever the model and the receiver do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from edgenode.clock import SystemClock
from edgenode.inference.classifier import Outputs
from edgenode.inference.engine import Engine, EngineOptions
from edgenode.records import U8, DropReason, Prediction, Sample
from tests.models import ENDLESS
from tests.unit.inference.engine_bench import AT, DEADLINE_S, Bench


def test_a_prediction_says_what_the_model_said_of_which_sample(bench: Bench) -> None:
    classifier = bench.model(embedding=True, abstain_below=0.4, labels=("dark", "middle", "bright"))
    bench.start(classifier)
    bench.offer(255, camera="cam", index=17)
    bench.recorder.wait(lambda: len(bench.recorder.batches) == 1)
    (prediction,) = bench.recorder.predictions
    assert (prediction.camera, prediction.region, prediction.frame_index) == ("cam", "r", 17)
    assert prediction.label == "bright"
    assert prediction.labels == ("dark", "middle", "bright")
    assert prediction.probability == pytest.approx(float(prediction.probabilities[2]))
    assert prediction.model == classifier.identity
    assert prediction.abstain_below == 0.4
    assert prediction.embedding is not None
    np.testing.assert_allclose(prediction.embedding, [1, 1, 1], atol=1e-6)
    assert prediction.captured_at == AT
    assert prediction.batch_size == 1
    assert len(bench.recorder.waits) == 1


def test_batches_are_bounded_and_in_order(bench: Bench) -> None:
    for index in range(20):
        bench.offer(index=index)
    bench.start(bench.model(), EngineOptions(max_batch=8, idle_s=0.05))
    bench.recorder.wait(lambda: sum(bench.recorder.batches) == 20)
    assert bench.recorder.batches == [8, 8, 4]
    assert [p.frame_index for p in bench.recorder.predictions] == list(range(20))
    assert [p.batch_size for p in bench.recorder.predictions] == [8] * 16 + [4] * 4


def test_while_samples_wait_decisions_are_made_beside_the_next_run(bench: Bench) -> None:
    """The receiver of the second batch waits for the third run to begin: on one thread neither would come."""
    classifier, recorder = bench.model(), bench.recorder
    third_run = threading.Event()
    runs = delivered = 0
    classify, deliver = classifier.classify, recorder.deliver

    def counted(array: U8) -> Outputs:
        nonlocal runs
        runs += 1
        if runs == 3:
            third_run.set()
        outputs = classify(array)
        threading.Event().wait(0.02)  # a run that is longer than what follows it
        return outputs

    def held_up(predictions: Sequence[Prediction]) -> None:
        nonlocal delivered
        delivered += 1
        if delivered == 2:
            assert third_run.wait(DEADLINE_S)
        deliver(predictions)

    classifier.classify = counted  # type: ignore[method-assign]
    recorder.deliver = held_up  # type: ignore[method-assign]
    for index in range(5):
        bench.offer(index=index)
    engine = bench.start(classifier, EngineOptions(max_batch=1, idle_s=0.05))
    recorder.wait(lambda: sum(recorder.batches) == 5)
    assert [p.frame_index for p in recorder.predictions] == list(range(5)), "in order all the same"
    assert engine.deliver_failures == 0


def test_samples_of_different_shapes_are_counted_as_failed(bench: Bench) -> None:
    bench.offer(0, "a")
    bench.buffer.offer(Sample("b", "r", "tiny", 0, time.monotonic(), AT, np.zeros((8, 8, 1), np.uint8)))
    bench.start(bench.model())
    bench.recorder.wait(lambda: len(bench.recorder.drops) == 2)
    assert bench.recorder.drops == {("a", DropReason.FAILED): 1, ("b", DropReason.FAILED): 1}


def test_only_the_nan_rows_are_lost(bench: Bench) -> None:
    bench.offer(0, "a")
    bench.offer(255, "b")
    bench.offer(50, "c")
    bench.start(bench.model(nan_when_bright=True))
    bench.recorder.wait(lambda: sum(bench.recorder.batches) == 3 and len(bench.recorder.predictions) == 2)
    assert bench.recorder.failures == ["non_finite"]
    assert bench.recorder.drops == {("b", DropReason.NON_FINITE): 1}
    assert [p.camera for p in bench.recorder.predictions] == ["a", "c"]
    assert bench.engine is not None
    assert bench.engine.failures_in_a_row == 0


def test_a_batch_that_never_ends_is_given_up_and_the_next_one_is_answered(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    engine = bench.start(bench.model(run_timeout_s=1.0, trips_when_bright=ENDLESS))
    for turn in range(2):
        bench.offer(255, "stuck")
        bench.recorder.wait(lambda turn=turn: bench.recorder.drops[("stuck", DropReason.FAILED)] == turn + 1)
    assert engine.failures_in_a_row == 2
    bench.offer(0, "fine")
    bench.recorder.wait(lambda: len(bench.recorder.batches) == 1)
    assert [p.camera for p in bench.recorder.predictions] == ["fine"]
    assert engine.failures_in_a_row == 0
    assert bench.recorder.failures == ["failed"] * 2
    told = [record for record in caplog.records if record.name == "edgenode.inference.engine"]
    assert [record.levelno for record in told] == [logging.ERROR, logging.WARNING], (
        "once each, not once a batch"
    )
    assert "longer than 1 s" in told[0].getMessage()


def test_a_model_that_keeps_failing_is_asked_less_and_less(bench: Bench) -> None:
    """A clock of its own notes the pauses: none after the first failure, then drawn from a growing range."""
    clock = PauseClock()
    classifier = bench.model()
    classifier.close()
    bench.start(classifier, EngineOptions(idle_s=1e6, first_pause_s=1.0, longest_pause_s=64.0, clock=clock))
    failed = ("a", DropReason.FAILED)
    for count in range(1, 12):
        bench.offer()
        bench.recorder.wait(lambda count=count: bench.recorder.drops[failed] == count)
    bench.end()
    assert len(clock.pauses_s) in (9, 10)
    assert all(pause_s <= 2.0**n for n, pause_s in enumerate(clock.pauses_s))
    assert max(clock.pauses_s) <= 64.0


class PauseClock(SystemClock):
    """Real time, but pauses are noted instead of waited for."""

    def __init__(self) -> None:
        self.pauses_s: list[float] = []

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.pauses_s.append(timeout_s)
        return event.is_set()


def test_a_raising_receiver_is_logged_once_and_does_not_end_the_thread(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    engine = bench.start(bench.model())
    bench.recorder.raise_on_deliver = True
    for count in range(1, 4):
        bench.offer()
        bench.recorder.wait(lambda count=count: bench.recorder.failures.count("deliver") == count)
    bench.recorder.wait(lambda: len(bench.recorder.batches) == 3)
    bench.recorder.raise_on_deliver = False
    bench.offer(index=9)
    bench.recorder.wait(lambda: len(bench.recorder.predictions) == 1)
    assert engine.deliver_failures == 3
    told = [record for record in caplog.records if record.name == "edgenode.inference.engine"]
    assert len(told) == 1
    assert "nobody is there" in str(told[0].exc_info)


def test_stop_answers_what_is_held(bench: Bench) -> None:
    for index in range(30):
        bench.offer(index=index)
    engine = bench.start(bench.model(), EngineOptions(max_batch=2, idle_s=0.05, drain_s=DEADLINE_S))
    engine.stop()
    assert engine.join(DEADLINE_S)
    assert len(bench.recorder.predictions) == 30
    bench.offer()
    assert bench.buffer.counts().dropped == {DropReason.CLOSED: 1}


def test_stop_drops_the_rest_as_closed_when_time_is_up(bench: Bench) -> None:
    for index in range(9):
        bench.offer(255, index=index)
    classifier = bench.model(run_timeout_s=1.0, trips_when_bright=ENDLESS)
    engine = bench.start(classifier, EngineOptions(max_batch=1, idle_s=0.05, drain_s=0.0))
    engine.stop()
    assert engine.join(DEADLINE_S)
    counts = bench.buffer.counts()
    assert counts.held == 0
    assert counts.taken <= 1
    assert counts.taken + counts.dropped[DropReason.CLOSED] == 9


def test_an_engine_that_never_started_can_be_stopped(bench: Bench) -> None:
    engine = Engine("tiny", bench.buffer, bench.model(), bench.recorder.deliver, bench.recorder)
    bench.offer()
    engine.stop()
    assert engine.join(0.0)
    assert bench.buffer.counts().dropped == {DropReason.CLOSED: 1}


def test_the_heart_beats_while_there_is_nothing_to_do(bench: Bench) -> None:
    engine = bench.start(bench.model())
    before_s = engine.heartbeat_s
    deadline_s = time.monotonic() + DEADLINE_S
    idle = threading.Event()
    while engine.heartbeat_s == before_s and time.monotonic() < deadline_s:
        idle.wait(0.01)
    assert engine.heartbeat_s > before_s
