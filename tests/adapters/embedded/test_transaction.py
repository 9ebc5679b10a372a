"""Commits of many rows: new and replaced in one batch, and what is taken back when one fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.embedded import copies
from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.core.errors import BadInput
from cellhive.core.records import Namespace, Record, RecordKind

SPACES = (Namespace("cells", 4), Namespace("pairs", 2))


def record(space: Namespace, number: int, told: int, *, deleted: bool = False) -> Record:
    """Return a record that tells a number in every way."""
    kind = RecordKind.RESULT if told % 2 else RecordKind.MODEL
    vector = np.full(space.dimension, told, np.float32)
    return Record(space.name, f"r{number}", kind, vector, {"told": told}, f"word{told}",
                  bytes([told % 256]), float(told), deleted=deleted)  # fmt: skip


def opened(path: Path) -> SqliteLog:
    """Open a log with both namespaces."""
    log = SqliteLog(path, now_ms=lambda: 1_800_000_000_000)
    for space in SPACES:
        log.declare(space)
    return log


def test_new_and_replaced_rows_of_one_batch_do_not_mix(tmp_path: Path) -> None:
    """Batches over several statements' worth of rows leave each record as its last write was."""
    rng, path = np.random.default_rng(8), tmp_path / "memory.db"
    expected: dict[tuple[str, str], tuple[int, bool]] = {}
    with closing(opened(path)) as log:
        for size in (1, 300, 700, 129, 500):
            batch = [
                record(SPACES[int(space)], int(number), told, deleted=bool(gone))
                for told, (space, number, gone) in enumerate(
                    zip(rng.integers(2, size=size), rng.integers(400, size=size),
                        rng.random(size) < 0.1, strict=True), start=len(expected) + size)
            ]  # fmt: skip
            log.put(batch)
            expected |= {x.key: (int(x.time_s), x.deleted) for x in batch}
        for space in SPACES:
            living = {name: told for (of, name), (told, gone) in expected.items()
                      if of == space.name and not gone}  # fmt: skip
            rows, found = log.scan(space.name, limit=10_000)
            assert rows.tolist() == sorted(set(rows.tolist()))
            assert {x.id: (x.metadata["told"], x.text, x.time_s) for x in found} == {
                name: (told, f"word{told}", told) for name, told in living.items()
            }
            changes = log.changes(space.name, after=0, limit=10_000)
            told_of = {of: name for name, of in zip((x.id for x in found), rows, strict=True)}
            for row, gone, vector in zip(changes.rows, changes.deleted, changes.vectors,
                                         strict=True):  # fmt: skip
                assert gone == (int(row) not in told_of)
                assert gone or (vector == living[told_of[int(row)]]).all()
            kinds = [log.count(space.name, kind=kind) for kind in RecordKind]
            assert sum(kinds) == log.count(space.name) == len(living)
    assert copies.problems(path) == []


def test_a_batch_that_fails_halfway_is_taken_back_whole(tmp_path: Path) -> None:
    """Where a row in the middle cannot be written none is, and writing goes on afterwards."""
    path = tmp_path / "memory.db"
    with closing(opened(path)) as log:
        log.put([record(SPACES[0], i, i) for i in range(200)])
        before = (log.count("cells"), log.last_change(), dict(log.seen()))
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("CREATE UNIQUE INDEX odd ON records (time_s)")
        changed = [record(SPACES[0], i, 1000 + i) for i in range(150, 400)]
        for batch in (
            [*changed, record(SPACES[0], 500, 7)],  # a new row that clashes, at the end
            [*changed[::-1], record(SPACES[0], 160, 7)],  # a replaced one
        ):
            with pytest.raises(BadInput, match="UNIQUE"):
                log.put(batch)
            assert (log.count("cells"), log.last_change(), dict(log.seen())) == before
            assert [x and x.time_s for x in log.get("cells", ["r150", "r300"])] == [150.0, None]
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("DROP INDEX odd")
        assert log.put(changed)[-1].sequence == 200 + len(changed)
    assert copies.problems(path) == []
