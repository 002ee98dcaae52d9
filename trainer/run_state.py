"""Where a training stands, and how that is kept over an interruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgenode.errors import DataError
from trainer import checkpoint
from trainer.architectures import build
from trainer.networks import Network, NetworkSpec
from trainer.optimisation import MovingAverage
from trainer.options import Ending, EpochRecord, Trained, TrainOptions

LITTLE_MORE = 0.95
"""A training that its budget ended goes on where more is given than this: what reading took differs from run to run."""


@dataclass(slots=True)
class Run:
    """Where the training stands; all of it goes into the checkpoint."""

    step: int = 0
    elapsed_s: float = 0.0
    losses: list[float] = field(default_factory=list)
    """Of the batches since the last record."""
    history: list[EpochRecord] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = -1
    best_loss: float = float("inf")
    ended: Ending = "interrupted"

    def keep(self, record: EpochRecord, average: MovingAverage) -> None:
        self.history.append(record)
        if record.val_loss <= self.best_loss or not self.best:
            self.best = {name: tensor.clone() for name, tensor in average.state.items()}
            self.best_epoch, self.best_loss = record.epoch, record.val_loss


@dataclass(frozen=True, slots=True)
class Stored:
    """What a checkpoint gives to an export: the best weights so far."""

    network: Network
    history: tuple[EpochRecord, ...]
    best_epoch: int
    elapsed_s: float
    ended: Ending
    options: dict[str, Any]
    note: dict[str, str]


def best_of(path: Path) -> Stored:
    """The best network in the checkpoint at `path`, in evaluation mode. Raises DataError."""
    content = checkpoint.load(path)
    content |= content.get("pruned") or {}
    run = content["run"]
    if not run["best"]:
        raise DataError(
            f"{path}: the training had not finished its first epoch; go on with it before exporting"
        )
    network = build(NetworkSpec.from_dict(content["built"]))
    network.load_state_dict(run["best"])
    network.eval()
    history = tuple(EpochRecord(**record) for record in run["history"])
    return Stored(
        network=network,
        history=history,
        best_epoch=run["best_epoch"],
        elapsed_s=run["elapsed_s"],
        ended=run["ended"],
        options=content["options"],
        note=content["note"],
    )


def _identity(spec: NetworkSpec, options: TrainOptions) -> dict[str, Any]:
    """What must be alike for a checkpoint to be continued.

    Of a budget only that there is one: what is left of it for the training hangs on how long reading took.
    """
    compared = asdict(options) | {"budget_s": options.budget_s is not None}
    return {"network": spec.to_dict(), "options": compared}


def save(
    path: Path,
    spec: NetworkSpec,
    options: TrainOptions,
    network: Network,
    optimiser: torch.optim.Optimizer,
    average: MovingAverage,
    run: Run,
    note: Mapping[str, str],
) -> None:
    """Writes all of it atomically. Raises OSError; what was at `path` is then still there."""
    content = {
        "note": dict(note),
        "identity": _identity(spec, options),
        "options": asdict(options),
        "built": network.spec.to_dict(),
        "weights": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average.state,
        "run": asdict(run),
    }
    checkpoint.save(path, content)


def keep_pruned(path: Path, trained: Trained | None) -> None:
    """Puts the pruned and tuned network into the checkpoint at `path`, for whoever exports it, beside the training it
    came from, which a resumed training goes on with; None takes away what was there. Raises OSError, DataError."""
    content = checkpoint.load(path)
    if trained is None:
        if content.pop("pruned", None) is None:
            return
    else:
        run = Run(
            elapsed_s=trained.duration_s,
            history=list(trained.history),
            best=dict(trained.network.state_dict()),
            best_epoch=trained.best_epoch,
            ended=trained.ended,
        )
        content["pruned"] = {"built": trained.network.spec.to_dict(), "run": asdict(run)}
    del content["format"]
    checkpoint.save(path, content)


def resume(
    path: Path,
    spec: NetworkSpec,
    options: TrainOptions,
    network: Network,
    optimiser: torch.optim.Optimizer,
    average: MovingAverage,
) -> Run:
    content = checkpoint.load(path)
    if content["identity"] != _identity(spec, options):
        differing = _differences(content["identity"], _identity(spec, options))
        raise DataError(
            f"{path} belongs to another training ({differing}); remove it or give the same options"
        )
    network.load_state_dict(content["weights"])
    optimiser.load_state_dict(content["optimiser"])
    average.state = {name: tensor.to(network.scale.device) for name, tensor in content["average"].items()}
    state = content["run"]
    run = Run(**(state | {"history": [EpochRecord(**record) for record in state["history"]]}))
    more = options.budget_s is not None and run.elapsed_s < LITTLE_MORE * options.budget_s
    if run.ended == "budget" and more:
        run.ended = "interrupted"
    return run


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    def flat(value: Any, prefix: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix: value}
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{prefix}.{key}").items()}

    left, right = flat(old, ""), flat(new, "")
    names: Sequence[str] = [key.split(".")[-1] for key in right if left.get(key) != right[key]]
    return ", ".join(names[:5]) or "older"
