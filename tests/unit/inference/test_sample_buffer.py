"""Hand-off A: offered = taken + dropped + held at every instant, newest wins, and no region starves."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edgenode.clock import ManualClock, SystemClock
from edgenode.inference.sample_buffer import BufferCounts, BufferLimits, SampleBuffer
from edgenode.records import DropReason, Sample

DEADLINE_S = 30.0
AT = datetime(2026, 1, 1, tzinfo=UTC)


def sample(camera: str = "a", region: str = "r", index: int = 0, captured_s: float = 0.0) -> Sample:
    return Sample(
        camera, region, "tiny", index, captured_s, AT, np.full((2, 2, 1), index % 256, dtype=np.uint8)
    )


def assert_law(counts: BufferCounts) -> None:
    assert counts.offered == counts.taken + sum(counts.dropped.values()) + counts.held
    assert counts.offered == sum(counts.offered_by_region.values())
    by_reason: Counter[DropReason] = Counter()
    for (_, reason), count in counts.dropped_by_camera.items():
        by_reason[reason] += count
    assert by_reason == Counter(counts.dropped)


def test_newest_wins_and_the_older_one_is_counted() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(), ManualClock())
    assert buffer.offer(sample(index=1)) is None
    assert buffer.offer(sample(index=2)) is DropReason.SUPERSEDED
    batch = buffer.take(8, 0.0)
    assert batch is not None
    assert [s.frame_index for s in batch.samples] == [2]
    assert buffer.counts().dropped_by_camera == {("a", DropReason.SUPERSEDED): 1}
    assert_law(buffer.counts())


def test_the_array_is_the_samples_stacked_in_their_order() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(per_region=2), ManualClock())
    for index, camera in enumerate("abcab"):
        buffer.offer(sample(camera, index=index))
    batch = buffer.take(8, 0.0)
    assert batch is not None
    assert batch.model == "tiny"
    assert [s.frame_index for s in batch.samples] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(batch.array, np.stack([s.array for s in batch.samples]))
    assert batch.array.flags.c_contiguous


def test_a_kept_batch_does_not_change_when_the_next_one_is_taken() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(), ManualClock())
    buffer.offer(sample(index=1))
    first = buffer.take(8, 0.0)
    buffer.offer(sample(index=2))
    second = buffer.take(8, 0.0)
    assert first is not None
    assert second is not None
    assert first.array.max() == 1
    assert second.array.max() == 2


def test_a_fast_region_does_not_starve_a_slow_one() -> None:
    buffer = SampleBuffer("tiny", BufferLimits(per_region=4, total=64), ManualClock())
    buffer.offer(sample("fast", index=0))
    buffer.offer(sample("slow", index=0))
    served: list[str] = []
    for index in range(1, 9):
        for _ in range(5):
            buffer.offer(sample("fast", index=index))
        batch = buffer.take(1, 0.0)
        assert batch is not None
        served.append(batch.samples[0].camera)
        if served[-1] == "slow":
            buffer.offer(sample("slow", index=index))
    assert served == ["fast", "slow"] * 4


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
    buffer = SampleBuffer("tiny", BufferLimits(), SystemClock())
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


class BufferMachine(RuleBasedStateMachine):
    """Any sequence of calls against a plain model of what must be held, in what order within a region."""

    @initialize(per_region=st.integers(1, 3), total=st.integers(1, 6), max_age_s=st.sampled_from([1.0, 3.0]))
    def make(self, per_region: int, total: int, max_age_s: float) -> None:
        self.limits = BufferLimits(per_region, total, max_age_s)
        self.clock = ManualClock()
        self.buffer = SampleBuffer("tiny", self.limits, self.clock)
        self.held: dict[tuple[str, str], deque[Sample]] = {}
        self.line: list[tuple[str, str]] = []
        self.closed = False
        self.next_index = 0
        self.answered: set[int] = set()

    @rule(
        camera=st.sampled_from("abc"),
        region=st.sampled_from("xy"),
        age_s=st.sampled_from([0.0, 0.0, 0.5, 4.0]),
    )
    def offer(self, camera: str, region: str, age_s: float) -> None:
        self.next_index += 1
        new = sample(camera, region, self.next_index, self.clock.monotonic() - age_s)
        before = self.buffer.counts()
        reason = self.buffer.offer(new)
        after = self.buffer.counts()
        assert sum(after.dropped.values()) - sum(before.dropped.values()) == (reason is not None)
        if self.closed:
            assert reason is DropReason.CLOSED
            return
        key = (camera, region)
        held = sum(map(len, self.held.values()))
        if len(self.held.get(key, ())) >= self.limits.per_region:
            assert reason is DropReason.SUPERSEDED
            self.held[key].popleft()
        elif held >= self.limits.total:
            assert reason is DropReason.FULL
            self._follow_full(before, after, key)
        else:
            assert reason is None
        if key not in self.line:
            self.line.append(key)
        self.held.setdefault(key, deque()).append(new)

    def _follow_full(self, before: BufferCounts, after: BufferCounts, newcomer: tuple[str, str]) -> None:
        """Whose sample went is the buffer's choice among those with the most waiting; find out."""
        cameras = [
            camera
            for (camera, reason), count in after.dropped_by_camera.items()
            if reason is DropReason.FULL and count > before.dropped_by_camera.get((camera, reason), 0)
        ]
        assert len(cameras) == 1
        most = max(map(len, self.held.values()))
        losers = [key for key, line in self.held.items() if len(line) == most and key[0] == cameras[0]]
        assert losers, "full must take from a region with the most waiting"
        inside = {waiting.sample.frame_index for line in self.buffer._lines.values() for waiting in line}
        gone = [key for key in losers if self.held[key][0].frame_index not in inside]
        assert len(gone) == 1
        self.held[gone[0]].popleft()
        if not self.held[gone[0]] and gone[0] != newcomer:
            del self.held[gone[0]]
            self.line.remove(gone[0])

    @rule(max_batch=st.integers(1, 5))
    def take(self, max_batch: int) -> None:
        expected: list[Sample] = []
        oldest_s = self.clock.monotonic() - self.limits.max_age_s
        while self.line and len(expected) < max_batch:
            key = self.line.pop(0)
            line = self.held.pop(key)
            while line and line[0].captured_s < oldest_s:
                line.popleft()
            if not line:
                continue
            expected.append(line.popleft())
            if line:
                self.held[key] = line
                self.line.append(key)
        batch = self.buffer.take(max_batch, 0.0)
        got = [] if batch is None else list(batch.samples)
        assert [s.frame_index for s in got] == sorted(s.frame_index for s in expected)
        for each in got:
            assert each.frame_index not in self.answered, "no sample is taken twice"
            self.answered.add(each.frame_index)

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def discard(self) -> None:
        assert self.buffer.discard() == sum(map(len, self.held.values()))
        self.held.clear()
        self.line.clear()

    @rule(really=st.integers(0, 9))
    def close(self, really: int) -> None:
        if really == 0:
            self.buffer.close()
            self.closed = True

    @invariant()
    def law(self) -> None:
        counts = self.buffer.counts()
        assert_law(counts)
        assert counts.held == sum(map(len, self.held.values()))
        assert counts.held <= self.limits.total
        assert all(len(line) <= self.limits.per_region for line in self.held.values())


TestBufferMachine = BufferMachine.TestCase
TestBufferMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_the_law_holds_at_every_instant_with_many_threads() -> None:
    """Six cameras offer as fast as they can, one thread takes, one reads the counts."""
    buffer = SampleBuffer("tiny", BufferLimits(per_region=2, total=7, max_age_s=1000.0), SystemClock())
    each, cameras = 2000, "abcdef"
    taken: list[tuple[str, int]] = []
    readings: list[BufferCounts] = []
    stop_reading = threading.Event()

    def offer_all(camera: str) -> None:
        for index in range(each):
            buffer.offer(sample(camera, f"r{index % 3}", index, time.monotonic()))

    def take_all() -> None:
        while (batch := buffer.take(5, DEADLINE_S)) is not None:
            taken.extend((s.camera, s.frame_index) for s in batch.samples)

    def read_all() -> None:
        while not stop_reading.is_set():
            readings.append(buffer.counts())

    offering = [threading.Thread(target=offer_all, args=(camera,)) for camera in cameras]
    taking, reading = threading.Thread(target=take_all), threading.Thread(target=read_all)
    for thread in (taking, reading, *offering):
        thread.start()
    for thread in offering:
        thread.join(DEADLINE_S)
    buffer.close()
    taking.join(DEADLINE_S)
    stop_reading.set()
    reading.join(DEADLINE_S)

    for counts in readings:
        assert_law(counts)
        assert counts.held <= 7
    end = buffer.counts()
    assert_law(end)
    assert end.offered == each * len(cameras)
    assert end.held == 0
    assert end.taken == len(taken) == len(set(taken))
    for camera in cameras:
        for region in range(3):
            indices = [index for name, index in taken if name == camera and index % 3 == region]
            assert indices == sorted(indices), "a region's samples stay in order"
