"""Searches a durable memory while nothing else happens, and while another thread writes to it."""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from vectors import Floats32, scan, vectors

from cellhive.adapters.embedded.derived import FolderFiles
from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.core.records import Namespace, Record, RecordKind
from cellhive.memory.store import Memory

SPACE = "s"
_LOAD = 10_000
"""Records in a batch while the memory is filled."""


def wall_clock_ms() -> int:
    """Return the time [ms since the epoch]."""
    return time.time_ns() // 1_000_000


def records(stored: Floats32, first: int) -> list[Record]:
    """Return vectors as records whose ids go on from a number."""
    return [
        Record(SPACE, f"situation-{first + i:08d}", RecordKind.PATTERN, vector,
               {"region": "north", "load": 0.25}, time_s=float(i))
        for i, vector in enumerate(stored)
    ]  # fmt: skip


class Writer:
    """A thread that adds batches at a steady rate, and notes how long each took."""

    def __init__(self, memory: Memory, extra: Floats32, first: int, batch: int, rate: float):
        """Take what to write, how many records at once, and batches per second."""
        self.took: list[float] = []
        self._memory, self._batch, self._every_s = memory, batch, 1 / rate
        self._left = records(extra, first)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        """Begin to write."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._enough.set()
        self._thread.join()

    @property
    def written(self) -> int:
        """Records acknowledged."""
        return len(self.took) * self._batch

    def _write(self) -> None:
        due = perf_counter()
        for first in range(0, len(self._left) - self._batch + 1, self._batch):
            if self._enough.wait(max(0.0, due - perf_counter())):
                return
            due += self._every_s
            begin = perf_counter()
            self._memory.add(self._left[first : first + self._batch])
            self.took.append(perf_counter() - begin)


def searched(memory: Memory, queries: Floats32, seconds: float) -> dict[str, float]:
    """Search for one query after another, for some time; return quantiles [µs] and how many."""
    took, begin = list[float](), perf_counter()
    while perf_counter() - begin < seconds:
        query = queries[len(took) % len(queries)]
        started = perf_counter()
        memory.search(SPACE, query, 10)
        took.append(perf_counter() - started)
    p50, p99, most = np.quantile(took, [0.5, 0.99, 1.0]) * 1e6
    return {"p50_us": p50, "p99_us": p99, "max_us": most, "searches": len(took)}


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Fill a memory, then search it: quietly, beside single writes, beside batches."""
    extra = int(options.seconds * (options.singles + options.batch * options.batches)) + 2_000
    stored, queries = vectors("clustered", options.count + extra, 128, 500)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        log = SqliteLog(folder / "memory.db", now_ms=wall_clock_ms)
        files = FolderFiles(folder / "derived")
        memory = Memory(log, files, lock=threading.RLock())
        with closing(log), closing(files):
            memory.declare(Namespace(SPACE, 128))
            for first in range(0, options.count, _LOAD):
                memory.add(records(stored[first : min(first + _LOAD, options.count)], first))
            searched(memory, queries, 1.0)
            told: dict[str, Any] = {"scan_us": _scans(stored[: options.count], queries)}
            told["quiet"] = searched(memory, queries, options.seconds)
            told["log_us"] = _asked(log)
            index = memory.index(SPACE)
            told["bare"] = _bare(index, queries)
            first = options.count
            for label, batch, rate in (
                ("singles", 1, options.singles), ("batches", options.batch, options.batches),
            ):  # fmt: skip
                with Writer(memory, stored[first:], first, batch, rate) as writer:
                    told[label] = searched(memory, queries, options.seconds)
                first += writer.written
                p50, p99 = np.quantile(writer.took, [0.5, 0.99]) * 1e3
                told[label] |= {"written": writer.written, "write_p50_ms": p50, "write_p99_ms": p99}
            found = memory.search(SPACE, stored[first - 1], 1).ids()
            if found != [f"situation-{first - 1:08d}"]:
                message = f"expected the last record written to be found, found {found}"
                raise SystemExit(message)
    return told


def _scans(stored: Floats32, queries: Floats32) -> list[float]:
    took = []
    for query in queries[:24]:
        begin = perf_counter()
        scan(stored, query)
        took.append((perf_counter() - begin) * 1e6)
    return took


def _asked(log: SqliteLog) -> float:
    """Return what it takes to ask the log whether anything is new [µs], the median."""
    took = []
    for _ in range(2000):
        begin = perf_counter()
        log.last_change()
        took.append(perf_counter() - begin)
    return float(np.median(took)) * 1e6


def _bare(index: Any, queries: Floats32) -> float:
    took = []
    for query in queries:
        begin = perf_counter()
        index.search(query[None], 10)
        took.append(perf_counter() - begin)
    return float(np.median(took)) * 1e6


def main(words: Sequence[str] | None = None) -> None:
    """Measure and tell as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--singles", type=int, default=100, help="single writes per second")
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--batches", type=int, default=4, help="batches per second")
    parser.add_argument("--folder", default=None, help="where the memory is written")
    print(json.dumps(measured(parser.parse_args(words))))


if __name__ == "__main__":
    main()
