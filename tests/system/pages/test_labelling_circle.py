"""The whole circle: a node keeps what its model does not know, a person labels it, the next model serves."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Page, expect

from edgenode.inference.onnx_file import file_sha256
from tests.clips import write_clip
from tests.profiles import fit, run
from tests.servers.mosquitto import free_port
from tests.system.daemon import PATIENCE_S, eventually
from tests.system.pages.command import PageCommand
from tests.system.pages.pictures import drawn
from tests.system.plant import Plant, StartNode

KEYS = {"ok": "1", "defect": "2"}
WANTED = 14
"""Pictures of each kind before the person sits down."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def truth(picture: Path) -> str:
    """What the drawn part is: rust is red, everything else is grey."""
    pixels = cv2.imread(str(picture), cv2.IMREAD_COLOR_RGB).astype(int)
    return "defect" if (pixels[..., 0] - pixels[..., 2] > 80).mean() > 0.1 else "ok"


def kept(state_dir: Path) -> dict[str, str]:
    """File name on the labelling page to what it shows."""
    folder = state_dir / "collected"
    return {
        str(path.relative_to(folder)).replace("/", "_"): truth(path)
        for path in sorted(folder.rglob("*/[0-9]*.png"))
    }


def install(file: Path, config: Path) -> None:
    run(sys.executable, "-m", "edgenode", "model", "install", file, "--config", config, "--activate")


@pytest.mark.slow
def test_what_a_node_kept_is_labelled_taught_installed_and_served(
    page: Page, plant: Plant, start: StartNode, stack: ExitStack
) -> None:
    state_dir = plant.folder / "state"
    # parts of one kind for a second, then of the other; no two lie alike
    scene = [drawn(number, defect=False, rusty=number // 8 % 2 == 1) for number in range(96)]
    write_clip(plant.folder / "parts.mp4", scene, 8, gop=8)
    smoothing = {"window": "300ms"}
    plant.camera("line_1", "parts.mp4", fps=8, loop=True, regions=[{"name": "belt", "smoothing": smoothing}])
    rule = {"name": "hard", "margin": 0.9, "pause": "50ms", "per_label": 300}
    plant.sections["collect"] = {"max_pictures": 300, "rules": [rule]}
    with plant.node() as first:
        first.wait_until_ready()
        eventually(
            lambda: (
                state_dir.joinpath("collected").exists()
                and min((Counter(kept(state_dir).values())[kind] for kind in KEYS), default=0) >= WANTED
            ),
            f"{WANTED} pictures of each kind are kept",
            4 * PATIENCE_S,
        )
        assert first.metric("edgenode_collect_kept_total", rule="hard", why="low_margin") >= 2 * WANTED
        assert first.metric("edgenode_collect_pictures") <= 300
        assert first.stop() == 0

    shows = kept(state_dir)
    command = PageCommand(stack, plant.folder, "label", "state", "--labels", "ok,defect", "--out", "belt")
    page.goto(command.link)
    for number in range(len(shows)):
        expect(page.locator("#count")).to_contain_text(f"{number} of {len(shows)} answered")
        name = page.locator("#facts dd").last.text_content() or ""
        page.keyboard.press(KEYS[shows[name]])
    expect(page.locator("#done")).to_be_visible()
    assert "--out model.onnx" in command.end(signal.SIGINT)

    model = fit(plant.folder / "belt", plant.folder / "belt.onnx", 20)
    install(model, plant.config)
    plant.sections["models.tiny"] = {"file": "belt"}
    plant.sections["http"] = {"listen": f"127.0.0.1:{free_port()}"}
    del plant.sections["collect"]
    with plant.listener() as listener, plant.node() as second:
        second.wait_until_ready()
        assert second.metric("edgenode_model_info", sha256=file_sha256(model)) == 1
        for label in KEYS:
            listener.wait(
                "cameras/line_1/regions/belt/state", lambda state, label=label: state["label"] == label
            )
