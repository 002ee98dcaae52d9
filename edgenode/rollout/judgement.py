"""When a model may be promoted, and when a new one must go again: pure questions about what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from edgenode.inference.card import ModelCard
from edgenode.inference.service_record import ServiceRecord
from edgenode.inference.shadow import ShadowCounts
from edgenode.settings import RolloutSettings

SLOW_AFTER_BATCHES = 20
"""A mean over fewer batches is not held against a model: the first runs are slower."""
SLOWDOWN = 3.0
"""Without `sample_budget`: how many times slower than the one before is too slow."""
NON_FINITE = 10
"""So many samples answered with NaN or Inf are a fault."""
TIMEOUTS = 3
"""Outside probation, so many runs in a row that never end are a fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a model must go. `kind` is a word for metrics; `quarantine`: it must not come back by itself."""

    kind: str
    reason: str
    quarantine: bool


@dataclass(frozen=True, slots=True)
class Before:
    """How the model before did; None where that is not known."""

    sample_s: float | None
    """Its mean time for a sample."""
    psi: float | None
    """The larger of its indices of drift."""


def gate(
    card: ModelCard, serving_sha256: str, shadow: ShadowCounts | None, limits: RolloutSettings
) -> str | None:
    """Why the model of `card` may not take the place of the serving one yet, or None.

    It may with the maker's comparison against that very file in its card, or with enough agreement as its
    shadow. `shadow`: what this very model measured as shadow, if it is one.
    """
    comparison = card.comparison
    if comparison is None:
        said = "its card holds no comparison with the one that serves"
    elif comparison.against_sha256 != serving_sha256:
        said = f"its card compares it with {comparison.against_sha256[:12]}, not with what serves"
    elif comparison.verdict == "worse":
        said = "its card says that it is worse than the one that serves"
    elif comparison.verdict == "better" or comparison.difference.low >= -limits.accepted_loss:
        return None
    else:
        said = (
            f"its card cannot exclude a loss of {-comparison.difference.low:.1%} "
            f"(rollout.accepted_loss {limits.accepted_loss:.1%})"
        )
    if shadow is None:
        return f"{said}, and it is not the shadow"
    agreement = shadow.agreement or 0.0
    if shadow.samples < limits.shadow_samples:
        return f"{said}, and as shadow it answered {shadow.samples} of {limits.shadow_samples} samples"
    if agreement < limits.shadow_agreement:
        return (
            f"{said}, and as shadow it agreed on {agreement:.1%} of {shadow.samples} samples "
            f"(rollout.shadow_agreement {limits.shadow_agreement:.1%})"
        )
    return None


def fault_on_probation(
    record: ServiceRecord, before: Before, psi: float | None, limits: RolloutSettings
) -> Fault | None:
    """What is wrong with a model that serves on probation, or None. `psi`: the larger of its indices.

    Where the one before drifted too it is the scene that changed, which no other model undoes.
    """
    if record.failed:
        kind = "timeout" if record.timeouts_in_a_row else "raised"
        return Fault(kind, record.last_error, quarantine=True)
    if record.non_finite >= NON_FINITE:
        return Fault("non_finite", f"answered {record.non_finite} samples with NaN or Inf", quarantine=True)
    budget_s = limits.sample_budget or (SLOWDOWN * before.sample_s if before.sample_s is not None else None)
    took_s = record.sample_s
    if (
        budget_s is not None
        and took_s is not None
        and record.batches >= SLOW_AFTER_BATCHES
        and took_s > budget_s
    ):
        return Fault(
            "slow",
            f"takes {took_s * 1e3:.1f} ms a sample, its budget is {budget_s * 1e3:.1f} ms",
            quarantine=False,
        )
    steady_before = before.psi is None or before.psi <= limits.max_drift
    if psi is not None and psi > limits.max_drift and steady_before:
        return Fault(
            "drift",
            f"drifts: its answers lie {psi:.2f} from its card's reference (rollout.max_drift {limits.max_drift:g})",
            quarantine=False,
        )
    return None


def fault_in_service(record: ServiceRecord) -> Fault | None:
    """What is wrong with a model that has long served: runs that never end, one after the other."""
    if record.timeouts_in_a_row >= TIMEOUTS:
        return Fault("timeout", record.last_error, quarantine=True)
    return None
