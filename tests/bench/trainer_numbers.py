"""The trainer's figures on real pictures, from scratch: `python -m tests.bench.trainer_numbers --out numbers.json`.

For each task and seed the whole of `fit` is run on a fresh split of that seed; the figures are those of the
written file on its test part, which took part in no choice. Rows are written as they come, so that a stopped run
keeps what it has.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from edgenode.inference.card import InputSpec
from edgenode.inference.classifier import Classifier, ClassifierOptions
from trainer.augment import Augment
from trainer.files import write_file
from trainer.fit import finish, fit
from trainer.fit_options import FitOptions
from trainer.options import TrainOptions
from trainer.preparation import InputOptions


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the table: the data, what is known of the scene, and the time it may take."""

    folder: str
    budget_s: float
    augment: Augment
    size: int | None = None
    architecture: str = "edge-m"
    normalise: Literal["data", "picture"] = "data"
    stem: Literal["learnt", "lines"] = "learnt"
    as_test: str | None = None
    """A part of the data that is taken as the test part."""
    target: str = ""
    never: tuple[tuple[str, str], ...] = ()
    """(truth, answer) that must not occur."""


ROLLED = Augment(orientation="both")
TASKS = {
    "neu_steel": Task("neu_steel", 600, ROLLED, size=128, target="accuracy >= 0.995"),
    "neu_steel_2m": Task("neu_steel", 120, ROLLED, size=128, target="accuracy >= 0.97"),
    "elpv_solar": Task(
        "elpv_solar",
        600,
        ROLLED.scaled(0.3),
        size=224,
        normalise="picture",
        stem="lines",
        target="accuracy >= 0.90",
    ),
    "traffic_light": Task(
        "traffic_light",
        180,
        Augment(),
        target="accuracy >= 0.995, no red as green",
        never=(("red", "green"),),
    ),
    "parking_occupancy": Task("parking_occupancy", 180, Augment(), target="accuracy >= 0.995"),
    "pneumonia_mnist": Task(
        "pneumonia_mnist", 240, Augment(orientation="fixed").scaled(0.7), as_test="val", target="AUC >= 0.98"
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    task: str
    seed: int
    target: str
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    auc: float | None
    ece: float
    ece_by_chance: float
    """The median of models whose confidences are true, on as many answers."""
    ece_by_chance_95: float
    ece_uncalibrated: float
    temperature: float
    test_pictures: int
    val_accuracy: float
    train_accuracy: float
    epochs: int
    seconds: float
    quantised: bool
    speedup: float | None
    float_accuracy: float
    int8_accuracy: float
    forbidden: int
    findings: list[str] = field(default_factory=list)
    confusion: list[list[int]] = field(default_factory=list)


def run(name: str, task: Task, seed: int, data: Path, test: Path | None = None) -> Row:
    """Both forms are written; the figures are of the one that `fit` would choose."""
    with tempfile.TemporaryDirectory(prefix="edgenode-numbers-") as directory:
        folder = data / "images" / task.folder
        if test is not None or task.as_test is not None:
            folder = arranged(folder, task, test, Path(directory) / "data")
        options = FitOptions(
            train=TrainOptions(
                architecture=task.architecture,
                seed=seed,
                budget_s=task.budget_s - 25,
                augment=task.augment,
                normalise=task.normalise,
                stem=task.stem,
            ),
            input=InputOptions(size=task.size, split_seed=seed),
            name=task.folder,
        )
        started = time.monotonic()
        out = Path(directory) / "model.onnx"
        prepared, fitted = fit(folder, out, options)
        seconds = time.monotonic() - started
        assert fitted is not None
        other = finish(
            prepared,
            fitted.trained,
            Path(directory) / "other.onnx",
            replace(options, quantise="never" if fitted.quantised else "always"),
        )
        int8, single = (fitted, other) if fitted.quantised else (other, fitted)
        history = fitted.trained.history
        best = next(record for record in history if record.epoch == fitted.trained.best_epoch)
        labels, result = prepared.dataset.labels, fitted.evaluation
        return Row(
            task=name,
            seed=seed,
            target=task.target,
            accuracy=result.accuracy.value,
            balanced_accuracy=result.balanced_accuracy.value,
            macro_f1=result.macro_f1.value,
            auc=None if result.macro_auc is None else result.macro_auc.value,
            ece=result.ece,
            ece_by_chance=result.ece_by_chance.median,
            ece_by_chance_95=result.ece_by_chance.high,
            ece_uncalibrated=fitted.uncalibrated.ece,
            temperature=fitted.temperature,
            test_pictures=result.samples,
            val_accuracy=best.val_accuracy,
            train_accuracy=best.train_accuracy,
            epochs=len(history),
            seconds=round(seconds, 1),
            quantised=fitted.quantised,
            speedup=fitted.comparison.speedup if fitted.comparison else None,
            float_accuracy=single.evaluation.accuracy.value,
            int8_accuracy=int8.evaluation.accuracy.value,
            forbidden=sum(
                int(result.confusion[labels.index(truth), labels.index(answer)])
                for truth, answer in task.never
            ),
            findings=[finding.kind for finding in fitted.findings],
            confusion=result.confusion.tolist(),
        )


def arranged(folder: Path, task: Task, test: Path | None, into: Path) -> Path:
    """The task's parts as links: `test` as the test part, beside the task's own train and val; without it the
    part that the task names."""
    parts = {"train": folder / "train"}
    if test is None:
        assert task.as_test is not None
        parts["test"] = folder / task.as_test
    else:
        parts |= {"val": folder / "val", "test": test.absolute()}
    into.mkdir()
    for name, part in parts.items():
        if part.is_dir():
            os.symlink(part.absolute(), into / name)
    return into


def speeds(side: int = 64) -> dict[str, dict[str, float]]:
    """Pictures a second through the node's classifier, one thread, FP32, by architecture and batch."""
    from edgenode.inference.card import Training
    from trainer.architectures import ARCHITECTURES, build
    from trainer.export import CardFacts, export
    from trainer.networks import NetworkSpec

    found: dict[str, dict[str, float]] = {}
    images = np.random.default_rng(0).integers(0, 256, (8, side, side, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as directory:
        for architecture in ARCHITECTURES:
            path = Path(directory) / "model.onnx"
            spec = InputSpec(height=side, width=side)
            labels = tuple(f"label {index}" for index in range(10))
            facts = CardFacts("speed", labels, spec, Training(architecture=architecture, parameters=0))
            export(build(NetworkSpec(architecture, 10, side, side, 3)).eval(), path, facts, 1.0, images)
            with Classifier.load(path, ClassifierOptions(threads=1)) as classifier:
                for batch in (1, 8):
                    times = []
                    for _ in range(60):
                        began = time.perf_counter()
                        classifier.classify(images[:batch])
                        times.append((time.perf_counter() - began) / batch)
                    found.setdefault(architecture, {})[f"batch {batch}"] = round(1 / statistics.median(times))
    return found


def medians(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found = []
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        figures = (
            "accuracy",
            "auc",
            "ece",
            "ece_by_chance",
            "ece_by_chance_95",
            "float_accuracy",
            "int8_accuracy",
            "speedup",
            "seconds",
            "forbidden",
        )
        line: dict[str, Any] = {"task": task, "target": own[0].target, "seeds": len(own)}
        for figure in figures:
            values = [value for row in own if (value := getattr(row, figure)) is not None]
            line[figure] = statistics.median(values) if values else None
        found.append(line)
    return found


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option("--tasks", default=",".join(TASKS), show_default=True)
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option(
    "--test",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of class folders to take as the test part of every task named, whose own parts are then for "
    "training and choosing: an official test set. The task's data must lie in train/ and val/.",
)
@click.option("--budget", type=float, help="Seconds for every task, instead of its own.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/trainer_numbers.json"), show_default=True
)
def main(data: Path, tasks: str, seeds: str, test: Path | None, budget: float | None, out: Path) -> None:
    """Run the table and write it as JSON."""
    rows: list[Row] = []
    measured_speeds = speeds()
    for name in tasks.split(","):
        task = TASKS[name] if budget is None else replace(TASKS[name], budget_s=budget)
        for seed in map(int, seeds.split(",")):
            rows.append(run(name, task, seed, data, test))
            row = rows[-1]
            click.echo(
                f"{name} seed {seed}: accuracy {row.accuracy:.4f} (validation {row.val_accuracy:.4f}), AUC "
                f"{row.auc or 0:.4f}, ECE {row.ece:.4f} (by chance {row.ece_by_chance:.4f}), "
                f"INT8 {row.int8_accuracy - row.float_accuracy:+.4f}, "
                f"{row.speedup or 0:.2f} ×, forbidden {row.forbidden}, {row.epochs} epochs, {row.seconds} s"
            )
            content = {
                "pictures_per_second_64": measured_speeds,
                "medians": medians(rows),
                "rows": [{name: getattr(row, name) for name in Row.__slots__} for row in rows],
            }
            text = json.dumps(content, indent=1).encode()
            write_file(out, text)


if __name__ == "__main__":
    main()
