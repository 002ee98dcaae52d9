"""Whether confidence means something: reliability, calibration error, risk against coverage, ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenode.records import F32

BINS = 15


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence against accuracy in equal-width bins over 0 to 1. Empty bins hold zeros."""

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    """Mean confidence of the bin's answers."""
    accuracy: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean |accuracy - confidence|, weighted by the bins' counts
        (Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015)."""
        total = int(self.count.sum())
        return float((self.count * np.abs(self.accuracy - self.confidence)).sum() / total) if total else 0.0


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Share of wrong answers among the most confident ones, against how many are given."""

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    aurc: float
    """Area under the curve: the mean risk over all coverages (Geifman and El-Yaniv, 2017)."""


def confidences(probabilities: F32, labels: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(confidence, whether right) of every answer: [N] for single-label models, [N · K] where each label of
    each picture is a decision of its own, sure by max(p, 1 - p)."""
    if labels.ndim == 1:
        return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    flat = probabilities.astype(np.float64).reshape(-1)
    right = (flat >= 0.5) == (labels.reshape(-1) > 0.5)
    return np.maximum(flat, 1.0 - flat), right


def reliability(probabilities: F32, labels: NDArray[Any], bins: int = BINS) -> Reliability:
    """The reliability diagram's numbers. A bin holds its lower edge and not its upper, but for the last."""
    confidence, right = confidences(probabilities, labels)
    place = np.clip((confidence * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = np.maximum(count, 1)
    return Reliability(
        count=count.astype(np.int64),
        confidence=np.bincount(place, weights=confidence, minlength=bins) / filled,
        accuracy=np.bincount(place, weights=right.astype(np.float64), minlength=bins) / filled,
    )


def risk_coverage(probabilities: F32, labels: NDArray[Any]) -> RiskCoverage:
    """The curve over all answers, surest first. Answers of equal confidence count as their average, so the
    curve does not depend on the order of the pictures."""
    confidence, right = confidences(probabilities, labels)
    order = np.argsort(-confidence, kind="stable")
    ordered, wrong = confidence[order], 1.0 - right[order].astype(np.float64)
    start = np.concatenate([[0], np.nonzero(np.diff(ordered))[0] + 1])
    length = np.diff(np.append(start, len(ordered)))
    wrong = np.repeat(np.add.reduceat(wrong, start) / length, length)
    given = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(wrong) / given
    return RiskCoverage(given / len(wrong), risk, float(risk.mean()))


def auc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half
    (Mann–Whitney's U over its largest value). None where one of the two is missing."""
    count = int(positive.sum())
    others = len(positive) - count
    if count == 0 or others == 0:
        return None
    _, place, size = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(size) - (size - 1) / 2.0
    total = float(rank[place][positive].sum())
    return (total - count * (count + 1) / 2.0) / (count * others)
