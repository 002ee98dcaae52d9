"""Replay: files and directories through the same pipeline, as fast as the machine goes, no frame dropped.

One thread, no queues. Every frame's time is its media time counted from `start`, so two runs over the same
files give the same events byte for byte.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgenode.capture.address import AddressKind, parse_address
from edgenode.capture.masks import Masks
from edgenode.capture.opening import open_source
from edgenode.capture.schedule import FrameSchedule
from edgenode.capture.source import Source, SourceOptions
from edgenode.clock import ManualClock
from edgenode.errors import ConfigurationError, InferenceError, SourceEndedError
from edgenode.inference.engine import predictions_of
from edgenode.records import Batch, Prediction, Sample
from edgenode.settings import CameraSettings, Settings
from edgenode.wiring import cutters_of

if TYPE_CHECKING:
    from edgenode.desk import DecisionDesk
    from edgenode.inference.card import ModelCard
    from edgenode.inference.classifier import Classifier

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReplayCount:
    """What one replay went through."""

    frames: int
    samples: int
    media_s: float
    """Media time of the last frame."""


REPLAYABLE = frozenset({AddressKind.FILE, AddressKind.FOLDER, AddressKind.SYNTHETIC})
FOLDER_INTERVAL_S = 1.0
"""Media time between two pictures of a folder whose camera says `fps = 0`."""


def unreplayable(settings: Settings, base_dir: Path, until_s: float | None) -> list[str]:
    """The enabled cameras that cannot be replayed, one sentence each."""
    problems = []
    for camera in settings.cameras:
        if not camera.enabled:
            continue
        kind = parse_address(camera.source, base_dir).kind
        if kind not in REPLAYABLE:
            problems.append(
                f"cameras.{camera.name}.source: only files, folders and drawn scenes can be replayed"
            )
        elif kind is AddressKind.SYNTHETIC and until_s is None:
            problems.append(f"cameras.{camera.name}.source: a drawn scene has no end: say --until SECONDS")
    return problems or ([] if any(c.enabled for c in settings.cameras) else ["cameras: none is enabled"])


def replay(
    settings: Settings,
    base_dir: Path,
    classifiers: Mapping[str, Classifier],
    desk: DecisionDesk,
    start: datetime = EPOCH,
    until_s: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> ReplayCount:
    """Run every enabled camera's file from its beginning to its end (or to media second `until_s`).

    Frames of several cameras are merged by media time, equal times in the order of the configuration.
    Raises ConfigurationError for a source without an end, SourceError or PictureError naming an unreadable one.
    """
    problems = unreplayable(settings, base_dir, until_s)
    if problems:
        raise ConfigurationError(problems)
    cards = {name: classifier.card for name, classifier in classifiers.items()}
    streams = [
        _samples(camera, order, settings, base_dir, cards, start, until_s)
        for order, camera in enumerate(settings.cameras)
        if camera.enabled
    ]
    frames = samples = 0
    media_s = 0.0
    waiting: list[Sample] = []
    for captured_s, _, cut in heapq.merge(*streams, key=lambda item: item[:2]):
        if captured_s > media_s and len(waiting) >= settings.inference.max_batch:
            _classify(waiting, classifiers, desk, settings.inference.max_batch)
            waiting = []
        frames += 1
        samples += len(cut)
        media_s = captured_s
        waiting.extend(cut)
        if progress is not None:
            progress(captured_s)
    _classify(waiting, classifiers, desk, settings.inference.max_batch)
    desk.tick(media_s, start + timedelta(seconds=media_s))
    return ReplayCount(frames, samples, media_s)


def _samples(
    camera: CameraSettings,
    order: int,
    settings: Settings,
    base_dir: Path,
    cards: Mapping[str, ModelCard],
    start: datetime,
    until_s: float | None,
) -> Iterator[tuple[float, int, list[Sample]]]:
    """(media seconds, place of the camera, samples) of each frame that is due, in order."""
    cutters = cutters_of(camera, settings, cards)
    masks = Masks(camera.masks)
    schedule = FrameSchedule(camera.fps)
    source = _open(camera, base_dir, start)
    folder = parse_address(camera.source, base_dir).kind is AddressKind.FOLDER
    step_s = 1.0 / camera.fps if camera.fps > 0.0 else FOLDER_INTERVAL_S
    index = 0
    media_s = 0.0
    try:
        while True:
            try:
                grab = source.read()
            except SourceEndedError:
                return
            # pts may jump back in a damaged file; time must not
            now_s = index * step_s if folder else _media_time(grab.captured_s, grab.media_s, media_s)
            media_s = max(media_s, now_s)
            index += 1
            if until_s is not None and media_s > until_s:
                return
            if grab.corrupt or not (folder or schedule.due(media_s)):
                continue
            picture = masks.apply(grab.rgb())
            captured_at = start + timedelta(seconds=round(media_s, 6))
            samples = [
                Sample(
                    camera=camera.name,
                    region=cutter.name,
                    model=cutter.model,
                    frame_index=index,
                    captured_s=media_s,
                    captured_at=captured_at,
                    array=cutter.cut(picture),
                )
                for cutter in cutters
            ]
            yield media_s, order, samples
    finally:
        source.close()


def _open(camera: CameraSettings, base_dir: Path, start: datetime) -> Source:
    options = SourceOptions(
        open_timeout_s=camera.open_timeout,
        read_timeout_s=camera.read_timeout,
        keyframes_only=camera.decode == "keyframes",
        follow=False,
        base_dir=base_dir,
    )
    return open_source(camera.source, options, ManualClock(start))


def _media_time(captured_s: float | None, media_s: float | None, last_s: float) -> float:
    """A drawn scene's own time, else the stream's, else (a stream without clock) the last one."""
    if captured_s is not None:
        return captured_s
    return media_s if media_s is not None else last_s


def _classify(
    samples: Sequence[Sample],
    classifiers: Mapping[str, Classifier],
    desk: DecisionDesk,
    max_batch: int,
) -> None:
    """Classify `samples` in batches per model and decide on them in their order."""
    answers: dict[int, Prediction] = {}
    for model, classifier in classifiers.items():
        places = [place for place, sample in enumerate(samples) if sample.model == model]
        for begin in range(0, len(places), max_batch):
            chunk = places[begin : begin + max_batch]
            members = tuple(samples[place] for place in chunk)
            answers_of_chunk = classifier.classify(np.stack([sample.array for sample in members]))
            predictions = predictions_of(Batch(model, members), answers_of_chunk, classifier)
            if len(predictions) < len(members):
                raise InferenceError(f"model {model}: answered NaN or Inf near {members[0].captured_s:.3f} s")
            answers.update(zip(chunk, predictions, strict=True))
    ordered = [answers[place] for place in sorted(answers)]
    for _, instant in groupby(ordered, key=lambda answer: answer.captured_s):
        desk.take(list(instant))
