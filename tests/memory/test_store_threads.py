"""One thread writes while others search: nothing wrong is found, nothing acknowledged is missed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from nearest import clusters

from cellhive.adapters.embedded.sqlite_log import SqliteLog
from cellhive.core.records import Namespace, Record, RecordKind
from cellhive.memory.indexes.index import IndexSettings
from cellhive.memory.store import Memory

SMALL = IndexSettings(exact_below=300, fresh=40, few=30, recall=0.9)


def test_searches_beside_a_writer_see_whole_records_only(tmp_path: Path) -> None:
    """Adding, replacing and deleting through the making of cells, with two searching threads."""
    memory = Memory(
        SqliteLog(tmp_path / "memory.db", now_ms=lambda: 1_700_000_000_000),
        settings=SMALL, lock=threading.RLock(),
    )  # fmt: skip
    memory.declare(Namespace("s", 16))
    vectors = clusters(900, 16, seed=1)
    queries = clusters(8, 16, seed=2)
    failures: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        try:
            for begin in range(0, 900, 30):
                memory.upsert([
                    Record("s", f"{i}", RecordKind.PATTERN, vectors[i], metadata={"n": i})
                    for i in range(begin, begin + 30)
                ])  # fmt: skip
                memory.delete("s", [f"{begin}"])
                newest = memory.search("s", vectors[begin + 29], 1)
                assert newest.scores[0, 0] > 0.999
        except BaseException as error:  # told by the test itself
            failures.append(error)
        done.set()

    def read() -> None:
        try:
            while not done.is_set():
                hits = memory.search("s", queries, 5)
                present = hits.scores[hits.rows >= 0]
                assert ((present > -1.001) & (present < 1.001)).all()
                few = memory.search("s", queries[0], 5, where={"n": {"$lt": 300}})
                assert all(int(str(r.metadata["n"])) < 300 for r in few.records())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for work in (write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert memory.count("s") == 870
    assert len(memory.index("s")) == 870
    assert memory.index("s").codes is not None
    for query in queries:
        true = np.argsort(-(vectors @ query) / np.linalg.norm(vectors, axis=1))
        expected = [str(i) for i in true if i % 30][:5]
        assert len(set(memory.search("s", query, 5).ids()) & set(expected)) >= 4
    memory.log.close()
