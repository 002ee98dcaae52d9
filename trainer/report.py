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

from edgenode.errors import DataError
from edgenode.inference.card import Interval, ModelCard
from edgenode.records import F32, U8
from trainer import plots
from trainer.dataset import Dataset, load_dataset
from trainer.decided import Abstaining, abstaining, at_thresholds, calibration_text, missed_precision
from trainer.evaluate import Answers, Choice, answers_of, chosen_part, learnt_note, undone_temperature
from trainer.files import write_file
from trainer.inspection import Inspection, inspect_dataset
from trainer.metrics import EvaluationResult, evaluate_probabilities
from trainer.mistakes import Wrong, mixed_up, wrongs
from trainer.report_page import PAGE, STYLE
from trainer.sheets import OURS, class_sheets, file_names, fitted, jpeg, png, sheet
from trainer.terminal import progress_bar


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """All that a report shows. What is empty is left out of the page."""

    card: ModelCard
    evaluation: EvaluationResult
    """Of the model as it is, on pictures never used for any choice."""
    uncalibrated: EvaluationResult | None = None
    """The same before temperature scaling."""
    probabilities: F32 | None = None
    """[N, K]: what the model answers to the pictures of `evaluation`, and"""
    labels: NDArray[Any] | None = None
    """their truth, int64 [N] or float32 [N, K], both in the card's order: show what thresholds give."""
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
    warnings: tuple[str, ...] = ()
    """What takes from the worth of the figures, said beside them."""
    inspection: Inspection | None = None


def write_report(directory: Path, inputs: ReportInputs) -> Path:
    """Writes the pictures and `index.html` into `directory`, the page last, and takes away the pictures that an
    earlier report had there and this one has not; returns the page. Raises OSError."""
    pictures = report_pictures(inputs)
    for name, data in pictures.items():
        write_file(directory / name, data)
    page = directory / "index.html"
    write_file(page, report_html(inputs, pictures).encode())
    for name in {entry.name for entry in directory.iterdir()} - pictures.keys():
        if OURS.fullmatch(name):
            (directory / name).unlink()  # of an earlier report, on something else
    return page


def report_pictures(inputs: ReportInputs) -> dict[str, bytes]:
    """File name to PNG bytes of every picture of the report."""
    result = inputs.evaluation
    found = {
        "confusion.png": plots.confusion(result),
        "reliability.png": plots.reliability(result, inputs.uncalibrated),
        "risk_coverage.png": plots.risk_coverage(result, _without(inputs)),
    }
    if inputs.history:
        found["curves.png"] = plots.curves(inputs.history, inputs.best_epoch)
    if inputs.augmented is not None and len(inputs.augmented):
        found["augmented.png"] = png(sheet(list(inputs.augmented), columns=10))
    if inputs.wrongs:
        found["confident_wrongs.png"] = png(sheet([wrong.picture for wrong in inputs.wrongs], columns=8))
    names = file_names(inputs.class_sheets)
    return found | {names[label]: png(picture) for label, picture in inputs.class_sheets.items()}


def _without(inputs: ReportInputs) -> Abstaining | None:
    if inputs.probabilities is None or inputs.labels is None:
        return None
    return abstaining(inputs.card, inputs.probabilities, inputs.labels)


def report_html(inputs: ReportInputs, pictures: Mapping[str, bytes]) -> str:
    """The page, with `pictures` inlined."""
    card = inputs.card
    sections = [
        ("Result", _result(inputs.evaluation) + _warned(inputs)),
        ("What the training says", _list(inputs.diagnosis)),
        ("Curves", _image(pictures, "curves.png")),
        ("Classes", _classes(inputs)),
        ("Thresholds", _thresholds(inputs)),
        ("Confusion", _image(pictures, "confusion.png") + _mixed_up(inputs.evaluation)),
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
        ("macro precision", _interval(result.macro_precision)),
        ("macro recall", _interval(result.macro_recall)),
    ]
    if result.macro_auc is not None:
        area = result.macro_auc
        figures.append(
            ("macro AUC", f"<b>{area.value:.4f}</b><small>{area.low:.4f} – {area.high:.4f}</small>")
        )
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


def _warned(inputs: ReportInputs) -> str:
    return "".join(f"<div class=warning>{_e(warning)}</div>" for warning in inputs.warnings)


def _interval(interval: Interval) -> str:
    return f"<b>{interval.value:.2%}</b><small>{interval.low:.2%} – {interval.high:.2%}</small>"


def _classes(inputs: ReportInputs) -> str:
    result = inputs.evaluation
    head = ("label", "pictures", "precision", "", "recall", "", "F1", "AUC")
    rows = [
        (
            _e(score.label),
            f"{score.support}",
            *_share(result.precision_of(k)),
            *_share(result.recall_of(k)),
            f"{score.f1:.2%}" if score.support else "–",
            "–" if score.auc is None else f"{score.auc:.4f}",
        )
        for k, score in enumerate(result.per_class)
    ]
    return _table(head, rows) + "<p>Intervals of a label: 95 %, Wilson's.</p>"


def _thresholds(inputs: ReportInputs) -> str:
    """What the card's thresholds give on the pictures of this report, beside what they gave where they were chosen."""
    if not inputs.card.thresholds or inputs.probabilities is None or inputs.labels is None:
        return ""
    required = inputs.card.training.options.get("required_precision")
    head = ("label", "present from", "until under", "on validation", "precision here", "", "recall here", "")
    rows = [
        (
            _e(at.label),
            f"{at.enter:.3f}",
            f"{at.leave:.3f}",
            "–" if at.promised is None else f"{at.promised:.2%}",
            *_share(at.precision),
            *_share(at.recall),
        )
        for at in at_thresholds(inputs.card, inputs.probabilities, inputs.labels)
    ]
    if not isinstance(required, float):
        return _table(head, rows)
    missed = _list(missed_precision(inputs.card, required))
    return (
        f"<p>Chosen on the validation part for a precision of {required:.1%}.</p>{_table(head, rows)}{missed}"
    )


def _share(interval: Interval | None) -> tuple[str, str]:
    if interval is None:
        return "–", ""
    return f"{interval.value:.2%}", f"<small>{interval.low:.0%} – {interval.high:.0%}</small>"


def _mixed_up(result: EvaluationResult) -> str:
    pairs = mixed_up(result)
    lines = [f"{truth} taken for {answer}: {count} of {of}" for truth, answer, count, of in pairs]
    return f"<details><summary>most often mixed up</summary>{_list(lines)}</details>" if lines else ""


def _confidence(inputs: ReportInputs, pictures: Mapping[str, bytes]) -> str:
    card, result = inputs.card, inputs.evaluation
    before = (
        f" Before temperature scaling: {inputs.uncalibrated.ece:.4f}."
        if inputs.uncalibrated is not None
        else ""
    )
    said = (
        f"<p>Expected calibration error {calibration_text(result)}, in 15 equal bins; temperature "
        f"{card.temperature:.2f}.{before}</p>"
    )
    without = _without(inputs)
    if without is not None:
        right = _share(without.right)[0]
        said += (
            f"<p>Answers under {without.below:.2f} count as unknown: of these pictures {without.given.value:.1%} are "
            f"answered, {right} of them rightly.</p>"
        )
    elif card.abstain_below <= 0:
        said += "<p>The model always answers: no abstain threshold is set.</p>"
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
        probabilities=answers.probabilities,
        labels=answers.labels,
        wrongs=wrongs(card, answers.dataset, answers.probabilities, answers.labels),
        class_sheets=class_sheets(whole),
        warnings=tuple(filter(None, [learnt_note(card, whole, answers.dataset)])),
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
