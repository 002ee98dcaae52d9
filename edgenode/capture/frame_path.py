"""The way of one frame inside the camera thread: convert, mask, look, gate, cut, offer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from edgenode.capture.camera_parts import Admit, everything
from edgenode.capture.frame_desk import FrameDesk
from edgenode.capture.frame_picture import FramePicture
from edgenode.capture.luma import covered_cells, small_luma, small_luma_of_plane
from edgenode.capture.masks import Masks
from edgenode.capture.motion import MotionGate
from edgenode.capture.observer import CaptureObserver
from edgenode.capture.packet_gate import PacketGate
from edgenode.capture.picture_watch import Distrust, PictureWatch
from edgenode.capture.regions import RegionCutter
from edgenode.capture.source import Grab
from edgenode.records import F32, U8, Frame, Sample
from edgenode.settings import CameraSettings, RegionSettings

log = logging.getLogger(__name__)

MOTION, PACKET = "motion", "packet"


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a frame was captured, and its number."""

    index: int
    captured_s: float
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a frame."""

    width: int
    height: int
    classified: bool
    distrust: Distrust | None


@dataclass(frozen=True, slots=True)
class HandOff:
    """What a frame's samples are given to."""

    offer: Callable[[Sample], None]
    admit: Admit = everything
    """Which regions are worth cutting."""


class FramePath:
    """Used by the camera thread alone. Order: masks before everything else that sees the picture."""

    def __init__(
        self,
        settings: CameraSettings,
        cutters: tuple[RegionCutter, ...],
        hand_off: HandOff,
        observer: CaptureObserver,
        desk: FrameDesk,
        packets: PacketGate | None = None,
    ) -> None:
        self._camera = settings.name
        self._cutters = cutters
        self._offer = hand_off.offer
        self._admit = hand_off.admit
        self._of_model: dict[str, list[str]] = {}
        for cutter in cutters:
            self._of_model.setdefault(cutter.model, []).append(cutter.name)
        self._observer = observer
        self._desk = desk
        self._masks = Masks(settings.masks)
        self._fast = settings.pixels == "fast"
        self._packets = packets
        self._gate = MotionGate(covered_cells(_boxes(cutters))) if settings.gate != "none" else None
        self._gate_name = MOTION if packets is None else PACKET
        self._trusted = True
        self._watch: PictureWatch | None = None
        self._gate_open: bool | None = None

    def restart(self, watch: PictureWatch | None) -> None:
        """A source was opened: its pictures are watched by `watch` from now on, where given."""
        self._watch = watch

    def show(self, grab: Grab, stamp: Stamp) -> Outcome:
        """A frame that is not classified, for those who wait for one. Raises PictureError."""
        frame = self._frame(FramePicture(lambda: self._masks.apply(grab.rgb())), stamp)
        self._desk.serve(frame)
        return Outcome(frame.array.shape[1], frame.array.shape[0], False, self._distrust())

    def classify(self, grab: Grab, stamp: Stamp) -> Outcome:
        """A frame that is due: cut and offered unless the gate holds it back. Raises PictureError."""
        began_s = time.perf_counter()
        looks = self._gate is not None or self._watching(stamp)
        plane = grab.luma() if looks and not self._masks else None
        passes = plane is None or self._look(plane, stamp, grab)
        if plane is not None and not passes and not self._desk.wanted:
            self._observer.stage_seconds("decode", grab.decode_s)
            return Outcome(plane.shape[1], plane.shape[0], False, self._distrust())
        picture = self._picture(grab)
        width, height = picture.size
        decoded_s = time.perf_counter()
        self._observer.stage_seconds("decode", grab.decode_s + decoded_s - began_s)
        if self._desk.wanted:
            self._desk.serve(self._frame(picture, stamp))
        if plane is None and looks:
            passes = self._look(picture.rgb(), stamp, grab)
        if passes:
            self._desk.keep(stamp.index, lambda: self._frame(picture, stamp))
            self._cut(picture, stamp)
            self._observer.stage_seconds("prepare", time.perf_counter() - decoded_s)
        return Outcome(width, height, passes, self._distrust())

    def _picture(self, grab: Grab) -> FramePicture:
        """Masks are drawn into RGB: nothing unmasked is at hand where there are any."""
        planes = grab.planes() if self._fast and not self._masks else None
        picture = FramePicture(lambda: self._masks.apply(grab.rgb()), planes)
        if planes is None:
            picture.rgb()
        return picture

    def _watching(self, stamp: Stamp) -> bool:
        return self._watch is not None and self._watch.wants(stamp.captured_s)

    def _frame(self, picture: FramePicture, stamp: Stamp) -> Frame:
        return Frame(self._camera, stamp.index, stamp.captured_s, stamp.captured_at, picture.rgb())

    def _look(self, seen: U8, stamp: Stamp, grab: Grab) -> bool:
        """Whether the gate lets the frame through. `seen` is RGB, or the decoder's luma, unconverted."""
        luma = small_luma(seen) if seen.ndim == 3 else small_luma_of_plane(seen)
        if self._watch is not None and self._watching(stamp):
            self._watch.look(seen, luma, stamp.captured_s)
        return self._passes(luma, stamp, grab)

    def _passes(self, luma: F32, stamp: Stamp, grab: Grab) -> bool:
        """Whether the gate lets a frame of this small luma through."""
        if self._gate is None:
            return True
        passes = self._gate.passes(luma, stamp.captured_s)
        if self._packets is not None:
            idle = not self._packets.open  # a key frame now and then, to confirm the state
            self._packets.judged(self._gate.moved, not grab.recalled)
            passes = passes or idle or self._packets.firm
        self.tell_gate()
        if not passes:
            self._observer.gate_skipped(self._camera, MOTION)
        return passes

    def tell_gate(self) -> None:
        """Pass on whether the gate is open, and whether packets tell anything, where that has changed."""
        packets = self._packets
        is_open = packets.open if packets is not None else self._gate is None or self._gate.open
        if is_open is not self._gate_open:
            self._gate_open = is_open
            self._observer.gate(self._camera, self._gate_name, is_open)
        if packets is not None and packets.trusted is not self._trusted:
            self._trusted = packets.trusted
            log.warning(
                "camera %s: %s",
                self._camera,
                "packet sizes tell when something happens: the packet gate is used"
                if packets.trusted
                else "packet sizes do not tell when something happens, or have not shown it yet; every frame is "
                "decoded, and the motion gate decides",
            )

    def _cut(self, picture: FramePicture, stamp: Stamp) -> None:
        wanted = {
            (model, region)
            for model, regions in self._of_model.items()
            for region in self._admit(model, self._camera, regions)
        }
        for cutter in self._cutters:
            if (cutter.model, cutter.name) not in wanted:
                continue
            array = cutter.cut_planes(picture.planes) if picture.planes is not None else None
            if array is None:
                whole = picture.rgb()
                array = cutter.cut(whole)
                if np.may_share_memory(array, whole):
                    array = array.copy()  # a sample must not keep a whole frame alive
            self._offer(
                Sample(
                    camera=self._camera,
                    region=cutter.name,
                    model=cutter.model,
                    frame_index=stamp.index,
                    captured_s=stamp.captured_s,
                    captured_at=stamp.captured_at,
                    array=array,
                )
            )

    def _distrust(self) -> Distrust | None:
        return self._watch.distrust if self._watch is not None else None


def _boxes(cutters: tuple[RegionCutter, ...]) -> list[tuple[float, float, float, float]]:
    """Bounding boxes of the regions, in fractions; the whole frame where there is none."""
    return [_box(cutter.shape) for cutter in cutters] or [(0.0, 0.0, 1.0, 1.0)]


def _box(shape: RegionSettings) -> tuple[float, float, float, float]:
    if shape.box is not None:
        return shape.box
    corners = shape.polygon if shape.polygon is not None else shape.quad
    if corners is None:
        return 0.0, 0.0, 1.0, 1.0
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)
