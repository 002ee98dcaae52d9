"""The Debian package's files: what they name exists, and the default configuration works."""

from __future__ import annotations

import os
import re
from pathlib import Path

from edgenode.configuration.check import problems
from edgenode.configuration.file import load

ROOT = Path(__file__).parents[3]
DEBIAN = ROOT / "deploy/debian"


def test_what_is_installed_exists() -> None:
    for line in (DEBIAN / "edgenode.install").read_text(encoding="utf-8").splitlines():
        source, target = line.split()
        assert (ROOT / source).exists(), source
        assert not target.startswith("/")


def test_the_default_configuration_proves_and_sees_nothing(tmp_path: Path) -> None:
    loaded = load(DEBIAN / "edgenode.toml", {"EDGENODE__NODE__STATE_DIR": str(tmp_path / "state")})
    assert problems(loaded) == []
    assert loaded.settings.cameras == []


def test_the_default_configuration_works_when_its_comments_are_taken_away(tmp_path: Path) -> None:
    """As it tells its reader to do; the package links the demo's models to where it says."""
    text = (DEBIAN / "edgenode.toml").read_text(encoding="utf-8")
    head, _, below = text.partition("# [models.parts]")
    config = tmp_path / "edgenode.toml"
    config.write_text(head + re.sub(r"(?m)^# ?", "", "# [models.parts]" + below), encoding="utf-8")
    installed = "/usr/share/edgenode/models"
    assert f"{installed}/line_parts.onnx" in config.read_text()
    assert f"debian/edgenode{installed}" in (DEBIAN / "rules").read_text()
    config.write_text(config.read_text().replace(installed, str(ROOT / "edgenode/demo/models")))
    loaded = load(config, {"EDGENODE__NODE__STATE_DIR": str(tmp_path / "state")})
    assert problems(loaded) == []
    assert [rule.name for rule in loaded.settings.rules] == ["part_on_the_belt"]


def test_the_program_is_where_the_unit_looks_for_it() -> None:
    source, target = (DEBIAN / "edgenode.links").read_text(encoding="utf-8").split()
    unit = (ROOT / "deploy/systemd/edgenode.service").read_text(encoding="utf-8")
    assert f"ExecStart=/{target} run --config /etc/edgenode/edgenode.toml" in unit
    rules = (DEBIAN / "rules").read_text(encoding="utf-8")
    assert re.search(rf"^VENV = /{re.escape(source.split('/bin/')[0])}$", rules, re.MULTILINE)


def test_state_is_removed_by_purge_alone() -> None:
    script = (DEBIAN / "edgenode.postrm").read_text(encoding="utf-8")
    before, _, after = script.partition('if [ "$1" = purge ]; then')
    assert "rm " not in before
    assert "/var/lib/private/edgenode" in after.partition("fi\n")[0]
    assert "#DEBHELPER#" in script


def test_the_build_rules_can_be_run() -> None:
    assert os.access(DEBIAN / "rules", os.X_OK)
    assert os.access(ROOT / "scripts/debian-package.sh", os.X_OK)
