"""Copies of a memory's file taken while it is in use, and what is wrong with a file."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from cellhive.adapters.embedded.derived import sync_folder
from cellhive.adapters.embedded.rows.row_codec import intact
from cellhive.adapters.embedded.schema import (
    ROW_BITS,
    STORED_COLUMNS,
    Durability,
    books_checksum,
    connect,
    known_writers,
    set_state,
    state,
    transaction,
    translated,
)
from cellhive.core.errors import BadInput, CellHiveError, NotFound

_PATIENCE_S: Final = 10.0
_MOST_TOLD: Final = 100


def back_up(source: Path, target: Path) -> None:
    """Copy a memory while it is in use: the copy is of one moment, whole, and on the disk.

    An encrypted memory stays encrypted. Whoever opens the copy is another writer, and its
    indexes are kept apart from those of the original.

    Raises:
        BadInput: The target exists; or the source is damaged.
        NotFound: There is no source.
        Unavailable: There is no room.
    """
    _must_be_there(source)
    if target.exists():
        raise BadInput(
            expected="a place where nothing is yet", found="a file",
            remedy="choose another name", place=str(target),
        )  # fmt: skip
    with translated(target, _PATIENCE_S), tempfile.TemporaryDirectory(dir=target.parent) as draft:
        copy = Path(draft) / target.name
        with (
            closing(connect(source, Durability.POWER_LOSS, _PATIENCE_S)) as original,
            closing(sqlite3.connect(copy, isolation_level=None)) as copied,
        ):
            original.backup(copied)
            with transaction(copied):
                set_state(copied, incarnation=os.urandom(8).hex())
            copied.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        descriptor = os.open(copy, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        copy.replace(target)
        sync_folder(target.parent)


def problems(path: Path) -> list[str]:
    """Return what is wrong with the file of a memory, in words; nothing where it is sound.

    Looks at the structure of the file, the checksum of every record, the index of words and
    the books. Takes as long as reading the whole file; needs no key.
    """
    try:
        _must_be_there(path)
        with (
            translated(path, _PATIENCE_S),
            closing(connect(path, Durability.POWER_LOSS, _PATIENCE_S)) as connection,
        ):
            with transaction(connection, write=False):
                found = [x for (x,) in connection.execute(f"PRAGMA integrity_check({_MOST_TOLD})")]
                if found == ["ok"]:
                    found = [*_damaged_records(connection), *_wrong_books(connection)]
            return [*found, *_wrong_words(connection)][:_MOST_TOLD]
    except CellHiveError as error:
        return [str(error)]


def _must_be_there(path: Path) -> None:
    if not path.exists():
        message = f"{path}: expected a memory, found nothing"
        raise NotFound(message)


def _damaged_records(connection: sqlite3.Connection) -> Iterator[str]:
    names = dict(connection.execute("SELECT number, name FROM namespaces"))
    writers = dict(connection.execute("SELECT number, name FROM writers"))
    stored = connection.execute(
        f"SELECT row, namespace, writer, {STORED_COLUMNS} FROM records"  # noqa: S608  # our names
    )
    for key, namespace, writer, *columns in stored:
        name = names.get(namespace, "")
        sound = key >> ROW_BITS == namespace and intact(name, writers.get(writer, ""), columns)
        if not sound:
            yield f"record {columns[4]!r} of {name or namespace} is damaged"


def _wrong_books(connection: sqlite3.Connection) -> Iterator[str]:
    known_writers(connection)
    for number, name, settings, checksum in connection.execute(
        "SELECT number, name, settings, checksum FROM namespaces"
    ):
        if checksum != books_checksum(number, name, settings):
            yield f"the declaration of the namespace {name!r} is damaged"
    counted = connection.execute(
        "SELECT namespace, kind, count(*) FROM records WHERE NOT deleted "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    kept = connection.execute(
        "SELECT namespace, kind, records FROM tally WHERE records<>0 ORDER BY 1, 2"
    ).fetchall()
    if counted != kept:
        yield "records are counted wrongly"
    behind = connection.execute("SELECT max(change), max(hlc) FROM records").fetchone()
    for name, highest in zip(("last_change", "last_hlc"), behind, strict=True):
        if int(str(state(connection, name) or 0)) < (highest or 0):
            yield f"{name} is behind the records"


def _wrong_words(connection: sqlite3.Connection) -> Iterator[str]:
    """Compare the index of words with the texts; writers wait meanwhile."""
    if state(connection, "salt") is None:
        try:
            connection.execute(
                "INSERT INTO keywords (keywords, rank) VALUES ('integrity-check', 1)"
            )
        except sqlite3.DatabaseError:
            yield "the index of words differs from the texts"
