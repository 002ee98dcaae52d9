"""A second model that answers the same samples after the one that serves, and decides nothing.

It works on a thread of its own under a budget: after a run it rests until its share of one core is kept, and a
batch that comes while it works or rests is skipped and counted. The serving model's thread only leaves a
reference behind, so the shadow costs it nothing but what the two take from each other's core.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgenode.errors import InferenceError, RunTimeoutError
from edgenode.inference.classifier import Classifier, Outputs
from edgenode.records import F32, Batch

log = logging.getLogger(__name__)

EXAMPLES = 8
"""The newest disagreements that are kept to be shown."""
_PRESENT = 0.5
"""From this probability on a label of a multi-label model counts as said."""

Witness = Callable[[Batch, Outputs, Outputs], None]
"""A batch, what the serving model answered, what the shadow answered; called where the two differ."""
Skip = Literal["late", "failed", "non_finite"]


class ShadowObserver(Protocol):
    """What telemetry learns of a shadow. Called on the shadow's or the engine's thread."""

    def shadow_compared(self, model: str, agreed: int, disagreed: int) -> None: ...
    def shadow_skipped(self, model: str, reason: str, count: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One sample on which the two said different things."""

    camera: str
    region: str
    captured_at: datetime
    serving: str
    serving_probability: float
    shadow: str
    shadow_probability: float


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """What was measured since the shadow began, at one instant."""

    samples: int
    agreed: int
    skipped_late: int
    failed: int
    non_finite: int
    run_s: float
    examples: tuple[Disagreement, ...] = ()

    @property
    def agreement(self) -> float | None:
        return self.agreed / self.samples if self.samples else None


@dataclass(slots=True)
class _Counting:
    samples: int = 0
    agreed: int = 0
    late: int = 0
    failed: int = 0
    non_finite: int = 0
    run_s: float = 0.0
    examples: deque[Disagreement] = field(default_factory=lambda: deque(maxlen=EXAMPLES))


class Shadow:
    """`offer` is called by the engine's thread and never waits. The classifier belongs to the caller, who closes
    it after `join`."""

    def __init__(
        self,
        model: str,
        classifier: Classifier,
        share: float,
        observer: ShadowObserver,
        witness: Witness | None = None,
    ) -> None:
        """`share`: most of one core, above 0 to 1. `witness` sees what both said of each batch, on the shadow's
        thread; it must be quick and not raise."""
        self.model = model
        self.classifier = classifier
        self._share = share
        self._observer = observer
        self._witness = witness
        self._changed = threading.Condition()
        self._waiting: tuple[Batch, Outputs] | None = None
        self._stopping = False
        self._busy = False
        self._counting = _Counting()
        self._endless = ""
        self._thread = threading.Thread(target=self._work, name=f"shadow-{model}", daemon=True)

    @property
    def endless(self) -> str:
        """Why it was ended: a run took longer than its limit. Empty while it works."""
        return self._endless

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._waiting = None
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; a run in progress is waited for, at most its own limit."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def offer(self, batch: Batch, outputs: Outputs) -> None:
        """What the serving model answered to `batch`. Skipped, and counted, where the shadow is not free."""
        with self._changed:
            if self._stopping or self._endless:
                return
            if self._busy or self._waiting is not None:
                self._counting.late += len(batch.samples)
                late = len(batch.samples)
            else:
                late = 0
                self._waiting = (batch, outputs)
                self._changed.notify_all()
        if late:
            self._observer.shadow_skipped(self.model, "late", late)

    def counts(self) -> ShadowCounts:
        with self._changed:
            c = self._counting
            return ShadowCounts(
                c.samples, c.agreed, c.late, c.failed, c.non_finite, c.run_s, tuple(c.examples)
            )

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.wait_for(lambda: self._stopping or self._waiting is not None)
                if self._stopping or self._waiting is None:
                    return
                batch, outputs = self._waiting
                self._waiting, self._busy = None, True
            begun_s = time.perf_counter()
            self._compare(batch, outputs)
            if self._endless:
                return
            self._rest(time.perf_counter() - begun_s)

    def _rest(self, worked_s: float) -> None:
        """Long enough that the share is kept: w seconds of work in w / share of time."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, worked_s * (1.0 / self._share - 1.0))

    def _compare(self, batch: Batch, outputs: Outputs) -> None:
        begun_s = time.perf_counter()
        try:
            mine = self.classifier.classify(np.stack([sample.array for sample in batch.samples]))
        except RunTimeoutError as error:
            self._endless = str(error)
            self._failed(len(batch.samples))
            return
        except InferenceError as error:
            log.warning("shadow of model %s: %s", self.model, error)
            self._failed(len(batch.samples))
            return
        run_s = time.perf_counter() - begun_s
        both = outputs.finite & mine.finite
        agree = self._agree(outputs.probabilities, mine.probabilities) & both
        differ = np.nonzero(both & ~agree)[0]
        unfit = int((outputs.finite & ~mine.finite).sum())
        with self._changed:
            self._counting.samples += int(both.sum())
            self._counting.agreed += int(agree.sum())
            self._counting.non_finite += unfit
            self._counting.run_s += run_s
            self._counting.examples.extend(self._example(batch, outputs, mine, int(row)) for row in differ)
        self._observer.shadow_compared(self.model, int(agree.sum()), len(differ))
        if self._witness is not None and len(differ):
            self._witness(batch, outputs, mine)
        if unfit:
            self._observer.shadow_skipped(self.model, "non_finite", unfit)

    def _agree(self, theirs: F32, mine: F32) -> NDArray[np.bool_]:
        """bool [N]: the same top label, or for multi-label models the same set of labels."""
        if self.classifier.card.task == "single_label":
            return np.asarray(theirs.argmax(axis=1) == mine.argmax(axis=1))
        return np.asarray(((theirs >= _PRESENT) == (mine >= _PRESENT)).all(axis=1))

    def _example(self, batch: Batch, outputs: Outputs, mine: Outputs, row: int) -> Disagreement:
        labels, sample = self.classifier.card.labels, batch.samples[row]
        theirs, ours = outputs.probabilities[row], mine.probabilities[row]
        return Disagreement(
            camera=sample.camera,
            region=sample.region,
            captured_at=sample.captured_at,
            serving=labels[int(theirs.argmax())],
            serving_probability=float(theirs.max()),
            shadow=labels[int(ours.argmax())],
            shadow_probability=float(ours.max()),
        )

    def _failed(self, count: int) -> None:
        with self._changed:
            self._counting.failed += count
        self._observer.shadow_skipped(self.model, "failed", count)
