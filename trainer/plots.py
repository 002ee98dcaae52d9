"""The report's diagrams, as PNG bytes. Drawn without a display."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from trainer.decided import Abstaining
from trainer.matplotlib_folder import keep_out_of_home
from trainer.metrics import EvaluationResult

keep_out_of_home()

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.collections import PathCollection  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter  # noqa: E402

_BLUE, _ORANGE, _GREY = "#1f6fb2", "#d9731a", "#8a8f98"
_DPI = 110
_NUMBERED = 24
"""Up to this many labels the confusion matrix shows its numbers."""


class Epoch(Protocol):
    """One line of a training's curves; accuracies from 0 to 1."""

    @property
    def epoch(self) -> int: ...
    @property
    def train_loss(self) -> float: ...
    @property
    def train_accuracy(self) -> float: ...
    @property
    def val_loss(self) -> float: ...
    @property
    def val_accuracy(self) -> float: ...


def curves(history: Sequence[Epoch], best_epoch: int | None) -> bytes:
    """Loss and accuracy of training and validation over the epochs; the kept epoch is marked."""
    figure, (left, right) = _figure(9.6, 3.4, 2)
    epochs = [record.epoch + 1 for record in history]
    marker = "o" if len(epochs) < 3 else None
    for axes, what in ((left, "loss"), (right, "accuracy")):
        for part, colour in (("train", _GREY), ("val", _BLUE)):
            values = [getattr(record, f"{part}_{what}") for record in history]
            name = "training" if part == "train" else "validation"
            axes.plot(epochs, values, color=colour, label=name, marker=marker)
        if best_epoch is not None:
            axes.axvline(best_epoch + 1, color=_ORANGE, linewidth=1, linestyle="--", label="kept")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss, nats a picture" if what == "loss" else what)
    losses = [loss for record in history for loss in (record.train_loss, record.val_loss)]
    if min(losses) > 0 and max(losses) > 4 * min(losses):
        left.set_yscale("log")
        left.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left.yaxis.set_minor_formatter(NullFormatter())
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return _png(figure)


def confusion(result: EvaluationResult) -> bytes:
    """The confusion matrix: shades are shares of a row, numbers are pictures. For several labels a picture:
    right and wrong decisions, label by label."""
    names = [_short(name) for name in result.label_names]
    if result.task == "multi_label":
        table = result.confusion.reshape(len(names), 4)[:, [3, 2, 1, 0]]
        columns = ["found", "missed", "wrongly found", "rightly not"]
    else:
        table, columns = result.confusion, names
    rows = max(len(names), 1)
    side = min(12.0, max(3.2, 0.46 * len(columns) + 1.8))
    figure, (axes,) = _figure(side + 0.8, min(12.0, max(2.6, 0.46 * rows + 1.6)), 1)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    size = 9 if max(len(names), len(columns)) <= 12 else 6
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.grid(False)
    if rows <= _NUMBERED:
        for (row, column), count in np.ndenumerate(table):
            if count:
                colour = "white" if share[row, column] > 0.55 else "#222222"
                axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=size)
    return _png(figure)


def reliability(result: EvaluationResult, uncalibrated: EvaluationResult | None) -> bytes:
    """Accuracy against confidence, before and after temperature scaling; the size of a dot is how many answers
    its bin holds, and the bars are where true confidences would lie in 95 of 100 draws of as many answers."""
    figure, (axes,) = _figure(5.2, 4.6, 1)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
    held, chance = result.reliability.count > 0, result.ece_by_chance
    axes.vlines(
        result.reliability.confidence[held],
        chance.low_accuracy[held],
        chance.high_accuracy[held],
        color=_GREY,
        linewidth=7,
        alpha=0.3,
        label=f"by chance, ECE under {chance.high:.4f}",
    )
    pairs = [(result, _BLUE, "calibrated" if uncalibrated else "model")]
    if uncalibrated is not None:
        pairs.insert(0, (uncalibrated, _ORANGE, "uncalibrated"))
    for evaluation, colour, name in pairs:
        bins = evaluation.reliability
        filled = bins.count > 0
        sizes = 12 + 160 * bins.count[filled] / bins.count.sum()
        points = bins.confidence[filled], bins.accuracy[filled]
        axes.plot(*points, color=colour, linewidth=1, alpha=0.6)
        axes.scatter(*points, s=sizes, color=colour, label=f"{name}, ECE {bins.ece:.4f}", zorder=3)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.04)
    axes.set_xlabel("confidence (size of a dot: share of the answers)")
    axes.set_ylabel("share of the answers that is right")
    legend = axes.legend(loc="upper left", frameon=False)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([30])
    return _png(figure)


def risk_coverage(result: EvaluationResult, without: Abstaining | None) -> bytes:
    """Share of wrong answers against the share of answers given, surest first; where the card's abstain threshold
    lies on it is marked."""
    curve = result.risk_coverage
    figure, (axes,) = _figure(5.2, 4.6, 1)
    axes.plot(curve.coverage, curve.risk, color=_BLUE, label=f"area {curve.aurc:.4f}")
    if without is not None:
        name = f"abstaining below {without.below:.2f}"
        axes.axvline(without.given.value, color=_ORANGE, linestyle="--", linewidth=1, label=name)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, max(0.02, 1.15 * float(curve.risk.max())))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("share of answers given, surest first")
    axes.set_ylabel("share of them that is wrong")
    axes.legend(loc="upper left", frameon=False)
    return _png(figure)


def _short(text: str) -> str:
    return text if len(text) <= 26 else f"{text[:25]}…"


def _figure(width: float, height: float, columns: int) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for one in axes:
        one.grid(True, color="#e6e8eb", linewidth=0.8)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # a label in a script that the font lacks shows as boxes, and is no error
        figure.savefig(data, format="png")
    return data.getvalue()
