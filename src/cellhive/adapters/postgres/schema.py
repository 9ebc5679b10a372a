"""The tables of a log in PostgreSQL: made where missing, refused where of another version.

One schema holds one log. ``log_state`` has one row, and every writer locks it first: so
transactions commit in the order of their change numbers. (A sequence would hand out numbers
before the commit, and a reader could pass by a number that is not visible yet, for good.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cellhive.adapters.postgres.connecting import Row, driver
from cellhive.core.errors import BadInput, Unavailable

if TYPE_CHECKING:
    import psycopg

SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE about (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE log_state (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  last_change bigint NOT NULL DEFAULT 0,
  last_hlc bigint NOT NULL DEFAULT 0);
CREATE TABLE nodes (node text COLLATE "C" PRIMARY KEY, epoch bigint NOT NULL);
CREATE TABLE writers (
  writer text COLLATE "C" PRIMARY KEY,
  sequence bigint NOT NULL,             -- everything up to it is known
  commits bigint NOT NULL DEFAULT 0);   -- tells whether a transaction without an answer was made
CREATE TABLE ahead (                    -- known beyond a gap
  writer text COLLATE "C", sequence bigint, PRIMARY KEY (writer, sequence));
CREATE TABLE namespaces (
  namespace_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  dimension integer NOT NULL,
  metric text NOT NULL,
  storage text NOT NULL,
  features text[] NOT NULL,
  last_row bigint NOT NULL DEFAULT 0);
CREATE TABLE records (
  namespace_id integer NOT NULL,
  row_no bigint NOT NULL,
  change bigint NOT NULL,
  time_hlc bigint NOT NULL,
  sequence bigint NOT NULL,
  time_s double precision NOT NULL,
  deleted boolean NOT NULL,
  writer text COLLATE "C" NOT NULL,
  key bytea NOT NULL,                   -- digest of the id, which may be long
  id text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  origin text NOT NULL,
  text text NOT NULL,
  metadata json NOT NULL,
  payload bytea NOT NULL,
  vector {vector},
  words tsvector);
"""
_INDEXES = """
ALTER TABLE records ALTER payload SET STORAGE EXTERNAL, ALTER vector SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX records_row ON records (namespace_id, row_no);
CREATE UNIQUE INDEX records_key ON records (namespace_id, key);
CREATE UNIQUE INDEX records_change ON records (namespace_id, change);
CREATE INDEX records_version ON records (writer, sequence);
CREATE INDEX records_kind ON records (namespace_id, kind, row_no) WHERE NOT deleted;
CREATE INDEX records_words ON records USING gin (words) WHERE words IS NOT NULL;
INSERT INTO log_state DEFAULT VALUES;
"""


class VectorColumn(StrEnum):
    """How vectors lie in the table."""

    AUTO = "auto"
    """pgvector's type where the extension can be had, else bytes."""
    PGVECTOR = "vector"
    BYTES = "bytea"
    """Little-endian float32."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a log uses its database."""

    schema: str = "cellhive"
    """Schema with the tables of the log; one log has one of its own."""
    vectors: VectorColumn = VectorColumn.AUTO
    """Only asked when the tables are made; later they say it themselves."""
    statement_timeout_s: float = 60.0
    """How long one statement may take, or wait for other writers."""
    patience_s: float = 5.0
    """How long a write waits for a server that went away, before it is Unavailable."""


def prepare(link: psycopg.Connection[Row], settings: Settings) -> None:
    """Set a fresh connection up: time-outs, durability, and which tables are meant."""
    timeout_ms = round(settings.statement_timeout_s * 1000)
    link.execute(
        "SELECT set_config('statement_timeout', %(time)s, false),"
        " set_config('lock_timeout', %(time)s, false),"
        # A writer that lost its way lets the others go on.
        " set_config('idle_in_transaction_session_timeout', %(time)s, false),"
        " set_config('TimeZone', 'UTC', false),"
        # What is acknowledged is on disk, whatever the server's default says.
        " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
        "   WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),"
        " set_config('search_path', concat_ws(', ', quote_ident(%(schema)s),"
        "   (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n"
        "    ON n.oid = e.extnamespace WHERE e.extname = 'vector')), false)",
        {"time": f"{timeout_ms}ms", "schema": settings.schema},
    )


def open_tables(link: psycopg.Connection[Row], settings: Settings) -> VectorColumn:
    """Make the tables where they are missing and return how they hold vectors.

    Raises:
        BadInput: The database is of another encoding, or its tables of another version.
    """
    encoding = _value(link, "SHOW server_encoding")
    if encoding != "UTF8":
        raise BadInput(
            expected="a database in UTF8",
            found=encoding,
            remedy="createdb --encoding=UTF8 --template=template0",
        )
    if _value(link, "SELECT pg_is_in_recovery()::text") == "true":
        message = "expected a server that takes writes, found a standby; connect to the primary"
        raise Unavailable(message, retry_after_s=5.0)
    if not _made(link, settings.schema):
        with link.transaction():
            # Whoever comes second waits here, and finds the tables made.
            link.execute("SELECT pg_advisory_xact_lock(hashtextextended('cellhive log', 0))")
            if not _made(link, settings.schema):
                _make(link, settings)
        prepare(link, settings)
    about: dict[str, str] = dict(link.execute("SELECT name, value FROM about").fetchall())
    if about.get("schema_version") != str(SCHEMA_VERSION):
        raise BadInput(
            expected=f"tables of version {SCHEMA_VERSION}",
            found=f"version {about.get('schema_version', 'unknown')}",
            remedy="use the CellHive that made them, or another schema or database",
            place=f"schema {settings.schema}",
        )
    return VectorColumn(about["vectors"])


def _value(link: psycopg.Connection[Row], query: str) -> str:
    row = link.execute(query).fetchone()
    return str(row[0]) if row else ""


def _made(link: psycopg.Connection[Row], schema: str) -> bool:
    # Not to_regclass: it may answer from a cache filled before another process made the tables.
    query = (
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = 'about'"
    )
    return link.execute(query, (schema,)).fetchone() is not None


def _make(link: psycopg.Connection[Row], settings: Settings) -> None:
    psycopg = driver()
    column = settings.vectors
    if column is not VectorColumn.BYTES:
        column = VectorColumn.PGVECTOR if _extension(link) else VectorColumn.BYTES
    if settings.vectors is VectorColumn.PGVECTOR and column is not VectorColumn.PGVECTOR:
        raise BadInput(
            expected="the extension pgvector",
            found="a server without it, or a role that may not create it",
            remedy="install it and CREATE EXTENSION vector, or leave the vectors to bytes",
        )
    name = psycopg.sql.Identifier(settings.schema)
    exists = "SELECT FROM pg_namespace WHERE nspname = %s"
    if link.execute(exists, (settings.schema,)).fetchone() is None:
        link.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(name))
    prepare(link, settings)
    kind = psycopg.sql.SQL(column.value)
    link.execute(psycopg.sql.SQL(_TABLES).format(vector=kind))
    link.execute(_INDEXES)
    link.execute(
        "INSERT INTO about VALUES ('schema_version', %s), ('vectors', %s)",
        (str(SCHEMA_VERSION), column.value),
    )


def _extension(link: psycopg.Connection[Row]) -> bool:
    """Return whether pgvector is in this database, after trying to put it there."""
    psycopg = driver()
    here = "SELECT FROM pg_extension WHERE extname = 'vector'"
    if link.execute(here).fetchone() is not None:
        return True
    available = "SELECT FROM pg_available_extensions WHERE name = 'vector'"
    if link.execute(available).fetchone() is None:
        return False
    try:
        with link.transaction():
            # Not among our tables: other logs of the database use it too.
            link.execute("CREATE EXTENSION vector SCHEMA public")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True
