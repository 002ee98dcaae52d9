"""Changes single values in a configuration file, and nothing else: comments, order and spacing stay."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from edgenode.configuration.toml_places import key_lines
from edgenode.errors import ConfigurationError

Value = str | int | float


def with_values(text: str, table: str, values: Mapping[str, Value]) -> str:
    """TOML `text` with `values` in its table `[table]`, which is added at the end where it is missing.

    Raises ConfigurationError where the table is written in a way that is not edited here (inline, dotted keys).
    """
    places = key_lines(text)
    lines = text.splitlines(keepends=True)
    missing: dict[str, Value] = {}
    for key, value in values.items():
        line = places.get((table, key))
        if line is None:
            missing[key] = value
            continue
        pattern = re.compile(rf"^(\s*{re.escape(key)}\s*=\s*)([^#\n]*?)(\s*(?:#[^\n]*)?\n?)$")
        lines[line - 1] = pattern.sub(
            lambda found, value=value: f"{found[1]}{_toml(value)}{found[3]}",  # type: ignore[misc]
            lines[line - 1],
        )
    if missing:
        added = [f"{key} = {_toml(value)}\n" for key, value in missing.items()]
        header = next(
            (n for n, line in enumerate(lines) if re.match(rf"^\s*\[{table}\]\s*(#.*)?$", line)), None
        )
        if header is None:
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            lines += ["\n" if lines else "", f"[{table}]\n", *added]
        else:
            if not lines[header].endswith("\n"):
                lines[header] += "\n"
            lines[header + 1 : header + 1] = added
    changed = "".join(lines)
    _prove(text, changed, table, values)
    return changed


def write_values(path: Path, table: str, values: Mapping[str, Value]) -> Path:
    """`with_values` on the file at `path`, atomically, its mode and owner kept. Returns the copy of what was there.

    Raises ConfigurationError, OSError.
    """
    path = path.resolve()  # a link stays one
    text = path.read_text(encoding="utf-8")
    changed = with_values(text, table, values)
    status = path.stat()
    saved = path.with_name(f"{path.name}.before")
    for target, content in ((saved, text), (path, changed)):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), status.st_mode & 0o7777)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    return saved


def toml_lines(table: str, values: Mapping[str, Value]) -> str:
    """The table as it would be typed."""
    return "\n".join([f"[{table}]", *(f"{key} = {_toml(value)}" for key, value in values.items())])


def _toml(value: Value) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _prove(text: str, changed: str, table: str, values: Mapping[str, Value]) -> None:
    """What came out is what went in but for the values meant."""
    try:
        wanted = tomllib.loads(text)
        wanted[table] = {**wanted.get(table, {}), **values}
        good = tomllib.loads(changed) == wanted
    except (tomllib.TOMLDecodeError, TypeError, AttributeError):
        good = False
    if not good:
        raise ConfigurationError(
            [
                f"[{table}] is written in a way that cannot be edited; put these lines there: "
                f"{toml_lines(table, values)}"
            ]
        )
