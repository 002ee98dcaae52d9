"""Whether confidence means something: reliability, calibration error, risk against coverage, ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenode.records import F32

BINS = 15
_ROUNDS = 1000
_FINE = 100
"""Parts of a bin in which confidences are taken as equal: a thousandth and less."""


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
class ByChance:
    """What a model whose every confidence is true shows on as many answers of the same confidences.

    Few answers never lie on the diagonal: 160 of them, perfectly calibrated, have an error of some 0.05.
    """

    median: float
    """Of the calibration error."""
    high: float
    """95 of 100 such models show less."""
    low_accuracy: NDArray[np.float64]
    high_accuracy: NDArray[np.float64]
    """Of each bin, between which 95 of 100 lie; zeros in empty bins."""


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


def ece_by_chance(
    probabilities: F32, labels: NDArray[Any], bins: int = BINS, rounds: int = _ROUNDS, seed: int = 0
) -> ByChance:
    """Draws for every answer whether it is right, with its own confidence as the chance, `rounds` times.

    Where a picture has several labels its decisions are drawn apart from each other.
    """
    confidence, _ = confidences(probabilities, labels)
    fine = np.clip((confidence * bins * _FINE).astype(np.int64), 0, bins * _FINE - 1)
    cells, place, count = np.unique(fine, return_inverse=True, return_counts=True)
    claimed = np.bincount(place, weights=confidence)
    chance = np.clip(claimed / count, 0.0, 1.0)
    drawn = np.random.default_rng(seed).binomial(count, chance, size=(rounds, len(cells)))
    filled, start = np.unique(cells // _FINE, return_index=True)
    hits = np.add.reduceat(drawn, start, axis=1)
    error = np.abs(hits - np.add.reduceat(claimed, start)).sum(axis=1) / len(confidence)
    low, high = np.zeros(bins), np.zeros(bins)
    share = hits / np.add.reduceat(count, start)
    low[filled], high[filled] = np.quantile(share, (0.025, 0.975), axis=0)
    median, most = np.quantile(error, (0.5, 0.95))
    return ByChance(float(median), float(most), low, high)


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


def auc_interval(
    scores: NDArray[Any], truth: NDArray[np.bool_], rounds: int, rng: np.random.Generator
) -> tuple[float, float] | None:
    """95 % interval of the mean of the labels' areas, by drawing pictures anew: `scores` and `truth` are [N, K].

    A draw that lacks a label, or has nothing else, leaves that label out of its mean. None where there is nothing to
    vary.
    """
    total, labels = scores.shape
    rounds = min(rounds, max(100, 10_000_000 // (total * labels)))
    weights = rng.multinomial(total, np.full(total, 1.0 / total), size=rounds).astype(np.float32)
    areas = np.full((rounds, labels), np.nan)
    for label in range(labels):
        order = np.argsort(scores[:, label], kind="stable")
        ordered = scores[order, label]
        start = np.concatenate([[0], np.nonzero(np.diff(ordered))[0] + 1])
        drawn, has = weights[:, order], truth[order, label]
        positive = np.add.reduceat(drawn * has, start, axis=1, dtype=np.float64)
        negative = np.add.reduceat(drawn * ~has, start, axis=1, dtype=np.float64)
        below = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        wins = (positive * below).sum(axis=1)
        areas[:, label] = np.where(pairs > 0, wins / np.maximum(pairs, 1.0), np.nan)
    known = areas[~np.isnan(areas).all(axis=1)]
    if not len(known):
        return None
    low, high = np.quantile(np.nanmean(known, axis=1), (0.025, 0.975))
    return float(low), float(high)
