"""Loading: what is right comes out as written, and what is wrong is said all at once, with its line."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from edgenode.configuration.file import MAX_FILE_BYTES, LoadedSettings, load
from edgenode.errors import ConfigurationError

HERE = Path(__file__).parent
CANARY = "hunter2-canary"
RIGHT = """\
[node]
name = "gateway-7"

[models.defects]
file = "defects.onnx"

[[cameras]]
name = "line_1"
source = "synthetic:line"

[[cameras]]
name = "line_2"
source = "usb:0"
  [[cameras.regions]]
  name = "belt"
  box = [0.1, 0.2, 0.6, 0.9]
"""


def loaded(tmp_path: Path, text: str = RIGHT, environ: dict[str, str] | None = None) -> LoadedSettings:
    path = tmp_path / "edgenode.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ or {})


def told(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, text, environ)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_a_thoroughly_wrong_configuration_is_told_in_full() -> None:
    environ = {
        "EDGENODE__MQTT__HSOT": CANARY,
        "EDGENODE__MQTT__": CANARY,
        "EDGENODE_MQTT__PORT": "1883",
        "EDGENODE__HTTP__ENABLED": CANARY,
        "EDGENODE__CAMERAS__LINE_9__SOURCE": "usb:1",
        "EDGENODE__CAMERAS__0__MASKS": CANARY,
        "EDGENODE__NODE__NAME__FIRST": "x",
        "EDGENODE_TEST_DATA": "not of the settings",
    }
    with pytest.raises(ConfigurationError) as caught:
        load(HERE / "wrong.toml", environ)
    text = "\n".join(caught.value.problems).replace(f"{HERE}/", "") + "\n"
    golden = HERE / "wrong.txt"
    if os.environ.get("EDGENODE_REWRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert CANARY not in text


def test_defaults_file_and_environment_lie_over_each_other(tmp_path: Path) -> None:
    found = loaded(tmp_path, environ={"EDGENODE__NODE__NAME": "gateway-8", "EDGENODE__MQTT__PORT": "1884"})
    assert found.settings.node.name == "gateway-8"
    assert found.settings.mqtt.port == 1884
    assert found.settings.cameras[1].regions[0].box == (0.1, 0.2, 0.6, 0.9)
    assert found.settings.inference.max_batch == 8


def test_the_process_environment_is_not_read_behind_the_callers_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGENODE__NODE__NAME", "other")
    assert loaded(tmp_path).settings.node.name == "gateway-7"


def test_a_camera_is_changed_by_its_name_or_its_number_from_the_environment(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        environ={
            "EDGENODE__CAMERAS__LINE_1__SOURCE": "rtsp://u:p@10.0.0.5/a",
            "EDGENODE__CAMERAS__1__REGIONS__BELT__SMOOTHING__ENTER": "0.9",
            "EDGENODE__CAMERAS__1__MASKS": "[[[0, 0], [1, 0], [1, 1]]]",
        },
    )
    first, second = found.settings.cameras
    assert first.source == "rtsp://u:p@10.0.0.5/a"
    assert second.regions[0].smoothing.enter == 0.9
    assert second.masks == [[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]]


def test_the_file_is_known_by_its_hash_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "edgenode.toml").write_text(RIGHT)
    found = load(Path("edgenode.toml"), {})
    assert found.sha256 == hashlib.sha256(RIGHT.encode()).hexdigest()
    assert found.base_dir == tmp_path


def test_a_problem_found_later_names_the_line_or_the_variable(tmp_path: Path) -> None:
    found = loaded(tmp_path, environ={"EDGENODE__CAMERAS__LINE_1__SOURCE": "usb:7"})
    assert (
        found.problem(("cameras", 1, "source"), "x") == f"{tmp_path}/edgenode.toml:13: cameras[1].source: x"
    )
    assert found.problem(("cameras", 0, "source"), "x") == (
        "environment EDGENODE__CAMERAS__LINE_1__SOURCE: cameras[0].source: x"
    )
    assert found.problem(("mqtt", "host"), "x") == f"{tmp_path}/edgenode.toml: mqtt.host: x"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[node]\nname = \n", "edgenode.toml:2: is not valid TOML, column 8: invalid value"),
        ('[node]\nname = "hunter2', "edgenode.toml:2: is not valid TOML: unterminated string"),
        (
            "[node]\nx = 1\n[node]\n",
            "edgenode.toml:3: is not valid TOML, column 6: cannot declare twice",
        ),
        ("a = " + "[" * 5000, "edgenode.toml: is not valid TOML: nested too deeply"),
    ],
)
def test_a_syntax_error_has_line_and_column_and_no_content(tmp_path: Path, text: str, problem: str) -> None:
    assert told(tmp_path, text) == [problem]


def test_a_file_that_is_missing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"nothing\.toml: there is no such file: name another with --config"
    ):
        load(tmp_path / "nothing.toml", {})


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'[node]\nname = "caf\xe9"\n')
    with pytest.raises(ConfigurationError, match=r"latin\.toml:2: is not UTF-8"):
        load(path, {})


def test_a_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.toml"
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigurationError, match="is over 1024 KiB"):
        load(path, {})


def test_a_wrong_key_does_not_make_its_neighbour_look_wrong(tmp_path: Path) -> None:
    # With enter taken out, leave = 0.9 would stand above the default enter: that is nobody's mistake.
    text = RIGHT + '  smoothing = { enter = "high", leave = 0.9 }\n'
    assert told(tmp_path, text) == [
        "edgenode.toml:17: cameras[1].regions[0].smoothing.enter: must be a valid number, "
        "unable to parse string as a number"
    ]


def test_several_models_share_no_name_with_a_missing_file(tmp_path: Path) -> None:
    assert told(tmp_path, "[models.a]\n[models.b]\n") == [
        "edgenode.toml:1: models.a.file: is missing",
        "edgenode.toml:2: models.b.file: is missing",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[node]\ndrain = "9999999d"\n', "edgenode.toml:2: node.drain: a duration is at most 3660d"),
        ("[node]\ndrain = inf\n", "edgenode.toml:2: node.drain: a duration is at most 3660d"),
        ("[outbox]\nmax_age = 1e300\n", "edgenode.toml:2: outbox.max_age: a duration is at most 3660d"),
        ("[inference]\nmax_age = 0\n", "edgenode.toml:2: inference.max_age: must be greater than 0"),
        ("[inference]\nrun_timeout = 0\n", "edgenode.toml:2: inference.run_timeout: must be greater than 0"),
        (
            "[outbox]\nmax_size = 0\n",
            "edgenode.toml:2: outbox.max_size: must be greater than or equal to 65536",
        ),
        (
            '[rollout]\ntrusted_keys = ["a\\u0000b"]\n',
            "edgenode.toml:2: rollout.trusted_keys: holds a NUL character (\\u0000)",
        ),
    ],
)
def test_a_value_that_no_clock_buffer_or_file_could_bear_is_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    assert told(tmp_path, text) == [problem]
