"""Every command line in the documents is one that the programs understand."""

from __future__ import annotations

import importlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgenode.cli import main as edgenode
from edgenode.configuration.file import load
from trainer.cli import cli as trainer

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("[a-z]*/README.md")]
)
PROGRAMS: dict[str, click.Command] = {"edgenode": edgenode, "edgenode-trainer": trainer}
_LINE = re.compile(r"^(?:    |\$ )(?:sudo )?(?:\S*/)?(edgenode(?:-trainer)?) ([a-z-].*)$", re.MULTILINE)
_INLINE = re.compile(r"`(edgenode(?:-trainer)?) ([a-z-][^`]*)`")


@dataclass(frozen=True, slots=True)
class Line:
    """`whole`: it stands alone and can be typed as it is; else it is a mention in a sentence."""

    page: str
    program: str
    arguments: str
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}: {self.program} {self.arguments}"


def lines() -> list[Line]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = str(page.relative_to(ROOT))
        for pattern, whole in ((_LINE, True), (_INLINE, False)):
            found += [
                Line(name, program, " ".join(rest.split()), whole) for program, rest in pattern.findall(text)
            ]
    return found


def command_of(line: Line) -> tuple[click.Command, list[str], list[str]]:
    """The command, its path below the program, and the words that follow."""
    command, path = PROGRAMS[line.program], list[str]()
    words = shlex.split(line.arguments, comments=True)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"no command {words[0]!r}"
        path.append(words.pop(0))
        command = loaded(found)
    return command, path, words


def loaded(command: click.Command) -> click.Command:
    """The command itself where `edgenode` registers only its name, to be quick."""
    if "arguments" not in {parameter.name for parameter in command.params}:
        return command
    name = str(command.name).replace("-", "_")
    module = importlib.import_module(f"edgenode.commands.{name}")
    return next(
        each
        for each in vars(module).values()
        if isinstance(each, click.Command) and each.name == command.name
    )


@pytest.mark.parametrize("line", lines(), ids=str)
def test_a_command_line_of_the_documents_is_understood(line: Line) -> None:
    command, path, words = command_of(line)
    asked = CliRunner().invoke(PROGRAMS[line.program], [*path, "--help"])
    assert asked.exit_code == 0, asked.output
    options = {
        name: parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    given: list[click.Parameter] = []
    values: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            values.append(word)
            continue
        name, _, value = word.partition("=")
        if name in ("--help", "-h", "--version"):
            return
        assert name in options, f"no option {name} (there are {', '.join(options)})"
        given.append(options[name])
        if not options[name].is_flag and not value and next(rest, None) is None:
            assert not line.whole, f"{name} without a value"
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    assert len(values) <= sum(each.nargs if each.nargs > 0 else 99 for each in arguments), values
    if line.whole:
        assert not isinstance(command, click.Group), "a command is missing"
        assert len(values) >= sum(each.required for each in arguments), "an argument is missing"
        missing = [each.opts[0] for each in options.values() if each.required and each not in given]
        assert missing == []


def test_there_is_something_to_look_at() -> None:
    assert len([line for line in lines() if line.whole]) >= 20
    assert {line.program for line in lines()} == set(PROGRAMS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:docs|deploy|mosquitto|scripts)/[\w./-]+)`", text)
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    places = [ROOT / name for name in named] + [page.parent / name for name in linked]
    assert [str(place) for place in places if not place.exists()] == []


def anchors(page: Path) -> set[str]:
    """What GitHub and most others make of a page's headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text("utf-8")), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_an_anchor_that_a_page_links_to_is_a_heading(page: Path) -> None:
    missing = []
    for name, anchor in re.findall(r"\]\(([^)#: ]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        target = page.parent / name if name else page
        if target.suffix == ".md" and anchor not in anchors(target):
            missing.append(f"{name}#{anchor}")
    assert missing == []


def test_a_heading_that_a_page_or_a_message_quotes_is_there() -> None:
    """`docs/security.md, “The broker”`: the way in which messages name a place."""
    quoted = set()
    for path in [*PAGES, *(ROOT / "edgenode").rglob("*.py"), *(ROOT / "deploy").rglob("*.yml")]:
        quoted |= set(re.findall(r"(docs/\w[\w-]*\.md), “([^”]+)”", path.read_text(encoding="utf-8")))
    assert quoted
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name, _ in quoted}
    assert [(name, heading) for name, heading in quoted if f"# {heading}\n" not in texts[name]] == []


def test_the_configuration_of_the_guide_is_whole(tmp_path: Path) -> None:
    page = (ROOT / "docs/own-camera.md").read_text(encoding="utf-8")
    config = tmp_path / "my.toml"
    config.write_text(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0], encoding="utf-8")
    settings = load(config, {}).settings
    assert f"--region {settings.cameras[0].regions[0].name}=" in page
    assert settings.cameras[0].source in page.split("```toml")[0]
