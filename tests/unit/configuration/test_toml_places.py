"""Lines of keys, against text whose lines can be counted by eye, and against generated documents."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.configuration.toml_places import KeyPath, key_lines

TEXT = '''\
title = "a # not a comment [x]"  # a comment = "y"
"quoted key" = 1

[a.b]
c.d = 1
long = """
[not.a.table]
x = 1 \\""" still
"""
literal = \'\'\'
[[neither]]\'\'\'\'\'
e = [
  { f = 1, g = [1,
    2] },   # ] }
  { f = "}" },
]

[[cameras]]
name = 'one'
  [[cameras.regions]]
  name = "r0"
  [[cameras.regions]]
  name = "r1"
  smoothing = { window = "1s", labels.defect = { enter = 0.5 } }
[[cameras]]
[[cameras.regions]]
name = "r2"
[cameras.regions.smoothing]
window = 1979-05-27T07:32:00Z
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 1),
        (("quoted key",), 2),
        (("a",), 4),
        (("a", "b", "c", "d"), 5),
        (("a", "b", "long"), 6),
        (("a", "b", "literal"), 10),
        (("a", "b", "e", 0, "f"), 13),
        (("a", "b", "e", 0, "g", 1), 14),
        (("a", "b", "e", 1, "f"), 15),
        (("cameras",), 18),
        (("cameras", 0, "name"), 19),
        (("cameras", 0, "regions", 1, "name"), 23),
        (("cameras", 0, "regions", 1, "smoothing", "labels", "defect", "enter"), 24),
        (("cameras", 1), 25),
        (("cameras", 1, "regions", 0, "name"), 27),
        (("cameras", 1, "regions", 0, "smoothing", "window"), 29),
    ],
)
def test_a_key_is_found_on_its_line(path: KeyPath, line: int) -> None:
    assert key_lines(TEXT)[path] == line


def test_nothing_inside_a_string_or_a_comment_is_a_key() -> None:
    lines = key_lines(TEXT)
    assert not {path for path in lines if path[0] in ("not", "neither", "x", "y")}
    assert set(lines) == set(paths_of(tomllib.loads(TEXT)))


def test_windows_line_ends_count_once() -> None:
    assert key_lines("a = 1\r\n\r\n[b]\r\nc = 2\r\n")["b", "c"] == 4


def paths_of(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [found for key, item in items for found in paths_of(item, (*path, key))]
    return ([path] if path else []) + below


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quote(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + "".join(f"\n {toml(item)}, # ]\n" for item in value) + "]"
    return quote(value) if isinstance(value, str) else str(value).lower()


def quote(text: str) -> str:
    escaped = "".join(c if c.isalnum() or c in " #[]{}='," else f"\\u{ord(c):04x}" for c in text)
    return f'"{escaped}"'


TEXTS = st.text(st.characters(min_codepoint=1, max_codepoint=0xD7FF), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-99, 99) | TEXTS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXTS, below, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_the_scanner_finds_exactly_the_keys_tomllib_finds(document: dict[str, Any]) -> None:
    text = "".join(f"{quote(key)} = {toml(value)}\n" for key, value in document.items())
    # Inline tables hold no line breaks in TOML 1.0, so a list below one is written on its line.
    text = text if _valid(text) else text.replace(" # ]\n", "").replace("\n ", " ")
    if not _valid(text):
        return
    assert set(key_lines(text)) == set(paths_of(tomllib.loads(text)))


def _valid(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True
