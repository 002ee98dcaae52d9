"""One model's thread: take a batch, classify it, hand the predictions on."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edgenode.clock import Backoff, Clock, SystemClock
from edgenode.errors import EdgeNodeError, ModelError
from edgenode.inference.answer_lane import Answer, AnswerLane
from edgenode.inference.batch_size import BatchSize
from edgenode.inference.classifier import Classifier, Outputs
from edgenode.inference.sample_buffer import SampleBuffer
from edgenode.inference.service_record import ServiceRecord
from edgenode.inference.tray import Tray
from edgenode.records import Batch, DropReason, Prediction

log = logging.getLogger(__name__)

Deliver = Callable[[Sequence[Prediction]], None]
Follow = Callable[[Batch, Outputs], None]
"""Gets each batch and its answers after they were delivered; must neither wait nor raise."""
Witness = Callable[[Batch, Sequence[Prediction]], None]
"""Sees a batch and what was said of it, after `Deliver`, on the same thread: must be quick and not raise."""


class InferenceObserver(Protocol):
    """What telemetry learns of a model's work. Called on the engine's thread or on its lane's."""

    def batch(self, model: str, size: int, infer_s: float) -> None:
        """`size` samples were classified in one run of `infer_s` seconds."""
        ...

    def queue_seconds(self, seconds: float) -> None:
        """One sample waited this long in the buffer."""
        ...

    def dropped(self, camera: str, reason: DropReason, count: int) -> None:
        """`count` more samples of `camera` were taken and not answered: `failed` or `non_finite`.

        What was dropped before it was taken stands in `SampleBuffer.counts`, not here.
        """
        ...

    def inference_failed(self, model: str, reason: str) -> None:
        """One batch was not fully answered: `failed`, `non_finite`; or `deliver`: answered, not delivered."""
        ...


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How a model's thread works. The first two come from the settings."""

    max_batch: int = 8
    max_wait_s: float = 0.0
    """How long to wait for a fuller batch. Without waiting no more are taken at once than make a sample cheaper."""
    drain_s: float = 5.0
    """How long `stop` lets it classify what is held."""
    idle_s: float = 1.0
    """How often an idle engine says that it lives."""
    first_pause_s: float = 0.1
    """After the second failed batch in a row; doubles, with jitter, up to `longest_pause_s`."""
    longest_pause_s: float = 30.0
    clock: Clock = field(default_factory=SystemClock)
    witness: Witness | None = None


class Engine:
    """Runs one classifier over one buffer on a thread of its own.

    `deliver` gets the predictions of one batch, in order of arrival, one batch at a time: on this thread while no
    sample waits, else on its lane's, beside the next run. Neither a failing model nor a raising `deliver` ends a
    thread. The classifiers belong to the caller, who closes them after `join`, or after `swap` has returned the old
    one.
    """

    def __init__(
        self,
        model: str,
        buffer: SampleBuffer,
        classifier: Classifier,
        deliver: Deliver,
        observer: InferenceObserver,
        options: EngineOptions | None = None,
    ) -> None:
        self.model = model
        self._buffer = buffer
        self._classifier = classifier
        self._deliver = deliver
        self._observer = observer
        self._options = options if options is not None else EngineOptions()
        self._clock = self._options.clock
        self._pauses = Backoff(self._options.first_pause_s, self._options.longest_pause_s, floor_s=0.0)
        self._record = ServiceRecord(classifier.identity.sha256)
        self._follow: Follow | None = None
        self._tray = Tray()
        self._sizes = BatchSize(self._options.max_batch)
        self._lane = AnswerLane(model, self._hand_on)
        self._running = threading.Lock()
        """Held while a batch is in the classifier: `swap` takes it to come between two batches."""
        self._stopping = threading.Event()
        self._drain_until_s = float("inf")
        self._heartbeat_s = self._clock.monotonic()
        self._failures_in_a_row = 0
        self._deliver_failures = 0
        self._delivering = True
        self._thread = threading.Thread(target=self._work, name=f"infer-{model}", daemon=True)

    @property
    def classifier(self) -> Classifier:
        """The one that serves now."""
        return self._classifier

    @property
    def record(self) -> ServiceRecord:
        """Of the classifier that serves now, since it does."""
        return self._record

    def follow(self, follow: Follow | None) -> None:
        """Let a shadow have each batch, after its predictions were delivered; None: no longer."""
        self._follow = follow

    @property
    def heartbeat_s(self) -> float:
        """Monotonic time of the last progress: a finished batch, or a look at an empty buffer."""
        return self._heartbeat_s

    @property
    def failures_in_a_row(self) -> int:
        """Batches that failed since the last one that did not; from 1 on the model is not to be trusted."""
        return self._failures_in_a_row

    @property
    def deliver_failures(self) -> int:
        """How often `deliver` raised."""
        return self._deliver_failures

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no more offers; classify what is held for at most `drain_s` and drop the rest as `closed`."""
        self._drain_until_s = time.monotonic() + self._options.drain_s
        self._buffer.close()  # first: whatever is offered before the thread looks is seen by it
        self._stopping.set()
        if self._thread.ident is None:
            self._buffer.discard()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; False when it still runs after `timeout_s`."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def misfit(self, classifier: Classifier) -> str | None:
        """Why `classifier` cannot take over while cameras and rules stay as they are, or None.

        It would need other samples than the cameras cut, or answer with other labels than the rules know.
        """
        new, old = classifier.card, self._classifier.card
        for what, new_value, old_value in (
            ("name", classifier.identity.name, self._classifier.identity.name),
            ("input", new.input, old.input),
            ("labels", new.labels, old.labels),
            ("task", new.task, old.task),
        ):
            if new_value != old_value:
                return f"the new version's {what} differs: {new_value} instead of {old_value}"
        return None

    def swap(self, classifier: Classifier) -> Classifier:
        """Let `classifier` serve from the next batch on; returns the one that served until now.

        Waits for the batch that runs now, if any. Nothing held is lost and nothing is classified twice.
        Raises ModelError, and keeps the old one, when the new one is a `misfit`.
        """
        with self._running:
            misfit = self.misfit(classifier)
            if misfit is not None:
                raise ModelError(f"model {self.model}: {misfit}; change it with the configuration")
            old, self._classifier = self._classifier, classifier
            self._record = ServiceRecord(classifier.identity.sha256)
            self._sizes = BatchSize(self._options.max_batch)
        return old

    def _work(self) -> None:
        while not (self._stopping.is_set() and self._drained()):
            try:
                self._step()
                if self._failures_in_a_row == 0:
                    self._pauses.reset()
            except Exception:
                log.exception("model %s: the inference thread failed on a batch and goes on", self.model)
                self._pause()
        self._lane.close()

    def _drained(self) -> bool:
        """While stopping: whether nothing is held any more, or time is up and the rest has been dropped."""
        if time.monotonic() >= self._drain_until_s:
            self._buffer.discard()
            return True
        return self._buffer.counts().held == 0

    def _step(self) -> None:
        began_s, held, sizes = time.perf_counter(), self._buffer.held, self._sizes
        batch = self._buffer.take(self._limit(held), self._options.idle_s, self._options.max_wait_s)
        if batch is not None and self._classify(batch) and held:
            sizes.ran(len(batch.samples), time.perf_counter() - began_s)
        self._heartbeat_s = self._clock.monotonic()

    def _limit(self, held: int) -> int:
        if self._failures_in_a_row:
            return 1  # one by one, so that a sample the model cannot bear takes no other camera's along
        if self._options.max_wait_s > 0.0:
            return self._options.max_batch
        return self._sizes.limit(held, time.monotonic())

    def _classify(self, batch: Batch) -> bool:
        """Whether it was answered."""
        record = self._record
        try:
            with self._running:
                classifier, record = self._classifier, self._record
                started_s = time.perf_counter()
                outputs = classifier.classify(self._tray.filled([sample.array for sample in batch.samples]))
        except Exception as error:
            record.raised(error)
            self._count_failed(batch, error)
            return False
        infer_s = time.perf_counter() - started_s
        if self._failures_in_a_row:
            log.warning(
                "model %s: answers again after %d failed batches", self.model, self._failures_in_a_row
            )
            self._failures_in_a_row = 0
        samples = len(batch.samples)
        record.answered(samples, infer_s, samples - int(np.count_nonzero(outputs.finite)))
        self._lane.give(Answer(batch, outputs, classifier, infer_s), more=self._buffer.held > 0)
        return True

    def _hand_on(self, answer: Answer) -> None:
        """All that follows a run that was answered. Called by the lane."""
        batch, outputs = answer.batch, answer.outputs
        predictions = predictions_of(batch, outputs, answer.classifier)
        if predictions:
            self._tell(batch, predictions)
        if (follow := self._follow) is not None:
            follow(batch, outputs)
        self._observer.batch(self.model, len(batch.samples), answer.infer_s)
        for seconds in batch.waited_s:
            self._observer.queue_seconds(seconds)
        if len(predictions) < len(batch.samples):
            self._count_dropped(
                [s.camera for s, finite in zip(batch.samples, outputs.finite, strict=True) if not finite],
                DropReason.NON_FINITE,
            )

    def _tell(self, batch: Batch, predictions: Sequence[Prediction]) -> None:
        try:
            self._deliver(predictions)
            if self._options.witness is not None:
                self._options.witness(batch, predictions)
            self._delivering = True
        except Exception:
            self._deliver_failures += 1
            if self._delivering:
                log.exception("model %s: predictions are lost; said once until they are not", self.model)
            self._delivering = False
            self._observer.inference_failed(self.model, "deliver")

    def _count_failed(self, batch: Batch, error: Exception) -> None:
        self._failures_in_a_row += 1
        if self._failures_in_a_row == 1:
            log.error(
                "%s; %d samples are lost, trying on with longer and longer pauses",
                error if isinstance(error, EdgeNodeError) else f"model {self.model}: {error!r}",
                len(batch.samples),
            )
        self._count_dropped([sample.camera for sample in batch.samples], DropReason.FAILED)
        if self._failures_in_a_row > 1:
            self._pause()

    def _count_dropped(self, cameras: list[str], reason: DropReason) -> None:
        for camera, count in Counter(cameras).items():
            self._observer.dropped(camera, reason, count)
        self._observer.inference_failed(self.model, reason.value)

    def _pause(self) -> None:
        """Wait before the next batch, or until the node stops, with a sign of life every `idle_s`."""
        left_s = self._pauses.next_s()
        while left_s > 0 and not self._stopping.is_set():
            self._heartbeat_s = self._clock.monotonic()
            self._clock.wait(self._stopping, min(left_s, self._options.idle_s))
            left_s -= self._options.idle_s


def predictions_of(batch: Batch, outputs: Outputs, classifier: Classifier) -> list[Prediction]:
    """One prediction for each row that is finite, in the order of the batch."""
    card = classifier.card
    labels = tuple(card.labels)
    tops = outputs.probabilities.argmax(axis=1)
    return [
        Prediction(
            camera=sample.camera,
            region=sample.region,
            model=classifier.identity,
            labels=labels,
            probabilities=outputs.probabilities[row],
            label=labels[tops[row]],
            probability=float(outputs.probabilities[row, tops[row]]),
            frame_index=sample.frame_index,
            captured_s=sample.captured_s,
            captured_at=sample.captured_at,
            batch_size=len(batch.samples),
            abstain_below=card.abstain_below,
            embedding=None if outputs.embedding is None else outputs.embedding[row],
        )
        for row, sample in enumerate(batch.samples)
        if outputs.finite[row]
    ]
