"""The report of one model: a page with everything inside it, and its pictures as files beside it."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from numpy.typing import NDArray

from edgenode.errors import DataError, PictureError
from edgenode.inference.card import Interval, ModelCard
from edgenode.records import U8
from trainer import plots
from trainer.dataset import Dataset, load_dataset
from trainer.evaluate import Answers, Choice, answers_of, chosen_part, undone_temperature
from trainer.files import write_file
from trainer.inspection import Inspection, inspect_dataset
from trainer.metrics import EvaluationResult, confident_wrongs, evaluate_probabilities
from trainer.reading import read_picture
from trainer.report_page import PAGE, STYLE
from trainer.sheets import class_sheets, file_names, fitted, jpeg, png, sheet
from trainer.terminal import progress_bar


@dataclass(frozen=True, slots=True)
class Wrong:
    """A picture that was answered wrongly."""

    picture: U8
    """uint8 [h, w, 3] RGB, or grey."""
    name: str
    truth: str
    answer: str
    probability: float


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """All that a report shows. What is empty is left out of the page."""

    card: ModelCard
    evaluation: EvaluationResult
    """Of the model as it is, on pictures never used for any choice."""
    uncalibrated: EvaluationResult | None = None
    """The same before temperature scaling."""
    confidence: NDArray[Any] | None = None
    """float [N]: the top probability of each test picture; places the abstain threshold on its curve."""
    history: Sequence[plots.Epoch] = ()
    best_epoch: int | None = None
    wrongs: tuple[Wrong, ...] = ()
    augmented: U8 | None = None
    """uint8 [N, H, W, C]: augmented training samples."""
    class_sheets: Mapping[str, U8] = field(default_factory=dict)
    """Label to a sheet of its pictures, uint8 [h, w, 3]."""
    quantisation: tuple[tuple[str, str], ...] = ()
    """Rows (what, figure) of FP32 beside INT8."""
    diagnosis: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Of the split, the choice of the input, and the like."""
    inspection: Inspection | None = None


def write_report(directory: Path, inputs: ReportInputs) -> Path:
    """Writes the pictures and `index.html` into `directory`, the page last; returns the page. Raises
    OSError."""
    pictures = report_pictures(inputs)
    for name, data in pictures.items():
        write_file(directory / name, data)
    page = directory / "index.html"
    write_file(page, report_html(inputs, pictures).encode())
    return page


def report_pictures(inputs: ReportInputs) -> dict[str, bytes]:
    """File name to PNG bytes of every picture of the report."""
    result = inputs.evaluation
    found = {
        "confusion.png": plots.confusion(result),
        "reliability.png": plots.reliability(result, inputs.uncalibrated),
        "risk_coverage.png": plots.risk_coverage(result, inputs.card.abstain_below, inputs.confidence),
    }
    if inputs.history:
        found["curves.png"] = plots.curves(inputs.history, inputs.best_epoch)
    if inputs.augmented is not None and len(inputs.augmented):
        found["augmented.png"] = png(sheet(list(inputs.augmented), columns=10))
    if inputs.wrongs:
        found["confident_wrongs.png"] = png(sheet([wrong.picture for wrong in inputs.wrongs], columns=8))
    names = file_names(inputs.class_sheets)
    return found | {names[label]: png(picture) for label, picture in inputs.class_sheets.items()}


def report_html(inputs: ReportInputs, pictures: Mapping[str, bytes]) -> str:
    """The page, with `pictures` inlined."""
    card = inputs.card
    sections = [
        ("Result", _result(inputs.evaluation)),
        ("What the training says", _list(inputs.diagnosis)),
        ("Curves", _image(pictures, "curves.png")),
        ("Classes", _classes(inputs)),
        ("Confusion", _image(pictures, "confusion.png")),
        ("Is its confidence to be believed?", _confidence(inputs, pictures)),
        ("Surest mistakes", _wrongs(inputs.wrongs)),
        ("Size and speed", _rows(inputs.quantisation)),
        ("The data", _data(inputs)),
        ("Augmented training samples", _image(pictures, "augmented.png")),
        ("Pictures of each class", _sheets(inputs, pictures)),
        ("Model card", _card(card)),
    ]
    body = "".join(
        f"<section><h2>{_e(title)}</h2>{content}</section>" for title, content in sections if content
    )
    about = (
        f"{card.training.architecture}, {card.training.parameters:,} parameters, input {card.input.height}×"
        f"{card.input.width} {card.input.color}, {len(card.labels)} labels"
    )
    return PAGE.format(title=_e(f"{card.name} {card.version}"), style=STYLE, about=_e(about), body=body)


def _result(result: EvaluationResult) -> str:
    figures = [
        ("accuracy", _interval(result.accuracy)),
        ("balanced accuracy", _interval(result.balanced_accuracy)),
        ("macro F1", _interval(result.macro_f1)),
        ("macro precision", f"<b>{result.macro_precision:.2%}</b>"),
        ("macro recall", f"<b>{result.macro_recall:.2%}</b>"),
    ]
    if result.macro_auc is not None:
        figures.append(("macro AUC", f"<b>{result.macro_auc:.4f}</b>"))
    tiles = "".join(f"<div class=tile><span>{name}</span>{value}</div>" for name, value in figures)
    told = (
        f"{result.wrong} of {result.samples} pictures wrong; 95 % intervals by bootstrap over the pictures."
    )
    if result.wrong == 0:
        told += (
            f" Without a mistake the bootstrap has nothing to vary: by the rule of three, up to "
            f"{min(1.0, 3 / result.samples):.2%} of new pictures like these may still be wrong."
        )
    return f"<div class=tiles>{tiles}</div><p>{told}</p>"


def _interval(interval: Interval) -> str:
    return f"<b>{interval.value:.2%}</b><small>{interval.low:.2%} – {interval.high:.2%}</small>"


def _classes(inputs: ReportInputs) -> str:
    head = ("label", "pictures", "precision", "recall", "F1", "AUC", "present from", "until under")
    rows = []
    for score in inputs.evaluation.per_class:
        threshold = inputs.card.threshold(score.label)
        rows.append(
            (
                _e(score.label),
                f"{score.support}",
                f"{score.precision:.2%}",
                f"{score.recall:.2%}",
                f"{score.f1:.2%}",
                "–" if score.auc is None else f"{score.auc:.4f}",
                "–" if threshold is None else f"{threshold.enter:.3f}",
                "–" if threshold is None else f"{threshold.leave:.3f}",
            )
        )
    return _table(head, rows)


def _confidence(inputs: ReportInputs, pictures: Mapping[str, bytes]) -> str:
    card, result = inputs.card, inputs.evaluation
    before = f" (before: {inputs.uncalibrated.ece:.4f})" if inputs.uncalibrated is not None else ""
    said = (
        f"<p>Expected calibration error {result.ece:.4f}{before} in 15 equal bins; temperature "
        f"{card.temperature:.2f}. "
    )
    said += (
        f"Answers under {card.abstain_below:.2f} count as unknown.</p>"
        if card.abstain_below > 0
        else "The model always answers: no abstain threshold is set.</p>"
    )
    images = _image(pictures, "reliability.png") + _image(pictures, "risk_coverage.png")
    return f"{said}<div class=pair>{images}</div>"


def _wrongs(wrongs: Sequence[Wrong]) -> str:
    if not wrongs:
        return ""
    cells = "".join(
        f'<figure><img alt="" src="{_inline(png(fitted(wrong.picture)))}"><figcaption>'
        f"{_e(wrong.truth)}, answered <b>{_e(wrong.answer)}</b> {wrong.probability:.3f}"
        f"<br><small>{_e(wrong.name)}</small></figcaption></figure>"
        for wrong in wrongs
    )
    return f"<div class=grid>{cells}</div>"


def _data(inputs: ReportInputs) -> str:
    parts = [f"<p>{_e(inputs.card.training.data_summary)}</p>" if inputs.card.training.data_summary else ""]
    parts.append(_list(inputs.notes))
    if inputs.inspection is not None:
        for finding in inputs.inspection.findings:
            names = "".join(f"<li>{_e(path)}</li>" for path in finding.paths)
            inner = f"<details><summary>which</summary><ul>{names}</ul></details>" if names else ""
            parts.append(
                f"<div class={finding.severity}><b>{finding.severity}</b> {_e(finding.text)}{inner}</div>"
            )
    return "".join(parts)


def _sheets(inputs: ReportInputs, pictures: Mapping[str, bytes]) -> str:
    names = file_names(inputs.class_sheets)
    return "".join(f"<h3>{_e(label)}</h3>{_image(pictures, name)}" for label, name in names.items())


def _card(card: ModelCard) -> str:
    text = card.model_dump_json(indent=2, exclude_none=True, exclude={"golden", "drift"})
    return f"<details><summary>as JSON</summary><pre>{_e(text)}</pre></details>"


def _rows(rows: Sequence[tuple[str, str]]) -> str:
    return _table((), [(_e(what), _e(figure)) for what, figure in rows]) if rows else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = f"<tr>{''.join(f'<th>{_e(name)}</th>' for name in head)}</tr>" if head else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=wide><table>{top}{body}</table></div>"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_e(line)}</li>' for line in lines)}</ul>" if lines else ""


def _image(pictures: Mapping[str, bytes], name: str) -> str:
    if name not in pictures:
        return ""
    photographs = name.startswith(("class_", "augmented"))
    source = _inline(jpeg(pictures[name]), "jpeg") if photographs else _inline(pictures[name])
    return f'<img alt="{_e(name)}" src="{source}">'


def _inline(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _e(text: str) -> str:
    return html.escape(text, quote=True)


def wrongs_of(answers: Answers, count: int = 24) -> tuple[Wrong, ...]:
    """The most confidently wrong pictures, read from their files; one that can no longer be read is left
    out."""
    found = []
    labels = answers.card.labels
    for index in confident_wrongs(answers.probabilities, answers.labels, count):
        picture = answers.dataset.pictures[index]
        row = answers.probabilities[index]
        if answers.labels.ndim == 2:
            answer = "; ".join(labels[k] for k in (row >= 0.5).nonzero()[0]) or "none"
        else:
            answer = labels[int(row.argmax())]
        try:
            pixels = fitted(read_picture(picture.path)[0], 192)
        except PictureError:
            continue
        name, truth = answers.dataset.name_of(picture), answers.dataset.label_text(picture)
        found.append(Wrong(pixels, name, truth, answer, float(row.max())))
    return tuple(found)


def inputs_of(answers: Answers, whole: Dataset) -> ReportInputs:
    """What can be reported of a model file on labelled pictures, without its training."""
    card = answers.card
    multi = card.task == "multi_label"
    raw = undone_temperature(answers.probabilities, card.temperature, multi)
    return ReportInputs(
        card=card,
        evaluation=answers.evaluation(),
        uncalibrated=evaluate_probabilities(raw, answers.labels, card.labels, bootstrap=0)
        if card.temperature != 1.0
        else None,
        confidence=None if multi else answers.probabilities.max(axis=1),
        wrongs=wrongs_of(answers),
        class_sheets=class_sheets(whole),
        inspection=inspect_dataset(whole),
    )


@click.command("report")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("report"), show_default=True)
@click.option("--part", type=click.Choice(["auto", "all", "train", "val", "test"]), default="auto",
              help="Of data that comes in parts. auto: test, else val, else all.")  # fmt: skip
def report_command(model: Path, data: Path, out: Path, part: Choice) -> None:
    """Write a page on how MODEL does on DATA, and what DATA is like."""
    with progress_bar("reading") as progress:
        whole = load_dataset(data, progress)
    with progress_bar("classifying") as progress:
        answers = answers_of(model, chosen_part(whole, part), progress=progress)
    try:
        click.echo(str(write_report(out, inputs_of(answers, whole))))
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from error
