"""From arrays to a trained network: with a teacher and pruning where they are asked for."""

from __future__ import annotations

from dataclasses import replace

from trainer.architectures import recipe
from trainer.calibrate import probabilities
from trainer.distill import FileTeacher
from trainer.fit_options import FitOptions
from trainer.int8_proof import correct
from trainer.networks import Network, NetworkSpec
from trainer.options import EpochRecord, Hooks, Trained, TrainingInterrupted, TrainOptions
from trainer.preparation import Prepared
from trainer.prune import prune
from trainer.run_state import keep_pruned
from trainer.train import logits_of, train

FINE_TUNE = 0.3
"""A pruned network is trained on for this part of the first training's epochs, time and learning rate."""


def train_network(prepared: Prepared, options: FitOptions, hooks: Hooks) -> tuple[Trained, tuple[str, ...]]:
    """The training alone, and what was decided on the way. Raises DataError, ModelError, TrainingInterrupted."""
    height, width, channels = prepared.input.shape
    spec = NetworkSpec(options.train.architecture, len(prepared.dataset.labels), height, width, channels)
    note = {
        "labels": "\n".join(prepared.dataset.labels),
        "input": prepared.input.model_dump_json(),
        "split_seed": str(options.input.split_seed),
        "group_pattern": options.input.group_pattern or "",
        "teacher": options.teacher.name if options.teacher is not None else "",
    }
    hooks = replace(hooks, note={**note, "manifest_sha256": prepared.manifest_sha256, **hooks.note})
    budget = options.train.budget_s
    if options.prune and budget is not None:
        options = replace(options, train=replace(options.train, budget_s=budget / (1.0 + FINE_TUNE)))
    if options.teacher is None:
        return _and_pruned(prepared, spec, options, hooks)
    teacher = FileTeacher(options.teacher, prepared.dataset.labels)
    try:
        return _and_pruned(prepared, spec, options, replace(hooks, teacher=teacher))
    finally:
        teacher.close()


def _and_pruned(
    prepared: Prepared, spec: NetworkSpec, options: FitOptions, hooks: Hooks
) -> tuple[Trained, tuple[str, ...]]:
    """The pruned and fine-tuned training where that was asked for and keeps accuracy, else the plain one; and a
    line that says which."""
    trained = train(spec, prepared.train, prepared.val, options.train, hooks)
    stored = hooks.checkpoint if hooks.world.leads else None
    if not options.prune:
        if stored is not None:
            keep_pruned(stored, None)
        return trained, ()
    smaller = prune(trained.network, options.prune)
    fine_tuning = replace(hooks, start=smaller.state_dict(), checkpoint=None)
    try:
        tuned = train(
            smaller.spec, prepared.train, prepared.val, _tuning(options.train, trained), fine_tuning
        )
    except TrainingInterrupted as interruption:  # what was trained before is whole in its checkpoint
        raise TrainingInterrupted(hooks.checkpoint) from interruption
    before = _accuracy(trained.network, prepared)
    after = _accuracy(tuned.network, prepared)
    shown = (
        f"pruning {options.prune:.0%} of the inner channels: validation accuracy {before:.2%} → {after:.2%}"
    )
    kept = after >= before - options.tolerance - 1e-9
    joined = _joined(trained, tuned)
    if stored is not None:
        keep_pruned(stored, joined if kept else None)
    if not kept:
        return trained, (f"{shown}; not kept",)
    return joined, (f"{shown}; kept, channels {' '.join(map(str, smaller.spec.inner))}",)


def _tuning(options: TrainOptions, trained: Trained) -> TrainOptions:
    budget = options.budget_s
    return replace(
        options,
        epochs=max(5, round(FINE_TUNE * len(trained.history))),
        learning_rate=FINE_TUNE * (options.learning_rate or recipe(options.architecture).learning_rate),
        budget_s=None if budget is None else FINE_TUNE * budget,
    )


def _joined(first: Trained, second: Trained) -> Trained:
    """`second` as what went on after `first`: its epochs and seconds are counted from there."""
    epochs, seconds = first.history[-1].epoch + 1, first.duration_s

    def later(record: EpochRecord) -> EpochRecord:
        return replace(record, epoch=record.epoch + epochs, elapsed_s=record.elapsed_s + seconds)

    return replace(
        second,
        history=first.history + tuple(map(later, second.history)),
        best_epoch=second.best_epoch + epochs,
        epochs=epochs + second.epochs,
        duration_s=seconds + second.duration_s,
        options=first.options,
    )


def _accuracy(network: Network, prepared: Prepared) -> float:
    multi_label = prepared.dataset.task == "multi_label"
    answers = probabilities(logits_of(network, prepared.val.images), 1.0, multi_label)
    return float(correct(answers, prepared.val.labels).mean())
