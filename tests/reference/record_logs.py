"""Opens the record logs of every adapter, for the contract suite and whoever else tests on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from cellhive.core.ports import RecordLog
from cellhive.core.records import Metric, Namespace

CELLS = Namespace("cells", 4, Metric.COSINE, features=("load", "edge", "mid", "near"))
OTHERS = Namespace("others", 2, Metric.L2)
START_MS = 1_800_000_000_000
KEY = bytes(range(32))


@dataclass
class Ticking:
    """A wall clock that a test turns [ms]."""

    now_ms: int = START_MS

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ms


@dataclass
class Stores:
    """Opens logs of one adapter, and closes them at the end."""

    folder: Path
    opener: Callable[[Stores, str, str], RecordLog]
    keeps: bool
    """Whether a store that is opened again has what was written before, and can be shared by
    openings and threads."""
    clock: Ticking = field(default_factory=Ticking)
    opened: list[RecordLog] = field(default_factory=list)
    url: str = ""
    """Where the server is, for adapters that need one."""

    def open(self, store: str = "one", node: str = "") -> RecordLog:
        """Open a store; the same name is the same store. ``node`` is its name among replicas."""
        log = self.opener(self, store, node or store)
        self.opened.append(log)
        for namespace in (CELLS, OTHERS):
            log.declare(namespace)
        return log


def open_volatile(stores: Stores, store: str, node: str) -> RecordLog:
    """Open a log of dictionaries."""
    from cellhive.memory.volatile import VolatileLog  # noqa: PLC0415  # one adapter of several

    return VolatileLog(f"{node}~{len(stores.opened) + 1}", now_ms=stores.clock)


def open_sqlite(stores: Stores, store: str, node: str) -> RecordLog:
    """Open a log in an SQLite file."""
    from cellhive.adapters.embedded.sqlite_log import SqliteLog  # noqa: PLC0415

    return SqliteLog(stores.folder / f"{store}.db", now_ms=stores.clock, node=node)


def open_encrypted(stores: Stores, store: str, node: str) -> RecordLog:
    """Open a log in an SQLite file whose contents are encrypted."""
    from cellhive.adapters.embedded.sqlite_log import SqliteLog  # noqa: PLC0415

    path = stores.folder / f"{store}.db"
    return SqliteLog(path, now_ms=stores.clock, node=node, key=lambda: KEY)


def open_postgres(stores: Stores, store: str, node: str) -> RecordLog:
    """Open a log in a PostgreSQL server; each store of each test has a schema."""
    from cellhive.adapters.postgres.log import PostgresLog  # noqa: PLC0415
    from cellhive.adapters.postgres.schema import Settings  # noqa: PLC0415

    schema = Settings(schema=f"{store}-{stores.folder.name}")
    return PostgresLog(stores.url, now_ms=stores.clock, node=node, settings=schema)


RECORD_LOGS: dict[str, tuple[Callable[[Stores, str, str], RecordLog], bool]] = {
    "volatile": (open_volatile, False),
    "sqlite": (open_sqlite, True),
    "sqlite encrypted": (open_encrypted, True),
    "postgres": (open_postgres, True),
    "pgvector": (open_postgres, True),
}
"""How a store of each adapter is opened, and whether it keeps what was written."""
if find_spec("cellhive.adapters.embedded") is None:
    del RECORD_LOGS["sqlite"], RECORD_LOGS["sqlite encrypted"]
SERVERS = ("postgres", "pgvector")
"""Adapters that need a server, called like the fixture that runs it."""
