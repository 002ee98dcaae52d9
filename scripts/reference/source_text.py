"""Docstrings of attributes, which Python itself throws away: read from a module's source."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType


def attribute_docstrings(module: ModuleType) -> dict[tuple[str, str], str]:
    """(class, attribute) to the text that follows the attribute, on one line."""
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for statement, following in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                found[node.name, statement.target.id] = " ".join(following.value.value.split())
    return found


def cell(text: str) -> str:
    """`text` inside a table of Markdown: its bars would otherwise end the cell."""
    return text.replace("|", "\\|")
