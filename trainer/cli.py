"""`edgenode-trainer`: every command, with its libraries loaded when it runs."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgenode.errors import EdgeNodeError

if TYPE_CHECKING:
    from trainer.fit_options import FitOptions

_Function = TypeVar("_Function", bound=Callable[..., Any])
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """Seconds, or with a unit: 90s, 5m, 1.5h."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", str(value).strip())
        if not found or float(found[1]) <= 0:
            self.fail(f"{value!r} is not a duration such as 90s, 5m or 1h", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


_ELSEWHERE = {
    "inspect": ("trainer.inspection:inspect_command", "What is in a data set, and what is wrong with it."),
    "evaluate": ("trainer.evaluate:evaluate_command", "Measure a model file on labelled pictures."),
    "import": ("trainer.import_model:import_command", "Make a model file out of any ONNX classifier."),
    "compare": (
        "trainer.compare:compare_command",
        "Is model B better than, equal to or worse than A? A paired test.",
    ),
    "report": ("trainer.report:report_command", "Write the HTML report of a model on labelled pictures."),
    "collect": ("trainer.collect:collect_command", "Cut labelled pictures out of a clip or a camera."),
}
"""Commands that live with their organ: where, and the line that `--help` shows without loading it."""


class _Commands(click.Group):
    """A group that imports a command's module when the command runs, not when help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = _ELSEWHERE[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            own = super().get_command(ctx, name)
            rows.append((name, own.get_short_help_str(80) if own else _ELSEWHERE[name][1]))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Makes models for edgenode out of labelled pictures, and proves them."""


_required_precision = click.option(
    "--required-precision",
    type=click.FloatRange(0, 1),
    default=0.95,
    show_default=True,
    help="Share of right ones among what counts as a label: its threshold is chosen for it.",
)
_split_seed = click.option("--split-seed", type=int, help="Default: as at the training.")
_group_pattern = click.option("--group-pattern", help="Default: as at the training.")


def _options(function: _Function) -> _Function:
    """The options that `fit`, `train` and `export` share."""
    choices = click.Choice
    for option in reversed(
        (
            click.option(
                "--arch", default="auto", help="auto, classic, edge-s, edge-m or edge-l.", show_default=True
            ),
            click.option("--size", type=click.IntRange(8, 1024), help="Side of the model's input in pixels."),
            click.option("--color", type=choices(["auto", "grey", "rgb"]), default="auto", show_default=True),
            click.option("--resize", type=choices(["stretch", "letterbox", "crop"]), default="stretch"),
            click.option("--budget", type=Duration(), help="Wall time for everything: 90s, 5m, 1h."),
            click.option("--epochs", type=click.IntRange(1)),
            click.option("--batch", type=click.IntRange(2), default=32, show_default=True),
            click.option("--learning-rate", type=click.FloatRange(0, min_open=True)),
            click.option("--seed", type=int, default=0, show_default=True),
            click.option("--split-seed", type=int, default=0, show_default=True),
            click.option("--group-pattern", help="Regular expression; same captured text = same part."),
            click.option(
                "--orientation",
                type=choices(["fixed", "mirror", "both", "any"]),
                default="mirror",
                show_default=True,
                help="What the scene may do: text fixed; left/right alike; up/down too; any turn.",
            ),
            click.option(
                "--augment",
                type=click.FloatRange(0, 3),
                default=1.0,
                show_default=True,
                help="Strength of the augmentation; 0 none.",
            ),
            click.option("--mixup", type=click.FloatRange(0, 1), default=0.0),
            click.option("--cutmix", type=click.FloatRange(0, 1), default=0.0),
            click.option("--label-smoothing", type=click.FloatRange(0, 0.5), default=0.05, show_default=True),
            click.option("--balance", type=choices(["none", "weights", "sampling"]), default="sampling"),
            click.option(
                "--normalise",
                type=choices(["data", "picture"]),
                default="data",
                show_default=True,
                help="By the data's mean and spread, or each picture's own: where its light says nothing.",
            ),
            click.option("--dropout", type=click.FloatRange(0, 0.9)),
            click.option("--precision", type=choices(["auto", "float32", "bfloat16"]), default="auto"),
            click.option("--device", type=choices(["auto", "cpu", "cuda"]), default="auto"),
            click.option("--threads", type=click.IntRange(1), help="Processor threads; default all."),
            click.option(
                "--teacher",
                type=click.Path(path_type=Path, exists=True),
                help="A model file of the same labels to learn from.",
            ),
            click.option(
                "--prune", type=click.FloatRange(0, 0.9), default=0.0, help="Fraction of channels to remove."
            ),
            click.option(
                "--quantise", "quantisation", type=choices(["auto", "never", "always"]), default="auto"
            ),
            click.option(
                "--tolerance",
                type=click.FloatRange(0, 100),
                default=0.3,
                show_default=True,
                help="Points of accuracy that INT8 or pruning may cost.",
            ),
            _required_precision,
            click.option("--name", help="The model's name; default from --out."),
            click.option("--version", "model_version", default="1", show_default=True),
        )
    ):
        function = option(function)
    return function


@cli.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option(
    "--report", type=click.Path(path_type=Path, file_okay=False), help="Default: report/ beside --out."
)
@click.option("--resume", is_flag=True, help="Go on with the checkpoint beside --out.")
@_options
def fit(data: Path, out: Path, report: Path | None, resume: bool, **values: Any) -> None:
    """From a folder of pictures to a proven model file and its report."""
    from trainer.session import run_fit

    run_fit(data, out, report or out.parent / "report", resume, fit_options(out, values), values["threads"])


@cli.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The checkpoint.")
@click.option("--resume", is_flag=True, help="Go on with --out.")
@_options
def train(data: Path, out: Path, resume: bool, **values: Any) -> None:
    """Train only: writes a checkpoint that `export` turns into a model file."""
    from trainer.session import run_train

    run_train(data, out, resume, fit_options(out, values), values["threads"])


@cli.command()
@click.argument("checkpoint", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@_split_seed
@_group_pattern
@click.option("--report", type=click.Path(path_type=Path, file_okay=False), help="Write the report there.")
@click.option("--quantise", "quantisation", type=click.Choice(["auto", "never", "always"]), default="never")
@click.option("--tolerance", type=click.FloatRange(0, 100), default=0.3, show_default=True)
@_required_precision
@click.option("--name", help="The model's name; default from --out.")
@click.option("--version", "model_version", default="1", show_default=True)
def export(checkpoint: Path, data: Path, out: Path, report: Path | None, **values: Any) -> None:
    """Turn a checkpoint into a calibrated, evaluated model file. DATA is what it was trained on."""
    from trainer.session import run_export

    run_export(checkpoint, data, out, report, values)


@cli.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@_split_seed
@_group_pattern
@click.option("--tolerance", type=click.FloatRange(0, 100), default=0.3, show_default=True)
@click.option("--always", is_flag=True, help="Write INT8 even where FP32 is better.")
def quantise(model: Path, data: Path, out: Path, **values: Any) -> None:
    """Measure INT8 beside FP32 and write it where it is faster and loses no accuracy."""
    from trainer.session import run_quantise

    run_quantise(model, data, out, values)


def fit_options(out: Path, values: dict[str, Any]) -> FitOptions:
    """The options of a fit from the command line's."""
    from trainer.augment import Augment
    from trainer.fit_options import FitOptions
    from trainer.options import TrainOptions
    from trainer.preparation import InputOptions, model_name

    augment = Augment(orientation=values["orientation"], mixup=values["mixup"], cutmix=values["cutmix"])
    return FitOptions(
        train=TrainOptions(
            architecture=values["arch"] if values["arch"] != "auto" else "edge-m",
            seed=values["seed"],
            epochs=values["epochs"],
            budget_s=values["budget"],
            batch=values["batch"],
            learning_rate=values["learning_rate"],
            dropout=values["dropout"],
            normalise=values["normalise"],
            label_smoothing=values["label_smoothing"],
            balance=values["balance"],
            precision=values["precision"],
            device=values["device"],
            augment=augment.scaled(values["augment"]),
        ),
        input=InputOptions(
            size=values["size"],
            color=values["color"],
            resize=values["resize"],
            group_pattern=values["group_pattern"],
            split_seed=values["split_seed"],
        ),
        name=values["name"] or model_name(out),
        version=values["model_version"],
        quantise=values["quantisation"],
        tolerance=values["tolerance"] / 100.0,
        precision=values["required_precision"],
        prune=values["prune"],
        teacher=values["teacher"],
    )


def main() -> None:
    """Entry point: a deliberate error is one line and exit code 1; an interruption 130."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EdgeNodeError as error:
        click.echo(f"edgenode-trainer: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"edgenode-trainer: {error.filename or ''}: {error.strerror or error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
