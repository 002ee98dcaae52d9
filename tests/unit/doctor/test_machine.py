"""Disk, limits, meters, ports and rights, on this machine and on folders made to look like others."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from edgenode.configuration.file import LoadedSettings, load
from edgenode.doctor.finding import Finding, Level
from edgenode.doctor.machine import ClockWatch, examine_disk, examine_energy, examine_limits, file_system
from edgenode.doctor.service import examine_port, examine_secrets, examine_service, running_process
from edgenode.doctor.unit import Unit
from edgenode.node.memory import StateDirectory


def loaded(folder: Path, text: str) -> LoadedSettings:
    path = folder / "edgenode.toml"
    path.write_text(f'[node]\nname = "g"\nstate_dir = "{folder}/state"\n{text}')
    return load(path, {})


def levels(findings: list[Finding]) -> list[tuple[str, Level]]:
    return [(finding.subject, finding.level) for finding in findings]


def test_a_good_disk_is_measured_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    found = examine_disk(loaded(tmp_path, "").settings, tmp_path, Unit())
    assert {finding.level for finding in found} <= {Level.OK, Level.WARNING}
    assert any(finding.facts.get("fsync_median_ms", -1) >= 0.0 for finding in found)
    assert any(finding.facts.get("free_bytes", 0) > 0 for finding in found)
    assert list((tmp_path / "state").iterdir()) == []


def test_an_outbox_larger_than_the_disk_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    found = examine_disk(loaded(tmp_path, '[outbox]\nmax_size = "900000GiB"\n').settings, tmp_path, Unit())
    problem = next(finding for finding in found if finding.level is Level.PROBLEM)
    assert "outbox.max_size" in problem.advice


def test_a_state_folder_open_to_others_is_a_warning_and_one_that_is_a_file_a_problem(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "").settings
    (tmp_path / "state").mkdir(mode=0o755)
    assert any("chmod 700" in finding.advice for finding in examine_disk(settings, tmp_path, Unit()))
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("")
    assert [finding.level for finding in examine_disk(settings, tmp_path, Unit())] == [Level.PROBLEM]


def test_the_file_system_is_that_of_the_longest_mount_point(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\ntmp {tmp_path} tmpfs rw 0 0\nx {tmp_path}-b xfs rw 0 0\n")
    assert file_system(tmp_path / "state", mounts) == "tmpfs"
    assert file_system(Path("/"), mounts) == "ext4"
    assert file_system(Path("/"), tmp_path / "none") == ""


def test_more_cameras_than_open_files_is_a_problem(tmp_path: Path) -> None:
    cameras = "".join(f'[[cameras]]\nname = "c{n}"\nsource = "synthetic:line"\n' for n in range(20))
    settings = loaded(tmp_path, cameras).settings
    unit = Unit(tmp_path, (), {"LimitNOFILE": ["4096"]})
    assert [finding.level for finding in examine_limits(settings, unit)] == [Level.OK]
    unit = Unit(tmp_path, (), {"LimitNOFILE": ["256:4096"]})
    assert [finding.level for finding in examine_limits(settings, unit)] == [Level.PROBLEM]


def test_a_machine_without_meters_says_so(tmp_path: Path) -> None:
    found = examine_energy(tmp_path)
    assert all(finding.level in (Level.OK, Level.NOTE) for finding in found)
    assert found


def test_the_clock_is_read_and_watched() -> None:
    found = ClockWatch().examine()
    reading = next(finding for finding in found if "quality" in finding.facts)
    assert reading.facts["quality"] in ("synchronised", "unsynchronised")
    assert abs(reading.facts["stepped_s"]) < 10.0


def test_a_port_is_free_or_somebody_elses(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        def hang_up() -> None:
            other.accept()[0].close()

        answering = threading.Thread(target=hang_up, name="other")
        answering.start()
        settings = loaded(tmp_path, f'[http]\nlisten = "127.0.0.1:{port}"\n').settings
        found = examine_port(settings, tmp_path)
        answering.join(60.0)
        assert [finding.level for finding in found] == [Level.PROBLEM]
        assert str(port) in found[0].advice
    assert [finding.level for finding in examine_port(settings, tmp_path)] == [Level.OK]


def test_secrets_that_others_may_read_are_warned_of(tmp_path: Path) -> None:
    password, key = tmp_path / "password", tmp_path / "key"
    password.write_text("x")
    key.write_text("x")
    for path, mode in ((password, 0o600), (key, 0o644)):
        path.chmod(mode)
    text = f"""
[mqtt]
username = "g"
password_file = "{password}"
ca_file = "{key}"
cert_file = "{key}"
key_file = "{key}"
[[cameras]]
name = "c"
source = "rtsp://admin:verysecret@10.0.0.5/x"
"""
    config = loaded(tmp_path, text)
    config.path.chmod(0o640)
    found = examine_secrets(config, Unit())
    assert levels(found) == [
        (str(password), Level.OK),
        (str(key), Level.WARNING),
        (str(config.path), Level.OK),
    ]
    assert "verysecret" not in str(found)


def test_an_address_in_the_services_environment_is_looked_for_there(tmp_path: Path) -> None:
    path, environment = tmp_path / "edgenode.toml", tmp_path / "default"
    path.write_text('[[cameras]]\nname = "line_1"\n')
    path.chmod(0o644)
    environment.write_text("")
    environment.chmod(0o600)
    config = load(path, {"EDGENODE__CAMERAS__LINE_1__SOURCE": "rtsp://admin:verysecret@10.0.0.5/x"})
    assert levels(examine_secrets(config, Unit(), environment)) == [(str(environment), Level.OK)]
    environment.chmod(0o644)
    assert levels(examine_secrets(config, Unit(), environment)) == [(str(environment), Level.WARNING)]


def test_a_sandbox_that_hides_what_is_configured_is_warned_of(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        '[[cameras]]\nname = "u"\nsource = "usb:0"\n[[cameras]]\nname = "far"\nsource = "rtsp://93.184.216.34/x"\n',
    )
    config.path.chmod(0o640)
    values = {
        "PrivateDevices": ["yes"],
        "DynamicUser": ["yes"],
        "IPAddressDeny": ["any"],
        "IPAddressAllow": ["10.0.0.0/8"],
    }
    found = examine_service(config, Unit(tmp_path / "edgenode.service", (), values))
    warned = [finding.subject for finding in found if finding.level is Level.WARNING]
    assert warned == ["PrivateDevices", "IPAddressAllow", "DynamicUser"]
    assert [finding.level for finding in examine_service(config, Unit())] == [Level.NOTE]


def test_the_process_that_holds_the_state_directory_is_named_without_touching_its_lock(
    tmp_path: Path,
) -> None:
    assert running_process(tmp_path) is None
    with StateDirectory(tmp_path):
        assert running_process(tmp_path) == str(os.getpid())
    assert running_process(tmp_path) is None


@pytest.mark.parametrize("lines", ["", "1: POSIX  ADVISORY  WRITE 7 00:01:5 0 EOF\n", "broken\n"])
def test_other_locks_are_nobody(tmp_path: Path, lines: str) -> None:
    (tmp_path / "lock").write_text("")
    (tmp_path / "locks").write_text(lines)
    assert running_process(tmp_path, tmp_path / "locks") is None
