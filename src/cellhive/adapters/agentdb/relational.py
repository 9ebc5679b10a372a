"""Reads the package's SQLite files: the relational schema, 1.0.x vectors, sql.js ``.rvf``.

The file is opened read-only and immutable: neither it nor its folder is touched, no trigger
runs, and views and virtual tables are left alone. Names are taken from the list of known
tables, never from the file.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from cellhive.adapters.agentdb.fields import (
    TIMES,
    Facts,
    add_column,
    decoded,
    metadata_of,
    seconds,
)
from cellhive.adapters.agentdb.source import Reading, Source, Tally
from cellhive.adapters.agentdb.tables import (
    EMBEDDING_TABLES,
    FORMS,
    NOT_RECORDS,
    PREFIXES,
    REFERENCES,
    TableForm,
)
from cellhive.core.errors import BadInput
from cellhive.core.records import Metric, Namespace, Record

MAGIC = b"SQLite format 3\0"
MOST_VALUE_BYTES = 64 << 20
"""Largest text or blob that is read."""
MOST_COMPONENTS = 65_536
USUAL_DIMENSION = 384
"""Components of the package's embeddings where a file has none to tell."""
LONGEST_ID = 500
MOST_TEXT = 1 << 18
"""Characters of what a record is found by; the whole of a longer text is in the payload."""
METRICS = {
    "cosine": Metric.COSINE, "ip": Metric.INNER_PRODUCT, "inner_product": Metric.INNER_PRODUCT,
    "dotproduct": Metric.INNER_PRODUCT, "dot": Metric.INNER_PRODUCT, "l2": Metric.L2,
    "euclidean": Metric.L2,
}  # fmt: skip
"""What the package calls its metrics."""


A_NAME = f"1 to {LONGEST_ID} printable characters"


def is_name(value: object) -> bool:
    """Return whether a value can be the id of a record."""
    return value is not None and 0 < len(str(value)) <= LONGEST_ID and str(value).isprintable()


@dataclass
class _Tables:
    """What a file turned out to have."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns of each table that is read."""
    rows: dict[str, int] = field(default_factory=dict)
    dimensions: Counter[int] = field(default_factory=Counter)
    """How many embeddings have how many components."""
    metric: Metric = Metric.COSINE

    @property
    def main_dimension(self) -> int:
        """Components of most embeddings."""
        return self.dimensions.most_common(1)[0][0] if self.dimensions else USUAL_DIMENSION


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE_BYTES)
    connection.text_factory = bytes
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA cell_size_check=ON")
    return connection


def open_relational(reading: Reading) -> Source:
    """Look into a SQLite file of the package.

    Raises:
        BadInput: It cannot be read, belongs to something else, or has unfinished writes
            beside it.
    """
    path = reading.path
    for suffix in ("-wal", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.exists() and beside.stat().st_size:
            raise BadInput(
                place=str(path), expected="a database that its program has closed",
                found=f"unfinished writes in {beside.name}",
                remedy="let the program that writes it end, or open and close it once with "
                "the sqlite3 shell",
            )  # fmt: skip
    tally = Tally()
    try:
        with closing(_connect(path)) as connection:
            tables = _survey(connection, tally)
    except sqlite3.Error as error:
        raise BadInput(
            place=str(path), expected="a readable SQLite file", found=str(error),
            remedy="fetch the file again; sqlite3 FILE .recover saves what is left of it",
        ) from error  # fmt: skip
    if not tables.rows:
        raise BadInput(
            place=str(path), expected="tables of the npm package agentdb", found="none of them",
            remedy="is it the right file?",
        )  # fmt: skip
    return Source(
        form=_form_name(tables),
        namespaces=_namespaces(reading, tables),
        expected=sum(tables.rows.values()),
        records=partial(_records, reading, tables, tally),
        tally=tally,
    )


def _form_name(tables: _Tables) -> str:
    if "rvf_vectors" in tables.rows:
        return "agentdb 3.x vectors in SQLite (.rvf)"
    if "vectors" in tables.rows:
        return "agentdb 1.0.x vectors in SQLite"
    return "agentdb 1.1 to 3.x database in SQLite"


def _namespaces(reading: Reading, tables: _Tables) -> tuple[Namespace, ...]:
    main = tables.main_dimension
    dimensions = [main, *sorted(set(tables.dimensions) - {main})]
    return tuple(
        Namespace(reading.namespace_of(each, main), each, tables.metric) for each in dimensions
    )


def _text(value: object) -> Any:
    """Return a value as read, with text decoded."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _survey(connection: sqlite3.Connection, tally: Tally) -> _Tables:
    """Find out which known tables there are, and say what else there is."""
    tables = _Tables()
    _look_around(connection, tables, tally)
    for form in FORMS:
        if "id" in tables.columns.get(form.name, ()):
            tables.rows[form.name] = _count(connection, form.name)
            _survey_embeddings(connection, form, tables, tally)
        elif form.name in tables.columns:
            tally.left_out(form.name, "no column id", _count(connection, form.name))
    for name, owner in EMBEDDING_TABLES.items():
        if name in tables.columns and owner not in tables.rows:
            tally.left_out(name, f"without the table {owner}", _count(connection, name))
    if {"key", "value"} <= set(tables.columns.get("rvf_meta", ())):
        pairs = connection.execute("SELECT value FROM rvf_meta WHERE key = 'metric'").fetchall()
        said = str(_text(pairs[0][0])).lower() if pairs else "cosine"
        tables.metric = METRICS.get(said, Metric.COSINE)
        if said not in METRICS:
            tally.remark("rvf_meta", f"the metric {_short(said)!r} is not known; taken for cosine")
    return tables


def _look_around(connection: sqlite3.Connection, tables: _Tables, tally: Tally) -> None:
    """List the known tables with their columns; count what else the file has."""
    known = {form.name for form in FORMS} | set(EMBEDDING_TABLES) | {"rvf_meta"}
    others: Counter[str] = Counter()
    for row in connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name"):
        kind, name, sql = (str(_text(value) or "") for value in row)
        if kind != "table":
            others[kind] += 1
        elif sql.lstrip().upper().startswith("CREATE VIRTUAL"):
            tally.left_out(_short(name), "a virtual table, which is code and not data")
        elif name in known:
            found = connection.execute("SELECT name FROM pragma_table_info(?)", (name,))
            tables.columns[name] = tuple(str(_text(each[0])) for each in found)
        elif reason := NOT_RECORDS.get(name, "a table that the package is not known to write"):
            tally.left_out(_short(name), reason, _count(connection, name))
    for kind, what in (("view", "computed from tables"), ("trigger", "rules for writing")):
        tally.left_out(f"{kind}s", what, others[kind])


def _short(name: str) -> str:
    """Return a name of the file's own choosing that can be shown."""
    plain = "".join(each if each.isprintable() else "?" for each in name)
    return plain if len(plain) <= 80 else f"{plain[:77]}..."  # noqa: PLR2004 - a terminal's width


def _count(connection: sqlite3.Connection, table: str) -> int:
    counted = connection.execute(f"SELECT count(*) FROM {_quoted(table)}")  # noqa: S608 - quoted
    return int(counted.fetchone()[0])


def _embedding_place(form: TableForm, tables: _Tables) -> tuple[str, str] | None:
    """Return the table with the embeddings of a table and its key, if the file has it."""
    if form.own_embedding:
        return (form.name, "id") if "embedding" in tables.columns[form.name] else None
    if form.embeddings is None:
        return None
    table, key = form.embeddings
    return form.embeddings if {key, "embedding"} <= set(tables.columns.get(table, ())) else None


def _survey_embeddings(
    connection: sqlite3.Connection, form: TableForm, tables: _Tables, tally: Tally
) -> None:
    place = _embedding_place(form, tables)
    if place is None:
        return
    table, key = place
    sizes = connection.execute(
        f"SELECT typeof(embedding), length(embedding), count(*) "  # noqa: S608 - names of ours
        f"FROM {table} GROUP BY 1, 2"
    )
    for kind, size, count in sizes:
        whole = _text(kind) == "blob" and size and size % 4 == 0 and size <= 4 * MOST_COMPONENTS
        if whole:
            tables.dimensions[size // 4] += count
    if table != form.name:
        orphans = connection.execute(
            f"SELECT count(*) FROM {table} WHERE {key} NOT IN "  # noqa: S608 - names of ours
            f"(SELECT id FROM {form.name} WHERE id IS NOT NULL)"
        )
        tally.left_out(table, f"embeddings of no row of {form.name}", orphans.fetchone()[0])


def _records(reading: Reading, tables: _Tables, tally: Tally) -> Iterator[Record]:
    with closing(_connect(reading.path)) as connection:
        for form in FORMS:
            if not tables.rows.get(form.name):
                continue
            query = _Query(form, tables)
            last: object = None
            for values in _values(connection, query, tally):
                name = _text(values[0])
                if not is_name(name):
                    tally.left_out(form.name, f"rows without {A_NAME} as their id")
                elif name == last:
                    tally.left_out(form.name, "rows with the id of another row")
                else:
                    yield _record(query.row(str(name), values), reading, tables, tally)
                last = name


@dataclass(frozen=True)
class _Query:
    """How the rows of a table are asked for, each with its embedding."""

    form: TableForm
    tables: _Tables

    @cached_property
    def own(self) -> list[str]:
        """Columns of the table itself."""
        names = self.tables.columns[self.form.name]
        return [name for name in names if name not in {"id", "embedding"}]

    @cached_property
    def embedded(self) -> tuple[str, str] | None:
        """Table of the embeddings and its key."""
        return _embedding_place(self.form, self.tables)

    @cached_property
    def model(self) -> bool:
        """Whether the embeddings say what made them."""
        if self.embedded is None or self.form.own_embedding:
            return False
        return "embedding_model" in self.tables.columns[self.embedded[0]]

    def text(self, condition: str = "") -> str:
        """Return the query, in the order of ids."""
        wanted = ["t.id", *(f"t.{_quoted(name)}" for name in self.own)]
        join = ""
        if self.embedded is not None:
            table, key = self.embedded
            wanted.append("t.embedding" if self.form.own_embedding else "e.embedding")
            wanted += ["e.embedding_model"] * self.model
            if not self.form.own_embedding:
                join = f"LEFT JOIN {table} e ON e.{key} = t.id"
        columns = ", ".join(wanted)
        return f"SELECT {columns} FROM {self.form.name} t {join} {condition} ORDER BY t.id"  # noqa: S608

    def row(self, name: str, values: tuple[Any, ...]) -> _Row:
        """Return what one row of the answer says."""
        row = _Row(self.form, name, dict(zip(self.own, values[1:], strict=False)))
        if self.embedded is not None:
            row.embedding = values[len(self.own) + 1]
            row.model = _text(values[-1]) if self.model else None
        return row


def _values(
    connection: sqlite3.Connection, query: _Query, tally: Tally
) -> Iterator[tuple[Any, ...]]:
    """Yield rows; from where one cannot be read on, row by row, so that the others can."""
    done, last = 0, None
    try:
        for values in connection.execute(query.text()):
            yield values
            done, last = done + 1, values[0]
    except sqlite3.Error:
        yield from _one_by_one(connection, query, tally, done, last)


def _one_by_one(
    connection: sqlite3.Connection, query: _Query, tally: Tally, done: int, last: object
) -> Iterator[tuple[Any, ...]]:
    name, expected, seen = query.form.name, query.tables.rows[query.form.name], done
    last = last.decode(errors="replace") if isinstance(last, bytes) else last
    after, given = ("", ()) if last is None else ("WHERE id > ?", (last,))
    try:
        listed = connection.execute(f"SELECT id FROM {name} {after} ORDER BY id", given)  # noqa: S608
        for (own,) in listed:
            seen += 1
            condition = (
                "WHERE t.id = CAST(? AS TEXT)" if isinstance(own, bytes) else "WHERE t.id = ?"
            )
            try:
                found = connection.execute(query.text(condition), (own,)).fetchall()
            except sqlite3.Error as error:
                tally.damaged(name, f"rows that cannot be read ({error})")
                continue
            yield from found[:1]
    except sqlite3.Error as error:
        tally.damaged(
            name, f"reading stopped after {seen:,} of {expected:,} rows ({error})",
            max(expected - seen, 1),
        )  # fmt: skip


@dataclass
class _Row:
    form: TableForm
    id: str
    columns: dict[str, Any]
    """Columns as they stand, texts as bytes."""
    embedding: object = None
    model: object = None
    """What the file says made the embedding."""


def _record(row: _Row, reading: Reading, tables: _Tables, tally: Tally) -> Record:
    form, where = row.form, row.form.name
    texts = {name: _decoded_text(value, name, tally, where) for name, value in row.columns.items()}
    facts, time_s = _facts(form, texts, tally)
    if row.model is not None:
        facts.put("claimed_embedding_model", str(row.model))
        tally.remark(
            where,
            f"embedding_model says {_short(str(row.model))!r}: a default that the package writes "
            "whatever made the vectors; kept as claimed_embedding_model, not relied on",
        )
    dimension = tables.main_dimension
    vector = None
    if isinstance(row.embedding, bytes) and row.embedding:
        found = len(row.embedding) // 4
        dimension = found if found in tables.dimensions else dimension
        vector, reason = decoded(row.embedding, dimension, tables.metric)
        if reason:
            tally.damaged(where, f"embedding {reason}; its record arrives without a vector")
    elif row.embedding is not None:
        tally.damaged(where, "embedding is no blob; its record arrives without a vector")
    words = (str(texts[name]) for name in form.words if texts.get(name))
    return Record(
        namespace=reading.namespace_of(dimension, tables.main_dimension),
        id=_id(form, row.id),
        kind=form.kind or reading.kind,
        vector=vector,
        metadata=metadata_of(facts),
        text="\n".join(words).replace("\0", " ")[:MOST_TEXT],
        payload=facts.payload(),
        time_s=time_s,
        origin=reading.origin,
    )


def _facts(form: TableForm, columns: dict[str, object], tally: Tally) -> tuple[Facts, float]:
    """Return what the columns of a row say, and when [s]."""
    facts, time_s, where = Facts(form.prefix or "vector"), 0.0, form.name
    facts.metadata["table"] = where
    for name, value in columns.items():
        at_s = None
        if name in TIMES and value is not None:
            at_s, remark = seconds(value, milliseconds=form.milliseconds)
            tally.remark(where, f"{name}: {remark}", bool(remark))
        if at_s is None and name != "metadata":
            add_column(facts, name, value, tally, where)
        elif at_s is not None and name == form.time:
            time_s = at_s
        elif at_s is not None:
            facts.put(f"{name}_s", at_s)
    _point(facts, columns)
    add_column(facts, "metadata", columns.get("metadata"), tally, where)  # columns keep their names
    return facts, time_s


def _id(form: TableForm, own: str) -> str:
    """Return the id of a record: stable, and different from that of every other row."""
    if form.prefix:
        return f"{form.prefix}/{own}"
    taken = own.partition("/")[0] in {*PREFIXES, "vector"}
    return f"vector/{own}" if taken else own


def _decoded_text(value: object, name: str, tally: Tally, where: str) -> object:
    """Return a column's value with text decoded; blobs cannot be told from text here."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        if b"\0" in value:
            return value
        tally.remark(where, f"{name}: text that is not UTF-8; what cannot be read became U+FFFD")
        return value.decode(errors="replace")


def _point(facts: Facts, columns: dict[str, Any]) -> None:
    """Name the records that a causal edge, a score or a source points to by their ids here."""
    for side, kind, number in (
        ("from", "from_memory_type", "from_memory_id"), ("to", "to_memory_type", "to_memory_id"),
        ("of", "memory_type", "memory_id"), ("of", "source_type", "source_id"),
        ("treatment", "treatment_type", "treatment_id"),
    ):  # fmt: skip
        prefix = REFERENCES.get(str(columns.get(kind)))
        if prefix and columns.get(number) is not None:
            facts.put(f"{side}_record", f"{prefix}/{columns[number]}")
