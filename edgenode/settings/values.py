"""How tables and single values of the settings are written: durations, sizes, names, fractions."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|kB|MB|GB)\s*$")
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_LONGEST_S = 3660 * 86400.0
"""Ten years: clocks and threads take no number of seconds that is much larger."""
STRICT = ConfigDict(extra="forbid", frozen=True)
"""Of every table: unknown keys are refused, values do not change after loading."""


class Section(BaseModel):
    """A table of the file."""

    model_config = STRICT

    @field_validator("*", mode="before")
    @classmethod
    def _no_nul(cls, value: object) -> object:
        """TOML can write one; no path, address or name can hold it."""
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str) and "\0" in text:
                raise ValueError("holds a NUL character (\\u0000)")
        return value


def refuse_repeats(names: list[str], what: str) -> None:
    """Raises ValueError naming those that stand there twice."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"two {what} are named {', '.join(repr(name) for name in repeated)}")


def parse_duration(value: Any) -> Any:
    """Seconds from "300ms", "1s", "5m", "2h", "7d" or a plain number of seconds."""
    if isinstance(value, str):
        match = _DURATION.match(value)
        if match is None:
            raise ValueError('a duration is written like "300ms", "1.5s", "5m", "2h" or "7d"')
        value = float(match.group(1)) * _UNITS[match.group(2)]
    if isinstance(value, int | float) and value > _LONGEST_S:
        raise ValueError("a duration is at most 3660d")
    return value


def parse_size(value: Any) -> Any:
    """Bytes from "64MiB", "256KiB" or a plain number of bytes."""
    if isinstance(value, str):
        match = _SIZE.match(value)
        if match is None:
            raise ValueError('a size is written like "256KiB", "64MiB" or "1GiB"')
        return int(float(match.group(1)) * _SIZES[match.group(2)])
    return value


Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0.0)]
"""Seconds; written "300ms", "1s", "5m"."""
SomeTime = Annotated[float, BeforeValidator(parse_duration), Field(gt=0.0)]
"""A duration that is not 0, where 0 would let nothing through."""
Size = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]
"""Bytes; written "256KiB", "64MiB"."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
"""Cameras, regions, models and rules: usable as identifiers in rules."""
NodeName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[Fraction, Fraction]
