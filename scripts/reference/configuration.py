"""`docs/configuration.md` from the settings tree: every key, its type, default and meaning."""

from __future__ import annotations

import importlib
import pkgutil
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from edgenode import settings
from edgenode.settings import Settings
from edgenode.settings.values import parse_duration, parse_size
from scripts.reference.source_text import attribute_docstrings, cell

_DURATIONS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"), (0.001, "ms"))
_SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
_WORDS = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
    SecretStr: "text",
}
_PATTERNS = {
    r"^[a-z][a-z0-9_]{0,31}$": "name",
    r"^[a-z0-9][a-z0-9_-]{0,62}$": "name, also with hyphens",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits",
    r"^[A-Za-z0-9.-]+(:\d{1,5})?$": "host, or host:port",
    r"^(\[[0-9a-fA-F:]+\]|[^:\[\]\s]+):\d{1,5}$": "host:port",
    r"^[^+#\s/][^+#\s]*[^+#\s/]$": "topic",
    r"^wss?://[^\s/@?#]+(/[^\s?#]*)?$": "`ws://` or `wss://` address",
}
_COMPUTED = {"default_node_name": "the host name"}
HEAD = """# Configuration

<!-- Written by `make reference` from edgenode/settings; changes here are lost. -->

One TOML file, by default `/etc/edgenode/edgenode.toml`. `edgenode check` finds every mistake in it before anything is
opened; an unknown key is an error that names the nearest known one. `docs/examples/edgenode.toml` is a whole file to
start from, and `docs/rules.md` explains states, rules and conditions.

- A **duration** is written `"300ms"`, `"1.5s"`, `"5m"`, `"2h"` or `"7d"`; a bare number is seconds.
- A **size** is written `"256KiB"`, `"64MiB"` or `"1GiB"`; a bare number is bytes.
- A **name** is `[a-z][a-z0-9_]*` of at most 32 characters, so that rules can use it.
- A **fraction** is a number from 0 to 1; a **point** is `[x, y]` in fractions of the frame.
- A relative **path** begins at the folder of the configuration file.

Any key can also come from the environment, which wins over the file: `EDGENODE__MQTT__HOST`, and for cameras, regions
and rules by name, `EDGENODE__CAMERAS__LINE_1__SOURCE`. `SIGHUP` or the command `reload` applies a changed file;
changes in `[node]`, `[mqtt]`, `[http]`, `[outbox]` and `[commands]`, in `energy.idle_watts` and in `energy.core_watts`
need a restart and are refused by a reload.
"""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. `table` is where it stands, such as `cameras.regions`; `default` is Markdown."""

    table: str
    name: str
    type: str
    default: str
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    path: str
    header: str
    text: str
    keys: tuple[Key, ...]
    model: type[BaseModel]


def tables() -> list[Table]:
    """Every table of the file in the order of the settings tree, each after the one it stands in."""
    docs: dict[tuple[str, str], str] = {}
    for module in (settings, *_modules_below(settings)):
        docs |= attribute_docstrings(module)
    found: list[Table] = []
    for name, field in Settings.model_fields.items():
        model = model_in(field.annotation)
        assert model is not None
        found += _tables(model, name, _header(name, field.annotation), docs["Settings", name], docs)
    return found


def _modules_below(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def configuration_page() -> str:
    parts = [HEAD]
    for table in tables():
        parts.append(
            f"\n## `{table.header}`\n\n{table.text}\n\n| key | type | default | what |\n|---|---|---|---|\n"
        )
        parts += [
            f"| `{key.name}` | {cell(key.type)} | {cell(key.default)} | {cell(key.text)} |\n"
            for key in table.keys
        ]
    return "".join(parts)


def _tables(
    model: type[BaseModel], path: str, header: str, text: str, docs: dict[tuple[str, str], str]
) -> Iterator[Table]:
    keys: list[Key] = []
    below: list[Table] = []
    for name, field in model.model_fields.items():
        written = field.alias or name
        said = docs.get((model.__name__, name), "")
        inner = model_in(field.annotation)
        if inner is None:
            kind, default = _type(field.annotation, field.metadata), _default(field)
        else:
            inner_path = f"{path}.{written}"
            inner_header = _header(inner_path, field.annotation)
            kind, default = f"table, see `{inner_header}`", _nothing_given(field)
            below += _tables(inner, inner_path, inner_header, said, docs)
        keys.append(Key(path, written, kind, default, said))
    yield Table(path, header, text, tuple(keys), model)
    yield from below


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The table that stands in `annotation`: itself, optional, in a list or by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_in, typing.get_args(annotation))), None)


def _header(path: str, annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is list:
        return f"[[{path}]]"
    if origin is dict:
        return f"[{path}.<name>]"
    return f"[{path}]"


def _type(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], [*_flat(list(arguments[1:])), *metadata])
    if origin in (typing.Union, UnionType):
        return " or ".join(_type(each, metadata) for each in arguments if each is not NoneType)
    if origin is Literal:
        return " ".join(f"`{each}`" for each in arguments)
    if origin is list:
        return f"list of {_plural(_type(arguments[0], []))}{_length(_flat(metadata))}"
    if origin is tuple:
        one = _type(arguments[0], [])
        if set(arguments) == {float} or one == "fraction":
            return "point" if len(arguments) == 2 else f"{len(arguments)} fractions"
        return f"{len(arguments)} values"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " ".join(f"`{each.value}`" for each in annotation)
    return _scalar(annotation, _flat(metadata))


def _scalar(annotation: Any, metadata: list[Any]) -> str:
    functions = {getattr(each, "func", None) for each in metadata}
    least = next((each.ge for each in metadata if hasattr(each, "ge")), None)
    above = next((each.gt for each in metadata if hasattr(each, "gt")), None)
    most = next((each.le for each in metadata if hasattr(each, "le")), None)
    pattern = next((each.pattern for each in metadata if getattr(each, "pattern", None)), None)
    if pattern is not None:
        return _PATTERNS[str(pattern)]
    if parse_duration in functions:
        bounds = [f"at least {_duration(least)[1:-1]}"] if least else []
        bounds += ["longer than 0"] if above == 0.0 else []
        bounds += [f"at most {_duration(most)[1:-1]}"] if most is not None else []
        return ", ".join(["duration", *bounds])
    if parse_size in functions:
        return f"size, at least {_scaled(least, _SIZES)[1:-1]}" if least else "size"
    if annotation is float and (least, most) == (0.0, 1.0):
        return "fraction"
    word = _WORDS[annotation]
    if least is not None and most is not None:
        return f"{word}, {least:g} to {most:g}"
    return f"{word}, at least {least:g}" if least is not None else word


def _flat(metadata: list[Any]) -> list[Any]:
    """Constraints, also those inside a `Field(...)`."""
    flat: list[Any] = []
    for each in metadata:
        flat += each.metadata if isinstance(each, FieldInfo) else [each]
    return flat


def _plural(word: str) -> str:
    if word.startswith("`"):
        return f"the words {word}"
    if word.startswith("list of "):
        return "lists of " + word.removeprefix("list of ")
    return word if word == "text" else f"{word}s"


def _length(metadata: list[Any]) -> str:
    least = next((each.min_length for each in metadata if getattr(each, "min_length", None)), None)
    most = next((each.max_length for each in metadata if getattr(each, "max_length", None)), None)
    if least is None:
        return ""
    return f" ({least})" if least == most else f" ({least} to {most})"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return _COMPUTED[field.default_factory.__name__]
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    functions = {getattr(each, "func", None) for each in _flat(_inner_metadata(field))}
    if parse_duration in functions:
        return _duration(value)
    if parse_size in functions:
        return _scaled(value, _SIZES)
    return f"`{_toml(value)}`"


def _inner_metadata(field: FieldInfo) -> list[Any]:
    if typing.get_origin(field.annotation) is Annotated:
        return [*typing.get_args(field.annotation)[1:], *field.metadata]
    return list(field.metadata)


def _nothing_given(field: FieldInfo) -> str:
    if field.default is None:
        return "none"
    return "empty" if field.default in ([], {}) else "its keys' defaults"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return f'"{value.value}"'
    if isinstance(value, str | Path):
        return f'"{value}"'
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _duration(seconds: float) -> str:
    return _scaled(seconds, _DURATIONS) if seconds else '`"0s"`'


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    """In the largest unit that gives a whole number."""
    for factor, unit in units:
        count = value / factor
        if count >= 1 and abs(count - round(count)) < 1e-9:
            # a day is what people say of 24 hours only when they mean several
            if unit == "d" and count < 2:
                continue
            return f'`"{round(count)}{unit}"`'
    return f"`{value:g}`"
