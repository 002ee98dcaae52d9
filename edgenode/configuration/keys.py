"""Which keys exist at each place of the settings tree, read from the pydantic models themselves."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from edgenode.settings import Settings


@dataclass(frozen=True, slots=True)
class Place:
    """A type at some place of the tree; None is a place no setting has."""

    annotation: Any

    @property
    def model(self) -> type[BaseModel] | None:
        return self.annotation if _is_model(self.annotation) else None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys a table at this place may have; empty where any, or none, may stand."""
        model = self.model
        if model is None:
            return ()
        return tuple(field.alias or name for name, field in model.model_fields.items())

    def step(self, part: str | int) -> tuple[str | int, Place] | None:
        """The key as it is written and the place below it; None where there is no such key."""
        model = self.model
        if model is not None:
            for name, field in model.model_fields.items():
                if str(part).lower() in (name.lower(), (field.alias or name).lower()):
                    return field.alias or name, Place(_plain(field.annotation))
            return None
        origin, arguments = typing.get_origin(self.annotation), typing.get_args(self.annotation)
        if origin is dict:
            return part, Place(_plain(arguments[1]))
        if origin is list:
            return part, Place(_plain(arguments[0]))
        return None

    def holds_structure(self, part: str) -> bool:
        """Whether the value at `part` is a list, a tuple or a table."""
        step = self.step(part)
        if step is None:
            return False
        below = step[1]
        return below.model is not None or typing.get_origin(below.annotation) in (dict, list, tuple)


def place_at(path: tuple[str | int, ...]) -> Place:
    """The place at `path` from the root; `Place(None)` where no setting can stand."""
    place = Place(Settings)
    for part in path:
        step = place.step(part)
        if step is None:
            return Place(None)
        place = step[1]
    return place


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _plain(annotation: Any) -> Any:
    """Without `Annotated` and `| None`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _plain(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(annotation) if option is not type(None)]
        return _plain(options[0]) if len(options) == 1 else annotation
    return annotation
