"""From pictures in memory to a model file: train, calibrate, export, prove."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from edgenode.inference.card import InputSpec, ModelCard, Training
from trainer.calibrate import temperature
from trainer.export import CardFacts, export, library_versions
from trainer.networks import NetworkSpec
from trainer.options import Examples, Hooks, Trained, TrainOptions
from trainer.train import logits_of, train


@dataclass(frozen=True, slots=True)
class Parts:
    """The three parts of the data. Nothing is ever chosen by looking at `test`."""

    train: Examples
    val: Examples
    test: Examples


@dataclass(frozen=True, slots=True)
class Described:
    """What the data is, for the card."""

    name: str
    labels: tuple[str, ...]
    input: InputSpec
    version: str = "1"
    description: str = ""
    manifest_sha256: str | None = None
    summary: str = ""
    facts: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    """Further entries of the card's `training.options`."""


@dataclass(frozen=True, slots=True)
class Fitted:
    card: ModelCard
    trained: Trained
    temperature: float


def fit_arrays(
    parts: Parts, described: Described, out: Path, options: TrainOptions, hooks: Hooks | None = None
) -> Fitted:
    """Trains on arrays and writes a proven model file to `out`. Raises what `train` and `export` raise."""
    labels = parts.train.labels
    height, width, channels = described.input.shape
    spec = NetworkSpec(options.architecture, len(described.labels), height, width, channels)
    trained = train(spec, parts.train, parts.val, options, hooks)
    scale = temperature(logits_of(trained.network, parts.val.images), parts.val.labels)
    facts = CardFacts(
        name=described.name,
        version=described.version,
        description=described.description,
        labels=described.labels,
        input=described.input,
        task="multi_label" if labels.ndim == 2 else "single_label",
        training=provenance(trained, described),
    )
    card = export(trained.network, out, facts, scale, parts.test.images)
    return Fitted(card, trained, scale)


def provenance(trained: Trained, described: Described) -> Training:
    """The card's account of how the weights came about."""
    options = asdict(replace(trained.options))
    augment = options.pop("augment")
    flat = options | {f"augment.{name}": value for name, value in augment.items()} | described.facts
    return Training(
        architecture=trained.options.architecture,
        parameters=0,
        data_manifest_sha256=described.manifest_sha256,
        data_summary=described.summary,
        seed=trained.options.seed,
        epochs=len(trained.history),
        duration_s=round(trained.duration_s, 1),
        libraries=library_versions(),
        options=flat,
    )
