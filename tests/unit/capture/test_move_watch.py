"""A camera that was turned or pushed, on real footage: told when it happens, and never when it doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from edgenode.capture.luma import small_luma
from edgenode.capture.move_watch import MoveWatch
from edgenode.capture.picture_watch import PictureWatch, WatchLimits
from edgenode.records import U8, CameraStatus

FIXED = (
    "ckuhn_street_camera.mp4",
    "intel_bottle-detection.mp4",
    "intel_car-detection.mp4",
    "motorway_A01_foreste.mp4",
    "motorway_A12_tunnelligure.mp4",
)
BORDER = 0.12
PUSHED_S = 8.0


def looks(clip: Path, every_s: float = 0.5) -> Iterator[tuple[float, U8]]:
    """Two pictures a second, with their time."""
    with av.open(str(clip)) as container:
        begin_s = next_s = 0.0
        for number, frame in enumerate(container.decode(video=0)):
            if number == 0:
                begin_s = float(frame.time or 0.0)
            time_s = float(frame.time or 0.0) - begin_s
            if time_s >= next_s:
                next_s += every_s
                yield time_s, frame.to_ndarray(format="rgb24")


def view(picture: U8, right: float = 0.0, down: float = 0.0) -> U8:
    """What a camera sees that looks at the middle, turned so that the view goes `right` and `down`, in
    fractions of what it sees."""
    height, width = picture.shape[:2]
    seen_y, seen_x = round(height * (1 - 2 * BORDER)), round(width * (1 - 2 * BORDER))
    top, left = round(height * BORDER - down * seen_y), round(width * BORDER - right * seen_x)
    return np.ascontiguousarray(picture[top : top + seen_y, left : left + seen_x])


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_camera_is_never_told_to_have_moved(shared_data: Path, name: str) -> None:
    watch = MoveWatch(3.0)
    told = [time_s for time_s, picture in looks(shared_data / "clips" / name) if watch.look(picture, time_s)]
    assert told == []


@pytest.mark.parametrize(
    "name", ["ckuhn_street_camera.mp4", "intel_bottle-detection.mp4", FIXED[3], FIXED[4]]
)
@pytest.mark.parametrize(("right", "down"), [(0.03, 0.0), (-0.06, 0.05), (0.0, -0.08)])
def test_a_pushed_camera_is_told_and_how_far(shared_data: Path, name: str, right: float, down: float) -> None:
    watch = MoveWatch(3.0)
    told_s = None
    for time_s, picture in looks(shared_data / "clips" / name):
        pushed = time_s >= PUSHED_S
        shift = watch.look(view(picture, right, down) if pushed else view(picture), time_s)
        if shift is not None and told_s is None:
            told_s = time_s
    assert told_s is not None
    assert PUSHED_S + 3.0 <= told_s <= PUSHED_S + 6.0
    assert watch.moved is not None
    assert abs(watch.moved.right - 100 * right) <= 1.5
    assert abs(watch.moved.down - 100 * down) <= 2.0


def test_turned_back_it_is_trusted_again_and_forgetting_accepts_the_new_view(shared_data: Path) -> None:
    clip = shared_data / "clips" / "ckuhn_street_camera.mp4"
    watch = PictureWatch(WatchLimits(moved_after_s=3.0), can_freeze=False, moves=(moves := MoveWatch(3.0)))
    seen: dict[int, CameraStatus | None] = {}
    for time_s, picture in looks(clip):
        if 60.0 <= time_s < 61.0:
            moves.forget()
        turned = 10.0 <= time_s < 30.0 or time_s >= 45.0
        shown = view(picture, 0.06) if turned else view(picture)
        verdict = watch.look(shown, small_luma(shown), time_s)
        seen[int(time_s)] = None if verdict is None else verdict.status
    assert seen[9] is None
    assert seen[16] is CameraStatus.MOVED
    assert seen[29] is CameraStatus.MOVED
    assert seen[36] is None
    assert seen[55] is CameraStatus.MOVED
    assert seen[72] is None


def test_a_lorry_before_the_lens_and_the_night_are_no_move(shared_data: Path) -> None:
    watch = MoveWatch(3.0)
    rng = np.random.default_rng(5)
    for time_s, picture in looks(shared_data / "clips" / "ckuhn_street_camera.mp4"):
        shown = picture
        if 20.0 <= time_s < 35.0:
            shown = picture.copy()
            shown[:, : picture.shape[1] * 2 // 3] = 90
        elif time_s >= 45.0:
            shown = np.clip(picture * 0.08 + rng.normal(4, 2, picture.shape), 0, 255).astype(np.uint8)
        assert watch.look(shown, time_s) is None, time_s
