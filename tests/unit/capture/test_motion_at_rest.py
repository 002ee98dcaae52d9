"""The motion gate when what moved has passed, or has come to rest."""

from __future__ import annotations

import numpy as np

from edgenode.capture.luma import GRID, covered_cells
from edgenode.capture.motion import MotionGate
from edgenode.records import F32

FPS = 5.0
ROAD = np.full((GRID[1], GRID[0]), 90.0, dtype=np.float32)
CAR = 200.0


class Watched:
    """A gate that sees five pictures a second, with some noise."""

    def __init__(self) -> None:
        self.gate = MotionGate(covered_cells([(0.0, 0.0, 1.0, 1.0)]))
        self.index = 0
        self._rng = np.random.default_rng(3)

    @property
    def time_s(self) -> float:
        return self.index / FPS

    def see(self, picture: F32) -> bool:
        noisy = picture + self._rng.normal(0.0, 1.0, picture.shape).astype(np.float32)
        passes = self.gate.passes(noisy.astype(np.float32), self.time_s)
        self.index += 1
        return passes

    def empty(self, seconds: float) -> None:
        for _ in range(round(seconds * FPS)):
            self.see(ROAD)


def with_car(column: int) -> F32:
    picture = ROAD.copy()
    picture[15:22, column : column + 8] = CAR
    return picture


def busy(watched: Watched, seconds: float) -> None:
    """Cars one after the other."""
    for number in range(round(seconds * FPS)):
        watched.see(with_car(4 * number % (GRID[0] - 8)))
        assert number == 0 or watched.gate.moved


def test_the_gate_closes_soon_after_the_last_of_many_cars() -> None:
    watched = Watched()
    watched.empty(20.0)
    busy(watched, 10.0)
    ended_s = watched.time_s
    while watched.gate.open:
        watched.see(ROAD)
        assert watched.time_s - ended_s < 5.0
    assert not watched.gate.moved


def test_what_has_come_to_rest_moves_no_more_and_is_not_still_until_it_belongs_there() -> None:
    watched = Watched()
    watched.empty(20.0)
    for column in range(0, 40, 4):
        watched.see(with_car(column))
    for _ in range(round(4.0 * FPS)):
        watched.see(with_car(40))
    assert not watched.gate.moved
    assert not watched.gate.still
    for _ in range(round(60.0 * FPS)):
        watched.see(with_car(40))
    assert watched.gate.still


def test_what_was_at_rest_and_leaves_moves_at_once() -> None:
    watched = Watched()
    watched.empty(20.0)
    for _ in range(round(5.0 * FPS)):
        watched.see(with_car(20))
    assert not watched.gate.moved
    watched.see(with_car(24))
    assert watched.gate.moved
    assert watched.gate.open


def test_something_slow_keeps_it_open() -> None:
    """A column in a second: 4 levels in a cell are seen within two."""
    watched = Watched()
    watched.empty(20.0)
    for second in range(40):
        for _ in range(round(FPS)):
            watched.see(with_car(second))
        assert watched.gate.open


def test_a_look_every_eight_seconds_sees_what_came_in_between() -> None:
    watched = Watched()
    watched.empty(20.0)
    for number in range(3):
        watched.index += round(8.0 * FPS)
        watched.see(ROAD)
        assert not watched.gate.moved, number
    watched.index += round(8.0 * FPS)
    watched.see(with_car(30))
    assert watched.gate.moved
