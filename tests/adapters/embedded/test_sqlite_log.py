"""What the SQLite log does beyond the contract: damage, full disks, keys, kills, copies."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from record_logs import START_MS

from cellhive.adapters.embedded import copies, encryption, schema
from cellhive.adapters.embedded.encryption import KeySource
from cellhive.adapters.embedded.schema import Durability
from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.core.errors import BadInput, NotFound, Unavailable
from cellhive.core.records import Namespace, Record, RecordKind

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
HIDDEN = "overshooting"


def record(number: int, text: str = "", payload: bytes = b"") -> Record:
    """Return a record that tells its number in every way."""
    return Record("cells", f"r{number}", RecordKind.RESULT, np.full(4, number, np.float32),
                  {"number": number}, text, payload)  # fmt: skip


@contextmanager
def opened(path: Path, **options: object) -> Iterator[SqliteLog]:
    """Open a memory with the namespace of the tests."""
    log = SqliteLog(path, now_ms=lambda: START_MS, **options)  # type: ignore[arg-type]  # checked there
    try:
        log.declare(Namespace("cells", 4))
        yield log
    finally:
        log.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a memory of forty records is."""
    path = tmp_path / "memory.db"
    with opened(path) as log:
        log.put([record(i, f"text {i}", bytes([i]) * 500) for i in range(40)])
    return path


# --- files that are not what they should be ------------------------------------------------------


def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A file of something else, an SQLite database too, is bad input, and stays as it is."""
    text, database = tmp_path / "text", tmp_path / "other.db"
    text.write_bytes(b"no database at all, but long enough to be looked at" * 50)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE things (a)")
    for path in (text, database):
        before = path.read_bytes()
        with pytest.raises(BadInput, match=path.name):
            SqliteLog(path, now_ms=lambda: START_MS)
        assert path.read_bytes() == before
        assert copies.problems(path)


def test_another_format_is_refused(path: Path) -> None:
    """A file of a newer format says so, and so does one that is too old."""
    for version, advice in ((schema.SCHEMA_VERSION + 1, "newer"), (-1, "export")):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version={version}")
        with pytest.raises(BadInput, match=advice) as caught:
            SqliteLog(path, now_ms=lambda: START_MS)
        assert f"found format {version};" in str(caught.value)


def test_an_older_format_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations run one after the other within the opening, or not at all."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=-1")

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (a)")
        message = "halfway"
        raise Unavailable(message, retry_after_s=0)

    monkeypatch.setitem(schema.MIGRATIONS, -1, fail)
    with pytest.raises(Unavailable, match="halfway"):
        SqliteLog(path, now_ms=lambda: START_MS)

    def migrate(connection: sqlite3.Connection) -> None:
        assert connection.execute("SELECT 1 FROM sqlite_schema WHERE name='half'").fetchall() == []
        connection.execute(f"PRAGMA user_version={schema.SCHEMA_VERSION}")

    monkeypatch.setitem(schema.MIGRATIONS, -1, migrate)
    monkeypatch.setitem(schema.MIGRATIONS, 0, lambda _: None)
    with opened(path) as log:
        assert log.count("cells") == 40


@pytest.mark.parametrize("share", [0.0005, 0.2, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_noticed(path: Path, share: float) -> None:
    """A file that was cut off is refused, not taken for a smaller memory."""
    os.truncate(path, int(path.stat().st_size * share))
    assert copies.problems(path)
    if share < 0.99:
        with pytest.raises(BadInput, match="damaged"), opened(path) as log:
            log.scan("cells", limit=100)


def test_changed_bytes_are_noticed(path: Path) -> None:
    """Wherever a byte changes, records come back as they were, or the damage is told.

    Records have checksums. The trees that lead to them have none: where one leads nowhere any
    more, looking for problems finds it.
    """
    rng, told = np.random.default_rng(3), 0
    with opened(path) as log:
        log.put([record(i, f"text {i}", rng.bytes(500)) for i in range(300)])
        original = {x.id: x for x in log.scan("cells", limit=999)[1]}
    whole = path.read_bytes()
    for place in rng.integers(100, len(whole), 60).tolist():
        changed = bytearray(whole)
        changed[place] ^= 1 + int(rng.integers(255))
        path.write_bytes(changed)
        for rest in path.parent.glob("memory.db-*"):
            rest.unlink()
        try:
            with opened(path) as log:
                found = log.scan("cells", limit=999)[1]
                vectors = log.changes("cells", after=0, limit=999).vectors
        except (BadInput, Unavailable):
            told += 1
            continue
        for each in found:
            before = original[each.id]
            assert (each.text, each.payload, dict(each.metadata)) == (
                before.text, before.payload, dict(before.metadata))  # fmt: skip
            assert each.vector is not None
            assert float(each.vector[0]) == each.metadata["number"]
        if sorted(vectors[:, 0].tolist()) != list(range(300)) or len(found) != 300:
            told += 1
            assert copies.problems(path)
    assert told > 10


def test_a_record_damaged_on_purpose_is_named(path: Path) -> None:
    """A value changed behind our back is found by its checksum, by reading and by looking."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE records SET vector=zeroblob(16) WHERE id='r7'")
        connection.execute("UPDATE records SET payload=x'00ff' WHERE id='r8'")
    with opened(path) as log:
        for attempt in (
            lambda: log.get("cells", ["r7"]),
            lambda: log.get("cells", ["r8"]),
            lambda: log.changes("cells", after=0, limit=99),
        ):
            with pytest.raises(BadInput, match=r"r[78]"):
                attempt()
        assert log.get("cells", ["r9"])[0] is not None
    found = copies.problems(path)
    assert [x for x in found if "r7" in x]
    assert [x for x in found if "r8" in x]


def test_wrong_books_are_found(path: Path) -> None:
    """Counts, and an index of words, that differ from the records are problems."""
    assert copies.problems(path) == []
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tally SET records=7")
        connection.execute(
            "INSERT INTO keywords (keywords, rowid, text) SELECT 'delete', row, text "
            "FROM records WHERE id='r3'"
        )
    assert len(copies.problems(path)) == 2


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Where no file can be made the place and the way out are named."""
    with pytest.raises(BadInput, match="folder"):
        SqliteLog(tmp_path / "missing" / "memory.db", now_ms=lambda: START_MS)
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(BadInput, match="folder"):
        SqliteLog(tmp_path / "folder.db", now_ms=lambda: START_MS)


def test_a_file_that_cannot_be_written_is_told(path: Path) -> None:
    """Without the right to write nothing is opened, and nothing lost."""
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everything")
    path.chmod(stat.S_IRUSR)
    with pytest.raises(BadInput, match="written"):
        SqliteLog(path, now_ms=lambda: START_MS)


# --- full disks ----------------------------------------------------------------------------------


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size [bytes], as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def put_until_full(log: SqliteLog) -> int:
    """Write batches of twenty until one fails; return how many records were acknowledged."""
    for i in range(100):
        try:
            log.put([record(20 * i + j, payload=os.urandom(5000)) for j in range(20)])
        except Unavailable as error:
            assert "room" in str(error)  # noqa: PT017  # the loop counts what came before
            return 20 * i
    pytest.fail("the disk never filled")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """Writes that find no room fail clearly; all acknowledged stay, and writing goes on later."""
    path = tmp_path / "memory.db"
    with opened(path) as log:
        with files_of_at_most(2_000_000):
            acknowledged = put_until_full(log)
            assert log.count("cells") == acknowledged > 100
            with pytest.raises(Unavailable, match="room"):
                log.put([record(10_000 + j, payload=os.urandom(5000)) for j in range(300)])
            assert log.count("cells") == acknowledged
        assert log.put([record(20_000)])[0].sequence == acknowledged + 1
    with opened(path) as log:
        assert log.count("cells") == acknowledged + 1
        ids = [f"r{i}" for i in range(acknowledged)]
        assert None not in log.get("cells", ids)
    assert copies.problems(path) == []


# --- turns ---------------------------------------------------------------------------------------


def test_a_writer_that_keeps_its_turn_is_told_of(path: Path) -> None:
    """Where another process holds the lock a write ends with a reason; reading goes on."""
    with opened(path, patience_s=0.05) as log, closing(sqlite3.connect(path)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="turn"):
            log.put([record(100)])
        assert log.count("cells") == 40
        other.execute("ROLLBACK")
        assert log.put([record(100)])[0].sequence == 1


def test_the_write_ahead_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    """Writing the same records again and again takes no more and more room."""
    path = tmp_path / "memory.db"
    with opened(path) as log:
        for _ in range(40):
            log.put([record(i, payload=os.urandom(20_000)) for i in range(50)])
        assert (tmp_path / "memory.db-wal").stat().st_size < 25_000_000
        log.fold()
        assert (tmp_path / "memory.db-wal").stat().st_size == 0
    assert not (tmp_path / "memory.db-wal").exists()


# --- encryption ----------------------------------------------------------------------------------


def key(value: bytes = KEY) -> KeySource:
    """Return a source of a key."""
    return lambda: value


def everything_written(folder: Path) -> bytes:
    """Return the bytes of all files of a folder."""
    return b"".join(x.read_bytes() for x in sorted(folder.rglob("*")) if x.is_file())


def test_nothing_said_is_on_the_disk_in_clear(tmp_path: Path) -> None:
    """Text, metadata, payload and vector of an encrypted memory are in none of its files."""
    path = tmp_path / "memory.db"
    vector = np.array([1.25, -7.5, 3.0625, 9.75], np.float32)
    hidden = Record("cells", "a", RecordKind.RESULT, vector, {"why": HIDDEN}, f"{HIDDEN} cell",
                    HIDDEN.encode())  # fmt: skip
    clear = tmp_path / "clear"
    clear.mkdir()
    for place, options in ((path, {"key": key()}), (clear / "memory.db", {})):
        with opened(place, **options) as log:
            log.put([hidden])
            written = everything_written(place.parent)
            assert len(log.keyword("cells", HIDDEN, 9)[0]) == 1
            found = [x in written for x in (HIDDEN.encode(), vector.tobytes(), KEY)]
            assert found == ([False] * 3 if options else [True, True, False])
            assert (log.derived(tmp_path / "indexes") is None) == bool(options)
        shutil.rmtree(clear, ignore_errors=True) if not options else None


@pytest.mark.parametrize(
    ("made", "used", "told"),
    [
        (key(), key(OTHER_KEY), "another one"),
        (key(), None, "encrypted, found none"),
        (None, key(), "one that is not"),
        (key(), key(b"short"), "32 bytes"),
    ],
)
def test_only_its_key_opens_a_memory(
    tmp_path: Path, made: KeySource | None, used: KeySource | None, told: str
) -> None:
    """Another key, no key and a key too many are told apart, without showing any of them."""
    path = tmp_path / "memory.db"
    with opened(path, key=made) as log:
        log.put([record(1)])
    with pytest.raises(BadInput, match=told) as caught:
        SqliteLog(path, now_ms=lambda: START_MS, key=used)
    assert OTHER_KEY.hex() not in str(caught.value)
    with opened(path, key=made) as log:
        assert log.get("cells", ["r1"])[0] is not None
    assert copies.problems(path) == []


def test_values_cannot_be_swapped(tmp_path: Path) -> None:
    """An encrypted value put in the place of another, or changed, does not open."""
    path = tmp_path / "memory.db"
    with opened(path, key=key()) as log:
        log.put([record(1, "one", b"1"), record(2, "two", b"2")])
    columns = ("vector", "metadata", "text", "payload")
    for column in columns:
        with closing(sqlite3.connect(path)) as connection, connection:
            other, checksum = connection.execute(
                f"SELECT {column}, checksum FROM records WHERE id='r2'"  # noqa: S608  # ours
            ).fetchone()
            before = connection.execute("SELECT * FROM records WHERE id='r1'").fetchone()
            connection.execute(f"UPDATE records SET {column}=? WHERE id='r1'", (other,))  # noqa: S608  # ours
            stored = connection.execute(
                f"SELECT {schema.STORED_COLUMNS} FROM records WHERE id='r1'"  # noqa: S608  # ours
            ).fetchone()
        assert checksum != stored[-1]
        assert_does_not_open(path, KEY, stored)
        with closing(sqlite3.connect(path)) as connection, connection:
            marks = ", ".join("?" * len(before))
            connection.execute(f"REPLACE INTO records VALUES ({marks})", before)  # noqa: S608  # ours


def assert_does_not_open(path: Path, secret: bytes, stored: tuple[object, ...]) -> None:
    """Fail where a swapped row opens, even to whoever computes its checksum anew."""
    from cellhive.adapters.embedded.rows import row_codec  # noqa: PLC0415

    with closing(sqlite3.connect(path)) as connection:
        salt = schema.state(connection, "salt")
    assert isinstance(salt, bytes)
    codec = row_codec.RowCodec(encryption.Cipher(secret, salt))
    renewed = [*stored[:-1], row_codec.checksum_of("cells", "w~1", stored)]
    with pytest.raises(BadInput, match="expected"):
        codec.decode("cells", "w~1", renewed)


def test_keys_come_from_files_and_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are read as bytes or digits; a file for all eyes, and nonsense, are refused."""
    file = tmp_path / "key"
    for content in (KEY, KEY.hex().encode() + b"\n"):
        file.write_bytes(content)
        file.chmod(0o600)
        assert encryption.key_from_file(file)() == KEY
    file.chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        encryption.key_from_file(file)()
    with pytest.raises(NotFound):
        encryption.key_from_file(tmp_path / "none")()
    monkeypatch.setenv("CELLHIVE_TEST_KEY", KEY.hex())
    assert encryption.key_from_environment("CELLHIVE_TEST_KEY")() == KEY
    monkeypatch.setenv("CELLHIVE_TEST_KEY", "zz" * 32)
    with pytest.raises(BadInput, match="64 hexadecimal") as caught:
        encryption.key_from_environment("CELLHIVE_TEST_KEY")()
    assert "zz" not in str(caught.value)
    monkeypatch.delenv("CELLHIVE_TEST_KEY")
    with pytest.raises(NotFound):
        encryption.key_from_environment("CELLHIVE_TEST_KEY")()
    assert len({encryption.new_key() for _ in range(9)}) == 9


def test_keys_are_not_shown(tmp_path: Path) -> None:
    """What is printed of a log, its cipher and a source of keys does not tell the key."""
    with opened(tmp_path / "memory.db", key=key()) as log:
        shown = repr(log) + repr(vars(log)) + repr(encryption.Cipher(KEY, bytes(16)))
    for form in (KEY.hex(), repr(KEY)[2:-1], str(list(KEY))):
        assert form not in shown


# --- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, key()], ids=["clear", "encrypted"])
def test_a_backup_is_a_memory_of_one_moment(tmp_path: Path, secret: KeySource | None) -> None:
    """A copy taken while others write is whole, has a life of its own, and replaces nothing."""
    path, target = tmp_path / "memory.db", tmp_path / "copy" / "memory.db"
    target.parent.mkdir()
    with opened(path, key=secret) as log:
        log.put([record(i, f"text {i}") for i in range(50)])
        queued = [log.submit([record(100 + 2 * i), record(101 + 2 * i)]) for i in range(50)]
        copies.back_up(path, target)
        for future in queued:
            future.result()
        incarnation, writer = log.incarnation, log.writer
    assert [x.name for x in target.parent.iterdir()] == ["memory.db"]
    assert copies.problems(target) == []
    with opened(target, key=secret) as copy:
        assert copy.count("cells") >= 50
        assert copy.count("cells") % 2 == 0
        assert copy.incarnation != incarnation
        assert copy.put([record(1)])[0].writer != writer
        assert len(copy.keyword("cells", "7", 9)[0]) == 1
    with pytest.raises(BadInput, match="nothing is yet"):
        copies.back_up(path, target)
    with pytest.raises(NotFound):
        copies.back_up(tmp_path / "none.db", tmp_path / "x.db")
    assert not (tmp_path / "none.db").exists()


# --- kills ---------------------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
import numpy as np
from cellhive.adapters.embedded.schema import Durability
from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.core.records import Namespace, Record, RecordKind

log = SqliteLog(Path(sys.argv[1]), now_ms=lambda: 1_800_000_000_000,
                durability=Durability(sys.argv[2]))
log.declare(Namespace("cells", 4))
start = int(sys.argv[3])
print("writer", log.writer, flush=True)
for i in range(start, start + 1_000_000, 2):
    pair = [Record("cells", f"r{n}", RecordKind.RESULT, np.full(4, n, np.float32),
                   {"number": n}, f"text {n}", bytes(3000)) for n in (i, i + 1)]
    versions = log.put(pair)
    print("ok", i, versions[-1].sequence, flush=True)
"""


@pytest.mark.parametrize("durability", list(Durability))
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, durability: Durability) -> None:
    """After kill -9 in the middle of writing, each pair is whole or absent, the told are there."""
    path, start, writers = tmp_path / "memory.db", 0, []
    for kills in (3, 40, 17, 90):
        process = subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-c", WRITER, str(path), durability.value, str(start)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        writers.append(process.stdout.readline().split()[1])
        told = -2
        for line in process.stdout:
            told = int(line.split()[1])
            if told >= start + 2 * kills:
                break
        process.kill()
        for line in process.stdout.read().splitlines():
            told = int(line.split()[1]) if line.startswith("ok ") else told
        process.stdout.close()
        process.wait()
        with opened(path, durability=durability) as log:
            numbers = sorted(int(x.id[1:]) for x in log.scan("cells", limit=10**6)[1])
            assert numbers == list(range(len(numbers)))
            assert told + 2 <= len(numbers) <= told + 4
            assert log.count("cells") == len(numbers)
            start = len(numbers)
    assert len(set(writers)) == 4
    assert copies.problems(path) == []


def test_processes_write_and_read_side_by_side(tmp_path: Path) -> None:
    """Three processes write at once while this one reads: nothing is lost, nothing half seen."""
    path = tmp_path / "memory.db"
    with opened(path) as log:
        processes = [
            subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-c", WRITER, str(path), "normal", str(1_000_000 * i)],
                stdout=subprocess.PIPE, text=True,
            )
            for i in range(3)
        ]  # fmt: skip
        told = {}
        for process in processes:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("ok ") and int(line.split()[1]) % 1_000_000 >= 60:
                    break
            rows, records = log.scan("cells", limit=10**6)
            assert len(records) % 2 == 0
            assert rows.tolist() == sorted(rows.tolist())
        for i, process in enumerate(processes):
            assert process.stdout is not None
            process.kill()
            rest = [x for x in process.stdout.read().splitlines() if x.startswith("ok ")]
            told[i] = int(rest[-1].split()[1]) if rest else 1_000_000 * i + 60
            process.stdout.close()
            process.wait()
        numbers = {int(x.id[1:]) for x in log.scan("cells", limit=10**6)[1]}
        for i, last in told.items():
            assert set(range(1_000_000 * i, last + 2)) <= numbers
        assert log.put([record(7)])[0].sequence == 1
    assert copies.problems(path) == []
