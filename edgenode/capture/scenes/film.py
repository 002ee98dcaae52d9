"""What a cheap camera does to a picture: drifting exposure and grain."""

from __future__ import annotations

import math

import cv2
import numpy as np

from edgenode.capture.scenes.chance import Chance
from edgenode.records import F32, U8

_SPARE = 64
"""Pixels the grain is larger than the picture on each axis, so that it can be shifted from frame to frame."""


class Film:
    """Exposure and grain of one camera. `expose` depends on the seed, the picture and `t_s` alone."""

    def __init__(self, seed: int, width: int, height: int) -> None:
        chance = Chance(seed, "film")
        rng = np.random.default_rng(chance.bits(0))
        strength = chance.between(3.0, 7.0, 1)
        shape = (height + _SPARE, width + _SPARE, 3)
        # luminance noise dominates, with a little colour in it, slightly soft as after a demosaic
        grain = rng.standard_normal((*shape[:2], 1), np.float32) + 0.5 * rng.standard_normal(
            shape, np.float32
        )
        grain = cv2.GaussianBlur(grain, (3, 3), 0.6) * np.float32(strength)
        # two saturated 8-bit passes cost a tenth of one signed 16-bit pass
        self._up = np.clip(grain, 0, 255).astype(np.uint8)
        self._down = np.clip(-grain, 0, 255).astype(np.uint8)
        self._chance = chance
        self._periods = (chance.between(41.0, 67.0, 2), chance.between(7.0, 11.0, 3))
        self._phases = (chance.between(0.0, math.tau, 4), chance.between(0.0, math.tau, 5))
        self._width, self._height = width, height

    def gain(self, t_s: float) -> float:
        """The exposure at `t_s`: a slow drift of ±10 % and a quicker one of ±3 %."""
        slow, quick = (
            math.sin(math.tau * math.fmod(t_s, period) / period + phase)
            for period, phase in zip(self._periods, self._phases, strict=True)
        )
        return 1.0 + 0.10 * slow + 0.03 * quick

    def expose(self, picture: U8, t_s: float) -> U8:
        """A new picture: `picture` as this camera sees it at `t_s`."""
        shown = cv2.convertScaleAbs(picture, alpha=self.gain(t_s))
        frame = math.floor(t_s * 1000.0)
        x, y = self._chance.below(_SPARE, 6, frame), self._chance.below(_SPARE, 7, frame)
        window = (slice(y, y + self._height), slice(x, x + self._width))
        cv2.add(shown, self._up[window], dst=shown)
        cv2.subtract(shown, self._down[window], dst=shown)
        return np.asarray(shown, dtype=np.uint8)


def cloudy(rng: np.random.Generator, width: int, height: int, coarse: int) -> F32:
    """Smooth noise, float32 [height, width], about -1 to 1, with blobs of `coarse` pixels."""
    small = rng.normal(0.0, 0.5, (max(2, height // coarse), max(2, width // coarse))).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
