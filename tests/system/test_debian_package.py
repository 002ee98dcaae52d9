"""The package, built, and installed into a Debian that has nothing else: minutes, root, and a Debian mirror."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINUTES_15 = 900
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * MINUTES_15)]
CONFIGURATION = """
[node]
name = "fresh"
[http]
enabled = false
[models.parts]
file = "/usr/share/edgenode/models/line_parts.onnx"
[[cameras]]
name = "line_1"
source = "synthetic:line"
fps = 10
[[cameras.regions]]
name = "belt"
box = [0.2656, 0.2222, 0.7344, 0.7778]
[[rules]]
name = "part"
when = 'line_1.belt in ["good", "defect"]'
snapshot = true
"""
"""No broker: what happens in the run waits in the outbox, and must still be there after an upgrade."""


def run(*command: str | Path, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=MINUTES_15)
    assert done.returncode == 0 or not check, f"{command}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh root with Python and nothing of edgenode."""
    missing = [
        name for name in ("mmdebstrap", "dpkg-buildpackage", "dh_virtualenv") if shutil.which(name) is None
    ]
    if missing or os.getuid() != 0:
        pytest.skip(f"needs root and {', '.join(missing) or 'nothing else'}")
    root = tmp_path_factory.mktemp("debian") / "root"
    codename = next(
        line.partition("=")[2]
        for line in Path("/etc/os-release").read_text().splitlines()
        if "CODENAME" in line
    )
    run("mmdebstrap", "--mode=root", "--variant=minbase", "--include=python3", codename, root)
    yield root
    shutil.rmtree(root)


def inside(root: Path, *command: str, check: bool = True) -> str:
    """`command` in the fresh root, with a /proc of its own."""
    script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    return run("unshare", "--mount", "--pid", "--fork", "bash", "-c", script, root, *command, check=check)


@pytest.fixture(scope="module")
def package(debian: Path) -> Path:
    """The package that is built from what is committed."""
    run(ROOT / "scripts/debian-package.sh")
    built = max((ROOT / "dist").glob("edgenode_*.deb"), key=lambda path: path.stat().st_mtime)
    shutil.copy(built, debian / "tmp/edgenode.deb")
    return built


def newer(package: Path, folder: Path) -> Path:
    """The same package as a later version, whose default configuration has changed."""
    tree = folder / "tree"
    run("dpkg-deb", "--raw-extract", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", "Version: 99.0", control.read_text()))
    with (tree / "etc/edgenode/edgenode.toml").open("a") as file:
        file.write("# a line that the older one had not\n")
    run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", tree, folder / "newer.deb")
    shutil.rmtree(tree)
    return folder / "newer.deb"


def test_the_package_installs_runs_and_goes_again(debian: Path, package: Path, tmp_path: Path) -> None:
    inside(debian, "dpkg", "--install", "/tmp/edgenode.deb")
    assert "good (0 cameras" in inside(debian, "edgenode", "check")
    assert inside(debian, "edgenode", "--version").startswith("edgenode, version")
    for name in (
        "/usr/share/bash-completion/completions/edgenode",
        "/usr/share/man/man1/edgenode.1.gz",
        "/usr/share/edgenode/models/stop_line.onnx",
        "/usr/share/edgenode/prometheus/rules.yml",
        "/usr/share/doc/edgenode/operations.md",
        "/usr/share/doc/edgenode/examples/edgenode.toml",
        "/lib/systemd/system/edgenode.service",
    ):
        inside(debian, "test", "-e", name)

    config = debian / "etc/edgenode/edgenode.toml"
    config.write_text(CONFIGURATION)
    said = inside(debian, "edgenode", "doctor", "--json", "--seconds", "1", check=False)
    findings = json.loads(said[said.index("{") :])["findings"]
    levels = {finding["part"]: finding["level"] for finding in reversed(findings)}
    assert {part: levels[part] for part in ("model", "camera", "load")} == dict.fromkeys(
        ("model", "camera", "load"), "ok"
    )
    assert levels["broker"] == "problem", "there is none in this root"
    assert levels["service"] == "ok"

    said = inside(debian, "timeout", "--preserve-status", "20", "edgenode", "run")
    assert "camera line_1 is online" in said
    assert "stopping" in said
    before = json.loads(inside(debian, "edgenode", "outbox", "stats", "--json"))
    assert before["waiting"] > 0

    shutil.copy(newer(package, tmp_path), debian / "tmp/newer.deb")
    # what apt does with a changed configuration where nobody is there to be asked
    inside(debian, "dpkg", "--install", "--force-confdef", "--force-confold", "/tmp/newer.deb")
    assert "99.0" in inside(debian, "dpkg-query", "--show", "edgenode")
    assert config.read_text() == CONFIGURATION, "an upgrade keeps the configuration"
    after = json.loads(inside(debian, "edgenode", "outbox", "stats", "--json"))
    assert after["waiting"] == before["waiting"], "and what waits for the broker"

    state = debian / "var/lib/edgenode"
    inside(debian, "dpkg", "--remove", "edgenode")
    assert (state / "outbox/outbox.db").is_file()
    assert config.is_file()
    inside(debian, "dpkg", "--purge", "edgenode")
    assert not state.exists()
    assert not config.exists()
    assert not (debian / "opt/venvs/edgenode").exists()
