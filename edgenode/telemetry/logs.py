"""Sets up logging: one handler on standard error, in the form its reader understands, with secrets taken out.

`text`: time, level, logger, message. `journal`: the syslog priority as `<3>` before each line (sd-daemon(3));
the journal adds the time itself. `json`: one object a line, for log shippers.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Literal

from edgenode.telemetry.redaction import Redactor

log = logging.getLogger(__name__)

LogForm = Literal["text", "journal", "json"]
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")
BURST = 5
WINDOW_S = 60.0
_KINDS = 512


def chosen_form(log_format: Literal["auto", "text", "json"], environ: Mapping[str, str]) -> LogForm:
    """`auto` is `journal` where systemd connected standard error to its journal, else `text`."""
    if log_format == "auto":
        return "journal" if environ.get("JOURNAL_STREAM") or environ.get("NOTIFY_SOCKET") else "text"
    return log_format


def set_up_logging(
    level: str, form: LogForm, secrets: Iterable[str] = (), stream: IO[str] | None = None
) -> logging.Handler:
    """Make one handler the root logger's only one; called at start and again when a reload changes a secret.

    `secrets` are values that must never be written, such as the broker's password. Returns the handler.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(RedactingFormatter(form, Redactor(secrets)))
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    return handler


def log_uncaught() -> None:
    """From now on what nobody caught, on any thread, is logged: as one record, secrets taken out.

    Python would write it to standard error itself, with the text of the exception as it is.
    """
    sys.excepthook = _uncaught
    threading.excepthook = lambda hooked: _uncaught(
        hooked.exc_type, hooked.exc_value or hooked.exc_type(), hooked.exc_traceback
    )
    sys.unraisablehook = lambda hooked: _uncaught(
        hooked.exc_type, hooked.exc_value or hooked.exc_type(), hooked.exc_traceback
    )


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, SystemExit):
        log.critical("nobody caught this", exc_info=(kind, error, trace))


class RedactingFormatter(logging.Formatter):
    """Redacts the finished text, so that arguments, exception texts and tracebacks are covered alike."""

    def __init__(self, form: LogForm, redact: Redactor) -> None:
        super().__init__()
        self._form = form
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        message = self._redact(_message(record))
        repeated = getattr(record, "repeated", 0)
        if repeated:
            message += f" ({repeated} more like this were left out in the last {WINDOW_S:.0f} s)"
        trace = self._redact(self._trace(record))
        at = (
            datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
        if self._form == "json":
            fields = {
                "time": at,
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": message,
            }
            if trace:
                fields["trace"] = trace
            fields["thread"] = record.threadName or ""
            return json.dumps(fields, ensure_ascii=False)
        text = f"{message}\n{trace}" if trace else message
        if self._form == "journal":
            prefix = f"<{_priority(record.levelno)}>"
            return "\n".join(f"{prefix}{line}" for line in f"{record.name}: {text}".splitlines())
        return f"{at} {record.levelname.lower():<8}{record.name}: {text}"

    def _trace(self, record: logging.LogRecord) -> str:
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return "\n".join(parts)


def _message(record: logging.LogRecord) -> str:
    """The record's text. A call whose arguments do not fit must neither raise nor print them unredacted."""
    try:
        return record.getMessage()
    except Exception:
        return f"{record.msg} (its arguments do not fit)"


def _priority(level: int) -> int:
    return next((_PRIORITIES[step] for step in sorted(_PRIORITIES, reverse=True) if level >= step), 7)


@dataclass(slots=True)
class _Kind:
    since_s: float
    passed: int = 0
    held_back: int = 0


class RepeatFilter(logging.Filter):
    """Lets `BURST` lines of a kind through in `WINDOW_S`; the next after that says how many were left out.

    Lines are of one kind when logger, level and text are equal but for numbers standing alone: another
    camera's line is another kind, another count of seconds is not. At most 512 kinds are remembered.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._kinds: OrderedDict[tuple[str, int, str], _Kind] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        # Handlers hold no lock while they filter; a race between two threads lets one line more through.
        now_s = self._monotonic()
        key = (record.name, record.levelno, _NUMBER.sub("#", _message(record)))
        kind = self._kinds.pop(key, None)
        if kind is None or now_s - kind.since_s >= WINDOW_S:
            record.repeated = kind.held_back if kind is not None else 0
            kind = _Kind(now_s)
        self._kinds[key] = kind
        while len(self._kinds) > _KINDS:
            self._kinds.popitem(last=False)
        if kind.passed >= BURST:
            kind.held_back += 1
            return False
        kind.passed += 1
        return True
