"""offered = taken + dropped + held: after any sequence of calls, and at every instant with many threads."""

from __future__ import annotations

import threading
import time
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edgenode.clock import ManualClock, SystemClock
from edgenode.inference.sample_buffer import BufferCounts, BufferLimits, SampleBuffer
from edgenode.records import DropReason, Sample
from tests.unit.inference.samples import assert_law, sample

DEADLINE_S = 60.0


class BufferMachine(RuleBasedStateMachine):
    """Any sequence of calls against a plain model of what must be held, and of the turns of a camera's regions. Which
    camera is served is `ServiceOrder`'s to say."""

    @initialize(per_region=st.integers(1, 3), total=st.integers(1, 6), max_age_s=st.sampled_from([1.0, 3.0]))
    def make(self, per_region: int, total: int, max_age_s: float) -> None:
        self.limits = BufferLimits(per_region, total, max_age_s)
        self.clock = ManualClock()
        self.buffer = SampleBuffer("tiny", self.limits, self.clock)
        self.held: dict[tuple[str, str], deque[Sample]] = {}
        self.turns: dict[str, list[str]] = {}
        """Each camera's regions in the order of their turns."""
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
        if region not in self.turns.setdefault(camera, []):
            self.turns[camera].append(region)
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
        inside = {
            waiting.sample.frame_index
            for lines in self.buffer._cameras.values()
            for line in lines.values()
            for waiting in line
        }
        gone = [key for key in losers if self.held[key][0].frame_index not in inside]
        assert len(gone) == 1
        self.held[gone[0]].popleft()
        if not self.held[gone[0]] and gone[0] != newcomer:
            del self.held[gone[0]]

    @rule(camera=st.sampled_from("abc"), regions=st.sampled_from([["x"], ["y", "x"], ["x", "y"]]))
    def admit(self, camera: str, regions: list[str]) -> None:
        before = self.buffer.counts()
        admitted = self.buffer.admit(camera, regions)
        after = self.buffer.counts()
        assert set(admitted) <= set(regions)
        out = set(regions) - set(admitted)
        assert after.offered - before.offered == len(out)
        for region in out:
            self.held.pop((camera, region), None)

    @rule(max_batch=st.integers(1, 5))
    def take(self, max_batch: int) -> None:
        oldest_s = self.clock.monotonic() - self.limits.max_age_s
        batch = self.buffer.take(max_batch, 0.0)
        got = [] if batch is None else list(batch.samples)
        assert len(got) <= max_batch
        by_camera: dict[str, list[Sample]] = {}
        for each in got:
            assert each.frame_index not in self.answered, "no sample is taken twice"
            self.answered.add(each.frame_index)
            assert each.captured_s >= oldest_s
            by_camera.setdefault(each.camera, []).append(each)
        for camera, turns in self.turns.items():
            expected = [self._next(camera, turns, oldest_s) for _ in by_camera.get(camera, [])]
            taken = sorted(each.frame_index for each in by_camera.get(camera, []))
            assert taken == sorted(index for index in expected if index is not None)
            self._drop_stale_heads(camera, turns, oldest_s)
        assert len(got) == max_batch or not any(self.held.values()), "what waits is served"

    def _drop_stale_heads(self, camera: str, turns: list[str], oldest_s: float) -> None:
        """As far as the buffer had to look for this camera's next sample."""
        for region in turns:
            line = self.held.get((camera, region), deque())
            while line and line[0].captured_s < oldest_s:
                line.popleft()
            if line:
                return

    def _next(self, camera: str, turns: list[str], oldest_s: float) -> int | None:
        """What must be taken of `camera` next, which goes to the end of its turns with its region."""
        self._drop_stale_heads(camera, turns, oldest_s)
        for region in turns:
            if line := self.held.get((camera, region)):
                turns.remove(region)
                turns.append(region)
                return line.popleft().frame_index
        return None

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def discard(self) -> None:
        assert self.buffer.discard() == sum(map(len, self.held.values()))
        self.held.clear()

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
