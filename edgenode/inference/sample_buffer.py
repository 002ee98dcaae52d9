"""Hand-off A: samples from the camera threads to the one thread of their model.

The law, true at every instant: offered = taken + dropped (by reason) + held.
"""

from __future__ import annotations

import heapq
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgenode.clock import Clock
from edgenode.inference.appetite import Appetite
from edgenode.inference.service_order import ServiceOrder
from edgenode.records import Batch, DropReason, Sample

Region = tuple[str, str]
"""Camera and region."""


@dataclass(frozen=True, slots=True)
class BufferLimits:
    """What a buffer holds at most."""

    per_region: int = 1
    """Samples waiting for one region; one more and the oldest of them goes (`superseded`)."""
    total: int = 64
    """Samples waiting in all; one more and the region with the most waiting loses its oldest (`full`)."""
    max_age_s: float = 2.0
    """A sample captured longer ago than this when its turn comes is dropped (`stale`)."""

    def __post_init__(self) -> None:
        if self.per_region < 1 or self.total < 1 or self.max_age_s <= 0:
            raise ValueError(f"limits of a buffer must be at least 1 sample and above 0 s: {self}")


@dataclass(frozen=True, slots=True)
class BufferCounts:
    """All counts since the buffer was made, as they stood at one instant."""

    offered: int
    taken: int
    dropped: Mapping[DropReason, int]
    held: int
    offered_by_region: Mapping[Region, int] = field(default_factory=dict)
    dropped_by_camera: Mapping[tuple[str, DropReason], int] = field(default_factory=dict)


@dataclass(slots=True)
class _Waiting:
    sample: Sample
    number: int
    """Counts the offers; the order of arrival."""
    offered_s: float


class SampleBuffer:
    """Bounded, newest wins, fair, fresh.

    `offer` is called by any number of camera threads and never waits for the model; `take` by the model's
    one thread. A newer sample takes its region's place. Which camera is served next is `ServiceOrder`'s to say: equal
    shares over time, and where more is offered than can be taken, those whose samples are young. Within a camera
    regions have their turns: the one that was served longest ago is first.
    """

    def __init__(self, model: str, limits: BufferLimits, clock: Clock) -> None:
        self.model = model
        self._limits = limits
        self._clock = clock
        self._arrived = threading.Condition(threading.Lock())
        self._cameras: dict[str, dict[str, deque[_Waiting]]] = {}
        """Cameras with samples waiting, and what waits by region."""
        self._turns: dict[str, dict[str, None]] = {}
        """All regions of each camera, the one that was served longest ago first: a dictionary keeps insertion order."""
        self._order = ServiceOrder()
        self._appetite = Appetite()
        self._served: dict[Region, int] = {}
        """The number of the batch each region was last served in."""
        self._batches = 0
        self._held = 0
        self._taken = 0
        self._offered: Counter[Region] = Counter()
        self._dropped: Counter[tuple[str, DropReason]] = Counter()
        self._next_number = 0
        self._closed = False

    @property
    def held(self) -> int:
        """Samples waiting now. Any thread."""
        return self._held

    def widen(self, total: int) -> None:
        """Hold up to `total` samples in all from now on, where that is more than before. Any thread."""
        with self._arrived:
            self._limits = replace(self._limits, total=max(total, self._limits.total))

    def admit(self, camera: str, regions: Sequence[str]) -> Sequence[str]:
        """Which `regions` of a new frame are worth cutting; those are offered next. All, unless samples are superseded:
        then as many as the model will come to, those whose turn is next. The rest is counted as offered and dropped,
        and with it what waits of it from an older frame. Called by the camera's thread."""
        with self._arrived:
            if self._closed or not self._order.crowded:
                self._appetite.sated(camera)
                return regions
            room = self._appetite.room(camera, len(regions), dry=camera not in self._cameras)
            if room >= len(regions):
                return regions
            known = self._turns.get(camera, {})
            asked = dict.fromkeys(regions)
            in_turn = [region for region in known if region in asked]
            in_turn += [region for region in regions if region not in known]
            for region in in_turn[room:]:
                self._offered[camera, region] += 1
                self._dropped[camera, DropReason.SURPLUS] += 1
                self._outdate(camera, region)
            return in_turn[:room]

    def offer(self, sample: Sample) -> DropReason | None:
        """Hand in one sample; returns why a sample (this one or an older one) was dropped, if one was."""
        region = (sample.camera, sample.region)
        now_s = self._clock.monotonic()
        with self._arrived:
            self._offered[region] += 1
            if self._closed:
                self._dropped[sample.camera, DropReason.CLOSED] += 1
                return DropReason.CLOSED
            reason = self._make_room(region)
            self._next_number += 1
            lines = self._cameras.get(sample.camera)
            if lines is None:
                lines = self._cameras[sample.camera] = {}
                self._order.came(sample.camera)
            self._turns.setdefault(sample.camera, {}).setdefault(sample.region)
            lines.setdefault(sample.region, deque()).append(_Waiting(sample, self._next_number, now_s))
            self._held += 1
            self._arrived.notify()
            return reason

    def take(self, max_batch: int, timeout_s: float, max_wait_s: float = 0.0) -> Batch | None:
        """The next batch of 1 to `max_batch` samples in order of arrival, or None.

        Waits at most `timeout_s` for a first sample and then, only if asked, at most `max_wait_s` for a full
        batch. None means that nothing usable came, or that the buffer is closed and empty. What was left in a
        closed buffer can still be taken.
        """
        with self._arrived:
            waited = self._held == 0
            if waited and not self._arrived.wait_for(lambda: self._held > 0 or self._closed, timeout_s):
                return None
            if max_wait_s > 0:
                self._arrived.wait_for(lambda: self._held >= max_batch or self._closed, max_wait_s)
            now_s = self._clock.monotonic()
            chosen = self._choose(max_batch, now_s)
            if chosen:
                self._order.took(len(chosen), now_s, waited or max_wait_s > 0.0)
            if self._held == 0:
                self._order.emptied()
        if not chosen:
            return None
        chosen.sort(key=_number)
        return Batch(
            model=self.model,
            samples=tuple([waiting.sample for waiting in chosen]),
            waited_s=tuple([now_s - waiting.offered_s for waiting in chosen]),
        )

    def close(self) -> None:
        """Drop every later offer as `closed`; what is held can still be taken."""
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()

    def discard(self) -> int:
        """Drop everything held as `closed`; returns how many samples that were."""
        with self._arrived:
            discarded = self._held
            for camera, lines in self._cameras.items():
                self._dropped[camera, DropReason.CLOSED] += sum(map(len, lines.values()))
            self._cameras.clear()
            self._held = 0
            self._order.emptied()
            return discarded

    def counts(self) -> BufferCounts:
        """Everything counted, at one instant. Called by any thread."""
        with self._arrived:
            offered = dict(self._offered)
            dropped_by_camera = dict(self._dropped)
            taken, held = self._taken, self._held
        dropped: Counter[DropReason] = Counter()
        for (_, reason), count in dropped_by_camera.items():
            dropped[reason] += count
        return BufferCounts(sum(offered.values()), taken, dict(dropped), held, offered, dropped_by_camera)

    def _make_room(self, region: Region) -> DropReason | None:
        line = self._cameras.get(region[0], {}).get(region[1])
        if line is not None and len(line) >= self._limits.per_region:
            self._order.dropped()
            self._drop_oldest(region[0], line, DropReason.SUPERSEDED)
            return DropReason.SUPERSEDED
        if self._held >= self._limits.total:
            self._order.dropped()
            # among equals the region served last goes: the others have the better claim to a turn
            waiting = [(camera, name) for camera, lines in self._cameras.items() for name in lines]
            loser = max(
                waiting, key=lambda each: (len(self._cameras[each[0]][each[1]]), self._served.get(each, -1))
            )
            lines = self._cameras[loser[0]]
            self._drop_oldest(loser[0], lines[loser[1]], DropReason.FULL)
            if not lines[loser[1]] and loser != region:
                del lines[loser[1]]
                if not lines:
                    del self._cameras[loser[0]]
            return DropReason.FULL
        return None

    def _outdate(self, camera: str, region: str) -> None:
        """Drop what waits of a region whose newer sample was not made."""
        lines = self._cameras.get(camera, {})
        line = lines.pop(region, None)
        while line:
            self._drop_oldest(camera, line, DropReason.SUPERSEDED)
        if not lines:
            self._cameras.pop(camera, None)

    def _drop_oldest(self, camera: str, line: deque[_Waiting], reason: DropReason) -> None:
        line.popleft()
        self._held -= 1
        self._dropped[camera, reason] += 1

    def _choose(self, max_batch: int, now_s: float) -> list[_Waiting]:
        self._batches += 1
        oldest_s = now_s - self._limits.max_age_s
        order, sharing = self._order, self._order.sharing
        line_up = [
            (order.rank(camera, now_s - head.offered_s, sharing), camera)
            for camera in list(self._cameras)
            if (head := self._head(camera, oldest_s)) is not None
        ]
        heapq.heapify(line_up)
        chosen: list[_Waiting] = []
        while line_up and len(chosen) < max_batch:
            camera = line_up[0][1]
            order.served(camera, sharing)
            chosen.append(self._next_of(camera))
            if (head := self._head(camera, oldest_s)) is not None:
                rank = order.rank(camera, now_s - head.offered_s, sharing)
                heapq.heapreplace(line_up, (rank, camera))
            else:
                heapq.heappop(line_up)
        self._held -= len(chosen)
        self._taken += len(chosen)
        return chosen

    def _head(self, camera: str, oldest_s: float) -> _Waiting | None:
        """One camera's next sample, after those that are stale are dropped; None, and the camera gone, where all
        were."""
        lines = self._cameras[camera]
        while lines:
            region = self._next_region(camera, lines)
            line = lines[region]
            while line and line[0].sample.captured_s < oldest_s:
                self._drop_oldest(camera, line, DropReason.STALE)
            if line:
                return line[0]
            del lines[region]
        del self._cameras[camera]
        return None

    def _next_of(self, camera: str) -> _Waiting:
        """Take what `_head` showed; its region goes to the end of the camera's turns."""
        lines, turns = self._cameras[camera], self._turns[camera]
        region = self._next_region(camera, lines)
        waiting = lines[region].popleft()
        if not lines[region]:
            del lines[region]
        del turns[region]
        turns[region] = None
        self._served[camera, region] = self._batches
        self._appetite.took(camera)
        return waiting

    def _next_region(self, camera: str, lines: Mapping[str, object]) -> str:
        return next(region for region in self._turns[camera] if region in lines)


def _number(waiting: _Waiting) -> int:
    return waiting.number
