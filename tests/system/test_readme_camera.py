"""The README's way from a camera's address to states on a broker: its commands counted, and done as it says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edgenode.capture.scenes import scene_named
from tests.clips import write_clip
from tests.servers.mosquitto import MosquittoBroker, free_port
from tests.system.daemon import REPOSITORY, Daemon

ALLOWED = 5
MODEL = "/usr/share/edgenode/models/line_parts.onnx"


def commands() -> list[str]:
    """The lines of the README's section that are typed."""
    page = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = page.split("## Your own camera")[1].split("\n## ")[0]
    return re.findall(r"^    (\S.*)$", section, re.MULTILINE)


def edited(default: str, camera: str, port: int, folder: Path) -> str:
    """What the page tells a person to do with the package's file, and what a test must put elsewhere."""
    text = re.sub(
        r"^# ?(?=$|file|\[|name = \"(?:line_1|belt|part)|source|fps|box|when|for|snapshot)",
        "",
        default,
        flags=re.MULTILINE,
    )
    text = text.replace("rtsp://10.0.0.5/stream", camera)
    text = text.replace(MODEL, str(REPOSITORY / "edgenode/demo/models/line_parts.onnx"))
    text = text.replace('host = "localhost"', f'host = "127.0.0.1"\nport = {port}')
    text = text.replace("[node]\n", f'[node]\nname = "gateway-7"\nstate_dir = "{folder}/state"\n', 1)
    return f'{text}\n[http]\nlisten = "127.0.0.1:{free_port()}"\n'


def test_an_own_camera_is_on_the_broker_after_few_commands(
    tmp_path: Path, mosquitto_broker: MosquittoBroker, rtsp_server: Callable[..., str]
) -> None:
    typed = commands()
    assert len(typed) <= ALLOWED
    install, edit, doctor, start, listen = (command.split() for command in typed)
    assert (install[:2], edit[0], start[:3]) == (
        ["apt", "install"],
        "editor",
        ["systemctl", "enable", "--now"],
    )
    assert edit[1] == "/etc/edgenode/edgenode.toml"

    scene = scene_named("line", 3)
    write_clip(tmp_path / "line.mp4", (scene.draw(number / 10) for number in range(60)), 10, 10)
    config = tmp_path / "edgenode.toml"
    default = (REPOSITORY / "deploy/debian/edgenode.toml").read_text(encoding="utf-8")
    config.write_text(edited(default, rtsp_server(tmp_path / "line.mp4"), mosquitto_broker.port, tmp_path))
    checked = subprocess.run(
        [sys.executable, "-m", *doctor, "--config", str(config), "--seconds", "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with Daemon(config) as node:
        node.wait_until_ready()
        heard = subprocess.run(
            [
                listen[0],
                "-p",
                str(mosquitto_broker.port),
                "-C",
                "12",
                "-W",
                "20",
                *(word.strip("'") for word in listen[1:]),
            ],
            capture_output=True,
            text=True,
            errors="replace",  # pictures of events are among it
            timeout=60,
        ).stdout
    state = re.search(r'^\S+/cameras/line_1/regions/belt/state {.*"label":"(\w+)"', heard, re.MULTILINE)
    assert state is not None, heard
    assert state.group(1) in {"empty", "good", "defect", "unknown", "invalid"}
