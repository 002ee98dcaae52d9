"""`edgenode doctor` against real brokers and cameras, well and ill."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgenode.cli import main
from tests.clips import numbered_clip
from tests.fixtures_servers import StartRtsp
from tests.models import make_model
from tests.servers.black_hole import BlackHole
from tests.servers.certificates import Authority
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.system.daemon import Daemon, eventually
from tests.system.delivery.test_mosquitto_files import gateway

Brokers = Callable[..., MosquittoBroker]
PASSWORD = "correct horse"


def configuration(folder: Path, port: int, mqtt: str = "", rest: str = "") -> Path:
    path = folder / "edgenode.toml"
    path.write_text(
        f'[node]\nname = "gateway-7"\nstate_dir = "{folder}/state"\n'
        f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\n{mqtt}\n'
        f'[http]\nlisten = "127.0.0.1:0"\n{rest}'
    )
    path.chmod(0o640)
    return path


def doctor(config: Path, *options: str) -> tuple[int, dict[str, list[Any]], str]:
    """Exit code, findings by part, and all that was written."""
    done = CliRunner().invoke(main, ["doctor", str(config), "--json", *options])
    found: dict[str, list[Any]] = {}
    for finding in json.loads(done.stdout)["findings"] if done.stdout else []:
        found.setdefault(finding["part"], []).append(finding)
    return done.exit_code, found, done.output


def test_a_broker_that_lets_the_node_work_is_well(mosquitto_broker: MosquittoBroker, tmp_path: Path) -> None:
    code, found, _ = doctor(configuration(tmp_path, mosquitto_broker.port), "--part", "broker")
    assert code == 0
    (told,) = found["broker"]
    assert told["level"] == "ok"
    assert told["facts"]["protocol"] == "5"
    assert told["facts"]["round_trip_ms"] > 0.0
    assert told["facts"]["software"].startswith("mosquitto version")
    assert set(found) == {"broker"}, "only what was asked for"


def test_a_broker_that_speaks_3_1_1_alone_is_asked_in_its_language(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    config = configuration(tmp_path, mosquitto_broker.port, 'protocol = "3.1.1"')
    code, found, _ = doctor(config, "--part", "broker")
    assert code == 0
    assert found["broker"][0]["facts"]["protocol"] == "3.1.1"
    assert "does not tell refused publications" in found["broker"][0]["text"]


def test_the_limits_of_a_broker_are_read_and_judged(mosquitto_factory: Brokers, tmp_path: Path) -> None:
    broker = mosquitto_factory("max_packet_size 20000", "retain_available false")
    broker.start()
    code, found, _ = doctor(configuration(tmp_path, broker.port), "--part", "broker")
    assert code == 1
    assert found["broker"][0]["facts"]["maximum_packet_bytes"] == 20000
    assert [(f["level"], f["text"][:30]) for f in found["broker"][1:]] == [
        ("problem", "the broker keeps no retained m"),
        ("warning", "Maximum Packet Size is 20000 b"),
    ]


def access(broker: MosquittoBroker, *lines: str) -> None:
    """Users with a password, and an access list."""
    import subprocess

    tool = shutil.which("mosquitto_passwd")
    assert tool is not None
    subprocess.run([tool, "-b", "-c", broker.folder / "users", "gateway-7", PASSWORD], check=True)
    (broker.folder / "acl").write_text("\n".join([*lines, ""]))
    for name in ("users", "acl"):
        (broker.folder / name).chmod(0o600)
    broker.lines += [
        "allow_anonymous false",
        f"password_file {broker.folder}/users",
        f"acl_file {broker.folder}/acl",
    ]
    broker.start()


def test_rights_that_are_missing_are_named_topic_by_topic(mosquitto_factory: Brokers, tmp_path: Path) -> None:
    broker = mosquitto_factory()
    access(
        broker,
        "pattern write edgenode/v1/%u/cameras/#",
        "pattern write edgenode/v1/%u/models/#",
        "pattern write edgenode/v1/%u/replies/#",
    )
    mqtt = f'username = "gateway-7"\npassword = "{PASSWORD}"'
    code, found, output = doctor(configuration(tmp_path, broker.port, mqtt), "--part", "broker")
    assert code == 1
    refused = {finding["subject"] for finding in found["broker"] if "may not publish" in finding["text"]}
    assert refused == {
        "edgenode/v1/gateway-7/events/_doctor/probe",
        "edgenode/v1/gateway-7/commands/_doctor/probe",
    }
    assert PASSWORD not in output


def test_commands_that_cannot_be_read_are_told(mosquitto_factory: Brokers, tmp_path: Path) -> None:
    """Mosquitto grants every subscription and then delivers nothing: only a message there and back shows it."""
    broker = mosquitto_factory()
    access(broker, "pattern write edgenode/v1/%u/#")
    mqtt = f'username = "gateway-7"\npassword = "{PASSWORD}"'
    code, found, _ = doctor(configuration(tmp_path, broker.port, mqtt), "--part", "broker")
    assert code == 1
    assert "did not come back" in found["broker"][0]["text"]
    assert "read its commands" in found["broker"][0]["advice"]


def test_a_wrong_password_is_told_and_no_password_is_printed(
    mosquitto_factory: Brokers, tmp_path: Path
) -> None:
    broker = mosquitto_factory()
    access(broker, "pattern readwrite edgenode/v1/%u/#")
    secret = tmp_path / "password"
    secret.write_text("quite the wrong one\n")
    mqtt = f'username = "gateway-7"\npassword_file = "{secret}"'
    code, found, output = doctor(configuration(tmp_path, broker.port, mqtt), "--part", "broker")
    assert code == 1
    assert any("check" in finding["text"] and finding["level"] == "problem" for finding in found["broker"])
    assert "wrong one" not in output


def test_the_shipped_gateway_broker_is_well_over_tls_with_certificates(
    mosquitto_factory: Brokers, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "certs")
    folder = authority.folder
    authority.run("server", "localhost", "127.0.0.1", DAYS="2")
    for name in ("gateway-7", "gateway-8"):
        authority.run("node", name, DAYS="2")
    for ending in ("crt", "key"):
        (folder / f"server-localhost.{ending}").rename(folder / f"server.{ending}")
    broker = mosquitto_factory()
    broker.start(gateway(broker, folder))

    def mqtt(name: str) -> str:
        return "\n".join(
            f'{key} = "{folder / file}"'
            for key, file in {
                "ca_file": "ca.crt",
                "cert_file": f"{name}.crt",
                "key_file": f"{name}.key",
            }.items()
        )

    code, found, _ = doctor(configuration(tmp_path, broker.port, mqtt("gateway-7")), "--part", "broker")
    assert code == 0, found
    texts = [finding["text"] for finding in found["broker"]]
    assert any(text.startswith("TLSv1.") for text in texts)
    assert sum("certificate ends on" in text for text in texts) == 2, "both end in two days"
    assert any("there and back" in text for text in texts)

    code, found, _ = doctor(configuration(tmp_path, broker.port, mqtt("gateway-8")), "--part", "broker")
    assert code == 1
    assert any("common name is 'gateway-8'" in finding["text"] for finding in found["broker"])

    alone = mqtt("gateway-7").splitlines()[0]
    code, found, _ = doctor(configuration(tmp_path, broker.port, alone), "--part", "broker")
    assert code == 1


@pytest.mark.slow
def test_a_broker_that_is_not_there_and_one_that_is_silent(black_hole: BlackHole, tmp_path: Path) -> None:
    code, found, _ = doctor(configuration(tmp_path, free_port()), "--part", "broker")
    assert (code, found["broker"][0]["level"]) == (1, "problem")
    config = configuration(tmp_path, black_hole.port, 'protocol = "3.1.1"')
    code, found, _ = doctor(config, "--part", "broker")
    assert code == 1
    assert "does not answer" in found["broker"][0]["text"]


def test_cameras_are_opened_side_by_side_and_measured(
    rtsp_camera: StartRtsp, black_hole: BlackHole, tmp_path: Path
) -> None:
    good = rtsp_camera(numbered_clip(tmp_path / "clip.mp4", 250, 25, gop=10), "--loop")
    make_model(tmp_path / "tiny.onnx")
    cameras = {
        "good": f"rtsp://admin:hunter2-secret@127.0.0.1:{good.port}/cam",
        "gone": f"rtsp://admin:hunter2-secret@127.0.0.1:{free_port()}/cam",
        "silent": f"rtsp://127.0.0.1:{black_hole.port}/cam",
        "path": f"rtsp://127.0.0.1:{good.port}/nothing",
    }
    rest = '[models.tiny]\nfile = "tiny.onnx"\n' + "".join(
        f'[[cameras]]\nname = "{name}"\nsource = "{source}"\nopen_timeout = "2s"\n'
        for name, source in cameras.items()
    )
    config = configuration(tmp_path, free_port(), rest=rest)
    code, found, output = doctor(config, "--part", "camera", "--seconds", "2")
    assert code == 1
    told = {finding["subject"]: finding for finding in reversed(found["camera"])}
    facts = told["good"]["facts"]
    assert told["good"]["level"] == "ok"
    assert (facts["codec"], facts["width"], facts["height"]) == ("h264", 320, 180)
    assert facts["fps"] == pytest.approx(25.0, rel=0.2)
    assert facts["keyframe_interval_s"] == pytest.approx(0.4, abs=0.1)
    assert facts["decode_ms_per_frame"] > 0.0
    assert facts["prepare_ms_per_picture"] > 0.0
    assert 0.0 < facts["share_of_core"] < 1.0
    assert facts["share_of_core_for_models"] > 0.0
    assert [told[name]["level"] for name in ("gone", "silent", "path")] == ["problem"] * 3
    assert "did not answer within 2 s" in told["silent"]["text"]
    assert "(404)" in told["path"]["text"]
    assert found["load"][0]["facts"]["cores_needed"] > 0.0
    assert "hunter2" not in output


@pytest.mark.slow
def test_key_frames_that_come_too_seldom_are_told(rtsp_camera: StartRtsp, tmp_path: Path) -> None:
    server = rtsp_camera(numbered_clip(tmp_path / "clip.mp4", 250, 25, gop=250), "--loop")
    make_model(tmp_path / "tiny.onnx")
    rest = (
        '[models.tiny]\nfile = "tiny.onnx"\n'
        f'[[cameras]]\nname = "line"\nsource = "{server.url}"\ndecode = "keyframes"\nfps = 5\n'
    )
    _, found, _ = doctor(
        configuration(tmp_path, free_port(), rest=rest), "--part", "camera", "--seconds", "1"
    )
    warned = [finding["text"] for finding in found["camera"] if finding["level"] == "warning"]
    assert any("gives fewer frames than fps = 5" in text for text in warned)


def test_a_whole_examination_writes_a_table_and_changes_nothing(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    make_model(tmp_path / "tiny.onnx")
    (tmp_path / "state").mkdir(mode=0o700)
    rest = '[models.tiny]\nfile = "tiny.onnx"\n[[cameras]]\nname = "line"\nsource = "synthetic:line"\n'
    config = configuration(tmp_path, mosquitto_broker.port, rest=rest)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "mosquitto" not in str(path)}
    done = CliRunner().invoke(main, ["doctor", "--config", str(config), "--seconds", "1"])
    assert done.exit_code == 0, done.output
    for part in ("config", "disk", "broker", "model", "camera", "load", "clock", "port", "limits"):
        assert f"\n{part} " in f"\n{done.output}"
    left = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "mosquitto" not in str(path)}
    assert left.keys() == before.keys()


def test_a_running_node_is_noticed_and_not_disturbed(
    mosquitto_broker: MosquittoBroker, tmp_path: Path
) -> None:
    make_model(tmp_path / "tiny.onnx")
    port = free_port()
    rest = '[models.tiny]\nfile = "tiny.onnx"\n[[cameras]]\nname = "line"\nsource = "synthetic:line"\n'
    config = configuration(tmp_path, mosquitto_broker.port, rest=rest)
    config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    with Daemon(config) as node:
        node.wait_for_text("camera line is online")
        eventually(lambda: "gateway-7" in mosquitto_broker.log, "a connected node")
        code, found, _ = doctor(config, "--part", "config", "--part", "port", "--part", "broker")
        assert code == 0, found
        assert f"process {node.process.pid}" in found["config"][-1]["text"]
        assert found["port"][0]["text"] == "this node listens there now"
        assert mosquitto_broker.log.count("as gateway-7 ") == 1, "the node's connection was not taken over"


def test_a_configuration_that_cannot_work_is_78(tmp_path: Path) -> None:
    config = configuration(tmp_path, 1883, rest='[[cameras]]\nname = "line"\nsource = "synthetic:nothing"\n')
    code, _, output = doctor(config)
    assert code == 78
    assert "synthetic:nothing" in output
    assert doctor(tmp_path / "none.toml")[0] == 78


def test_an_unknown_part_is_an_error_that_names_the_parts(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["doctor", str(configuration(tmp_path, 1883)), "--part", "brokr"])
    assert done.exit_code == 2
    assert "broker" in done.output


def test_a_credential_of_systemd_is_no_mistake_of_the_configuration(tmp_path: Path) -> None:
    """`edgenode check` runs outside the service, where systemd's credentials are not to be seen."""
    assert "CREDENTIALS_DIRECTORY" not in os.environ
    mqtt = 'username = "gateway-7"\npassword_file = "/run/credentials/edgenode.service/mqtt"'
    config = configuration(tmp_path, free_port(), mqtt)
    done = CliRunner().invoke(main, ["check", "--config", str(config)])
    assert done.exit_code == 0, done.output
    code, found, _ = doctor(config, "--part", "broker")
    assert code == 1
    assert "LoadCredential=mqtt:/etc/edgenode/mqtt-password" in found["broker"][0]["advice"]
