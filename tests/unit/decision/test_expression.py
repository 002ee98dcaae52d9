from __future__ import annotations

from pathlib import Path
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


def cases() -> list[tuple[str, list[str]]]:
    """Rules and the mistakes in them, from `rule_mistakes.txt`."""
    text = (Path(__file__).parent / "rule_mistakes.txt").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.split("\n\n")][1:]
    return [(lines[0].replace("\\n", "\n"), [line.strip() for line in lines[1:]]) for lines in blocks]


@pytest.mark.parametrize(("text", "expected"), cases(), ids=[text for text, _ in cases()])
def test_every_mistake_is_told_with_its_place_and_the_nearest_name(text: str, expected: list[str]) -> None:
    compiled, mistakes = compile_condition(text, World(INVENTORY))
    assert compiled is None
    assert [f"{mistake.column}: {mistake}" for mistake in mistakes] == expected


@pytest.mark.parametrize(
    "text", ["(" * 500 + "1" + ")" * 500, "not " * 900 + "true", "-" * 3000 + "1 > 0", "a" * 5000, "\0"]
)
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
