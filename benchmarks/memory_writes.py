"""Promise: 50 thousand durable records per second in batches, 5 thousand one by one.

Durable: the disk has the write-ahead log before a write is acknowledged. Beside stand raw
SQLite with the same settings, where every record is a commit and where a batch is one, with
a table of id and vector and nothing else. What the disk takes for a sync is measured too:
no writer that waits for each can do more.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from _bench import Row, report
from _drivers import middle

from cellhive.adapters.embedded.schema import PAGE_BYTES, Durability
from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.core.records import Namespace, Record, RecordKind
from cellhive.memory.store import Memory

DIMENSION = 128
BATCHES, GOAL_BATCH = (1_000, 10_000), 10_000
THREADS, GOAL_THREADS = (1, 32, 128), 128
SPACE = Namespace("cells", DIMENSION)


def wall_clock_ms() -> int:
    """Return the time [ms since the epoch]."""
    return time.time_ns() // 1_000_000


def records_to_write(count: int, seed: int) -> list[Record]:
    """Return records with vector and metadata, whose ids come in no order."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, DIMENSION), dtype=np.float32)
    names = rng.permutation(count)
    return [
        Record("cells", f"cell-{names[i]:08d}", RecordKind.RESULT, vectors[i],
               {"region": "north", "load": 0.25, "users": i}, time_s=float(i), origin="agent")
        for i in range(count)
    ]  # fmt: skip


def batched(records: Sequence[Record], batch: int, durability: Durability) -> tuple[float, float]:
    """Return records per second of wall time and processor time of one record [µs].

    They are checked before: the figures are those of ``Memory.add``, as everybody writes.
    """
    with tempfile.TemporaryDirectory(dir=".") as folder:
        log = SqliteLog(Path(folder) / "memory.db", now_ms=wall_clock_ms, durability=durability)
        memory = Memory(log)
        memory.declare(SPACE)
        begin, cpu = perf_counter(), process_time()
        for start in range(0, len(records), batch):
            memory.add(records[start : start + batch])
        wall, cpu = perf_counter() - begin, process_time() - cpu
        log.close()
    return len(records) / wall, cpu / len(records) * 1e6


def one_by_one(
    records: Sequence[Record], threads: int, durability: Durability
) -> tuple[float, float, float]:
    """Return acknowledged writes per second of all threads, p50 and p99 of a write [ms]."""
    took: list[float] = []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        log = SqliteLog(Path(folder) / "memory.db", now_ms=wall_clock_ms, durability=durability)
        memory = Memory(log)
        memory.declare(SPACE)

        def write(part: Sequence[Record]) -> None:
            for record in part:
                begin = perf_counter()
                memory.add([record])
                took.append(perf_counter() - begin)

        workers = [threading.Thread(target=write, args=(records[i::threads],))
                   for i in range(threads)]  # fmt: skip
        begin = perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        wall = perf_counter() - begin
        log.close()
    p50, p99 = np.percentile(took, [50, 99]) * 1e3
    return len(records) / wall, float(p50), float(p99)


def raw_sqlite(records: Sequence[Record], batch: int, durability: Durability) -> float:
    """Return records per second of SQLite with nothing around it."""
    rows = [(record.id, np.asarray(record.vector).tobytes()) for record in records]
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        closing(sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)) as connection,
    ):
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={durability.value}")
        connection.execute("CREATE TABLE records (row INTEGER PRIMARY KEY, id TEXT UNIQUE, v BLOB)")
        begin = perf_counter()
        for start in range(0, len(rows), batch):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO records (id, v) VALUES (?, ?)", rows[start : start + batch]
            )
            connection.execute("COMMIT")
        return len(rows) / (perf_counter() - begin)


def disk_sync_ms(repeats: int) -> float:
    """Return what the disk takes to keep 8 kB [ms], the median."""
    took = []
    with tempfile.NamedTemporaryFile(dir=".") as file:
        for _ in range(repeats):
            file.write(os.urandom(8192))
            file.flush()
            begin = perf_counter()
            os.fdatasync(file.fileno())
            took.append(perf_counter() - begin)
    return float(np.median(took)) * 1e3


def repeated(measure: Callable[[], tuple[float, ...]], repeats: int) -> list[tuple[float, float]]:
    """Return median and half the range of each figure."""
    return [middle(values) for values in zip(*(measure() for _ in range(repeats)), strict=True)]


def rows_of(options: argparse.Namespace) -> list[Row]:
    """Measure, ours and raw SQLite in turn."""
    rows = []
    many = records_to_write(options.records, 1)
    single = records_to_write(options.singles, 2)
    few = single[: options.singles // 10]
    full = Durability.POWER_LOSS
    for batch in BATCHES:
        (rate, spread), (cpu, _) = repeated(lambda b=batch: batched(many, b, full), options.repeats)  # type: ignore[misc]  # a default
        raw, _ = middle([raw_sqlite(many, batch, full) for _ in range(options.repeats)])
        rows.append(
            Row(f"durable records in batches of {batch:,}", rate, "/s",
                goal=">= 50,000" if batch == GOAL_BATCH else "", spread=spread,
                peer="raw SQLite, id and vector only", peer_value=raw, ratio=rate / raw)
        )  # fmt: skip
        rows.append(Row(f"processor time of a record in batches of {batch:,}", cpu, "µs"))
    raw, _ = middle([raw_sqlite(few, 1, full) for _ in range(options.repeats)])
    for threads in THREADS:
        part = few if threads == 1 else single
        (rate, spread), (p50, _), (p99, _) = repeated(
            lambda t=threads, p=part: one_by_one(p, t, full), options.repeats  # type: ignore[misc]  # defaults
        )  # fmt: skip
        label = f"acknowledged writes, one record each, {threads} threads"
        rows.append(
            Row(label, rate, "/s", spread=spread,
                goal=">= 5,000" if threads == GOAL_THREADS else "",
                peer="raw SQLite, one commit each", peer_value=raw, ratio=rate / raw)
        )  # fmt: skip
        rows.append(Row(f"{label}: p50", p50, "ms"))
        rows.append(Row(f"{label}: p99", p99, "ms"))
    killed = Durability.KILLED_PROCESS
    (rate, spread), _, (p99, _) = repeated(lambda: one_by_one(few, 1, killed), options.repeats)
    rows.append(Row("writes that survive kill -9 only, 1 thread", rate, "/s", spread=spread))
    rows.append(Row("writes that survive kill -9 only, 1 thread: p99", p99, "ms"))
    rows.append(Row("a sync of 8 kB by itself", disk_sync_ms(100), "ms"))
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--singles", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rows = rows_of(options)
    report(
        "memory_writes",
        rows,
        packages=("numpy", "msgspec", "zstandard"),
        notes=(
            f"{options.records:,} records of {DIMENSION} float32 and three facts each, new ids in "
            f"random order; SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL, pages of "
            f"{PAGE_BYTES} bytes, for raw SQLite too",
            "ours is Memory.add: records are checked, ids must be new; raw SQLite is given rows",
            "ours keeps per record its versions, kind, times, metadata and a checksum, and indexes "
            "by id, change and writer; raw SQLite keeps id and vector, indexed by id",
            f"load average when it began: {load:.1f}; a machine that is shared gives less",
        ),
    )


if __name__ == "__main__":
    main()
