"""What a packet gate misses: one pass over a clip in which everything is decoded, beside one behind the gate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edgenode.capture.frame_desk import FrameDesk
from edgenode.capture.frame_path import FramePath, HandOff, Stamp
from edgenode.capture.luma import covered_cells, small_luma
from edgenode.capture.motion import MotionGate
from edgenode.capture.opening import open_source
from edgenode.capture.packet_gate import PacketGate
from edgenode.capture.regions import RegionCutter
from edgenode.capture.schedule import FrameSchedule
from edgenode.capture.source import Source, SourceOptions
from edgenode.clock import SystemClock
from edgenode.records import U8, CameraReport, Sample
from edgenode.settings import CameraSettings, RegionSettings

_NEAR_S = 0.25
"""A moving frame counts as found when a frame at most this far from it was classified."""
_ONE_EVENT_S = 2.0
"""Moving frames closer together than this are one event."""
_AT = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Recall:
    """`moving` frames are those due ones in which the motion gate sees motion while everything is decoded."""

    moving: int
    found: int
    events: int
    events_found: int
    decoded_share: float
    """Part of the packets that the gated pass decoded."""
    trusted: bool

    @property
    def of_frames(self) -> float:
        return self.found / self.moving if self.moving else 1.0

    @property
    def of_events(self) -> float:
        return self.events_found / self.events if self.events else 1.0


def gate_recall(clip: Path, fps: float, seconds: float, audit: float = 0.02) -> Recall:
    """`seconds` of `clip`, looped, at `fps` frames a second looked at; the time in which the gate learns counts
    too: it decodes everything then."""
    moving = _moving(clip, fps, seconds)
    gate = PacketGate(audit)
    watched = _Watched(fps, gate)
    packets, decoded = watched.play(clip, seconds)
    used = np.array(watched.used or [-1e9])
    near = [bool(np.abs(used - time_s).min() <= _NEAR_S) for time_s in moving]
    events = np.cumsum([0, *(np.diff(moving) > _ONE_EVENT_S)]) if moving else np.array([], dtype=int)
    found_events = {event for event, hit in zip(events, near, strict=True) if hit}
    return Recall(
        len(moving), sum(near), len(set(events)), len(found_events), decoded / max(1, packets), gate.trusted
    )


def _moving(clip: Path, fps: float, seconds: float) -> list[float]:
    motion = MotionGate(covered_cells([(0.0, 0.0, 1.0, 1.0)]))
    schedule = FrameSchedule(fps)
    source = open_source(str(clip), SourceOptions(loop=True), SystemClock())
    found: list[float] = []
    try:
        while (time_s := (grab := source.read()).media_s or 0.0) < seconds:
            if schedule.due(time_s):
                motion.passes(small_luma(grab.rgb()), time_s)
                if motion.moved:
                    found.append(time_s)
    finally:
        source.close()
    return found


class _Watched:
    """A camera's own way from grab to sample, without its thread and its clock."""

    def __init__(self, fps: float, gate: PacketGate) -> None:
        settings = CameraSettings(name="recall", source="clip", fps=fps, gate="packet")
        cutter = RegionCutter("frame", "model", RegionSettings(), _speck)
        self._gate = gate
        self._schedule = FrameSchedule(fps)
        self._path = FramePath(settings, (cutter,), HandOff(self._offer), _Nobody(), FrameDesk(0), gate)
        self.used: list[float] = []

    def _offer(self, sample: Sample) -> None:
        self.used.append(sample.captured_s)

    def play(self, clip: Path, seconds: float) -> tuple[int, int]:
        """Packets read, and frames decoded."""
        source: Source = open_source(str(clip), SourceOptions(loop=True, gate=self._gate), SystemClock())
        packets = decoded = 0
        try:
            while (time_s := (grab := source.read()).media_s or 0.0) < seconds:
                packets += grab.packets
                if grab.skipped:
                    for skipped_s in grab.lot:
                        self._schedule.due(skipped_s)
                    continue
                decoded += 1
                if self._schedule.due(time_s):
                    self._path.classify(grab, Stamp(decoded, time_s, _AT))
        finally:
            source.close()
        return packets, decoded


def _speck(picture: U8) -> U8:
    return picture[:1, :1].copy()


class _Nobody:
    """An observer that does not care."""

    def frame_decoded(self, camera: str) -> None: ...
    def packets(self, camera: str, count: int) -> None: ...
    def stage_seconds(self, stage: str, seconds: float) -> None: ...
    def camera_report(self, report: CameraReport) -> None: ...
    def gate(self, camera: str, gate_name: str, is_open: bool, /) -> None: ...
    def gate_skipped(self, camera: str, gate_name: str) -> None: ...
    def gate_audit(self, camera: str, caught: bool) -> None: ...
    def corrupt_frame(self, camera: str) -> None: ...
    def thread_abandoned(self, camera: str) -> None: ...
