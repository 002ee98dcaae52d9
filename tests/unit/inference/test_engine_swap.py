"""Swapping a model between two batches."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edgenode.errors import ModelError
from edgenode.inference.classifier import Classifier, Outputs
from edgenode.inference.engine import EngineOptions
from tests.models import make_model
from tests.unit.inference.engine_bench import DEADLINE_S, Bench


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
