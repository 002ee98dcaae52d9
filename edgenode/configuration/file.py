"""Reads the configuration file and the environment into `Settings`, and turns every mistake into one
sentence.

All mistakes are found in one go, each `file:line: key.path: reason`. No message ever holds a value of the
configuration: a password may stand anywhere, also where it does not belong.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from edgenode.configuration.keys import Place, place_at
from edgenode.configuration.repair import repair
from edgenode.configuration.toml_places import KeyPath, key_lines
from edgenode.errors import ConfigurationError
from edgenode.nearest import suggestion
from edgenode.settings import ENV_PREFIX, GivenSettings, Settings

MAX_FILE_BYTES = 1 << 20
_SYNTAX = re.compile(
    r"^(?P<what>.*) \((?:at line (?P<line>\d+), column (?P<column>\d+)|at end of document)\)$"
)
_NEARLY_PREFIX = re.compile(r"^EDGENODE_+(?=[A-Z0-9]+__)", re.IGNORECASE)
_NOT_A_KEY = re.compile(r"\[key\]|str|int|float|bool|(?:list|dict|tuple)\[.*\]")
_PATTERNS = {
    r"^[a-z][a-z0-9_]{0,31}$": 'a name has lower-case letters, digits and "_", a letter first (at most 32)',
    r"^[a-z0-9][a-z0-9_-]{0,62}$": 'a node\'s name has lower-case letters, digits, "-" and "_" (at most 63)',
    r"^[0-9a-f]{64}$": "a sha256 is 64 lower-case hexadecimal digits",
}


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, where they came from, and where each key stands."""

    settings: Settings
    path: Path
    base_dir: Path
    """The file's folder: relative paths inside the file start here."""
    sha256: str
    """Of the file's bytes; tells a reload whether anything changed."""
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    from_environment: Mapping[KeyPath, str] = field(default_factory=dict)
    """Key path to the environment variable that set it."""

    def problem(self, key: KeyPath, reason: str) -> str:
        """One line for a mistake at `key`: `file:line: key.path: reason`."""
        return f"{self._where(key)}: {dotted(key)}: {reason}"

    def rank(self, key: KeyPath) -> int:
        """Sorts mistakes as they stand in the file, those of the environment last."""
        return _rank(key, self.lines, self.from_environment)

    def _where(self, key: KeyPath) -> str:
        return _where(self.path, key, self.lines, self.from_environment)


def load(path: Path, environ: Mapping[str, str]) -> LoadedSettings:
    """Read the file at `path`, laid over by the `EDGENODE__` variables of `environ`.

    Raises ConfigurationError with every mistake found. Syntax errors stop at the first, as TOML cannot be
    read on.
    """
    content = _read(path)
    document, lines = _parse(path, content)
    variables, problems = _environment(environ)
    from_environment: dict[KeyPath, str] = {}
    for name, (key, value) in variables.items():
        reason = _lay_over(document, key, value, from_environment, name)
        if reason is not None:
            problems.append(f"environment {name}: {dotted(key)}: {reason}")
    try:
        settings = GivenSettings(**document)
    except ValidationError as error:
        errors: list[Any] = list(error.errors(include_url=False, include_input=True))
        mended = repair(GivenSettings, document, errors)
        errors += mended.hidden
        found = sorted(
            (_rank(key, lines, from_environment), f"{_where(path, key, lines, from_environment)}: {text}")
            for key, text in map(_explain, errors)
        )
        problems = list(dict.fromkeys(text for _, text in found)) + problems
        rest = None
        if isinstance(mended.settings, Settings) and mended.keeps_names:
            rest = _loaded(mended.settings, path, content, lines, from_environment)
        raise MistakenFileError(problems, rest, mended.changed) from None
    loaded = _loaded(settings, path, content, lines, from_environment)
    if problems:
        raise MistakenFileError(problems, loaded)
    return loaded


class MistakenFileError(ConfigurationError):
    """The file's form is wrong. `rest` is what it says without its mistakes, where the names in it still mean
    what they meant: so that what it refers to can be proven in the same go."""

    def __init__(
        self, problems: list[str], rest: LoadedSettings | None, mistaken: frozenset[KeyPath] = frozenset()
    ) -> None:
        super().__init__(problems)
        self.rest = rest
        self.mistaken = mistaken
        """The keys that `rest` lacks."""


def _loaded(
    settings: Settings,
    path: Path,
    content: bytes,
    lines: Mapping[KeyPath, int],
    from_environment: Mapping[KeyPath, str],
) -> LoadedSettings:
    base_dir = path.absolute().parent
    return LoadedSettings(
        settings=_anchored(settings, base_dir),
        path=path,
        base_dir=base_dir,
        sha256=hashlib.sha256(content).hexdigest(),
        lines=lines,
        from_environment=from_environment,
    )


def _anchored(settings: Settings, base_dir: Path) -> Settings:
    """Relative paths of `[node]`, `[mqtt]`, `[http]` start at the file's folder, wherever the process started."""
    node = settings.node.model_copy(update={"state_dir": base_dir / settings.node.state_dir})
    mqtt = settings.mqtt.model_copy(update=_paths(settings.mqtt, base_dir))
    http = settings.http.model_copy(update=_paths(settings.http, base_dir))
    return settings.model_copy(update={"node": node, "mqtt": mqtt, "http": http})


def _paths(section: BaseModel, base_dir: Path) -> dict[str, Path]:
    """The fields `..._file` of `section` that are given, from `base_dir` on."""
    given = {name: getattr(section, name) for name in type(section).model_fields if name.endswith("_file")}
    return {name: base_dir / path for name, path in given.items() if path is not None}


def dotted(key: KeyPath) -> str:
    """`cameras[0].regions[1].box`, as people write it."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigurationError(
            [f"{path}: there is no such file: name another with --config, or write one (docs/own-camera.md)"]
        ) from error
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigurationError(
            [f"{path}: is over {MAX_FILE_BYTES // 1024} KiB, which no configuration needs"]
        )
    return content


def _parse(path: Path, content: bytes) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError([f"{path}:{line}: is not UTF-8"]) from None
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError([_syntax_problem(path, text, str(error))]) from None
    return document, key_lines(text)


def _syntax_problem(path: Path, text: str, message: str) -> str:
    match = _SYNTAX.match(message)
    if match is None:
        return f"{path}: is not valid TOML: nested too deeply"
    what = re.sub(r"'[^']*'|\"[^\"]*\"|\([^)]*\)", "", match["what"]).strip() or "cannot be understood"
    line = match["line"] or str(text.count("\n") + 1)
    what = " ".join(what.split())
    column = f", column {match['column']}" if match["column"] else ""
    return f"{path}:{line}: is not valid TOML{column}: {what[0].lower()}{what[1:]}"


def _environment(environ: Mapping[str, str]) -> tuple[dict[str, tuple[KeyPath, str]], list[str]]:
    """Variable name to (key path, value), and a sentence for each name that no setting has."""
    found: dict[str, tuple[KeyPath, str]] = {}
    problems: list[str] = []
    for name, value in sorted(environ.items()):
        upper = name.upper()
        if not upper.startswith(ENV_PREFIX):
            if _NEARLY_PREFIX.match(name):
                right = _NEARLY_PREFIX.sub(ENV_PREFIX, upper)
                problems.append(f'environment {name}: is not read (did you mean "{right}"?)')
            continue
        place = place_at(())
        key: list[str | int] = []
        for part in upper[len(ENV_PREFIX) :].lower().split("__"):
            step = place.step(part) if part else None
            if step is None:
                known = [f"{ENV_PREFIX}{'__'.join([*map(str, key), k]).upper()}" for k in place.keys]
                problems.append(
                    f"environment {name}: unknown setting{suggestion(upper, known) if part else ''}"
                )
                break
            key.append(step[0])
            place = step[1]
        else:
            found[name] = (tuple(key), value)
    return found, problems


def _lay_over(
    document: dict[str, Any], key: KeyPath, value: str, from_environment: dict[KeyPath, str], name: str
) -> str | None:
    """Put `value` at `key` of `document`. Returns why it cannot be, or None.

    Elements of lists are addressed by their number or by their `name`: EDGENODE__CAMERAS__LINE_1__SOURCE.
    """
    node: Any = document
    path: list[str | int] = []
    for part in key[:-1]:
        node, step = _child(node, str(part))
        if step is None:
            return f"there is no {dotted((*path, str(part)))} in the file to change"
        path.append(step)
    last = str(key[-1])
    if not isinstance(node, dict):
        return f"{dotted(tuple(path))} is not a table"
    parsed: Any = value
    if place_at(tuple(path)).holds_structure(last):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return "is a list or a table: write it as JSON"
    node[last] = parsed
    from_environment[*path, last] = name
    return None


def _child(node: Any, part: str) -> tuple[Any, str | int | None]:
    if isinstance(node, dict):
        return node.setdefault(part, {}), part
    if isinstance(node, list):
        for index, element in enumerate(node):
            if part == str(index) or (isinstance(element, dict) and element.get("name") == part):
                return element, index
    return None, None


def _rank(key: KeyPath, lines: Mapping[KeyPath, int], from_environment: Mapping[KeyPath, str]) -> int:
    return 1 << 30 if _variable(key, from_environment) else _line(key, lines) or 0


def _where(
    path: Path, key: KeyPath, lines: Mapping[KeyPath, int], from_environment: Mapping[KeyPath, str]
) -> str:
    variable = _variable(key, from_environment)
    if variable is not None:
        return f"environment {variable}"
    line = _line(key, lines)
    return f"{path}:{line}" if line is not None else str(path)


def _variable(key: KeyPath, from_environment: Mapping[KeyPath, str]) -> str | None:
    return next(
        (from_environment[key[:n]] for n in range(len(key), 0, -1) if key[:n] in from_environment), None
    )


def _line(key: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    return next((lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in lines), None)


def _explain(item: Any) -> tuple[KeyPath, str]:
    """(key path, `key.path: reason`) of one of pydantic's errors, without the value that was given."""
    key: KeyPath = tuple(item["loc"])
    kind, context = item["type"], item.get("ctx", {})
    # Pydantic's own additions: the key of a table rather than its value, and which of several types it tried.
    while key and isinstance(key[-1], str) and _NOT_A_KEY.fullmatch(key[-1]):
        key = key[:-1]
    parent: Place = place_at(key[:-1])
    if kind == "extra_forbidden":
        reason = f"unknown key{suggestion(str(key[-1]), parent.keys)}"
    elif kind == "missing":
        reason = "is missing"
    elif kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        given = item.get("input")
        near = suggestion(given, choices) if isinstance(given, str) else ""
        hint = near if "did you mean" in near else ""
        reason = f"must be one of {', '.join(choices)}{hint}"
    elif kind == "string_pattern_mismatch":
        reason = _PATTERNS.get(str(context.get("pattern")), "is not written as it should be")
        reason = 'is host:port, such as "127.0.0.1:9464"' if key[-1] == "listen" else reason
        reason = "is a topic without wildcards and outer slashes" if key[-1] == "base_topic" else reason
    else:
        reason = str(item["msg"]).removeprefix("Value error, ")
        reason = re.sub(r"^Input should be", "must be", reason)
        reason = reason[0].lower() + reason[1:]
    return key, f"{dotted(key)}: {reason}"
