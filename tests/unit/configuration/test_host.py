"""What is asked of the machine without opening anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgenode.cli import main
from edgenode.configuration.file import load
from edgenode.host import is_credential, service_environment
from tests.models import make_model


def test_the_services_environment_is_read_as_systemd_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "edgenode"
    file.write_text(
        '# comment\nEDGENODE__CAMERAS__LINE_1__SOURCE="rtsp://a:b=c@10.0.0.5/x"\n'
        "EDGENODE__NODE__NAME='g 7'\nOTHER=1\nEDGENODE__NODE__DRAIN=3s\nnonsense\n"
    )
    assert service_environment(file) == {
        "EDGENODE__CAMERAS__LINE_1__SOURCE": "rtsp://a:b=c@10.0.0.5/x",
        "EDGENODE__NODE__NAME": "g 7",
        "EDGENODE__NODE__DRAIN": "3s",
    }
    assert service_environment(tmp_path / "none") == {}


def test_a_camera_may_have_its_address_in_the_environment_alone(tmp_path: Path) -> None:
    config = tmp_path / "edgenode.toml"
    config.write_text('[[cameras]]\nname = "line_1"\n')
    settings = load(config, {"EDGENODE__CAMERAS__LINE_1__SOURCE": "rtsp://a:b@10.0.0.5/x"}).settings
    assert settings.cameras[0].source == "rtsp://a:b@10.0.0.5/x"


def test_a_credential_is_looked_for_by_the_service_alone() -> None:
    path = Path("/run/credentials/edgenode.service/mqtt")
    assert is_credential(path, {})
    assert not is_credential(path, {"CREDENTIALS_DIRECTORY": "/run/credentials/edgenode.service"})
    assert not is_credential(Path("/etc/edgenode/password"), {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files that another user cannot read")
def test_a_model_that_root_installs_belongs_to_the_service(tmp_path: Path) -> None:
    """systemd gives the state directory to a user of its own; what root adds later would be closed to it."""
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "edgenode.toml").write_text(f'[node]\nstate_dir = "{state}"\n')
    install = ["model", "install", str(make_model(tmp_path / "tiny.onnx")), "--activate"]
    arguments = [*install, "--config", str(tmp_path / "edgenode.toml")]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert {path.stat().st_uid for path in state.rglob("*")} == {0}, "root's own folder stays root's"
    os.chown(state, 64646, 64646)
    assert CliRunner().invoke(main, arguments).exit_code == 0
    made = list(state.rglob("*"))
    assert made
    assert {path.lstat().st_uid for path in made} == {64646}
