from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

from edgenode.decision.control_charts import Chart, ChartSpec, EwmaChart, PChart, violated


@pytest.mark.parametrize(
    ("points", "side", "expected"),
    [
        ([0.5, 3.01], "above", [1]),
        ([0.5, 2.99], "above", []),
        ([2.1, 0.0, 2.1], "above", [2]),
        ([2.1, 2.1, 0.5], "above", []),
        ([2.1, -2.1, 2.1], "above", [2]),
        ([1.1, 1.1, -0.1, 1.1, 1.1], "above", [3]),
        ([1.1, 1.1, -0.1, 0.9, 1.1], "above", []),
        ([0.1] * 8, "above", [4]),
        ([0.1] * 7, "above", []),
        ([0.1] * 4 + [0.0] + [0.1] * 3, "above", []),
        ([-0.1] * 8, "above", []),
        ([-0.1] * 8, "below", [4]),
        ([-3.5], "both", [1]),
        ([2.5, -2.5], "both", []),
    ],
)
def test_western_electric_rules(points: list[float], side: str, expected: list[int]) -> None:
    assert violated(points, [1, 2, 3, 4], side) == expected


def test_p_chart_signals_beyond_three_sigma() -> None:
    # n = 50, p0 = 0.2: sigma = sqrt(0.2 * 0.8 / 50) = 0.05657, upper limit 0.3697
    chart = PChart(ChartSpec(50, 0.2), [1])
    signals = []
    for defects in (18, 19, 10):
        chart.add(defects / 50)
        signals.append((chart.value, chart.signals))
    assert signals == [(0.36, False), (0.38, True), (0.2, False)]


def test_ewma_follows_its_formula() -> None:
    n, p0, weight, width = 50, 0.1, 0.2, 2.7
    shares = [0.1, 0.12, 0.16, 0.14, 0.2]
    chart = EwmaChart(ChartSpec(n, p0), weight, width)
    z = p0
    for i, share in enumerate(shares, 1):
        chart.add(share)
        z = weight * share + (1 - weight) * z
        variance = p0 * (1 - p0) / n * weight / (2 - weight) * (1 - (1 - weight) ** (2 * i))
        assert chart.value == pytest.approx(z)
        assert chart.limit() == pytest.approx(width * sqrt(variance))
        assert chart.signals == (z > p0 + width * sqrt(variance))
    assert chart.signals


def test_drift_is_found_before_the_limit_is_crossed() -> None:
    """The rate creeps from 2 to 6 %, the limit of the plain rule is 8 %: both charts speak first."""
    rng = np.random.default_rng(7)
    p_chart = PChart(ChartSpec(100, 0.02), [1, 2, 3, 4])
    ewma = EwmaChart(ChartSpec(100, 0.02))
    first: dict[str, int] = {}
    highest = 0.0
    for group in range(60):
        share = rng.binomial(100, 0.02 + max(0, group - 20) * 0.001) / 100
        highest = max(highest, share)
        for name, chart in (("p", p_chart), ("ewma", ewma)):
            chart.add(share)
            if chart.signals and group >= 20:
                first.setdefault(name, group)
        if len(first) == 2:
            break
    assert 20 < first["ewma"] < 50
    assert 20 < first["p"] < 50
    assert highest < 0.08


def test_ewma_of_a_steady_line_rarely_signals() -> None:
    """Its mean run length is about 500 subgroups (normal variable, both sides)."""
    rng = np.random.default_rng(11)
    chart = EwmaChart(ChartSpec(200, 0.1))
    signals = 0
    for _ in range(2000):
        chart.add(rng.binomial(200, 0.1) / 200)
        signals += chart.signals
    assert signals < 30


@pytest.mark.parametrize("kind", ["p", "ewma"])
def test_baseline_is_learned_before_anything_is_said(kind: str) -> None:
    spec = ChartSpec(100, None, learn=5)
    chart: Chart = PChart(spec, [1]) if kind == "p" else EwmaChart(spec)
    for share in (0.5, 0.0, 0.0, 0.0, 0.0):
        chart.add(share)
        assert not chart.signals
    chart.add(0.11)
    assert not chart.signals
    for _ in range(3):
        chart.add(0.5)
    assert chart.signals


def test_learned_baseline_of_no_defect_is_not_zero() -> None:
    chart = PChart(ChartSpec(50, None, learn=20), [1])
    for _ in range(20):
        chart.add(0.0)
    chart.add(0.0)
    assert not chart.signals


@pytest.mark.parametrize("baseline", [0.1, None])
@pytest.mark.parametrize("kind", ["p", "ewma"])
def test_chart_goes_on_after_a_restart(scene: Any, kind: str, baseline: float | None) -> None:
    def chart() -> Chart:
        spec = ChartSpec(20, baseline, learn=4)
        return PChart(spec, [1, 2, 3, 4]) if kind == "p" else EwmaChart(spec)

    shares = [float(x) for x in np.random.default_rng(1).binomial(20, 0.2, 30) / 20]
    for cut in (0, 2, 4, 11):
        whole, first, second = chart(), chart(), chart()
        for share in shares[:cut]:
            whole.add(share)
            first.add(share)
        second.restore(scene.through_json(first.export()))
        assert second.signals == whole.signals
        for share in shares[cut:]:
            whole.add(share)
            second.add(share)
            assert (second.value, second.signals) == pytest.approx((whole.value, whole.signals), nan_ok=True)
