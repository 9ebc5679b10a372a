"""How fast a memory's log writes and reads in PostgreSQL, beside the one in an SQLite file.

Both in one run, on the same disk, each write acknowledged only once it is synced to it.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))

from _bench import Row, report
from postgres_server import TemporaryServer, installed, packaged

from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.adapters.postgres.log import PostgresLog
from cellhive.adapters.postgres.schema import Settings
from cellhive.core.ports import RecordLog
from cellhive.core.records import Namespace, Record, RecordKind

DIMENSION = 128
RECORDS = 10_000
BATCH = 1_000
SINGLES = 1_280
REPEATS = 3
SEED = 20_261_126

Opener = Callable[[], RecordLog]
Measure = Callable[[RecordLog, Sequence[Record]], float]


def now_ms() -> int:
    """Return the wall clock [ms]."""
    return time.time_ns() // 1_000_000


def records() -> list[Record]:
    """Return records with vectors, two facts and a line of text."""
    rng = np.random.default_rng(SEED)
    vectors = rng.normal(size=(RECORDS, DIMENSION)).astype(np.float32)
    return [
        Record(
            "cells", f"record-{i}", RecordKind.RESULT, vector,
            {"region": "north", "load": i / RECORDS}, f"too early handovers at cell {i % 57}",
        )
        for i, vector in enumerate(vectors)
    ]  # fmt: skip


def rate(count: int, action: Callable[[], object]) -> float:
    """Return how many a second an action gets through."""
    begin = perf_counter()
    action()
    return count / (perf_counter() - begin)


def batched(log: RecordLog, batch: Sequence[Record]) -> float:
    """Write batches, each acknowledged before the next."""
    parts = [batch[i : i + BATCH] for i in range(0, len(batch), BATCH)]
    return rate(len(batch), lambda: [log.put(part) for part in parts])


def singles(writers: int) -> Measure:
    """Return what writes records one by one, each acknowledged, from several threads."""

    def measure(log: RecordLog, batch: Sequence[Record]) -> float:
        def write(thread: int) -> None:
            for record in batch[thread:SINGLES:writers]:
                log.put([record])

        count = SINGLES if writers > 1 else SINGLES // 4
        with ThreadPoolExecutor(writers) as pool:
            if writers == 1:
                return rate(count, lambda: [log.put([record]) for record in batch[:count]])
            return rate(count, lambda: list(pool.map(write, range(writers))))

    return measure


def submitted(log: RecordLog, batch: Sequence[Record]) -> float:
    """Submit records one by one without waiting, then wait for all."""
    return rate(
        len(batch),
        lambda: [future.result() for future in [log.submit([record]) for record in batch]],
    )


def read_together(log: RecordLog, batch: Sequence[Record]) -> float:
    """Get records by id, a batch at a time."""
    ids = [record.id for record in batch]
    return rate(
        len(ids), lambda: [log.get("cells", ids[i : i + BATCH]) for i in range(0, len(ids), BATCH)]
    )


def read_singly(log: RecordLog, batch: Sequence[Record]) -> float:
    """Get records by id, one at a time."""
    return rate(SINGLES, lambda: [log.get("cells", [record.id]) for record in batch[:SINGLES]])


def followed(log: RecordLog, batch: Sequence[Record]) -> float:
    """Follow all changes with their vectors, as an index does that is made anew."""

    def follow() -> None:
        after = 0
        while len((changes := log.changes("cells", after=after, limit=BATCH)).rows):
            after = changes.last

    return rate(len(batch), follow)


MEASURES: dict[str, tuple[str, Measure]] = {
    f"new records, {BATCH} a batch": ("records/s", batched),
    f"replaced records, {BATCH} a batch": ("records/s", batched),
    "single writes, 1 waiting": ("writes/s", singles(1)),
    "single writes, 16 waiting": ("writes/s", singles(16)),
    "single writes, 128 waiting": ("writes/s", singles(128)),
    "single writes submitted together": ("writes/s", submitted),
    f"reads by id, {BATCH} a batch": ("records/s", read_together),
    "reads by id, one a time": ("records/s", read_singly),
    "changes with vectors": ("records/s", followed),
}


def sync_ms(folder: Path) -> float:
    """Return what one sync of a small write to this disk takes [ms], the median of many."""
    times = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(50):
            begin = perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            times.append((perf_counter() - begin) * 1e3)
    return statistics.median(times)


def main() -> None:
    """Measure all logs in turn, several times, and write the medians."""
    made = records()
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {}
        for name, binaries in (("PostgreSQL", installed()), ("with pgvector", packaged())):
            if binaries is not None:
                servers[name] = stack.enter_context(TemporaryServer(binaries))
        for repeat in range(REPEATS):
            openers: dict[str, Opener] = {
                name: lambda server=server, repeat=repeat: PostgresLog(  # type: ignore[misc] # bound now
                    server.url(), now_ms=now_ms, node="bench", settings=Settings(f"run{repeat}")
                )
                for name, server in servers.items()
            }
            openers["SQLite"] = lambda repeat=repeat: SqliteLog(  # type: ignore[misc] # bound now
                folder / f"run{repeat}.db", now_ms=now_ms, node="bench"
            )
            for name, opener in openers.items():
                log = opener()
                log.declare(Namespace("cells", DIMENSION))
                for measure, (_, action) in MEASURES.items():
                    found.setdefault(measure, {}).setdefault(name, []).append(action(log, made))
                log.close()
        probe_ms = sync_ms(folder)
    rows = []
    for measure, (unit, _) in MEASURES.items():
        peer = statistics.median(found[measure]["SQLite"])
        for name, values in found[measure].items():
            value = statistics.median(values)
            beside = name != "SQLite"
            rows.append(
                Row(
                    f"{measure} ({name})", value, unit,
                    peer="SQLite, same run" if beside else "",
                    peer_value=peer if beside else None,
                    ratio=value / peer if beside else None,
                    spread=(max(values) - min(values)) / 2,
                )
            )  # fmt: skip
    rows.append(Row("one disk sync (fdatasync of 4 kB)", probe_ms, "ms"))
    report(
        "memory_postgres",
        rows,
        packages=["psycopg", "numpy"],
        notes=[
            f"{RECORDS} records of {DIMENSION} components with metadata and text; medians of "
            f"{REPEATS} runs on fresh tables; spread is half the range.",
            "Every figure of writing counts acknowledged writes, synced to the disk "
            "(PostgreSQL: fsync and synchronous_commit on; SQLite: synchronous=FULL).",
            "The PostgreSQL server shares this machine's processors with its client.",
        ],
    )


if __name__ == "__main__":
    main()
