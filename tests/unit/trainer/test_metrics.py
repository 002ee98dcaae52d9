"""Figures against hand-computed cases and slow, independent implementations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgenode.errors import DataError
from edgenode.records import F32
from tests.models import Tiny, make_card
from trainer.curves import auc, ece_by_chance, reliability, risk_coverage
from trainer.decided import calibration_text, missed_precision
from trainer.metrics import (
    choose_abstain,
    choose_thresholds,
    confident_wrongs,
    evaluate_probabilities,
    share_interval,
)

LABELS = ("a", "b", "c")


def softmax_of(count: int, classes: int, seed: int, skill: float = 1.5) -> tuple[F32, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), labels] += skill
    raised = np.exp(logits)
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32), labels


def test_six_pictures_by_hand() -> None:
    # answers: a a b b c a for truths a a a b c c
    rows = {"a": [0.8, 0.1, 0.1], "b": [0.1, 0.7, 0.2], "c": [0.2, 0.2, 0.6]}
    probabilities = np.array([rows[answer] for answer in "aabbca"], dtype=np.float32)
    labels = np.array([0, 0, 0, 1, 2, 2])
    result = evaluate_probabilities(probabilities, labels, LABELS)
    assert result.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert result.accuracy.value == pytest.approx(4 / 6)
    assert result.balanced_accuracy.value == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert result.macro_precision.value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert [score.f1 for score in result.per_class] == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    assert [score.support for score in result.per_class] == [3, 1, 2]
    assert result.wrong == 2
    assert result.log_loss == pytest.approx(-np.log([0.8, 0.8, 0.1, 0.7, 0.6, 0.1]).mean(), rel=1e-6)
    # 0.8 claimed three times and right twice, 0.7 right once of two, 0.6 right
    assert result.ece == pytest.approx((3 * (0.8 - 2 / 3) + 2 * (0.7 - 0.5) + 1 * (1 - 0.6)) / 6, rel=1e-6)


def test_auc_counts_pairs() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 12, 200) / 12  # many ties
    positive = rng.random(200) < 0.3
    wins = [
        1.0 if up > down else 0.5 if up == down else 0.0
        for up in scores[positive]
        for down in scores[~positive]
    ]
    assert auc(scores, positive) == pytest.approx(np.mean(wins), abs=1e-12)
    assert auc(scores, np.ones(200, dtype=bool)) is None


def test_bootstrap_interval_is_that_of_drawing_pictures() -> None:
    probabilities, labels = softmax_of(300, 3, seed=1)
    result = evaluate_probabilities(probabilities, labels, LABELS, bootstrap=4000)
    rng = np.random.default_rng(9)
    answers = probabilities.argmax(axis=1)
    slow = []
    for _ in range(2000):
        drawn = rng.integers(0, 300, 300)
        recalls = [(answers[drawn][labels[drawn] == k] == k).mean() for k in range(3)]
        slow.append(((answers[drawn] == labels[drawn]).mean(), np.mean(recalls)))
    for interval, values in zip((result.accuracy, result.balanced_accuracy), np.array(slow).T, strict=True):
        assert interval.low == pytest.approx(np.quantile(values, 0.025), abs=0.012)
        assert interval.high == pytest.approx(np.quantile(values, 0.975), abs=0.012)
        assert interval.low < interval.value < interval.high


def test_same_seed_same_intervals() -> None:
    probabilities, labels = softmax_of(100, 3, seed=2)
    first = evaluate_probabilities(probabilities, labels, LABELS, seed=5)
    assert first.accuracy == evaluate_probabilities(probabilities, labels, LABELS, seed=5).accuracy


def test_reliability_bins() -> None:
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.34, 0.66]], dtype=np.float32)
    diagram = reliability(probabilities, np.array([0, 1, 1]))
    assert diagram.count.sum() == 3
    assert diagram.count[14] == 1  # certainty belongs to the last bin
    assert diagram.accuracy[14] == 1.0
    assert diagram.count[7] == 1
    assert diagram.accuracy[7] == 0.0


def test_risk_coverage_by_hand_and_without_regard_to_order() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2], [0.6, 0.4]], dtype=np.float32)
    labels = np.array([0, 0, 1, 1])
    curve = risk_coverage(probabilities, labels)
    assert curve.risk == pytest.approx([0, 0.25, 1 / 3, 0.5])
    assert curve.aurc == pytest.approx((0 + 0.25 + 1 / 3 + 0.5) / 4)
    turned = risk_coverage(probabilities[::-1].copy(), labels[::-1].copy())
    assert turned.aurc == pytest.approx(curve.aurc)


def test_several_labels_a_picture() -> None:
    truth = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.float32)
    probabilities = np.array(
        [[0.9, 0.2, 0.4], [0.1, 0.6, 0.2], [0.8, 0.7, 0.1], [0.3, 0.9, 0.2]], dtype=np.float32
    )
    result = evaluate_probabilities(probabilities, truth, LABELS)
    assert result.task == "multi_label"
    assert result.accuracy.value == pytest.approx(10 / 12)
    assert result.exact_match == pytest.approx(0.5)
    assert result.confusion.tolist() == [[[2, 0], [0, 2]], [[1, 1], [0, 2]], [[3, 0], [1, 0]]]
    assert result.balanced_accuracy.value == pytest.approx((1 + 0.75 + 0.5) / 3)
    assert result.per_class[1].precision == pytest.approx(2 / 3)
    assert result.to_card("0" * 64).confusion == []


def test_label_without_pictures_is_left_out_of_the_means() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]], dtype=np.float32)
    result = evaluate_probabilities(probabilities, np.array([0, 1]), LABELS)
    assert result.macro_f1.value == 1.0
    assert result.balanced_accuracy.value == 1.0
    assert result.per_class[2].auc is None


def test_card_round_trip() -> None:
    probabilities, labels = softmax_of(60, 3, seed=4)
    result = evaluate_probabilities(probabilities, labels, LABELS)
    card = result.to_card("a" * 64, ece_uncalibrated=0.25)
    assert card.samples == 60
    assert card.ece == result.ece
    assert np.array(card.confusion).sum() == 60
    assert type(card).model_validate_json(card.model_dump_json()) == card


@pytest.mark.parametrize(
    ("shape", "count"), [((4, 2), 4), ((4, 3), 3), ((0, 3), 0)], ids=["labels", "pictures", "nothing"]
)
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, int], count: int) -> None:
    with pytest.raises(DataError):
        evaluate_probabilities(np.full(shape, 0.5, dtype=np.float32), np.zeros(count, dtype=int), LABELS)


def test_nan_is_refused() -> None:
    with pytest.raises(DataError, match="NaN"):
        evaluate_probabilities(np.full((2, 3), np.nan, dtype=np.float32), np.array([0, 1]), LABELS)


@pytest.mark.parametrize("precision", [0.8, 0.9, 0.97])
def test_threshold_reaches_its_precision_with_the_most_recall(precision: float) -> None:
    probabilities, labels = softmax_of(2000, 3, seed=6, skill=1.0)
    for index, threshold in enumerate(choose_thresholds(probabilities, labels, LABELS, precision)):
        scores, has = probabilities[:, index], labels == index
        above = scores >= threshold.enter
        assert threshold.precision == pytest.approx(has[above].mean())
        assert threshold.recall == pytest.approx(has[above].sum() / has.sum())
        assert has[above].mean() >= precision
        assert threshold.leave <= threshold.enter
        for lower in np.unique(scores[(scores < threshold.enter) & (scores >= 0.5)]):
            assert has[scores >= lower].mean() < precision


def test_threshold_that_cannot_be_had_says_what_it_gave() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]], dtype=np.float32)
    first, second = choose_thresholds(probabilities, np.array([1, 0, 0, 1]), ("a", "b"), 0.99)
    assert first.precision == pytest.approx(2 / 3)
    assert second.precision == 1.0
    assert second.enter == pytest.approx(0.55)  # halfway between 0.8 and 0.3


def test_abstaining_buys_accuracy() -> None:
    probabilities, labels = softmax_of(2000, 3, seed=7)
    level = choose_abstain(probabilities, labels, accuracy=0.9)
    kept = probabilities.max(axis=1) >= level
    right = probabilities.argmax(axis=1) == labels
    assert right.mean() < 0.9 <= right[kept].mean()
    lower = np.unique(probabilities.max(axis=1)[~kept])
    assert all(right[probabilities.max(axis=1) >= value].mean() < 0.9 for value in lower)


def test_no_abstaining_where_it_is_not_needed() -> None:
    probabilities = np.array([[0.6, 0.4], [0.4, 0.6]], dtype=np.float32)
    assert choose_abstain(probabilities, np.array([0, 1])) == 0.0


def test_confident_wrongs_are_wrong_and_surest_first() -> None:
    probabilities = np.array([[0.9, 0.1], [0.95, 0.05], [0.4, 0.6], [0.99, 0.01]], dtype=np.float32)
    assert confident_wrongs(probabilities, np.array([1, 1, 0, 0])).tolist() == [1, 0, 2]


def calibrated(count: int, seed: int) -> tuple[F32, NDArray[Any]]:
    """Answers whose confidences are true: the labels are drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 4)) * 2
    raised = np.exp(logits)
    probabilities = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    labels = (probabilities.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    return probabilities, labels


@pytest.mark.parametrize("count", [20, 160])
def test_what_a_true_model_shows_by_chance(count: int) -> None:
    errors, medians, highs = [], [], []
    for seed in range(120):
        probabilities, labels = calibrated(count, seed)
        chance = ece_by_chance(probabilities, labels, rounds=100)
        errors.append(reliability(probabilities, labels).ece)
        medians.append(chance.median)
        highs.append(chance.high)
    below = np.array(errors)[:, None] < np.array([medians, highs]).T
    assert below.mean(axis=0) == pytest.approx([0.5, 0.95], abs=0.12)
    assert np.median(medians) == pytest.approx(np.median(errors), rel=0.15)


def test_few_answers_are_not_blamed_for_chance_and_many_are() -> None:
    probabilities, labels = calibrated(160, 3)
    result = evaluate_probabilities(probabilities, labels, ("a", "b", "c", "d"))
    assert 0.03 < result.ece_by_chance.median < result.ece_by_chance.high < 0.2
    assert "no more than chance" in calibration_text(result)
    card = result.to_card("0" * 64)
    assert (card.ece_by_chance, card.ece_by_chance_95) == pytest.approx(
        (result.ece_by_chance.median, result.ece_by_chance.high), abs=1e-6
    )
    assert card.newer
    assert sum(each.answers for each in card.reliability) == 160
    assert card.risk[-1] == pytest.approx(1 - result.accuracy.value, abs=1e-6)
    probabilities, labels = calibrated(1000, 3)
    sharper = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    assert "more than chance explains" in calibration_text(
        evaluate_probabilities(sharper, labels, ("a", "b", "c", "d"))
    )


def test_several_labels_without_a_bootstrap() -> None:
    truth = np.array([[1, 0, 1], [0, 0, 0]], dtype=np.float32)
    result = evaluate_probabilities(np.full((2, 3), 0.4, dtype=np.float32), truth, LABELS, bootstrap=0)
    assert result.accuracy.low == result.accuracy.value == pytest.approx(4 / 6)
    assert 0 < result.ece_by_chance.median < 1


def test_interval_of_the_area_is_that_of_drawing_pictures() -> None:
    probabilities, labels = softmax_of(120, 3, seed=5, skill=1.0)
    area = evaluate_probabilities(probabilities, labels, LABELS).macro_auc
    assert area is not None
    rng, slow = np.random.default_rng(1), []
    for _ in range(1000):
        drawn = rng.integers(0, 120, 120)
        slow.append(np.mean([auc(probabilities[drawn, k], labels[drawn] == k) for k in range(3)]))
    assert (area.low, area.high) == pytest.approx(np.quantile(slow, (0.025, 0.975)), abs=0.015)
    assert area.low < area.value < area.high


def test_one_picture_of_a_label_is_no_certainty() -> None:
    """Wilson's interval against the quadratic it solves: (share - p)² = z² p (1 - p) / n."""
    for hits, total in ((1, 1), (3, 3), (0, 5), (40, 60)):
        interval = share_interval(hits, total)
        assert interval is not None
        for end in (interval.low, interval.high):
            left = (hits / total - end) ** 2
            assert left == pytest.approx(1.959964**2 * end * (1 - end) / total, abs=1e-9) or end in (0.0, 1.0)
    certain = share_interval(1, 1)
    assert certain is not None
    assert certain.low == pytest.approx(0.2065, abs=1e-3)
    assert share_interval(0, 0) is None


def test_a_precision_that_cannot_be_had_is_named() -> None:
    card = make_card(Tiny(labels=("a", "b", "c")))
    probabilities = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.7, 0.3, 0], [0.2, 0.8, 0]], dtype=np.float32)
    chosen = choose_thresholds(probabilities, np.array([1, 0, 0, 1]), ("a", "b", "c"), 0.99)
    told = missed_precision(card.model_copy(update={"thresholds": list(chosen)}), 0.99)
    assert len(told) == 2
    assert "'a': no threshold gives the precision of 99.0% asked for; from 0.500 on it is 66.7%" in told[0]
    assert "no threshold for 'c'" in told[1]
