"""What a whole `fit` is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trainer.options import TrainOptions
from trainer.preparation import InputOptions


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What `fit` does beyond training."""

    train: TrainOptions = field(default_factory=TrainOptions)
    input: InputOptions = field(default_factory=InputOptions)
    name: str = "model"
    version: str = "1"
    description: str = ""
    quantise: Literal["auto", "never", "always"] = "auto"
    tolerance: float = 0.003
    """Accuracy that INT8 or pruning may cost on the validation part, as a fraction."""
    precision: float = 0.95
    """That each label's threshold is chosen for."""
    prune: float = 0.0
    """Fraction of inner channels to take out; kept only where accuracy keeps within the tolerance."""
    teacher: Path | None = None
