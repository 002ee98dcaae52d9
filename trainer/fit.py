"""The one command: from a folder of pictures to a proven, calibrated, quantised model file and its figures."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgenode.errors import DataError
from edgenode.inference.card import DriftReference, ModelCard, Quantisation, Training, embedding_reference
from edgenode.records import F32
from trainer.calibrate import probabilities, temperature
from trainer.classify import classify_with
from trainer.decided import missed_precision
from trainer.diagnose import Finding, diagnose
from trainer.export import (
    CardFacts,
    export,
    facts_of,
    library_versions,
    write_model,
)
from trainer.fit_options import FitOptions
from trainer.int8_proof import SideBySide, correct, paired_change, proof_pictures, prove_int8, wins
from trainer.learning import train_network
from trainer.metrics import EvaluationResult, choose_abstain, choose_thresholds, evaluate_probabilities
from trainer.onnx_graph import card_of, strip
from trainer.options import Hooks, Trained, TrainingInterrupted
from trainer.preparation import Prepared, prepare_data
from trainer.quantise import GOLDEN_TOLERANCE
from trainer.train import logits_of

DRIFT_BINS = 20
EMBEDDINGS_NEEDED = 100
"""With fewer validation pictures, a histogram of the embedding would be mostly noise and is left out."""
EMBEDDING_BINS = 10
"""Half of them under five times as many pictures: the index of n reference pictures is about (bins - 1) / n off."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A written model file and everything measured on the way."""

    card: ModelCard
    trained: Trained
    temperature: float
    findings: tuple[Finding, ...]
    evaluation: EvaluationResult
    uncalibrated: EvaluationResult
    test_probabilities: F32
    comparison: SideBySide | None
    """FP32 beside INT8 on the proof pictures; None where INT8 was not asked for."""
    quantised: bool
    notes: tuple[str, ...]


def fit(
    data: Path,
    out: Path,
    options: FitOptions,
    hooks: Hooks | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> tuple[Prepared, Fitted | None]:
    """Everything, from `data` to the model file `out`. None from a process that does not lead a distributed run.

    Raises DataError, ModelError, TrainingInterrupted.
    """
    hooks = hooks or Hooks()
    prepared = prepare_data(data, options.input, progress)
    trained, notes = train_network(prepared, options, hooks)
    if not hooks.world.leads:
        return prepared, None
    return prepared, finish(prepared, trained, out, options, notes, hooks)


def finish(
    prepared: Prepared,
    trained: Trained,
    out: Path,
    options: FitOptions,
    notes: tuple[str, ...] = (),
    hooks: Hooks | None = None,
) -> Fitted:
    """Calibrates, exports, quantises, evaluates and writes `out`. `out` changes only once all is proven.

    Raises DataError, ModelError, OSError, and TrainingInterrupted between its steps where `hooks.stop` says so.
    """
    hooks = hooks or Hooks()

    def go_on() -> None:
        if hooks.stop():
            raise TrainingInterrupted(hooks.checkpoint)

    multi_label = prepared.dataset.task == "multi_label"
    network, val, test = trained.network, prepared.val, prepared.test
    if not len(test.labels):
        raise DataError("the test part is empty; give more pictures")
    smoothing = 0.0 if options.teacher else trained.options.label_smoothing
    scale = temperature(logits_of(network, val.images), val.labels, smoothing)
    facts = CardFacts(
        name=options.name,
        version=options.version,
        description=options.description,
        labels=prepared.dataset.labels,
        input=prepared.input,
        task=prepared.dataset.task,
        training=provenance(trained, prepared, options),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as directory:
        float_path, int8_path = Path(directory) / "float.onnx", Path(directory) / "int8.onnx"
        export(network, float_path, facts, scale, test.images)
        go_on()
        comparison, quantised = None, False
        if options.quantise != "never":
            train = trained.options
            proof = proof_pictures(prepared.train, val, train.augment, train.seed)
            comparison = prove_int8(float_path, int8_path, prepared.train.images, proof, options.tolerance)
            quantised = options.quantise == "always" or wins(comparison, options.tolerance)
        go_on()
        chosen = int8_path if quantised else float_path
        (val_answers, embeddings), (test_answers, _) = (
            classify_with(chosen, part.images) for part in (val, test)
        )
        labels = prepared.dataset.labels
        evaluation = evaluate_probabilities(test_answers, test.labels, labels)
        plain = probabilities(logits_of(network, test.images), 1.0, multi_label)
        uncalibrated = evaluate_probabilities(plain, test.labels, labels)
        quantisation = None
        if quantised and comparison is not None:
            float_answers, _ = classify_with(float_path, test.images)
            quantisation = Quantisation(
                scheme="int8-qdq",
                accuracy_change=paired_change(
                    correct(float_answers, test.labels), correct(test_answers, test.labels)
                ),
                speedup=round(comparison.speedup, 3),
                float_bytes=comparison.float_cost.file_bytes,
            )
        graph = onnx.load(str(chosen))
        written = card_of(graph, str(chosen))
        assert written is not None
        strip(graph)
        facts = replace(
            facts_of(written),
            thresholds=choose_thresholds(val_answers, val.labels, labels, options.precision),
            abstain_below=choose_abstain(val_answers, val.labels),
            evaluation=evaluation.to_card(prepared.test_sha256, uncalibrated.ece),
            drift=drift_reference(val_answers, embeddings),
        )
        final = Path(directory) / "final.onnx"
        tolerance = GOLDEN_TOLERANCE if quantised else 1e-3
        card = write_model(graph, final, facts, scale, quantisation=quantisation, tolerance=tolerance)
        classify_with(final, test.images[:1])  # the node's own reader accepts the file as it will lie there
        go_on()
        os.replace(final, out)
    return Fitted(
        card=card,
        trained=trained,
        temperature=scale,
        findings=diagnose(trained, len(val.labels)),
        evaluation=evaluation,
        uncalibrated=uncalibrated,
        test_probabilities=test_answers,
        comparison=comparison,
        quantised=quantised,
        notes=(*notes, *missed_precision(card, options.precision), *prepared.split.notes),
    )


def provenance(trained: Trained, prepared: Prepared, options: FitOptions) -> Training:
    """The card's account of how the weights came about."""
    settings: dict[str, Any] = asdict(trained.options)
    augment = settings.pop("augment")
    settings |= {f"augment.{name}": value for name, value in augment.items()}
    settings |= {
        "split_seed": options.input.split_seed,
        "required_precision": options.precision,
        "ended": trained.ended,
        "best_epoch": trained.best_epoch + 1,
    }
    if trained.network.spec.inner:
        settings["pruned_to"] = " ".join(map(str, trained.network.spec.inner))
    if options.input.group_pattern is not None:
        settings["group_pattern"] = options.input.group_pattern
    if options.teacher is not None:
        settings["teacher"] = options.teacher.name
    return Training(
        architecture=trained.options.architecture,
        parameters=0,
        data_manifest_sha256=prepared.manifest_sha256,
        data_summary=prepared.summary,
        seed=trained.options.seed,
        epochs=len(trained.history),
        duration_s=round(trained.duration_s, 1),
        libraries=library_versions(),
        options=settings,
    )


def drift_reference(answers: F32, embeddings: F32 | None) -> DriftReference:
    """How the top label's probability and the embedding lie on the validation part, as the file answers it.

    `answers`: float32 [N, K]; `embeddings`: float32 [N, D], where the file has that output.
    """
    counts, _ = np.histogram(answers.max(axis=1), bins=DRIFT_BINS, range=(0.0, 1.0))
    histogram = [round(float(c), 6) for c in counts / max(1, counts.sum())]
    if embeddings is None:
        return DriftReference(confidence_histogram=histogram)
    wide = embeddings.astype(np.float64)
    enough = len(embeddings) >= EMBEDDINGS_NEEDED
    bins = EMBEDDING_BINS if len(embeddings) >= 5 * EMBEDDINGS_NEEDED else EMBEDDING_BINS // 2
    return DriftReference(
        confidence_histogram=histogram,
        embedding_mean=[round(float(v), 5) for v in wide.mean(axis=0)],
        embedding_std=[round(float(v), 5) for v in wide.std(axis=0)],
        embedding=embedding_reference(embeddings, bins=bins) if enough else None,
    )
