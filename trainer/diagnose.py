"""What the curves of a training say, in words, with the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.options import EpochRecord, Trained

GAP = 0.03
"""Accuracy on training pictures this far above validation's is learning by heart."""


KNOWN = 0.9
"""A model that is right on fewer of its training pictures knows nothing by heart."""
LEARNING = 0.1
"""A training loss that fell by more than this fraction in the second half of the epochs was still falling."""


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Literal["overfitting", "underfitting", "unfinished", "plateau", "small_validation", "healthy"]
    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.text} {self.remedy}".strip()


def diagnose(trained: Trained, val_pictures: int) -> tuple[Finding, ...]:
    """The findings of a finished training, most important first; never empty."""
    best = next((r for r in trained.history if r.epoch == trained.best_epoch), trained.history[-1])
    last = trained.history[-1]
    findings = []
    step = 1.0 / max(1, val_pictures)
    gap = best.train_accuracy - best.val_accuracy
    if gap > max(GAP, 2 * step):
        risen = last.val_loss > 1.1 * best.val_loss
        worse = f", and validation loss rose from {best.val_loss:.3f} to {last.val_loss:.3f}" if risen else ""
        by_heart = best.train_accuracy >= KNOWN or risen
        what = (
            "it learns by heart"
            if by_heart
            else f"it has learnt neither well, and {_learning(trained.history)}"
        )
        first = "" if by_heart else _more_time(trained.history)
        findings.append(
            Finding(
                "overfitting",
                f"The model knows its training pictures ({best.train_accuracy:.1%}) better than new ones "
                f"({best.val_accuracy:.1%}){worse}: {what}.",
                f"The weights of epoch {best.epoch + 1} were kept. {first}More pictures help most; else stronger "
                "augmentation, a smaller architecture, or a larger dropout.",
            )
        )
    elif best.train_accuracy < 0.97 and not _still_falling(trained.history):
        findings.append(
            Finding(
                "underfitting",
                f"The model misses {1 - best.train_accuracy:.1%} even of its training pictures, and "
                f"{_learning(trained.history)}.",
                f"{_more_time(trained.history)}Try a larger architecture, larger pictures (--size), weaker "
                "augmentation, or look for wrong labels with `inspect`.",
            )
        )
    if _still_falling(trained.history) and best.epoch == last.epoch and best.val_accuracy < 1.0:
        cut = " when the time budget ended" if trained.ended == "budget" else " when it ended"
        findings.append(
            Finding(
                "unfinished",
                f"Validation loss was still falling{cut} ({best.val_loss:.3f}).",
                "Give it more time (--budget) or more epochs (--epochs).",
            )
        )
    if trained.ended == "plateau":
        findings.append(
            Finding(
                "plateau",
                f"Nothing got better after epoch {best.epoch + 1}: stopped at {last.epoch + 1} of {trained.epochs}.",
                f"The weights of epoch {best.epoch + 1} were kept.",
            )
        )
    if val_pictures < 100:
        findings.append(
            Finding(
                "small_validation",
                f"Only {val_pictures} pictures to choose by: one of them is {step:.1%}.",
                "Thresholds and temperature are rough; add pictures.",
            )
        )
    if not findings:
        findings.append(
            Finding(
                "healthy",
                f"Training ({best.train_accuracy:.1%}) and validation ({best.val_accuracy:.1%}) agree.",
                "",
            )
        )
    return tuple(findings)


def _learning(history: Sequence[EpochRecord]) -> str:
    before, after = _second_half(history)
    if after < (1.0 - LEARNING) * before:
        return (
            f"was still learning (training loss {before:.3f} to {after:.3f} in the second half of its epochs)"
        )
    return "no longer learns"


def _more_time(history: Sequence[EpochRecord]) -> str:
    before, after = _second_half(history)
    return "First give it more time (--budget, --epochs). " if after < (1.0 - LEARNING) * before else ""


def _second_half(history: Sequence[EpochRecord]) -> tuple[float, float]:
    """Training loss at its start and its end."""
    return history[(len(history) - 1) // 2].train_loss, history[-1].train_loss


def _still_falling(history: Sequence[EpochRecord]) -> bool:
    """Whether the last tenth of the epochs lowered validation loss by more than 5 % of what it was.

    The one-cycle schedule ends at a learning rate of zero: a loss that falls until then had steps to spare.
    """
    tail = max(1, len(history) // 10)
    if len(history) < 2 * tail:
        return False
    before = min(record.val_loss for record in history[:-tail])
    return min(record.val_loss for record in history[-tail:]) < 0.95 * before
