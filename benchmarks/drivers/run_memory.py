"""Searches a memory, beside a scan with NumPy, and tells what its process has in memory."""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from vectors import Floats32, recall, scan, timed_queries, truth, vectors

from cellhive.adapters.embedded.derived import FolderFiles
from cellhive.core.ports import RecordLog
from cellhive.core.records import Changes, Namespace, Record, RecordKind, Rows, Storage
from cellhive.memory.indexes.index import IndexSettings
from cellhive.memory.store import Memory

SHARES = (0.3, 0.05, 0.005, 3e-6)
"""Of the rows that a filter leaves."""
TEN = 10
"""Nearest that are asked for."""


class FileVectors:
    """Vectors in a file that are read, not mapped: what a log reads leaves nothing behind."""

    def __init__(self, path: Path, dimension: int) -> None:
        """Take a file of float32."""
        self._path, self._dimension = path, dimension

    def __len__(self) -> int:
        """Return how many vectors there are."""
        return self._path.stat().st_size // (4 * self._dimension)

    def __getitem__(self, part: Any) -> Floats32:
        """Read one vector, or neighbouring ones."""
        first, last, _ = (
            part.indices(len(self)) if isinstance(part, slice) else (int(part), int(part) + 1, 1)
        )
        made = np.fromfile(self._path, np.float32, max(0, last - first) * self._dimension,
                           offset=4 * first * self._dimension)  # fmt: skip
        return made.reshape(-1, self._dimension) if isinstance(part, slice) else made


class ArrayLog:
    """A log that tells of vectors in an array: what a log costs is measured elsewhere."""

    writer = "bench~1"

    def __init__(self, space: Namespace, stored: Floats32 | FileVectors) -> None:
        """Take the vectors of one namespace; row 1 is the first."""
        self._space, self._stored = space, stored

    def namespaces(self) -> Mapping[str, Namespace]:
        """Return the namespace."""
        return {self._space.name: self._space}

    def last_change(self) -> int:
        """Return how many vectors there are."""
        return len(self._stored)

    def count(self, namespace: str, *, kind: RecordKind | None = None) -> int:
        """Return how many vectors there are."""
        del namespace, kind
        return len(self._stored)

    def changes(self, namespace: str, *, after: int, limit: int) -> Changes:
        """Return the next vectors."""
        del namespace
        part = np.array(self._stored[after : after + limit])
        return Changes(
            np.arange(after + 1, after + 1 + len(part)), np.zeros(len(part), np.bool_), part,
            np.ones(len(part), np.bool_), after + len(part),
        )  # fmt: skip

    def read(self, namespace: str, rows: Rows) -> list[Record | None]:
        """Return records by row."""
        return [Record(namespace, str(row), RecordKind.PATTERN, np.array(self._stored[row - 1]),
                       time_s=float(row)) for row in rows]  # fmt: skip

    def scan(
        self, namespace: str, *, kind: RecordKind | None = None, after_row: int = 0, limit: int
    ) -> tuple[Rows, list[Record]]:
        """Return records in order, without their vectors."""
        del kind
        rows = np.arange(after_row + 1, min(after_row + limit, len(self._stored)) + 1)
        return rows, [Record(namespace, str(row), RecordKind.PATTERN, time_s=float(row))
                      for row in rows]  # fmt: skip


@contextmanager
def opened(
    log: Any, folder: Path, settings: IndexSettings | None = None
) -> Iterator[Memory]:  # fmt: skip
    """Open a memory whose indexes lie in a folder, as an application does; save it at the end."""
    with closing(FolderFiles(folder)) as files:
        memory = Memory(cast(RecordLog, log), files, settings=settings)
        yield memory
        memory.close()


def resident() -> tuple[float, float]:
    """Return what this process has in memory: all, and its own without mapped files [MB].

    What was freed is given back first, so that nothing finds room in it unseen.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    table = dict(line.split(":", 1) for line in lines if ":" in line)
    return tuple(float(table[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))  # type: ignore[return-value]


def searched(options: argparse.Namespace) -> dict[str, Any]:
    """Measure speed and recall, beside the scan in the same process."""
    stored, queries = vectors(options.data, options.count, options.dimension, options.queries)
    right = truth(stored, queries)
    space = Namespace("s", options.dimension, storage=Storage(options.storage))
    log = ArrayLog(space, stored)
    settings = IndexSettings(recall=options.recall)
    with tempfile.TemporaryDirectory() as name, opened(log, Path(name), settings) as memory:
        begin = process_time()
        index = memory.index("s")
        told: dict[str, Any] = {"build_cpu_s": process_time() - begin, "effort": index.effort}
        scans = []
        for query in queries[:12]:
            started = perf_counter()
            scan(stored, query)
            scans.append(perf_counter() - started)
        ours = timed_queries(lambda query: memory.search("s", query, 10), queries)
        bare = timed_queries(lambda query: index.search(query[None], 10), queries)
        for query in queries[12:24]:
            started = perf_counter()
            scan(stored, query)
            scans.append(perf_counter() - started)
        told["scan_us"] = [value * 1e6 for value in scans]
        found = [(hits.rows[0] - 1).tolist() for hits in ours.pop("found")]
        bare.pop("found")
        told |= {"recall": recall(found, right), "search": ours, "bare": bare}
        if options.filters:
            told["filters"] = _filtered(memory, stored, queries)
        memory.close()
        begin_wall = perf_counter()
        memory.index("s")
        told["reload_s"] = perf_counter() - begin_wall
    return told


def _filtered(memory: Memory, stored: Floats32, queries: Floats32) -> list[dict[str, Any]]:
    told, index = [], memory.index("s")
    for share in SHARES:
        most = max(3, int(len(stored) * share))
        rows = np.random.default_rng(1).permutation(len(stored))[:most]
        allowed = np.zeros(len(stored) + 1, np.bool_)
        allowed[rows + 1] = True
        part, few = stored[np.sort(rows)], queries[:100]
        places = truth(part, few) if most > TEN else np.tile(range(most), (len(few), 1))
        right = np.sort(rows)[places]

        def asked(query: Floats32, mask: npt.NDArray[np.bool_] = allowed) -> Any:
            return index.search(query[None], 10, mask)

        took = timed_queries(asked, few, 1)
        found = [[int(row) - 1 for row in rows[0] if row >= 0] for rows, _ in took["found"]]
        told.append({"rows": most, "recall": recall(found, right), "p50_us": took["p50_us"][0]})
    return told


def compressed(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what a collection takes in memory: build, save, start anew, search, look."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.f32"
        stored, queries = vectors(options.data, options.count, options.dimension, options.queries)
        right = truth(stored, queries)
        stored.tofile(path)
        del stored
        space = Namespace("s", options.dimension, storage=Storage(options.storage))
        settings = IndexSettings(recall=options.recall)
        log = ArrayLog(space, FileVectors(path, options.dimension))
        with opened(log, Path(folder) / "derived", settings) as memory:
            begin = process_time()
            memory.index("s")
            built = process_time() - begin
        np.savez(Path(folder) / "asked.npz", queries=queries, right=right)
        words = [*sys.argv[1:], "--child", folder]
        done = subprocess.run(  # noqa: S603  # this script
            [sys.executable, __file__, *words], check=True, capture_output=True, text=True
        )
        return {**json.loads(done.stdout.splitlines()[-1]), "build_cpu_s": built}


def _warm_up(folder: Path, options: argparse.Namespace) -> None:
    """Do it all once with few vectors: libraries and compiled code are not the collection's."""
    space = Namespace("warm", options.dimension, storage=Storage(options.storage))
    stored, queries = vectors("clustered", 3000, options.dimension, 20)
    for _ in range(2):
        with opened(ArrayLog(space, stored), folder, IndexSettings(exact_below=500)) as memory:
            for query in queries:
                memory.search("warm", query, 10)


def child(options: argparse.Namespace) -> dict[str, Any]:
    """Open what was saved, search, and tell what that takes in memory."""
    folder = Path(options.child)
    asked = np.load(folder / "asked.npz")
    queries, right = asked["queries"], asked["right"]
    space = Namespace("s", options.dimension, storage=Storage(options.storage))
    _warm_up(folder / "warm", options)
    stored = FileVectors(folder / "vectors.f32", options.dimension)
    before = resident()
    with opened(ArrayLog(space, stored), folder / "derived") as memory:
        memory.search("s", queries[0], 10)
        just_opened = resident()
        took = timed_queries(lambda query: memory.search("s", query, 10), queries)
        after = resident()
        held = memory.index("s").codes
        codes = 0 if held is None else held.code_bytes
    found = [(hits.rows[0] - 1).tolist() for hits in took.pop("found")]
    return {
        "rss_mb": after[0] - before[0],
        "anonymous_mb": after[1] - before[1],
        "opened_mb": just_opened[0] - before[0],
        "process_mb": after[0],
        "codes_mb": codes / 2**20,
        "floats_mb": options.count * options.dimension * 4 / 2**20,
        "recall": recall(found, right),
        "search": took,
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure one case and tell it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="clustered")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--storage", default="float32")
    parser.add_argument("--recall", type=float, default=0.99)
    parser.add_argument("--filters", action="store_true")
    parser.add_argument("--resident", action="store_true")
    parser.add_argument("--child", default="")
    options = parser.parse_args(words)
    if options.child:
        told = child(options)
    else:
        told = compressed(options) if options.resident else searched(options)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
