"""What this stage knows of drawn scenes: the part of their protocol that a source needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edgenode.records import U8


class Drawable(Protocol):
    """A scene that can be drawn at any time; the same `t_s` gives the same picture."""

    @property
    def name(self) -> str: ...

    @property
    def fps(self) -> float: ...

    def draw(self, t_s: float) -> U8:
        """uint8 [H, W, 3] RGB of the instant `t_s`."""
        ...


SceneFactory = Callable[[str, int], Drawable]
"""From a scene's name and seed to the scene. Raises KeyError or ValueError for an unknown name."""
