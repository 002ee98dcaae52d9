"""What `fit` has learnt, as a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edgenode.records import U8
from trainer.augment import Augmenter
from trainer.files import write_file
from trainer.fit import Fitted
from trainer.fit_options import FitOptions
from trainer.inspection import inspect_dataset
from trainer.int8_proof import SideBySide
from trainer.manifest import manifest_csv
from trainer.mistakes import wrongs
from trainer.preparation import Prepared
from trainer.report import ReportInputs, write_report
from trainer.sheets import class_sheets

SAMPLES = 40
"""Augmented pictures shown."""


def report_of_fit(directory: Path, prepared: Prepared, fitted: Fitted, options: FitOptions) -> Path:
    """Writes the report of one `fit` into `directory`, with the split as a manifest (`split.csv`, which
    `load_dataset` reads beside the data); returns its page. Raises OSError."""
    write_file(directory / "split.csv", manifest_csv(prepared.split).encode())
    comparison = fitted.comparison
    return write_report(
        directory,
        ReportInputs(
            card=fitted.card,
            evaluation=fitted.evaluation,
            uncalibrated=fitted.uncalibrated,
            probabilities=fitted.test_probabilities,
            labels=prepared.test.labels,
            history=fitted.trained.history,
            best_epoch=fitted.trained.best_epoch,
            wrongs=wrongs(fitted.card, prepared.split.test, fitted.test_probabilities, prepared.test.labels),
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
