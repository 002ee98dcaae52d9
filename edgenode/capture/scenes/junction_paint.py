"""What the junction looks like from a mast: the ground, the cars from above, the signal head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgenode.capture.scenes.chance import Chance
from edgenode.capture.scenes.film import cloudy
from edgenode.capture.scenes.junction_traffic import COLOURS, LENGTHS
from edgenode.records import U8

WIDTH, HEIGHT = 640, 360
STOP_X = 300
"""Column of the stop line."""
ROAD = (152, 288)
"""Rows of the main road."""
SIDE_ROAD = (474, 596)
HEAD = (318, 6, 386, 134)
"""The signal head and its surroundings: x0 y0 x1 y1."""
CAR_WIDTH = 40
_FINE = 3
"""Cars are drawn this many times larger, then shrunk."""
_PAINTS = (
    (196, 30, 36),
    (32, 66, 150),
    (236, 236, 232),
    (34, 36, 40),
    (150, 156, 164),
    (206, 160, 36),
    (40, 100, 66),
)
_LIGHTS = ((1.0, 1.0, 1.0), (0.80, 0.84, 0.92), (0.92, 0.80, 0.66), (0.62, 0.66, 0.80))
"""Noon, overcast, evening sun, dusk: how much of each primary is there."""
_LAMPS = {"red": (255, 44, 30), "amber": (255, 176, 24), "green": (40, 250, 140)}

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A picture with an opacity of the same size, both uint8 [h, w, 3]."""

    picture: U8
    opacity: U8

    def turned(self, down: bool) -> Sprite:
        """The same, heading down or up instead of to the right."""
        code = cv2.ROTATE_90_CLOCKWISE if down else cv2.ROTATE_90_COUNTERCLOCKWISE
        return Sprite(
            np.asarray(cv2.rotate(self.picture, code), dtype=np.uint8),
            np.asarray(cv2.rotate(self.opacity, code), dtype=np.uint8),
        )

    def put(self, picture: U8, left: int, top: int) -> None:
        """Lay it over `picture`; what sticks out is left out."""
        height, width = self.picture.shape[:2]
        x0, x1 = max(0, left), min(picture.shape[1], left + width)
        y0, y1 = max(0, top), min(picture.shape[0], top + height)
        if x0 >= x1 or y0 >= y1:
            return
        window = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        under, opacity = picture[y0:y1, x0:x1], self.opacity[window]
        kept = cv2.multiply(under, cv2.bitwise_not(opacity), scale=1 / 255.0)
        cv2.add(kept, cv2.multiply(self.picture[window], opacity, scale=1 / 255.0), dst=under)


class JunctionPainter:
    """Everything of one seed that can be painted beforehand. `cars[colour][length]` head right."""

    def __init__(self, seed: int) -> None:
        chance = Chance(seed, "junction looks")
        rng = np.random.default_rng(chance.bits(0))
        light = np.array(chance.pick(_LIGHTS, 1), dtype=np.float32)
        ground = _ground(rng, chance)
        self.ground = np.clip(ground.astype(np.float32) * light, 0, 255).astype(np.uint8)
        self.cars = [
            {length: _car(paint, length, light) for length in LENGTHS} for paint in _PAINTS[:COLOURS]
        ]
        self.cross_cars = [
            {
                (length, down): sprite.turned(down)
                for length, sprite in kinds.items()
                for down in (True, False)
            }
            for kinds in self.cars
        ]
        self.heads = {lit: self._head(lit, chance, float(light.mean())) for lit in _LAMPS}

    def _head(self, lit: str, chance: Chance, light: float) -> U8:
        """The square around the signal head with one lamp on."""
        x0, y0, x1, y1 = HEAD
        patch = np.ascontiguousarray(self.ground[y0:y1, x0:x1])
        middle = (x1 - x0) // 2 + chance.below(7, 10) - 3
        height = y1 - y0
        plate = _dimmed((58, 60, 58) if chance.unit(11) < 0.5 else (26, 28, 30), light)
        cv2.rectangle(patch, (middle - 26, 6), (middle + 26, height - 8), plate, cv2.FILLED)
        cv2.rectangle(
            patch,
            (middle - 26, 6),
            (middle + 26, height - 8),
            _dimmed((226, 226, 220), light),
            1,
            cv2.LINE_AA,
        )
        cv2.rectangle(
            patch, (middle - 20, 10), (middle + 20, height - 12), _dimmed((18, 19, 20), light), cv2.FILLED
        )
        for place, (name, colour) in enumerate(_LAMPS.items()):
            centre = (middle, 10 + 17 + place * 35)
            dark = tuple(int(value * chance.between(0.14, 0.26, 12) * light) for value in colour)
            cv2.circle(patch, centre, 14, (8, 8, 8), cv2.FILLED, cv2.LINE_AA)
            cv2.circle(patch, centre, 13, dark, cv2.FILLED, cv2.LINE_AA)
            if name == lit:
                _shine(patch, centre, colour)
            cv2.ellipse(patch, (centre[0], centre[1] - 3), (16, 15), 0, 190, 350, (6, 6, 6), 4, cv2.LINE_AA)
        return patch


def _shine(patch: U8, centre: tuple[int, int], colour: Colour) -> None:
    """A lamp that is on: overexposed in the middle, a halo around it."""
    halo = np.zeros_like(patch)
    cv2.circle(halo, centre, 18, colour, cv2.FILLED)
    cv2.add(patch, cv2.convertScaleAbs(cv2.GaussianBlur(halo, (0, 0), 8.0), alpha=0.55), dst=patch)
    cv2.circle(patch, centre, 12, colour, cv2.FILLED, cv2.LINE_AA)
    pale = tuple(min(255, value + 90) for value in colour)
    cv2.circle(patch, centre, 6, pale, cv2.FILLED, cv2.LINE_AA)


def _ground(rng: np.random.Generator, chance: Chance) -> U8:
    """Verges, pavement, both roads and their markings."""
    clouds = cloudy(rng, WIDTH, HEIGHT, 18)[..., None]
    verge = np.array(chance.pick(((86, 112, 62), (104, 116, 70), (132, 126, 112)), 2), dtype=np.float32)
    grass = verge + 16.0 * clouds + rng.normal(0.0, 7.0, (HEIGHT, WIDTH, 1))
    asphalt = (
        np.full(3, 84.0 + chance.between(-12.0, 14.0, 3))
        + 5.0 * clouds
        + rng.normal(0.0, 5.0, (HEIGHT, WIDTH, 1))
    )
    picture = np.clip(grass, 0, 255).astype(np.uint8)
    (top, bottom), (left, right) = ROAD, SIDE_ROAD
    kerb = (150, 148, 142)
    cv2.rectangle(picture, (0, top - 12), (WIDTH, bottom + 12), kerb, cv2.FILLED)
    cv2.rectangle(picture, (left - 12, 0), (right + 12, HEIGHT), kerb, cv2.FILLED)
    road = np.clip(asphalt, 0, 255).astype(np.uint8)
    picture[top:bottom] = road[top:bottom]
    picture[:, left:right] = road[:, left:right]
    worn = 190 + chance.below(50, 4)
    paint = (worn, worn, worn - 6)
    middle = (top + bottom) // 2
    for x in range(-10 - chance.below(40, 5), STOP_X - 60, 56):
        cv2.rectangle(picture, (x, middle - 1), (x + 30, middle + 1), paint, cv2.FILLED)
    cv2.rectangle(picture, (STOP_X - 60, middle - 1), (STOP_X - 4, middle + 1), paint, cv2.FILLED)
    cv2.rectangle(picture, (STOP_X - 5, top + 3), (STOP_X, bottom - 3), paint, cv2.FILLED)
    for y in range(top + 6, bottom - 6, 16):
        cv2.rectangle(picture, (left - 44, y), (left - 18, y + 7), paint, cv2.FILLED)
    for y in (*range(10, top - 30, 46), *range(bottom + 40, HEIGHT, 46)):
        cv2.rectangle(
            picture, ((left + right) // 2 - 1, y), ((left + right) // 2 + 1, y + 24), paint, cv2.FILLED
        )
    _arrows(picture, paint, (top + middle) // 2, (middle + bottom) // 2)
    for tree in range(9):
        x, y = chance.below(STOP_X - 60, 6, tree), chance.pick((34, 72, 100, 330, 352), 7, tree)
        _tree(picture, rng, (x, y), 15 + chance.below(14, 8, tree))
    x0, _, x1, y1 = HEAD
    cv2.line(picture, ((x0 + x1) // 2, top - 6), ((x0 + x1) // 2, y1 - 10), (70, 72, 74), 5, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.7), dtype=np.uint8)


def _arrows(picture: U8, paint: Colour, *rows: int) -> None:
    for y in rows:
        cv2.rectangle(picture, (150, y - 1), (186, y + 1), paint, cv2.FILLED)
        head = np.array([(186, y - 6), (202, y), (186, y + 6)], dtype=np.int32)
        cv2.fillPoly(picture, [head], paint, cv2.LINE_AA)


def _tree(picture: U8, rng: np.random.Generator, at: tuple[int, int], radius: int) -> None:
    cv2.circle(picture, (at[0] + 6, at[1] + 7), radius, (52, 62, 44), cv2.FILLED, cv2.LINE_AA)
    for _ in range(26):
        angle, away = rng.uniform(0.0, 6.283), radius * np.sqrt(rng.uniform(0.0, 0.8))
        x, y = round(at[0] + away * np.cos(angle)), round(at[1] + away * np.sin(angle))
        green = int(rng.integers(70, 128))
        cv2.circle(picture, (x, y), radius // 3, (green - 34, green, green - 46), cv2.FILLED, cv2.LINE_AA)


def _car(paint: Colour, length: int, light: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Sprite:
    """A car from above, heading right, with its shadow below and to the right."""
    f = _FINE
    size = ((CAR_WIDTH + 12) * f, (length + 8) * f)
    picture = np.zeros((*size, 3), dtype=np.uint8)
    opacity = np.zeros(size, dtype=np.uint8)
    long, wide = length * f, CAR_WIDTH * f
    _round_box(opacity, (4 * f, 6 * f, long + 6 * f, wide + 8 * f), 12 * f, (150,) * 3)
    opacity = np.asarray(cv2.blur(opacity, (9, 9)), dtype=np.uint8)
    body = (0, 2 * f, long, wide)
    _round_box(picture, body, 11 * f, _dimmed(paint, 0.72))
    _round_box(opacity, body, 11 * f, (255,) * 3)
    _round_box(picture, (2 * f, 4 * f, long - 2 * f, wide - 3 * f), 9 * f, paint)
    for side in (1 * f, wide - 1 * f):  # mirrors
        cv2.circle(picture, (round(long * 0.62), side), 3 * f, _dimmed(paint, 0.6), cv2.FILLED)
        cv2.circle(opacity, (round(long * 0.62), side), 3 * f, 255, cv2.FILLED)
    glass: Colour = (26, 34, 42)
    _slab(picture, (0.60, 0.74), (0.16, 0.24), long, wide, glass)
    _slab(picture, (0.22, 0.13), (0.24, 0.20), long, wide, glass)
    _round_box(
        picture, (round(long * 0.25), 6 * f, round(long * 0.58), wide - 5 * f), 5 * f, _dimmed(paint, 1.14)
    )
    cv2.line(
        picture, (round(long * 0.78), 10 * f), (long - 5 * f, 9 * f), _dimmed(paint, 0.84), f, cv2.LINE_AA
    )
    cv2.line(
        picture,
        (round(long * 0.78), wide - 8 * f),
        (long - 5 * f, wide - 7 * f),
        _dimmed(paint, 0.84),
        f,
        cv2.LINE_AA,
    )
    for y in (9 * f, wide - 7 * f):
        cv2.ellipse(
            picture, (long - 3 * f, y), (2 * f, 4 * f), 0, 0, 360, (250, 246, 220), cv2.FILLED, cv2.LINE_AA
        )
        cv2.ellipse(picture, (2 * f, y), (f, 4 * f), 0, 0, 360, (120, 16, 20), cv2.FILLED, cv2.LINE_AA)
    small = (size[1] // f, size[0] // f)
    shown = cv2.resize(picture, small, interpolation=cv2.INTER_AREA).astype(np.float32) * light
    grey = cv2.resize(opacity, small, interpolation=cv2.INTER_AREA)
    return Sprite(np.clip(shown, 0, 255).astype(np.uint8), np.asarray(cv2.merge((grey,) * 3), dtype=np.uint8))


def _slab(
    picture: U8, along: tuple[float, float], inset: tuple[float, float], long: int, wide: int, colour: Colour
) -> None:
    """A pane of glass: from `along[0]` to `along[1]` of the length, narrower at the second end."""
    (a, b), (near, far) = along, inset
    corners: Sequence[tuple[float, float]] = (
        (a * long, near * wide),
        (b * long, far * wide),
        (b * long, (1.04 - far) * wide),
        (a * long, (1.04 - near) * wide),
    )
    cv2.fillPoly(picture, [np.array(corners).round().astype(np.int32)], colour, cv2.LINE_AA)


def _round_box(picture: U8, box: tuple[int, int, int, int], radius: int, colour: Colour) -> None:
    x0, y0, x1, y1 = box
    cv2.rectangle(picture, (x0 + radius, y0), (x1 - radius, y1), colour, cv2.FILLED)
    cv2.rectangle(picture, (x0, y0 + radius), (x1, y1 - radius), colour, cv2.FILLED)
    for x in (x0 + radius, x1 - radius):
        for y in (y0 + radius, y1 - radius):
            cv2.circle(picture, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA)


def _dimmed(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue
