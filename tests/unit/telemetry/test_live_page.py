"""The live page's files as the node serves them, and that they are what their sources build to."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenode.clock import ManualClock
from edgenode.telemetry import live_page
from edgenode.telemetry.health import Health
from edgenode.telemetry.http import HttpServer
from edgenode.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
SOURCES = ROOT / "deploy" / "dashboard"
BUILT = Path(live_page.__file__).parent / "live"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    server = HttpServer(("127.0.0.1", 0), Metrics(), Health(ManualClock()), lambda: {"node": "gateway-7"})
    server.start()
    yield server
    assert server.stop(60.0)


def ask(server: HttpServer, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    try:
        connection.request(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "content_type", "cache"),
    [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/app.js", "text/javascript; charset=utf-8", "private, max-age=31536000, immutable"),
        ("/app.css", "text/css; charset=utf-8", "private, max-age=31536000, immutable"),
        ("/icon.svg", "image/svg+xml", "private, max-age=86400"),
        ("/LICENSES.txt", "text/plain; charset=utf-8", "no-cache"),
    ],
)
def test_each_file_has_its_type_and_how_long_it_may_be_kept(
    server: HttpServer, path: str, content_type: str, cache: str
) -> None:
    response, body = ask(server, f"{path}?v=1")
    assert (response.status, response.headers["Content-Type"]) == (200, content_type)
    assert response.headers.get_all("Cache-Control") == [cache]
    assert body == (BUILT / (path.strip("/") or "index.html")).read_bytes()
    packed, small = ask(server, path, Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small) == body


def test_the_policy_lets_the_page_run_its_own_script_and_nothing_else(server: HttpServer) -> None:
    policy = dict(
        part.split(" ", 1) for part in ask(server, "/")[0].headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"]) == ("'self'", "'self'")
    assert policy["frame-ancestors"] == "'none'"
    # the metrics are no page: nothing runs there
    assert "script-src" not in ask(server, "/metrics")[0].headers["Content-Security-Policy"]


def test_the_page_names_its_script_and_style_by_their_hashes_and_nothing_from_elsewhere() -> None:
    page = (BUILT / "index.html").read_text()
    for name in ("app.js", "app.css"):
        mark = hashlib.sha256((BUILT / name).read_bytes()).hexdigest()[:12]
        assert f'"{name}?v={mark}"' in page
    assert re.findall(r'(?:src|href)="(?:https?:)?//', page) == []


def test_the_libraries_licences_come_along() -> None:
    notice = (BUILT / "LICENSES.txt").read_text()
    for name in ("mqtt 5.", "mqtt-packet ", "readable-stream ", "buffer ", "lru-cache "):
        assert re.search(rf"^{re.escape(name)}", notice, re.MULTILINE), name
    assert notice.count("Permission") >= 10


def test_the_built_page_belongs_to_these_sources() -> None:
    """After a change: `make live-page`."""
    known = dict(reversed(line.split("  ")) for line in (BUILT / "SOURCES.sha256").read_text().splitlines())
    now = {
        str(path.relative_to(SOURCES)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in SOURCES.rglob("*")
        if path.is_file() and "node_modules" not in path.relative_to(SOURCES).parts
    }
    assert known == now


@pytest.mark.slow
def test_the_built_page_is_what_its_sources_build_to(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    copy = tmp_path / "dashboard"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("node_modules"))
    for command in (["npm", "ci", "--no-audit", "--no-fund"], ["npx", "tsc", "--noEmit"]):
        subprocess.run(command, cwd=copy, check=True, capture_output=True, timeout=240)
    subprocess.run(["node", "build.mjs", str(tmp_path / "live")], cwd=copy, check=True, timeout=60)
    for path in BUILT.iterdir():
        assert (tmp_path / "live" / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_guide_names_what_the_address_may_say_and_the_policy_that_is_served() -> None:
    guide = (ROOT / "docs" / "dashboard.md").read_text()
    options = (SOURCES / "src" / "options.ts").read_text()
    listed = re.search(r"const FIELDS = \[(.*)\]", options)
    assert listed is not None
    known = {*re.findall(r'"(\w+)"', listed.group(1)), *re.findall(r'asked\.get\("(\w+)"\)', options)}
    assert set(re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE)) == known
    told = re.search(r"Content-Security-Policy: (.*)", guide)
    assert told is not None
    page = re.search(r'Content-Security-Policy" content="([^"]*)"', (BUILT / "index.html").read_text())
    assert page is not None
    assert set(told.group(1).split("; ")) == set(live_page.POLICY.split("; "))
    assert set(page.group(1).split("; ")) == set(live_page.POLICY.split("; ")) - {"frame-ancestors 'none'"}
