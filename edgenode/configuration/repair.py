"""Makes a wrong document just right enough to be validated again, so that one run finds every mistake.

Pydantic does not check what keys mean together (two cameras of one name, a password given twice) while one
is wrong by itself. Wrong keys are taken out of a copy, missing ones filled in, and what is found then is a
mistake of its own, unless it speaks of a changed key.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from edgenode.configuration.keys import place_at
from edgenode.configuration.toml_places import KeyPath

_ROUNDS = 6
_NAMING = ("name", "cameras", "regions", "models", "rules")


@dataclass(frozen=True, slots=True)
class Repair:
    """What came out of making a document right."""

    hidden: tuple[Any, ...]
    """Pydantic's errors that others had hidden."""
    settings: BaseModel | None
    """The document without what is wrong in it; None where even that could not be validated."""
    changed: frozenset[KeyPath]
    """The keys that were taken out or filled in."""

    @property
    def keeps_names(self) -> bool:
        """Whether everything that others refer to by name is still there under its own name."""
        return not any(key[0] != "node" and (key[-1] in _NAMING or len(key) == 1) for key in self.changed)


def repair(model: type[BaseModel], document: Mapping[str, Any], errors: Iterable[Any]) -> Repair:
    """Validate `document` again and again without what the `errors` (pydantic's) speak of; changes no argument."""
    repaired = copy.deepcopy(dict(document))
    changed: set[KeyPath] = set()
    numbers = itertools.count()
    found: list[Any] = list(errors)
    hidden: list[Any] = []
    # Each round lays open what stands one level further out: region, camera, list of cameras, the whole.
    for _ in range(_ROUNDS):
        for error in found:
            for key in _changeable(repaired, tuple(error["loc"]), error["msg"]):
                if key not in changed:
                    _replace(repaired, key, error["type"], next(numbers))
                    changed.add(key)
        try:
            return Repair(tuple(hidden), model(**repaired), frozenset(changed))
        except ValidationError as error:
            found = list(error.errors(include_url=False, include_input=True))
            hidden += [item for item in found if _is_own_mistake(item, changed)]
    return Repair(tuple(hidden), None, frozenset(changed))


def _is_own_mistake(item: Any, changed: set[KeyPath]) -> bool:
    """Whether the mistake is the document's own and not an effect of what was changed."""
    key = tuple(item["loc"])
    below = {part for path in changed if path[: len(key)] == key for part in path[len(key) :]}
    words = set(re.findall(r"\w+", item["msg"]))
    return item["type"] == "value_error" and key not in changed and not words & below


def _changeable(document: dict[str, Any], key: KeyPath, message: str) -> list[KeyPath]:
    """What to change for a mistake at `key`: the keys of its table the message names, or else the key itself.

    An element of a list cannot go, or the others would move; the list goes.
    """
    node: Any = document
    found: list[KeyPath] = []
    for depth, part in enumerate(key):
        if isinstance(node, dict) and part != "[key]":
            found = [key[: depth + 1]]
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            return found
    named = set(re.findall(r"\w+", message)) & set(node) if isinstance(node, dict) else set()
    return [(*key, name) for name in sorted(named)] or found


def _replace(document: dict[str, Any], key: KeyPath, kind: str, number: int) -> None:
    node: Any = document
    for part in key[:-1]:
        node = node[part]
    node.pop(key[-1], None)
    field = _field(key)
    if kind != "extra_forbidden" and field is not None and field.is_required():
        # Any value that is valid and like no other; a text serves for names, paths and sources.
        node[key[-1]] = 0.5 if field.annotation is float else f"missing{number}"


def _field(key: KeyPath) -> Any:
    model = place_at(key[:-1]).model
    if model is None:
        return None
    return next((f for name, f in model.model_fields.items() if key[-1] in (name, f.alias)), None)
