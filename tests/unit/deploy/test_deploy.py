"""The files for service manager, Prometheus and people, checked by their own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from edgenode.configuration.file import load
from edgenode.configuration.keys import place_at

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "deploy/systemd/edgenode.service"
PROMETHEUS = ROOT / "deploy/prometheus"
EXAMPLE = ROOT / "docs/examples/edgenode.toml"
MAX_EXPOSURE = 1.5


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_the_unit_is_understood_but_for_a_program_that_is_not_installed_here() -> None:
    done = run(tool("systemd-analyze"), "verify", "--man=no", str(UNIT))
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert [line for line in said if "edgenode" in line and "is not executable" not in line] == []


def test_the_unit_exposes_little() -> None:
    analyze = tool("systemd-analyze")
    done = run(
        analyze,
        "security",
        "--offline=true",
        "--no-pager",
        f"--threshold={int(MAX_EXPOSURE * 10)}",
        str(UNIT),
    )
    exposure = re.search(r"Overall exposure level for edgenode.service: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stderr
    assert float(exposure[1]) <= MAX_EXPOSURE
    assert done.returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "StartLimitIntervalSec=0",
        "RestartPreventExitStatus=78",
        "Environment=ORT_DISABLE_TELEMETRY=1",
        "LimitCORE=0",
        "StateDirectoryMode=0700",
    ],
)
def test_the_unit_says_what_the_node_relies_on(line: str) -> None:
    assert line in UNIT.read_text().splitlines()


def test_the_rules_are_valid_and_behave() -> None:
    promtool = tool("promtool")
    for arguments in (
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml", "rules_test_days.yml"),
    ):
        done = run(promtool, *arguments, cwd=PROMETHEUS)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_to_fire_and_to_be_silent() -> None:
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    cases = [
        case
        for path in sorted(PROMETHEUS.glob("rules_test*.yml"))
        for case in yaml.safe_load(path.read_text())["tests"]
    ]
    tested = [test for case in cases for test in case.get("alert_rule_test", ())]
    assert {test["alertname"] for test in tested if test.get("exp_alerts")} == alerts
    assert {test["alertname"] for test in tested if not test.get("exp_alerts")} >= alerts
    (healthy,) = [case for case in cases if "healthy" in case["name"]]
    given = {re.split(r"[{]", series["series"])[0] for series in healthy["input_series"]}
    asked = set(
        re.findall(
            r"\b(?:edgenode_\w+|process_\w+|up)\b(?=[{\[ ]|$)",
            str([r["expr"] for g in groups for r in g["rules"]]),
        )
    )
    assert asked <= given, "the healthy node has every series, or its silence proves nothing"


def test_the_scrape_configuration_is_valid() -> None:
    done = run(tool("promtool"), "check", "config", "--syntax-only", "scrape.yml", cwd=PROMETHEUS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_files_copied_as_the_document_says_are_a_whole_configuration(tmp_path: Path) -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    copies = re.findall(
        r"^    cp /usr/share/edgenode/prometheus/(\S+) /etc/prometheus/(\S+)$", page, re.MULTILINE
    )
    assert len(copies) == 2
    for source, target in copies:
        shutil.copy(PROMETHEUS / source, tmp_path / target)
    done = run(tool("promtool"), "check", "config", "prometheus.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_configuration_loads() -> None:
    settings = load(EXAMPLE, {}).settings
    assert [camera.name for camera in settings.cameras] == ["line_1", "line_2"]
    assert settings.rules[0].name == "defective_part"


EXAMPLES_NOT_DEFAULTS = {
    "port", "username", "password_file", "ca_file", "cert_file", "key_file", "sha256", "model",
}  # fmt: skip


def commented_keys() -> list[tuple[str, str, str]]:
    """(table, key, value) of every line of the example that is commented out."""
    found, table = [], ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        header = re.match(r"\s*\[+([\w.]+)\]+", line)
        pair = re.match(r"\s*# (\w+) = (.+?)(?:\s{2,}#.*)?$", line)
        if header is not None:
            table = header[1]
        elif pair is not None:
            found.append((table, pair[1], pair[2]))
    return found


@pytest.mark.parametrize(("table", "key", "value"), commented_keys())
def test_a_commented_key_of_the_example_exists_and_shows_its_default(
    table: str, key: str, value: str
) -> None:
    path: list[str | int] = []
    for part in table.split("."):
        path += [part, 0] if part in ("cameras", "regions", "rules") else [part]
    model = place_at(tuple(path)).model
    assert model is not None
    assert key in model.model_fields
    if key in EXAMPLES_NOT_DEFAULTS:
        return
    required = {"name": "x", "source": "usb:0", "file": "x"}
    given = {name: text for name, text in required.items() if name in model.model_fields}
    shown = model.model_validate(given | {key: tomllib.loads(f"v = {value}")["v"]})
    assert getattr(shown, key) == getattr(model.model_validate(given), key)
