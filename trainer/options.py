"""What goes into a training and what comes out of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from numpy.typing import NDArray
from torch import Tensor

from edgenode.records import U8
from trainer.augment import Augment
from trainer.distributed import World
from trainer.networks import Network


class Examples(Protocol):
    """Pictures and their labels, in memory."""

    @property
    def images(self) -> U8:
        """uint8 [N, H, W, C], prepared by `pixels.prepare`."""
        ...

    @property
    def labels(self) -> NDArray[Any]:
        """int64 [N], or float32 [N, K] of zeros and ones where a picture may have several labels."""
        ...


class Teacher(Protocol):
    """A model whose answers a smaller one learns from."""

    def logits(self, pixels: Tensor) -> Tensor:
        """float [N, K] for float pixels [N, C, H, W] in 0 to 255, up to a constant a row."""
        ...


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The knobs. None means: the architecture's recipe, or from the number of pictures."""

    architecture: str = "edge-m"
    seed: int = 0
    epochs: int | None = None
    """Passes over the training part; by default enough for about 4,000 batches, 15 to 200."""
    budget_s: float | None = None
    """Wall time the training may take; the schedule is then driven by whichever ends first."""
    batch: int = 32
    learning_rate: float | None = None
    weight_decay: float | None = None
    dropout: float | None = None
    label_smoothing: float = 0.05
    balance: Literal["none", "weights", "sampling"] = "sampling"
    """Rare classes: weigh their loss, or show them more often. Does nothing to balanced data."""
    balance_strength: float = 0.5
    """0 as they are, 1 all classes alike."""
    patience: float = 0.5
    """Stop after this fraction of the epochs without a better validation loss; 1 never stops early."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 where the processor computes with it (2 times faster, same accuracy), else float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    augment: Augment = field(default_factory=Augment)
    normalise: Literal["data", "picture"] = "data"
    """By what the pixels are centred and scaled: the training part's mean and spread, or each picture's own, which
    makes brightness and contrast mean nothing: for scenes whose light says nothing about the label."""
    softness: float = 3.0
    """Distillation: how much the teacher's answers are softened."""
    teacher_share: float = 0.7
    """Distillation: weight of the teacher's answers against the labels."""


Ending = Literal["complete", "plateau", "budget", "interrupted"]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of the training's curves. `train_*` is on unaugmented pictures of the training part."""

    epoch: int
    batch_loss: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Trained:
    """The best network by validation loss, in evaluation mode on the CPU, and how it came about."""

    network: Network
    history: tuple[EpochRecord, ...]
    best_epoch: int
    epochs: int
    """As planned."""
    duration_s: float
    ended: Ending
    options: TrainOptions


class TrainingInterrupted(Exception):  # noqa: N818
    """The user stopped the training; `path` holds all that was reached."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(
            f"stopped; {path} holds everything reached so far: the same command with --resume goes on"
            if path
            else "stopped"
        )
        self.path = path


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the loop asks and tells the outside."""

    stop: Callable[[], bool] = lambda: False
    """Asked after every batch."""
    progress: Callable[[float, EpochRecord | None, int], None] = lambda _done, _record, _epochs: None
    """Told after every batch: the fraction of the schedule that is done, the epoch's record where one ended, and
    the epochs planned."""
    checkpoint: Path | None = None
    checkpoint_every_s: float = 30.0
    note: Mapping[str, str] = field(default_factory=dict)
    """What a checkpoint should say of itself, for whoever exports it."""
    start: dict[str, Tensor] | None = None
    """Weights to start from instead of random ones (fine-tuning after pruning)."""
    teacher: Teacher | None = None
    world: World = field(default_factory=World)
    now: Callable[[], float] = time.monotonic
