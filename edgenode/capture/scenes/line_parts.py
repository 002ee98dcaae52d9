"""The parts on the conveyor: what each one looks like, and how it is painted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgenode.capture.scenes.chance import Chance
from edgenode.capture.scenes.film import cloudy
from edgenode.records import U8

_SHIFT = 4
"""OpenCV draws with this many fractional bits, so that parts move by less than a pixel."""
_HALF = 72
"""Half the side of the square a part is painted in."""
DEFECTS = ("scratch", "dent", "missing_hole")
_METALS = ((186, 190, 196), (196, 182, 150), (150, 156, 164), (178, 160, 148), (168, 178, 172))

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Part:
    """Part `index` of the line. Lengths in pixels, angles in radians."""

    index: int
    defect: str | None
    """One of DEFECTS, or None for a good part."""
    angle: float
    offset_y: float
    shade: float
    """Brightness of this piece of metal against the others."""


class PartPainter:
    """Paints the parts of one seed: round flanges or square plates, of one metal and one pattern of holes."""

    def __init__(self, seed: int) -> None:
        chance = Chance(seed, "parts")
        rng = np.random.default_rng(chance.bits(0))
        self._chance = chance
        self.round = chance.unit(1) < 0.5
        self.radius = chance.between(52.0, 58.0, 2) if self.round else chance.between(47.0, 51.0, 2)
        self._holes = chance.pick((4, 5, 6), 3) if self.round else 4
        self._hole_radius = chance.between(7.5, 9.0, 4)
        self._ring = self.radius * (
            chance.between(0.68, 0.74, 5) if self.round else chance.between(0.64, 0.68, 5)
        )
        self._bore = chance.between(0.20, 0.30, 6) * self.radius
        self._metal = chance.pick(_METALS, 7)
        self._floor: Colour = (24, 24, 26)
        self._sheet = _brushed(rng, self._metal)

    def reach(self, part: Part) -> float:
        """Half the width of `part` along the belt."""
        if self.round:
            return self.radius
        return self.radius * (abs(math.cos(part.angle)) + abs(math.sin(part.angle)))

    def paint(self, picture: U8, part: Part, x: float, y: float) -> None:
        """Paint `part` with its centre at (x, y); what lies outside the picture is left out."""
        left, top = math.floor(x) - _HALF, math.floor(y) - _HALF
        height, width = picture.shape[:2]
        x0, x1 = max(0, left), min(width, left + 2 * _HALF)
        y0, y1 = max(0, top), min(height, top + 2 * _HALF)
        if x0 >= x1 or y0 >= y1:
            return
        centre = (x - left, y - top)
        window = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        under = picture[y0:y1, x0:x1]
        shadow = cv2.blur(self._mask(part, (centre[0] + 5, centre[1] + 6)), (7, 7))[window]
        cv2.subtract(under, cv2.multiply(under, cv2.merge((shadow,) * 3), scale=0.55 / 255.0), dst=under)
        surface = self._surface(part, centre)[window]
        mask = cv2.merge((self._mask(part, centre)[window],) * 3)
        kept = cv2.multiply(under, cv2.bitwise_not(mask), scale=1 / 255.0)
        cv2.add(kept, cv2.multiply(surface, mask, scale=1 / 255.0), dst=under)

    def _mask(self, part: Part, centre: tuple[float, float]) -> U8:
        """255 inside the outline of `part`, smooth at its edge."""
        mask = np.zeros((2 * _HALF, 2 * _HALF), dtype=np.uint8)
        if self.round:
            cv2.circle(
                mask, _fixed(centre), round(self.radius * 2**_SHIFT), 255, cv2.FILLED, cv2.LINE_AA, _SHIFT
            )
        else:
            _polygon(mask, _turned(_plate(self.radius, 9.0), part.angle, centre), (255, 255, 255))
        return mask

    def _surface(self, part: Part, centre: tuple[float, float]) -> U8:
        """The part's square, everything painted as if the metal filled it."""
        slide = self._chance.below(64, 8, part.index), self._chance.below(64, 9, part.index)
        sheet = self._sheet[slide[1] : slide[1] + 2 * _HALF, slide[0] : slide[0] + 2 * _HALF]
        surface = np.asarray(cv2.convertScaleAbs(sheet, alpha=part.shade), dtype=np.uint8)
        self._edge(surface, part, centre)
        if part.defect == "scratch":
            self._scratch(surface, part, centre)
        elif part.defect == "dent":
            self._dent(surface, part, centre)
        missing = self._chance.below(self._holes, 10, part.index) if part.defect == "missing_hole" else -1
        for number, place in enumerate(self._places()):
            if number != missing:
                self._hole(surface, _turned([place], part.angle, centre)[0], self._hole_radius)
        self._hole(surface, centre, self._bore)
        return surface

    def _edge(self, surface: U8, part: Part, centre: tuple[float, float]) -> None:
        """A chamfer: bright towards the light at the upper left, dark away from it."""
        bright, dark = _scaled(self._metal, 1.22 * part.shade), _scaled(self._metal, 0.55 * part.shade)
        if self.round:
            at, radius = _fixed(centre), round((self.radius - 2.0) * 2**_SHIFT)
            for start, colour in ((135, bright), (-45, dark)):
                cv2.ellipse(
                    surface, at, (radius, radius), 0, start, start + 180, colour, 4, cv2.LINE_AA, _SHIFT
                )
            ring = round((self._bore + 6.0) * 2**_SHIFT)
            cv2.circle(surface, at, ring, _scaled(self._metal, 0.8 * part.shade), 2, cv2.LINE_AA, _SHIFT)
            return
        corners = _turned(_plate(self.radius - 2.0, 8.0), part.angle, centre)
        half = len(corners) // 2
        _lines(surface, corners, dark, 4)
        _lines(surface, [*corners[half:], corners[0]], bright, 4)

    def _places(self) -> list[tuple[float, float]]:
        """Where the bolt holes are, from the centre of a part that is not turned."""
        if not self.round:
            return [(sx * self._ring, sy * self._ring) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        start = self._chance.between(0.0, math.tau, 11)
        return [
            (
                self._ring * math.cos(start + math.tau * n / self._holes),
                self._ring * math.sin(start + math.tau * n / self._holes),
            )
            for n in range(self._holes)
        ]

    def _hole(self, surface: U8, at: tuple[float, float], radius: float) -> None:
        centre, size = _fixed(at), round(radius * 2**_SHIFT)
        cv2.circle(surface, centre, size, self._floor, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        cv2.ellipse(
            surface, centre, (size, size), 0, 0, 90, _scaled(self._metal, 1.15), 1, cv2.LINE_AA, _SHIFT
        )

    def _scratch(self, surface: U8, part: Part, centre: tuple[float, float]) -> None:
        """A gouge across the face: a raw bright groove with a dark lip, a little crooked."""
        chance, k = self._chance, part.index
        heading = chance.between(0.0, math.tau, 20, k)
        length = self.radius * chance.between(0.75, 1.05, 21, k)
        beside = self.radius * chance.between(0.34, 0.46, 22, k)
        along, across = (math.cos(heading), math.sin(heading)), (-math.sin(heading), math.cos(heading))
        bend = chance.between(-1.2, 1.2, 25, k)
        points = []
        for step in range(5):
            run = length * (step / 4.0 - 0.5)
            bow = beside + chance.between(-1.8, 1.8, 23, k, step) + bend * (step - 2) ** 2
            points.append(
                (centre[0] + run * along[0] + bow * across[0], centre[1] + run * along[1] + bow * across[1])
            )
        thick = 3 + chance.below(2, 24, k)
        _lines(surface, [(x + 2.0, y + 2.0) for x, y in points], (44, 40, 38), thick - 1)
        _lines(surface, points, (244, 242, 236), thick)

    def _dent(self, surface: U8, part: Part, centre: tuple[float, float]) -> None:
        """A hollow: its upper left wall lies in shadow, its lower right wall shines."""
        chance, k = self._chance, part.index
        heading = chance.between(0.0, math.tau, 30, k)
        away = self.radius * chance.between(0.42, 0.55, 31, k)
        size = chance.between(13.0, 17.0, 32, k)
        x, y = centre[0] + away * math.cos(heading), centre[1] + away * math.sin(heading)
        rows, columns = np.ogrid[0 : 2 * _HALF, 0 : 2 * _HALF]
        u, v = (columns - x) / size, (rows - y) / (size * chance.between(0.75, 1.0, 33, k))
        slope = (u + v) * np.exp(-1.6 * (u * u + v * v)) * 210.0 - 30.0 * np.exp(-1.6 * (u * u + v * v))
        change = cv2.merge((slope.astype(np.int16),) * 3)
        cv2.add(surface, change, dst=surface, dtype=cv2.CV_8U)


def _brushed(rng: np.random.Generator, metal: Colour) -> U8:
    """A sheet of brushed metal, larger than a part."""
    side = 2 * _HALF + 64
    streaks = cv2.blur(rng.normal(0.0, 1.0, (side, side)).astype(np.float32), (31, 1)) * 38.0
    tone = streaks + 9.0 * cloudy(rng, side, side, 24)
    tone += np.linspace(10.0, -10.0, side, dtype=np.float32)[:, None]
    sheet: U8 = np.clip(np.array(metal, dtype=np.float32) + tone[..., None], 0, 255).astype(np.uint8)
    return sheet


def _plate(half: float, corner: float) -> list[tuple[float, float]]:
    """A square with cut corners, clockwise from the right end of its top edge."""
    inner = half - corner
    return [
        (inner, -half), (half, -inner), (half, inner), (inner, half),
        (-inner, half), (-half, inner), (-half, -inner), (-inner, -half),
    ]  # fmt: skip


def _turned(points: Points, angle: float, centre: tuple[float, float]) -> list[tuple[float, float]]:
    cos, sin = math.cos(angle), math.sin(angle)
    return [(centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in points]


def _fixed(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0] * 2**_SHIFT), round(point[1] * 2**_SHIFT)


def _polygon(picture: U8, points: Points, colour: Colour) -> None:
    corners = np.array([_fixed(point) for point in points], dtype=np.int32)
    cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA, _SHIFT)


def _lines(picture: U8, points: Points, colour: Colour, thickness: int) -> None:
    corners = np.array([_fixed(point) for point in points], dtype=np.int32)
    cv2.polylines(picture, [corners], False, colour, thickness, cv2.LINE_AA, _SHIFT)


def _scaled(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue
