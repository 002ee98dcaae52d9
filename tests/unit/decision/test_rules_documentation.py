"""docs/rules.md: its settings and functions exist, all of them are there, and its examples compile."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edgenode.decision.expression import compile_condition
from edgenode.decision.facts import Inventory, RegionLabels, World
from edgenode.decision.functions import FUNCTIONS
from edgenode.settings import RuleSettings, SmoothingSettings

TEXT = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
LABELS = RegionLabels(("ok", "defect", "red", "open", "car", "bus", "empty"))
WORLD = World(
    Inventory(
        {
            ("line_1", "belt"): LABELS,
            ("crossing", "signal"): LABELS,
            ("crossing", "stop_line"): LABELS,
            ("gate", "frame"): LABELS,
        },
        ("maintenance", "passage_left"),
    )
)


def keys(settings: type[RuleSettings] | type[SmoothingSettings]) -> set[str]:
    return {field.alias or name for name, field in settings.model_fields.items()} - {"name"}


def documented(heading: str) -> set[str]:
    section = TEXT.split(f"## {heading}")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([a-z_]+)", row)}


def test_settings_and_functions_are_all_documented() -> None:
    assert documented("From probabilities to the state of a region") == keys(SmoothingSettings)
    assert documented("Rules") == keys(RuleSettings)
    assert documented("Conditions") == set(FUNCTIONS)


def examples() -> list[str]:
    section = TEXT.split("## Conditions")[1]
    plain = re.findall(r"^    (.*?)   +\S", section, re.MULTILINE)
    calls = re.findall(r"^\| `((?:[a-z_]+)\(.*?\))` \|", section, re.MULTILINE)
    made = [
        call.replace("condition", 'belt == "defect"').replace('region, "label"', 'belt, "ok"')
        for call in calls
    ]
    return plain + [call if "chart" in call else f"{call} > 1" for call in made]


@pytest.mark.parametrize("text", examples())
def test_example_compiles(text: str) -> None:
    compiled, mistakes = compile_condition(text, WORLD)
    assert compiled is not None, [str(mistake) for mistake in mistakes]


def test_rules_of_the_documentation_are_valid_settings() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    SmoothingSettings.model_validate(tomllib.loads(blocks[0])["smoothing"])
    rules = [RuleSettings.model_validate(rule) for rule in tomllib.loads(blocks[1])["rules"]]
    assert [rule.name for rule in rules] == ["red_light", "wrong_way"]
    assert len(examples()) >= 13
