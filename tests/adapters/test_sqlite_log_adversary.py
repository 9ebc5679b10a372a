"""The log in an SQLite file in the hands of killers, copiers, lingerers and flipped bits."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellhive.adapters.embedded import copies, sqlite_log
from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.core.errors import BadInput, NotFound, Unavailable
from cellhive.core.records import Delta, Namespace, Record, RecordKind, Version

SPACE = Namespace("cells", 4)
NOW_MS = 1_800_000_000_000

WRITER = """
import sys, threading
from pathlib import Path
import numpy as np
from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.core.records import Record, RecordKind

path, name = sys.argv[1:]
log = SqliteLog(Path(path), now_ms=lambda: 1_800_000_000_000, node=name)
lock = threading.Lock()

def run(thread):
    for i in range(1_000_000):
        vector = np.full(4, i, np.float32)
        mine = Record("cells", f"{name}-{thread}-{i}", RecordKind.RESULT, vector, text=f"w{i % 9}")
        shared = Record("cells", f"shared{i % 5}", RecordKind.RESULT, vector, deleted=i % 3 == 0)
        version = log.put([mine, shared])[0]
        with lock:
            print(mine.id, version.time_hlc, version.writer, version.sequence, flush=True)

for thread in range(3):
    threading.Thread(target=run, args=(thread,), daemon=True).start()
threading.Event().wait()
"""


def record(name: str, **changed: Any) -> Record:
    """Return a record of the namespace."""
    given = {"namespace": "cells", "id": name, "kind": RecordKind.RESULT,
             "vector": np.ones(4, np.float32), "text": "rain", **changed}  # fmt: skip
    return Record(**given)


def opened(path: Path, *, now_ms: int = NOW_MS, node: str = "north", **options: Any) -> SqliteLog:
    """Open a log with the namespace declared."""
    log = SqliteLog(path, now_ms=lambda: now_ms, node=node, **options)
    log.declare(SPACE)
    return log


def test_two_killed_writers_lose_nothing_and_a_reader_misses_nothing(tmp_path: Path) -> None:
    """Twice two processes of three threads are killed in the middle of writes, while one reads."""
    path = tmp_path / "memory.db"
    acknowledged: dict[str, Version] = {}
    told: set[int] = set()
    after = 0
    with closing(opened(path)) as log:
        for round_ in range(2):
            processes = [
                subprocess.Popen(  # noqa: S603 - our own interpreter
                    [sys.executable, "-c", WRITER, str(path), f"{name}{round_}"],
                    stdout=subprocess.PIPE, text=True,
                )
                for name in ("east", "west")
            ]  # fmt: skip
            lines: list[str] = []
            for process in processes:
                assert process.stdout is not None
                lines += [process.stdout.readline() for _ in range(40)]
                changes = log.changes("cells", after=after, limit=1_000_000)
                after = changes.last
                told |= set(changes.rows.tolist())
            for process in processes:
                process.send_signal(signal.SIGKILL)
            for process in processes:
                lines += process.communicate()[0].splitlines(keepends=True)
            for line in lines:
                if line.endswith("\n"):
                    name, time_hlc, writer, sequence = line.split()
                    acknowledged[name] = Version(int(time_hlc), writer, int(sequence))
            found = log.get("cells", list(acknowledged))
            assert [x.version for x in found if x] == list(acknowledged.values())
        told |= set(log.changes("cells", after=after, limit=1_000_000).rows.tolist())
        rows, records = log.scan("cells", limit=1_000_000)
        assert set(rows.tolist()) <= told
        assert log.count("cells") == len(rows)
        with_word = {row for row, x in zip(rows.tolist(), records, strict=True) if x.text == "w7"}
        assert set(log.keyword("cells", "w7", 1_000_000)[0].tolist()) == with_word
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_copies_on_machines_without_a_clock_do_not_share_a_name(tmp_path: Path) -> None:
    """Two copies of a file, opened where the clock began anew, converge when they meet."""
    with closing(opened(tmp_path / "one.db")) as log:
        log.put([record("before")])
    shutil.copy(tmp_path / "one.db", tmp_path / "two.db")
    with (
        closing(opened(tmp_path / "one.db", now_ms=5)) as one,
        closing(opened(tmp_path / "two.db", now_ms=5)) as two,
    ):
        one.put([record("only in one")])
        two.put([record("only in two")])
        one.absorb(two.since(one.seen(), limit=9)).result()
        two.absorb(one.since(two.seen(), limit=9)).result()
        names = ["only in one", "only in two"]
        assert all(x is not None for log in (one, two) for x in log.get("cells", names))


def test_who_lingers_over_a_long_log_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody reads on and on and the write-ahead log is long, other writers get a turn."""
    monkeypatch.setattr(sqlite_log, "_TOO_LONG_BYTES", 1 << 20)
    path = tmp_path / "memory.db"
    with (
        closing(opened(path, node="one", patience_s=3.0)) as one,
        closing(opened(path, node="two", patience_s=0.5)) as two,
        closing(sqlite3.connect(path)) as lingering,
    ):
        lingering.execute("BEGIN")
        lingering.execute("SELECT count(*) FROM records").fetchall()
        under_way = one.submit([record(f"r{i}", payload=os.urandom(2000)) for i in range(1000)])
        refused = 0
        while not under_way.done():
            try:
                two.put([record("small")])
            except Unavailable:
                refused += 1
        assert refused == 0
        log = path.with_name("memory.db-wal")
        assert log.stat().st_size > 1 << 20
        lingering.rollback()
        two.put([record("small")])
        assert log.stat().st_size == 0


def test_a_log_that_cannot_be_folded_does_not_undo_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong after a commit is not taken for a write that was not made."""

    def fail(connection: sqlite3.Connection) -> None:
        message = "disk I/O error"
        raise sqlite3.OperationalError(message)

    monkeypatch.setattr(sqlite_log, "_TOO_LONG_BYTES", 1)
    monkeypatch.setattr(sqlite_log, "fold", fail)
    with closing(opened(tmp_path / "memory.db")) as log:
        assert log.put([record("a")])[0].sequence == 1
        assert log.get("cells", ["a"])[0] is not None


FLIPS: dict[str, str] = {
    "time of a version": "UPDATE records SET hlc = hlc + 8",
    "sequence of a version": "UPDATE records SET sequence = sequence + 8",
    "writer of a version": "UPDATE records SET writer = (SELECT max(number) FROM writers)",
    "id no longer text": "UPDATE records SET id = CAST(x'61e1' AS TEXT)",
    "id a number": "UPDATE records SET id = CAST(x'61' AS BLOB)",
    "kind unknown": "UPDATE records SET kind = 99",
    "writer unknown": "UPDATE records SET writer = 99",
    "no time": "UPDATE records SET time_s = CAST(x'61' AS BLOB)",
    "metric unknown": "UPDATE namespaces SET settings = replace(settings, 'cosine', 'cosina')",
    "up to where a writer is known": "UPDATE writers SET seen = seen + 1",
    "name of a writer": "UPDATE writers SET name = replace(name, 'n', 'm')",
    "highest time": "UPDATE state SET value = value + 8 WHERE name = 'last_hlc'",
    "number of records": "UPDATE tally SET records = records + 1",
    "a bare record deleted": "UPDATE records SET deleted = 1, vector = NULL, text = NULL",
    "settings cut off": "UPDATE namespaces SET settings = substr(settings, 1, 20)",
}
"""What a flipped bit may do to a file that SQLite itself still finds in order."""


@pytest.mark.parametrize("flip", FLIPS.values(), ids=FLIPS)
def test_damage_is_told_not_handed_out(tmp_path: Path, flip: str) -> None:
    """A value that is no longer what was written is a clear error, never another value."""
    path = tmp_path / "memory.db"
    for records in ([record("a")], []):  # another writer comes, to be mistaken for the first
        with closing(opened(path)) as log:
            log.put(records)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(flip)

    def read_all() -> None:
        with closing(SqliteLog(path, now_ms=lambda: NOW_MS, node="north")) as log:
            log.namespaces()
            log.count("cells")
            log.get("cells", ["a"])
            log.scan("cells", limit=9)
            log.since({}, limit=9)

    with pytest.raises(BadInput, match="cellhive memory verify"):
        read_all()
    assert copies.problems(path)


COLUMNS = (
    "hlc", "writer", "sequence", "change", "kind", "deleted", "time_s", "origin", "vector",
    "metadata", "text", "payload", "checksum",
)  # fmt: skip
NEW_VALUES = ("{0} + 1", "-{0}", "{0} * 4294967296", "CAST({0} AS BLOB)", "CAST({0} AS TEXT) || 1",
              "x'c3'", "CAST(x'c3' AS TEXT)", "1e300", "''")  # fmt: skip
READINGS: dict[str, Callable[[SqliteLog], object]] = {
    "get": lambda log: log.get("cells", ["a"])[0],
    "read": lambda log: log.read("cells", np.array([1], np.int64))[0],
    "scan": lambda log: log.scan("cells", limit=9)[1][0],
    "since": lambda log: log.since({}, limit=9).records[0],
    "changes": lambda log: log.changes("cells", after=0, limit=9),
}


NOT_LOOKED_FOR = {("since", "writer"), ("since", "sequence"), ("changes", "change")}
"""Here the index has the new number too, and nobody asks for that; ``verify`` does."""


@pytest.mark.parametrize("column", COLUMNS)
def test_no_reading_hands_out_what_was_changed(tmp_path: Path, column: str) -> None:
    """Whatever becomes of a value, each way of reading gives what was written, or says so."""
    path = tmp_path / "memory.db"
    with closing(opened(path)) as log:
        log.put([record("a", metadata={"load": 0.5}, payload=b"1", origin="north")])
        written = {name: repr(reading(log)) for name, reading in READINGS.items()}
    whole, told = path.read_bytes(), 0
    for value in NEW_VALUES:
        path.write_bytes(whole)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE records SET {column} = {value.format(column)}")  # noqa: S608  # ours
        with closing(opened(path)) as log:
            for name, reading in READINGS.items():
                if (name, column) in NOT_LOOKED_FOR:
                    continue
                try:
                    assert repr(reading(log)) == written[name]
                except BadInput as error:
                    assert "cellhive memory verify" in str(error)  # noqa: PT017  # or it is as it was
                    told += 1
    assert told > len(NEW_VALUES)


def test_a_damaged_record_can_be_written_anew(tmp_path: Path) -> None:
    """Where a copy comes from elsewhere it takes the place of what can no longer be read."""
    path = tmp_path / "memory.db"
    with closing(opened(path)) as log:
        log.put([record("a")])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE records SET writer = 99, sequence = x'00', text = 7")
    with closing(opened(path)) as log:
        log.put([record("a", text="snow"), record("b")])
        assert [x and x.text for x in log.get("cells", ["a", "b"])] == ["snow", "rain"]


STRANGE: dict[str, Callable[[SqliteLog], object]] = {
    "id that is no text": lambda log: log.get("cells", ["\ud800"]),
    "name that is no text": lambda log: log.declare(Namespace("\ud800", 2)),
    "row beyond": lambda log: log.scan("cells", after_row=2**70, limit=1),
    "change beyond": lambda log: log.changes("cells", after=2**70, limit=1),
    "change before": lambda log: log.changes("cells", after=-(2**70), limit=1),
    "many": lambda log: log.scan("cells", limit=2**70),
    "many words": lambda log: log.keyword("cells", "rain \ud800", 2**70),
    "known beyond": lambda log: log.since({"a~1": 2**70, "\ud800": -(2**70)}, limit=2**70),
    "feature that is no text": lambda log: log.declare(Namespace("new", 1, features=("\ud800",))),
    "writer that is no text": lambda log: log.absorb(Delta((), {"\ud800": 1}, complete=True)),
    "namespace that is no text": lambda log: log.count("\ud800"),
}


@pytest.mark.parametrize("ask", STRANGE.values(), ids=STRANGE)
def test_strange_questions_have_answers_or_clear_errors(
    tmp_path: Path, ask: Callable[[SqliteLog], object]
) -> None:
    """Whatever is asked, nothing but an error of CellHive is raised."""
    with closing(opened(tmp_path / "memory.db")) as log:
        try:
            ask(log)
        except (BadInput, NotFound) as error:
            assert "expected" in str(error)  # noqa: PT017 - an answer is as good
        assert log.put([record("after")])[0].sequence == 1
