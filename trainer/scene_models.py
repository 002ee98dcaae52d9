"""Makes the models of the built-in demo: `python -m trainer.scene_models edgenode/demo/models`.

Each is taught from drawn scenes alone (see `scenes`), in about a minute on two cores, and proved before it is
written. The pictures of its test part come from seeds that took no part in the training.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edgenode.errors import EdgeNodeError
from edgenode.inference.card import InputSpec, ModelCard
from edgenode.inference.pixels import prepare
from edgenode.records import U8
from trainer.augment import Augment
from trainer.export import classify_all
from trainer.fit import Described, Parts, fit_arrays
from trainer.options import TrainOptions
from trainer.scenes import SCENE_MODELS, SEEDS, SHARES, SceneModel, ScenePicture, pictures

AUGMENT = Augment(
    orientation="fixed",
    rotate_deg=1.0,
    zoom=0.01,
    shift=0.01,
    brightness=0.08,
    contrast=0.15,
    blur_chance=0.1,
    occlusion=0.0,
)
"""Where a part begins and ends decides its label here: shifts must stay below the scenes' own margins."""


@dataclass(frozen=True, slots=True)
class SceneExamples:
    """Pictures as the network takes them; satisfies the trainer's `Examples`."""

    images: U8
    labels: NDArray[Any]


def examples(model: SceneModel, drawn: Iterable[ScenePicture], labels: tuple[str, ...]) -> SceneExamples:
    """`drawn` prepared for `model`, labels as indices into `labels`."""
    spec = input_spec(model)
    images, indices = [], []
    for picture in drawn:
        images.append(prepare(picture.image, spec))
        indices.append(labels.index(picture.label))
    return SceneExamples(np.stack(images), np.array(indices, dtype=np.int64))


def input_spec(model: SceneModel) -> InputSpec:
    return InputSpec(height=model.height, width=model.width)


def make(model: SceneModel, path: Path, count: int, epochs: int) -> tuple[ModelCard, float]:
    """Trains `model` on `count` pictures and writes it to `path`; its card and its accuracy on the test part,
    which the node's own classifier measured on the written file."""
    labels = model.labels()
    parts = {
        part: examples(model, pictures(model, seeds, round(count * SHARES[part])), labels)
        for part, seeds in SEEDS.items()
    }
    described = Described(
        name=model.name,
        labels=labels,
        input=input_spec(model),
        description=f"The region {model.region} of the drawn scene {model.scene}, for the built-in demo.",
        summary=f"{count} drawn pictures: {len(SEEDS['train'])} seeds to train on, others to test",
    )
    options = TrainOptions(architecture=model.architecture, epochs=epochs, augment=AUGMENT)
    fitted = fit_arrays(Parts(parts["train"], parts["val"], parts["test"]), described, path, options)
    answers = classify_all(path, parts["test"].images).argmax(axis=1)
    return fitted.card, float((answers == parts["test"].labels).mean())


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--model", "names", multiple=True, type=click.Choice(sorted(SCENE_MODELS)), help="Default: all."
)
@click.option("--pictures", "count", default=8000, show_default=True, type=click.IntRange(min=100))
@click.option("--epochs", default=20, show_default=True, type=click.IntRange(min=1))
def main(out: Path, names: tuple[str, ...], count: int, epochs: int) -> None:
    """Make the demo's models and write them into the folder OUT."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names or sorted(SCENE_MODELS):
        path = out / f"{name}.onnx"
        try:
            card, accuracy = make(SCENE_MODELS[name], path, count, epochs)
        except (EdgeNodeError, OSError) as error:
            raise click.ClickException(f"{name}: {error}") from error
        click.echo(
            f"{path}: {card.training.parameters:,} parameters, {path.stat().st_size:,} bytes, trained in "
            f"{card.training.duration_s} s, {accuracy:.2%} right on the test part"
        )


if __name__ == "__main__":
    main()
