"""Canaries: every kind of secret, in a real node, looked for in everything it says and writes.

All begin with `c4nary`, which no encoding changes and no output may hold.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.certificates import Authority
from tests.servers.http_camera import Behaviour, HttpCamera
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.system.daemon import REPOSITORY, Daemon, eventually
from tests.system.listener import Listener
from tests.system.plant import NODE, ROOT, Plant, StartNode

MQTT_PASSWORD = "c4nary-mqtt/pass word"
HTTP_TOKEN = "c4nary-http-token-0123456789abcdef"
RTSP_PASSWORD = "c4nary%2Frtsp"
WEB_PASSWORD = "c4nary-web"
QUERY_SECRET = "c4nary-query"
CAMERA_USER = "c4nary-user"
KEY_PATH = "k3y-folder"
DOCTOR = ("doctor", "--json", "--seconds", "1", "--part", "camera", "--part", "broker")


@pytest.fixture
def broker(mosquitto_factory: Callable[..., MosquittoBroker], tmp_path: Path) -> MosquittoBroker:
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    for user, password in ((NODE, MQTT_PASSWORD), ("listener", "listens")):
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, password], check=True, timeout=60)
    broker = mosquitto_factory("allow_anonymous false", f"password_file {passwords}")
    broker.start()
    return broker


@pytest.fixture
def camera() -> Iterator[HttpCamera]:
    with HttpCamera(Behaviour([b"no picture"], status=401)) as camera:
        yield camera


def secure_plant(tmp_path: Path, broker: MosquittoBroker, camera: HttpCamera) -> Plant:
    plant = Plant(tmp_path, broker.port)
    authority = Authority(tmp_path / KEY_PATH)
    mine = authority.server("localhost", "127.0.0.1")
    for name, text in (("mqtt-password", MQTT_PASSWORD), ("http-token", HTTP_TOKEN)):
        (tmp_path / name).write_text(f"{text}\n")
        (tmp_path / name).chmod(0o600)
    plant.sections["node"] |= {"log_level": "debug"}
    plant.sections["mqtt"] |= {"username": NODE, "password_file": "mqtt-password", "home_assistant": True}
    plant.sections["http"] |= {
        "token_file": "http-token",
        "cert_file": str(mine.cert_file),
        "key_file": str(mine.key_file),
    }
    plant.camera("works", plant.clip(("dark", 0.5), ("bright", 0.5)), loop=True, fps=10)
    closed = free_port()
    for name, source in (
        ("refused", f"rtsp://{CAMERA_USER}:{RTSP_PASSWORD}@127.0.0.1:{closed}/live"),
        ("denied", camera.url("still", f"{CAMERA_USER}:{WEB_PASSWORD}")),
        ("query", camera.url(f"stream?user={CAMERA_USER}&pwd={QUERY_SECRET}")),
        ("nowhere", f"http://{CAMERA_USER}:{WEB_PASSWORD}@host.invalid/stream"),
    ):
        plant.camera(name, source, fps=5, open_timeout="1s")
    plant.rule("lit", 'works.frame == "bright"', snapshot=True)
    return plant


def get(plant: Plant, path: str, token: str = HTTP_TOKEN) -> str:
    context = ssl.create_default_context(cafile=str(plant.folder / KEY_PATH / "ca.crt"))
    request = urllib.request.Request(
        f"https://localhost:{plant.http_port}{path}", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return str(answer.headers) + answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return str(error.headers) + error.read().decode()
    except OSError:
        return ""


def command(plant: Plant, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "edgenode", *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "EDGENODE_CONFIG": str(plant.config)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return f"$ edgenode {' '.join(arguments)}\n{done.stdout}{done.stderr}"


def files_of(folder: Path) -> str:
    return "\n".join(path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file())


def test_no_secret_leaves_the_node(
    tmp_path: Path, broker: MosquittoBroker, camera: HttpCamera, start: StartNode
) -> None:
    plant = secure_plant(tmp_path, broker, camera)
    umask = os.umask(0o022)  # what a node started by hand has; the unit has 0077
    core = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (core[1], core[1]))  # what this process may, its child may
    try:
        with Listener(broker.port, ROOT, "listener", "listens") as listener:
            node = start(plant)
            eventually(
                lambda: "edgenode_build_info" in get(plant, "/metrics"), "the node answers with the token"
            )
            for name in ("refused", "denied", "query", "nowhere"):
                listener.wait_last(
                    f"cameras/{name}/state", lambda state: state["state"] in ("offline", "failed")
                )
            listener.wait_events("lit", 2)
            said: dict[str, str] = {}
            for path in ("/", "/metrics", "/status.json", "/healthz", "/readyz", f"/{QUERY_SECRET}"):
                said[path] = get(plant, path)
            said["a stranger"] = get(plant, "/", "c4nary-wrong-token-0123")
            for verb, arguments in (
                ("snapshot", {"camera": "refused"}), ("explain", {"rule": "lit"}), ("reload", {}),
                ("snapshot", {"camera": "works", "draw": True}), ("camera_disable", {"camera": "denied"}),
            ):  # fmt: skip
                said[f"the reply to {verb}"] = json.dumps(listener.ask(verb, **arguments))
            node.wait_for_text("configuration reloaded")
            said["argv"] = Path(f"/proc/{node.process.pid}/cmdline").read_text()
            plant.sections["node"]["name"] = "No Name"
            plant.write()
            said["check of a wrong file"] = command(plant, "check")
            node.signal(signal.SIGHUP)
            node.wait_for_text("reload refused")
            plant.sections["node"]["name"] = NODE
            plant.write()
            said["check"] = command(plant, "check")
            for name in ("refused", "denied"):
                said[f"snapshot of {name}"] = command(
                    plant, "snapshot", "--camera", name, "--out", "/dev/null"
                )
            said["explain"] = command(plant, "explain", "--rule", "lit")
            for arguments in (("model", "list"), DOCTOR):
                said[" ".join(arguments)] = command(plant, *arguments)
            modes = modes_under(tmp_path / "state")
            crash(node)
            listener.wait_last("state", lambda state: state["state"] == "offline")
            said["MQTT"] = "\n".join(
                f"{each.topic} {each.payload.decode('latin-1')}" for each in listener.everything()
            )
        said["log"] = node.text()
        said["state directory"] = files_of(tmp_path / "state")
    finally:
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_CORE, core)
    assert "Current thread" in said["log"], "the crash left its stacks"
    assert "rtsp://***@127.0.0.1" in said["log"], "what is looked through holds the addresses"
    assert "***@127.0.0.1" in said["/status.json"] + said["MQTT"]
    assert '"ok"' in said["the reply to explain"]
    assert said["a stranger"].endswith("a token is needed\n")
    # a part of one would still hold this
    found = {
        place: [line[:300] for line in text.splitlines() if "c4nary" in line][:3]
        for place, text in said.items()
        if "c4nary" in text
    }
    assert not found, found
    assert [place for place, text in said.items() if KEY_PATH in text] == []
    assert modes == {"files": {0o600}, "folders": {0o700}}


def crash(node: Daemon) -> None:
    """As a fault in a library would end it: faulthandler prints every thread's stack."""
    assert resource.prlimit(node.process.pid, resource.RLIMIT_CORE)[0] == 0
    node.signal(signal.SIGSEGV)
    assert node.process.wait(30.0) == -signal.SIGSEGV
    assert not [path for path in node.config.parent.iterdir() if path.name.startswith("core")]


def modes_under(folder: Path) -> dict[str, set[int]]:
    """But for the models: they are no secrets, and the folder above them lets nobody through."""
    found: dict[str, set[int]] = {"files": set(), "folders": {stat.S_IMODE(folder.stat().st_mode)}}
    for path in folder.rglob("*"):
        if path.relative_to(folder).parts[0] != "models":
            found["folders" if path.is_dir() else "files"].add(stat.S_IMODE(path.stat().st_mode))
    return found


@pytest.mark.parametrize("where", ["main", "thread", "finaliser"])
def test_what_nobody_caught_is_logged_without_its_secrets(where: str) -> None:
    program = f"""
import threading
from edgenode.telemetry.logs import log_uncaught, set_up_logging
set_up_logging("info", "text", ["c4nary-word"])
log_uncaught()
def fail():
    raise OSError("rtsp://c4nary-user:c4nary-pass@10.0.0.5/live with c4nary-word")
class Fails:
    __del__ = lambda self: fail()
if {where!r} == "thread":
    threading.Thread(target=fail).start()
elif {where!r} == "finaliser":
    Fails()
else:
    fail()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=REPOSITORY
    )
    assert "rtsp://***@10.0.0.5/live with ***" in done.stderr
    assert "in fail" in done.stderr
    assert "c4nary" not in done.stderr


def test_a_fault_of_a_command_is_told_without_the_credentials_in_it() -> None:
    program = """
import sys, click
from edgenode.cli import main
@main.command()
def broken():
    raise ZeroDivisionError("rtsp://c4nary-user:c4nary-pass@10.0.0.5/live")
main(["broken"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=REPOSITORY
    )
    assert done.returncode == 70
    assert "ZeroDivisionError: rtsp://***@10.0.0.5/live" in done.stderr
    assert "c4nary-pass" not in done.stderr.replace(
        'raise ZeroDivisionError("rtsp://c4nary-user:c4nary-pass', ""
    )
