"""What follows a run: in order, bounded, and beside the next run where that pays."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.errors import InferenceError
from edgenode.inference.answer_lane import DEPTH, Answer, AnswerLane
from edgenode.inference.classifier import Classifier, Outputs
from edgenode.inference.tray import Tray
from edgenode.records import U8, Batch

DEADLINE_S = 30.0
LONG_S, SHORT_S = 10.0, 0.0


def answer(number: int, infer_s: float = LONG_S) -> Answer:
    outputs = Outputs(np.zeros((1, 1), np.float32), None, np.ones((1,), np.bool_))
    classifier = Classifier.__new__(Classifier)  # nobody asks it anything here
    return Answer(Batch(str(number), ()), outputs, classifier, infer_s)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([LONG_S, SHORT_S])), max_size=30))
def test_answers_are_followed_once_each_in_the_order_given(given_answers: list[tuple[bool, float]]) -> None:
    followed: list[str] = []
    lane = AnswerLane("tiny", lambda each: followed.append(each.batch.model))
    for number, (more, infer_s) in enumerate(given_answers):
        lane.give(answer(number, infer_s), more)
    lane.close()
    assert followed == [str(number) for number in range(len(given_answers))]


def test_nothing_is_handed_over_while_nothing_waits_or_where_a_run_is_shorter() -> None:
    threads: list[str] = []
    lane = AnswerLane("tiny", lambda _each: threads.append(threading.current_thread().name))
    me = threading.current_thread().name
    for more, infer_s in ((False, LONG_S), (True, SHORT_S), (False, LONG_S)):
        lane.give(answer(0, infer_s), more)
    assert threads == [me] * 3
    lane.give(answer(0, LONG_S), more=True)
    lane.close()
    assert threads[3:] == ["decide-tiny"]


def test_the_giver_goes_on_until_so_many_are_under_way_and_then_waits() -> None:
    go_on = threading.Event()
    followed: list[str] = []

    def follow(each: Answer) -> None:
        if each.batch.model != "0":
            assert go_on.wait(DEADLINE_S)
        followed.append(each.batch.model)

    lane = AnswerLane("tiny", follow)
    lane.give(answer(0), more=True)
    for number in range(1, DEPTH + 1):
        lane.give(answer(number), more=True)
    assert followed == ["0"], "the others wait, and the giver did not wait for them"
    giving = threading.Thread(target=lambda: lane.give(answer(DEPTH + 1), more=False))
    giving.start()
    assert giving.is_alive(), "there is no room for another"
    go_on.set()
    giving.join(DEADLINE_S)
    assert not giving.is_alive()
    lane.close()
    assert followed == [str(number) for number in range(DEPTH + 2)]


def test_what_raises_is_logged_and_the_next_one_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    followed: list[str] = []

    def follow(each: Answer) -> None:
        if each.batch.model in ("0", "2"):
            raise ValueError("no")
        followed.append(each.batch.model)

    lane = AnswerLane("tiny", follow)
    for number in range(4):
        lane.give(answer(number), more=True)
    lane.close()
    assert followed == ["1", "3"]
    assert sum("failed on a batch" in record.getMessage() for record in caplog.records) == 2


def test_a_tray_holds_what_is_put_on_it_and_nothing_of_the_batch_before() -> None:
    tray = Tray()
    for count, level in ((3, 1), (1, 2), (5, 3), (2, 4)):
        arrays: list[U8] = [np.full((4, 6, 3), level + row, np.uint8) for row in range(count)]
        batch = tray.filled(arrays)
        np.testing.assert_array_equal(batch, np.stack(arrays))
        assert batch.flags.c_contiguous
    kept = tray.filled(arrays)
    assert np.shares_memory(kept, tray.filled(arrays)), "it is the same memory again"
    assert tray.filled([np.zeros((2, 2, 1), np.uint8)]).shape == (1, 2, 2, 1)
    with pytest.raises(InferenceError, match="differ in shape"):
        tray.filled([np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 3), np.uint8)])
