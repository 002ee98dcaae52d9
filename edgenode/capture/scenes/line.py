"""A conveyor seen from above: good parts and defective ones go by, with gaps between them.

On `line` three in ten parts are defective. `wearing_line` is the same line with a tool that wears down: of the
first 150 parts 8 % are defective, then each part has a chance that is 0.1 % higher than the one before had.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import cv2
import numpy as np

from edgenode.capture.scenes.chance import Chance
from edgenode.capture.scenes.film import Film, cloudy
from edgenode.capture.scenes.line_parts import DEFECTS, Part, PartPainter
from edgenode.capture.scenes.scene import SceneRegion, TruthInterval, intervals
from edgenode.records import U8

WIDTH, HEIGHT = 640, 360
_BELT_TOP, _BELT_BOTTOM = 80, 280
_REGION = (170, 470)
"""Columns of the region `belt`; its rows are the belt's."""
_MARGIN = 14.0
"""Pixels a part must be past the region's border for the truth to count as settled: a tenth of a second."""
_TEXTURE = 1600
_DEFECTIVE = 0.3
_WEAR_FROM, _WEAR_BASE, _WEAR_STEP, _WEAR_MOST = 150, 0.08, 0.001, 0.6
"""Of `wearing_line`: the part after which the tool wears, the share of defects before, the rise with each part."""
_BELTS = ((52, 56, 62), (46, 62, 54), (66, 60, 54), (44, 50, 70), (70, 70, 70))
_FLOORS = ((120, 118, 112), (104, 112, 118), (126, 116, 100))


class LineScene:
    """`belt` shows `good` or `defect` while a whole part is inside the region, and `empty` otherwise.

    A part that is only partly in view counts as `empty`, because its defect may be in the part that is not.
    At most one whole part is in the region at any time.
    """

    size = (WIDTH, HEIGHT)
    fps = 10.0
    regions: Mapping[str, SceneRegion] = MappingProxyType(
        {
            "belt": SceneRegion(
                (_REGION[0] / WIDTH, _BELT_TOP / HEIGHT, _REGION[1] / WIDTH, _BELT_BOTTOM / HEIGHT),
                "line_parts",
                ("defect", "empty", "good"),
            )
        }
    )

    def __init__(self, seed: int = 0, wearing: bool = False) -> None:
        self.seed = seed
        self.name = "wearing_line" if wearing else "line"
        self._wearing = wearing
        chance = Chance(seed, "line")
        rng = np.random.default_rng(chance.bits(0))
        self._chance = chance
        self._speed = chance.between(115.0, 145.0, 1)
        """Pixels a second, left to right."""
        self._pitch = chance.between(370.0, 410.0, 2)
        self._start = chance.between(0.0, self._pitch, 3)
        self._painter = PartPainter(seed)
        self._film = Film(seed, WIDTH, HEIGHT)
        self._surroundings = _surroundings(rng, chance)
        self._belt = _belt(rng, chance)

    def draw(self, t_s: float) -> U8:
        picture = self._surroundings.copy()
        shift = math.floor(self._travelled(t_s)) % _TEXTURE
        belt = picture[_BELT_TOP:_BELT_BOTTOM]
        first = min(WIDTH, shift)
        belt[:, :first] = self._belt[:, _TEXTURE - shift : _TEXTURE - shift + first]
        belt[:, first:] = self._belt[:, : WIDTH - first]
        for part, x in self._parts(t_s):
            self._painter.paint(picture, part, x, (_BELT_TOP + _BELT_BOTTOM) / 2 + part.offset_y)
        return self._film.expose(picture, t_s)

    def truth(self, t_s: float) -> dict[str, str]:
        for part, x in self._parts(t_s):
            if self._inside(part, x) >= 0.0:
                return {"belt": "good" if part.defect is None else "defect"}
        return {"belt": "empty"}

    def settled(self, t_s: float) -> dict[str, bool]:
        return {"belt": all(abs(self._inside(part, x)) >= _MARGIN for part, x in self._parts(t_s))}

    def truth_intervals(self, start_s: float, end_s: float) -> list[TruthInterval]:
        return intervals(self, start_s, end_s)

    def defect_share(self, index: int) -> float:
        """How likely part `index` is defective; part 0 passes at second 0."""
        if not self._wearing:
            return _DEFECTIVE
        return min(_WEAR_BASE + _WEAR_STEP * max(0, index - _WEAR_FROM), _WEAR_MOST)

    def _travelled(self, t_s: float) -> float:
        return self._speed * t_s + self._start

    def _inside(self, part: Part, x: float) -> float:
        """How far the part's nearer end is inside the region; negative where it sticks out."""
        reach = self._painter.reach(part)
        return min(x - reach - _REGION[0], _REGION[1] - x - reach)

    def _parts(self, t_s: float) -> Iterator[tuple[Part, float]]:
        """The parts in view and the column of their centres, the foremost last."""
        travelled = self._travelled(t_s)
        first = math.floor((travelled - WIDTH) / self._pitch) - 1
        for index in range(first, first + math.ceil(WIDTH / self._pitch) + 3):
            if self._chance.unit(4, index) < 0.12:
                continue  # the feeder missed a beat
            x = travelled - index * self._pitch - self._chance.between(0.0, 50.0, 5, index)
            if -80.0 < x < WIDTH + 80.0:
                yield self._part(index), x

    def _part(self, index: int) -> Part:
        chance = self._chance
        defective = chance.unit(6, index) < self.defect_share(index)
        return Part(
            index=index,
            defect=chance.pick(DEFECTS, 7, index) if defective else None,
            angle=math.radians(chance.between(-7.0, 7.0, 8, index)),
            offset_y=chance.between(-14.0, 14.0, 9, index),
            shade=chance.between(0.92, 1.08, 10, index),
        )


def _surroundings(rng: np.random.Generator, chance: Chance) -> U8:
    """Floor, rails and rollers: all that does not move."""
    floor = (
        np.array(chance.pick(_FLOORS, 20), dtype=np.float32)
        + 14.0 * cloudy(rng, WIDTH, HEIGHT, 20)[..., None]
    )
    picture = np.clip(floor + rng.normal(0, 4, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8)
    steel = (150 + chance.below(30, 21),) * 3
    for top, bottom in ((_BELT_TOP - 26, _BELT_TOP), (_BELT_BOTTOM, _BELT_BOTTOM + 26)):
        cv2.rectangle(picture, (0, top), (WIDTH, bottom), steel, cv2.FILLED)
        cv2.rectangle(picture, (0, top), (WIDTH, top + 3), (208, 208, 210), cv2.FILLED)
        cv2.rectangle(picture, (0, bottom - 5), (WIDTH, bottom), (72, 72, 74), cv2.FILLED)
        for x in range(24 + chance.below(30, 22), WIDTH, 92):
            cv2.circle(picture, (x, (top + bottom) // 2), 5, (92, 92, 96), cv2.FILLED, cv2.LINE_AA)
            cv2.line(
                picture,
                (x - 3, (top + bottom) // 2),
                (x + 3, (top + bottom) // 2),
                (50, 50, 52),
                1,
                cv2.LINE_AA,
            )
    stripes = chance.unit(23) < 0.6
    for x in range(-40, WIDTH + 40, 36) if stripes else ():
        corners = np.array([(x, 0), (x + 18, 0), (x + 2, 16), (x - 16, 16)], dtype=np.int32)
        cv2.fillPoly(picture, [corners], (206, 176, 44), cv2.LINE_AA)
    return picture


def _belt(rng: np.random.Generator, chance: Chance) -> U8:
    """The belt's texture, once round: its ends fit together."""
    height = _BELT_BOTTOM - _BELT_TOP
    weave = rng.normal(0.0, 1.0, (height, _TEXTURE)).astype(np.float32)
    weave = cv2.blur(np.concatenate((weave, weave, weave), axis=1), (3, 3))[:, _TEXTURE : 2 * _TEXTURE] * 9.0
    ripple = 2.5 * np.sin(np.arange(_TEXTURE) * (math.tau * 200 / _TEXTURE)).astype(np.float32)
    ends = np.abs(np.linspace(-1.0, 1.0, height, dtype=np.float32))[:, None] ** 4 * 14.0
    tone = (weave + ripple - ends)[..., None]
    belt: U8 = np.clip(np.array(chance.pick(_BELTS, 30), dtype=np.float32) + tone, 0, 255).astype(np.uint8)
    for mark in range(14):  # oil and scuffs, too faint and too soft to be taken for a part
        x, y = chance.below(_TEXTURE - 120, 31, mark) + 60, chance.below(height - 40, 32, mark) + 20
        stain = belt.copy()
        axes = (10 + chance.below(34, 33, mark), 4 + chance.below(12, 34, mark))
        cv2.ellipse(
            stain, (x, y), axes, chance.below(180, 35, mark), 0, 360, (36, 36, 36), cv2.FILLED, cv2.LINE_AA
        )
        belt = np.asarray(cv2.addWeighted(belt, 0.7, cv2.blur(stain, (9, 9)), 0.3, 0.0), dtype=np.uint8)
    seam = chance.below(_TEXTURE - 20, 36) + 10
    cv2.line(belt, (seam, 0), (seam + 9, height), (28, 28, 28), 2, cv2.LINE_AA)
    return belt
