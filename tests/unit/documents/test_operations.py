"""The tables of faults name every state, reason, line of the log and alert that there is, and none that is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from edgenode.records import CameraStatus, DropReason

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """From the heading to the next of its level or above."""
    level = re.search(rf"^(#+) {re.escape(title)}$", PAGE, re.MULTILINE)
    assert level is not None, title
    rest = PAGE[level.end() :]
    end = re.search(rf"^#{{2,{len(level[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def first_cells(title: str) -> list[str]:
    return re.findall(r"^\| ([^|]+) \|", section(title), re.MULTILINE)[1:]


def test_every_alert_has_a_row_and_every_row_an_alert() -> None:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert set(first_cells("Alerts, and what to do")) - {"---"} == alerts


def test_every_state_of_a_camera_has_a_row() -> None:
    rows = {cell.strip("`") for cell in first_cells("Cameras")} - {"---"}
    assert rows == {status.value for status in CameraStatus}


def test_every_reason_for_a_dropped_sample_is_explained() -> None:
    text = section("Regions, events, models")
    assert [reason.value for reason in DropReason if f"`{reason.value}`" not in text] == []


def logged() -> list[tuple[str, str]]:
    """(place, format) of every warning and error that the daemon writes; faults with a stack share one row."""
    found = []
    for path in sorted((ROOT / "edgenode").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            first = node.args[0]
            if node.func.attr in ("warning", "error") and isinstance(first, ast.Constant):
                found.append((f"{path.stem}:{node.lineno}", str(first.value)))
    return found


SAID_ELSEWHERE = ("%s", "camera %s: %s", "rule %s: %s")
"""Lines that are a reason and nothing else: the reasons have their tables."""


@pytest.mark.parametrize(("place", "form"), logged())
def test_a_warning_of_the_journal_is_explained(place: str, form: str) -> None:
    """Its longest piece of fixed text stands in the table of lines."""
    if form in SAID_ELSEWHERE:
        return
    table = " ".join(section("Read the journal").split())
    pieces = [piece.strip(" :;,()\n") for piece in re.split(r"%[.\d]*[a-z]|[;:(\n]", form)]
    words = [piece for piece in pieces if len(piece) >= 8]
    told = any(piece[:20].strip() in table for piece in words)
    assert told, f"give {form!r} a row under “Read the journal” of docs/operations.md"
