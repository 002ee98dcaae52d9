"""From what is drawn on the page to settings, and to the TOML that says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from edgenode.nearest import suggestion
from edgenode.records import JsonObject
from edgenode.settings import CameraSettings, RegionSettings
from edgenode.settings.values import Point

Polygon = Annotated[list[Point], Field(min_length=3, max_length=64)]
_REGIONS: TypeAdapter[list[RegionSettings]] = TypeAdapter(list[RegionSettings])
_MASKS: TypeAdapter[list[Polygon]] = TypeAdapter(list[Polygon])
_ROUND = 4
"""Decimals of a fraction: a tenth of a pixel at 1080p would be five."""
_FIRST = ("name", "model", "box", "polygon", "quad")
_WORDS = {
    "string_pattern_mismatch": 'a name has lower-case letters, digits and "_", a letter first (at most 32)'
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn, and what is wrong with it, a sentence each; a region that is wrong is in `problems` only."""

    regions: tuple[RegionSettings, ...]
    masks: tuple[tuple[Point, ...], ...]
    problems: tuple[str, ...]


def read_drawing(value: JsonObject, models: Sequence[str]) -> Drawing:
    """`value` has `regions` and `masks` as they would stand in the file; `models` are those it may name."""
    problems: list[str] = []
    regions: list[RegionSettings] = []
    for index, each in enumerate(_list(value.get("regions"))):
        label = each.get("name") if isinstance(each, dict) else None
        name = f"region {label or index + 1}"
        try:
            (region,) = _REGIONS.validate_python([each])
        except ValidationError as error:
            problems += [f"{name}: {_reason(item)}" for item in error.errors(include_url=False)]
            continue
        if region.name in {other.name for other in regions}:
            problems.append(f"{name}: another region has this name")
        if region.model is not None and models and region.model not in models:
            problems.append(f'{name}: no model "{region.model}"{suggestion(region.model, models)}')
        if region.model is None and len(models) > 1:
            problems.append(f"{name}: there are several models: say which one ({', '.join(models)})")
        regions.append(region)
    masks: list[tuple[Point, ...]] = []
    for index, each in enumerate(_list(value.get("masks"))):
        try:
            (mask,) = _MASKS.validate_python([each])
        except ValidationError as error:
            problems += [f"mask {index + 1}: {_reason(item)}" for item in error.errors(include_url=False)]
        else:
            masks.append(tuple(mask))
    return Drawing(tuple(regions), tuple(masks), tuple(dict.fromkeys(problems)))


def toml_text(drawing: Drawing, camera: str, source: str | None) -> str:
    """A `[[cameras]]` table with `drawing`. `source` None: the camera stands in a file, and only what is drawn is
    shown, to replace what stands there."""
    parts = ["[[cameras]]", f"name = {_toml(camera)}"]
    if source is not None:
        parts.append(f"source = {_toml(source)}")
    if drawing.masks:
        parts += ["masks = [", *(f"  {_toml(mask)}," for mask in drawing.masks), "]"]
    for region in drawing.regions:
        values = region.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        keys = [*(key for key in _FIRST if key in values), *(key for key in values if key not in _FIRST)]
        parts += ["", "  [[cameras.regions]]", *(f"  {key} = {_toml(values[key])}" for key in keys)]
    return "\n".join(parts) + "\n"


def shapes_of(camera: CameraSettings) -> JsonObject:
    """The camera's regions and masks as the page draws them, and as `read_drawing` takes them back."""
    return {
        "regions": [region.model_dump(mode="json", exclude_unset=True) for region in camera.regions],
        "masks": [list(map(list, mask)) for mask in camera.masks],
    }


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _reason(error: Any) -> str:
    text = _WORDS.get(error["type"], str(error["msg"]).removeprefix("Value error, "))
    where = ".".join(str(part) for part in error["loc"][1:])
    return f"{where}: {text[0].lower()}{text[1:]}" if where else f"{text[0].lower()}{text[1:]}"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return str(round(value, _ROUND))
    # TOML forbids the one control character that JSON leaves as it is
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
