"""`edgenode explain`: why there was, or wasn't, an event of a rule at some time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgenode.cli import config_option, moment_of, proven
from edgenode.errors import ConfigurationError
from edgenode.nearest import suggestion

if TYPE_CHECKING:
    from edgenode.configuration.file import LoadedSettings

AFTERWARDS_S = 2.0
"""A replay goes on this long after the moment, so that what came of it can be told."""


@click.command("explain")
@config_option
@click.option("--rule", required=True, help="Name of the rule.")
@click.option("--camera", help="Tell of this camera's regions only.")
@click.option("--at", help="RFC 3339 time; with --replay the second of the recording. Default: now.")
@click.option(
    "--replay", "replayed", is_flag=True, help="Replay the files instead of asking the running node."
)
@click.option("--wait", "wait_s", type=click.FloatRange(0.1, 120.0), default=10.0, show_default=True)
def explain_command(
    config_path: Path, rule: str, camera: str | None, at: str | None, replayed: bool, wait_s: float
) -> None:
    """Tell why there was or wasn't an event: scores, thresholds, dwell, cooldown, gate, drops.

    Asks the running node over its broker (it remembers the last minutes), or replays the configuration's
    files up to a second of the recording.
    """
    loaded = proven(config_path)
    _refuse_unknown("rule", rule, [each.name for each in loaded.settings.rules])
    if camera is not None:
        _refuse_unknown("camera", camera, [each.name for each in loaded.settings.cameras])
    sentences = _replayed(loaded, rule, camera, at) if replayed else _asked(loaded, rule, camera, at, wait_s)
    for sentence in sentences:
        click.echo(sentence)


def _replayed(loaded: LoadedSettings, rule: str, camera: str | None, at: str | None) -> list[str]:
    from edgenode.commands.replay import Progress, run_replay
    from edgenode.replay.run import EPOCH

    try:
        at_s = float(at) if at is not None else -1.0
    except ValueError:
        at_s = -1.0
    if at_s < 0.0:
        raise click.BadParameter("with --replay, say which second of the recording", param_hint="--at")
    with Progress() as progress:
        outcome = run_replay(loaded.settings, loaded.base_dir, None, EPOCH, at_s + AFTERWARDS_S, progress)
    explanation = outcome.desk.explain(camera, rule, EPOCH + timedelta(seconds=at_s))
    return list(explanation.sentences)


def _asked(loaded: LoadedSettings, rule: str, camera: str | None, at: str | None, wait_s: float) -> list[str]:
    from edgenode.delivery.asking import ask

    settings = loaded.settings
    if settings.mqtt.host == "embedded":
        raise ConfigurationError(
            [
                'mqtt.host: "embedded" lives inside the node on a port of its own; set mqtt.port and host 127.0.0.1'
            ]
        )
    args = {"rule": rule, "camera": camera, "at": None if at is None else moment_of(at, "--at").isoformat()}
    reply = ask(
        settings.mqtt,
        settings.node.name,
        "explain",
        {key: value for key, value in args.items() if value is not None},
        wait_s,
    )
    return [str(sentence) for sentence in reply.get("sentences", [])]


def _refuse_unknown(what: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise ConfigurationError([f"no {what} {name!r}{suggestion(name, known)}"])
