"""Compares ways of training without the test part.

    python -m tests.bench.trainer_folds DATA --try "--budget 5m" --try "--budget 5m --size 160"

The test part of `--split-seed` is set aside and never read. What is left is cut into folds that keep near duplicates
together; each try is trained once a fold and measured on it, all of one fold with the same pictures and seed. What wins
here may be measured on the test part, once, by `trainer_numbers`.
"""

from __future__ import annotations

import json
import shlex
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from edgenode.records import F32
from trainer.calibrate import probabilities, temperature
from trainer.cli import fit as fit_command
from trainer.cli import fit_options
from trainer.dataset import Dataset, load_arrays, load_dataset, split
from trainer.files import write_file
from trainer.fit_options import FitOptions
from trainer.metrics import evaluate_probabilities
from trainer.networks import NetworkSpec
from trainer.options import Trained
from trainer.preparation import input_spec
from trainer.train import logits_of, train


@dataclass(frozen=True, slots=True)
class Row:
    """One training, measured on the fold that it has not seen."""

    tried: str
    fold: int
    accuracy: float
    auc: float | None
    ece: float
    ece_by_chance: float
    """The median of models whose confidences are true, on as many answers."""
    ece_by_chance_95: float
    val_accuracy: float
    train_accuracy: float
    epochs: int
    seconds: float


def folds(data: Dataset, split_seed: int, count: int) -> list[Dataset]:
    """What is not in the test part, in `count` parts that share no near duplicates."""
    parts = split(data, seed=split_seed)
    left = data.subset(parts.train.pictures + parts.val.pictures)
    found = []
    for rest in range(count, 1, -1):
        cut = split(left, (1 - 1 / rest, 0.0, 1 / rest), seed=split_seed)
        found.append(cut.test)
        left = cut.train
    return [*found, left]


def options_of(text: str) -> FitOptions:
    """The options that `edgenode-trainer fit` would read from `text`."""
    with fit_command.make_context("fit", [".", "--out", "model.onnx", *shlex.split(text)]) as context:
        values: dict[str, Any] = dict(context.params)
    return fit_options(Path("model.onnx"), values)


def run(text: str, options: FitOptions, parts: list[Dataset], fold: int) -> Row:
    others = [part for index, part in enumerate(parts) if index != fold]
    seen = parts[fold].subset(tuple(picture for part in others for picture in part.pictures))
    cut = split(seen, (0.88, 0.12, 0.0), seed=options.input.split_seed)
    spec = input_spec(seen, options.input)
    learnt, val, unseen = (load_arrays(part, spec) for part in (cut.train, cut.val, parts[fold]))
    network = NetworkSpec(options.train.architecture, len(seen.labels), *spec.shape)
    trained = train(network, learnt, val, options.train)
    scale = temperature(logits_of(trained.network, val.images), val.labels, options.train.label_smoothing)
    answers = _answers(trained, unseen.images, scale)
    result = evaluate_probabilities(answers, unseen.labels, seen.labels, bootstrap=0)
    best = next(record for record in trained.history if record.epoch == trained.best_epoch)
    return Row(
        tried=text,
        fold=fold,
        accuracy=result.accuracy.value,
        auc=None if result.macro_auc is None else result.macro_auc.value,
        ece=result.ece,
        ece_by_chance=result.ece_by_chance.median,
        ece_by_chance_95=result.ece_by_chance.high,
        val_accuracy=best.val_accuracy,
        train_accuracy=best.train_accuracy,
        epochs=len(trained.history),
        seconds=round(trained.duration_s, 1),
    )


def _answers(trained: Trained, images: Any, scale: float) -> F32:
    answers: F32 = probabilities(logits_of(trained.network, images), scale, multi_label=False)
    return answers


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--try", "tries", multiple=True, required=True, help="Options of `edgenode-trainer fit`.")
@click.option("--folds", "count", default=5, show_default=True)
@click.option("--only", default="", help="Folds to measure, such as 0,2; all by default.")
@click.option("--split-seed", default=0, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/trainer_folds.json"), show_default=True
)
def main(data: Path, tries: tuple[str, ...], count: int, only: str, split_seed: int, out: Path) -> None:
    """Train every --try on every fold of DATA (of single labels), and tell what each reaches."""
    parts = folds(load_dataset(data), split_seed, count)
    chosen = [int(fold) for fold in only.split(",")] if only else list(range(count))
    rows: list[Row] = []
    for fold in chosen:
        for text in tries:
            options = options_of(text)
            options = replace(options, input=replace(options.input, split_seed=split_seed))
            row = run(text, options, parts, fold)
            rows.append(row)
            click.echo(
                f"fold {fold} {text!r}: accuracy {row.accuracy:.4f} (validation {row.val_accuracy:.4f}, training "
                f"{row.train_accuracy:.4f}), AUC {row.auc or 0:.4f}, ECE {row.ece:.4f}, {row.epochs} epochs, "
                f"{row.seconds} s"
            )
            content = [{name: getattr(each, name) for name in Row.__slots__} for each in rows]
            write_file(out, json.dumps(content, indent=1).encode())
    for text in tries:
        own = [row for row in rows if row.tried == text]
        spread = np.std([row.accuracy for row in own]) / max(1, len(own)) ** 0.5
        mean = statistics.mean(row.accuracy for row in own)
        click.echo(
            f"{text!r}: accuracy {mean:.4f} ± {spread:.4f}, ECE {statistics.mean(r.ece for r in own):.4f}"
        )


if __name__ == "__main__":
    main()
