"""The limiter: ends what is late, leaves the rest, whatever the order of the deadlines."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edgenode.inference.run_limit import RunLimiter

DEADLINE_S = 60.0
LONG_S = 1e6


class Options:
    """Stands where onnxruntime's RunOptions stand; says when it is told to terminate."""

    def __init__(self) -> None:
        self.told = threading.Event()

    @property
    def terminate(self) -> bool:
        return self.told.is_set()

    @terminate.setter
    def terminate(self, value: bool) -> None:
        assert value
        self.told.set()


@pytest.fixture
def limiter() -> Iterator[RunLimiter]:
    made = RunLimiter()
    made.acquire()
    yield made
    made.release()


def test_a_later_run_with_an_earlier_deadline_is_ended_first(limiter: RunLimiter) -> None:
    patient = Options()
    with limiter.limit(patient, LONG_S) as long_run:
        for _ in range(2):  # from the second on the thread is known to sleep until the patient one's deadline
            hasty = Options()
            with limiter.limit(hasty, 0.02) as short_run:
                assert hasty.told.wait(DEADLINE_S)
            assert short_run.expired
    assert not long_run.expired
    assert not patient.terminate


def test_deadlines_in_a_row_are_each_kept(limiter: RunLimiter) -> None:
    """Also after the thread has gone to sleep with nothing to watch."""
    for _ in range(3):
        options = Options()
        with limiter.limit(options, 0.01):
            assert options.told.wait(DEADLINE_S)


def test_a_run_that_ends_in_time_is_left_alone(limiter: RunLimiter) -> None:
    quick, late = Options(), Options()
    with limiter.limit(quick, 0.5) as run:
        pass
    with limiter.limit(late, 0.6):
        assert late.told.wait(DEADLINE_S)
    assert not run.expired
    assert not quick.terminate


def test_many_threads_each_keep_their_own_deadline(limiter: RunLimiter) -> None:
    ended: list[float] = []
    lock = threading.Lock()

    def run(timeout_s: float) -> None:
        options = Options()
        with limiter.limit(options, timeout_s) as run:
            assert options.told.wait(DEADLINE_S)
            assert run.expired
        with lock:
            ended.append(timeout_s)

    timeouts = [0.01 * n for n in range(1, 9)]
    threads = [threading.Thread(target=run, args=(timeout_s,)) for timeout_s in reversed(timeouts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert sorted(ended) == timeouts
