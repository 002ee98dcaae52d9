"""What follows a run of the model: done at once while nothing else waits, else beside the next run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from edgenode.inference.classifier import Classifier, Outputs
from edgenode.records import Batch

log = logging.getLogger(__name__)

DEPTH = 3
"""Answers that may be under way, the one that is being followed among them. The model waits for room then, so that
what is decided is at most so many runs old."""
WORTH = 2.0
"""A hand-over pays where a run takes this many times what follows it; below, the two would only take Python's lock
from each other."""
_SMOOTHING = 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    """One batch and what the model said of it."""

    batch: Batch
    outputs: Outputs
    classifier: Classifier
    """The one that said it; it may be closed by now."""
    infer_s: float


class AnswerLane:
    """Hands answers to `follow`, one at a time, in the order in which they were given.

    `give` and `close` are called by the engine's thread. While more samples wait, `follow` runs on a thread of its
    own, started with the first such answer: deciding and publishing then take no time from the model
    (`docs/decisions/0091-decisions-beside-the-model.md`). `follow` raising is logged and ends nothing.
    """

    def __init__(self, model: str, follow: Callable[[Answer], None]) -> None:
        self._model = model
        self._follow = follow
        self._queue: SimpleQueue[Answer | None] = SimpleQueue()
        """None: the end. Answers are handed over without a lock of Python's own: it would cost as much as deciding."""
        self._given = 0
        """Answers handed over; written by the giver alone."""
        self._done = 0
        """Answers the lane's thread has followed; written by it alone."""
        self._crowded = False
        """The giver waits for room."""
        self._room = threading.Event()
        self._thread: threading.Thread | None = None
        self._follow_s = 0.0
        """What `follow` takes, smoothed."""

    def give(self, answer: Answer, more: bool) -> None:
        """Let `answer` be followed. `more`: samples wait for the model. Waits while `DEPTH` answers do."""
        if self._given == self._done and not (more and answer.infer_s >= WORTH * self._follow_s > 0.0):
            self._do(answer)
            return
        self._wait_for_room()
        self._given += 1
        self._queue.put(answer)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"decide-{self._model}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Have everything followed that was given, and end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _wait_for_room(self) -> None:
        while self._given - self._done >= DEPTH:
            self._room.clear()
            self._crowded = True  # before the second look: the lane's thread counts first and looks here then
            if self._given - self._done >= DEPTH:
                self._room.wait()
            self._crowded = False

    def _work(self) -> None:
        while (answer := self._queue.get()) is not None:
            self._do(answer)
            self._done += 1
            if self._crowded:
                self._room.set()

    def _do(self, answer: Answer) -> None:
        begun_s = time.perf_counter()
        try:
            self._follow(answer)
        except Exception:
            log.exception("model %s: what follows its answers failed on a batch and goes on", self._model)
        self._follow_s += _SMOOTHING * (time.perf_counter() - begun_s - self._follow_s)
