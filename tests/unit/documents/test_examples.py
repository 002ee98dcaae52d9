"""The example configurations: each is listed, valid as far as that needs no model, and tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edgenode.configuration.file import load
from edgenode.decision_setup import build_rules, region_labels

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "examples"
EXAMPLES = sorted(path.name for path in FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_configuration(name: str) -> None:
    loaded = load(FOLDER / name, {})
    assert loaded.settings.cameras
    assert loaded.settings.models


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_rules_of_an_example_compile(name: str) -> None:
    """Regions and rules exist and types fit; labels are proven where the models are, by the system tests."""
    settings = load(FOLDER / name, {}).settings
    assert build_rules(settings, region_labels(settings, {})).names == tuple(
        rule.name for rule in settings.rules
    )


def test_every_profile_is_listed_and_tested() -> None:
    listed = re.findall(r"^\| `(\w+\.toml)`", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted([*listed, "edgenode.toml"]) == EXAMPLES
    for name in listed:
        test = ROOT / "tests" / "system" / f"test_profile_{name.removesuffix('.toml')}.py"
        assert f'"{name}"' in test.read_text(), test


def test_the_medical_example_says_what_it_is_not() -> None:
    text = (FOLDER / "chest_worklist.toml").read_text()
    assert "NOT A MEDICAL DEVICE" in text


def test_conditions_quoted_in_the_documentation_stand_in_the_examples() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    rows = re.findall(r"^\| `(.+?)`[^|]*\| `(\w+\.toml)`", page, re.MULTILINE)
    assert len(rows) == page.split("## Examples")[1].split("\n## ")[0].count("| `") // 2
    for condition, name in rows:
        rules = tomllib.loads((FOLDER / name).read_text())["rules"]
        texts = {rule.get("when", "") for rule in rules} | {
            "[" + ", ".join('"' + step.replace('"', "'") + '"' for step in rule.get("sequence", [])) + "]"
            for rule in rules
        }
        assert any(condition in text for text in texts), (condition, name)
