"""How good a model's answers are, with how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenode.errors import DataError
from edgenode.inference.card import Bin, ClassScore, Evaluation, Interval
from edgenode.records import F32
from trainer.curves import (
    ByChance,
    Reliability,
    RiskCoverage,
    auc,
    auc_interval,
    confidences,
    ece_by_chance,
    reliability,
    risk_coverage,
)
from trainer.labelled import Task
from trainer.thresholds import choose_abstain, choose_thresholds, presence

__all__ = [
    "EvaluationResult",
    "Reliability",
    "choose_abstain",
    "choose_thresholds",
    "confident_wrongs",
    "evaluate_probabilities",
    "share_interval",
]

_CHUNK = 2_000_000
"""Bootstrap counts held at once."""


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """All figures of one model on one set of pictures.

    Single label: an answer is the most probable label. Several labels: each label of each picture is a
    decision at 0.5; accuracy is the share of right decisions, `exact_match` the share of pictures without a
    wrong one, balanced accuracy the mean over labels of (sensitivity + specificity) / 2. Macro figures are
    means over the labels that occur in the pictures; a label that is never answered has precision 0.
    """

    task: Task
    label_names: tuple[str, ...]
    samples: int
    accuracy: Interval
    balanced_accuracy: Interval
    macro_f1: Interval
    macro_precision: Interval
    macro_recall: Interval
    macro_auc: Interval | None
    exact_match: float
    per_class: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    """[K, K], rows the truth, columns the answer; for several labels [K, 2, 2]: absent and present."""
    tables: NDArray[np.int64]
    """[K, 2, 2]: each label's decisions, rows absent and present in truth, columns in the answer."""
    reliability: Reliability
    ece_by_chance: ByChance
    risk_coverage: RiskCoverage
    log_loss: float
    """Mean negative log-likelihood, in nats."""

    @property
    def ece(self) -> float:
        return self.reliability.ece

    @property
    def wrong(self) -> int:
        """Pictures with at least one wrong decision."""
        return round((1.0 - self.exact_match) * self.samples)

    def to_card(self, test_set_sha256: str, ece_uncalibrated: float | None = None) -> Evaluation:
        """What of this stands in the model card."""
        return Evaluation(
            samples=self.samples,
            test_set_sha256=test_set_sha256,
            accuracy=self.accuracy,
            balanced_accuracy=self.balanced_accuracy,
            macro_precision=self.macro_precision.value,
            macro_recall=self.macro_recall.value,
            macro_f1=self.macro_f1.value,
            macro_auc=None if self.macro_auc is None else self.macro_auc.value,
            per_class=list(self.per_class),
            ece=self.ece,
            ece_uncalibrated=ece_uncalibrated,
            confusion=self.confusion.tolist() if self.task == "single_label" else [],
            ece_by_chance=round(self.ece_by_chance.median, 6),
            ece_by_chance_95=round(self.ece_by_chance.high, 6),
            reliability=self._bins(),
            risk=[round(float(risk), 6) for risk in self._risk()],
        )

    def precision_of(self, label: int) -> Interval | None:
        """Of one label, with its interval (Wilson's: it holds where a bootstrap over three pictures has nothing to
        vary). None where it was never answered."""
        false, hit = self.tables[label, :, 1]
        return share_interval(int(hit), int(hit + false))

    def recall_of(self, label: int) -> Interval | None:
        """The same of its recall. None where no picture has it."""
        missed, hit = self.tables[label, 1]
        return share_interval(int(hit), int(hit + missed))

    def _bins(self) -> list[Bin]:
        bins = self.reliability
        filled = np.nonzero(bins.count)[0]
        return [
            Bin(
                answers=int(bins.count[i]),
                confidence=round(min(1.0, float(bins.confidence[i])), 6),
                right=round(float(bins.accuracy[i]), 6),
            )
            for i in filled
        ]

    def _risk(self) -> NDArray[np.float64]:
        curve = self.risk_coverage.risk
        places = np.ceil(np.arange(1, 21) / 20 * len(curve)).astype(np.int64) - 1
        return np.asarray(curve[places], dtype=np.float64)


def evaluate_probabilities(
    probabilities: F32,
    labels: NDArray[Any],
    label_names: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> EvaluationResult:
    """Everything about `probabilities` (float32 [N, K]) given the truth: int64 [N] or float [N, K].

    Intervals are 95 %, by the percentile bootstrap over pictures (of no width with `bootstrap` 0). Raises
    DataError on shapes that do not fit, no pictures, or answers that are not finite.
    """
    count = len(label_names)
    if probabilities.ndim != 2 or probabilities.shape[1] != count or len(labels) != len(probabilities):
        raise DataError(
            f"answers {list(probabilities.shape)} do not fit {len(labels)} pictures and {count} labels"
        )
    if not len(labels):
        raise DataError("there are no pictures to evaluate on")
    if not np.isfinite(probabilities).all():
        raise DataError("the model answers NaN or Inf")
    rng = np.random.default_rng(seed)
    multi = labels.ndim == 2
    truth = presence(labels, count)
    answers = probabilities >= 0.5 if multi else presence(probabilities.argmax(axis=1), count)
    tables = _tables(truth, answers)
    if multi:
        resampled = _resample_decisions(truth, answers, bootstrap, rng)
        confusion = tables
    else:
        confusion = _confusion(labels, probabilities.argmax(axis=1), count)
        resampled = _resample_confusion(confusion, bootstrap, rng)
    areas = [auc(probabilities[:, k], truth[:, k]) for k in range(count)]
    known = [area for area in areas if area is not None]
    precision, recall, f1 = _scores(tables)
    span = auc_interval(probabilities, truth, bootstrap, rng) if bootstrap and known else None
    measure = _summary if multi else _single_summary
    value, spread = measure(tables), measure(resampled)
    return EvaluationResult(
        task="multi_label" if multi else "single_label",
        label_names=tuple(label_names),
        samples=len(labels),
        accuracy=_interval(value[0], spread[0]),
        balanced_accuracy=_interval(value[1], spread[1]),
        macro_f1=_interval(value[2], spread[2]),
        macro_precision=_interval(value[3], spread[3]),
        macro_recall=_interval(value[4], spread[4]),
        macro_auc=_area(known, span),
        exact_match=float((truth == answers).all(axis=1).mean()),
        per_class=tuple(
            ClassScore(
                label=name,
                precision=float(precision[k]),
                recall=float(recall[k]),
                f1=float(f1[k]),
                auc=areas[k],
                support=int(truth[:, k].sum()),
            )
            for k, name in enumerate(label_names)
        ),
        confusion=confusion,
        tables=tables,
        reliability=reliability(probabilities, labels),
        ece_by_chance=ece_by_chance(probabilities, labels),
        risk_coverage=risk_coverage(probabilities, labels),
        log_loss=_log_loss(probabilities, truth, multi),
    )


def confident_wrongs(probabilities: F32, labels: NDArray[Any], count: int = 24) -> NDArray[np.int64]:
    """Indices of the pictures answered wrongly with the most confidence, surest first."""
    confidence, right = confidences(probabilities, labels)
    confidence = np.where(right, -1.0, confidence).reshape(len(probabilities), -1).max(axis=1)
    order = np.argsort(-confidence, kind="stable")[:count]
    return np.asarray(order[confidence[order] >= 0], dtype=np.int64)


def _confusion(labels: NDArray[Any], answers: NDArray[Any], count: int) -> NDArray[np.int64]:
    flat = np.bincount(labels.astype(np.int64) * count + answers, minlength=count * count)
    return flat.reshape(count, count).astype(np.int64)


def _tables(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> NDArray[np.int64]:
    """[K, 2, 2]: for each label, rows absent and present in truth, columns in the answer."""
    hit = (truth & answers).sum(axis=0)
    missed = (truth & ~answers).sum(axis=0)
    false = (~truth & answers).sum(axis=0)
    rest = len(truth) - hit - missed - false
    return np.stack([np.stack([rest, false], axis=-1), np.stack([missed, hit], axis=-1)], axis=-2)


def _resample_confusion(
    confusion: NDArray[np.int64], rounds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """[rounds, K, 2, 2]. Drawing N pictures anew is drawing N times from the confusion matrix's cells, so one
    multinomial a round does it, whatever N."""
    total, count = int(confusion.sum()), len(confusion)
    filled = np.nonzero(confusion.reshape(-1))[0]
    drawn = rng.multinomial(total, confusion.reshape(-1)[filled] / total, size=rounds)
    has = (filled // count)[:, None] == np.arange(count)
    said = (filled % count)[:, None] == np.arange(count)
    hit = drawn @ (has & said).astype(np.int64)
    missed = drawn @ (has & ~said).astype(np.int64)
    false = drawn @ (~has & said).astype(np.int64)
    rest = total - hit - missed - false
    return np.stack([np.stack([rest, false], axis=-1), np.stack([missed, hit], axis=-1)], axis=-2)


def _resample_decisions(
    truth: NDArray[np.bool_], answers: NDArray[np.bool_], rounds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """[rounds, K, 2, 2]: whole pictures are drawn, so that labels which go together stay together."""
    total = len(truth)
    cells = [(~truth & ~answers), (~truth & answers), (truth & ~answers), (truth & answers)]
    columns = np.stack(cells, axis=-1).astype(np.float32).reshape(total, -1)
    parts = [np.zeros((0, columns.shape[1]), dtype=np.int64)]
    step = max(1, _CHUNK // total)
    for start in range(0, rounds, step):
        weights = rng.multinomial(total, np.full(total, 1.0 / total), size=min(step, rounds - start))
        parts.append((weights.astype(np.float32) @ columns).round().astype(np.int64))
    return np.concatenate(parts).reshape(rounds, truth.shape[1], 2, 2)


def _scores(
    tables: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(precision, recall, F1) over the last axes of [..., K, 2, 2]; 0 where nothing defines them."""
    hit, false, missed = tables[..., 1, 1], tables[..., 0, 1], tables[..., 1, 0]
    return _ratio(hit, hit + false), _ratio(hit, hit + missed), _ratio(2 * hit, 2 * hit + false + missed)


def _single_summary(tables: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """(accuracy, balanced accuracy, macro F1, precision, recall) of [..., K, 2, 2] from single-label answers."""
    precision, recall, f1 = _scores(tables)
    hits, total = tables[..., 1, 1].sum(axis=-1), tables[..., 0, :, :].sum(axis=(-2, -1))
    present = tables[..., 1, :].sum(axis=-1) > 0
    balanced = _mean_where(recall, present)
    return _ratio(hits, total), balanced, _mean_where(f1, present), _mean_where(precision, present), balanced


def _summary(tables: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """The same from independent decisions, as the result's docstring defines them."""
    precision, recall, f1 = _scores(tables)
    absent = tables[..., 0, :].sum(axis=-1)
    present = tables[..., 1, :].sum(axis=-1)
    specificity = _ratio(tables[..., 0, 0], absent)
    both = (recall * (present > 0) + specificity * (absent > 0)) / np.maximum(
        (present > 0).astype(np.float64) + (absent > 0), 1.0
    )
    right = (tables[..., 0, 0] + tables[..., 1, 1]).sum(axis=-1)
    means = (_mean_where(each, present > 0) for each in (f1, precision, recall))
    return _ratio(right, tables.sum(axis=(-3, -2, -1))), both.mean(axis=-1), *means


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.where(whole > 0, part / np.maximum(whole, 1), 0.0), dtype=np.float64)


def _mean_where(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    count = np.maximum(where.sum(axis=-1), 1)
    return np.asarray((values * where).sum(axis=-1) / count, dtype=np.float64)


def _interval(value: NDArray[np.float64], spread: NDArray[np.float64]) -> Interval:
    point = float(value)
    low, high = np.quantile(spread, (0.025, 0.975)) if spread.size else (point, point)
    return Interval(value=point, low=float(low), high=float(high))


def share_interval(hits: int, total: int) -> Interval | None:
    """A share with its 95 % interval (E. B. Wilson, "Probable Inference", JASA 22, 1927)."""
    if not total:
        return None
    share, z = hits / total, 1.959964
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    return Interval(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def _area(known: Sequence[float], span: tuple[float, float] | None) -> Interval | None:
    if not known:
        return None
    mean = float(np.mean(known))
    low, high = span or (mean, mean)
    return Interval(value=mean, low=low, high=high)


def _log_loss(probabilities: F32, truth: NDArray[np.bool_], multi: bool) -> float:
    clipped = np.clip(probabilities.astype(np.float64), 1e-12, 1.0)
    if not multi:
        return float(-np.log(clipped[truth]).mean())
    other = np.clip(1.0 - probabilities.astype(np.float64), 1e-12, 1.0)
    return float(-np.where(truth, np.log(clipped), np.log(other)).mean())
