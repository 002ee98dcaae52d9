"""What a model file says of itself, for people and for programs: `edgenode model inspect`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgenode.errors import ModelError
from edgenode.inference.card import Evaluation, Interval, ModelCard
from edgenode.inference.onnx_file import OnnxFile, Port, card_of, parse_onnx, read_model_bytes
from edgenode.records import JsonObject

if TYPE_CHECKING:
    from edgenode.inference.classifier import ClassifierOptions


@dataclass(frozen=True, slots=True)
class Inspection:
    """A model file's identity, outline and card, and whether this node takes it."""

    path: Path
    sha256: str
    outline: OnnxFile
    card: ModelCard
    proven: bool
    """Whether it was loaded and its golden vector run."""
    refusal: str | None
    """Why this node refuses it; None when it was not proven or is taken."""


def inspection(path: Path, prove: bool = True, options: ClassifierOptions | None = None) -> Inspection:
    """Read the file at `path` and, unless told not to, load it as a node would.

    Raises ModelError for a file that is no model or has no card; what else is wrong stands in `refusal`.
    """
    data = read_model_bytes(path)
    outline = parse_onnx(data, str(path))
    card = card_of(outline, str(path))
    refusal = _refusal(data, path, options) if prove else None
    return Inspection(path, hashlib.sha256(data).hexdigest(), outline, card, prove, refusal)


def _refusal(data: bytes, path: Path, options: ClassifierOptions | None) -> str | None:
    from edgenode.inference.classifier import Classifier  # brings onnxruntime, which reading alone can spare

    try:
        Classifier.load_bytes(data, str(path), options).close()
    except ModelError as error:
        return str(error)
    return None


def inspection_json(found: Inspection) -> str:
    """One JSON object: `file`, `graph`, `card`, `accepted` (null when not proven) and `refusal`."""
    return json.dumps(_as_object(found), indent=2, ensure_ascii=False)


def _as_object(found: Inspection) -> JsonObject:
    outline = found.outline
    return {
        "accepted": found.refusal is None if found.proven else None,
        "refusal": found.refusal,
        "file": {
            "path": str(found.path),
            "sha256": found.sha256,
            "size_bytes": outline.size_bytes,
            "external_data": list(outline.external_data),
        },
        "graph": {
            "ir_version": outline.ir_version,
            "producer": outline.producer,
            "opsets": {domain or "ai.onnx": version for domain, version in outline.opsets.items()},
            "inputs": [_port_json(port) for port in outline.inputs],
            "outputs": [_port_json(port) for port in outline.outputs],
            "operators": dict(outline.operators),
            "parameter_bytes": outline.parameter_bytes,
        },
        "card": found.card.model_dump(mode="json", exclude_none=True),
    }


def inspection_text(found: Inspection) -> str:
    """Lines for people, without colour."""
    card, outline = found.card, found.outline
    spec, training = card.input, card.training
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in outline.opsets.items())
    operators = ", ".join(f"{count} {name}" for name, count in list(outline.operators.items())[:8])
    lines = [
        f"{card.name} {card.version}  ({card.task})" + (f": {card.description}" if card.description else ""),
        "",
        *_table(
            [
                ("file", str(found.path)),
                ("sha256", found.sha256),
                ("size", f"{_size(outline.size_bytes)}, of it {_size(outline.parameter_bytes)} parameters"),
                ("created", card.created_at),
                ("labels", ", ".join(card.labels)),
                (
                    "takes",
                    f"{spec.height}×{spec.width} {spec.color}, {spec.resize}, {spec.interpolation}",
                ),
                ("abstains", f"under {card.abstain_below:.2f}" if card.abstain_below else "never"),
                ("inputs", "; ".join(map(str, outline.inputs))),
                ("outputs", "; ".join(map(str, outline.outputs))),
                ("opset", f"{opsets} (IR {outline.ir_version})"),
                ("made by", outline.producer),
                ("operators", operators + (", …" if len(outline.operators) > 8 else "")),
                ("network", f"{training.architecture}, {training.parameters:,} parameters"),
                ("trained", _training(card)),
                ("golden", f"{card.golden.count} pictures, within {card.golden.tolerance:g}"),
                ("external", ", ".join(outline.external_data)),
                ("accepted", "not tried" if not found.proven else "yes" if found.refusal is None else "NO"),
            ]
        ),
    ]
    if found.refusal is not None:
        lines += ["", f"this node refuses it: {found.refusal}"]
    if card.thresholds:
        lines += ["", "thresholds (from the validation part)", *_thresholds(card)]
    if card.quantisation is not None:
        quantisation = card.quantisation
        lines += [
            "",
            f"quantised ({quantisation.scheme}): "
            f"accuracy {_interval(quantisation.accuracy_change, signed=True)}, "
            f"{quantisation.speedup:.2f} times as fast, {_size(quantisation.float_bytes)} before",
        ]
    if card.comparison is not None:
        compared = card.comparison
        lines += [
            "",
            f"compared with {compared.against_sha256[:12]} on {compared.samples} pictures: {compared.verdict}, "
            f"accuracy {_interval(compared.difference, signed=True)}",
        ]
    lines += ["", *(_evaluation(card.evaluation, card.labels) if card.evaluation else ["not evaluated"])]
    return "\n".join(lines) + "\n"


def _port_json(port: Port) -> JsonObject:
    return {
        "name": port.name,
        "type": port.element_type,
        "shape": None if port.dims is None else list(port.dims),
    }


def _training(card: ModelCard) -> str:
    training = card.training
    parts = [
        training.origin,
        training.data_summary,
        f"{training.epochs:g} epochs" if training.epochs is not None else "",
        f"seed {training.seed}" if training.seed is not None else "",
        f"{training.duration_s:.0f} s" if training.duration_s is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _thresholds(card: ModelCard) -> list[str]:
    rows = [("label", "enter", "leave", "precision", "recall")]
    rows += [
        (t.label, f"{t.enter:.3f}", f"{t.leave:.3f}", _figure(t.precision), _figure(t.recall))
        for t in card.thresholds
    ]
    return _columns(rows)


def _evaluation(evaluation: Evaluation, labels: list[str]) -> list[str]:
    lines = [f"evaluated on {evaluation.samples} pictures (test set {evaluation.test_set_sha256[:12]})"]
    summary = [
        ("accuracy", _interval(evaluation.accuracy)),
        (
            "balanced accuracy",
            _interval(evaluation.balanced_accuracy) if evaluation.balanced_accuracy else "",
        ),
        ("macro precision", f"{evaluation.macro_precision:.3f}"),
        ("macro recall", f"{evaluation.macro_recall:.3f}"),
        ("macro F1", f"{evaluation.macro_f1:.3f}"),
        ("macro AUC", _figure(evaluation.macro_auc, missing="")),
        ("calibration error", _figure(evaluation.ece, missing="")),
        ("of it by chance", _chance(evaluation)),
    ]
    lines += _table(summary)
    if evaluation.per_class:
        rows = [("label", "precision", "recall", "F1", "AUC", "pictures")]
        rows += [
            (s.label, f"{s.precision:.3f}", f"{s.recall:.3f}", f"{s.f1:.3f}", _figure(s.auc), str(s.support))
            for s in evaluation.per_class
        ]
        lines += ["", *_columns(rows)]
    if evaluation.confusion and len(labels) <= 12:
        matrix = [("truth \\ answer", *labels)]
        matrix += [(labels[i], *map(str, row)) for i, row in enumerate(evaluation.confusion)]
        lines += ["", *_columns(matrix)]
    return lines


def _chance(evaluation: Evaluation) -> str:
    if evaluation.ece_by_chance is None or evaluation.ece_by_chance_95 is None:
        return ""
    return f"{evaluation.ece_by_chance:.3f} (95 % under {evaluation.ece_by_chance_95:.3f})"


def _table(rows: list[tuple[str, str]]) -> list[str]:
    """`name  value` lines; rows without a value are left out."""
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {value}" for name, value in rows if value]


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Aligned columns: the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  " + "  ".join([f"{first:<{widths[0]}}", *cells]))
    return lines


def _interval(interval: Interval, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{interval.value:{sign}.3f} (95 %: {interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


def _figure(value: float | None, missing: str = "-") -> str:
    return missing if value is None else f"{value:.3f}"


def _size(size_bytes: int) -> str:
    if size_bytes < 1024:
        return f"{size_bytes} B"
    return f"{size_bytes / 1024:.1f} KiB" if size_bytes < 2**20 else f"{size_bytes / 2**20:.1f} MiB"
