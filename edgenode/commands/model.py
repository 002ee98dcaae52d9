"""`edgenode model`: look at model files, and manage the installed ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgenode.cli import config_option, read_settings

if TYPE_CHECKING:
    from edgenode.inference.store import ModelStore


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


@model_group.command("install")
@config_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--sha256", help="Refuse any other file.")
@click.option("--activate/--no-activate", default=False, help="Let it serve from the next reload on.")
def install_command(config_path: Path, file: Path, sha256: str | None, activate: bool) -> None:
    """Prove FILE and copy it into the node's store, under the name in its card."""
    store = _store(config_path)
    installed = store.install(file, sha256)
    click.echo(f"installed {installed.name} {installed.sha256}")
    if activate:
        store.activate(installed.name, installed.sha256)
        click.echo(_RELOAD)


@model_group.command("list")
@config_option
def list_command(config_path: Path) -> None:
    """List installed models and what points at them."""
    for model in _store(config_path).models():
        marks = [mark for mark in ("active", "previous", "shadow") if getattr(model, mark)]
        click.echo(f"{model.name:20} {model.sha256}  {model.size_bytes:>10,} B  {' '.join(marks)}".rstrip())


@model_group.command("activate")
@config_option
@click.argument("name")
@click.argument("sha256")
def activate_command(config_path: Path, name: str, sha256: str) -> None:
    """Let the installed file whose hash begins with SHA256 serve as NAME."""
    store = _store(config_path)
    model = store.activate(name, store.find(name, sha256).sha256)
    click.echo(f"{model.name} {model.sha256} is active; {_RELOAD}")


@model_group.command("rollback")
@config_option
@click.argument("name")
def rollback_command(config_path: Path, name: str) -> None:
    """Go back to the version of NAME that was active before."""
    model = _store(config_path).rollback(name)
    click.echo(f"{model.name} {model.sha256} is active; {_RELOAD}")


_RELOAD = "a running node takes it with a reload (systemctl reload edgenode, or the command `reload`)"


def _store(config_path: Path) -> ModelStore:
    from edgenode.inference.store import ModelStore

    return ModelStore(read_settings(config_path).node.state_dir)
