"""Drawn scenes whose truth is known at every instant: for the demo, tests, benchmarks and the trainer."""

from __future__ import annotations

from difflib import get_close_matches

from edgenode.capture.scenes.scene import Scene, SceneRegion, TruthInterval

__all__ = ["Scene", "SceneRegion", "TruthInterval", "scene_named", "scene_names"]

_NAMES = ("junction", "line", "wearing_line")


def scene_names() -> tuple[str, ...]:
    """The scenes `scene_named` knows, sorted."""
    return _NAMES


def scene_named(name: str, seed: int = 0) -> Scene:
    """The scene `name`; scenes of one name and different seeds differ in looks, timing and what happens.

    Raises ValueError for an unknown name, suggesting the nearest one.
    """
    if name in ("line", "wearing_line"):
        from edgenode.capture.scenes.line import LineScene

        return LineScene(seed, wearing=name == "wearing_line")
    if name == "junction":
        from edgenode.capture.scenes.junction import JunctionScene

        return JunctionScene(seed)
    near = get_close_matches(name, _NAMES, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_NAMES)}"
    raise ValueError(f"no scene is called {name!r}; {advice}")
