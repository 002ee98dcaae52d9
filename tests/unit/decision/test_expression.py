from __future__ import annotations

from typing import Any

import pytest

from edgenode.decision.expression import compile_condition
from edgenode.decision.facts import Inventory, RegionLabels, World

LABELS = RegionLabels(("empty", "ok", "defect"))
INVENTORY = Inventory(
    {
        ("line_1", "belt"): LABELS,
        ("line_1", "exit"): RegionLabels(("ok", "defect")),
        ("line_2", "exit"): LABELS,
        ("crossing", "signal"): RegionLabels(("red", "amber", "green")),
        ("yard", "frame"): RegionLabels(("person", "truck"), multi_label=True),
        ("lab", "any"): None,
    },
    ("maintenance", "red_light"),
)


@pytest.fixture
def world(scene: Any) -> World:
    world = World(INVENTORY)
    for (camera, region), label, p in [
        (("line_1", "belt"), "defect", 0.9),
        (("line_1", "exit"), "ok", 0.8),
        (("crossing", "signal"), "red", 0.7),
    ]:
        world.facts[camera, region].take(scene.decision(0.0, label, camera, region, p))
    return world


def holds(world: World, text: str) -> bool:
    compiled, mistakes = compile_condition(text, world)
    assert compiled is not None, [str(mistake) for mistake in mistakes]
    result = compiled.holds()
    assert isinstance(result, bool)
    return result


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('line_1.belt == "defect"', True),
        ('"defect" == line_1.belt', True),
        ('belt != "defect"', False),
        ('signal == "red" and line_1.exit == "ok"', True),
        ('signal == "red" and not line_1.exit == "ok"', False),
        ('signal == "green" or signal == "amber" or belt == "empty"', False),
        ('belt in ["ok", "defect"]', True),
        ('belt not in ("ok", "defect")', False),
        ('line_2.exit == "unknown"', True),
        ('yard == "none"', False),
        ('lab.any == "whatever"', False),
        ("line_1.belt == line_2.exit", False),
        ('probability(belt, "defect") > 0.89', True),
        ("probability(belt) >= 0.9 > 0.5", True),
        ("0.5 < probability(belt) < 0.6", False),
        ("probability(belt) * 2 - 1 > -0.5 + 1 / 2", True),
        ("1 / 0 > 0 or 1 / 0 <= 0", False),
        ("1 / 0 != 3", False),
        ('probability(line_2.exit, "ok") < 2', False),
        ("rule.maintenance", False),
        ("not rule.maintenance and true", True),
        ('line_1.belt == "defect"\n  and signal == "red"', True),
    ],
)
def test_value(world: World, text: str, value: bool) -> None:
    assert holds(world, text) is value


def test_value_follows_the_facts(world: World, scene: Any) -> None:
    compiled, _ = compile_condition('belt == "ok" or rule.red_light', world)
    assert compiled is not None
    assert compiled.holds() is False
    world.facts["line_1", "belt"].take(scene.decision(1.0, "ok"))
    assert compiled.holds() is True
    world.facts["line_1", "belt"].take(scene.decision(2.0, "empty"))
    world.active["red_light"] = True
    assert compiled.holds() is True


def test_several_labels_of_a_multi_label_region_hold_at_once(world: World, scene: Any) -> None:
    from dataclasses import replace

    both = replace(scene.decision(0.0, "truck", "yard", "frame"), present=("truck", "person"))
    world.facts["yard", "frame"].take(both)
    assert holds(world, 'yard == "person" and yard.frame == "truck"')
    assert not holds(world, 'frame != "person"')


# expression, then each mistake as `column: text` (columns from 0)
WRONG = [
    (
        'line_1.bet == "defect"',
        ['0: camera "line_1" has no region "bet"; did you mean "belt"? (it has: belt, exit)'],
    ),
    ('lin_1.belt == "ok"', ['0: no camera is named "lin_1"; did you mean "line_1"?']),
    (
        'belt == "defekt"',
        [
            '8: line_1.belt has no label "defekt"; did you mean "defect"? '
            "(it has: empty, ok, defect, unknown, invalid)"
        ],
    ),
    (
        'signal in ["red", "blau", "gren"]',
        [
            '18: crossing.signal has no label "blau" (it has: red, amber, green, unknown, invalid)',
            '26: crossing.signal has no label "gren"; did you mean "green"? '
            "(it has: red, amber, green, unknown, invalid)",
        ],
    ),
    ('exit == "ok"', ['0: "exit" could be several regions: write line_1.exit or line_2.exit']),
    ('singal == "red"', ['0: no region is named "singal"; did you mean "signal"?']),
    ("belt == defect", ['8: no region is named "defect"; did you mean "defect" in quotes?']),
    ("rule.maintenence", ['0: no rule is named "maintenence"; did you mean "maintenance"?']),
    (
        'cont(belt == "ok", window = "1m") > 3',
        ['0: no function is named "cont"; did you mean "count"?'],
    ),
    (
        'count(belt == "ok", windw = "1m") > 3',
        [
            '0: count() needs its window, such as window = "1m"',
            '28: count() has no argument "windw"; did you mean "window"?',
        ],
    ),
    ('count(belt == "ok", window = "1 minute") > 3', ['29: window of count() is written like "30s", "5m" or "8h", up to "7d"']),
    ("count(belt, window = \"1m\") > 3", ['6: line_1.belt is a region\'s state: compare it, such as line_1.belt == "empty"']),
    ('probability("belt") > 0.5', ["12: region of probability() must be a region, this is a text"]),
    (
        'probability(belt, "defekt") > 0.5',
        [
            '0: line_1.belt has no label "defekt"; did you mean "defect"? '
            "(it has: empty, ok, defect, unknown, invalid)"
        ],
    ),
    (
        'rate(line_1.exit == "defect", parts = 10) > 0.1',
        [
            "0: rate() must know which label of line_1.exit stands between parts: "
            'add background = "…" (it has: ok, defect), or background = [] if every change is a new part'
        ],
    ),
    ('rate(belt == "ok" and signal == "red", parts = 10) > 0.1', ["5: rate() counts the parts of one region: name exactly one in its condition"]),
    ('rate(belt == "ok", parts = 0) > 0.1', ["27: parts of rate() must be a whole number from 1 to 10000"]),
    ('control_chart(belt == "ok", parts = 5, rules = "1,5")', ['47: rules of control_chart() are some of "1,2,3,4"']),
    ('control_chart(belt == "ok", parts = 5, side = "abov")', ['46: side of control_chart() is one of above, below, both; did you mean "above"?']),
    ('belt == "ok" and signal', ['17: crossing.signal is a region\'s state: compare it, such as crossing.signal == "red"']),
    ("belt > 3", ["0: a region's state has no order: compare it with == , != or in"]),
    ('probability(belt) == "ok"', ["21: a number cannot be compared with a text"]),
    ("probability(belt)", ["0: the rule must be a truth, this is a number"]),
    ('belt == "ok" and 1', ["17: what and joins must be a truth, this is a number"]),
    ('not "ok"', ["4: what follows not must be a truth, this is a text"]),
    ('belt is "ok"', ["0: compare with == or !=, is cannot stand in a rule"]),
    ('belt in "ok"', ['8: the right side of in must be a list of labels, such as ["a", "b"], this is a text']),
    ("belt in []", ["8: the list of labels is empty"]),
    ('belt == "ok" if true else false', ["0: if … else cannot stand in a rule"]),
    ('[x for x in belt] == "ok"', ["0: a comprehension cannot stand in a rule"]),
    ('belt.label.upper() == "OK"', ['0: no function is named "belt.label.upper" (there are: probability, duration, count, rate_per_minute, rate, control_chart, ewma_chart)']),
    ("__import__('os').system('true')", ['0: no function is named "__import__(\'os\').system" (there are: probability, duration, count, rate_per_minute, rate, control_chart, ewma_chart)']),
    ('belt = "ok"', ['5: cannot be read: invalid syntax; write "==" to compare']),
    ('belt == "ok" && signal == "red"', ['14: cannot be read: invalid syntax; write "and" for "&&"']),
    ('   lin_1.belt == "ok"', ['3: no camera is named "lin_1"; did you mean "line_1"?']),
    ('belt == "ök" or lin_1.belt == "ok"', ['8: line_1.belt has no label "ök" (it has: empty, ok, defect, unknown, invalid)', '16: no camera is named "lin_1"; did you mean "line_1"?']),
    ('belt == "ok"\n  or singal == "red"', ['18: no region is named "singal"; did you mean "signal"?']),
    ("", ["0: the expression is empty"]),
    ('count(count(belt == "ok", window = "1m") > 2, window = "1h") > 1', ["6: condition of count() cannot hold another function that remembers: make that a rule of its own"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[text for text, _ in WRONG])
def test_every_mistake_is_told_with_its_place_and_the_nearest_name(text: str, expected: list[str]) -> None:
    compiled, mistakes = compile_condition(text, World(INVENTORY))
    assert compiled is None
    assert [f"{mistake.column}: {mistake}" for mistake in mistakes] == expected


@pytest.mark.parametrize("text", ["(" * 500 + "1" + ")" * 500, "not " * 900 + "true", "-" * 3000 + "1 > 0", "a" * 5000, "\0"])
def test_monstrous_text_is_refused_without_harm(text: str) -> None:
    compiled, mistakes = compile_condition(text, World(INVENTORY))
    assert compiled is None
    assert mistakes


def test_used_names_stand_in_order() -> None:
    compiled, _ = compile_condition(
        'signal == "red" and count(belt == "ok", window = "1m") > 2 and rule.maintenance', World(INVENTORY)
    )
    assert compiled is not None
    assert [fact.name for fact in compiled.used.facts] == ["crossing.signal", "line_1.belt"]
    assert compiled.used.rules == ["maintenance"]
    assert compiled.used.timed
