"""What a node can show of an event afterwards: its picture, and notes about samples that never came."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from edgenode.decision_setup import model_of, regions_of
from edgenode.errors import PictureError
from edgenode.evidence_lane import Picture
from edgenode.records import U8, DropReason, Event

if TYPE_CHECKING:
    from edgenode.node.node import Node

log = logging.getLogger(__name__)

DRAWN = "drawn"
"""`rules.snapshot` that asks for the regions in the picture."""


def evidence_picture(node: Node, event: Event, frame_index: int) -> Picture | None:
    """What makes the JPEG of the frame `event` was decided on, bare or with the regions drawn, as its rule asks.

    None where the frame is gone. Called under the desk's lock, on whatever thread decided; what it returns holds the
    frame, and is called by the lane of evidence.
    """
    if event.camera is None:
        return None
    running = node.pipeline.camera(event.camera)
    frame = running.recent_frame(frame_index) if running is not None else None
    if frame is None:
        return None
    drawn = any(rule.snapshot == DRAWN for rule in node.settings.rules if rule.name == event.rule)
    labels = {event.region: event.label} if event.region and event.label else {}
    return partial(_encoded, node, event.camera, frame.array, labels if drawn else None)


def _encoded(node: Node, camera: str, picture: U8, labels: Mapping[str, str] | None) -> bytes | None:
    from edgenode.capture.snapshot import encode_snapshot

    try:
        return encode_snapshot(picture if labels is None else with_regions(node, camera, picture, labels))
    except PictureError:
        log.exception("camera %s: the evidence picture could not be made", camera)
        return None


def with_regions(node: Node, camera: str, picture: U8, labels: Mapping[str, str]) -> U8:
    """A copy of `picture` with the camera's regions drawn, and `labels` beside their names; `picture` itself for a
    camera that a reload has just taken away."""
    from edgenode.capture.regions import RegionCutter, draw_regions

    settings = next((each for each in node.settings.cameras if each.name == camera), None)
    if settings is None:
        return picture
    cutters = tuple(
        RegionCutter(region.name, model_of(region, node.settings) or "", region, lambda cut: cut)
        for region in regions_of(settings)
    )
    return draw_regions(picture, cutters, dict(labels))


class DropNotes:
    """Turns the accounts of hand-off A into notes for `explain`: what a camera lost since the last look."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: dict[tuple[str, str, DropReason], int] = {}

    def look(self) -> None:
        """About once a second, by the supervising thread."""
        now_at = self._node.clock.now()
        for model, counts in self._node.pipeline.counts().items():
            for (camera, reason), total in counts.dropped_by_camera.items():
                key = (model, camera, reason)
                lost = total - self._known.get(key, 0)
                self._known[key] = total
                if lost > 0:
                    self._node.desk.note(
                        camera,
                        now_at,
                        f"{lost} samples for {model} were dropped in the last second: {reason}",
                    )
