"""What the packages install is pinned, complete, and told in a bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "deploy/requirements.txt"


def pinned() -> list[tuple[Requirement, list[str]]]:
    """Each library with the hashes of its files."""
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement, *hashes = re.split(r"\s+--hash=", line.strip())
            found.append((Requirement(requirement), hashes))
    return found


def test_every_library_is_pinned_to_one_version_with_hashes() -> None:
    for requirement, hashes in pinned():
        assert [each.operator for each in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement


def test_the_lock_holds_what_the_project_asks_for() -> None:
    """Run `make lock` when this fails."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked: dict[str, list[str]] = {}
    for requirement, _ in pinned():
        versions = [each.version for each in requirement.specifier]
        locked.setdefault(canonicalize_name(requirement.name), []).extend(versions)
    for text in project["dependencies"]:
        wanted = Requirement(text)
        versions = locked.get(canonicalize_name(wanted.name), [])
        assert versions, f"{text} is not in {LOCK.name}"
        assert all(version in wanted.specifier for version in versions), f"{text}: {versions}"


def test_the_lock_names_no_place_of_its_own() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert not re.search(r"index-url|find-links|file:|https?://", text)


def test_package_and_container_install_the_lock() -> None:
    container = (ROOT / "deploy/containers/Containerfile").read_text(encoding="utf-8")
    assert "--require-hashes -r deploy/requirements.txt" in container
    assert "--no-deps /wheels/*.whl" in container
    assert "--requirements deploy/requirements.txt" in (ROOT / "deploy/debian/rules").read_text(
        encoding="utf-8"
    )


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("bill") / "edgenode.cdx.json"
    done = subprocess.run(
        [ROOT / "scripts/sbom.sh", sys.executable, target], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return target.read_text(encoding="utf-8")


def test_a_bill_that_is_no_cyclonedx_would_not_have_been_written(bill: str) -> None:
    """The script validates what it writes; this is what it validates with."""
    broken = bill.replace('"type": "library"', '"type": "soup"', 1)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(broken) is not None


def test_the_bill_names_the_node_and_every_library(bill: str) -> None:
    document = json.loads(bill)
    assert document["metadata"]["component"]["name"] == "edgenode"
    told = {(canonicalize_name(each["name"]), each["version"]) for each in document["components"]}
    wanted = {
        (canonicalize_name(requirement.name), each.version)
        for requirement, _ in pinned()
        for each in requirement.specifier
    }
    assert told == wanted
    assert all(each["purl"].startswith("pkg:pypi/") for each in document["components"])


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [
        ({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, 0, "1 of 1 libraries checked, 0 known"),
        ({"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}]}, 1,
         "a 1: CVE-1 (fixed in 2)"),
        ({"dependencies": [{"name": "a", "skip_reason": "not found"}]}, 2, "knows nothing of a"),
        ({"dependencies": []}, 2, "0 of 0"),
        (None, 2, "nothing was checked: no route to host"),
    ],
)  # fmt: skip
def test_an_audit_that_could_not_ask_does_not_say_that_all_is_well(
    tmp_path: Path, answer: object, code: int, word: str
) -> None:
    """With a pip-audit that answers what the test says."""
    python = tmp_path / "python"
    told = tmp_path / "answer.json"
    if answer is not None:
        told.write_text(json.dumps(answer))
    python.write_text(
        f"""#!/usr/bin/env bash
if [ "$1" = -m ]; then
    while [ "$1" != --output ]; do shift; done
    cp {told} "$2" 2>/dev/null || {{ rm -f "$2"; echo "no route to host" >&2; }}
    exit 1
fi
exec {sys.executable} "$@"
"""
    )
    python.chmod(0o755)
    done = subprocess.run([ROOT / "scripts/audit.sh", python], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    assert word in done.stdout
