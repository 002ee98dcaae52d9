"""`edgenode doctor`: open and measure what a node depends on, and say what to do."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from edgenode.cli import config_option, proven


@click.command("doctor")
@config_option
@click.argument("config", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json_", is_flag=True, help="For programs: one JSON object.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    metavar="PART",
    help="Look at this alone: broker, camera, disk, … (repeatable).",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1.0, max=120.0),
    default=6.0,
    show_default=True,
    help="How long each camera is watched.",
)
def doctor_command(
    config_path: Path, config: Path | None, as_json_: bool, parts: tuple[str, ...], seconds: float
) -> None:
    """Examine what the node in CONFIG depends on: broker, cameras, models, clock, disk, rights, service.

    Cameras and broker are opened for some seconds; nothing is changed. Exit code 0: works; 1: something does not;
    78: the configuration cannot work.
    """
    from edgenode.doctor.examination import PARTS, Scope, examine
    from edgenode.doctor.finding import Level, worst
    from edgenode.doctor.report import as_json, as_table, summary

    if unknown := set(parts) - set(PARTS):
        raise click.BadParameter(
            f"no part {', '.join(sorted(unknown))} (there are: {', '.join(PARTS)})", param_hint="--part"
        )
    loaded = proven(config if config is not None else config_path)
    scope = Scope(frozenset(parts or PARTS), seconds)
    on_terminal = sys.stderr.isatty() and not as_json_

    def say(what: str) -> None:
        if on_terminal:
            click.echo(f"\r\033[Klooking at {what} …", err=True, nl=False)

    findings = examine(loaded, scope, say)
    if on_terminal:
        click.echo("\r\033[K", err=True, nl=False)
    if as_json_:
        click.echo(as_json(loaded.settings.node.name, findings))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        for line in as_table(findings, width, sys.stdout.isatty()):
            click.echo(line)
        click.echo(summary(findings))
    sys.exit(1 if worst(findings) is Level.PROBLEM else 0)
