"""The manual page and the completions that the package carries."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgenode.cli import main
from scripts.reference.manual import manual_page, write

ROOT = Path(__file__).parents[3]


def test_the_manual_has_every_command_and_option() -> None:
    page = manual_page().replace(r"\-", "-")
    context = click.Context(main, info_name="edgenode")
    for name in main.list_commands(context):
        assert f".SS edgenode {name}" in page
        command = main.get_command(context, name)
        assert command is not None
        options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
        assert [each.opts[-1] for each in options if each.opts[-1] not in page] == []


def test_troff_has_nothing_to_complain_about(tmp_path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    write(tmp_path)
    done = subprocess.run(
        ["groff", "-k", "-man", "-ww", "-Tutf8", "-z", tmp_path / "edgenode.1"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def completed(words: str, position: int) -> set[str]:
    """What bash would offer."""
    code = "from edgenode.cli import main; main(prog_name='edgenode')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "_EDGENODE_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(position),
        },
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    return {line.partition(",")[2] for line in done.stdout.splitlines()}


def test_commands_and_their_options_are_completed(tmp_path: Path) -> None:
    write(tmp_path)
    assert "_EDGENODE_COMPLETE=bash_complete" in (tmp_path / "edgenode.bash").read_text()
    assert {"doctor", "demo"} <= completed("edgenode d", 1)
    assert {"--json", "--part"} <= completed("edgenode doctor --", 2)
    assert "inspect" in completed("edgenode model ", 2)
