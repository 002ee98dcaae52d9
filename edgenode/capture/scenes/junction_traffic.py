"""Who drives where and when at the junction: a signal's cycle and cars on closed-form tracks.

Along the main road, 0 is the stop line and positive lies beyond it; a car's place is its nose, in pixels.
Signal times count from the start of red.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from edgenode.capture.scenes.chance import Chance

LANES = 2
LENGTHS = (78, 88, 104)
COLOURS = 7
_BRAKE = 140.0
_GATHER = 110.0
"""Deceleration and acceleration, pixels a second squared."""


@dataclass(frozen=True, slots=True)
class Car:
    """One car at one instant."""

    nose: float
    lane: int
    length: int
    colour: int
    braking: bool


@dataclass(frozen=True, slots=True)
class CrossCar:
    """A car on the side road. `nose` counts in its own direction from where the main road begins."""

    nose: float
    down: bool
    length: int
    colour: int


@dataclass(frozen=True, slots=True)
class _Track:
    """A car's whole way. It stands still at `stop` from `halt_s` to `go_s`; without a stop, `halt_s` equals
    `go_s` and is when it crosses the line."""

    lane: int
    length: int
    colour: int
    stop: float
    halt_s: float
    go_s: float


class Traffic:
    """The traffic of one seed.

    Nobody is in the junction when red begins, except who crosses the line on red: in about four of ten cycles
    one car does, in a lane in which nobody waits.
    """

    def __init__(self, seed: int) -> None:
        chance = Chance(seed, "traffic")
        self._chance = chance
        self.red_s = chance.between(5.6, 6.6, 1)
        self.green_s = chance.between(5.2, 6.2, 2)
        self.amber_s = 2.5
        self._cycle_s = self.red_s + self.green_s + self.amber_s
        self._phase_s = chance.between(0.0, self._cycle_s, 3)
        self._speed = chance.between(150.0, 180.0, 4)
        # the same three cycles are asked for again and again; remembering them is 20 times quicker
        self._tracks = functools.lru_cache(maxsize=64)(lambda cycle: tuple(self._plan(cycle)))

    def signal(self, t_s: float) -> tuple[str, float]:
        """The colour at `t_s`, and how far the nearest change is, in seconds."""
        _, since_s = self._cycle(t_s)
        borders = (0.0, self.red_s, self.red_s + self.green_s, self._cycle_s)
        colour = ("red", "green", "amber")[sum(since_s >= border for border in borders[1:3])]
        return colour, min(abs(since_s - border) for border in borders)

    def cars(self, t_s: float, behind: float, beyond: float) -> Iterator[Car]:
        """The cars of the main road any part of which is between `-behind` and `beyond`."""
        cycle, since_s = self._cycle(t_s)
        for number in (cycle - 1, cycle, cycle + 1):
            local_s = since_s + (cycle - number) * self._cycle_s
            for track in self._tracks(number):
                nose, braking = self._place(track, local_s)
                if -behind <= nose and nose - track.length <= beyond:
                    yield Car(nose, track.lane, track.length, track.colour, braking)

    def cross_cars(self, t_s: float, reach: float) -> Iterator[CrossCar]:
        """The cars of the side road whose nose is within `reach` of the main road."""
        cycle, since_s = self._cycle(t_s)
        chance = self._chance
        for number in (cycle - 1, cycle, cycle + 1):
            if self._runner(number) is not None:
                continue  # nobody is in the way of who runs the light
            local_s = since_s + (cycle - number) * self._cycle_s
            for which in range(chance.below(4, 10, number)):
                enters_s = 0.9 + 1.1 * which + chance.between(0.0, 0.3, 11, number, which)
                if enters_s > self.red_s - 1.6:
                    break
                nose = self._speed * (local_s - enters_s)
                if abs(nose) <= reach:
                    length, colour = self._looks(number, 50 + which)
                    yield CrossCar(nose, chance.unit(12, number, which) < 0.5, length, colour)

    def _cycle(self, t_s: float) -> tuple[int, float]:
        """Number of the cycle and seconds since it began."""
        shifted_s = t_s + self._phase_s
        number = math.floor(shifted_s / self._cycle_s)
        return number, shifted_s - number * self._cycle_s

    def _runner(self, cycle: int) -> int | None:
        """The lane of the car that crosses on red, if one does."""
        if self._chance.unit(20, cycle) >= 0.4:
            return None
        return self._chance.below(LANES, 21, cycle)

    def _looks(self, cycle: int, which: int) -> tuple[int, int]:
        return self._chance.pick(LENGTHS, 22, cycle, which), self._chance.below(COLOURS, 23, cycle, which)

    def _plan(self, cycle: int) -> Iterator[_Track]:
        """Everybody on the main road who passes the line during one cycle."""
        chance = self._chance
        runner = self._runner(cycle)
        for lane in range(LANES):
            if lane == runner:
                length, colour = self._looks(cycle, 40)
                crosses_s = chance.between(1.3, self.red_s - 2.4, 24, cycle)
                yield _Track(lane, length, colour, 0.0, crosses_s, crosses_s)
                waiting = 0
            else:
                queue = list(self._queue(cycle, lane))
                waiting = len(queue)
                yield from queue
            # a waiting car is across the line 1.2 s after the one before it: nobody is run into
            crosses_s = self.red_s + 2.2 + 1.25 * waiting + chance.between(0.0, 1.2, 25, cycle, lane)
            which = 0
            while crosses_s < self.red_s + self.green_s + 0.3:
                length, colour = self._looks(cycle, 10 * lane + 5 + which)
                if chance.unit(26, cycle, lane, which) < 0.7:
                    yield _Track(lane, length, colour, 0.0, crosses_s, crosses_s)
                crosses_s += chance.between(1.3, 2.2, 27, cycle, lane, which)
                which += 1

    def _queue(self, cycle: int, lane: int) -> Iterator[_Track]:
        """Those who wait for green."""
        chance = self._chance
        stop = -chance.between(9.0, 16.0, 30, cycle, lane)
        halt_s = chance.between(0.9, 2.6, 31, cycle, lane)
        for which in range(chance.below(4, 32, cycle, lane)):
            if halt_s > self.red_s:
                break
            length, colour = self._looks(cycle, 10 * lane + which)
            yield _Track(lane, length, colour, stop, halt_s, self.red_s + 0.5 + 0.5 * which)
            stop -= length + chance.between(12.0, 20.0, 33, cycle, lane, which)
            halt_s += chance.between(1.5, 2.4, 34, cycle, lane, which)

    def _place(self, track: _Track, at_s: float) -> tuple[float, bool]:
        """Where the car's nose is `at_s`, and whether its brake lights are on."""
        speed = self._speed
        if track.halt_s == track.go_s:
            return speed * (at_s - track.go_s), False
        if at_s < track.halt_s:
            left_s = track.halt_s - at_s
            braking_s = speed / _BRAKE
            if left_s <= braking_s:
                return track.stop - 0.5 * _BRAKE * left_s**2, True
            return track.stop - speed * (left_s - 0.5 * braking_s), False
        if at_s < track.go_s:
            return track.stop, True
        gone_s, gathering_s = at_s - track.go_s, speed / _GATHER
        if gone_s < gathering_s:
            return track.stop + 0.5 * _GATHER * gone_s**2, False
        return track.stop + speed * (gone_s - 0.5 * gathering_s), False
