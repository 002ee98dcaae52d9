"""Run inside the namespace: a broker, a camera, and the node under strace, for a while. Prints what its ports were.

`python -m tests.system.isolation.run_node FOLDER`. Ends with 0 when the node did all that it was asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.pictures_made import encoded
from tests.servers.http_camera import Behaviour, HttpCamera
from tests.servers.mosquitto import MosquittoBroker
from tests.system.daemon import REPOSITORY, eventually
from tests.system.isolation.trace import traced
from tests.system.listener import Listener
from tests.system.plant import ROOT, Plant, flat


def main(folder: Path) -> None:
    broker = MosquittoBroker(folder / "broker")
    broker.start()
    pictures = [encoded(flat(value), ".jpg") for value in (20, 235)]
    with HttpCamera(Behaviour(pictures, fps=5.0)) as camera:
        plant = Plant(folder, broker.port)
        plant.sections["mqtt"]["home_assistant"] = True
        plant.camera("line_1", plant.clip(("dark", 0.4), ("bright", 0.4)), loop=True, fps=10)
        plant.camera("web", camera.url("stream"), fps=5)
        plant.rule("lit", 'line_1.frame == "bright"', snapshot=True)
        home = folder / "home"
        home.mkdir()
        command = [sys.executable, "-m", "edgenode", "run", "--config", str(plant.write())]
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(REPOSITORY),
            # the package's modules are compiled when it is installed
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        (folder / "tmp").mkdir()
        with Listener(broker.port, ROOT) as listener, (folder / "node.log").open("wb") as log:
            node = subprocess.Popen(
                traced(command, folder / "strace.log"), cwd=folder, env=environment, stdout=log, stderr=log
            )
            try:
                listener.wait_events("lit", 2)
                listener.wait_last("cameras/web/state", lambda state: state["state"] == "online")
                assert listener.ask("snapshot", camera="line_1", draw=True)["status"] == "ok"
                assert listener.ask("explain", rule="lit")["status"] == "ok"
                for path in ("/metrics", "/status.json"):
                    with urllib.request.urlopen(
                        f"http://127.0.0.1:{plant.http_port}{path}", timeout=20
                    ) as answer:
                        assert answer.read()
                assert listener.ask("reload")["status"] == "ok"
                eventually(
                    lambda: "configuration reloaded" in (folder / "node.log").read_text(errors="replace"),
                    "the reload",
                )
            finally:
                # strace itself takes no notice of signals; it ends with what it traces
                children = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
                for child in children:
                    os.kill(int(child), signal.SIGTERM)
                assert node.wait(60) == 0
    broker.kill()
    (folder / "ports.json").write_text(
        json.dumps({"broker": broker.port, "camera": camera.port, "http": plant.http_port})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
