"""Log lines: their three forms, what must never stand in them, and how often they repeat."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgenode.settings import Settings
from edgenode.telemetry.logs import BURST, WINDOW_S, LogForm, RepeatFilter, chosen_form, set_up_logging
from edgenode.telemetry.redaction import Redactor, known_secrets

CANARY = 'hunter2 "canary" ü/€'


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(form: LogForm, write: object, secrets: tuple[str, ...] = (CANARY,)) -> list[str]:
    stream = io.StringIO()
    set_up_logging("debug", form, secrets, stream)
    write(logging.getLogger("edgenode.capture"))  # type: ignore[operator]
    return stream.getvalue().splitlines()


def failing(log: logging.Logger) -> None:
    try:
        raise ConnectionError(f"rtsp://admin:{CANARY}@10.0.0.5/stream refused {CANARY!r}")
    except ConnectionError:
        log.exception("camera %s failed with %s", "line_1", CANARY)


def test_text_has_time_level_logger_and_message() -> None:
    (line,) = lines("text", lambda log: log.warning("camera %s is away", "line_1"))
    assert line[10] == "T"
    assert line[23:] == "Z warning edgenode.capture: camera line_1 is away"


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)],
)
def test_the_journal_gets_its_priorities(level: str, priority: int) -> None:
    (line,) = lines("journal", lambda log: getattr(log, level)("x"))
    assert line == f"<{priority}>edgenode.capture: x"


def test_every_line_of_a_traceback_has_the_priority() -> None:
    found = lines("journal", failing)
    assert len(found) > 3
    assert all(line.startswith("<3>") for line in found)


def test_json_is_one_object_a_line_with_the_trace_inside() -> None:
    (line,) = lines("json", failing)
    record = json.loads(line)
    assert record["level"] == "error"
    assert record["logger"] == "edgenode.capture"
    assert "Traceback" in record["trace"]


@pytest.mark.parametrize("form", ["text", "journal", "json"])
def test_secrets_stand_in_no_record_and_no_traceback(form: LogForm) -> None:
    text = "\n".join(lines(form, failing))
    for written in (CANARY, json.dumps(CANARY)[1:-1], repr(CANARY)[1:-1], "admin"):
        assert written not in text
    assert "10.0.0.5/stream" in text


def test_a_secret_with_line_breaks_is_masked_before_lines_are_cut() -> None:
    assert "begin" not in "".join(lines("journal", lambda log: log.info("key begin\nend!"), ("begin\nend!",)))


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("rtsp://user:pass@cam/1", "rtsp://***@cam/1"),
        ("rtsp://user@cam:554/1 and http://a:b@c", "rtsp://***@cam:554/1 and http://***@c"),
        ("rtsp://user:p@ss@cam/1", "rtsp://***@cam/1"),
        ("rtsp://user:pa/ss@cam/1", "rtsp://***@cam/1"),
        ("http://cam/snap?user=a&pwd=b&size=2", "http://cam/snap?user=***&pwd=***&size=2"),
        ("http://cam/a@b", "http://cam/a@b"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("mail to ops@plant.example", "mail to ops@plant.example"),
        ("'rtsp://u:p@cam'", "'rtsp://***@cam'"),
    ],
)
def test_credentials_go_from_addresses_and_nothing_else_does(text: str, redacted: str) -> None:
    assert Redactor()(text) == redacted


@given(st.text(min_size=4, max_size=12), st.text(max_size=8), st.text(max_size=8))
def test_a_known_secret_never_survives(secret: str, before: str, after: str) -> None:
    if secret in "***" * 3 or secret in before + after:
        return
    assert secret not in Redactor([secret])(f"{before} {secret} {after}").replace("***", "\0")


def test_the_settings_secrets_are_known() -> None:
    settings = Settings(
        mqtt={"password": "s3cret!"},
        cameras=[
            {"name": "a", "source": "rtsp://admin:p%40ss@10.0.0.5/x"},
            {"name": "b", "source": "usb:0"},
            {"name": "c", "source": "rtsp://admin:p/ss@10.0.0.5/x"},
        ],
    )
    assert known_secrets(settings) == {"s3cret!", "p%40ss", "p@ss", "p/ss"}


@pytest.mark.parametrize(
    ("log_format", "environ", "form"),
    [
        ("auto", {}, "text"),
        ("auto", {"JOURNAL_STREAM": "8:12345"}, "journal"),
        ("auto", {"NOTIFY_SOCKET": "/run/systemd/notify"}, "journal"),
        ("text", {"JOURNAL_STREAM": "8:12345"}, "text"),
        ("json", {}, "json"),
    ],
)
def test_the_form_follows_the_reader(log_format: str, environ: dict[str, str], form: str) -> None:
    assert chosen_form(log_format, environ) == form  # type: ignore[arg-type]


class Repeats:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.filter = RepeatFilter(lambda: self.now_s)

    def passes(self, text: str, *args: object) -> bool:
        self.record = logging.LogRecord("x", logging.WARNING, "f", 1, text, args, None)
        return bool(self.filter.filter(self.record))


def test_a_line_that_repeats_is_left_out_and_counted() -> None:
    repeats = Repeats()
    passed = [repeats.passes("camera %s: no frame for %.1f s", "line_1", n / 7) for n in range(50)]
    assert passed == [True] * BURST + [False] * (50 - BURST)
    assert repeats.passes("camera %s: no frame for %.1f s", "line_2", 3.0)
    repeats.now_s = WINDOW_S
    assert repeats.passes("camera %s: no frame for %.1f s", "line_1", 9.0)
    assert repeats.record.__dict__["repeated"] == 50 - BURST


def test_what_was_left_out_is_said_in_the_line() -> None:
    stream = io.StringIO()
    handler = set_up_logging("info", "text", (), stream)
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "again", (), None)
    record.repeated = 12
    assert handler.format(record).endswith("x: again (12 more like this were left out in the last 60 s)")


def test_the_filter_remembers_a_bounded_number_of_kinds() -> None:
    repeats = Repeats()
    for n in range(5000):
        assert repeats.passes(f"word{n}x")
    assert len(repeats.filter._kinds) <= 512


def test_a_broken_log_call_neither_raises_nor_shows_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = lines("text", lambda log: log.info("%d frames", CANARY))
    assert line.endswith("%d frames (its arguments do not fit)")
    assert capsys.readouterr().err == ""
