"""What a node would make of a model's answers on these pictures: by its thresholds, and where it abstains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenode.inference.card import Interval, ModelCard
from edgenode.records import F32
from trainer.curves import confidences
from trainer.metrics import EvaluationResult, share_interval
from trainer.thresholds import presence

_TOLD = 6
"""Labels named one by one."""


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """One label from its `enter` on, on the pictures looked at."""

    label: str
    enter: float
    leave: float
    taken: int
    """Pictures at or above `enter`."""
    precision: Interval | None
    """None where no picture is."""
    recall: Interval | None
    promised: float | None
    """The precision it gave on the validation part."""


@dataclass(frozen=True, slots=True)
class Abstaining:
    """Answers under the card's `abstain_below` left out."""

    below: float
    given: Interval
    """Share of the answers that are given."""
    right: Interval | None
    """Share of those that is right; None where none is given."""


def at_thresholds(card: ModelCard, probabilities: F32, labels: NDArray[Any]) -> tuple[AtThreshold, ...]:
    """Of every label that has a threshold; `probabilities` [N, K] and `labels` in the card's order."""
    truth = presence(labels, len(card.labels))
    found = []
    for threshold in card.thresholds:
        index = card.labels.index(threshold.label)
        above, has = probabilities[:, index] >= threshold.enter, truth[:, index]
        hits = int((above & has).sum())
        found.append(
            AtThreshold(
                label=threshold.label,
                enter=threshold.enter,
                leave=threshold.leave,
                taken=int(above.sum()),
                precision=share_interval(hits, int(above.sum())),
                recall=share_interval(hits, int(has.sum())),
                promised=threshold.precision,
            )
        )
    return tuple(found)


def abstaining(card: ModelCard, probabilities: F32, labels: NDArray[Any]) -> Abstaining | None:
    """None where the model always answers."""
    if card.abstain_below <= 0 or labels.ndim == 2:
        return None
    confidence, right = confidences(probabilities, labels)
    kept = confidence >= card.abstain_below
    given = share_interval(int(kept.sum()), len(kept))
    assert given is not None
    return Abstaining(card.abstain_below, given, share_interval(int((right & kept).sum()), int(kept.sum())))


def answer_text(card: ModelCard, row: NDArray[Any]) -> str:
    """One picture's answer for people: the label, or all that are present."""
    if card.task == "multi_label":
        return "; ".join(card.labels[k] for k in np.nonzero(row >= 0.5)[0]) or "none"
    return card.labels[int(row.argmax())]


def missed_precision(card: ModelCard, required: float) -> list[str]:
    """What to know of thresholds that do not give the precision required, on the validation part."""
    short = [t for t in card.thresholds if t.precision is not None and t.precision < required]
    silent = [t.label for t in card.thresholds if t.precision is None]
    lacking = [label for label in card.labels if card.threshold(label) is None]
    lines = [
        f"label {t.label!r}: no threshold gives the precision of {required:.1%} asked for; from {t.enter:.3f} on it is "
        f"{t.precision:.1%} on the validation part"
        for t in short[:_TOLD]
    ]
    if len(short) > _TOLD:
        lines.append(f"{len(short) - _TOLD} more labels do not reach that precision either")
    if silent:
        lines.append(
            f"no validation picture reaches the threshold of {_named(silent)}: its precision is not known"
        )
    if lacking:
        lines.append(f"no threshold for {_named(lacking)}: no validation picture has the label")
    return lines


def calibration_text(result: EvaluationResult) -> str:
    """The calibration error beside what chance alone makes of so few answers."""
    chance = result.ece_by_chance
    said = "no more than chance explains" if result.ece <= chance.high else "more than chance explains"
    return (
        f"{result.ece:.4f}, {said} (true confidences on as many answers: about {chance.median:.4f}, 95 % under "
        f"{chance.high:.4f})"
    )


def _named(labels: list[str]) -> str:
    more = f" and {len(labels) - _TOLD} more" if len(labels) > _TOLD else ""
    return ", ".join(map(repr, labels[:_TOLD])) + more
