"""The log in PostgreSQL where it is not like other logs: servers that go away, and strangers."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Condition, Event
from typing import Any

import numpy as np
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from postgres_server import SECURED, TemporaryServer, installed

from cellhive.adapters.postgres import writing
from cellhive.adapters.postgres.connecting import Address
from cellhive.adapters.postgres.log import PostgresLog
from cellhive.adapters.postgres.planning import Submission
from cellhive.adapters.postgres.rows import pack
from cellhive.adapters.postgres.schema import Settings, VectorColumn, prepare
from cellhive.core.errors import BadInput, CellHiveError, Unavailable
from cellhive.core.records import Metric, Namespace, Record, RecordKind, Version
from cellhive.core.types import Floats32

ROOT = Path(__file__).resolve().parents[2]
SPACE = Namespace("cells", 3)
NOW_MS = 1_800_000_000_000
_FRESH = count()

WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from cellhive.adapters.postgres.log import PostgresLog
from cellhive.adapters.postgres.schema import Settings
from cellhive.core.records import Record, RecordKind

url, schema, name = sys.argv[1:]
log = PostgresLog(url, now_ms=lambda: 1_800_000_000_000, node=name, settings=Settings(schema))

def write(i):
    vector = np.full(3, i, np.float32)
    mine = Record("cells", f"{name}-{i}", RecordKind.RESULT, vector)
    shared = Record("cells", f"shared-{i % 7}", RecordKind.RESULT, vector)
    return log.put([mine, shared])[0].sequence

with ThreadPoolExecutor(4) as pool:
    assert sorted(pool.map(write, range(60))) == list(range(1, 121, 2))
log.close()
"""


def record(name: str, number: float = 1.0, **changed: Any) -> Record:
    """Return a record of the namespace whose vector tells which one it is."""
    given = {"namespace": "cells", "id": name, "kind": RecordKind.RESULT,
             "vector": np.array([number, 2, 3], np.float32), **changed}  # fmt: skip
    return Record(**given)


def fresh() -> str:
    """Return the name of a schema that nobody uses."""
    return f"fresh{next(_FRESH)}"


@contextmanager
def opened(
    server: TemporaryServer, *, url: str = "", node: str = "north", **options: Any
) -> Iterator[PostgresLog]:
    """Open a log in a schema, a fresh one unless named, with the namespace declared."""
    chosen = Settings(**{"schema": fresh(), **options})
    log = PostgresLog(url or server.url(), now_ms=lambda: NOW_MS, node=node, settings=chosen)
    try:
        log.declare(SPACE)
        yield log
    finally:
        log.close()


@pytest.fixture
def north(postgres: TemporaryServer) -> Iterator[PostgresLog]:
    """Return an empty log."""
    with opened(postgres) as log:
        yield log


@pytest.fixture(scope="module")
def mortal() -> Iterator[TemporaryServer]:
    """Run a server of which nobody expects that it stays up."""
    binaries = installed()
    if binaries is None:
        pytest.skip("needs PostgreSQL: make postgres-server as root, or install it")
    with TemporaryServer(binaries, options={"fsync": "off"}) as server:
        yield server


@pytest.fixture
def restless(mortal: TemporaryServer) -> Iterator[TemporaryServer]:
    """Return a server that a test may stop; for the next test it is up again."""
    yield mortal
    try:
        mortal.sql("SELECT 1")
    except RuntimeError:
        mortal.start()


# --- several writers -------------------------------------------------------------------------


def test_a_reader_misses_no_change_of_several_processes(postgres: TemporaryServer) -> None:
    """Changes are numbered in the order of their commits: whoever follows them sees them all."""
    schema = fresh()
    with opened(postgres, schema=schema) as log:
        writers = [
            subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-c", WRITER, postgres.url(), schema, name]
            )
            for name in ("east", "west")
        ]
        told: dict[int, float] = {}
        after, numbers = 0, []
        while True:
            ended = all(writer.poll() is not None for writer in writers)
            changes = log.changes("cells", after=after, limit=5)
            assert changes.last >= after
            after = changes.last
            numbers += changes.rows.tolist()
            told.update(zip(changes.rows.tolist(), changes.vectors[:, 0].tolist(), strict=True))
            if ended and not len(changes.rows):
                break
        assert [writer.wait() for writer in writers] == [0, 0]
        rows, records = log.scan("cells", limit=1000)
        assert len(rows) == 127
        assert set(numbers) == set(rows.tolist()) == set(range(1, 128))
        there = {row: x.vector[0] for row, x in zip(rows.tolist(), records, strict=True)
                 if x.vector is not None}  # fmt: skip
        assert told == there
        assert sorted(log.seen().values()) == [120, 120]
        assert log.last_change() == after == 240


def test_many_may_open_a_new_log_at_once(postgres: TemporaryServer) -> None:
    """The tables are made once, and everybody gets a name of their own."""
    schema = fresh()

    def write(i: int) -> str:
        with opened(postgres, schema=schema) as log:
            log.put([record(f"r{i}")])
            return log.writer

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(write, range(8)))) == 8
    with opened(postgres, schema=schema) as log:
        assert log.count("cells") == 8


def under_way(future: Future[list[Version]]) -> Future[list[Version]]:
    """Return a submission's future once the writer has taken it up."""
    while not future.running():
        assert not future.done()
    return future


def test_writes_that_wait_share_a_transaction(postgres: TemporaryServer) -> None:
    """While another holds the lock, submissions gather; then they go together, each answered."""
    with opened(postgres) as log:
        schema = log._settings.schema
        with psycopg.connect(postgres.url()) as other:
            other.execute(f'SELECT FROM "{schema}".log_state FOR UPDATE')
            first = under_way(log.submit([record("first")]))
            waiting = [log.submit([record(f"r{i}")]) for i in range(100)]
        assert first.result()[0].sequence == 1
        assert [x.result()[0].sequence for x in waiting] == list(range(2, 102))
        made = postgres.sql(f'SELECT commits FROM "{schema}".writers')  # noqa: S608 - ours
        assert int(made) == 2


def test_what_was_taken_back_in_time_is_not_written(postgres: TemporaryServer) -> None:
    """A future that is cancelled while it waits leaves no trace, and its neighbours are written."""
    with opened(postgres) as log:
        with psycopg.connect(postgres.url()) as other:
            other.execute(f'SELECT FROM "{log._settings.schema}".log_state FOR UPDATE')
            first = under_way(log.submit([record("a")]))
            futures = [first, *(log.submit([record(name)]) for name in "bc")]
            assert futures[1].cancel()
        assert [futures[i].result()[0].sequence for i in (0, 2)] == [1, 2]
        assert [x is not None for x in log.get("cells", ["a", "b", "c"])] == [True, False, True]


# --- a server that goes away ------------------------------------------------------------------


class Writers:
    """Threads that write one record after another and note what was acknowledged."""

    def __init__(self, log: PostgresLog) -> None:
        """Prepare to write to a log."""
        self.log = log
        self.acknowledged: dict[str, Version] = {}
        self.refused: set[str] = set()
        self._news = Condition()
        self._stop = Event()

    def run(self, thread: int) -> None:
        """Write until told to stop."""
        for i in count():
            if self._stop.is_set():
                return
            name = f"{thread}-{i}"
            try:
                version = self.log.put([record(name)])[0]
            except Unavailable as error:
                self.refused.add(name if error.retry_after_s > 0 else "no time to ask again")
                continue
            with self._news:
                self.acknowledged[name] = version
                self._news.notify_all()

    def wait_for(self, more: int) -> None:
        """Wait until so many further writes are acknowledged."""
        with self._news:
            wanted = len(self.acknowledged) + more
            assert self._news.wait_for(lambda: len(self.acknowledged) >= wanted, timeout=60)

    def stop(self) -> None:
        """Let the threads end."""
        self._stop.set()


@pytest.mark.parametrize("crash", ["immediate", "fast", "kill"])
def test_nothing_acknowledged_is_lost_in_a_crash(restless: TemporaryServer, crash: str) -> None:
    """Through two crashes in the middle of writes, each write is there once or was refused."""
    with opened(restless, patience_s=20.0) as log, ThreadPoolExecutor(6) as pool:
        writers = Writers(log)
        ends = [pool.submit(writers.run, thread) for thread in range(6)]
        for _ in range(2):
            writers.wait_for(60)
            if crash == "kill":
                restless.kill()
            else:
                restless.stop(crash)
            restless.start()
        writers.wait_for(60)
        writers.stop()
        for end in ends:
            end.result()
        rows, records = log.scan("cells", limit=1_000_000)
        there = {x.id: x.version for x in records}
        assert there.items() >= writers.acknowledged.items()
        assert set(there) - set(writers.acknowledged) <= writers.refused
        # Nobody wrote an id twice, so a write that was made twice would leave a gap.
        assert sorted(x.sequence for x in there.values()) == list(range(1, len(there) + 1))
        assert dict(log.seen()) == {log.writer: len(there)}
        assert rows.tolist() == list(range(1, len(there) + 1))


class Losing:
    """A connection that is lost around its first commit."""

    def __init__(self, link: psycopg.Connection[Any], *, made: bool) -> None:
        """Wrap a connection; ``made``: lost after the commit, before its answer came."""
        self._link, self._made = link, made

    def __getattr__(self, name: str) -> Any:
        """Be like the connection in all else."""
        return getattr(self._link, name)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a transaction whose answer never comes."""
        if self._made:
            with self._link.transaction():
                yield
        else:
            self._link.execute("BEGIN")
            yield
        self._link.close()
        message = "server closed the connection unexpectedly"
        raise psycopg.OperationalError(message)


@pytest.mark.parametrize("made", [True, False], ids=["commit made", "commit not made"])
def test_a_commit_without_an_answer_is_made_once(postgres: TemporaryServer, *, made: bool) -> None:
    """When the connection is lost around a commit, asking tells whether to write again."""
    with opened(postgres) as log:
        address = Address.parse(postgres.url())
        links = iter([True, False, False])

        def connect() -> Any:
            link = address.connect("test")
            prepare(link, log._settings)
            return Losing(link, made=made) if next(links) else link

        writer = writing.GroupWriter("test~1", address, connect, lambda: NOW_MS, 5.0)
        answers = []
        for name in "ab":
            item = pack(record(name), 1, SPACE, log.vectors)
            submission = Submission([item])
            writer.submit(submission)
            answers += submission.done.result(timeout=60)
        writer.close()
        assert [x.sequence for x in answers] == [1, 2]
        assert [x.version for x in log.get("cells", ["a", "b"]) if x] == answers
        assert (log.last_change(), dict(log.seen())) == (2, {"test~1": 2})


def test_without_a_server_it_says_when_to_ask_again(restless: TemporaryServer) -> None:
    """Reads and writes are Unavailable meanwhile, and go on by themselves afterwards."""
    with opened(restless, patience_s=0.2) as log:
        version = log.put([record("a")])[0]
        restless.stop()
        for attempt in (
            lambda: log.put([record("b")]),
            lambda: log.get("cells", ["a"]),
            log.last_change,
            lambda: PostgresLog(restless.url(), now_ms=lambda: 0, node="n"),
        ):
            with pytest.raises(Unavailable, match="try again") as caught:
                attempt()
            assert 0 < caught.value.retry_after_s <= 30
        restless.start()
        found = log.get("cells", ["a", "b"])
        assert [x.version if x else None for x in found] == [version, None]
        assert log.put([record("b")])[0].sequence == 2


def test_nobody_waits_for_ever(postgres: TemporaryServer) -> None:
    """A write that another writer blocks for too long is Unavailable, and nothing is written."""
    with opened(postgres, statement_timeout_s=0.2) as log:
        with psycopg.connect(postgres.url()) as other:
            other.execute(f'SELECT FROM "{log._settings.schema}".log_state FOR UPDATE')
            with pytest.raises(Unavailable, match="time"):
                log.put([record("a")])
        assert log.get("cells", ["a"]) == [None]
        assert log.put([record("a")])[0].sequence == 1


def test_the_disk_is_waited_for_whatever_the_default(postgres: TemporaryServer) -> None:
    """A server that acknowledges early is told not to."""
    address = Address.parse(postgres.url() + "&options=-c%20synchronous_commit%3Doff")
    link = address.connect("test")
    assert link.execute("SHOW synchronous_commit").fetchone() == ("off",)
    prepare(link, Settings())
    assert link.execute("SHOW synchronous_commit").fetchone() == ("on",)
    link.close()


# --- what is hostile or huge --------------------------------------------------------------------

HOSTILE = ["", "'; DROP TABLE records; --", '"', "%s", "%(a)s", "\\", "$1", "$$", "\0", "a\0b",
           "\uf8ff", "\uf8ff0", "\uf8ff1\0", "\N{SNOWMAN}", "\U0001f4e1", "\u202e", "{}", "NULL",
           "\\N", "E'\\0'", "\r\n", "\x7f\x01"]  # fmt: skip
TEXTS = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=TEXTS, text=TEXTS, origin=TEXTS,
    metadata=st.dictionaries(
        TEXTS,
        TEXTS | st.floats() | st.integers(-(2**63) + 1, 2**63 - 1) | st.booleans() | st.none()
        | st.lists(TEXTS, max_size=3).map(tuple),
        max_size=4,
    ),
    payload=st.binary(max_size=2000) | st.integers(250, 3000).map(bytes),
    time_s=st.floats(allow_nan=False),
)  # fmt: skip
def test_whatever_a_record_says_comes_back(north: PostgresLog, *, name: str, **fields: Any) -> None:
    """Text, numbers and bytes return as they were, and none of them is taken for SQL."""
    north.put([record(name, **fields)])
    found = north.get("cells", [name])[0]
    assert found is not None
    assert found.id == name
    for field, value in fields.items():
        # repr tells -0.0 from 0.0, 1 from True, and finds NaN equal to itself
        assert repr(getattr(found, field)) == repr(value), field
    assert north.keyword("cells", fields["text"] + name, 3)[0].dtype == np.int64


@pytest.mark.parametrize("schema", ["a b", 'quo"te', "semi;colon", "Üpper", "select"])
def test_names_of_schemas_and_namespaces_are_only_names(
    postgres: TemporaryServer, schema: str
) -> None:
    """Names with blanks, quotes and the like work, and stay apart."""
    with opened(postgres, schema=schema) as log:
        strange = Namespace(schema * 3, 1, features=('f"; --',))
        log.declare(strange)
        assert log.namespaces()[strange.name] == strange
        log.put([record("a", namespace=strange.name, vector=None)])
        assert (log.count(strange.name), log.count("cells")) == (1, 0)


def test_a_batch_may_be_huge(postgres: TemporaryServer) -> None:
    """Twenty thousand records, a long payload, a long text and a long id go in at once."""
    rng = np.random.default_rng(3)
    payload = rng.bytes(20_000_000)
    words = " ".join(f"word{i}" for i in range(200_000))
    batch = [record(f"r{i}", i) for i in range(20_000)]
    batch += [record("payload", payload=payload), record("text", text=words), record("i" * 100_000)]
    with opened(postgres) as log:
        versions = log.put(batch)
        assert [x.sequence for x in versions] == list(range(1, len(batch) + 1))
        assert log.count("cells") == len(batch)
        found = log.get("cells", ["payload", "text", "i" * 100_000, "r19999"])
        assert [x is not None for x in found] == [True] * 4
        assert found[0] is not None
        assert found[0].payload == payload
        assert found[1] is not None
        assert found[1].text == words
        assert log.keyword("cells", "WORD7", 5)[0].tolist() == [20_002]
        assert [x.sequence for x in log.put(batch)][-1] == 2 * len(batch)
        assert log.count("cells") == len(batch)


def test_a_record_that_does_not_fit_harms_no_other(postgres: TemporaryServer) -> None:
    """The server's refusal of one submission is told to that one, not to those beside it."""
    with opened(postgres) as log:
        schema = log._settings.schema
        postgres.sql(f"ALTER TABLE {schema}.records ADD CHECK (length(origin) < 9)")
        with psycopg.connect(postgres.url()) as other:
            other.execute(f'SELECT FROM "{schema}".log_state FOR UPDATE')
            waiting: list[Future[list[Version]]] = [
                log.submit([record(f"r{i}", origin="x" * i)]) for i in range(12)
            ]
        fates = [x.exception() for x in waiting]
        assert [x is None for x in fates] == [True] * 9 + [False] * 3
        assert all(isinstance(x, CellHiveError) for x in fates if x is not None)
        assert log.count("cells") == 9
        assert dict(log.seen()) == {log.writer: 9}


# --- databases that are not as they should be -----------------------------------------------------


@pytest.mark.parametrize("version", ["2", "0", "x"])
def test_tables_of_another_version_are_left_alone(postgres: TemporaryServer, version: str) -> None:
    """A log of a newer or older CellHive is refused, naming both versions."""
    schema = fresh()
    with opened(postgres, schema=schema):
        pass
    postgres.sql(f"UPDATE {schema}.about SET value = '{version}' WHERE name = 'schema_version'")  # noqa: S608 - ours
    with (
        pytest.raises(BadInput, match=rf"version 1.*version {version}"),
        opened(postgres, schema=schema),
    ):
        pass


def test_a_database_in_another_encoding_is_refused(postgres: TemporaryServer) -> None:
    """Text could not come back as it was."""
    postgres.sql("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(BadInput, match=r"UTF8.*LATIN1"):
        PostgresLog(postgres.url("old"), now_ms=lambda: 0, node="n")


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional dependency is named."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(BadInput, match=r"cellhive\[postgres\]"):
        PostgresLog("postgresql://h/d", now_ms=lambda: 0, node="n")


@pytest.mark.parametrize("node", ["", "a~b", "n" * 500, "a\0b"])
def test_a_node_has_a_name_that_can_stand_before_a_number(node: str) -> None:
    """A writer is called node~epoch, which must be told apart."""
    with pytest.raises(BadInput, match="node"):
        PostgresLog("postgresql://h/d", now_ms=lambda: 0, node=node)


# --- getting in ----------------------------------------------------------------------------------

SECRET = "s3cr#t/p@ss:w?rd%"  # noqa: S105 - of nobody


def told(attempt: Callable[[], object]) -> str:
    """Return all that an attempt's error says, with its causes and the variables of its frames."""
    with pytest.raises(CellHiveError) as caught:
        attempt()
    full = traceback.TracebackException.from_exception(caught.value)
    return "".join(full.format()) + repr(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://secured:s3cr%23t%2Fp%40ss%3Aw%3Frd%25@/postgres?host={host}",
        f"host={{host}} user=secured password='{SECRET}' dbname=postgres",
        f"postgresql://secured:{SECRET}@/postgres?host={{host}}",
        f"postgresql://secured:{SECRET}@127.0.0.1:1/postgres",
        "postgresql://secured:s3cr/p@ss@127.0.0.1/postgres",
        "postgresql://secured:s3cr@p@ss@127.0.0.1/postgres",
        "postgresql://secured:s3cr:p@ss@127.0.0.1/postgres",
        "postgresql://secured:p@ss@127.0.0.1/postgres",
        "postgres:/secured:s3cr@127.0.0.1/postgres",
        "postgresql://secured:s3cr?p@ss",
        "password=s3cr p@ss",
    ],
)
def test_a_wrong_password_is_never_shown(postgres: TemporaryServer, url: str) -> None:
    """Refused, cut off or mistyped: no part of a password gets into an error."""
    full = url.format(host=postgres.folder)
    said = told(lambda: PostgresLog(full, now_ms=lambda: 0, node="n"))
    assert "s3cr" not in said
    assert "p@ss" not in said
    assert "BadInput" in said or "Unavailable" in said


def test_a_refused_user_is_told_who_was_refused(postgres: TemporaryServer) -> None:
    """A wrong password is bad input, not something to wait for."""
    for url in (f"postgresql://secured:wrong@/postgres?host={postgres.folder}",
                f"postgresql://secured@/postgres?host={postgres.folder}",
                f"postgresql://nobody@/nowhere?host={postgres.folder}"):  # fmt: skip
        with pytest.raises(BadInput, match="lets this user in"):
            PostgresLog(url, now_ms=lambda: 0, node="n")


@pytest.mark.parametrize("way", ["url", "variable", "file"])
def test_a_password_may_come_from_several_places(
    postgres: TemporaryServer, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The URL, PGPASSWORD and the file of PGPASSFILE all open the door; none is shown."""
    role, password = SECURED
    url = f"postgresql://{role}@/postgres?host={postgres.folder}"
    if way == "url":
        url = url.replace(f"{role}@", f"{role}:{password.replace(' ', '%20')}@")
    elif way == "variable":
        monkeypatch.setenv("PGPASSWORD", password)
    else:
        file = tmp_path / "pgpass"
        file.write_text(f"*:*:*:{role}:{password}\n", encoding="utf-8")
        file.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(file))
    schema = fresh()
    postgres.sql(f"CREATE SCHEMA {schema} AUTHORIZATION {role}")
    with opened(postgres, url=url, schema=schema) as log:
        log.put([record("a")])
        assert log.count("cells") == 1
        assert password not in repr(log) + repr(log.__dict__)


def self_signed(name: str) -> tuple[bytes, bytes]:
    """Return a certificate that vouches for itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=20_000))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), secret


def test_tls_is_as_strict_as_it_is_asked_to_be(tmp_path: Path) -> None:
    """No server without TLS, of another name or authority is taken where sslmode forbids it."""
    binaries = installed()
    if binaries is None:
        pytest.skip("needs PostgreSQL: make postgres-server as root, or install it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryServer(binaries, port=port, options={"fsync": "off"}) as server:
        url = f"postgresql://owner@localhost:{port}/postgres?sslmode="
        with pytest.raises(BadInput, match="SSL"):
            PostgresLog(url + "require", now_ms=lambda: 0, node="n")
        certificate, key = self_signed("localhost")
        server.secure(certificate, key)
        authority, other = tmp_path / "ca.pem", tmp_path / "other.pem"
        authority.write_bytes(certificate)
        other.write_bytes(self_signed("localhost")[0])
        url += "verify-full&sslrootcert="
        with opened(server, url=f"{url}{authority}") as log:
            assert log.put([record("a")])[0].sequence == 1
        wrong_name = url.replace("localhost", "127.0.0.1")
        for bad in (f"{url}{other}", f"{wrong_name}{authority}", f"{url}{tmp_path / 'none.pem'}"):
            with pytest.raises(BadInput, match="certificate"):
                PostgresLog(bad, now_ms=lambda: 0, node="n")


# --- vectors -------------------------------------------------------------------------------------


def brute_force(vectors: Floats32, query: Floats32, metric: Metric) -> Any:
    """Return rows, counted from 1, from the nearest to the farthest."""
    wide = vectors.astype(np.float64)
    scores = -((wide - query) ** 2).sum(axis=1) if metric is Metric.L2 else wide @ query
    if metric is Metric.COSINE:
        scores = scores / np.sqrt((wide**2).sum(axis=1)) / np.sqrt((query**2.0).sum())
    return np.argsort(-scores, kind="stable") + 1


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("fixture", ["postgres", "pgvector"])
def test_the_nearest_are_those_of_a_full_scan(
    fixture: str, metric: Metric, request: pytest.FixtureRequest
) -> None:
    """With and without pgvector, the server finds what brute force finds, ties by row."""
    server: TemporaryServer = request.getfixturevalue(fixture)
    rng = np.random.default_rng(11)
    vectors = rng.normal(size=(400, 8)).astype(np.float32)
    vectors[300:] = vectors[:100]  # ties
    space = Namespace("eight", 8, metric)
    with opened(server) as log:
        expected = VectorColumn.PGVECTOR if fixture == "pgvector" else VectorColumn.BYTES
        assert log.vectors is expected
        log.declare(space)
        assert len(log.nearest("eight", vectors[0], 3)[0]) == 0
        log.put([record(f"r{i}", namespace="eight", vector=x) for i, x in enumerate(vectors)])
        log.put([record("none", namespace="eight", vector=None)])
        for query in rng.normal(size=(5, 8)).astype(np.float32):
            wanted = brute_force(vectors, query, metric)[:20]
            rows, scores = log.nearest("eight", query, 20)
            assert rows.tolist() == wanted.tolist()
            assert (np.diff(scores) <= 0).all()
        log.put([record(f"r{wanted[0] - 1}", namespace="eight", vector=None, deleted=True)])
        assert log.nearest("eight", query, 19)[0].tolist() == wanted[1:].tolist()
        with pytest.raises(BadInput, match=r"\(8,\)"):
            log.nearest("eight", vectors[0][:3], 3)


def test_bytes_may_be_asked_for_where_pgvector_is(pgvector: TemporaryServer) -> None:
    """The choice is made once, with the tables; later openings go by the tables."""
    schema = fresh()
    with opened(pgvector, schema=schema, vectors=VectorColumn.BYTES) as log:
        assert log.vectors is VectorColumn.BYTES
        log.declare(Namespace("wide", 20_000))
    with opened(pgvector, schema=schema) as log:
        assert log.vectors is VectorColumn.BYTES
        log.put([record("a", 0.1)])
        assert log.changes("cells", after=0, limit=1).vectors[0, 0] == np.float32(0.1)


def test_what_pgvector_cannot_hold_is_refused(pgvector: TemporaryServer) -> None:
    """Too many components, and components that are no numbers."""
    with opened(pgvector) as log:
        with pytest.raises(BadInput, match="16000"):
            log.declare(Namespace("wide", 16_001))
        with pytest.raises(BadInput, match="finite"):
            log.put([record("a", float("nan"))])


def test_pgvector_is_not_promised_where_it_is_not(postgres: TemporaryServer) -> None:
    """Who insists on the extension hears that it is missing, and no tables are made."""
    if postgres.sql("SELECT FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("this server has pgvector")
    schema = fresh()
    with (
        pytest.raises(BadInput, match="pgvector"),
        opened(postgres, schema=schema, vectors=VectorColumn.PGVECTOR),
    ):
        pass
    assert not postgres.sql(f"SELECT 1 FROM pg_namespace WHERE nspname = '{schema}'")  # noqa: S608 - ours


# --- operating it ------------------------------------------------------------------------------


def test_a_restored_backup_goes_on_under_new_names(postgres: TemporaryServer) -> None:
    """What a backup forgot was written by names that nobody uses again."""
    for name in ("source", "target"):
        postgres.sql(f"CREATE DATABASE {name}")
    now_ms = iter(range(NOW_MS, NOW_MS + 10**9, 60_000))

    def open_(database: str) -> PostgresLog:
        return PostgresLog(postgres.url(database), now_ms=lambda: next(now_ms), node="north")

    log = open_("source")
    log.declare(SPACE)
    log.put([record("a", 7.0, text="rain"), record("b")])
    log.close()
    dump = postgres.dump("source")
    later = open_("source")
    forgotten = later.put([record("c")])[0]
    later.close()
    postgres.restore(dump, "target")
    restored = open_("target")
    assert [x is not None for x in restored.get("cells", ["a", "b", "c"])] == [True, True, False]
    assert restored.keyword("cells", "rain", 3)[0].tolist() == [1]
    assert restored.put([record("d")])[0].writer != forgotten.writer
    assert restored.read("cells", np.array([3]))[0] is not None
    restored.close()


def test_the_privileges_of_the_page_are_enough_and_needed(postgres: TemporaryServer) -> None:
    """With the grants of the how-to a role can use a memory; without any of them it cannot."""
    page = (ROOT / "docs" / "how-to" / "memory-postgres.md").read_text(encoding="utf-8")
    match = re.search(r"```sql\n(.*?)```", page, re.DOTALL)
    assert match is not None
    create, *grants = [x.strip() for x in match[1].split(";") if x.strip()]
    postgres.sql("CREATE DATABASE cellhive")
    postgres.sql("REVOKE ALL ON DATABASE cellhive FROM PUBLIC")
    postgres.sql(create)

    def use() -> None:
        url = postgres.url("cellhive", "hive")
        log = PostgresLog(url, now_ms=lambda: NOW_MS, node="n")
        try:
            log.declare(Namespace("more", 2))
            versions = log.put([record("a"), record("b"), record("a", deleted=True)])
            far = [
                structs.replace(versions[0], writer="far~1", sequence=number)
                for number in (3, 1, 2)
            ]
            for version in far:
                log.put([record("c", version=version)])
            log.absorb(log.since({}, limit=9)).result()
            assert log.keyword("cells", "rain", 3)[0].tolist() == []
            assert log.seen()["far~1"] == 3
        finally:
            log.close()

    owned = PostgresLog(postgres.url("cellhive"), now_ms=lambda: NOW_MS, node="n")
    owned.declare(SPACE)
    owned.close()
    for left_out in range(len(grants)):
        postgres.sql("REASSIGN OWNED BY hive TO owner; DROP OWNED BY hive", "cellhive")
        others = [grant for i, grant in enumerate(grants) if i != left_out]
        postgres.sql("; ".join(others), "cellhive")
        with pytest.raises(BadInput, match=r"permission|privilege"):
            use()
    postgres.sql(grants[-1], "cellhive")
    use()


def test_tools_of_the_server_leave_nothing_behind() -> None:
    """A temporary server is gone with its folder, also when the test that used it failed."""
    binaries = installed()
    if binaries is None:
        pytest.skip("needs PostgreSQL: make postgres-server as root, or install it")
    server = TemporaryServer(binaries, options={"fsync": "off"})

    def use() -> None:
        with server:
            pids.append((server.data / "postmaster.pid").read_text(encoding="utf-8").split()[0])
            raise ZeroDivisionError

    pids: list[str] = []
    with pytest.raises(ZeroDivisionError):
        use()
    assert not server.folder.exists()
    command = Path(f"/proc/{pids[0]}/cmdline")
    assert not command.exists() or not command.read_bytes()  # gone, or waiting for its parent
