"""What a model card says of how good the model was, and on what."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CardPart(BaseModel):
    """Every part of a card: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(CardPart):
    """A measured figure with its 95 % confidence interval (bootstrap over the test pictures)."""

    value: float
    low: float
    high: float


class ClassScore(CardPart):
    label: str
    precision: Unit
    recall: Unit
    f1: Unit
    auc: Unit | None = None
    support: Annotated[int, Field(ge=0)]


class Bin(CardPart):
    """Answers of nearly the same confidence."""

    answers: Annotated[int, Field(ge=1)]
    confidence: Unit
    """Their mean."""
    right: Unit
    """The share of them that is right."""


class Evaluation(CardPart):
    """Measured on pictures that took no part in training or in any choice."""

    samples: Annotated[int, Field(ge=1)]
    test_set_sha256: Sha256
    accuracy: Interval
    balanced_accuracy: Interval | None = None
    macro_precision: Unit
    macro_recall: Unit
    macro_f1: Unit
    macro_auc: Unit | None = None
    per_class: list[ClassScore] = []
    ece: Unit | None = None
    """Expected calibration error after temperature scaling."""
    ece_uncalibrated: Unit | None = None
    confusion: list[list[int]] = []
    """Rows are the truth, columns the answer, both in the order of the labels."""
    ece_by_chance: Unit | None = None
    """The calibration error that a model whose confidences are true shows on as many answers: the median. In cards of
    version 2, like what follows."""
    ece_by_chance_95: Unit | None = None
    """What 95 of 100 such models stay under."""
    reliability: list[Bin] = []
    """Of the bins of confidence that hold an answer, in ascending order."""
    risk: list[Unit] = []
    """The share of wrong answers among the surest 5, 10, … 100 % of them."""

    @property
    def newer(self) -> bool:
        """Whether it holds what nodes that know card version 1 alone refuse."""
        return self.ece_by_chance is not None or bool(self.reliability or self.risk)
