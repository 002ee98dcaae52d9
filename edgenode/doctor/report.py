"""The findings on a terminal, in a pipe, and for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from edgenode import __version__
from edgenode.doctor.finding import Finding, Level, worst

_COLOURS = {Level.OK: "32", Level.NOTE: "36", Level.WARNING: "33", Level.PROBLEM: "1;31"}
_PARTS, _LEVELS = 8, 8
_SUBJECT = 28
_NARROWEST = 40


def as_json(node: str, findings: list[Finding]) -> str:
    """One JSON object; `verdict` is the gravest level."""
    document = {
        "node": node,
        "version": __version__,
        "verdict": worst(findings).value,
        "findings": [
            {
                "part": each.part,
                "subject": each.subject,
                "level": each.level.value,
                "text": each.text,
                "advice": each.advice,
                "facts": each.facts,
            }
            for each in findings
        ],
    }
    return json.dumps(document, indent=2)


def as_table(findings: list[Finding], width: int, colours: bool) -> Iterator[str]:
    """Lines of a table: part, level, what, finding; under a finding what to do."""
    subject_width = min(_SUBJECT, max((len(each.subject) for each in findings), default=0))
    indent = _PARTS + _LEVELS + subject_width + 3
    room = max(_NARROWEST, width - indent)
    part = ""
    for each in findings:
        level = f"{each.level.value:<{_LEVELS}}"
        if colours:
            level = f"\033[{_COLOURS[each.level]}m{level}\033[0m"
        texts = textwrap.wrap(each.text, room) or [""]
        advice = textwrap.wrap(each.advice, room - 2) if each.advice else []
        subject = each.subject
        if len(subject) > subject_width:
            subject = f"…{subject[-subject_width + 1 :]}"
        shown = each.part if each.part != part else ""
        part = each.part
        yield f"{shown:<{_PARTS}} {level} {subject:<{subject_width}} {texts[0]}"
        yield from (" " * indent + text for text in texts[1:])
        for number, text in enumerate(advice):
            yield " " * indent + ("→ " if number == 0 else "  ") + text


def summary(findings: list[Finding]) -> str:
    """The last line."""
    counts = {level: sum(each.level is level for each in findings) for level in Level}
    if not counts[Level.PROBLEM] and not counts[Level.WARNING]:
        return f"nothing to do ({len(findings)} findings)"
    parts = [
        f"{counts[level]} {level.value}{'s' if counts[level] != 1 else ''}"
        for level in (Level.PROBLEM, Level.WARNING)
        if counts[level]
    ]
    return ", ".join(parts)
