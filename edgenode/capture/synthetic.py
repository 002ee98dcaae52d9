"""Drawn scenes as a source: a camera for demos, tests and benchmarks whose truth is known."""

from __future__ import annotations

import threading

from edgenode.capture.address import Address
from edgenode.capture.scenery import Drawable, SceneFactory
from edgenode.capture.source import IDLE_S, Grab, SourceIdleError, SourceInfo
from edgenode.clock import Clock
from edgenode.errors import SourceError

_DEFAULT_FPS = 10.0


class SyntheticSource:
    """Shows a scene live: the scene's time is the monotonic clock, so that its truth can be asked later.

    Pictures fall on the grid of whole multiples of the frame interval; one that was missed is not caught up.
    """

    def __init__(self, address: Address, clock: Clock, scenes: SceneFactory | None = None) -> None:
        self._scene = find_scene(address, scenes)
        fps = address.fps or self._scene.fps or _DEFAULT_FPS
        self._interval_s = 1.0 / fps
        self._clock = clock
        self._closed = threading.Event()
        self._first_tick = self._tick = int(clock.monotonic() / self._interval_s)
        height, width = self._scene.draw(self._tick * self._interval_s).shape[:2]
        self._info = SourceInfo(width, height, fps, "synthetic", live=True, finite=False)

    @property
    def info(self) -> SourceInfo:
        return self._info

    def read(self) -> Grab:
        now_s = self._clock.monotonic()
        self._tick = max(self._tick + 1, int(now_s / self._interval_s))
        wait_s = self._tick * self._interval_s - now_s
        if wait_s > IDLE_S:
            self._tick -= 1
            self._clock.wait(self._closed, IDLE_S)
            raise SourceIdleError("the scene's next picture is not due yet")
        if wait_s > 0.0 and self._clock.wait(self._closed, wait_s):
            raise SourceError("the scene is closed")
        shown_s = self._tick * self._interval_s
        return Grab(
            media_s=(self._tick - self._first_tick) * self._interval_s,
            keyframe=True,
            corrupt=False,
            packet_bytes=0,
            picture=lambda: self._scene.draw(shown_s).copy(),
            captured_s=shown_s,
        )

    def close(self) -> None:
        self._closed.set()


def find_scene(address: Address, scenes: SceneFactory | None) -> Drawable:
    """The scene that `address` names, from the built-in ones where `scenes` is None. Raises SourceError."""
    if scenes is None:
        from edgenode.capture.scenes import scene_named

        scenes = scene_named
    try:
        return scenes(address.target, address.seed)
    except (KeyError, ValueError) as error:
        detail = error.args[0] if error.args else "unknown"
        raise SourceError(f"synthetic:{address.target} is no scene: {detail}") from None
