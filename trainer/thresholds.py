"""From what a model says to what is believed: thresholds per label, and the confidence to abstain under.

Chosen on the validation part, written into the card; the node's decision stage uses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenode.inference.card import Threshold
from edgenode.records import F32

_LEAVE_MISSES = 0.05
"""A region that shows a label falls under `leave` in one picture of twenty."""


def choose_thresholds(
    probabilities: F32, labels: NDArray[Any], label_names: Sequence[str], precision: float = 0.95
) -> tuple[Threshold, ...]:
    """One threshold a label that has pictures here: present from `enter` on, until under `leave`.

    `enter` is the lowest probability from which on at least `precision` of those above it have the label:
    the most recall that precision allows. It lies halfway to the next lower probability seen, and for
    single-label models never under 0.5. Where no probability reaches the precision, the one of the highest
    precision is taken; the threshold's own `precision` says what it gave. `leave` is what 19 of 20 pictures
    with the label stay above, but at least half of `enter`, and at most `enter`.
    """
    truth = presence(labels, probabilities.shape[1])
    floor = 0.5 if labels.ndim == 1 else 0.0
    chosen = []
    for index, name in enumerate(label_names):
        scores, has = probabilities[:, index].astype(np.float64), truth[:, index]
        if not has.any():
            continue
        enter = max(floor, _enter(scores, has, precision))
        above = scores >= enter
        hits = int((above & has).sum())
        stays = float(np.quantile(scores[has], _LEAVE_MISSES))
        chosen.append(
            Threshold(
                label=name,
                enter=round(enter, 6),
                leave=round(min(enter, max(enter / 2, stays)), 6),
                precision=hits / int(above.sum()) if above.any() else None,
                recall=hits / int(has.sum()),
            )
        )
    return tuple(chosen)


def choose_abstain(
    probabilities: F32, labels: NDArray[Any], accuracy: float = 0.99, least_coverage: float = 0.5
) -> float:
    """The confidence under which an answer is not given: the lowest one from which on at least `accuracy`
    of the answers are right.

    0 (never abstain) where all answers together reach it. Where nothing does while keeping at least
    `least_coverage` of the answers, the confidence of the best accuracy within that coverage. For models of
    several labels a picture there is no one confidence, and it is 0.
    """
    if labels.ndim == 2 or not len(labels):
        return 0.0
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    if right.mean() >= accuracy:
        return 0.0
    levels, share_right, coverage = _from_the_top(confidence, right)
    allowed = coverage >= least_coverage
    enough = np.nonzero(allowed & (share_right >= accuracy))[0]
    best = enough[-1] if len(enough) else int(np.argmax(np.where(allowed, share_right, -1.0)))
    return _halfway(levels, int(best))


def presence(labels: NDArray[Any], count: int) -> NDArray[np.bool_]:
    """bool [N, K] from int64 [N] indices or float [N, K] of zeros and ones."""
    if labels.ndim == 2:
        return np.asarray(labels > 0.5)
    return np.asarray(labels[:, None] == np.arange(count)[None, :])


def _enter(scores: NDArray[np.float64], has: NDArray[np.bool_], precision: float) -> float:
    levels, share, _ = _from_the_top(scores, has)
    enough = np.nonzero(share >= precision)[0]
    best = enough[-1] if len(enough) else int(np.argmax(share))
    return _halfway(levels, int(best))


def _from_the_top(
    scores: NDArray[np.float64], good: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(levels, share good, coverage) for each distinct score, descending: of what lies at or above it."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.nonzero(np.diff(ordered))[0], len(ordered) - 1)
    taken = last + 1.0
    return ordered[last], np.cumsum(good[order])[last] / taken, taken / len(scores)


def _halfway(levels: NDArray[np.float64], index: int) -> float:
    below = levels[index + 1] if index + 1 < len(levels) else levels[index]
    return float((levels[index] + below) / 2)
