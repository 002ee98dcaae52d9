"""Clips made for a benchmark: a still street with sensor noise, crossed by cars for a part of the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenode.capture.clip_writer import Encoding, rotate_clip, write_planes
from edgenode.records import U8

BUSY_SHARE = {"idle": 0.0, "mixed": 0.1, "busy": 1.0}
"""Part of the time in which something moves, by workload."""
SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
"""Width and height by name."""
_NOISE_LEVELS = 3.0
"""Standard deviation of the luma noise, fresh in each frame, in grey levels of 255."""
_CARS = 3
_CROSSING_S = 5.0


@dataclass(frozen=True, slots=True)
class Footage:
    """What is filmed. It begins still, and what moves moves at its end, so that it can be looped."""

    size: tuple[int, int] = SIZES["720p"]
    seconds: float = 60.0
    busy_share: float = BUSY_SHARE["mixed"]
    seed: int = 1
    encoding: Encoding = field(default_factory=Encoding)

    @property
    def busy_from_s(self) -> float:
        return self.seconds * (1.0 - self.busy_share)


def film(footage: Footage) -> Iterator[U8]:
    """The pictures, uint8 [H * 3 / 2, W], yuv420p."""
    width, height = footage.size
    rng = np.random.default_rng(footage.seed)
    street = _street(width, height, rng)
    chroma = np.full((height // 2, width), 128, dtype=np.uint8)
    noise = _noise(width, height, rng)
    cars = [_texture(width // 8, height // 8, rng, 12) for _ in range(_CARS)]
    for index in range(round(footage.seconds * footage.encoding.fps)):
        time_s = index / footage.encoding.fps
        luma = street.copy()
        if footage.busy_share > 0.0 and time_s >= footage.busy_from_s:
            _drive(luma, cars, time_s - footage.busy_from_s)
        top, left = rng.integers(0, noise.shape[0] - height), rng.integers(0, noise.shape[1] - width)
        grain = noise[top : top + height, left : left + width]
        luma = np.asarray(cv2.add(luma, grain, dtype=cv2.CV_8U), dtype=np.uint8)
        yield np.concatenate([luma, chroma])


def _street(width: int, height: int, rng: np.random.Generator) -> U8:
    """Walls, windows and asphalt: detail at every scale, so that a key frame costs what it costs outdoors."""
    picture = 0.5 * _texture(width, height, rng, 4) + 0.3 * _texture(width, height, rng, 32)
    picture = picture + 0.2 * _texture(width, height, rng, width // 3)
    return np.asarray(cv2.GaussianBlur(picture.astype(np.uint8), (3, 3), 0.8), dtype=np.uint8)


def _texture(width: int, height: int, rng: np.random.Generator, columns: int) -> NDArray[np.float64]:
    rows = max(2, columns * height // width)
    coarse = rng.uniform(30.0, 220.0, (rows, max(2, columns)))
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)).clip(16.0, 235.0)


def _noise(width: int, height: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Larger than a frame: each frame takes another window of it."""
    grain = rng.normal(0.0, _NOISE_LEVELS, (height + 64, width + 64))
    return np.asarray(np.rint(grain), dtype=np.int16)


def _drive(luma: U8, cars: list[NDArray[np.float64]], since_s: float) -> None:
    height, width = luma.shape
    for number, car in enumerate(cars):
        rows, columns = car.shape
        place = (since_s / _CROSSING_S + number / len(cars)) % 1.0
        x = round(place * (width - columns))
        y = round(height * (0.3 + 0.2 * number))
        luma[y : y + rows, x : x + columns] = car.astype(np.uint8)


def make_clips(folder: Path, footage: Footage, count: int) -> list[Path]:
    """`count` clips of the same footage, each begun elsewhere in it, as cameras that see different moments."""
    first = folder / "clip_0.mp4"
    write_planes(film(footage), first, footage.encoding)
    clips = [first]
    for number in range(1, count):
        clips.append(folder / f"clip_{number}.mp4")
        rotate_clip(first, clips[-1], number / count)
    return clips
