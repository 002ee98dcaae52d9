"""The command line. Commands import what they need when they run, so that `--help` and `check` are quick."""

from __future__ import annotations

import os
import re
import sys
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from edgenode import __version__, exit_codes
from edgenode.errors import ConfigurationError, EdgeNodeError

if TYPE_CHECKING:
    from edgenode.configuration.file import LoadedSettings
    from edgenode.settings import Settings

_AGO = re.compile(r"\d+(\.\d+)?(ms|s|m|h|d)")
DEFAULT_CONFIG = Path("/etc/edgenode/edgenode.toml")

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    envvar="EDGENODE_CONFIG",
    help="The configuration file.",
)


@dataclass(frozen=True, slots=True)
class _Later:
    """A command that is imported when it is used, and what the list of commands says of it."""

    module: str
    attribute: str
    help: str


class _Group(click.Group):
    """Imports commands when they are used, and turns the project's own errors into one clear message and the
    right exit code, for every command.

    What is written has lost the credentials of every address in it, the traceback of a fault included.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.later: dict[str, _Later] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self.later])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        later = self.later.get(cmd_name)
        if later is None:
            return super().get_command(ctx, cmd_name)
        import importlib

        command = getattr(importlib.import_module(later.module), later.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.short_help_of(ctx, name)) for name in self.list_commands(ctx)])

    def short_help_of(self, ctx: click.Context, name: str) -> str:
        """One line about a command, without importing it."""
        if name in self.later:
            return self.later[name].help
        command = super().get_command(ctx, name)
        return command.get_short_help_str(80) if command is not None else ""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for problem in error.problems:
                _say(problem)
            sys.exit(exit_codes.CONFIGURATION)
        except EdgeNodeError as error:
            _say(f"edgenode: {error}")
            sys.exit(1)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click ends each of them quietly, with its own exit code
        except OSError as error:
            if error.filename is None:
                _say(traceback.format_exc())
                sys.exit(exit_codes.INTERNAL)
            _say(
                f"edgenode: {error.filename}: {error.strerror}; check the path, its rights and the free space"
            )
            sys.exit(1)
        except Exception:
            _say(traceback.format_exc())
            sys.exit(exit_codes.INTERNAL)


def _say(text: str) -> None:
    from edgenode.telemetry.redaction import Redactor

    click.echo(Redactor()(text), err=True)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgenode")
def main() -> None:
    """Classifies what cameras see, at the edge, and tells the world over MQTT."""


def proven(config_path: Path) -> LoadedSettings:
    """The configuration at `config_path`, with every mistake found before anything is opened.

    Raises ConfigurationError carrying all of them.
    """
    from edgenode.configuration.check import prove

    return prove(config_path, _environment(config_path))


def read_settings(config_path: Path) -> Settings:
    """The settings at `config_path`, their form checked but not what they refer to: for commands that may be
    run to mend just that, such as installing a missing model. Raises ConfigurationError.

    When the command is over, what it made in the state directory as root is given to the directory's owner.
    """
    from edgenode.configuration.file import load
    from edgenode.host import give_to_owner

    settings = load(config_path, _environment(config_path)).settings
    click.get_current_context().call_on_close(partial(give_to_owner, settings.node.state_dir))
    return settings


def _environment(config_path: Path) -> dict[str, str]:
    """This process's environment; for the service's own configuration over that of the service, so that `check`
    and `doctor` mean what the service will be."""
    from edgenode.host import service_environment

    return (service_environment() if config_path == DEFAULT_CONFIG else {}) | dict(os.environ)


def moment_of(text: str, option: str) -> datetime:
    """The UTC instant of RFC 3339 `text`, or so long ago ("90s"). Raises click's error for `option`."""
    from edgenode.clock import parse_moment

    try:
        if _AGO.fullmatch(text):
            from edgenode.settings import parse_duration

            return datetime.now(UTC) - timedelta(seconds=float(parse_duration(text)))
        return parse_moment(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no RFC 3339 time and no duration such as 1h", param_hint=option
        ) from error


def _warn(loaded: LoadedSettings) -> None:
    from edgenode.configuration.check import warnings

    for text in warnings(loaded):
        click.echo(f"warning: {text}", err=True)


def _exit(code: int) -> NoReturn:
    sys.exit(code)


@main.command()
@config_option
def run(config_path: Path) -> None:
    """Run the node until SIGTERM or SIGINT; SIGHUP reloads the configuration."""
    loaded = proven(config_path)
    _warn(loaded)
    from edgenode.daemon import run_daemon

    _exit(run_daemon(loaded, lambda: proven(config_path)))


@main.command()
@config_option
def check(config_path: Path) -> None:
    """Prove a configuration: every mistake at once, and nothing is opened or started."""
    loaded = proven(config_path)
    _warn(loaded)
    settings = loaded.settings
    regions = sum(max(1, len(camera.regions)) for camera in settings.cameras)
    click.echo(
        f"{config_path}: good ({len(settings.cameras)} cameras, {regions} regions, "
        f"{len(settings.models)} models, {len(settings.rules)} rules)"
    )


def _lazy(group: click.Group, name: str, module: str, attribute: str, help_text: str) -> None:
    """Register a command whose module is imported only when it is used."""
    assert isinstance(group, _Group)
    group.later[name] = _Later(module, attribute, help_text)


_lazy(main, "replay", "edgenode.commands.replay", "replay_command", "Replay files and score the events.")
_lazy(main, "bench", "edgenode.commands.bench", "bench_command", "Measure this machine, side by side.")
_lazy(main, "demo", "edgenode.commands.demo", "demo_command", "Drawn scenes, bundled models, live results.")
_lazy(main, "tune", "edgenode.commands.tune", "tune_command", "Measure, and choose threads, batch, provider.")
_lazy(main, "energy", "edgenode.commands.energy", "energy_group", "What this machine draws; calibrate it.")
_lazy(main, "model", "edgenode.commands.model", "model_group", "Inspect and manage model files.")
_lazy(main, "outbox", "edgenode.commands.outbox", "outbox_group", "Look into the event store.")
_lazy(main, "doctor", "edgenode.commands.doctor", "doctor_command", "Examine broker, cameras, disk, …")
_lazy(main, "snapshot", "edgenode.commands.snapshot", "snapshot_command", "One picture, regions drawn.")
_lazy(main, "explain", "edgenode.commands.explain", "explain_command", "Why there was, or wasn't, an event.")
_lazy(main, "verify", "edgenode.commands.verify", "verify_command", "Prove that no event was altered.")
_lazy(
    main,
    "verify-stream",
    "edgenode.commands.verify_stream",
    "verify_stream_command",
    "Prove that no event is missing.",
)
_lazy(main, "worklist", "edgenode.commands.worklist", "worklist_command", "Pictures, likeliest cases first.")
_lazy(main, "regions", "edgenode.commands.regions", "regions_command", "Draw regions on a picture.")
_lazy(main, "label", "edgenode.commands.label", "label_command", "Say what pictures show, by keyboard.")
