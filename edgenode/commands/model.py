"""`edgenode model`: look at model files, and manage the installed ones."""

from __future__ import annotations

from pathlib import Path

import click

from edgenode.cli import config_option


@click.group("model")
def model_group() -> None:
    """Inspect and manage model files."""


@model_group.command("inspect")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--prove/--no-prove", default=True, help="Load it and run its golden vector.")
def inspect_command(file: Path, as_json: bool, prove: bool) -> None:
    """Show the card of FILE: labels, input, evaluation, origin; and whether this node accepts it."""
    from edgenode.inference.inspect import inspection, inspection_json, inspection_text

    found = inspection(file, prove=prove)
    click.echo(inspection_json(found) if as_json else inspection_text(found))
    _ = config_option
