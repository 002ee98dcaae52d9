"""Looks at one camera for some seconds: what it sends, and what reading it costs. For `edgenode doctor`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from edgenode.capture.masks import Masks
from edgenode.capture.opening import open_source
from edgenode.capture.regions import RegionCutter
from edgenode.capture.source import Grab, Source, SourceIdleError, SourceInfo, SourceOptions
from edgenode.clock import SystemClock
from edgenode.errors import PictureError, SourceEndedError, SourceError
from edgenode.records import U8
from edgenode.settings import CameraSettings

_ENOUGH_KEYS, _ENOUGH_S = 3, 2.0
"""With so many key frames after so long, nothing more is learnt."""
_PREPARED = 20
"""Pictures that are converted and cut, to know what that costs."""
_KEYS_TOLERANCE = 1.02
_BURST_S = 0.7
"""What waited in the camera comes at once after opening; its pace is judged after this long."""


@dataclass(frozen=True, slots=True)
class CameraLook:
    """What was seen. Costs are CPU time of the reading thread, so that other work beside does not count."""

    info: SourceInfo
    opened_s: float
    frames: int
    seconds: float
    """From the first frame to the last, by the stream's clock where it has one."""
    bytes_per_s: float
    corrupt: int
    keyframes: int
    keyframe_interval_s: float | None
    """The longest between two key frames; None where fewer than two came."""
    decode_ms: float
    """CPU of reading and decoding one frame, on average."""
    keyframe_ms: float
    """The same of a key frame."""
    convert_ms: float
    """CPU of converting, masking and cutting one picture into the samples of all regions."""
    between_bytes: tuple[float, float] | None
    """Median and 98 % quantile of the packets between key frames; None where there are none."""
    has_times: bool
    backwards: int
    """Frames whose time was not after the one before."""
    longest_gap_s: float
    pace: float | None
    """Seconds of the stream's clock in one second here; None where it has none or is read as fast as it goes."""
    contrast: float
    """Standard deviation of the last picture's grey values: under 2 it shows nothing."""

    @property
    def fps(self) -> float:
        return (self.frames - 1) / self.seconds if self.frames > 1 and self.seconds > 0.0 else self.info.fps

    def classified_fps(self, wanted_fps: float) -> float:
        """How many frames a second become samples; `wanted_fps` 0 means all."""
        return self.fps if wanted_fps == 0.0 else min(wanted_fps, self.fps or wanted_fps)

    def keyframes_alone(self, settings: CameraSettings) -> bool:
        """Whether the node will decode nothing between the key frames."""
        if settings.decode != "auto" or settings.fps == 0.0 or self.keyframe_interval_s is None:
            return settings.decode == "keyframes"
        some = self.keyframes < self.frames
        return self.info.live and some and self.keyframe_interval_s <= _KEYS_TOLERANCE / settings.fps

    def share_of_core(self, settings: CameraSettings) -> float:
        """What this camera's thread will take of one core, gates open."""
        if self.keyframes_alone(settings):
            rate = 1.0 / self.keyframe_interval_s if self.keyframe_interval_s else 0.0
            decoding = rate * self.keyframe_ms
            classified = min(rate, settings.fps) if settings.fps else rate
        else:
            # a file or a folder is read at the pace of its pictures, a still camera as often as asked
            decoding = self.fps * self.decode_ms
            classified = self.classified_fps(settings.fps)
        return (decoding + classified * self.convert_ms) / 1000.0


def look_at(
    settings: CameraSettings, options: SourceOptions, cutters: Sequence[RegionCutter], seconds: float
) -> CameraLook:
    """Open the camera and read it for `seconds`, less where enough was seen. Raises SourceError as a source does."""
    began_s = time.monotonic()
    source = open_source(settings.source, replace(options, follow=False), SystemClock())
    opened_s = time.monotonic() - began_s
    try:
        masks = Masks(settings.masks)
        watching = _Watching(source.info, lambda picture: _prepare(picture, masks, cutters))
        _read(source, watching, seconds, options.read_timeout_s)
        return watching.look(source.info, opened_s)
    finally:
        source.close()


def _prepare(picture: U8, masks: Masks, cutters: Sequence[RegionCutter]) -> None:
    masked = masks.apply(picture)
    for cutter in cutters:
        cutter.cut(masked)


def _read(source: Source, watching: _Watching, seconds: float, read_timeout_s: float) -> None:
    first_deadline_s = time.monotonic() + read_timeout_s
    while not watching.enough(seconds):
        began_s = time.thread_time()
        try:
            grab = source.read()
        except SourceIdleError as error:
            if not watching.frames and time.monotonic() > first_deadline_s:
                raise SourceError(f"opened, but no picture within {read_timeout_s:g} s") from error
            continue
        except SourceEndedError:
            if not watching.frames:
                raise SourceError("holds no picture") from None
            return
        watching.take(grab, time.thread_time() - began_s)


class _Watching:
    def __init__(self, info: SourceInfo, prepare: Callable[[U8], None]) -> None:
        self._live = info.live
        self._prepare = prepare
        self.frames = 0
        self._corrupt = self._backwards = 0
        self._bytes = 0
        self._begun_s = self._last_s = 0.0
        self._media: list[float] = []
        self._keys_s: list[float] = []
        self._key_cost: list[float] = []
        self._cost: list[float] = []
        self._convert_cost: list[float] = []
        self._between: list[int] = []
        self._gap_s = 0.0
        self._has_times = False
        self._settled: tuple[float, float] | None = None
        self._contrast = float("inf")

    def enough(self, seconds: float) -> bool:
        if not self.frames:
            return False
        passed_s = time.monotonic() - self._begun_s
        seen_s = passed_s if self._live or not self._media else self._media[-1] - self._media[0]
        many_keys = len(self._keys_s) >= _ENOUGH_KEYS
        return max(passed_s, seen_s) >= seconds or (many_keys and max(passed_s, seen_s) >= _ENOUGH_S)

    def take(self, grab: Grab, cost_s: float) -> None:
        now_s = time.monotonic()
        if not self.frames:
            self._begun_s = now_s
        at_s = grab.media_s if grab.media_s is not None else now_s
        if self._media:
            step_s = at_s - self._media[-1]
            self._backwards += step_s <= 0.0
            self._gap_s = max(self._gap_s, step_s)
        self._last_s = now_s
        self._media.append(at_s)
        if self._settled is None and now_s - self._begun_s >= _BURST_S:
            self._settled = (now_s, at_s)
        self.frames += 1
        self._has_times = grab.media_s is not None
        self._corrupt += grab.corrupt
        self._bytes += grab.packet_bytes
        if self.frames > 1 or not self._live:  # the first of a stream brings the wait for a key frame with it
            self._cost.append(cost_s)
            if grab.keyframe:
                self._key_cost.append(cost_s)
        if grab.keyframe:
            self._keys_s.append(at_s)
        elif grab.packet_bytes:
            self._between.append(grab.packet_bytes)
        if not grab.corrupt and len(self._convert_cost) < _PREPARED:
            self._convert(grab)

    def _convert(self, grab: Grab) -> None:
        began_s = time.thread_time()
        try:
            picture = grab.rgb()
        except PictureError:
            self._corrupt += 1
            return
        self._prepare(picture)
        self._convert_cost.append(time.thread_time() - began_s)
        self._contrast = float(picture[::8, ::8].std())

    def look(self, info: SourceInfo, opened_s: float) -> CameraLook:
        seconds = self._media[-1] - self._media[0]
        intervals = [b - a for a, b in zip(self._keys_s, self._keys_s[1:], strict=False)]
        return CameraLook(
            info=info,
            opened_s=opened_s,
            frames=self.frames,
            seconds=seconds,
            bytes_per_s=self._bytes / seconds if seconds > 0.0 else 0.0,
            corrupt=self._corrupt,
            keyframes=len(self._keys_s),
            keyframe_interval_s=max(intervals) if intervals else None,
            decode_ms=_mean_ms(self._cost),
            keyframe_ms=_mean_ms(self._key_cost or self._cost),
            convert_ms=1000.0 * median(self._convert_cost) if self._convert_cost else 0.0,
            between_bytes=(
                (float(median(self._between)), float(np.quantile(self._between, 0.98)))
                if self._between
                else None
            ),
            has_times=self._has_times,
            backwards=self._backwards,
            longest_gap_s=self._gap_s,
            pace=self._pace() if self._live and self._has_times else None,
            contrast=self._contrast if self._convert_cost else 0.0,
        )

    def _pace(self) -> float | None:
        if self._settled is None or self._last_s - self._settled[0] < _BURST_S:
            return None
        return (self._media[-1] - self._settled[1]) / (self._last_s - self._settled[0])


def _mean_ms(costs_s: list[float]) -> float:
    return 1000.0 * sum(costs_s) / len(costs_s) if costs_s else 0.0
