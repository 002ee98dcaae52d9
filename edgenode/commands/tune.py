"""`edgenode tune`: measure this machine with these models, and say or write the best `[inference]`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgenode.cli import DEFAULT_CONFIG, read_settings

if TYPE_CHECKING:
    from edgenode.tuning import Tuning


@click.command("tune")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    envvar="EDGENODE_CONFIG",
    help="Its models are measured.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Instead of the configuration's; repeatable.",
)
@click.option(
    "--goal",
    type=click.Choice(["energy", "throughput", "latency"]),
    default="energy",
    show_default=True,
    help="Least CPU an image, most images a second, or the shortest run.",
)
@click.option("--batches", default="1,2,4,8,16,32", show_default=True, help="Batch sizes to try.")
@click.option("--rounds", type=click.IntRange(1, 99), default=5, show_default=True)
@click.option("--write", is_flag=True, help="Put the result into the configuration; a copy stays beside it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def tune_command(
    config_path: Path,
    models: tuple[Path, ...],
    goal: Any,
    batches: str,
    rounds: int,
    write: bool,
    as_json: bool,
) -> None:
    """Measure threads, batch sizes and providers with the models that will run, and choose."""
    from edgenode.configuration.edit import toml_lines, write_values
    from edgenode.inference.runtime import available_providers
    from edgenode.inference.throughput import Effort
    from edgenode.tuning import tune

    paths = list(models) or _configured(config_path)
    try:
        sizes = sorted({int(text) for text in batches.split(",")})
        if not all(1 <= size <= 256 for size in sizes):
            raise ValueError(batches)
    except ValueError as error:
        raise click.BadParameter(
            f"{batches!r} is not a list of 1 to 256, such as 1,4,8", param_hint="--batches"
        ) from error
    found = tune(
        paths,
        available_providers(),
        goal,
        sizes,
        Effort(rounds=rounds),
        lambda what: click.echo(f"measuring {what}", err=True),
    )
    if as_json:
        click.echo(json.dumps({"settings": found.settings(), **asdict(found)}, indent=1))
    else:
        click.echo(_table(found))
        click.echo(f"\nbest for {goal}:\n\n{toml_lines('inference', found.settings())}")
    if write:
        saved = write_values(config_path, "inference", found.settings())
        click.echo(f"\nwritten to {config_path}; what was there is in {saved}", err=True)
    elif not as_json and sys.stdout.isatty():
        click.echo("\n--write puts this into the configuration.")


def _configured(config_path: Path) -> list[Path]:
    from edgenode.errors import ConfigurationError
    from edgenode.wiring import model_path

    settings = read_settings(config_path)
    found = {name: model_path(settings, name, config_path.parent) for name in settings.models}
    missing = [
        f"models.{name}.file: there is no such file, and none is installed"
        for name, path in found.items()
        if path is None
    ]
    if missing:
        raise ConfigurationError(missing)
    if not found:
        raise ConfigurationError([f"{config_path}: has no [models] to measure; give --model"])
    return [path for path in dict.fromkeys(found.values()) if path is not None]


def _table(found: Tuning) -> str:
    lines = [
        f"{'provider':10} {'threads':>7} {'batch':>5} {'images/s':>9} {'CPU ms/image':>13} {'run ms':>8}"
    ]
    for each in found.candidates:
        mark = " *" if each == found.chosen else ""
        lines.append(
            f"{each.provider:10} {each.threads:7d} {each.batch:5d} {each.images_per_s:9,.0f} "
            f"{1000 * each.cpu_s_per_image:13.3f} {1000 * each.run_s:8.2f}{mark}"
        )
    lines += [f"left out: {reason}" for reason in found.left_out]
    return "\n".join(lines)
