"""What `fit` has learnt, as a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edgenode.errors import PictureError
from edgenode.records import U8
from trainer.augment import Augmenter
from trainer.files import write_file
from trainer.fit import Fitted
from trainer.fit_options import FitOptions
from trainer.inspection import inspect_dataset
from trainer.int8_proof import SideBySide
from trainer.manifest import manifest_csv
from trainer.metrics import confident_wrongs
from trainer.preparation import Prepared
from trainer.reading import read_picture
from trainer.report import ReportInputs, Wrong, write_report
from trainer.sheets import class_sheets
from trainer.sheets import fitted as shrunk

SAMPLES = 40
"""Augmented pictures shown."""


def report_of_fit(directory: Path, prepared: Prepared, fitted: Fitted, options: FitOptions) -> Path:
    """Writes the report of one `fit` into `directory`, with the split as a manifest (`split.csv`, which
    `load_dataset` reads beside the data); returns its page. Raises OSError."""
    write_file(directory / "split.csv", manifest_csv(prepared.split).encode())
    multi_label = prepared.dataset.task == "multi_label"
    comparison = fitted.comparison
    return write_report(
        directory,
        ReportInputs(
            card=fitted.card,
            evaluation=fitted.evaluation,
            uncalibrated=fitted.uncalibrated,
            confidence=None if multi_label else fitted.test_probabilities.max(axis=1),
            history=fitted.trained.history,
            best_epoch=fitted.trained.best_epoch,
            wrongs=_wrongs(prepared, fitted),
            augmented=augmented_samples(prepared, options),
            class_sheets=class_sheets(prepared.dataset),
            quantisation=_rows(comparison, fitted.quantised) if comparison is not None else (),
            diagnosis=tuple(str(finding) for finding in fitted.findings),
            notes=fitted.notes,
            inspection=inspect_dataset(prepared.dataset),
        ),
    )


def augmented_samples(prepared: Prepared, options: FitOptions) -> U8:
    """What the network was really shown: up to `SAMPLES` training pictures, uint8 [N, H, W, C], as augmented."""
    images = prepared.train.images
    count = min(SAMPLES, len(images))
    chosen = np.linspace(0, len(images) - 1, count).astype(np.int64)
    targets = torch.zeros(len(images), 2)
    augmenter = Augmenter(torch.from_numpy(images), targets, options.train.augment, options.train.seed)
    pixels, _ = augmenter.batch(torch.from_numpy(chosen), options.train.seed, slice(None))
    shown: U8 = pixels.permute(0, 2, 3, 1).clamp(0, 255).round().to(torch.uint8).numpy()
    return shown


def _wrongs(prepared: Prepared, fitted: Fitted) -> tuple[Wrong, ...]:
    """The surest mistakes on the test part; a picture that can no longer be read is left out."""
    test, answers = prepared.split.test, fitted.test_probabilities
    labels = prepared.dataset.labels
    found = []
    for index in confident_wrongs(answers, prepared.test.labels):
        picture, row = test.pictures[index], answers[index]
        if prepared.dataset.task == "multi_label":
            answer = "; ".join(labels[k] for k in (row >= 0.5).nonzero()[0]) or "none"
        else:
            answer = labels[int(row.argmax())]
        try:
            pixels = shrunk(read_picture(picture.path)[0], 192)
        except PictureError:
            continue
        found.append(Wrong(pixels, test.name_of(picture), test.label_text(picture), answer, float(row.max())))
    return tuple(found)


def _rows(measured: SideBySide, chosen: bool) -> tuple[tuple[str, str], ...]:
    change, before, after = measured.accuracy_change, measured.float_cost, measured.int8_cost
    return (
        (f"accuracy, INT8 less FP32 ({measured.pictures} validation and augmented training pictures)",
         f"{100 * change.value:+.2f} points ({100 * change.low:+.2f} to {100 * change.high:+.2f})"),
        ("bytes", f"{before.file_bytes:,} → {after.file_bytes:,}"),
        ("milliseconds a picture", f"{before.wall_ms:.3f} → {after.wall_ms:.3f}"),
        ("CPU milliseconds a picture", f"{1000 * before.cpu_s:.3f} → {1000 * after.cpu_s:.3f}"),
        ("speed", f"{measured.speedup:.2f} ×"),
        ("chosen", "INT8" if chosen else "FP32"),
    )  # fmt: skip
