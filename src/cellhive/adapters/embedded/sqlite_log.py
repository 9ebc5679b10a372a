"""The log of records in one SQLite file: durable, shared by processes, encrypted where asked for.

By default an acknowledged write survives power loss: its commit is synced to the disk
first, and writes that wait meanwhile share the next sync. ``Durability.KILLED_PROCESS``
leaves syncing to the system: acknowledged writes survive ``kill -9`` of every process, and
the last ones may be lost with the power, never the file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cellhive.adapters.embedded import keywords
from cellhive.adapters.embedded.connections import Connections
from cellhive.adapters.embedded.derived import FolderFiles
from cellhive.adapters.embedded.encryption import SALT_BYTES, Cipher, KeySource
from cellhive.adapters.embedded.group_commit import GroupCommit, Submission
from cellhive.adapters.embedded.rows.row_codec import RowCodec
from cellhive.adapters.embedded.rows.values import KIND_NUMBERS
from cellhive.adapters.embedded.schema import (
    HIGHEST,
    LOOKED_UP_TOGETHER,
    REMEDY,
    ROW_BITS,
    STORED_COLUMNS,
    VECTOR_COLUMNS,
    Durability,
    books_checksum,
    fold,
    in_parts,
    is_text,
    known_writers,
    marks,
    number_in,
    prepare,
    set_state,
    state,
    tally_in,
    transaction,
    within,
    writer_in,
)
from cellhive.adapters.embedded.transaction import Commit
from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.records import Changes, Delta, Namespace, Record, RecordKind, Rows, Version
from cellhive.core.types import Floats32
from cellhive.memory.checks.validation import check_versions
from cellhive.memory.versions import HybridClock

_STORED = f"writer, {STORED_COLUMNS}"
_LIVING = (
    "(deleted IS NOT 1 OR vector IS NOT NULL OR metadata IS NOT NULL OR text IS NOT NULL"
    " OR payload IS NOT NULL)"
)
"""What is not deleted, and what says that it is and cannot be right: reading that tells."""
_TOO_LONG_BYTES = 256 << 20
"""A write-ahead log that grew beyond, for readers kept it in use, is cut off once nobody reads."""


@dataclass(frozen=True, slots=True)
class _Space:
    """A declared namespace."""

    number: int
    namespace: Namespace


class SqliteLog:
    """A RecordLog in an SQLite file.

    Any number of processes may have it open, and read while one of them writes; writers
    queue. Every opening is a writer of its own, called after its node, the millisecond it
    was opened in and some chance, so that no copy of the file, not even where the clock stands
    still, uses a number twice.
    """

    def __init__(
        self,
        path: Path,
        *,
        now_ms: Callable[[], int],
        node: str = "",
        key: KeySource | None = None,
        durability: Durability = Durability.POWER_LOSS,
        patience_s: float = 10.0,
    ) -> None:
        """Open a memory, or make a new one where there is none.

        Args:
            path: The file; SQLite keeps two more beside it while it is open.
            now_ms: Wall clock [ms since the epoch].
            node: Name of this replica among others; by default one made up when the file was.
            key: Where the key comes from, if the values are to be encrypted. A memory is made
                encrypted or not, and stays so.
            durability: What an acknowledged write survives.
            patience_s: How long a write waits for other processes [s].

        Raises:
            BadInput: The file is damaged, of something else, or of another format or key; or
                its folder cannot be written.
            Unavailable: Another process keeps writing; or the disk is full.
        """
        self.path = path
        self._connections = Connections(path, durability, patience_s)
        self._clock = HybridClock(now_ms)
        self._spaces: dict[str, _Space] = {}
        self._writers: dict[int, str] = {}
        try:
            with self._connections.writing() as connection, transaction(connection):
                made = prepare(connection, path)
                self._cipher = _cipher(connection, path, key, made=made)
                self._writer = _new_life(connection, node, now_ms())
                self._clock.observe(number_in(connection, "last_hlc"))
                self.incarnation = str(state(connection, "incarnation"))
            self._codec = RowCodec(self._cipher)
            self._words = None if self._cipher is None else keywords.WordsInMemory(self._texts)
            if self._words is not None:
                self._words.catch_up()
        except BaseException:
            self._connections.close()
            raise
        self._queue = GroupCommit(self._commit, f"memory {path.name}")

    def derived(self, folder: Path) -> FolderFiles | None:
        """Return where the indexes of this memory are kept in a folder.

        None for an encrypted memory: what is derived from it is never written. Each copy of a
        memory, such as a backup, has a place of its own in the folder.
        """
        return FolderFiles(folder / self.incarnation) if self._cipher is None else None

    def fold(self) -> None:
        """Fold the write-ahead log into the file, as far as nobody reads what is in it.

        Nobody waits meanwhile, for others' reading least of all.
        """
        with self._connections.writing() as connection:
            fold(connection)

    @property
    def writer(self) -> str:
        """Name of this opening of the log, ``node~epoch``, never used before."""
        return self._writer

    # --- namespaces -----------------------------------------------------------------------

    def namespaces(self) -> Mapping[str, Namespace]:
        """Return what is declared, by name."""
        self._read_spaces()
        return {name: space.namespace for name, space in sorted(self._spaces.items())}

    def declare(self, namespace: Namespace) -> None:
        """Declare a namespace; raise Conflict where it exists and differs."""
        settings = _settings(namespace)
        with self._connections.writing() as connection, transaction(connection):
            found = connection.execute(
                "SELECT number, name, settings, checksum FROM namespaces WHERE name=?",
                (namespace.name,),
            ).fetchone()
            if found is None:
                highest = connection.execute("SELECT max(number) FROM namespaces").fetchone()[0]
                number = (highest or 0) + 1
                connection.execute(
                    "INSERT INTO namespaces VALUES (?, ?, ?, ?, 0)",
                    (number, namespace.name, settings,
                     books_checksum(number, namespace.name, settings)),
                )  # fmt: skip
            elif _read_space(*found).namespace != namespace:
                message = (
                    f"expected the namespace {namespace.name} as it was declared, {found[2]}, "
                    f"found {settings}; use that declaration, or another name"
                )
                raise Conflict(message)
        self._read_spaces()

    def _read_spaces(self) -> None:
        with self._connections.reading() as connection:
            for number, name, settings, checksum in connection.execute(
                "SELECT number, name, settings, checksum FROM namespaces"
            ):
                if name not in self._spaces:
                    self._spaces[name] = _read_space(number, name, settings, checksum)

    def _space(self, name: str) -> _Space:
        if name not in self._spaces:
            self._read_spaces()
        try:
            return self._spaces[name]
        except KeyError:
            known = ", ".join(sorted(self._spaces)) or "none"
            message = f"expected a namespace that is declared ({known}), found {name!r}; declare it"
            raise NotFound(message) from None

    # --- writing --------------------------------------------------------------------------

    def put(self, records: Sequence[Record], *, new: bool = False) -> list[Version]:
        """Write records and tombstones and return their versions once they are durable.

        Args:
            records: Records of declared namespaces; see ``RecordLog.put``.
            new: Raise Conflict, and write nothing, where a record of that id exists.

        Raises:
            BadInput: A record could not come back as it is.
            Conflict: An id is taken, and ``new`` was asked for.
            NotFound: A namespace is not declared.
            Unavailable: No room on the disk, or no turn to write.
        """
        versions: list[Version] = self._submit(records, new=new).result()
        return versions

    def submit(self, records: Sequence[Record]) -> Future[list[Version]]:
        """Queue what ``put`` would write; writes that wait together share one disk sync.

        Waits itself where very much is queued.
        """
        return self._submit(records)

    def absorb(self, delta: Delta) -> Future[int]:
        """Take a delta of another replica: its records and what they cover, in one commit.

        The result counts the records that replaced something older or were not there.
        """
        for writer, upto in delta.covers.items():
            if not (is_text(writer) and writer and 0 <= upto < HIGHEST):
                raise BadInput(
                    expected="writers and how far they are known", found=f"{writer!r}: {upto}",
                    remedy="ask the replica again",
                )  # fmt: skip
        for record in delta.records:
            self._space(record.namespace)
        check_versions(delta.records)
        return self._submit(delta.records, covers=delta.covers)

    def _submit(
        self, records: Sequence[Record], *, new: bool = False,
        covers: Mapping[str, int] | None = None,
    ) -> Future[Any]:  # fmt: skip
        named = dict.fromkeys([x.namespace for x in records])
        spaces = {name: self._space(name).namespace for name in named}
        encoded = self._codec.encode(records, spaces)
        return self._queue.submit(Submission(encoded, new, covers))

    def _commit(self, group: list[Submission]) -> list[Callable[[], None]]:
        with self._connections.writing() as connection:
            numbers = {name: space.number for name, space in self._spaces.items()}
            commit = Commit(connection, self._writer, self._clock, numbers, self._words is None)
            with transaction(connection):
                commit.write(group)
            # The write is made: what goes wrong from here on must not say that it was not.
            with suppress(OSError, sqlite3.Error):
                if Path(f"{self.path}-wal").stat().st_size > _TOO_LONG_BYTES:
                    fold(connection)
        return commit.told

    # --- reading --------------------------------------------------------------------------

    def get(self, namespace: str, ids: Sequence[str]) -> list[Record | None]:
        """Return records by id; None for what is not there or deleted."""
        space = self._space(namespace)
        found: dict[str, Record] = {}
        with self._connections.reading() as connection:
            for part in in_parts(list(dict.fromkeys(ids)), LOOKED_UP_TOGETHER):
                rows = connection.execute(
                    f"SELECT {_STORED} FROM records WHERE namespace=? "  # noqa: S608  # marks only
                    f"AND id IN ({marks(len(part))})", (space.number, *part),
                )  # fmt: skip
                found.update({x.id: x for _, x in self._decoded(connection, namespace, rows)})
        return [_alive(found.get(id_)) for id_ in ids]

    def read(self, namespace: str, rows: Rows) -> list[Record | None]:
        """Return records by row; None for what is deleted."""
        base = self._space(namespace).number << ROW_BITS
        found: dict[int, Record] = {}
        asked = [row for row in rows.tolist() if 0 < row < 1 << ROW_BITS]
        with self._connections.reading() as connection:
            for part in in_parts(list(dict.fromkeys(asked)), LOOKED_UP_TOGETHER):
                stored = connection.execute(
                    f"SELECT {_STORED} FROM records "  # noqa: S608  # marks only
                    f"WHERE row IN ({marks(len(part))})", [base + x for x in part],
                )  # fmt: skip
                found.update(self._decoded(connection, namespace, stored))
        return [_alive(found.get(base + row)) for row in rows.tolist()]

    def scan(
        self, namespace: str, *, kind: RecordKind | None = None, after_row: int = 0, limit: int
    ) -> tuple[Rows, list[Record]]:
        """Return records that are not deleted in order of their rows, at most ``limit``."""
        base = self._space(namespace).number << ROW_BITS
        last = (1 << ROW_BITS) - 1
        only, kinds = ("", []) if kind is None else (" AND kind=?", [KIND_NUMBERS[kind]])
        with self._connections.reading() as connection:
            stored = connection.execute(
                f"SELECT {_STORED} FROM records WHERE row>? AND row<=? AND {_LIVING}{only} "  # noqa: S608  # ours
                "ORDER BY row LIMIT ?",
                (base + min(max(after_row, 0), last), base + last, *kinds, within(max(limit, 0))),
            )  # fmt: skip
            found = list(self._decoded(connection, namespace, stored))
        rows = np.fromiter((row - base for row, _ in found), np.int64, len(found))
        return rows, [record for _, record in found]

    def count(self, namespace: str, *, kind: RecordKind | None = None) -> int:
        """Return how many records are not deleted."""
        number = self._space(namespace).number
        with self._connections.reading() as connection:
            tally = tally_in(connection, number)
        return sum(tally.values()) if kind is None else tally.get(KIND_NUMBERS[kind], 0)

    def last_change(self) -> int:
        """Return the number of the last change by any process, cheaply."""
        with self._connections.reading() as connection:
            return number_in(connection, "last_change")

    def changes(self, namespace: str, *, after: int, limit: int) -> Changes:
        """Return what changed after a change number, each row once, as it stands now.

        Where that is all, ``last`` is the number of the last change of any namespace.
        """
        space = self._space(namespace)
        with self._connections.reading() as connection:
            found = connection.execute(
                f"SELECT {VECTOR_COLUMNS} FROM records "  # noqa: S608  # our names
                "WHERE namespace=? AND change>? ORDER BY change LIMIT ?",
                (space.number, within(after), within(max(limit, 0))),
            ).fetchall()
            last = number_in(connection, "last_change")
        if len(found) >= limit:
            last = found[-1][1] if found else after
        count, dimension = len(found), space.namespace.dimension
        base, nothing = space.number << ROW_BITS, bytes(4 * dimension)
        vectors = self._codec.vectors(namespace, found)
        floats = b"".join(nothing if vector is None else vector for vector in vectors)
        return Changes(
            np.fromiter((x[0] - base for x in found), np.int64, count),
            np.fromiter((x[4] for x in found), np.bool_, count),
            np.frombuffer(floats, "<f4").reshape(count, dimension),
            np.fromiter((x is not None for x in vectors), np.bool_, count),
            max(last, after),
        )

    def keyword(self, namespace: str, text: str, limit: int) -> tuple[Rows, Floats32]:
        """Return rows whose text has any of the words, best first, and their BM25 scores."""
        number = self._space(namespace).number
        if self._words is not None:
            return self._words.find(number, text, within(limit))
        with self._connections.reading() as connection:
            return keywords.find(connection, number, text, within(limit))

    def _texts(self, after: int) -> tuple[int, list[tuple[int, str]]]:
        """Return the number of the last change and the texts of rows that changed after one."""
        self._read_spaces()
        texts = []
        with self._connections.reading() as connection:
            for name, space in self._spaces.items():
                stored = connection.execute(
                    "SELECT row, id, text FROM records WHERE namespace=? AND change>?",
                    (space.number, after),
                )
                texts += [(row, self._codec.words(name, id_, text)) for row, id_, text in stored]
            return number_in(connection, "last_change"), texts

    def _decoded(
        self, connection: sqlite3.Connection, namespace: str, stored: Iterable[Sequence[Any]]
    ) -> Iterator[tuple[int, Record]]:
        decode, names = self._codec.decode, self._writers
        for writer, *columns in stored:
            if writer not in names:
                names.update({x: name for x, (name, _) in known_writers(connection).items()})
            # Under a number that no writer has no checksum is right.
            yield columns[0], decode(namespace, names.get(writer, ""), columns)

    # --- replicas -------------------------------------------------------------------------

    def seen(self) -> Mapping[str, int]:
        """Return the version vector: writer to highest sequence up to which all is known."""
        with self._connections.reading() as connection:
            return {name: seen for name, seen in known_writers(connection).values() if seen}

    def since(self, known: Mapping[str, int], *, limit: int) -> Delta:
        """Return what a replica lacks that has seen ``known``, at most ``limit`` records.

        Records come by writer and sequence. A version that was replaced is not told: the one
        that replaced it is. What is known beyond a gap comes last, as far as there is room,
        and is not covered.
        """
        records: list[Record] = []
        covers: dict[str, int] = {}
        with self._connections.reading() as connection:
            names = dict(connection.execute("SELECT number, name FROM namespaces"))
            for number, (writer, seen) in known_writers(connection).items():
                after = max(known.get(writer, 0), 0)
                if seen <= after:
                    continue
                room = max(limit, 0) - len(records)
                stored = connection.execute(
                    f"SELECT namespace, writer, {STORED_COLUMNS} FROM records WHERE writer=? "  # noqa: S608  # our names
                    "AND sequence>? AND sequence<=? ORDER BY sequence LIMIT ?",
                    (number, after, seen, within(room) + 1),
                ).fetchall()
                records += self._told(connection, names, stored[:room])
                if len(stored) > room:
                    if room > 0:
                        covers[writer] = records[-1].version.sequence
                    return Delta(tuple(records), covers, complete=False)
                covers[writer] = seen
            ahead = self._ahead(connection, known, max(limit, 0) - len(records))
            records += self._told(connection, names, ahead)
        return Delta(tuple(records), covers, complete=True)

    def _ahead(
        self, connection: sqlite3.Connection, known: Mapping[str, int], room: int
    ) -> Iterator[tuple[Any, ...]]:
        """Yield rows beyond a gap that are not known either, as many as there is room for."""
        waiting = {x for (x,) in connection.execute("SELECT DISTINCT writer FROM ahead")}
        for number, (writer, _) in known_writers(connection).items():
            if number in waiting and room > 0:
                found = connection.execute(
                    f"SELECT namespace, writer, {STORED_COLUMNS} FROM ahead "  # noqa: S608  # our names
                    "JOIN records USING (writer, sequence) WHERE writer=? AND sequence>? "
                    "ORDER BY sequence LIMIT ?",
                    (number, within(known.get(writer, 0)), within(room)),
                ).fetchall()
                yield from found
                room -= len(found)

    def _told(
        self, connection: sqlite3.Connection, names: Mapping[int, str],
        stored: Iterable[Sequence[Any]],
    ) -> Iterator[Record]:  # fmt: skip
        for space, *columns in stored:
            # Under a number that no namespace has no checksum is right.
            for _, record in self._decoded(connection, names.get(space, ""), [columns]):
                yield record

    def close(self) -> None:
        """Finish what is queued and let go."""
        self._queue.close()
        self._connections.close()
        if self._words is not None:
            self._words.close()


def _alive(record: Record | None) -> Record | None:
    return None if record is None or record.deleted else record


def _cipher(
    connection: sqlite3.Connection, path: Path, key: KeySource | None, *, made: bool
) -> Cipher | None:
    """Return what a memory is encrypted with; a new one is, where there is a key."""
    if made and key is not None:
        fresh = os.urandom(SALT_BYTES)
        cipher = Cipher(key(), fresh)
        set_state(connection, salt=fresh, proof=cipher.proof())
        return cipher
    salt, proof = state(connection, "salt"), state(connection, "proof")
    if not isinstance(salt, bytes) or not isinstance(proof, bytes):
        if key is None:
            return None
        raise BadInput(
            expected="an encrypted memory, for a key was given", found="one that is not",
            remedy="open it without a key, or copy its records into a new one", place=str(path),
        )  # fmt: skip
    if key is None:
        raise BadInput(
            expected="a key, for the memory is encrypted", found="none",
            remedy="say where its key comes from", place=str(path),
        )  # fmt: skip
    cipher = Cipher(key(), salt)
    if not cipher.proves(proof):
        raise BadInput(
            expected="the key that the memory was made with", found="another one",
            remedy="look for the right key: without it nothing can be read", place=str(path),
        )  # fmt: skip
    return cipher


def _new_life(connection: sqlite3.Connection, node: str, now_ms: int) -> str:
    """Return the name of a writer that has never been, and remember it."""
    if not node:
        found = state(connection, "node")
        node = found if isinstance(found, str) else os.urandom(4).hex()
        set_state(connection, node=node)
    epoch = max(now_ms, number_in(connection, "epoch") + 1)
    set_state(connection, epoch=epoch)
    # Copies of a file whose clock stands still must not count on under one name either.
    writer = f"{node}~{epoch:x}-{os.urandom(3).hex()}"
    writer_in(connection, writer)
    return writer


def _settings(namespace: Namespace) -> str:
    """Return a namespace as it is kept."""
    if not all(map(is_text, (namespace.name, *namespace.features))):
        raise BadInput(expected="names that are text", found=f"{namespace!r:.200}",
                       remedy="leave lone surrogates out", place="namespace")  # fmt: skip
    return msgspec.json.encode(namespace).decode()


def _read_space(number: int, name: str, settings: str, checksum: int) -> _Space:
    """Return a namespace as it was declared."""
    found = "another checksum"
    if checksum == books_checksum(number, name, settings):
        try:
            return _Space(number, msgspec.json.decode(settings, type=Namespace))
        except msgspec.MsgspecError as error:
            found = str(error)
    raise BadInput(
        expected="a namespace as it was declared", found=found, remedy=REMEDY,
        place=f"namespace {name!r:.80}",
    )  # fmt: skip
