"""What a camera thread makes anew with each opening of its source."""

from __future__ import annotations

from pathlib import Path

from edgenode.capture.freshness import Freshness
from edgenode.capture.pacing import Pacing
from edgenode.capture.packet_gate import PacketGate
from edgenode.capture.schedule import FrameSchedule
from edgenode.capture.source import Source, SourceOptions
from edgenode.capture.turns import Turn
from edgenode.clock import Clock
from edgenode.settings import CameraSettings


def source_options(
    settings: CameraSettings, base_dir: Path, follow: bool, turn: Turn, gate: PacketGate | None
) -> SourceOptions:
    """How the source of a camera with these settings is opened and read."""
    return SourceOptions(
        open_timeout_s=settings.open_timeout,
        read_timeout_s=settings.read_timeout,
        transport=settings.transport,
        loop=settings.loop,
        keyframes_only=settings.decode == "keyframes",
        enough_fps=settings.fps if settings.decode == "auto" else 0.0,
        follow=follow,
        poll_s=1.0 / settings.fps if settings.fps > 0.0 else SourceOptions().poll_s,
        base_dir=base_dir,
        turn=turn,
        gate=gate,
    )


class SourceClocks:
    """Everything about time that starts anew with each opening of the source."""

    __slots__ = ("freshness", "pacing", "schedule")

    def __init__(self, source: Source, fps: float, realtime: bool, clock: Clock) -> None:
        self.freshness = Freshness()
        self.pacing = Pacing(source.info, fps, realtime, clock)
        self.schedule = FrameSchedule(fps)
