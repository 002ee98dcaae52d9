"""How commands end that something went wrong with."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner

from edgenode import exit_codes
from edgenode.cli import _Group, moment_of
from edgenode.clock import parse_moment


def outcome(error: BaseException) -> tuple[int, str]:
    @click.group(cls=_Group)
    def main() -> None: ...

    @main.command("work")
    def work() -> None:
        raise error

    result = CliRunner().invoke(main, ["work"])
    return result.exit_code, result.stderr


def test_a_file_that_cannot_be_written_is_named_without_a_traceback() -> None:
    path = "/nowhere/look.jpg"
    code, said = outcome(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path))
    assert (code, said) == (
        1,
        f"edgenode: {path}: No such file or directory; check the path, its rights and the free space\n",
    )


def test_a_reader_that_went_away_is_no_fault() -> None:
    code, said = outcome(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
    assert (code, said) == (1, "")


def test_a_fault_inside_has_its_traceback() -> None:
    code, said = outcome(ZeroDivisionError("x"))
    assert code == exit_codes.INTERNAL
    assert "ZeroDivisionError" in said


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "99999999d", "soon"])
def test_a_time_that_cannot_be_is_a_mistake_of_the_caller(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no RFC 3339 time"):
        moment_of(text, "--since")


def test_a_moment_is_utc_whatever_it_was_written_in() -> None:
    noon = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    assert parse_moment("2026-01-31T12:00:00") == noon
    assert parse_moment("2026-01-31T14:00:00+02:00") == noon
    assert parse_moment("2026-01-31T14:00:00+02:00").tzinfo is UTC
