"""The tables of a memory in SQLite, how a file is opened, and what SQLite's errors mean.

Row numbers count from 1 within each namespace; the key of a record's row in the database
is the number of its namespace, shifted by 40 bits, plus the row.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

from cellhive.core.errors import BadInput, CellHiveError, Unavailable

T = TypeVar("T")

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x43484D45
"""Marks an SQLite file as a memory of CellHive ("CHME")."""
ROW_BITS: Final = 40
HIGHEST: Final = 1 << 62
"""Times and sequences of versions stay below: what adds to them never overflows 64 bits."""
PAGE_BYTES: Final = 8192
"""Fifteen records of 128 components fit; a batch was a third faster than with 4096."""
LOOKED_UP_TOGETHER: Final = (256, 16, 1)
"""Keys of one question."""
_CACHE_KIB = 65_536
_CHECKPOINT_PAGES = 2048
"""Pages of write-ahead log after which a commit copies them into the database: 16 MiB."""
_LOG_KEPT_BYTES = 64 << 20

RECORD_COLUMNS: Final = (
    "row", "namespace", "id", "hlc", "writer", "sequence", "change",
    "kind", "deleted", "time_s", "origin", "vector", "metadata", "text", "payload", "checksum",
)  # fmt: skip

STORED_COLUMNS: Final = (
    "row, change, hlc, sequence, id, kind, deleted, time_s, origin, "
    "vector, metadata, text, payload, checksum"
)
"""What a record is decoded from, besides namespace and writer."""
VECTOR_COLUMNS: Final = "row, change, id, kind, deleted, vector, checksum"
"""What the vector of a record is decoded from, besides its namespace."""
REMEDY: Final = "run cellhive memory verify; restore a backup, or fill a new one from a replica"

_TABLES = """
CREATE TABLE state (name TEXT PRIMARY KEY, value, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE namespaces (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, settings TEXT NOT NULL,
  checksum INTEGER NOT NULL, rows INTEGER NOT NULL DEFAULT 0);
CREATE TABLE tally (
  namespace INTEGER NOT NULL, kind INTEGER NOT NULL, records INTEGER NOT NULL,
  checksum INTEGER NOT NULL, PRIMARY KEY (namespace, kind)) WITHOUT ROWID;
CREATE TABLE writers (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, seen INTEGER NOT NULL,
  checksum INTEGER NOT NULL);
CREATE TABLE ahead (
  writer INTEGER NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (writer, sequence)
  ) WITHOUT ROWID;
CREATE TABLE records (
  row INTEGER PRIMARY KEY, namespace INTEGER NOT NULL, id TEXT NOT NULL,
  hlc INTEGER NOT NULL, writer INTEGER NOT NULL, sequence INTEGER NOT NULL,
  change INTEGER NOT NULL, kind INTEGER NOT NULL, deleted INTEGER NOT NULL,
  time_s REAL NOT NULL, origin TEXT NOT NULL, vector BLOB, metadata BLOB, text, payload BLOB,
  checksum INTEGER NOT NULL);
CREATE UNIQUE INDEX by_id ON records (namespace, id);
CREATE INDEX by_change ON records (namespace, change);
CREATE INDEX by_writer ON records (writer, sequence);
CREATE VIEW texts AS SELECT row, text FROM records WHERE text IS NOT NULL;
CREATE VIRTUAL TABLE keywords USING fts5(
  text, content='texts', content_rowid='row', tokenize='unicode61 remove_diacritics 2');
"""

MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {}
"""From a version of the schema to the next one, within one transaction."""


class Durability(StrEnum):
    """What an acknowledged write survives."""

    POWER_LOSS = "full"
    """The write-ahead log is synced to the disk before a commit is acknowledged."""
    KILLED_PROCESS = "normal"
    """The system has the write: it survives ``kill -9``; the last ones may go at power loss."""


def connect(path: Path, durability: Durability, patience_s: float) -> sqlite3.Connection:
    """Open a connection to a memory's file; the file is made where it is missing.

    Args:
        path: The file.
        durability: Of what this connection commits.
        patience_s: How long to wait for the lock of another process [s].
    """
    connection = sqlite3.connect(
        path, timeout=patience_s, isolation_level=None, check_same_thread=False,
        cached_statements=256,
    )  # fmt: skip
    try:
        _configure(connection, path, durability)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, path: Path, durability: Durability) -> None:
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and found != APPLICATION_ID:
        raise BadInput(
            expected="a memory", found="an SQLite database of something else",
            remedy="name another file", place=str(path),
        )  # fmt: skip
    if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise BadInput(
            expected="a folder that several processes can share a file in",
            found="a file system without the locks that takes",
            remedy="put the memory on a local disk", place=str(path),
        )  # fmt: skip
    connection.execute(f"PRAGMA synchronous={durability.value}")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={_LOG_KEPT_BYTES}")


def prepare(connection: sqlite3.Connection, path: Path) -> bool:
    """Make the tables of a new memory, or bring those of an older one up to date.

    Call it within a transaction.

    Returns:
        Whether the memory is new.

    Raises:
        BadInput: A newer version wrote the file, or one that can no longer be read.
    """
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        set_state(connection, incarnation=os.urandom(8).hex())
        return True
    while found in MIGRATIONS:
        MIGRATIONS[found](connection)
        found += 1
        connection.execute(f"PRAGMA user_version={found:d}")
    if found != SCHEMA_VERSION:
        newer = found > SCHEMA_VERSION
        raise BadInput(
            expected=f"a memory of format {SCHEMA_VERSION}", found=f"format {found}",
            remedy="use the version of CellHive that wrote it, or a newer one" if newer
            else "export it with the version of CellHive that wrote it",
            place=str(path),
        )  # fmt: skip
    return False


def in_parts(items: Sequence[T], sizes: Sequence[int]) -> Iterator[Sequence[T]]:
    """Yield items in parts of a few sizes, so that few different statements are prepared.

    Args:
        items: What to take apart.
        sizes: Falling, the last of them 1.
    """
    start = 0
    for size in sizes:
        while len(items) - start >= size:
            yield items[start : start + size]
            start += size


def marks(count: int) -> str:
    """Return as many places for values in a statement."""
    return ", ".join("?" * count)


def fold(connection: sqlite3.Connection) -> None:
    """Copy the write-ahead log into the database; cut it off where nobody reads what is in it.

    Waits for nobody: whoever lingers over an old state would have every writer wait.
    """
    _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if pages == copied:
        patience_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute("PRAGMA busy_timeout=0")
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.execute(f"PRAGMA busy_timeout={patience_ms:d}")


def is_text(text: object) -> bool:
    """Whether something is text that UTF-8 can hold."""
    try:
        return isinstance(text, str) and text.encode() is not None
    except UnicodeEncodeError:
        return False


@contextmanager
def transaction(connection: sqlite3.Connection, *, write: bool = True) -> Iterator[None]:
    """Hold a transaction: committed at the end, rolled back where anything is raised."""
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def state(connection: sqlite3.Connection, name: str) -> object:
    """Return a value of the table of single values; None where there is none.

    Raises:
        BadInput: It is not as it was written.
    """
    found = connection.execute("SELECT value, checksum FROM state WHERE name=?", (name,)).fetchone()
    if found is None:
        return None
    must_be_sound(found[1], name, 0, found[0])
    value: object = found[0]
    return value


def set_state(connection: sqlite3.Connection, **values: object) -> None:
    """Replace values of the table of single values, by name."""
    connection.executemany(
        "INSERT OR REPLACE INTO state VALUES (?, ?, ?)",
        [(name, value, books_checksum(name, 0, value)) for name, value in values.items()],
    )


def number_in(connection: sqlite3.Connection, name: str) -> int:
    """Return a whole number of the table of single values; 0 where there is none."""
    found = state(connection, name)
    return found if isinstance(found, int) else 0


def within(number: int) -> int:
    """Return a number that SQLite can compare with those it holds."""
    return max(-HIGHEST, min(number, HIGHEST))


def known_writers(connection: sqlite3.Connection) -> dict[int, tuple[str, int]]:
    """Return number to name of each writer, and the sequence up to which all of it is known.

    Raises:
        BadInput: One of them is not as it was written.
    """
    stored = connection.execute(
        "SELECT number, name, seen, checksum FROM writers ORDER BY name"
    ).fetchall()
    for number, name, seen, checksum in stored:
        must_be_sound(checksum, number, name, seen)
    return {number: (name, seen) for number, name, seen, _ in stored}


def writer_in(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Return the number of a writer and its sequence up to which all is known; make it known.

    Raises:
        BadInput: It is not as it was written.
    """
    found = connection.execute(
        "SELECT number, seen, checksum FROM writers WHERE name=?", (name,)
    ).fetchone()
    if found is not None:
        must_be_sound(found[2], found[0], name, found[1])
        return found[0], found[1]
    highest = connection.execute("SELECT max(number) FROM writers").fetchone()[0]
    number = (highest or 0) + 1
    connection.execute(
        "INSERT INTO writers VALUES (?, ?, 0, ?)", (number, name, books_checksum(number, name, 0))
    )
    return number, 0


def set_seen(connection: sqlite3.Connection, number: int, name: str, seen: int) -> None:
    """Note up to which sequence all of a writer is known."""
    connection.execute(
        "UPDATE writers SET seen=?, checksum=? WHERE number=?",
        (seen, books_checksum(number, name, seen), number),
    )


def tally_in(connection: sqlite3.Connection, namespace: int) -> dict[int, int]:
    """Return how many records of each kind of a namespace, by number, are not deleted.

    Raises:
        BadInput: One of the numbers is not as it was written.
    """
    found = connection.execute(
        "SELECT kind, records, checksum FROM tally WHERE namespace=?", (namespace,)
    ).fetchall()
    for kind, records, checksum in found:
        must_be_sound(checksum, namespace, kind, records)
    return {kind: records for kind, records, _ in found}


def set_tally(connection: sqlite3.Connection, namespace: int, kind: int, records: int) -> None:
    """Note how many records of a kind of a namespace are not deleted."""
    connection.execute(
        "INSERT OR REPLACE INTO tally VALUES (?, ?, ?, ?)",
        (namespace, kind, records, books_checksum(namespace, kind, records)),
    )


def books_checksum(one: object, other: object, value: object) -> int:
    """Return the checksum of a row of the tables beside the records."""
    return crc32(repr((one, other, value)).encode("utf-8", "backslashreplace"))


def must_be_sound(checksum: object, one: object, other: object, value: object) -> None:
    """Raise BadInput where a row of the tables beside the records is not as it was written."""
    if checksum != books_checksum(one, other, value):
        raise BadInput(
            expected="the books of the memory as they were written", found="another checksum",
            remedy=REMEDY, place=f"entry {one!r:.80}, {other!r:.80}",
        )  # fmt: skip


_DAMAGED = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT"}
_FULL = {"SQLITE_FULL", "SQLITE_IOERR"}


@contextmanager
def translated(path: Path, patience_s: float) -> Iterator[None]:
    """Turn the errors of SQLite into those of CellHive."""
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(error, path, patience_s) from error
    except (UnicodeEncodeError, OverflowError) as error:  # of values given to a statement
        raise BadInput(
            expected="text without lone surrogates, numbers of 64 bits", found=str(error),
            place=str(path),
        ) from error  # fmt: skip


def _meaning(error: sqlite3.Error, path: Path, patience_s: float) -> CellHiveError:
    name: str = getattr(error, "sqlite_errorname", "") or ""
    family = "_".join(name.split("_")[:2])
    if family in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
        message = (
            f"{path}: expected its turn to write within {patience_s:g} s, found another process "
            "writing all the time; try again, or allow more patience"
        )
        return Unavailable(message, retry_after_s=max(patience_s, 1.0))
    if family in _FULL:
        message = (
            f"{path}: expected room on the disk, found none ({error}); nothing of this write was "
            "kept and nothing acknowledged is lost: make room and write again"
        )
        return Unavailable(message, retry_after_s=60.0)
    not_as_written = isinstance(error, sqlite3.IntegrityError) or any(
        said in str(error) for said in ("malformed", "decode to UTF-8")
    )
    if family in _DAMAGED or not_as_written:
        return BadInput(
            expected="an undamaged memory", found=f"a damaged or foreign file ({error})",
            remedy=REMEDY, place=str(path),
        )  # fmt: skip
    if family in {"SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH"}:
        return BadInput(
            expected="a file and a folder that can be written", found=str(error),
            remedy="see to its folder and rights", place=str(path),
        )  # fmt: skip
    if isinstance(error, sqlite3.DataError) or family == "SQLITE_TOOBIG":
        return BadInput(
            expected="values of less than a gigabyte", found=str(error),
            remedy="split them", place=str(path),
        )  # fmt: skip
    message = f"{path}: expected SQLite to work, found {name or type(error).__name__}: {error}"
    return Unavailable(message, retry_after_s=1.0)
