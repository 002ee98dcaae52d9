"""Frozen and blind cameras, and the motion gate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.capture.luma import GRID, covered_cells, small_luma
from edgenode.capture.motion import MotionGate
from edgenode.capture.picture_watch import PictureWatch, WatchLimits
from edgenode.records import U8, CameraStatus
from tests.clips import numbered

RNG = np.random.default_rng(1)


def noisy(level: int, spread: float, size: tuple[int, int] = (90, 160)) -> U8:
    return np.clip(RNG.normal(level, spread, (*size, 3)), 0, 255).astype(np.uint8)


def look(watch: PictureWatch, pictures: list[U8], step_s: float = 1.0) -> list[CameraStatus | None]:
    verdicts = [
        watch.look(picture, small_luma(picture), index * step_s) for index, picture in enumerate(pictures)
    ]
    return [verdict.status if verdict is not None else None for verdict in verdicts]


def test_the_same_picture_for_ten_seconds_is_frozen_and_another_one_heals() -> None:
    watch = PictureWatch(WatchLimits(), can_freeze=True)
    statuses = look(watch, [numbered(1)] * 12)
    assert statuses[:10] == [None] * 10
    assert statuses[10:] == [CameraStatus.FROZEN] * 2
    assert watch.look(numbered(2), small_luma(numbered(2)), 12.0) is None
    assert watch.distrust is None


def test_a_still_scene_with_sensor_noise_is_not_frozen() -> None:
    scene = numbered(1).astype(int)
    pictures = [np.clip(scene + RNG.integers(-1, 2, scene.shape), 0, 255).astype(np.uint8) for _ in range(15)]
    assert look(PictureWatch(WatchLimits(), can_freeze=True), pictures) == [None] * 15


def test_a_drawn_scene_cannot_freeze() -> None:
    assert look(PictureWatch(WatchLimits(), can_freeze=False), [numbered(1)] * 30) == [None] * 30


@pytest.mark.parametrize(
    ("level", "spread", "word"), [(3, 2.0, "black"), (253, 2.0, "blown out"), (90, 0.5, "covered")]
)
def test_a_blind_camera_is_told_within_ten_seconds_and_heals(level: int, spread: float, word: str) -> None:
    watch = PictureWatch(WatchLimits(), can_freeze=True)
    statuses = look(watch, [noisy(level, spread) for _ in range(8)])
    assert statuses[:5] == [None] * 5
    assert statuses[5:] == [CameraStatus.BLIND] * 3
    assert watch.distrust is not None
    assert word in watch.distrust.reason
    assert watch.look(numbered(2), small_luma(numbered(2)), 9.0) is None


def test_a_dark_but_structured_picture_is_not_blind() -> None:
    dark = (numbered(9).astype(int) // 8).astype(np.uint8)
    night = [np.clip(dark + RNG.integers(0, 3, dark.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    assert look(PictureWatch(WatchLimits(), can_freeze=True), night) == [None] * 10


def test_it_asks_for_two_pictures_a_second() -> None:
    watch = PictureWatch(WatchLimits(), can_freeze=True)
    asked = 0
    for index in range(100):
        if watch.wants(index * 0.04):
            watch.look(numbered(index), small_luma(numbered(index)), index * 0.04)
            asked += 1
    assert 7 <= asked <= 9


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 255))
def test_small_luma_of_a_plain_picture_is_its_luma_at_any_size(width: int, height: int, level: int) -> None:
    luma = small_luma(np.full((height, width, 3), level, dtype=np.uint8))
    assert luma.shape == (GRID[1], GRID[0])
    assert float(np.abs(luma - level).max()) <= 1.0


EVERYWHERE = covered_cells([(0.0, 0.0, 1.0, 1.0)])


def gated(gate: MotionGate, pictures: list[U8], start_s: float = 0.0, step_s: float = 0.2) -> list[bool]:
    return [
        gate.passes(small_luma(picture), start_s + index * step_s) for index, picture in enumerate(pictures)
    ]


def with_square(base: U8, x: int) -> U8:
    picture = base.copy()
    picture[40:60, x : x + 20] = 255
    return picture


def test_a_still_scene_closes_the_gate_but_one_frame_passes_every_five_seconds() -> None:
    gate = MotionGate(EVERYWHERE)
    passed = gated(gate, [noisy(100, 4.0) for _ in range(150)])
    assert passed[0]
    assert not gate.open
    last = [index for index, value in enumerate(passed[15:], 15) if value]
    assert 4 <= len(last) <= 6


def test_motion_opens_the_gate_at_once_and_holds_it() -> None:
    gate = MotionGate(EVERYWHERE)
    base = noisy(100, 4.0)
    gated(gate, [base] * 30)
    assert not gate.open
    assert gated(gate, [with_square(base, 50)], start_s=6.1) == [True]
    assert gate.open
    passed = gated(gate, [base] * 20, start_s=6.3)
    assert all(passed[:9])
    assert not any(passed[11:])


def test_motion_beside_the_regions_leaves_the_gate_closed() -> None:
    gate = MotionGate(covered_cells([(0.7, 0.0, 1.0, 1.0)]))
    base = noisy(100, 4.0)
    gated(gate, [base] * 30)
    assert gated(gate, [with_square(base, 10)], start_s=6.1) == [False]
    assert gated(gate, [with_square(base, 130)], start_s=6.3) == [True]


def test_a_change_of_light_over_the_whole_picture_is_no_motion() -> None:
    gate = MotionGate(EVERYWHERE)
    base = noisy(100, 4.0)
    gated(gate, [base] * 30)
    brighter = (base.astype(int) + 40).astype(np.uint8)
    assert gated(gate, [brighter], start_s=6.1) == [False]
