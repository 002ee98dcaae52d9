"""Where each key of a TOML text stands. `tomllib` reads values and forgets their lines.

The scanner walks text that `tomllib` has already accepted, so it need not check anything; it only has to find
the ends of strings, arrays and inline tables (TOML 1.0.0, https://toml.io/en/v1.0.0).
"""

from __future__ import annotations

import re
import tomllib

KeyPath = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PLAIN = re.compile(r"[^,\]}#\n]*")
_STRINGS = (
    ('"""', re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}(?!")', re.DOTALL)),
    ("'''", re.compile(r"'''.*?'{3,5}(?!')", re.DOTALL)),
    ('"', re.compile(r'"(?:[^"\\]|\\.)*"')),
    ("'", re.compile(r"'[^']*'")),
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every table, key and array element in valid TOML `text`; elements by their index."""
    scanner = _Scanner(text)
    scanner.run()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._table: KeyPath = ()
        self._lengths: dict[KeyPath, int] = {}
        self.lines: dict[KeyPath, int] = {}

    def run(self) -> None:
        while True:
            self._skip(_GAP)
            if self._at >= len(self._text):
                return
            if self._text[self._at] == "[":
                self._header()
            else:
                self._pair(self._table)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()

    def _mark(self, path: KeyPath) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        self.lines.setdefault(path, self._line)

    def _header(self) -> None:
        is_array = self._text.startswith("[[", self._at)
        start = self._at
        self._at += 2 if is_array else 1
        parts = self._key()
        self._skip(_SPACE)
        self._at += 2 if is_array else 1
        end, self._at = self._at, start
        path = self._resolve(parts[:-1])
        if is_array:
            path = (*path, parts[-1])
            index = self._lengths.get(path, 0)
            self._lengths[path] = index + 1
            self._mark(path)
            self._table = (*path, index)
        else:
            self._table = (*path, parts[-1])
        self._mark(self._table)
        self._at = end

    def _resolve(self, parts: tuple[str, ...]) -> KeyPath:
        """A header's parts name the last element of each array of tables on the way."""
        path: KeyPath = ()
        for part in parts:
            path = (*path, part)
            self._mark(path)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        return path

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            start = self._at
            if self._text[start] in "\"'":
                self._string()
                parts.append(str(tomllib.loads(f"k = {self._text[start : self._at]}")["k"]))
            else:
                match = _BARE.match(self._text, start)
                if match is None:
                    raise ValueError(f"no key at offset {start}")
                parts.append(match.group())
                self._at = match.end()
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _pair(self, table: KeyPath) -> None:
        start = self._at
        parts = self._key()
        end, self._at = self._at, start
        for count in range(1, len(parts) + 1):
            self._mark((*table, *parts[:count]))
        self._at = end
        self._skip(_SPACE)
        self._at += 1
        self._skip(_SPACE)
        self._value((*table, *parts))

    def _value(self, path: KeyPath) -> None:
        start = self._text[self._at]
        if start in "\"'":
            self._string()
        elif start == "[":
            self._array(path)
        elif start == "{":
            self._inline(path)
        else:
            self._skip(_PLAIN)

    def _string(self) -> None:
        for opening, pattern in _STRINGS:
            if self._text.startswith(opening, self._at):
                match = pattern.match(self._text, self._at)
                if match is None:
                    raise ValueError(f"a string at offset {self._at} does not end")
                self._at = match.end()
                return

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while True:
            self._skip(_GAP)
            if self._text[self._at] == "]":
                self._at += 1
                return
            self._mark((*path, index))
            self._value((*path, index))
            index += 1
            self._skip(_GAP)
            if self._text[self._at] == ",":
                self._at += 1

    def _inline(self, path: KeyPath) -> None:
        self._at += 1
        while True:
            self._skip(_GAP)
            if self._text[self._at] == "}":
                self._at += 1
                return
            self._pair(path)
            self._skip(_GAP)
            if self._text[self._at] == ",":
                self._at += 1
