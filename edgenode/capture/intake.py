"""What becomes of a grab: thrown away, passed over, shown, or cut into samples."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from enum import Enum, auto

from edgenode.capture.camera_parts import CameraParts
from edgenode.capture.frame_path import FramePath, HandOff, Outcome, Stamp
from edgenode.capture.freshness import Freshness
from edgenode.capture.pacing import Pacing
from edgenode.capture.packet_gate import PacketGate
from edgenode.capture.picture_watch import PictureWatch
from edgenode.capture.schedule import FrameSchedule
from edgenode.capture.source import Grab, SourceInfo
from edgenode.capture.turns import Turn
from edgenode.errors import PictureError
from edgenode.records import Sample

_AHEAD_S = 0.2
"""Frames of a paced file that nobody needs are read this far ahead: a wait for each is a wake-up for nothing."""


class Worth(Enum):
    """What a grab was good for."""

    GOOD = auto()
    """A good picture of the present, used or not."""
    DAMAGED = auto()
    OLD = auto()
    """It waited on its way."""


Pause = Callable[[float], bool]
"""Waits so many seconds; whether the thread was called away meanwhile."""


class Intake:
    """Used by one capture thread. `opened` before the first grab of each opening.

    `first_index` is the number of the next decoded frame; it goes on through all openings. Once `ending` is set
    nothing is offered or reported any more.
    """

    def __init__(
        self,
        parts: CameraParts,
        gate: PacketGate | None,
        turn: Turn,
        pause: Pause,
        first_index: int,
        ending: threading.Event,
    ) -> None:
        spec = parts.spec
        self.name = spec.settings.name
        self.index = first_index
        self.hurry = threading.Event()
        """Set while the frames that are read are old."""
        self._fps = spec.settings.fps
        self._realtime = spec.realtime
        self._observer = parts.observer
        self._clock = parts.clock
        self._board = parts.board
        self._desk = parts.desk
        self._pace = parts.pace
        self._gate = gate
        self._turn = turn
        self._pause = pause
        self._ending = ending
        self._offer_to = parts.offer
        self._path = FramePath(
            spec.settings, spec.cutters, HandOff(self._offer, parts.admit), parts.observer, parts.desk, gate
        )

    def opened(self, info: SourceInfo, watch: PictureWatch | None, buffered: bool) -> None:
        """A source was opened: everything about time starts anew, and `watch` looks at its pictures.
        `buffered`: it may begin with old ones."""
        self._info = info
        self._path.restart(watch)
        self._freshness = Freshness(self.hurry, buffered)
        self._pacing = Pacing(info, self._fps, self._realtime, self._clock)
        self._schedule = FrameSchedule(self._fps)

    def take(self, grab: Grab) -> Worth:
        """One grab, whatever it is worth."""
        if grab.skipped:
            return self._pass_over(grab)
        arrived_s = self._clock.monotonic()
        self.index += 1
        self._observer.frame_decoded(self.name)
        self._observer.packets(self.name, grab.packets)
        if grab.corrupt:
            self._observer.corrupt_frame(self.name)
            return Worth.DAMAGED
        moment = self._pacing.moment(grab)
        fresh = not self._info.live or grab.recalled or self._freshness.is_new(arrived_s, grab.media_s)
        due = self._schedule.due(moment.time_s, self._pace.share)
        if not fresh:
            if due:
                self._observer.gate_skipped(self.name, "late")
            return Worth.OLD
        if (due or self._desk.wanted or moment.wait_s > _AHEAD_S) and self._called_away(moment.wait_s):
            return Worth.GOOD
        captured_at = self._clock.now()
        if self._info.live or grab.recalled:
            captured_at -= timedelta(seconds=max(0.0, self._clock.monotonic() - moment.captured_s))
        stamp = Stamp(self.index - 1, moment.captured_s, captured_at)
        try:
            outcome = self._use(grab, stamp, due)
        except PictureError:
            self._observer.corrupt_frame(self.name)
            return Worth.DAMAGED
        if self._ending.is_set():
            return Worth.GOOD
        if outcome is None:
            self._board.alive()
        else:
            self._board.alive(outcome.width, outcome.height)
            if outcome.classified:
                self._board.classified(outcome.distrust)
        return Worth.GOOD

    def _offer(self, sample: Sample) -> None:
        """A thread that hung on its way here has nothing to say any more."""
        if not self._ending.is_set():
            self._offer_to(sample)

    def _pass_over(self, grab: Grab) -> Worth:
        """Packets that were not decoded: a closed gate kept them, or one waited too long on the way."""
        self._observer.packets(self.name, grab.packets)
        moment = self._pacing.moment(grab)
        if self._info.live:
            self._freshness.is_new(self._clock.monotonic(), grab.media_s)
        for time_s in grab.lot or (moment.time_s,):
            if self._schedule.due(time_s, self._pace.share):
                self._observer.gate_skipped(self.name, "late" if grab.late else "packet")
        if grab.late:
            return Worth.OLD
        if self._desk.wanted and self._gate is not None:
            self._gate.demand()
        self._path.tell_gate()
        self._called_away(moment.wait_s)
        self._board.alive()
        return Worth.GOOD

    def _called_away(self, wait_s: float) -> bool:
        if wait_s <= 0.0:
            return False
        self._turn.end()
        return self._pause(wait_s)

    def _use(self, grab: Grab, stamp: Stamp, due: bool) -> Outcome | None:
        if not due and not self._desk.wanted:
            return None
        self._turn.begin()
        return self._path.classify(grab, stamp) if due else self._path.show(grab, stamp)
