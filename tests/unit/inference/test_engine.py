"""The model's thread: everything offered is answered or counted, whatever the model and the receiver do."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from edgenode.clock import SystemClock
from edgenode.errors import ModelError
from edgenode.inference.classifier import Classifier, ClassifierOptions, Outputs
from edgenode.inference.engine import Engine, EngineOptions
from edgenode.inference.sample_buffer import BufferLimits, SampleBuffer
from edgenode.records import DropReason, Prediction, Sample
from tests.models import ENDLESS, make_model

DEADLINE_S = 30.0
AT = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = EngineOptions(idle_s=0.05, first_pause_s=0.001, longest_pause_s=0.01)


class Recorder:
    """Both ends of an engine: receives the predictions and observes; `wait` blocks on a condition."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.predictions: list[Prediction] = []
        self.batches: list[int] = []
        self.waits: list[float] = []
        self.drops: Counter[tuple[str, DropReason]] = Counter()
        self.failures: list[str] = []
        self.raise_on_deliver = False

    def deliver(self, predictions: Sequence[Prediction]) -> None:
        if self.raise_on_deliver:
            raise RuntimeError("nobody is there")
        with self.changed:
            self.predictions.extend(predictions)
            self.changed.notify_all()

    def batch(self, model: str, size: int, infer_s: float) -> None:
        with self.changed:
            assert infer_s > 0
            self.batches.append(size)
            self.changed.notify_all()

    def queue_seconds(self, seconds: float) -> None:
        self.waits.append(seconds)

    def dropped(self, camera: str, reason: DropReason, count: int) -> None:
        with self.changed:
            self.drops[camera, reason] += count
            self.changed.notify_all()

    def inference_failed(self, model: str, reason: str) -> None:
        with self.changed:
            self.failures.append(reason)
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S), "the engine did not get there in time"


class Bench:
    """One engine with its buffer and recorder, and models made on the way; ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recorder = Recorder()
        self.buffer = SampleBuffer(
            "tiny", BufferLimits(per_region=64, total=64, max_age_s=1000.0), SystemClock()
        )
        self.engine: Engine | None = None
        self.classifiers: list[Classifier] = []

    def model(self, run_timeout_s: float = 5.0, **options: object) -> Classifier:
        path = make_model(self.folder / f"m{len(self.classifiers)}.onnx", **options)  # type: ignore[arg-type]
        self.classifiers.append(Classifier.load(path, ClassifierOptions(run_timeout_s=run_timeout_s)))
        return self.classifiers[-1]

    def start(self, classifier: Classifier, options: EngineOptions = QUICK) -> Engine:
        self.engine = Engine("tiny", self.buffer, classifier, self.recorder.deliver, self.recorder, options)
        self.engine.start()
        return self.engine

    def offer(self, level: int = 0, camera: str = "a", index: int = 0) -> None:
        array = np.full((8, 8, 3), level, dtype=np.uint8)
        self.buffer.offer(Sample(camera, "r", "tiny", index, time.monotonic(), AT, array))

    def end(self) -> None:
        if self.engine is not None:
            self.engine.stop()
            assert self.engine.join(DEADLINE_S)
        for classifier in self.classifiers:
            classifier.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.end()


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


def test_only_the_nan_rows_are_lost(bench: Bench) -> None:
    bench.offer(0, "a")
    bench.offer(255, "b")
    bench.offer(50, "c")
    bench.start(bench.model(nan_when_bright=True))
    bench.recorder.wait(lambda: bench.recorder.failures == ["non_finite"])
    assert bench.recorder.drops == {("b", DropReason.NON_FINITE): 1}
    assert [p.camera for p in bench.recorder.predictions] == ["a", "c"]
    assert bench.engine is not None
    assert bench.engine.failures_in_a_row == 0


def test_a_batch_that_never_ends_is_given_up_and_the_next_one_is_answered(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    engine = bench.start(bench.model(run_timeout_s=0.2, trips_when_bright=ENDLESS))
    for turn in range(3):
        bench.offer(255, "stuck")
        bench.recorder.wait(lambda turn=turn: bench.recorder.drops[("stuck", DropReason.FAILED)] == turn + 1)
    assert engine.failures_in_a_row == 3
    bench.offer(0, "fine")
    bench.recorder.wait(lambda: len(bench.recorder.batches) == 1)
    assert [p.camera for p in bench.recorder.predictions] == ["fine"]
    assert engine.failures_in_a_row == 0
    assert bench.recorder.failures == ["failed"] * 3
    told = [record for record in caplog.records if record.name == "edgenode.inference.engine"]
    assert [record.levelno for record in told] == [logging.ERROR, logging.WARNING], (
        "once each, not once a batch"
    )
    assert "longer than 0.2 s" in told[0].getMessage()


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


def test_swap_loses_nothing_and_answers_nothing_twice(bench: Bench) -> None:
    """Samples stream in while versions are swapped, and the old one is closed the moment swap returns."""
    paths = [make_model(bench.folder / f"v{version}.onnx", version=version) for version in "12"]
    engine = bench.start(Classifier.load(paths[0]), EngineOptions(max_batch=3, idle_s=0.05))
    count = 3000
    buffer, recorder = bench.buffer, bench.recorder
    done = threading.Event()
    swaps = 0

    def swap_all() -> None:
        nonlocal swaps
        while not done.is_set():
            old = engine.classifier
            assert engine.swap(Classifier.load(paths[(swaps + 1) % 2])) is old
            old.close()
            swaps += 1

    swapping = threading.Thread(target=swap_all)
    swapping.start()
    for index in range(count):
        if index % 32 == 0:  # never more than the buffer holds, so that none is dropped by right
            recorder.wait(lambda index=index: sum(recorder.batches) >= index - 32)
        bench.offer(index=index)
    recorder.wait(lambda: len(recorder.predictions) == count)
    done.set()
    swapping.join(DEADLINE_S)
    bench.classifiers.append(engine.classifier)
    assert bench.recorder.failures == []
    assert [p.frame_index for p in recorder.predictions] == list(range(count))
    assert {p.model.version for p in recorder.predictions} == {"1", "2"}
    assert swaps > 2
    counts = buffer.counts()
    assert (counts.taken, counts.dropped, counts.held) == (count, {}, 0)


def test_swap_comes_between_two_batches(bench: Bench) -> None:
    """What `swap` returns is not in use any more: it waits for the batch that runs."""
    first = bench.model(version="1")
    entered, go_on, finished = threading.Event(), threading.Event(), threading.Event()
    real = first.classify

    def held_up(array: np.ndarray) -> Outputs:
        entered.set()
        assert go_on.wait(DEADLINE_S)
        outputs = real(array)
        finished.set()
        return outputs

    first.classify = held_up  # type: ignore[method-assign]
    engine = bench.start(first)
    bench.offer(index=1)
    assert entered.wait(DEADLINE_S)
    second = bench.model(version="2")
    finished_at_swap: list[bool] = []

    def swap() -> None:
        swapping.set()
        engine.swap(second)
        finished_at_swap.append(finished.is_set())

    swapping = threading.Event()
    thread = threading.Thread(target=swap)
    thread.start()
    assert swapping.wait(DEADLINE_S)
    bench.offer(index=2)
    go_on.set()
    thread.join(DEADLINE_S)
    bench.recorder.wait(lambda: len(bench.recorder.predictions) == 2)
    assert finished_at_swap == [True]
    assert bench.recorder.predictions[0].model.version == "1"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"height": 9}, "input"),
        ({"resize": "crop"}, "input"),
        ({"labels": ("dark", "light")}, "labels"),
        ({"name": "other"}, "name"),
        ({"task": "multi_label"}, "task"),
    ],
)
def test_a_version_that_does_not_fit_is_refused_and_the_old_one_serves_on(
    bench: Bench, options: dict[str, object], what: str
) -> None:
    first = bench.model()
    engine = bench.start(first)
    other = bench.model(**options)  # type: ignore[arg-type]
    assert f"new version's {what} differs" in str(engine.misfit(other))
    with pytest.raises(ModelError, match=f"new version's {what} differs"):
        engine.swap(other)
    bench.offer()
    bench.recorder.wait(lambda: len(bench.recorder.predictions) == 1)
    assert bench.recorder.predictions[0].model == first.identity


def test_swap_mends_a_model_that_fails(bench: Bench) -> None:
    broken = bench.model(version="1")
    broken.close()
    engine = bench.start(broken)
    bench.offer()
    bench.recorder.wait(lambda: bench.recorder.failures == ["failed"])
    engine.swap(bench.model(version="2"))
    bench.offer()
    bench.recorder.wait(lambda: len(bench.recorder.predictions) == 1)
    assert engine.failures_in_a_row == 0


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
    classifier = bench.model(run_timeout_s=0.3, trips_when_bright=ENDLESS)
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
