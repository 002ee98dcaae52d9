"""The thread that keeps pictures worth a label, beside inference and never in its way."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2

from edgenode.capture.regions import RegionCutter
from edgenode.collect.choose import Choice, Chooser, ModelFacts
from edgenode.collect.look import Look, look_of
from edgenode.collect.record import Kept, Second
from edgenode.collect.store import CollectedStore, StoreLimits
from edgenode.records import U8, Batch, Frame, Prediction, Sample
from edgenode.settings import RegionSettings
from edgenode.settings.collect import CollectSettings

log = logging.getLogger(__name__)

QUEUED = 8
"""Pictures that may wait; each may hold a whole frame, 6 MB at 1080p."""
JOIN_S = 2.0
"""Beyond its drain, how long the thread may take to end: it writes one picture."""
LOOKS = 200
"""Looks remembered of each region, 1.7 kB each: what is new is compared with these."""


class CollectObserver(Protocol):
    """What telemetry learns. Called on engine threads and on the collector's."""

    def picture_kept(self, rule: str, why: str) -> None: ...
    def picture_not_kept(self, rule: str, reason: str) -> None:
        """`quota`, `queue` (too many waited), `duplicate`, `failed` (not written); or `evicted`: kept before."""
        ...

    def collection(self, pictures: int, size_bytes: int) -> None: ...


@dataclass(frozen=True, slots=True)
class CollectorParts:
    """What the collector works with."""

    state_dir: Path
    frame: Callable[[str, int], Frame | None]
    """(camera, frame index) to the frame, masks applied, while its camera still has it."""
    observer: CollectObserver
    draw: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class CollectPlan:
    """What to keep, and what must be known for it."""

    settings: CollectSettings
    facts: ModelFacts
    regions: Mapping[tuple[str, str], RegionSettings]
    """(camera, region) to its shape."""


@dataclass(frozen=True, slots=True)
class _Job:
    choice: Choice
    sample: Sample
    prediction: Prediction
    second: Second | None
    frame: Frame | None


class Collector:
    """`offer` and `compare` are called on engine threads, `apply` by the supervising thread.

    What an engine thread spends here is a look at the probabilities and, for a sample that is chosen, a reference
    put into a short queue; pictures are compared, encoded and written on the collector's own thread. A full
    queue drops the sample, counted.
    """

    def __init__(self, parts: CollectorParts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._plan: CollectPlan | None = None
        self._chooser: Chooser | None = None
        self._jobs: deque[_Job] = deque()
        self._ends_s: float | None = None
        self._thread: threading.Thread | None = None
        self._store: CollectedStore | None = None
        self._looks: dict[tuple[str, str], deque[Look]] = {}
        self._cutters: dict[tuple[str, str], RegionCutter] = {}
        self._failing = False

    def apply(self, plan: CollectPlan) -> None:
        """Keep what `plan` says from now on; the thread is started with the first rule."""
        rules = plan.settings.rules
        with self._lock:
            chooser = Chooser(list(rules), plan.facts, self._parts.draw) if rules else None
            if chooser is not None and self._chooser is not None:
                chooser.carry_over(self._chooser)
            self._plan, self._chooser = plan, chooser
            if rules and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="collect", daemon=True)
                self._thread.start()

    def close(self, drain_s: float) -> None:
        """Take nothing more, write what waits for at most `drain_s`, end the thread."""
        with self._arrived:
            self._chooser = None
            self._ends_s = time.monotonic() + drain_s
            self._arrived.notify_all()
        if self._thread is not None:
            self._thread.join(drain_s + JOIN_S)
            if self._thread.is_alive():
                log.error("the collector: its thread did not end in time and is left behind")

    @property
    def thread(self) -> threading.Thread | None:
        """The one that writes; None until there is a rule."""
        return self._thread

    def offer(self, batch: Batch, predictions: Sequence[Prediction]) -> None:
        """What a model said of `batch`; there may be fewer predictions than samples."""
        if self._chooser is not None:
            for prediction in predictions:
                self._consider(batch, prediction, None)

    def compare(self, batch: Batch, predictions: Sequence[Prediction], seconds: Sequence[Prediction]) -> None:
        """What the shadow model said (`seconds`) of a batch of which the serving one said `predictions`."""
        if self._chooser is None:
            return
        answers = {(each.camera, each.region, each.frame_index): each for each in seconds}
        for prediction in predictions:
            second = answers.get((prediction.camera, prediction.region, prediction.frame_index))
            if second is not None:
                answer = Second(second.label, second.probability, second.model.sha256)
                self._consider(batch, prediction, answer)

    def _consider(self, batch: Batch, prediction: Prediction, second: Second | None) -> None:
        refused = self._parts.observer.picture_not_kept
        with self._arrived:
            if self._chooser is None:
                return
            label = second.label if second is not None else None
            choice = self._chooser.choose(prediction, label, refused)
            if choice is None:
                return
            if len(self._jobs) >= QUEUED:
                self._chooser.give_back(choice)
                refused(choice.rule.name, "queue")
                return
            sample = _sample_of(batch, prediction)
            frame = None
            if choice.rule.pixels == "region":
                frame = self._parts.frame(prediction.camera, prediction.frame_index)
            self._jobs.append(_Job(choice, sample, prediction, second, frame))
            self._arrived.notify_all()

    def _work(self) -> None:
        try:
            self._opened()
        except OSError as error:
            self._failing = True
            log.warning("pictures cannot be kept (said once until they are): %s", error)
        while (job := self._next()) is not None:
            try:
                reason = self._keep(job)
                if self._failing:
                    log.info("pictures are kept again")
                self._failing = False
            except Exception as error:
                reason = "failed"
                if not self._failing:
                    log.warning("pictures cannot be kept (said once until they are): %s", error)
                self._failing = True
            if reason is not None:
                with self._lock:
                    if self._chooser is not None:
                        self._chooser.give_back(job.choice)
                self._parts.observer.picture_not_kept(job.choice.rule.name, reason)

    def _next(self) -> _Job | None:
        with self._arrived:
            self._arrived.wait_for(lambda: self._jobs or self._ends_s is not None)
            if not self._jobs or (self._ends_s is not None and time.monotonic() >= self._ends_s):
                return None
            return self._jobs.popleft()

    def _keep(self, job: _Job) -> str | None:
        """Store one picture; the reason why not, or None. Raises OSError, ValueError."""
        store = self._opened()
        place = (job.prediction.camera, job.prediction.region)
        picture, pixels = self._pixels(job)
        look = look_of(picture)
        looks = self._looks.setdefault(place, deque(maxlen=LOOKS))
        if look.like_any(looks):
            return "duplicate"
        kept = Kept(
            camera=job.prediction.camera,
            region=job.prediction.region,
            rule=job.choice.rule.name,
            why=job.choice.why,
            captured_at=job.prediction.captured_at,
            model=job.prediction.model,
            multi_label=self._is_multi_label(job.prediction.model.name),
            probabilities=dict(
                zip(job.prediction.labels, map(float, job.prediction.probabilities), strict=True)
            ),
            label=job.prediction.label,
            margin=job.choice.margin,
            pixels=pixels,
            look=look,
            shadow=job.second,
        )
        try:
            gone = store.add(_png(picture), kept)
        finally:
            self._parts.observer.collection(store.pictures, store.size_bytes)
        looks.append(look)
        self._parts.observer.picture_kept(job.choice.rule.name, job.choice.why)
        for each in gone:
            self._parts.observer.picture_not_kept(each.rule if each is not None else "", "evicted")
        return None

    def _opened(self) -> CollectedStore:
        assert self._plan is not None
        settings = self._plan.settings
        limits = StoreLimits(settings.max_size, settings.max_pictures)
        if self._store is None:
            store = CollectedStore(self._parts.state_dir, limits)
            store.open()
            for kept in sorted(store.kept(), key=lambda each: each.captured_at):
                self._looks.setdefault((kept.camera, kept.region), deque(maxlen=LOOKS)).append(kept.look)
            with self._lock:
                for kept in store.kept():
                    if self._chooser is not None:
                        self._chooser.count(kept.rule, kept.label, f"{kept.captured_at:%Y-%m-%d}")
            self._store = store
            self._parts.observer.collection(store.pictures, store.size_bytes)
        self._store.limits = limits
        return self._store

    def _pixels(self, job: _Job) -> tuple[U8, str]:
        """The region at full resolution where its frame is still there, else the model's own input."""
        place = (job.sample.camera, job.sample.region)
        shape = self._plan.regions.get(place) if self._plan is not None else None
        if job.frame is None or shape is None:
            return job.sample.array, "model"
        cutter = self._cutters.get(place)
        if cutter is None or cutter.shape != shape:
            cutter = self._cutters[place] = RegionCutter(job.sample.region, "", shape, lambda cut: cut)
        return cutter.crop(job.frame.array), "region"

    def _is_multi_label(self, model: str) -> bool:
        return self._plan is not None and model in self._plan.facts.multi_label


def _sample_of(batch: Batch, prediction: Prediction) -> Sample:
    place = (prediction.camera, prediction.region, prediction.frame_index)
    return next(each for each in batch.samples if (each.camera, each.region, each.frame_index) == place)


def _png(picture: U8) -> bytes:
    """Lossless. Raises ValueError."""
    turned = picture if picture.shape[2] == 1 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    ok, data = cv2.imencode(".png", turned, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not ok:
        raise ValueError(f"a picture of shape {picture.shape} cannot be encoded")
    return bytes(data.tobytes())
