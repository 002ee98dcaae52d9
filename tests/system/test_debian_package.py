"""The package, built, and installed into a Debian that has nothing else: minutes, root, and a Debian mirror."""

from __future__ import annotations

import os
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
state_dir = "/tmp/state"
[http]
enabled = false
[models.parts]
file = "/opt/venvs/edgenode/lib/{python}/site-packages/edgenode/demo/models/line_parts.onnx"
[[cameras]]
name = "line_1"
source = "synthetic:line"
"""


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


def test_the_package_installs_runs_and_goes_again(debian: Path) -> None:
    run(ROOT / "scripts/debian-package.sh")
    package = max((ROOT / "dist").glob("edgenode_*.deb"), key=lambda path: path.stat().st_mtime)
    shutil.copy(package, debian / "tmp/edgenode.deb")
    inside(debian, "dpkg", "--install", "/tmp/edgenode.deb")
    assert "good (0 cameras" in inside(debian, "edgenode", "check")

    python = next((debian / "opt/venvs/edgenode/lib").glob("python3*")).name
    config = debian / "etc/edgenode/edgenode.toml"
    config.write_text(CONFIGURATION.format(python=python))
    said = inside(debian, "timeout", "--preserve-status", "20", "edgenode", "run")
    assert "camera line_1 is online" in said
    assert "stopping" in said

    inside(debian, "dpkg", "--install", "--force-confdef", "/tmp/edgenode.deb")
    assert config.read_text() == CONFIGURATION.format(python=python), "an upgrade keeps the configuration"

    state = debian / "var/lib/edgenode"
    state.mkdir()
    inside(debian, "dpkg", "--remove", "edgenode")
    assert state.is_dir()
    assert config.is_file()
    inside(debian, "dpkg", "--purge", "edgenode")
    assert not state.exists()
    assert not config.exists()
    assert not (debian / "opt/venvs/edgenode").exists()
