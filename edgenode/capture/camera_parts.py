"""What a camera is made of: its specification, and what its threads share when one replaces another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgenode.capture.frame_desk import FrameDesk
from edgenode.capture.move_watch import MoveWatch
from edgenode.capture.observer import CaptureObserver
from edgenode.capture.picture_watch import WatchLimits
from edgenode.capture.regions import RegionCutter
from edgenode.capture.scenery import SceneFactory
from edgenode.capture.status import StatusBoard
from edgenode.clock import Clock
from edgenode.records import Sample
from edgenode.settings import CameraSettings


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """What a camera thread is made of."""

    settings: CameraSettings
    cutters: tuple[RegionCutter, ...]
    base_dir: Path
    keep_frames: int = 0
    """How many classified frames `recent_frame` can still find."""
    realtime: bool = True
    """False plays files as fast as they can be read."""
    follow: bool = True
    """False reads a folder once and ends."""
    limits: WatchLimits = field(default_factory=WatchLimits)
    scenes: SceneFactory | None = None
    """In place of the built-in scenes."""


@dataclass(slots=True)
class Pace:
    """The share of the frames that are due which is classified, above 0 to 1. Written by any thread."""

    share: float = 1.0


Admit = Callable[[str, str, Sequence[str]], Sequence[str]]
"""(model, camera, its regions of a new frame for that model) to those that are worth cutting; all that are cut are
offered."""


def everything(model: str, camera: str, regions: Sequence[str]) -> Sequence[str]:
    """An `Admit` of a model that keeps up."""
    del model, camera
    return regions


@dataclass(frozen=True, slots=True)
class CameraParts:
    """Outlives a camera's threads. All of it is thread-safe, but for `moves`, which the thread at work uses."""

    spec: CameraSpec
    offer: Callable[[Sample], None]
    observer: CaptureObserver
    clock: Clock
    board: StatusBoard
    desk: FrameDesk
    moves: MoveWatch | None
    admit: Admit = everything
    pace: Pace = field(default_factory=Pace)
