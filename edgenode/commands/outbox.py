"""`edgenode outbox`: look into the event store, beside a running node or without one."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edgenode.cli import config_option, moment_of, read_settings

FOLDER = "outbox"


def _folder(config_path: Path) -> Path:
    return read_settings(config_path).node.state_dir / FOLDER


@click.group("outbox")
def outbox_group() -> None:
    """Look into the event store: what waits, what was delivered, what was lost and why."""


@outbox_group.command("stats")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def stats_command(config_path: Path, as_json: bool) -> None:
    """Count messages: appended = waiting + acknowledged + lost."""
    from edgenode.delivery.outbox_inspect import stats

    found = asdict(stats(_folder(config_path), datetime.now(UTC)))
    if as_json:
        click.echo(json.dumps(found, default=str))
        return
    for name, value in found.items():
        click.echo(f"{name:13} {_shown(value)}")


@outbox_group.command("list")
@config_option
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--waiting", is_flag=True, help="Only what the broker has not acknowledged.")
def list_command(config_path: Path, limit: int, waiting: bool) -> None:
    """List stored messages, oldest first."""
    from edgenode.delivery.outbox_inspect import list_messages

    for message in list_messages(_folder(config_path), limit, waiting):
        state = (
            "waits" if message.acknowledged_at is None else f"acknowledged {message.acknowledged_at:%FT%TZ}"
        )
        click.echo(
            f"{message.seq:>8}  {message.appended_at:%FT%TZ}  {message.bytes:>7} B  {message.topic}  {state}"
        )


@outbox_group.command("export")
@config_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File; standard output if not given."
)
def export_command(config_path: Path, out: Path | None) -> None:
    """Write every stored message as a line of JSON."""
    from edgenode.delivery.outbox_inspect import export

    with click.open_file(str(out) if out is not None else "-", "w", encoding="utf-8") as file:
        for line in export(_folder(config_path)):
            file.write(json.dumps(line) + "\n")


@outbox_group.command("replay")
@config_option
@click.option("--since", required=True, help="RFC 3339 time, or how long ago: 1h.")
def replay_command(config_path: Path, since: str) -> None:
    """Send again what was acknowledged since then. For a node that is stopped; a running one takes the command
    `replay_events` over MQTT."""
    from edgenode.clock import SystemClock
    from edgenode.delivery.outbox_inspect import replay_offline
    from edgenode.delivery.outbox_rows import OutboxLimits
    from edgenode.node.memory import StateDirectory

    begin = moment_of(since, "--since")
    settings = read_settings(config_path)
    limits = OutboxLimits(settings.outbox.max_size, settings.outbox.max_events, settings.outbox.keep)
    with StateDirectory(settings.node.state_dir):
        count = replay_offline(settings.node.state_dir / FOLDER, limits, SystemClock(), begin)
    click.echo(f"{count} messages wait again; they are sent when the node runs")


@outbox_group.command("drop")
@config_option
@click.option("--before", help="Only what was stored before: RFC 3339 time, or how long ago: 1h.")
@click.option("--rule", help="Only events and pictures of this rule.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop_command(config_path: Path, before: str | None, rule: str | None, yes: bool) -> None:
    """Give up messages that wait for the broker. For a node that is stopped.

    Their numbers are named in a notice on `events/_outbox` once the node is connected, so that readers do not
    take the gap for a loss. What was delivered stays for `replay`.
    """
    from edgenode.clock import SystemClock
    from edgenode.delivery.outbox_inspect import drop_offline, stats
    from edgenode.delivery.outbox_rows import OutboxLimits
    from edgenode.node.memory import StateDirectory

    until = None if before is None else moment_of(before, "--before")
    settings = read_settings(config_path)
    folder = settings.node.state_dir / FOLDER
    limits = OutboxLimits(settings.outbox.max_size, settings.outbox.max_events, settings.outbox.keep)
    with StateDirectory(settings.node.state_dir):
        waiting = stats(folder, datetime.now(UTC)).waiting
        which = (f" of rule {rule}" if rule else "") + (f" stored before {until:%FT%TZ}" if until else "")
        if waiting and not yes:
            click.confirm(f"Of {waiting} waiting messages, give up those{which}?", abort=True)
        count = drop_offline(folder, limits, SystemClock(), until, rule)
    click.echo(f"{count} messages given up, {waiting - count} still wait")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "nothing"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "nothing"
    return "–" if value is None else str(value)
