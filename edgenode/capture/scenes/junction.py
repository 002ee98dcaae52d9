"""A road junction seen from a mast: a signal, cars that stop at it, and now and then one that does not."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import cv2

from edgenode.capture.scenes.chance import Chance
from edgenode.capture.scenes.film import Film
from edgenode.capture.scenes.junction_paint import (
    CAR_WIDTH,
    HEAD,
    HEIGHT,
    ROAD,
    SIDE_ROAD,
    STOP_X,
    WIDTH,
    JunctionPainter,
)
from edgenode.capture.scenes.junction_traffic import LANES, Traffic
from edgenode.capture.scenes.scene import SceneRegion, TruthInterval, intervals
from edgenode.records import U8

_ZONE = 120
"""Pixels beyond the stop line that the region `stop_line` covers; the zebra crossing begins after it."""
_PRESENT = 30.0
"""Pixels of the zone a car must cover to count as there: a third of the car."""
_MARGIN = 14.0
_SIGNAL_MARGIN_S = 0.02


class JunctionScene:
    """`signal` shows the lit lamp; `stop_line` shows `vehicle` while a car is beyond the stop line.

    Who waits stops before the line: `red` and `vehicle` together happen only when somebody ran the light.
    """

    name = "junction"
    size = (WIDTH, HEIGHT)
    fps = 10.0
    regions: Mapping[str, SceneRegion] = MappingProxyType(
        {
            "signal": SceneRegion(
                (HEAD[0] / WIDTH, HEAD[1] / HEIGHT, HEAD[2] / WIDTH, HEAD[3] / HEIGHT),
                "signal_light",
                ("amber", "green", "red"),
            ),
            "stop_line": SceneRegion(
                (STOP_X / WIDTH, ROAD[0] / HEIGHT, (STOP_X + _ZONE) / WIDTH, ROAD[1] / HEIGHT),
                "stop_line",
                ("clear", "vehicle"),
            ),
        }
    )

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        chance = Chance(seed, "junction")
        self._sway = (chance.below(7, 1) - 3, chance.below(7, 2) - 3)
        self._traffic = Traffic(seed)
        self._painter = JunctionPainter(seed)
        self._film = Film(seed, WIDTH, HEIGHT)

    def draw(self, t_s: float) -> U8:
        painter = self._painter
        picture = painter.ground.copy()
        for crossing in self._traffic.cross_cars(t_s, reach=420.0):
            sprite = painter.cross_cars[crossing.colour][crossing.length, crossing.down]
            column = SIDE_ROAD[0] + (30 if crossing.down else 92) - CAR_WIDTH // 2
            length = sprite.picture.shape[0]
            nose = round(crossing.nose)
            sprite.put(picture, column, ROAD[0] + nose - length + 8 if crossing.down else ROAD[1] - nose)
        for car in self._traffic.cars(t_s, behind=STOP_X + 20.0, beyond=WIDTH - STOP_X + 20.0):
            left, top = STOP_X + round(car.nose) - car.length, self._lane_top(car.lane)
            painter.cars[car.colour][car.length].put(picture, left, top)
            if car.braking:
                for y in (top + 9, top + CAR_WIDTH - 7):
                    cv2.ellipse(
                        picture, (left + 2, y), (3, 5), 0, 0, 360, (255, 40, 34), cv2.FILLED, cv2.LINE_AA
                    )
        colour, _ = self._traffic.signal(t_s)
        picture[HEAD[1] : HEAD[3], HEAD[0] : HEAD[2]] = painter.heads[colour]
        return self._film.expose(picture, t_s)

    def truth(self, t_s: float) -> dict[str, str]:
        present = self._covered(t_s) >= _PRESENT
        return {"signal": self._traffic.signal(t_s)[0], "stop_line": "vehicle" if present else "clear"}

    def settled(self, t_s: float) -> dict[str, bool]:
        return {
            "signal": self._traffic.signal(t_s)[1] >= _SIGNAL_MARGIN_S,
            "stop_line": abs(self._covered(t_s) - _PRESENT) >= _MARGIN,
        }

    def truth_intervals(self, start_s: float, end_s: float) -> list[TruthInterval]:
        return intervals(self, start_s, end_s)

    def _covered(self, t_s: float) -> float:
        """Pixels of the zone's length that the car most in it covers."""
        cars = self._traffic.cars(t_s, behind=0.0, beyond=float(_ZONE))
        return max((min(car.nose, _ZONE) - max(car.nose - car.length, 0.0) for car in cars), default=0.0)

    def _lane_top(self, lane: int) -> int:
        """Row of a car's upper edge."""
        height = (ROAD[1] - ROAD[0]) / LANES
        return round(ROAD[0] + height * (lane + 0.5) - CAR_WIDTH / 2) + self._sway[lane]
