"""Progress of a training: a bar with the time left on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

from trainer.options import EpochRecord

LINE_EVERY_S = 10.0
"""Without a terminal: at most one line of curves in this time, so that a log stays readable."""


class Display:
    """Writes to stderr. A context manager; all methods are called from the training's thread."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._last_line = float("-inf")

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def say(self, text: str) -> None:
        if self._quiet:
            return
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def reading(self, what: str, done: int, total: int) -> None:
        self._advance(what, what, done, total)

    def training(self, done: float, record: EpochRecord | None, epochs: int) -> None:
        """`done` is the fraction of the schedule; `record` is there at the end of an epoch."""
        text = "training"
        if record is not None:
            text = (
                f"epoch {record.epoch + 1}: loss {record.batch_loss:.3f}, training {record.train_accuracy:.2%}, "
                f"validation {record.val_accuracy:.2%} ({record.val_loss:.4f})"
            )
            due = time.monotonic() - self._last_line >= LINE_EVERY_S
            if self._bars is None and (due or done >= 1.0):
                self._last_line = time.monotonic()
                left = record.elapsed_s * (1.0 / min(max(done, 1e-3), 1.0) - 1.0)
                self.say(
                    f"{text}, {record.elapsed_s:.0f} s, {min(done, 1.0):.0%} of {epochs} epochs or the budget, "
                    f"{left:.0f} s left"
                )
        self._advance("training", text if record is not None else None, done * 1000, 1000)

    def _advance(self, key: str, text: str | None, done: float, total: float) -> None:
        if self._bars is None:
            return
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(text or key, total=total)
        changes = {"description": text} if text is not None else {}
        self._bars.update(self._tasks[key], completed=done, total=total, **changes)
