"""The proof beyond the form: every mistake at once, each with its line; and silence where all is well."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenode.configuration.check import Probes, problems, prove, warnings
from edgenode.configuration.file import LoadedSettings, load
from edgenode.errors import ConfigurationError, ModelError
from edgenode.host import is_loopback, unwritable, usb_device
from edgenode.inference.card import (
    GoldenVector,
    InputSpec,
    ModelCard,
    Training,
)
from edgenode.wiring import model_path
from tests.servers.certificates import self_signed

HERE = Path(__file__).parent
CANARY = "hunter2-canary"
SHA = "ab" * 32


def card(*labels: str) -> ModelCard:
    return ModelCard(
        name="defects",
        version="1",
        labels=list(labels),
        input=InputSpec(height=8, width=8),
        training=Training(architecture="tiny", parameters=1),
        golden=GoldenVector(count=1, probabilities=[[0.5] * len(labels)], input_sha256=SHA),
    )


def read_card(path: Path) -> ModelCard:
    """Stands for the model reader: a file that says `refused` is, any other lists its labels."""
    text = path.read_text()
    if text == "refused":
        raise ModelError(f"{path.name} has no model card; make one with edgenode-trainer import")
    return card(*text.split())


def source_problem(url: str, base_dir: Path) -> str | None:
    return None if "://" in url or url.startswith(("usb:", "synthetic:")) else f"no file {base_dir / url}"


def probes(installed: Path | None = None) -> Probes:
    from edgenode.configuration.check import rule_problems

    return Probes(
        read_card, lambda path: SHA, source_problem, rule_problems, lambda state_dir, name: installed
    )


def loaded(tmp_path: Path, text: str) -> LoadedSettings:
    path = tmp_path / "edgenode.toml"
    path.write_text(f'[node]\nstate_dir = "{tmp_path}/state"\n{text}', encoding="utf-8")
    return load(path, {})


def told(tmp_path: Path, text: str, installed: Path | None = None) -> list[str]:
    found = problems(loaded(tmp_path, text), probes(installed))
    return [problem.replace(f"{tmp_path}/", "") for problem in found]


GOOD = """\
[models.defects]
file = "defects.onnx"
[[cameras]]
name = "line_1"
source = "usb:0"
[[cameras.regions]]
name = "belt"
smoothing = { labels = { defect = { enter = 0.8, leave = 0.5 } } }
[[rules]]
name = "defective_part"
when = 'line_1.belt == "defect"'
"""


def test_a_configuration_that_works_has_no_problems(tmp_path: Path) -> None:
    (tmp_path / "defects.onnx").write_text("good defect")
    assert told(tmp_path, GOOD) == []


def test_a_configuration_wrong_everywhere_is_told_in_full(tmp_path: Path) -> None:
    (tmp_path / "refused.onnx").write_text("refused")
    (tmp_path / "defects.onnx").write_text("good defect")
    (tmp_path / "state").write_text("a file where the folder should be")
    text = (HERE / "unworkable.toml").read_text(encoding="utf-8")
    problems_ = "\n".join(told(tmp_path, text)) + "\n"
    golden = HERE / "unworkable.txt"
    if os.environ.get("EDGENODE_REWRITE_GOLDEN"):
        golden.write_text(problems_, encoding="utf-8")
    assert problems_ == golden.read_text(encoding="utf-8")
    assert CANARY not in problems_


def test_cameras_without_any_model_are_told_so(tmp_path: Path) -> None:
    assert told(tmp_path, '[[cameras]]\nname = "a"\nsource = "usb:0"\n') == [
        "edgenode.toml:3: cameras[0]: region 'frame' names no model; "
        "there is no model to classify with: add one under [models]"
    ]


def test_the_real_probes_refuse_what_is_no_model_and_no_source(tmp_path: Path) -> None:
    (tmp_path / "defects.onnx").write_bytes(b"not an ONNX file")
    found = problems(loaded(tmp_path, GOOD.replace("usb:0", f"gopher://u:{CANARY}@10.0.0.5/x")))
    assert len(found) == 2
    assert ": models.defects.file: the model is refused: " in found[0]
    assert ": cameras[0].source: gopher:// is not understood" in found[1]
    assert CANARY not in "".join(found)


def test_an_installed_model_serves_by_its_name(tmp_path: Path) -> None:
    installed = tmp_path / "installed.onnx"
    installed.write_text("good defect")
    text = GOOD.replace('"defects.onnx"', '"defects"')
    assert told(tmp_path, text, installed) == []
    found = loaded(tmp_path, text)
    assert model_path(found.settings, "defects", found.base_dir, lambda *_: installed) == installed


def test_a_folder_of_the_model_s_name_is_not_taken_for_it(tmp_path: Path) -> None:
    """The training folder often lies beside the configuration and is named as the model is."""
    (tmp_path / "defects").mkdir()
    found = loaded(tmp_path, GOOD.replace("defects.onnx", "defects"))
    installed = tmp_path / "installed.onnx"
    assert model_path(found.settings, "defects", found.base_dir, lambda *_: installed) == installed


def test_a_path_is_never_looked_up_in_the_store(tmp_path: Path) -> None:
    found = loaded(tmp_path, GOOD.replace("defects.onnx", "../defects"))
    asked: list[str] = []
    assert model_path(found.settings, "defects", found.base_dir, lambda _, name: asked.append(name)) is None
    assert asked == []


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("embedded", True),
        ("broker.localhost", True),
        ("localhost.evil.example", False),
        ("0.0.0.0", False),
        ("10.0.0.5", False),
        ("broker.plant.local", False),
    ],
)
def test_loopback_is_told_from_the_network(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("extra", "refused"),
    [("", True), ("allow_insecure = true\n", False), ('ca_file = "ca.crt"\n', False)],
)
def test_a_broker_beyond_this_machine_needs_tls_or_a_clear_word(
    tmp_path: Path, extra: str, refused: bool
) -> None:
    (tmp_path / "ca.crt").write_text("x")
    found = told(tmp_path, f'[mqtt]\nhost = "broker.plant.local"\n{extra}')
    assert bool([problem for problem in found if "unencrypted" in problem]) is refused


def test_two_names_of_one_usb_device_are_one_device(tmp_path: Path) -> None:
    device = tmp_path / "video9"
    device.touch()
    link = tmp_path / "by-id"
    link.symlink_to(device)
    assert usb_device(f"usb:{link}") == usb_device(f"usb:{device}") == str(device)
    assert usb_device("usb:0") == os.path.realpath("/dev/video0")
    assert usb_device("rtsp://10.0.0.5/usb:0") is None


def test_a_state_folder_that_does_not_exist_yet_is_made_by_the_node(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "a" / "b") is None
    assert not (tmp_path / "a").exists()


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[Path]:
    """A folder every user may enter and only its owner may write to; the test is not the owner."""
    folder = Path(tempfile.mkdtemp())
    (folder / "closed").mkdir(mode=0o700)
    folder.chmod(0o755 if os.geteuid() == 0 else 0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    else:
        (folder / "closed").chmod(0o000)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)
    (folder / "closed").chmod(0o700)
    shutil.rmtree(folder)


def test_a_state_folder_that_cannot_be_written_says_what_to_do(somebody: Path) -> None:
    told = unwritable(somebody / "state")
    assert told is not None
    assert (
        f"{somebody / 'state'} does not exist and {somebody} cannot be written to; make it (sudo install -d"
        in told
    )


def test_a_state_folder_behind_a_closed_one_is_told_and_does_not_crash(somebody: Path) -> None:
    assert "cannot be written to" in (unwritable(somebody / "closed" / "state") or "")


def test_a_model_behind_a_closed_folder_is_told_and_does_not_crash(tmp_path: Path, somebody: Path) -> None:
    user = os.geteuid()
    os.seteuid(os.getuid())
    found = loaded(tmp_path, GOOD.replace("defects.onnx", f"{somebody}/closed/defects.onnx"))
    os.seteuid(user)
    told = [problem for problem in problems(found, probes()) if "models.defects" in problem]
    assert len(told) == 1
    assert "Permission denied" in told[0]


def test_what_works_and_may_not_be_meant_is_a_warning(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        '[http]\nlisten = "0.0.0.0:9464"\ntoken_file = "token"\n'
        '[mqtt]\nhost = "10.0.0.9"\nallow_insecure = true\nusername = "g"\n'
        f'password = "{CANARY}"\n',
    )
    found.path.chmod(0o644)
    texts = [warning.replace(f"{tmp_path}/", "").split(";")[0] for warning in warnings(found)]
    assert texts == [
        "edgenode.toml:5: http.token_file: the token crosses the network of 0.0.0.0 unencrypted",
        "edgenode.toml:10: mqtt.password: every user of this machine can read it",
        "edgenode.toml:8: mqtt.allow_insecure: events and the password cross the network unencrypted",
        "edgenode.toml: the file: no [[cameras]]: the node will run and see nothing",
    ]
    found.path.chmod(0o640)
    assert len(warnings(found)) == 3


def test_a_file_of_wrong_form_is_proven_as_far_as_its_mistakes_leave_clear(tmp_path: Path) -> None:
    file = tmp_path / "edgenode.toml"
    file.write_text(
        """
[node]
name = "Gate Way"
state_dir = "state"
[models.defects]
file = "nothere.onnx"
[[cameras]]
name = "line_1"
source = "missing.mp4"
fps = "five"
  [[cameras.regions]]
  name = "belt"
  model = "defect"
"""
    )
    with pytest.raises(ConfigurationError) as refused:
        prove(file, {})
    text = "\n".join(refused.value.problems)
    for each in ("node.name", "cameras[0].fps", "models.defects.file", "cameras[0].source", 'mean "defects"'):
        assert each in text, text


def test_a_wrong_name_does_not_make_what_refers_to_it_wrong(tmp_path: Path) -> None:
    file = tmp_path / "edgenode.toml"
    file.write_text(
        """
[[cameras]]
name = "Line 1"
source = "synthetic:line"
[[rules]]
name = "r"
when = 'line_1.frame == "defect"'
"""
    )
    with pytest.raises(ConfigurationError) as refused:
        prove(file, {})
    assert len(refused.value.problems) == 1


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9464", "[::]:9464", "192.168.1.7:9464", "gateway-7.plant.local:80"]
)
def test_a_listener_beyond_loopback_needs_a_token_or_client_certificates(tmp_path: Path, listen: str) -> None:
    bare = f'[http]\nlisten = "{listen}"\n'
    (problem,) = problems(loaded(tmp_path, bare), probes())
    assert "http.listen" in problem
    assert "token_file" in problem
    (tmp_path / "token").write_text(f"{'t' * 16}\n")
    assert problems(loaded(tmp_path, bare + 'token_file = "token"\n'), probes()) == []
    mine = self_signed(tmp_path, "gateway-7")
    certificates = f'cert_file = "{mine.cert_file}"\nkey_file = "{mine.key_file}"\n'
    authority = f'client_ca_file = "{mine.cert_file}"\n'
    assert problems(loaded(tmp_path, bare + certificates + authority), probes()) == []
    assert len(problems(loaded(tmp_path, bare + certificates), probes())) == 1, "TLS alone lets everybody in"
    assert problems(loaded(tmp_path, bare + "enabled = false\n"), probes()) == []


def test_a_token_that_is_missing_or_short_is_told(tmp_path: Path) -> None:
    found = loaded(tmp_path, '[http]\ntoken_file = "token"\n')
    assert "token cannot be read" in problems(found, probes())[0]
    (tmp_path / "token").write_text("short-secret")
    (problem,) = problems(found, probes())
    assert "16" in problem
    assert "short-secret" not in problem


def test_a_misspelt_command_is_not_taken_to_be_disabled(tmp_path: Path) -> None:
    found = loaded(tmp_path, '[commands]\ndisabled = ["replay_events", "snapshott"]\n')
    (problem,) = problems(found, probes())
    assert "commands.disabled[1]" in problem
    assert 'did you mean "snapshot"?' in problem
    assert problems(loaded(tmp_path, '[commands]\ndisabled = ["all"]\n'), probes()) == []


def test_a_certificate_with_another_key_is_told_before_the_node_is_restarted_with_it(tmp_path: Path) -> None:
    mine, other = self_signed(tmp_path, "gateway-7"), self_signed(tmp_path, "gateway-8")
    text = f'[http]\ncert_file = "{mine.cert_file}"\nkey_file = "{other.key_file}"\n'
    (problem,) = problems(loaded(tmp_path, text), probes())
    assert "edgenode.toml:4: http.cert_file: not usable" in problem
    assert "mismatch" in problem.lower()


def test_keys_that_cannot_be_read_are_told_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "defects.onnx").write_text("good defect")
    text = GOOD + "[rollout]\nrequire_signature = true\n"
    assert any(
        "rollout.require_signature without rollout.trusted_keys" in each for each in told(tmp_path, text)
    )
    text += 'trusted_keys = ["plant.pub"]\nca_file = "nowhere.pem"\n'
    found = "\n".join(told(tmp_path, text))
    assert "rollout.trusted_keys: " in found
    assert "plant.pub" in found
    assert "nowhere.pem" in found
