"""What stands between the command line and the work: interruption, progress, files, and what is said at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch

from edgenode.errors import DataError
from edgenode.inference.card import InputSpec, Quantisation
from trainer import distributed
from trainer.augment import Augment
from trainer.decided import calibration_text
from trainer.display import Display
from trainer.distributed import World
from trainer.files import check_writable
from trainer.fit import Fitted, finish
from trainer.fit_options import FitOptions
from trainer.int8_proof import SideBySide, proof_pictures, prove_int8, wins
from trainer.interruption import stop_on_signal
from trainer.learning import train_network
from trainer.options import EpochRecord, Hooks, Trained, TrainingInterrupted, TrainOptions
from trainer.preparation import InputOptions, Prepared, model_name, prepare_data
from trainer.quantise import quantise
from trainer.run_state import best_of

RESERVE_S = 15.0
"""Kept of a time budget for calibrating, exporting, quantising and evaluating."""


def run_fit(
    data: Path, out: Path, report: Path, resume: bool, options: FitOptions, threads: int | None
) -> None:
    """`edgenode-trainer fit`. Exits with 130 when interrupted, the checkpoint then being beside `out`."""
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    started = time.monotonic()
    with _training(checkpoint, resume, threads, (out, report / "index.html")) as (hooks, display):
        prepared = _prepare(data, options.input, resume, hooks, display)
        options = _within_budget(options, started, hooks.world)
        _say_data(prepared, options, display, hooks)
        trained, notes = train_network(prepared, options, hooks)
        if not hooks.world.leads:
            return
        display.say("calibrating, exporting, evaluating …")
        fitted = finish(prepared, trained, out, options, notes, hooks)
    click.echo(summary(prepared, fitted, out))
    _write_report(report, prepared, fitted, options)
    checkpoint.unlink(missing_ok=True)
    click.echo(f"report     {report / 'index.html'}")


def run_train(data: Path, out: Path, resume: bool, options: FitOptions, threads: int | None) -> None:
    """`edgenode-trainer train`."""
    started = time.monotonic()
    with _training(out, resume, threads) as (hooks, display):
        prepared = _prepare(data, options.input, resume, hooks, display)
        options = _within_budget(options, started, hooks.world, reserve_s=0.0)
        _say_data(prepared, options, display, hooks)
        trained, notes = train_network(prepared, options, hooks)
    if hooks.world.leads:
        best = trained.history[-1] if trained.best_epoch < 0 else _best(trained)
        for note in notes:
            click.echo(note)
        click.echo(f"{out}: epoch {best.epoch + 1}, validation accuracy {best.val_accuracy:.2%}")


def run_export(checkpoint: Path, data: Path, out: Path, report: Path | None, values: dict[str, Any]) -> None:
    """`edgenode-trainer export`. What is not in `values` is as it was at the training."""
    for path in (out, *([report / "index.html"] if report is not None else [])):
        check_writable(path)
    stored = best_of(checkpoint)
    spec = InputSpec.model_validate_json(stored.note["input"])
    inputs = _inputs(values, int(stored.note.get("split_seed", 0)), stored.note.get("group_pattern", ""))
    inputs = replace(inputs, size=spec.width, color=spec.color, resize=spec.resize)
    prepared = prepare_data(data, inputs, like=spec)
    if stored.note["labels"].split("\n") != list(prepared.dataset.labels):
        raise DataError(f"{checkpoint} was trained for other labels than {data} has")
    if stored.note["manifest_sha256"] != prepared.manifest_sha256:
        click.echo("note: the data has changed since the training; test pictures may have been trained on")
    options = TrainOptions(**(stored.options | {"augment": Augment(**stored.options["augment"])}))
    trained = Trained(
        network=stored.network,
        history=stored.history,
        best_epoch=stored.best_epoch,
        epochs=len(stored.history),
        duration_s=stored.elapsed_s,
        ended=stored.ended,
        options=options,
    )
    teacher = stored.note.get("teacher")
    fit_options = FitOptions(
        train=options,
        input=inputs,
        name=values["name"] or model_name(out),
        version=values["model_version"],
        quantise=values["quantisation"],
        tolerance=values["tolerance"] / 100.0,
        precision=values["required_precision"],
        teacher=Path(teacher) if teacher else None,
    )
    fitted = finish(prepared, trained, out, fit_options)
    click.echo(summary(prepared, fitted, out))
    if report is not None:
        _write_report(report, prepared, fitted, fit_options)
        click.echo(f"report     {report / 'index.html'}")


def _inputs(values: dict[str, Any], split_seed: int, group_pattern: str) -> InputOptions:
    """The split that a command asks for; by default the one of the training."""
    seed, pattern = values["split_seed"], values["group_pattern"]
    return InputOptions(
        group_pattern=pattern if pattern is not None else group_pattern or None,
        split_seed=seed if seed is not None else split_seed,
    )


def run_quantise(model: Path, data: Path, out: Path, values: dict[str, Any]) -> None:
    """`edgenode-trainer quantise`: decides on validation and augmented training pictures, as `fit` does."""
    from edgenode.inference.classifier import Classifier

    check_writable(out)
    with Classifier.load(model) as classifier:
        card = classifier.card
    made = card.training.options
    inputs = _inputs(values, int(made.get("split_seed") or 0), str(made.get("group_pattern") or ""))
    prepared = prepare_data(data, inputs, like=card.input)
    if list(prepared.dataset.labels) != card.labels:
        raise DataError(
            f"{model} knows {', '.join(card.labels)}; {data} has {', '.join(prepared.dataset.labels)}"
        )
    candidate = out.with_name(f".{out.name}.candidate")
    try:
        tolerance = values["tolerance"] / 100.0
        proof = proof_pictures(prepared.train, prepared.val, Augment(orientation="fixed"), 0)
        measured = prove_int8(model, candidate, prepared.train.images, proof, tolerance)
        click.echo(side_by_side_text(measured))
        if values["always"] or wins(measured, tolerance):
            facts = Quantisation(
                scheme="int8-qdq",
                accuracy_change=measured.accuracy_change,
                speedup=round(measured.speedup, 3),
                float_bytes=measured.float_cost.file_bytes,
            )
            quantise(model, prepared.train.images, out, facts, measured.ranges)
            click.echo(f"{out} written")
        else:
            click.echo("INT8 does not win: nothing written (--always writes it all the same)")
    finally:
        candidate.unlink(missing_ok=True)


def summary(prepared: Prepared, fitted: Fitted, out: Path) -> str:
    """What a user wants to know first."""
    evaluation, card = fitted.evaluation, fitted.card
    accuracy = evaluation.accuracy
    kind = "INT8" if fitted.quantised else "FP32"
    lines = [
        f"model      {out}  {card.training.architecture} {kind}, {card.training.parameters:,} parameters, "
        f"{out.stat().st_size / 1024:,.0f} KiB, input {card.input.height}×{card.input.width} {card.input.color}",
        f"accuracy   {accuracy.value:.2%} ({accuracy.low:.2%} to {accuracy.high:.2%}) on {evaluation.samples} "
        f"pictures never used before; macro F1 {evaluation.macro_f1.value:.2%}"
        + (f", AUC {evaluation.macro_auc.value:.4f}" if evaluation.macro_auc is not None else ""),
        f"calibrated temperature {fitted.temperature:.2f}, ECE {fitted.uncalibrated.ece:.4f} → "
        + calibration_text(evaluation),
        f"trained    {len(fitted.trained.history)} epochs in {fitted.trained.duration_s:.0f} s "
        f"(best: {fitted.trained.best_epoch + 1})",
    ]
    if fitted.comparison is not None:
        lines.append(f"int8       {side_by_side_text(fitted.comparison)}")
    lines += [f"diagnosis  {finding}" for finding in fitted.findings]
    lines += [f"note       {note}" for note in fitted.notes]
    lines += [f"left out   {problem}" for problem in prepared.dataset.problems[:10]]
    return "\n".join(lines)


def side_by_side_text(measured: SideBySide) -> str:
    change, before, after = measured.accuracy_change, measured.float_cost, measured.int8_cost
    return (
        f"{measured.speedup:.2f} × as fast ({before.wall_ms:.2f} → {after.wall_ms:.2f} ms, "
        f"{1000 * before.cpu_s:.2f} → {1000 * after.cpu_s:.2f} ms CPU a picture), "
        f"{before.file_bytes / 1024:,.0f} → {after.file_bytes / 1024:,.0f} KiB, accuracy "
        f"{100 * change.value:+.2f} points ({100 * change.low:+.2f} to {100 * change.high:+.2f}) on "
        f"{measured.pictures} pictures"
    )


def _best(trained: Trained) -> EpochRecord:
    return next(record for record in trained.history if record.epoch == trained.best_epoch)


def _within_budget(
    options: FitOptions, started: float, world: World, reserve_s: float = RESERVE_S
) -> FitOptions:
    """What is left of the leading process's budget for training, at least half of it.

    The same number on every process: the learning rate hangs on it.
    """
    budget = options.train.budget_s
    if budget is None:
        return options
    left = distributed.agree(max(budget / 2, budget - (time.monotonic() - started) - reserve_s), world)
    return replace(options, train=replace(options.train, budget_s=round(left, 1)))


def _say_data(prepared: Prepared, options: FitOptions, display: Display, hooks: Hooks) -> None:
    if not hooks.world.leads:
        return
    spec = prepared.input
    display.say(
        f"{prepared.summary}; input {spec.height}×{spec.width} {spec.color}; {options.train.architecture}"
    )
    for problem in prepared.dataset.problems[:10]:
        display.say(f"left out: {problem}")


def _write_report(report: Path, prepared: Prepared, fitted: Fitted, options: FitOptions) -> None:
    from trainer.reporting import report_of_fit

    report_of_fit(report, prepared, fitted, options)


def _prepare(data: Path, inputs: InputOptions, resume: bool, hooks: Hooks, display: Display) -> Prepared:
    """Reads the data; then puts an earlier training's checkpoint aside, so that no typing error costs hours."""
    checkpoint = hooks.checkpoint
    assert checkpoint is not None

    def reading(what: str, done: int, total: int) -> None:
        display.reading(what, done, total)
        if hooks.stop():
            raise TrainingInterrupted(checkpoint if resume else None)

    prepared = prepare_data(data, inputs, reading)
    if not resume and hooks.world.leads and checkpoint.exists():
        old = checkpoint.with_name(f"{checkpoint.name}.old")
        os.replace(checkpoint, old)
        display.say(
            f"{checkpoint} of an earlier training is now {old.name}; --resume would have gone on with it"
        )
    distributed.agree(0.0, hooks.world)  # nobody reads the old checkpoint
    return prepared


@contextmanager
def _training(
    checkpoint: Path, resume: bool, threads: int | None, written: tuple[Path, ...] = ()
) -> Iterator[tuple[Hooks, Display]]:
    """Joins the other processes, shows progress, and turns Ctrl-C into a checkpoint and exit code 130.

    That `written` and the checkpoint can be written is found out before anything is read.
    """
    if threads:
        torch.set_num_threads(threads)
    world = distributed.join()
    try:
        if world.leads:
            for path in (checkpoint, *written):
                check_writable(path)
        if resume and not checkpoint.exists():
            raise DataError(f"{checkpoint}: there is no checkpoint to go on with")
        with Display(quiet=not world.leads) as display, stop_on_signal() as stop:
            try:
                yield Hooks(stop=stop, progress=display.training, checkpoint=checkpoint, world=world), display
            except TrainingInterrupted as interruption:
                if world.leads:
                    display.say(str(interruption))
                display.close()
                sys.exit(130)
    finally:
        distributed.leave()
