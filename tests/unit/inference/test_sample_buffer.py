"""Hand-off A: offered = taken + dropped + held at every instant, newest wins, and no region starves."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from edgenode.clock import ManualClock, SystemClock
from edgenode.inference.sample_buffer import BufferLimits, SampleBuffer
from edgenode.records import DropReason
from tests.unit.inference.samples import assert_law, sample

DEADLINE_S = 60.0


def test_newest_wins_and_the_older_one_is_counted() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(), ManualClock())
    assert buffer.offer(sample(index=1)) is None
    assert buffer.offer(sample(index=2)) is DropReason.SUPERSEDED
    batch = buffer.take(8, 0.0)
    assert batch is not None
    assert [s.frame_index for s in batch.samples] == [2]
    assert buffer.counts().dropped_by_camera == {("a", DropReason.SUPERSEDED): 1}
    assert_law(buffer.counts())


def test_a_batch_is_in_order_of_arrival() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(per_region=2), ManualClock())
    for index, camera in enumerate("abcab"):
        buffer.offer(sample(camera, index=index))
    batch = buffer.take(8, 0.0)
    assert batch is not None
    assert batch.model == "tiny"
    assert [s.frame_index for s in batch.samples] == [0, 1, 2, 3, 4]


def test_a_camera_of_many_regions_has_no_more_turns_than_another() -> None:
    clock = ManualClock()
    buffer = SampleBuffer("tiny", BufferLimits(), clock)
    served: list[str] = []
    for index in range(40):
        for region in range(9):
            buffer.offer(sample("many", f"r{region}", index))
        buffer.offer(sample("one", index=index))
        for _ in range(2):
            batch = buffer.take(1, 0.0)
            assert batch is not None
            served.append(f"{batch.samples[0].camera}.{batch.samples[0].region}")
            clock.advance(0.01)
    assert 38 <= served.count("one.r") <= 40
    of_many = [name for name in served if name.startswith("many")]
    assert of_many == [f"many.r{turn % 9}" for turn in range(len(of_many))], "its regions have theirs in turn"


def test_a_fast_region_does_not_starve_a_slow_one() -> None:
    clock = ManualClock()
    buffer = SampleBuffer("tiny", BufferLimits(per_region=4, total=64), clock)
    buffer.offer(sample("fast", index=0))
    buffer.offer(sample("slow", index=0))
    served: list[str] = []
    for index in range(1, 101):
        for _ in range(5):
            buffer.offer(sample("fast", index=index))
        batch = buffer.take(1, 0.0)
        assert batch is not None
        served.append(batch.samples[0].camera)
        if served[-1] == "slow":
            buffer.offer(sample("slow", index=index))
        clock.advance(0.01)
    assert 47 <= served.count("slow") <= 53


def test_a_newer_sample_keeps_its_regions_place_in_the_line() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(), ManualClock())
    buffer.offer(sample("a", index=0))
    buffer.offer(sample("b", index=1))
    buffer.offer(sample("a", index=2))
    batch = buffer.take(1, 0.0)
    assert batch is not None
    assert (batch.samples[0].camera, batch.samples[0].frame_index) == ("a", 2)


def test_every_region_is_served_when_there_are_more_than_the_buffer_holds() -> None:
    """20 regions at one pace, room for 4, one sample a batch: nobody is always the one that is pushed out."""
    buffer = SampleBuffer("tiny", BufferLimits(total=4), ManualClock())
    served: Counter[str] = Counter()
    for index in range(100):
        for region in range(20):
            buffer.offer(sample("cam", f"r{region}", index))
            if region % 5 == 0:
                batch = buffer.take(1, 0.0)
                assert batch is not None
                served[batch.samples[0].region] += 1
    assert len(served) == 20, served
    assert min(served.values()) >= 100 * 4 / 20 / 2, served
    assert_law(buffer.counts())


def test_full_takes_from_the_region_with_the_most_waiting() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(per_region=3, total=3), ManualClock())
    for index in range(2):
        buffer.offer(sample("many", index=index))
    buffer.offer(sample("one", index=5))
    assert buffer.offer(sample("new", index=6)) is DropReason.FULL
    batch = buffer.take(8, 0.0)
    assert batch is not None
    assert [(s.camera, s.frame_index) for s in batch.samples] == [("many", 1), ("one", 5), ("new", 6)]
    assert buffer.counts().dropped_by_camera == {("many", DropReason.FULL): 1}


def test_a_stale_sample_is_dropped_when_its_turn_comes() -> None:
    clock = ManualClock()
    buffer = SampleBuffer("tiny", BufferLimits(max_age_s=2.0), clock)
    buffer.offer(sample("old", captured_s=0.0))
    clock.set(2.5)
    buffer.offer(sample("new", captured_s=2.5))
    batch = buffer.take(8, 0.0)
    assert batch is not None
    assert [s.camera for s in batch.samples] == ["new"]
    assert buffer.counts().dropped == {DropReason.STALE: 1}
    buffer.offer(sample("old", captured_s=0.0))
    assert buffer.take(8, 0.0) is None
    assert_law(buffer.counts())


def test_it_says_how_long_each_sample_waited() -> None:
    clock = ManualClock()
    buffer = SampleBuffer("tiny", BufferLimits(), clock)
    buffer.offer(sample("a"))
    clock.set(0.5)
    buffer.offer(sample("b"))
    clock.set(0.75)
    batch = buffer.take(8, 0.0)
    assert batch is not None
    assert batch.waited_s == (0.75, 0.25)


def test_closed_drops_what_comes_and_gives_what_it_holds() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(), ManualClock())
    buffer.offer(sample("a"))
    buffer.close()
    assert buffer.offer(sample("b")) is DropReason.CLOSED
    batch = buffer.take(8, 0.0)
    assert batch is not None
    assert [s.camera for s in batch.samples] == ["a"]
    assert buffer.take(8, DEADLINE_S) is None, "a closed, empty buffer does not wait"
    assert buffer.discard() == 0
    assert_law(buffer.counts())


def test_discard_counts_what_it_drops() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(per_region=3), ManualClock())
    for camera in "aab":
        buffer.offer(sample(camera))
    buffer.close()
    assert buffer.discard() == 3
    assert buffer.counts().dropped_by_camera == {("a", DropReason.CLOSED): 2, ("b", DropReason.CLOSED): 1}
    assert_law(buffer.counts())


def test_take_wakes_when_something_arrives_and_when_it_closes() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(max_age_s=1000.0), SystemClock())
    results: list[int] = []

    def take_all() -> None:
        while (batch := buffer.take(8, DEADLINE_S)) is not None:
            results.append(len(batch.samples))
            taken.set()

    taken = threading.Event()
    thread = threading.Thread(target=take_all)
    thread.start()
    buffer.offer(sample(captured_s=time.monotonic()))
    assert taken.wait(DEADLINE_S)
    buffer.close()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert results == [1]


def test_max_wait_waits_for_a_full_batch_and_no_longer_than_that() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(max_age_s=1000.0), SystemClock())
    now_s = time.monotonic()
    buffer.offer(sample("a", captured_s=now_s))
    second = threading.Timer(0.05, lambda: buffer.offer(sample("b", captured_s=now_s)))
    second.start()
    batch = buffer.take(2, 0.0, max_wait_s=DEADLINE_S)
    second.join()
    assert batch is not None
    assert len(batch.samples) == 2
    buffer.offer(sample("a", captured_s=now_s))
    batch = buffer.take(2, 0.0, max_wait_s=0.01)
    assert batch is not None
    assert len(batch.samples) == 1


@pytest.mark.parametrize("limits", [{"per_region": 0}, {"total": 0}, {"max_age_s": 0.0}])
def test_limits_that_hold_nothing_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1 sample"):
        BufferLimits(**limits)


def test_regions_that_the_model_will_not_come_to_are_not_cut() -> None:
    clock = ManualClock()
    buffer = SampleBuffer("tiny", BufferLimits(total=100), clock)
    names = [f"r{number}" for number in range(36)]
    cut: list[int] = []
    served: Counter[str] = Counter()
    for frame in range(60):
        wanted = buffer.admit("cam", names)
        cut.append(len(wanted))
        for region in wanted:
            buffer.offer(sample("cam", region, frame, clock.monotonic()))
        for _ in range(3):
            batch = buffer.take(1, 0.0)
            assert batch is not None
            assert batch.samples[0].frame_index == frame, "nothing old is left over"
            served[batch.samples[0].region] += 1
            clock.advance(0.02)
        assert_law(buffer.counts())
    assert cut[0] == 36
    assert max(cut[20:]) <= 6
    assert max(served.values()) - min(served.values()) <= 1, "all regions have their turns"
    assert buffer.counts().offered == 60 * 36
    assert buffer.counts().dropped_by_camera["cam", DropReason.SURPLUS] >= 1500
    while buffer.take(8, 0.0) is not None:
        pass
    assert len(buffer.admit("cam", names)) == 36, "the model has caught up"
    buffer.close()
    assert list(buffer.admit("cam", names)) == names, "offers are counted as closed"
