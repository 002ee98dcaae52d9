"""Running a model file over labelled pictures, exactly as a node would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

from edgenode.errors import DataError
from edgenode.inference.card import Interval, ModelCard
from edgenode.inference.classifier import Classifier, ClassifierOptions
from edgenode.records import F32, ModelIdentity
from trainer.classify import classify_all
from trainer.dataset import Dataset, load_arrays, load_dataset, manifest_sha256
from trainer.decided import abstaining, answer_text, at_thresholds, calibration_text
from trainer.metrics import EvaluationResult, confident_wrongs, evaluate_probabilities
from trainer.reading import Progress
from trainer.terminal import progress_bar

Choice = Literal["auto", "all", "train", "val", "test"]
_RUN_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model says of one data set. `labels` is in the order of the card's labels."""

    card: ModelCard
    identity: ModelIdentity
    dataset: Dataset
    probabilities: F32
    """[N, K]"""
    embedding: F32 | None
    """[N, D], where the model has that output."""
    labels: NDArray[Any]
    """int64 [N] or float32 [N, K]."""

    def evaluation(self, bootstrap: int = 1000, seed: int = 0) -> EvaluationResult:
        return evaluate_probabilities(self.probabilities, self.labels, self.card.labels, bootstrap, seed)


def chosen_part(dataset: Dataset, part: Choice = "auto") -> Dataset:
    """The pictures to look at. `auto`: the given test part, else the given val part, else all.

    Raises DataError where the part named is not there.
    """
    there = {picture.part for picture in dataset.pictures}
    if part == "auto":
        part = "test" if "test" in there else "val" if "val" in there else "all"
    if part == "all":
        return dataset
    if part not in there:
        raise DataError(f"{dataset.root}: the data has no {part} part")
    return dataset.subset(tuple(picture for picture in dataset.pictures if picture.part == part))


def answers_of(model: Path, dataset: Dataset, threads: int = 2, progress: Progress | None = None) -> Answers:
    """Prepares the pictures by the card, and classifies them. Raises ModelError, DataError,
    InferenceError."""
    options = ClassifierOptions(threads=threads, run_timeout_s=_RUN_TIMEOUT_S)
    with Classifier.load(model, options) as classifier:
        labels = aligned_labels(dataset, classifier.card, str(model))
        images = load_arrays(dataset, classifier.card.input).images
        probabilities, embedding = classify_all(classifier, images, progress)
        return Answers(classifier.card, classifier.identity, dataset, probabilities, embedding, labels)


def aligned_labels(dataset: Dataset, card: ModelCard, model: str) -> NDArray[Any]:
    """The data's labels in the card's order and task; a label may be missing from the data, not from the
    card."""
    if dataset.task != card.task:
        raise DataError(f"{model} is a {card.task} model, the data is {dataset.task}")
    strange = [label for label in dataset.labels if label not in card.labels]
    if strange:
        raise DataError(
            f"the data has labels that {model} does not know: {', '.join(map(repr, strange[:5]))}; it knows "
            f"{', '.join(map(repr, card.labels[:10]))}"
        )
    order = np.array([card.labels.index(label) for label in dataset.labels], dtype=np.int64)
    targets = dataset.targets()
    if dataset.task == "single_label":
        return np.asarray(order[targets])
    wide = np.zeros((len(targets), len(card.labels)), dtype=np.float32)
    wide[:, order] = targets
    return wide


def learnt_note(card: ModelCard, whole: Dataset, looked_at: Dataset) -> str:
    """A warning where the pictures looked at are all those the model was made from; empty otherwise."""
    if len(whole) != len(looked_at) or card.training.data_manifest_sha256 != manifest_sha256(whole):
        return ""
    return (
        "these are the pictures that the model was made from, training part and all: the figures flatter. What fit "
        "measured is in the card; report/split.csv beside the pictures, as DATA, has the test part"
    )


def undone_temperature(probabilities: F32, temperature: float, multi_label: bool) -> F32:
    """The probabilities the model would give without temperature scaling: softmax(T · log p), or
    sigmoid(T · logit p)."""
    p = np.clip(probabilities.astype(np.float64), 1e-30, 1.0)
    if multi_label:
        q = np.clip(1.0 - probabilities.astype(np.float64), 1e-30, 1.0)
        return np.asarray(1.0 / (1.0 + (q / p) ** temperature), dtype=np.float32)
    scaled = temperature * np.log(p)
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def result_json(answers: Answers, result: EvaluationResult) -> dict[str, Any]:
    """The evaluation as a JSON object: the card's fields, and what does not stand in the card."""
    dataset = answers.dataset
    multi = answers.card.task == "multi_label"
    raw = undone_temperature(answers.probabilities, answers.card.temperature, multi)
    uncalibrated = evaluate_probabilities(raw, answers.labels, answers.card.labels, bootstrap=0)
    without = abstaining(answers.card, answers.probabilities, answers.labels)
    curve = result.risk_coverage
    marks = np.linspace(0, len(curve.coverage) - 1, min(101, len(curve.coverage))).round().astype(int)
    return {
        "model": {
            "name": answers.identity.name,
            "version": answers.identity.version,
            "sha256": answers.identity.sha256,
        },
        "data": {
            "path": str(dataset.root),
            "pictures": len(dataset),
            "left_out": [str(problem) for problem in dataset.problems],
            "trained_on": answers.card.training.data_manifest_sha256 == manifest_sha256(dataset),
        },
        "evaluation": result.to_card(manifest_sha256(dataset), uncalibrated.ece).model_dump(mode="json"),
        "macro_precision": result.macro_precision.model_dump(),
        "macro_recall": result.macro_recall.model_dump(),
        "macro_f1": result.macro_f1.model_dump(),
        "macro_auc": None if result.macro_auc is None else result.macro_auc.model_dump(),
        "per_class": [
            {
                "label": name,
                "precision": _interval_json(result.precision_of(k)),
                "recall": _interval_json(result.recall_of(k)),
            }
            for k, name in enumerate(result.label_names)
        ],
        "exact_match": result.exact_match,
        "log_loss": result.log_loss,
        "confusion": result.confusion.tolist(),
        "ece_by_chance": {"median": result.ece_by_chance.median, "95": result.ece_by_chance.high},
        "reliability": _reliability_json(result),
        "reliability_uncalibrated": _reliability_json(uncalibrated),
        "risk_coverage": {
            "aurc": curve.aurc,
            "coverage": curve.coverage[marks].round(6).tolist(),
            "risk": curve.risk[marks].round(6).tolist(),
        },
        "thresholds": [
            {
                "label": at.label,
                "enter": at.enter,
                "leave": at.leave,
                "taken": at.taken,
                "precision": _interval_json(at.precision),
                "recall": _interval_json(at.recall),
                "precision_on_validation": at.promised,
            }
            for at in at_thresholds(answers.card, answers.probabilities, answers.labels)
        ],
        "abstain": None
        if without is None
        else {
            "below": without.below,
            "given": _interval_json(without.given),
            "right": _interval_json(without.right),
        },
        "confident_wrongs": [
            {
                "path": dataset.name_of(dataset.pictures[i]),
                "label": dataset.label_text(dataset.pictures[i]),
                "answer": answer_text(answers.card, answers.probabilities[i]),
                "probability": round(float(answers.probabilities[i].max()), 6),
            }
            for i in confident_wrongs(answers.probabilities, answers.labels)
        ],
    }


def _interval_json(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.model_dump()


def _reliability_json(result: EvaluationResult) -> dict[str, list[float]]:
    return {
        "count": result.reliability.count.tolist(),
        "confidence": result.reliability.confidence.round(6).tolist(),
        "accuracy": result.reliability.accuracy.round(6).tolist(),
    }


def result_text(answers: Answers, result: EvaluationResult) -> str:
    """The evaluation for a terminal."""
    width = max(8, *(len(label) for label in result.label_names))
    figures = [
        ("accuracy", result.accuracy),
        ("balanced accuracy", result.balanced_accuracy),
        ("macro precision", result.macro_precision),
        ("macro recall", result.macro_recall),
        ("macro F1", result.macro_f1),
    ]
    lines = [f"{answers.identity.name} {answers.identity.version} on {result.samples} pictures"]
    lines += [f"{name:18} {v.value:7.2%}  ({v.low:.2%} to {v.high:.2%})" for name, v in figures]
    if result.macro_auc is not None:
        area = result.macro_auc
        lines.append(f"macro AUC          {area.value:7.4f}  ({area.low:.4f} to {area.high:.4f})")
    lines.append(f"calibration error   {calibration_text(result)}")
    lines.append(f"wrong              {result.wrong:7d}  pictures")
    lines.append(f"\n{'label':{width}}  precision  recall      F1  pictures")
    lines.extend(
        f"{s.label:{width}}  {s.precision:9.2%} {s.recall:7.2%} {s.f1:7.2%} {s.support:9d}"
        for s in result.per_class
    )
    shares = at_thresholds(answers.card, answers.probabilities, answers.labels)
    if shares:
        lines.append(f"\n{'by threshold':{width}}       from  precision  recall")
        lines.extend(
            f"{at.label:{width}}  {at.enter:9.3f}  {_share(at.precision):>9} {_share(at.recall):>7}"
            for at in shares
        )
    without = abstaining(answers.card, answers.probabilities, answers.labels)
    if without is not None:
        lines.append(
            f"\nunknown under {without.below:.3f}: {without.given.value:.2%} answered, "
            f"{_share(without.right)} of that right"
        )
    return "\n".join(lines)


def _share(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.value:.2%}"


@click.command("evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--part", type=click.Choice(["auto", "all", "train", "val", "test"]), default="auto",
              help="Of data that comes in parts. auto: test, else val, else all.")  # fmt: skip
@click.option("--threads", default=2, show_default=True, help="Threads onnxruntime uses.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def evaluate_command(model: Path, data: Path, part: Choice, threads: int, as_json: bool) -> None:
    """Measure MODEL on DATA, a folder of class folders or a manifest."""
    with progress_bar("reading", quiet=as_json) as progress:
        whole = load_dataset(data, progress)
    dataset = chosen_part(whole, part)
    with progress_bar("classifying", quiet=as_json) as progress:
        answers = answers_of(model, dataset, threads, progress)
    note = learnt_note(answers.card, whole, dataset)
    if note:
        click.echo(f"note: {note}", err=True)
    result = answers.evaluation()
    if as_json:
        click.echo(json.dumps(result_json(answers, result), indent=2, ensure_ascii=False))
    else:
        click.echo(result_text(answers, result))
