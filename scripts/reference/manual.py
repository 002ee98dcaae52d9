"""`python -m scripts.reference.manual FOLDER` writes the manual page and the shell completions: what `--help` says, in
the forms that systems install. They are made when the package is built, since their wording is partly click's."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from edgenode import __version__, exit_codes
from edgenode.cli import main

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


def completion_text(shell: str) -> str:
    """The script that makes `shell` complete commands and options of `edgenode`."""
    return SHELLS[shell](main, {}, "edgenode", "_EDGENODE_COMPLETE").source()


def manual_page() -> str:
    """The manual page, in man(7)'s macros."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH EDGENODE 1 "" "edgenode {__version__}" "User Commands"'
    yield from (".SH NAME", r"edgenode \- classifies what cameras see and tells it over MQTT")
    yield from (".SH SYNOPSIS", ".B edgenode", r"\fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]")
    yield from (".SH DESCRIPTION", _escaped(main.help or ""))
    yield ".SH COMMANDS"
    context = click.Context(main, info_name="edgenode")
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        yield from _command(command, name, context)
    yield from (".SH FILES", ".TP", ".I /etc/edgenode/edgenode.toml", "The configuration.")
    yield from (
        ".TP",
        ".I /var/lib/edgenode",
        "State: undelivered events, installed models, remembered states.",
    )
    yield from (
        ".TP",
        ".I /usr/share/doc/edgenode",
        "Every setting, topic and metric; whole examples; faults.",
    )
    yield from (
        ".SH ENVIRONMENT",
        ".TP",
        r".B EDGENODE__SECTION__KEY",
        "Overrides a key of the configuration.",
    )
    yield from (".TP", ".B EDGENODE_CONFIG", "The configuration, where --config is not given.")
    yield ".SH EXIT STATUS"
    for code, text in (
        (exit_codes.OK, "It worked, or the node was asked to stop."),
        (1, "It did not work; the message says why."),
        (2, "The command line is wrong."),
        (exit_codes.INTERNAL, "A fault inside the node; starting again may help."),
        (exit_codes.CONFIGURATION, "The configuration cannot work."),
    ):
        yield from (".TP", f".B {code}", text)
    yield from (".SH SEE ALSO", ".BR mosquitto (8),", ".BR systemd.exec (5)")


def _command(command: click.Command, path: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=path, parent=parent)
    usage = " ".join(command.collect_usage_pieces(context)).replace("[OPTIONS]", "").strip()
    yield f".SS {_escaped(f'edgenode {path} {usage}'.strip())}"
    yield _escaped(" ".join((command.help or "").replace("\b", "").split()))
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None and "--help" not in record[0]:
            yield from (".TP", f".B {_escaped(record[0])}", _escaped(record[1]))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _command(below, f"{path} {name}", context)


def _escaped(text: str) -> str:
    """Text that troff takes literally; a line may not begin with a dot or a quote."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def write(folder: Path) -> None:
    """`edgenode.1` and `edgenode.bash`, `.zsh`, `.fish`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "edgenode.1").write_text(manual_page(), encoding="utf-8")
    for shell in SHELLS:
        (folder / f"edgenode.{shell}").write_text(completion_text(shell), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
