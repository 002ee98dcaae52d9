"""The outbox's files: opening, guarding, setting a damaged one aside, and the reserve of sequence numbers.

`outbox.db` is SQLite with a write-ahead log. `outbox.seq` holds a number above every sequence number ever
used; it is raised (and fsynced) in steps before numbers are taken, so that a new `outbox.db` continues
above the old one.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgenode.errors import OutboxError

DATABASE = "outbox.db"
RESERVE = "outbox.seq"
RESERVE_STEP = 10_000
"""Numbers reserved at once; as many are skipped at most when a database has to be replaced."""
PAGE_BYTES = 4096
SLACK_BYTES = 2**20
"""How much larger than its limit the database file may become."""
WAL_PAGES = 128
"""Checkpoint after half a MiB of log: on a full disk a large log could not even be emptied."""
SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE message(
  seq INTEGER PRIMARY KEY, severity INTEGER NOT NULL, bytes INTEGER NOT NULL, appended_us INTEGER NOT NULL,
  expires_us INTEGER, captured_us INTEGER, topic TEXT NOT NULL, header TEXT NOT NULL, payload BLOB NOT NULL);
CREATE INDEX message_by_severity ON message(severity, seq);
CREATE INDEX message_by_expiry ON message(expires_us) WHERE expires_us IS NOT NULL;
CREATE TABLE ack(seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL);
CREATE TABLE loss(id INTEGER PRIMARY KEY, reason TEXT NOT NULL, count INTEGER, first_seq INTEGER, last_seq
INTEGER); CREATE VIEW waiting AS
  SELECT * FROM message WHERE NOT EXISTS (SELECT 1 FROM ack WHERE ack.seq = message.seq);
CREATE VIEW kept AS
  SELECT ack.seq AS seq, ack.at_us AS at_us, message.bytes AS bytes FROM ack JOIN message ON message.seq =
  ack.seq; CREATE TABLE tally(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_CHAIN = "CREATE TABLE IF NOT EXISTS chain(id INTEGER PRIMARY KEY CHECK (id = 1), head TEXT NOT NULL)"
"""The hash of the newest link: kept when the messages that carried it are forgotten."""


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A ready database, and the place a damaged predecessor was moved to, if there was one."""

    connection: sqlite3.Connection
    set_aside: Path | None
    reason: str


def open_database(folder: Path, max_bytes: int, now_at: datetime) -> OpenedFile:
    """Open, check and if need be replace the database in `folder`. Raises OutboxError where nothing can
    be stored.
    """
    path = folder / DATABASE
    set_aside: Path | None = None
    reason = ""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            reason = _damage(path)
            if reason:
                set_aside = _set_aside(path, now_at)
        return OpenedFile(_connect(path, max_bytes), set_aside, reason)
    except (sqlite3.Error, OSError) as error:
        raise OutboxError(
            f"outbox {path}: cannot be opened: {error}; check free space and permissions"
        ) from error


class OutboxDamagedError(OutboxError):
    """The database file is damaged: close the outbox and open it again, which sets the file aside."""


def storage_error(text: str, error: Exception) -> OutboxError:
    """`error` as the project's own, of the kind that says what helps."""
    damaged = getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
    return (OutboxDamagedError if damaged else OutboxError)(f"{text}: {error}")


def connect_read_only(folder: Path) -> sqlite3.Connection:
    """For looking into the outbox of a running node. Raises OutboxError where there is none."""
    path = folder / DATABASE
    if not path.is_file():
        raise OutboxError(f"outbox {path}: there is none; is this the node's state directory?")
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
    except sqlite3.Error as error:
        raise OutboxError(f"outbox {path}: cannot be read: {error}") from error


def _connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(path, timeout=2.0, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA cache_size=-2048")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={2 * WAL_PAGES * PAGE_BYTES}")
        connection.execute(f"PRAGMA max_page_count={(max_bytes + SLACK_BYTES) // PAGE_BYTES}")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        connection.execute(_CHAIN)
    except BaseException:
        connection.close()
        raise
    return connection


def _damage(path: Path) -> str:
    """What is wrong with the database, in words; empty where nothing is. A full disk is not damage."""
    try:
        connection = sqlite3.connect(path, timeout=2.0, isolation_level=None)
    except sqlite3.Error as error:
        return str(error)
    try:
        answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            return str(answer).splitlines()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
            return "it is empty" if (path.parent / RESERVE).exists() else ""
        if version != SCHEMA_VERSION:
            return f"its layout is {version}, not {SCHEMA_VERSION}"
        # quick_check does not read the contents of every table: a lost table shows here
        connection.execute(
            "SELECT (SELECT max(seq) FROM message), (SELECT max(seq) FROM ack), (SELECT max(id) FROM loss)"
        )
        connection.execute("SELECT value FROM tally LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        if _is_space(error):
            return ""
        return str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    finally:
        connection.close()
    return ""


def _is_space(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_IOERR_WRITE")


def _set_aside(path: Path, now_at: datetime) -> Path:
    """Rename the database and its log; at most one set of damaged files is kept, the disk is small."""
    for old in path.parent.glob(f"{DATABASE}.damaged-*"):
        old.unlink()
    aside = path.with_name(f"{DATABASE}.damaged-{now_at:%Y%m%dT%H%M%SZ}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(DATABASE + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


class SequenceReserve:
    """The number in `outbox.seq`: every sequence number in use is below it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESERVE
        self.limit = self._read()

    def ensure(self, above: int) -> None:
        """Make `limit` larger than `above`, on the disk before this returns. Raises OSError."""
        if above < self.limit:
            return
        limit = above + RESERVE_STEP
        fresh = self._path.with_name(f"{RESERVE}.new")
        fd = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            text = f"{limit}\n".encode()
            if os.write(fd, text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(fresh))
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.limit = limit

    def _read(self) -> int:
        try:
            return max(0, int(self._path.read_text()))
        except (OSError, ValueError):
            return 0
