"""How findings are shown."""

from __future__ import annotations

import json

from edgenode.doctor.finding import Finding, Level, worst
from edgenode.doctor.report import as_json, as_table, summary

FINDINGS = [
    Finding(
        "broker", "broker.plant:8883", Level.OK, "MQTT 5, there and back in 0.8 ms", facts={"protocol": "5"}
    ),
    Finding("camera", "line_1", Level.PROBLEM, "rtsp://10.0.0.5: 401 " * 8, "correct the password " * 5),
    Finding("camera", "line_2", Level.WARNING, "damaged frames", "tcp"),
]


def test_a_table_keeps_its_columns_at_every_width() -> None:
    for width in (60, 80, 120):
        lines = list(as_table(FINDINGS, width, colours=False))
        assert max(map(len, lines)) <= max(width, 8 + 8 + 17 + 3 + 40)
        text = " ".join(" ".join(lines).split())
        for finding in FINDINGS:
            assert " ".join(finding.text.split()) in text
            assert " ".join(finding.advice.split()) in text
        assert [line[:8].strip() for line in lines if line[:8].strip()] == ["broker", "camera"]


def test_colours_are_for_terminals_alone() -> None:
    assert "\033" not in "".join(as_table(FINDINGS, 80, colours=False))
    assert "\033[1;31mproblem" in "".join(as_table(FINDINGS, 80, colours=True))


def test_the_verdict_is_the_gravest_level() -> None:
    assert worst([]) is Level.OK
    assert json.loads(as_json("g", FINDINGS))["verdict"] == "problem"
    assert json.loads(as_json("g", FINDINGS[:1]))["verdict"] == "ok"
    assert summary(FINDINGS) == "1 problem, 1 warning"
    assert summary(FINDINGS[:1]) == "nothing to do (1 findings)"
