"""The commands in the documents, run: on a stage with a broker, a camera, models, pictures and a running node.

Each line that stands alone in a document is typed as it is, but for addresses and times that only a plant has.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from edgenode.capture.scenes import scene_named
from edgenode.cli import main as edgenode
from edgenode.inference.store import ModelStore
from tests.clips import write_clip
from tests.models import file_sha256, make_model
from tests.profiles import ENVIRONMENT
from tests.servers.mosquitto import MosquittoBroker
from tests.servers.rtsp_server import RtspServer
from tests.system.daemon import Daemon, eventually
from tests.system.listener import Listener
from tests.system.pages.command import PageCommand
from tests.unit.documents.test_commands import ROOT, Line, lines

MODELS = ROOT / "edgenode/demo/models"
EXAMPLES = ROOT / "docs/examples"
REPLACED = {
    "rtsp://10.0.0.5/stream": "{camera}",
    "2m": "3s", "10m": "2s", "5m": "25s", "30m": "25s",
    "/etc/edgenode/edgenode.toml": "edgenode.toml",
    "2026-01-31T12:00:00Z": "1h",
    "3f9a1c": "{hashed}",
}  # fmt: skip
"""What only a plant has, and what would take long."""
ADDED = {
    "edgenode tune": ["--rounds", "1", "--batches", "1,2"],
    "edgenode replay": ["--until", "25"],
    "edgenode doctor": ["--seconds", "1"],
    "edgenode-trainer fit": ["--arch", "classic", "--size", "24", "--epochs", "4"],
}
EXPECTED = {
    "edgenode-trainer compare": {0, 1},  # 1: the newer one is worse
}
CONFIGURATION = """
[node]
name = "gateway-7"
state_dir = "{folder}/state"
[mqtt]
host = "127.0.0.1"
port = {port}
[http]
listen = "127.0.0.1:0"
[models.parts]
file = "parts.onnx"
[models.signal_light]
file = "signal_light.onnx"
[[cameras]]
name = "line_1"
source = "{camera}"
  [[cameras.regions]]
  name = "belt"
  model = "parts"
  box = {box}
[[cameras]]
name = "crossing"
source = "synthetic:junction?fps=10"
  [[cameras.regions]]
  name = "signal"
  model = "signal_light"
  box = [0.4969, 0.0167, 0.6031, 0.3722]
[[rules]]
name = "red_light"
when = 'crossing.signal == "red"'
"""


class Stage:
    """A folder in which every document's line finds what it names."""

    def __init__(self, folder: Path, broker: MosquittoBroker, camera: RtspServer) -> None:
        self.folder, self.broker, self.camera = folder, broker, camera
        box = [round(edge, 4) for edge in scene_named("line").regions["belt"].box]
        for name in ("signal_light", "stop_line"):
            shutil.copy(MODELS / f"{name}.onnx", folder)
        shutil.copy(MODELS / "line_parts.onnx", folder / "parts.onnx")
        (folder / "edgenode.toml").write_text(
            CONFIGURATION.format(folder=folder, port=broker.port, camera=camera.url, box=box)
        )
        self._guide()
        red = (EXAMPLES / "red_light.toml").read_text()
        chained = f'{red}\n[node]\nstate_dir = "{folder}/red"\n[outbox]\nchain = true\n'
        (folder / "red_light.toml").write_text(chained)
        (folder / "other.toml").write_text(chained.replace("200ms", "400ms"))
        (folder / "truth.csv").write_text(
            "clip,region,label,start_s,end_s\nsynthetic:junction?seed=3&fps=10,signal,red,3.0,9.0\n"
        )
        for version in ("2", "3", "3c", "4"):
            make_model(
                folder / f"defects-{version}.onnx", ("left", "right"), 24, 24, name="defects", version=version
            )
        (folder / "pictures").mkdir()

    def _guide(self) -> None:
        """The configuration of docs/own-camera.md, with the broker and camera of this stage."""
        text = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/own-camera.md").read_text(), re.DOTALL)[0]
        text = text.replace('"embedded"\nport = 1883', f'"127.0.0.1"\nport = {self.broker.port}')
        text = text.replace("rtsp://10.0.0.5/stream", self.camera.url)
        (self.folder / "my.toml").write_text(text + '\n[http]\nlisten = "127.0.0.1:0"\n')

    def run_for_a_moment(self) -> None:
        """So that there is a state directory of a stopped node."""
        if not (self.folder / "state/outbox/outbox.db").exists():
            with Daemon(self.folder / "edgenode.toml") as node:
                node.wait_for_text("running: ")
                node.process.send_signal(signal.SIGTERM)
                assert node.process.wait(30) == 0

    def words(self, line: Line) -> list[str]:
        found = shlex.split(line.arguments, comments=True)
        hashed = file_sha256(self.folder / "defects-3.onnx")[:6]
        found = [REPLACED.get(word, word).format(camera=self.camera.url, hashed=hashed) for word in found]
        for start, more in ADDED.items():
            if f"{line.program} {line.arguments}".startswith(start):
                found += [*more]
        return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    scene = scene_named("line", 3)
    write_clip(folder / "clip.mp4", (scene.draw(n / 15) for n in range(150)), 15, 15)
    camera = RtspServer(folder / "clip.mp4", "--loop")
    try:
        camera.start()
    except FileNotFoundError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    broker = MosquittoBroker(folder / "broker")
    broker.start()
    try:
        yield Stage(folder, broker, camera)
    finally:
        camera.kill()
        broker.kill()


@pytest.fixture
def here(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.chdir(stage.folder)
    monkeypatch.setenv("EDGENODE_CONFIG", str(stage.folder / "edgenode.toml"))
    return stage


def expected(line: Line) -> set[int]:
    whole = f"{line.program} {line.arguments}"
    return next((codes for start, codes in EXPECTED.items() if whole.startswith(start)), {0})


def unique(program: str) -> list[Line]:
    """Every line once that is typed as a whole, in the documents' order."""
    found = {line.arguments.split("#")[0].strip(): line for line in lines() if line.whole}
    return [line for line in found.values() if line.program == program]


NEED_THE_NODE = ("explain --rule", "run --config")
NEED_A_PERSON = ("label ", "regions ")
ELSEWHERE = {
    "verify-stream": "tests/system/delivery/test_verify_stream.py",
    "energy calibrate": "tests/unit/test_tuning.py",
}
"""Commands that need a broker, or a machine, of their own, and where they are run."""
SECONDS = ("doctor", "replay", "verify", "tune", "outbox", "explain --config", "energy")
PREPARED = {
    "model rollback": [
        ["install", "defects-2.onnx", "--activate"],
        ["install", "defects-3.onnx", "--activate", "--force"],
    ],
    "model shadow": [["install", "defects-2.onnx", "--activate"], ["install", "defects-3.onnx"]],
    "model activate": [["install", "defects-3.onnx"]],
    "model release": [["install", "defects-3.onnx"]],
}  # fmt: skip
"""What has to have been done before."""
WITHOUT_PICTURES = "verify events.jsonl --pictures pictures"
"""Run without them: a replay takes none. `test_evidence_chain.py` has pictures."""


def runnable() -> list[Any]:
    """The lines of `edgenode` that need no node; those that take seconds belong to the long tests."""
    found = [
        line
        for line in unique("edgenode")
        if not line.arguments.startswith((*NEED_THE_NODE, *NEED_A_PERSON, *ELSEWHERE))
    ]
    marks = [[pytest.mark.slow] if line.arguments.startswith(SECONDS) else [] for line in found]
    return [pytest.param(line, marks=mark, id=str(line)) for line, mark in zip(found, marks, strict=True)]


@pytest.mark.parametrize("line", runnable())
def test_a_line_of_the_documents_runs(here: Stage, line: Line) -> None:
    if line.arguments.startswith("model "):
        shutil.rmtree(here.folder / "state/models/defects", ignore_errors=True)
    steps = next((done for start, done in PREPARED.items() if line.arguments.startswith(start)), [])
    for step in steps:
        done = CliRunner().invoke(edgenode, ["model", *step])
        assert done.exit_code == 0, done.output
    if line.arguments.startswith("model release"):
        bad = file_sha256(here.folder / "defects-3.onnx")
        ModelStore(here.folder / "state").quarantine("defects", bad, "answered with NaN")
    if line.arguments == WITHOUT_PICTURES:
        made = ["replay", "--config", "red_light.toml", "--until", "60", "--out", "events.jsonl"]
        assert CliRunner().invoke(edgenode, made).exit_code == 0
    if line.arguments.startswith("outbox"):
        here.run_for_a_moment()
    words = here.words(line)
    if line.arguments == WITHOUT_PICTURES:
        words = words[:2]
    done = CliRunner().invoke(edgenode, words)
    assert done.exit_code in expected(line), done.output + repr(done.exception)


def test_what_serves_a_page_to_a_person_prints_its_link(here: Stage) -> None:
    unlabelled = here.folder / "pictures" / "_unlabelled"
    unlabelled.mkdir(exist_ok=True)
    cv2.imwrite(str(unlabelled / "1.png"), np.zeros((24, 24, 3), np.uint8))
    kept = here.folder / "state" / "collected" / "2026-01-31"
    kept.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(kept / "1.png"), np.zeros((24, 24, 3), np.uint8))
    serving = [line for line in unique("edgenode") if line.arguments.startswith(NEED_A_PERSON)]
    assert len(serving) >= 3
    for line in serving:
        words = [word.replace("/var/lib/edgenode", str(here.folder / "state")) for word in here.words(line)]
        with ExitStack() as stack:
            command = PageCommand(stack, here.folder, *words)
            assert "127.0.0.1" in command.link
            command.end()
            assert command.process.returncode == 0


def test_what_is_run_elsewhere_is_run_there() -> None:
    for command, place in ELSEWHERE.items():
        words = command.split()
        assert all(word in (ROOT / place).read_text(encoding="utf-8") for word in words)


def test_what_asks_or_is_a_running_node_runs(here: Stage) -> None:
    """`run`, `explain` and Mosquitto's own two programs."""
    port = str(here.broker.port)
    asking = [line for line in unique("edgenode") if line.arguments.startswith("explain --rule")]
    assert len(asking) == 2
    with (
        Listener(here.broker.port, "edgenode/v1/gateway-7") as listener,
        Daemon(here.folder / "edgenode.toml") as node,
    ):
        node.wait_for_text("camera line_1 is online")
        node.wait_for_text("camera crossing is online")
        for line in asking:
            done = CliRunner().invoke(edgenode, shlex.split(line.arguments, comments=True))
            assert done.exit_code == 0, done.output
            assert "red_light" in done.output
        page = (ROOT / "docs/topics.md").read_text()
        publish = shlex.split(re.findall(r"^    (mosquitto_pub .*)$", page, re.MULTILINE)[0])
        subprocess.run([publish[0], "-p", port, *publish[1:]], check=True, timeout=60)
        eventually(lambda: listener.of("cameras/line_1/snapshot"), "the picture that was asked for")
        for name in ("README.md", "docs/own-camera.md"):
            (ask, *_) = re.findall(r"^    (mosquitto_sub .*)$", (ROOT / name).read_text(), re.MULTILINE)
            words = shlex.split(ask)
            heard = subprocess.run(
                [words[0], "-p", port, "-C", "3", "-W", "30", *words[1:]],
                capture_output=True,
                timeout=60,
                check=True,
            )
            assert b"edgenode/v1/gateway-7/" in heard.stdout
    (run,) = [line for line in unique("edgenode") if line.arguments.startswith("run --config")]
    with Daemon(here.folder / run.arguments.split()[-1]) as node:
        node.wait_for_text("camera line_1 is online")
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(30) == 0


def foreign_model(path: Path) -> None:
    """What others export: float pictures in, two scores out."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["scores"], transB=1),
        ],
        "foreign",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 24, 24])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 2])],
        [
            numpy_helper.from_array(np.array([[1, 0, 0], [0, 0, 1]], dtype=np.float32), "weight"),
            numpy_helper.from_array(np.zeros(2, dtype=np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_trainers_lines_run_one_after_the_other(here: Stage) -> None:
    rng = np.random.default_rng(0)
    for folder in ("pictures", "another_day", "labelled"):
        for label, (top, left) in {"left": (8, 2), "right": (8, 16)}.items():
            (here.folder / folder / label).mkdir(parents=True, exist_ok=True)
            for number in range(24):
                coarse = rng.integers(0, 130, (6, 6), dtype=np.uint8)
                image = cv2.cvtColor(
                    cv2.resize(coarse, (24, 24), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR
                )
                image[top : top + 7, left : left + 7] = 220
                cv2.imwrite(str(here.folder / folder / label / f"{number}.png"), image)
    (here.folder / "labels.csv").write_text("clip,region,label,start_s,end_s\nclip.mp4,belt,left,0.0,5.0\n")
    (here.folder / "labels.txt").write_text("left\nright\n")
    foreign_model(here.folder / "resnet.onnx")
    for line in unique("edgenode-trainer"):
        words = here.words(line)
        if words[0] == "collect":
            words[words.index("--out") + 1] = "collected"
        done = subprocess.run(
            [sys.executable, "-c", "from trainer.cli import main; main()", *words],
            cwd=here.folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode in expected(line), f"{line}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
