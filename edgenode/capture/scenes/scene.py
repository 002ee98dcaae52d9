"""What a drawn scene is: pictures and their truth as pure functions of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edgenode.records import U8

_SCAN_S = 0.02
_EXACT_S = 0.001


@dataclass(frozen=True, slots=True)
class SceneRegion:
    """A part of the picture that a model can be asked about."""

    box: tuple[float, float, float, float]
    """x0 y0 x1 y1, fractions of the frame, as in the settings."""
    model_name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TruthInterval:
    """`region` shows `label` from `start_s` to `end_s`, the end excluded."""

    region: str
    label: str
    start_s: float
    end_s: float


class Scene(Protocol):
    """A scene of one seed. All depends on the seed and `t_s` alone: any time, in any order, on any thread."""

    @property
    def name(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        ...

    @property
    def fps(self) -> float:
        """Pictures a second the scene is meant to be seen at."""
        ...

    @property
    def regions(self) -> Mapping[str, SceneRegion]: ...

    def draw(self, t_s: float) -> U8:
        """The picture of the instant `t_s`, uint8 [H, W, 3] RGB, the caller's to keep."""
        ...

    def truth(self, t_s: float) -> dict[str, str]:
        """The label of every region at `t_s`."""
        ...

    def settled(self, t_s: float) -> dict[str, bool]:
        """Whether the truth of every region is unambiguous: not within a hair of turning into another."""
        ...

    def truth_intervals(self, start_s: float, end_s: float) -> list[TruthInterval]:
        """The truth from `start_s` to `end_s`, region by region, in order, without gaps."""
        ...


def intervals(scene: Scene, start_s: float, end_s: float) -> list[TruthInterval]:
    """`truth_intervals` for any scene: to the millisecond; a state shorter than 20 ms may be missed."""
    found: list[TruthInterval] = []
    opened = {region: (label, start_s) for region, label in scene.truth(start_s).items()}
    steps = max(1, round((end_s - start_s) / _SCAN_S))
    before_s = start_s
    for step in range(1, steps + 1):
        now_s = start_s + (end_s - start_s) * step / steps
        for region, label in scene.truth(now_s).items():
            last, since_s = opened[region]
            if label != last:
                turn_s = _turn(scene, region, before_s, now_s)
                found.append(TruthInterval(region, last, since_s, turn_s))
                opened[region] = (label, turn_s)
        before_s = now_s
    found.extend(TruthInterval(region, label, since_s, end_s) for region, (label, since_s) in opened.items())
    order = {region: place for place, region in enumerate(scene.regions)}
    return sorted(found, key=lambda interval: (order[interval.region], interval.start_s))


def _turn(scene: Scene, region: str, low_s: float, high_s: float) -> float:
    """The first instant, to a millisecond, at which `region` shows what it shows at `high_s`."""
    after = scene.truth(high_s)[region]
    while high_s - low_s > _EXACT_S:
        middle_s = (low_s + high_s) / 2
        if scene.truth(middle_s)[region] == after:
            high_s = middle_s
        else:
            low_s = middle_s
    return high_s
