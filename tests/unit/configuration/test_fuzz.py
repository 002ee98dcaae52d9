"""Files, environment variables and command lines that nobody would write: told in words, never a fault."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgenode.cli import main
from edgenode.configuration.file import load
from edgenode.configuration.keys import place_at
from edgenode.errors import ConfigurationError
from tests.faults.odd_words import ARGUMENTS, CANARY, COMMANDS, ODD, PARTS

SHORT, LONG = 60, 100_000
PLACES: dict[str, tuple[str | int, ...]] = {
    "[node]": ("node",), "[mqtt]": ("mqtt",), "[http]": ("http",), "[commands]": ("commands",), "[outbox]": ("outbox",),
    "[inference]": ("inference",), "[models.defects]": ("models", "defects"), "[[cameras]]": ("cameras", 0),
    "[[cameras.regions]]": ("cameras", 0, "regions", 0), "[[rules]]": ("rules", 0),
    "[rules.schedule]": ("rules", 0, "schedule"),
}  # fmt: skip

words = st.one_of(st.text(max_size=12), st.sampled_from(ODD))
scalars = st.one_of(words, st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none())
keys = st.text(max_size=8)  # names of keys are shown, values never
values = st.recursive(
    scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(keys, each, max_size=3), max_leaves=6
)


def toml(value: Any) -> str:
    """`value` in TOML; what TOML cannot say as a string that looks like it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {toml(each)}" for key, each in value.items()) + "}"
    return quoted("null" if value is None else value)


def quoted(text: str) -> str:
    return json.dumps(text.encode("utf-8", "replace").decode()).replace("\x7f", "\\u007f")


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Mostly keys that exist, mostly with values that do not fit."""
    lines = []
    for section in draw(st.lists(st.sampled_from(list(PLACES)), max_size=6)):
        known = place_at(PLACES[section]).keys
        lines.append(section)
        for _ in range(draw(st.integers(0, 5))):
            key = draw(st.one_of(st.sampled_from(known), st.text(string.ascii_lowercase + "_", max_size=12)))
            lines.append(f"{quoted(key)} = {toml(draw(values))}")
    return "\n".join(lines)


def told_or_loaded(path: Path, environ: dict[str, str]) -> None:
    """Every other exception fails the test."""
    problems = []
    try:
        load(path, environ)
    except ConfigurationError as error:
        problems = error.problems or ["no word of what is wrong\n"]
    for problem in problems:
        assert "\n" not in problem
        assert CANARY not in problem


def a_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "edgenode.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return path


def fuzz(check: Callable[..., None], *strategies: st.SearchStrategy[Any], long: bool) -> None:
    """`check` of many draws; a hundred thousand in the long form."""
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    limits = settings(max_examples=LONG if long else SHORT, deadline=None, suppress_health_check=quiet)
    limits(given(*strategies)(check))()


LONG_FORM = pytest.param(True, marks=[pytest.mark.slow, pytest.mark.timeout(4 * 3600)])


@pytest.fixture(params=[False, LONG_FORM], ids=["short", "long"])
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_any_bytes_are_a_configuration_or_a_sentence(tmp_path: Path, long: bool) -> None:
    fuzz(lambda content: told_or_loaded(a_file(tmp_path, content), {}), st.binary(max_size=200), long=long)


def test_any_document_is_a_configuration_or_sentences(tmp_path: Path, long: bool) -> None:
    fuzz(lambda text: told_or_loaded(a_file(tmp_path, text), {}), documents(), long=long)


def test_any_environment_is_a_configuration_or_sentences(tmp_path: Path, long: bool) -> None:
    file = a_file(tmp_path, '[[cameras]]\nname = "line_1"\nsource = "usb:0"\n')
    names = st.lists(st.sampled_from(PARTS), max_size=6).map(lambda each: "EDGENODE__" + "__".join(each))
    written = st.one_of(words, values.map(lambda each: json.dumps(each, default=str)))
    fuzz(
        lambda environ: told_or_loaded(file, environ), st.dictionaries(names, written, max_size=4), long=long
    )


@pytest.mark.parametrize("value", ["[" * 100_000, '{"x":' * 100_000, "9" * 10_000])
def test_a_variable_of_endless_depth_is_a_sentence(tmp_path: Path, value: str) -> None:
    told_or_loaded(a_file(tmp_path, ""), {"EDGENODE__CAMERAS": value, "EDGENODE__NODE": value})


def test_any_command_line_is_done_or_refused_in_words(
    tmp_path: Path, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGENODE_CONFIG", str(a_file(tmp_path, '[node]\nstate_dir = "state"\n')))
    arguments = st.one_of(words.filter(lambda word: "\x00" not in word), st.sampled_from(ARGUMENTS))

    def check(command: str, rest: list[str]) -> None:
        done = CliRunner().invoke(main, [command, *rest])
        assert done.exit_code in (0, 1, 2, 78), (command, rest, done.output)
        assert "Traceback" not in done.output

    fuzz(check, st.sampled_from(COMMANDS), st.lists(arguments, max_size=5), long=long)
