"""Defects drawn on sound pictures: cracks, dark pieces and stains.

Where defective parts are rare, a network learns its few pictures of them by heart. A sound picture with something drawn
on it differs from its original in nothing but the defect, and there are as many of these as there are batches.

All lengths are in proportion to the picture's height; a mark darkens what is under it and never brightens.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenode.records import F32

Mask = NDArray[np.float32]
"""float32 [H, W]: 1 where a mark is, 0 where none is."""
_FINER = 2
"""Lines are drawn at this multiple of the size and shrunk: hair cracks are thinner than a pixel."""


def draw_defect(picture: F32, seed: int) -> F32:
    """A copy of `picture` (float32 [C, H, W], 0 to 255) with one or several marks; the same seed draws the same."""
    rng = np.random.default_rng(seed)
    height, width = picture.shape[1:]
    kind = rng.random()
    darker = np.ones((height, width), dtype=np.float32)
    if kind < 0.6:
        for _ in range(1 + int(rng.random() < 0.4) + int(rng.random() < 0.2)):
            line = _path(rng, height, width)
            darker *= 1 - rng.uniform(0.12, 0.5) * _crack(rng, line, height, width)
            if rng.random() < 0.3:
                darker *= 1 - rng.uniform(0.1, 0.8) * _beside(rng, line, height, width)
    elif kind < 0.85:
        darker *= 1 - rng.uniform(0.25, 0.85) * _piece(rng, height, width)
    else:
        darker *= 1 - rng.uniform(0.25, 0.7) * _stain(rng, height, width)
    return np.asarray(picture * darker[None], dtype=np.float32)


def _path(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Corners [n, 2] of a crack: mostly diagonal, nearly straight, now and then with a bend."""
    diagonal = rng.choice([45.0, 135.0]) + rng.normal(0, 12)
    angle = diagonal if rng.random() < 0.7 else rng.uniform(0, 180)
    length = rng.uniform(0.12, 0.9) * height
    count = max(3, int(length / (0.04 * height)))
    corners = [np.array([rng.uniform(0.05, 0.95) * width, rng.uniform(0.05, 0.95) * height])]
    for _ in range(count):
        angle += rng.normal(0, 4)
        if rng.random() < 0.03:
            angle += rng.choice([-1, 1]) * rng.uniform(30, 90)
        step = length / count * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        corners.append(corners[-1] + step)
    return np.array(corners)


def _crack(rng: np.random.Generator, line: NDArray[np.float64], height: int, width: int) -> Mask:
    finer = np.zeros((height * _FINER, width * _FINER), dtype=np.uint8)
    thick = max(1, round(rng.uniform(1.0, 3.5) * _FINER * height / 300))
    points = np.round(line * _FINER * 16).astype(np.int32)
    cv2.polylines(finer, [points], False, 255, thick, cv2.LINE_AA, 4)
    mask = cv2.resize(finer, (width, height), interpolation=cv2.INTER_AREA)
    return _soft(mask, rng.uniform(0.4, 1.2) * height / 300 + 0.2)


def _beside(rng: np.random.Generator, line: NDArray[np.float64], height: int, width: int) -> Mask:
    """The strip above or below a crack: a piece that it cuts off."""
    away = np.array([0.0, rng.choice([-1, 1]) * rng.uniform(0.05, 0.3) * height])
    corners = np.vstack([line, (line + away)[::-1]])
    return _soft(_filled(corners, height, width), rng.uniform(0.5, 3) * height / 300)


def _piece(rng: np.random.Generator, height: int, width: int) -> Mask:
    """A polygon, mostly at an edge."""
    place = rng.uniform(0, 1, 2)
    if rng.random() < 0.6:
        place[int(rng.random() < 0.7)] = rng.choice([0.0, 1.0])
    turns = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
    reach = rng.uniform(0.06, 0.4) * height * rng.uniform(0.5, 1, len(turns))
    across = np.cos(turns) * reach * rng.uniform(0.6, 2)
    corners = place * (width, height) + np.stack([across, np.sin(turns) * reach], 1)
    return _soft(_filled(corners, height, width), rng.uniform(0.5, 4) * height / 300)


def _stain(rng: np.random.Generator, height: int, width: int) -> Mask:
    mask = np.zeros((height, width), dtype=np.uint8)
    x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
    for _ in range(rng.integers(3, 12)):
        centre = int(x + rng.normal(0, 0.027 * height)), int(y + rng.normal(0, 0.027 * height))
        axes = tuple(int(rng.uniform(0.007, 0.033) * height) + 1 for _ in range(2))
        cv2.ellipse(mask, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1)
    return _soft(mask, rng.uniform(1, 4) * height / 300)


def _filled(corners: NDArray[np.float64], height: int, width: int) -> NDArray[Any]:
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 255)
    return mask


def _soft(mask: NDArray[Any], sigma: float) -> Mask:
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(0.3, sigma)))
