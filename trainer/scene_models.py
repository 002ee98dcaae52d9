"""Makes the models of the built-in demo: `python -m trainer.scene_models edgenode/demo/models`.

Each is taught from drawn scenes alone (see `scenes`), in about three minutes on two cores, and proved before it is
written. The pictures of its test part come from seeds that took no part in the training.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from edgenode.errors import EdgeNodeError
from edgenode.inference.card import InputSpec, ModelCard
from trainer.augment import Augment
from trainer.fit import finish
from trainer.fit_options import FitOptions
from trainer.learning import train_network
from trainer.options import Hooks, TrainOptions
from trainer.preparation import InputOptions, prepare_data
from trainer.scenes import SCENE_MODELS, SceneModel, write_folders

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


def make(model: SceneModel, path: Path, count: int, epochs: int) -> tuple[ModelCard, float]:
    """Trains `model` on `count` drawn pictures and writes it to `path`; its card and its accuracy on the test
    part, as the node's own classifier measured it on the written file."""
    options = FitOptions(
        train=TrainOptions(architecture=model.architecture, epochs=epochs, augment=AUGMENT),
        name=model.name,
        description=f"The region {model.region} of the drawn scene {model.scene}, for the built-in demo.",
        quantise="never",  # shown on any processor, and INT8 does not round alike on all of them
    )
    spec = InputSpec(height=model.height, width=model.width)
    with tempfile.TemporaryDirectory(prefix="edgenode-scenes-") as folder:
        data = Path(folder) / model.name
        write_folders(model, data, count)
        prepared = prepare_data(data, InputOptions(), like=spec)
        trained, notes = train_network(prepared, options, Hooks())
        fitted = finish(prepared, trained, path, options, notes)
    return fitted.card, fitted.evaluation.accuracy.value


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
