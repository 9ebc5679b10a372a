"""A record log in PostgreSQL: several machines may write to it and read from it.

Works with PostgreSQL 13 and later, and with pgvector where it is there. A write is acknowledged
when the server has it on disk; a server that goes away in the middle of it is asked again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cellhive.adapters.postgres.connecting import Address, Readers, Row
from cellhive.adapters.postgres.planning import Submission
from cellhive.adapters.postgres.rows import (
    HIGHEST,
    READ_COLUMNS,
    Packed,
    check_writer,
    key_of,
    pack,
    unpack,
    vector_in,
    words_of,
)
from cellhive.adapters.postgres.schema import Settings, VectorColumn, open_tables, prepare
from cellhive.adapters.postgres.writing import GroupWriter, closed
from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.records import (
    Changes,
    Delta,
    Metric,
    Namespace,
    Record,
    RecordKind,
    Rows,
    Storage,
    Version,
)
from cellhive.core.types import Floats32

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

_MOST_WORDS = 5_000
_LONGEST_NAME = 500
_LONGEST_SCHEMA = 63
"""PostgreSQL cuts longer names off, and two might become one."""
_PGVECTOR_DIMENSIONS = 16_000
_DISTANCE = {Metric.COSINE: "<=>", Metric.INNER_PRODUCT: "<#>", Metric.L2: "<->"}
_SPARE_CANDIDATES = 32
"""The server adds up in float32, in an order of its own: near ties are settled here."""
_SCAN_ROWS = 10_000


class PostgresLog:
    """A RecordLog in one schema of a PostgreSQL database."""

    def __init__(
        self,
        url: str,
        *,
        now_ms: Callable[[], int],
        node: str,
        settings: Settings | None = None,
    ) -> None:
        """Open a log, and make its tables where they are missing.

        Args:
            url: As libpq takes it: ``postgresql://user@host/database?sslmode=verify-full``, or
                ``""`` where ``PGHOST`` and the like say it. Better no password in it:
                ``PGPASSFILE`` or ``PGPASSWORD``.
            now_ms: Wall clock [ms since the epoch].
            node: Name of this machine or agent among replicas.
            settings: How to use the database.

        Raises:
            BadInput: The server refuses the user, or the database is not as it should be.
            Unavailable: The server does not answer.
        """
        if not node or "~" in node or "\0" in node or len(node.encode()) > _LONGEST_NAME - 50:
            raise BadInput(expected="a node name without ~", found=repr(node[:80]))
        self._settings = settings or Settings()
        schema = self._settings.schema
        if not 0 < len(schema.encode()) <= _LONGEST_SCHEMA or "\0" in schema:
            expected = f"a schema name of 1 to {_LONGEST_SCHEMA} bytes"
            raise BadInput(expected=expected, found=repr(schema[:80]))
        self._address = Address.parse(url)
        self._node = node
        self._closed = False
        self._declared: dict[str, tuple[int, Namespace]] = {}
        self._readers = Readers(self._address, self._connect)
        try:
            self._column = self._readers.run(lambda link: open_tables(link, self._settings))
            epoch = self._readers.run(lambda link: self._next_epoch(link, node, now_ms() // 1000))
        except BaseException:
            self._readers.close()
            raise
        # Copies of a database whose clock stands still must not count on under one name either.
        self._writer = f"{node}~{epoch}-{os.urandom(3).hex()}"
        self._group_writer = GroupWriter(
            self._writer, self._address, self._connect, now_ms, self._settings.patience_s
        )

    def __repr__(self) -> str:
        """Return where the log is, without any password."""
        return f"PostgresLog({self._address.place}, schema {self._settings.schema})"

    @property
    def writer(self) -> str:
        """Name of this opening of the log, never used before."""
        return self._writer

    @property
    def vectors(self) -> VectorColumn:
        """How the table holds vectors."""
        return self._column

    def namespaces(self) -> Mapping[str, Namespace]:
        """Return what is declared, by name, by any process."""
        self._refresh()
        return {name: namespace for name, (_, namespace) in self._declared.items()}

    def declare(self, namespace: Namespace) -> None:
        """Declare a namespace; raise Conflict where it exists and differs."""
        self._check_namespace(namespace)
        self._read(
            lambda link: link.execute(
                "INSERT INTO namespaces (name, dimension, metric, storage, features)"
                " SELECT %s, %s, %s, %s, %s::text[]"
                " WHERE NOT EXISTS (SELECT FROM namespaces WHERE name = %s)"
                " ON CONFLICT (name) DO NOTHING",
                (namespace.name, namespace.dimension, namespace.metric.value,
                 namespace.storage.value, list(namespace.features), namespace.name),
            )
        )  # fmt: skip
        self._refresh()
        there = self._declared[namespace.name][1]
        if there != namespace:
            message = (
                f"expected namespace {namespace.name} as it was declared, {there}, "
                f"found {namespace}; take another name"
            )
            raise Conflict(message)

    def put(self, records: Sequence[Record], *, new: bool = False) -> list[Version]:
        """Write records and tombstones and return their versions once they are durable."""
        if not records:
            return []
        versions: list[Version] = self._submit(Submission(self._pack(records), new=new)).result()
        return versions

    def submit(self, records: Sequence[Record]) -> Future[list[Version]]:
        """Queue what ``put`` would write; writes that wait together share one disk sync.

        While very many records wait (200,000), this waits too.
        """
        if not records:
            done: Future[list[Version]] = Future()
            done.set_result([])
            return done
        return self._submit(Submission(self._pack(records)))

    def get(self, namespace: str, ids: Sequence[str]) -> list[Record | None]:
        """Return records by id; None for what is not there or deleted."""
        number, _ = self._namespace(namespace)
        keys = [key_of(identifier) for identifier in ids]
        rows = self._fetch(
            f"SELECT {READ_COLUMNS}, key FROM records"  # noqa: S608 - constants
            " WHERE namespace_id = %s AND key = ANY(%b) AND NOT deleted",
            (number, list(set(keys))),
        )
        found = {row[-1]: self._unpack(namespace, row[:-1]) for row in rows}
        return [found.get(key) for key in keys]

    def read(self, namespace: str, rows: Rows) -> list[Record | None]:
        """Return records by row; None for what is deleted."""
        number, _ = self._namespace(namespace)
        wanted = rows.tolist()
        answer = self._fetch(
            f"SELECT {READ_COLUMNS}, row_no FROM records"  # noqa: S608 - constants
            " WHERE namespace_id = %s AND row_no = ANY(%b::bigint[]) AND NOT deleted",
            (number, wanted),
        )
        found = {row[-1]: self._unpack(namespace, row[:-1]) for row in answer}
        return [found.get(row) for row in wanted]

    def scan(
        self, namespace: str, *, kind: RecordKind | None = None, after_row: int = 0, limit: int
    ) -> tuple[Rows, list[Record]]:
        """Return records that are not deleted in order of their rows, at most ``limit``."""
        number, _ = self._namespace(namespace)
        only = "" if kind is None else " AND kind = %(kind)s"
        rows = self._fetch(
            f"SELECT {READ_COLUMNS}, row_no FROM records WHERE namespace_id = %(namespace)s"  # noqa: S608 - constants
            f" AND row_no > %(after)s AND NOT deleted{only} ORDER BY row_no LIMIT %(limit)s",
            {"namespace": number, "after": _within(after_row), "limit": _within(max(limit, 0)),
             "kind": None if kind is None else kind.value},
        )  # fmt: skip
        records = [self._unpack(namespace, row[:-1]) for row in rows]
        return np.array([row[-1] for row in rows], np.int64), records

    def count(self, namespace: str, *, kind: RecordKind | None = None) -> int:
        """Return how many records are not deleted."""
        number, _ = self._namespace(namespace)
        only = "" if kind is None else " AND kind = %s"
        rows = self._fetch(
            f"SELECT count(*) FROM records WHERE namespace_id = %s AND NOT deleted{only}",  # noqa: S608 - constants
            (number,) if kind is None else (number, kind.value),
        )
        return int(rows[0][0])

    def last_change(self) -> int:
        """Return the number of the last change by any process, cheaply."""
        return int(self._fetch("SELECT last_change FROM log_state")[0][0])

    def changes(self, namespace: str, *, after: int, limit: int) -> Changes:
        """Return what changed after a change number, each row once, as it stands now."""
        number, declared = self._namespace(namespace)

        def read(link: psycopg.Connection[Row]) -> tuple[int, list[Row]]:
            # The number first: what changes in between is told the next time.
            last = link.execute("SELECT last_change FROM log_state").fetchone() or (0,)
            rows = link.cursor(binary=True).execute(
                "SELECT row_no, change, deleted, vector FROM records WHERE namespace_id = %s"
                " AND change > %s AND change <= %s ORDER BY change LIMIT %s",
                (number, _within(after), last[0], _within(max(limit, 0))),
            )
            return last[0], rows.fetchall()

        last, rows = self._read(read)
        vectors = np.zeros((len(rows), declared.dimension), np.float32)
        for place, row in enumerate(rows):
            if row[3] is not None:
                vectors[place] = vector_in(row[3], self._column)
        return Changes(
            rows=np.array([row[0] for row in rows], np.int64),
            deleted=np.array([row[2] for row in rows], np.bool_),
            vectors=vectors,
            with_vector=np.array([row[3] is not None for row in rows], np.bool_),
            last=_last(rows, after, last, limit),
        )

    def keyword(self, namespace: str, text: str, limit: int) -> tuple[Rows, Floats32]:
        """Return rows whose text has any of the words, best first, and their scores.

        Ranked by PostgreSQL's ``ts_rank``: how often words occur, less in long texts. Unlike
        BM25 it does not weigh rare words higher.
        """
        number, _ = self._namespace(namespace)
        # Only letters and digits: nothing in a word can end its quotes.
        words = list(dict.fromkeys(words_of(text)))[:_MOST_WORDS]
        if not words or limit < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        rows = self._fetch(
            "SELECT row_no, ts_rank(words, q, 1) AS score FROM records,"
            " CAST(%s AS tsquery) AS q WHERE namespace_id = %s AND words @@ q"
            " ORDER BY score DESC, row_no LIMIT %s",
            (" | ".join(f"'{word}'" for word in words), number, _within(limit)),
        )
        scores = np.array([row[1] for row in rows], np.float32)
        return np.array([row[0] for row in rows], np.int64), scores

    def nearest(self, namespace: str, vector: Floats32, k: int) -> tuple[Rows, Floats32]:
        """Return the rows with the nearest vectors, best first, and their scores: exact.

        With pgvector the server looks through the vectors; without it they all come here,
        which is slow. A memory keeps an index of its own; this is for those who have none.

        Args:
            namespace: Whose metric counts; cosine leaves vectors of length zero out.
            vector: Components, (D,).
            k: Most rows wanted.
        """
        number, declared = self._namespace(namespace)
        query = np.asarray(vector, np.float32)
        if query.shape != (declared.dimension,):
            raise BadInput(
                expected=f"a vector of shape ({declared.dimension},)", found=str(query.shape)
            )
        best_rows, best = np.zeros(0, np.int64), np.zeros(0, np.float64)
        for page in self._candidates(number, declared, query, k):
            rows = np.array([row[0] for row in page], np.int64)
            vectors = np.stack([vector_in(row[1], self._column) for row in page])
            scores = _scores(vectors, query, declared.metric)
            rows, scores = rows[~np.isnan(scores)], scores[~np.isnan(scores)]
            best_rows = np.concatenate([best_rows, rows])
            best = np.concatenate([best, scores])
            order = np.lexsort((best_rows, -best))[:k]
            best_rows, best = best_rows[order], best[order]
        return best_rows, best.astype(np.float32)

    def seen(self) -> Mapping[str, int]:
        """Return the version vector: writer to highest sequence up to which all is known."""
        return dict(self._fetch("SELECT writer, sequence FROM writers WHERE sequence > 0"))

    def since(self, known: Mapping[str, int], *, limit: int) -> Delta:
        """Return what a replica lacks that has seen ``known``, at most ``limit`` records.

        What is known beyond a gap comes last, as far as there is room, and is not covered.
        """

        def read(link: psycopg.Connection[Row]) -> Delta:
            with link.transaction():
                link.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                return self._since(link, known, _within(max(limit, 0)))

        return self._read(read)

    def absorb(self, delta: Delta) -> Future[int]:
        """Take a delta of another replica: its records and what they cover, in one commit."""
        items = self._pack(delta.records)
        for writer, upto in delta.covers.items():
            check_writer(writer)
            if not 0 <= upto < HIGHEST:
                raise BadInput(
                    expected="a sequence from 0 to below 2**62", found=f"{upto} of {writer!r}"
                )
        for record in delta.records:
            if not record.version.written:
                raise BadInput(expected="records with versions", found=f"{record.id!r} without one")
        return self._submit(Submission(items, covers=dict(delta.covers), counts=True))

    def close(self) -> None:
        """Finish what is queued and let go."""
        self._closed = True
        self._group_writer.close()
        self._readers.close()

    def _connect(self) -> psycopg.Connection[Row]:
        name = getattr(self, "_writer", self._node)
        link = self._address.connect(f"cellhive {name}"[:60])
        try:
            prepare(link, self._settings)
        except BaseException:
            link.close()
            raise
        return link

    @staticmethod
    def _next_epoch(link: psycopg.Connection[Row], node: str, now_s: int) -> int:
        """Return a number that no opening had, not even one that a restored backup forgot."""
        row = link.execute(
            "INSERT INTO nodes VALUES (%s, %s) ON CONFLICT (node)"
            " DO UPDATE SET epoch = greatest(nodes.epoch + 1, excluded.epoch) RETURNING epoch",
            (node, now_s),
        ).fetchone()
        return int(row[0]) if row else now_s

    def _read(self, action: Callable[[psycopg.Connection[Row]], T]) -> T:
        if self._closed:
            raise closed()
        return self._readers.run(action)

    def _fetch(self, query: str, values: Any = ()) -> list[Row]:
        return self._read(lambda link: link.cursor(binary=True).execute(query, values).fetchall())

    def _unpack(self, namespace: str, row: Row) -> Record:
        return unpack(namespace, row, self._column)

    def _submit(self, submission: Submission) -> Future[Any]:
        self._group_writer.submit(submission)
        return submission.done

    def _pack(self, records: Iterable[Record]) -> list[Packed]:
        packed = []
        for record in records:
            number, declared = self._namespace(record.namespace)
            packed.append(pack(record, number, declared, self._column))
        return packed

    def _namespace(self, name: str) -> tuple[int, Namespace]:
        found = self._declared.get(name)
        if found is None:
            self._refresh()  # another process may have declared it
            found = self._declared.get(name)
        if found is None:
            declared = ", ".join(sorted(self._declared)) or "none"
            message = (
                f"expected a declared namespace ({declared}), found {name!r}; declare it first"
            )
            raise NotFound(message)
        return found

    def _refresh(self) -> None:
        rows = self._fetch(
            "SELECT namespace_id, name, dimension, metric, storage, features FROM namespaces"
        )
        self._declared = {
            row[1]: (row[0], Namespace(row[1], row[2], Metric(row[3]), Storage(row[4]),
                                       tuple(row[5])))
            for row in rows
        }  # fmt: skip

    def _check_namespace(self, namespace: Namespace) -> None:
        names = "".join((namespace.name, *namespace.features))
        if not names.isprintable() or len(namespace.name.encode()) > _LONGEST_NAME:
            expected = f"names of printable characters, up to {_LONGEST_NAME} bytes"
            raise BadInput(expected=expected, found=repr(namespace.name[:80]))
        if self._column is VectorColumn.PGVECTOR and namespace.dimension > _PGVECTOR_DIMENSIONS:
            raise BadInput(
                expected=f"at most {_PGVECTOR_DIMENSIONS} components, as pgvector holds them",
                found=str(namespace.dimension),
                remedy="make the log with vectors as bytes (Settings.vectors)",
            )

    def _candidates(
        self, number: int, declared: Namespace, query: Floats32, k: int
    ) -> Iterable[list[Row]]:
        if self._column is VectorColumn.PGVECTOR:
            distance = _DISTANCE[declared.metric]
            page = self._fetch(
                "SELECT row_no, vector FROM records WHERE namespace_id = %s AND NOT deleted"  # noqa: S608 - constants
                f" AND vector IS NOT NULL ORDER BY vector {distance} %s::vector LIMIT %s",
                (number, _listed(query), k + _SPARE_CANDIDATES),
            )
            if page:
                yield page
            return
        after = 0
        while page := self._fetch(
            "SELECT row_no, vector FROM records WHERE namespace_id = %s AND row_no > %s"
            " AND NOT deleted AND vector IS NOT NULL ORDER BY row_no LIMIT %s",
            (number, after, _SCAN_ROWS),
        ):
            after = page[-1][0]
            yield page

    def _since(self, link: psycopg.Connection[Row], known: Mapping[str, int], limit: int) -> Delta:
        names = {number: name for name, (number, _) in self._declared.items()}
        for number, name in link.execute("SELECT namespace_id, name FROM namespaces"):
            names[number] = name
        select = f"SELECT {READ_COLUMNS}, namespace_id FROM records"  # noqa: S608 - constants
        writers = link.execute("SELECT writer, sequence FROM writers").fetchall()
        records: list[Record] = []
        covers: dict[str, int] = {}
        complete = True

        def take(rows: Sequence[Row]) -> None:
            records.extend(self._unpack(names[row[-1]], row[:-1]) for row in rows)

        for writer, upto in sorted(writers):
            low = known.get(writer, 0)
            if upto <= low:
                continue
            room = limit - len(records)
            rows = link.cursor(binary=True).execute(
                f"{select} WHERE writer = %s AND sequence > %s AND sequence <= %s"
                " ORDER BY sequence LIMIT %s",
                (writer, max(low, 0), upto, room + 1),
            ).fetchall()  # fmt: skip
            take(rows[:room])
            if len(rows) > room:
                complete = False
                if room:
                    covers[writer] = records[-1].version.sequence
                break
            covers[writer] = upto
        if complete and len(records) < limit:
            lows = {writer: _within(known[writer]) for writer, _ in writers if writer in known}
            beyond = link.cursor(binary=True).execute(
                f"{select} JOIN ahead USING (writer, sequence) LEFT JOIN"
                " unnest(%b::text[], %b::bigint[]) AS low(who, upto) ON who = writer"
                " WHERE sequence > coalesce(upto, 0) ORDER BY writer, sequence LIMIT %s",
                (list(lows), list(lows.values()), limit - len(records)),
            ).fetchall()  # fmt: skip
            take(beyond)
        return Delta(tuple(records), covers, complete=complete)


def _last(rows: Sequence[Row], after: int, last: int, limit: int) -> int:
    """Return the number to go on after: of the last row told, or of all where that was all."""
    if len(rows) < limit:
        return max(last, after)
    return int(rows[-1][1]) if rows else after


def _within(number: int) -> int:
    """Return a number that PostgreSQL can compare with those of its rows."""
    return max(-HIGHEST, min(number, HIGHEST))


def _scores(vectors: Floats32, query: Floats32, metric: Metric) -> Any:
    """Return how near vectors, (N, D), are to a query, (D,), higher for nearer, (N,)."""
    wide, one = vectors.astype(np.float64), query.astype(np.float64)
    if metric is Metric.L2:
        return -((wide - one) ** 2).sum(axis=1)
    products = wide @ one
    if metric is Metric.INNER_PRODUCT:
        return products
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / (np.linalg.norm(wide, axis=1) * np.linalg.norm(one))


def _listed(vector: Floats32) -> str:
    """Return a vector as pgvector reads it; nine digits name every float32."""
    return "[" + ",".join(format(float(x), ".9g") for x in vector) + "]"
