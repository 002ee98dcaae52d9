"""What one model did since it began to serve: what probation judges it by."""

from __future__ import annotations

from dataclasses import dataclass

from edgenode.errors import RunTimeoutError


@dataclass(slots=True)
class ServiceRecord:
    """Written by the model's engine thread; others read single fields, each of which is whole at any time."""

    sha256: str
    batches: int = 0
    samples: int = 0
    run_s: float = 0.0
    """Time in the classifier, of the batches that were answered."""
    failed: int = 0
    """Batches that raised, timeouts included."""
    timeouts_in_a_row: int = 0
    """Batches that were ended for taking too long, since one that was not."""
    non_finite: int = 0
    """Samples answered with NaN or Inf."""
    last_error: str = ""

    def answered(self, samples: int, run_s: float, non_finite: int) -> None:
        self.samples += samples
        self.run_s += run_s
        self.non_finite += non_finite
        self.timeouts_in_a_row = 0
        self.batches += 1

    def raised(self, error: Exception) -> None:
        self.last_error = str(error) or repr(error)
        self.timeouts_in_a_row = self.timeouts_in_a_row + 1 if isinstance(error, RunTimeoutError) else 0
        self.failed += 1

    @property
    def sample_s(self) -> float | None:
        """Mean seconds a sample; None before the first."""
        return self.run_s / self.samples if self.samples else None
