"""When a model may be promoted, and when a new one must go again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgenode.errors import InferenceError, RunTimeoutError
from edgenode.inference.card import Comparison, Interval
from edgenode.inference.service_record import ServiceRecord
from edgenode.inference.shadow import ShadowCounts
from edgenode.rollout.judgement import (
    NON_FINITE,
    SLOW_AFTER_BATCHES,
    TIMEOUTS,
    Before,
    fault_in_service,
    fault_on_probation,
    gate,
)
from edgenode.settings import RolloutSettings
from tests.models import Tiny, make_card

SERVES, OTHER = "a" * 64, "b" * 64
LIMITS = RolloutSettings(shadow_samples=100, shadow_agreement=0.98, accepted_loss=0.02)
UNKNOWN = Before(None, None)


def compared(verdict: Any, low: float, against: str = SERVES) -> Comparison:
    return Comparison(
        against_sha256=against,
        verdict=verdict,
        samples=500,
        test_set_sha256="0" * 64,
        accuracy_before=0.9,
        accuracy_now=0.9,
        difference=Interval(value=0.0, low=low, high=0.03),
        p_value=0.5,
    )


def shadow(samples: int, agreed: int) -> ShadowCounts:
    return ShadowCounts(samples, agreed, 0, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("comparison", "measured", "refused"),
    [
        (None, None, "no comparison with the one that serves, and it is not the shadow"),
        (compared("better", -0.001), None, None),
        (compared("equal", -0.019), None, None),
        (compared("equal", -0.05), None, "cannot exclude a loss of 5.0%"),
        (compared("worse", -0.1), None, "worse"),
        (compared("better", 0.01, OTHER), None, "compares it with bbbbbbbbbbbb"),
        (None, shadow(99, 99), "answered 99 of 100"),
        (None, shadow(100, 97), "agreed on 97.0% of 100"),
        (None, shadow(100, 98), None),
        (compared("worse", -0.1), shadow(200, 200), None),
    ],
)
def test_the_gate(comparison: Comparison | None, measured: ShadowCounts | None, refused: str | None) -> None:
    said = gate(make_card(Tiny(comparison=comparison)), SERVES, measured, LIMITS)
    assert (said is None) if refused is None else (said is not None and refused in said)


def record(batches: int = 0, run_s: float = 0.0, non_finite: int = 0) -> ServiceRecord:
    made = ServiceRecord(OTHER)
    for _ in range(batches):
        made.answered(1, run_s / batches, 0)
    made.non_finite = non_finite
    return made


def test_on_probation_one_failure_is_one_too_many() -> None:
    made = record(batches=5)
    assert fault_on_probation(made, UNKNOWN, None, LIMITS) is None
    made.raised(InferenceError("a shape that does not fit"))
    fault = fault_on_probation(made, UNKNOWN, None, LIMITS)
    assert fault is not None
    assert (fault.kind, fault.quarantine, fault.reason) == ("raised", True, "a shape that does not fit")
    made.raised(RunTimeoutError("ran longer"))
    fault = fault_on_probation(made, UNKNOWN, None, LIMITS)
    assert fault is not None
    assert fault.kind == "timeout"


@pytest.mark.parametrize(
    ("batches", "sample_s", "before_s", "budget_s", "slow"),
    [
        (SLOW_AFTER_BATCHES, 0.031, 0.01, 0.0, True),
        (SLOW_AFTER_BATCHES, 0.029, 0.01, 0.0, False),
        (SLOW_AFTER_BATCHES - 1, 9.0, 0.01, 0.0, False),
        (SLOW_AFTER_BATCHES, 9.0, None, 0.0, False),
        (SLOW_AFTER_BATCHES, 0.06, None, 0.05, True),
        (SLOW_AFTER_BATCHES, 0.04, 0.001, 0.05, False),
    ],
)
def test_on_probation_a_slow_model_goes_back(
    batches: int, sample_s: float, before_s: float | None, budget_s: float, slow: bool
) -> None:
    made = record(batches, batches * sample_s)
    limits = LIMITS.model_copy(update={"sample_budget": budget_s})
    fault = fault_on_probation(made, Before(before_s, None), None, limits)
    assert (fault is not None and fault.kind == "slow" and not fault.quarantine) == slow


@pytest.mark.parametrize(
    ("psi", "psi_before", "drifts"),
    [(0.3, None, True), (0.3, 0.1, True), (0.3, 0.4, False), (0.2, 0.1, False), (None, None, False)],
)
def test_on_probation_a_model_that_drifts_where_the_one_before_did_not_goes_back(
    psi: float | None, psi_before: float | None, drifts: bool
) -> None:
    fault = fault_on_probation(record(9), Before(None, psi_before), psi, LIMITS)
    assert (fault is not None and fault.kind == "drift" and not fault.quarantine) == drifts


def test_on_probation_answers_that_are_no_numbers_are_a_fault() -> None:
    assert fault_on_probation(record(non_finite=NON_FINITE - 1), UNKNOWN, None, LIMITS) is None
    fault = fault_on_probation(record(non_finite=NON_FINITE), UNKNOWN, None, LIMITS)
    assert fault is not None
    assert fault.kind == "non_finite"


def test_a_model_that_has_long_served_is_given_up_after_several_runs_that_never_end() -> None:
    made = record(batches=9)
    for _ in range(TIMEOUTS - 1):
        made.raised(RunTimeoutError("ran longer"))
    made.answered(1, 0.01, 0)
    for _ in range(TIMEOUTS - 1):
        made.raised(RunTimeoutError("ran longer"))
    assert fault_in_service(made) is None
    made.raised(RunTimeoutError("ran longer"))
    fault = fault_in_service(made)
    assert fault is not None
    assert fault.quarantine


def test_a_comparison_in_a_card_of_version_1_is_refused(tmp_path: Path) -> None:
    card = make_card(Tiny(comparison=compared("better", 0.0)))
    assert card.card_version == 2
    assert make_card(Tiny()).card_version == 1
    with pytest.raises(ValueError, match="needs card_version 2"):
        type(card).model_validate({**card.model_dump(), "card_version": 1})
