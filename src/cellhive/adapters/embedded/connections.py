"""The connections of one opening: one that writes, and as many as there are readers at once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cellhive.adapters.embedded.schema import Durability, connect, transaction, translated
from cellhive.core.errors import Unavailable

_MOST_IDLE = 8


@dataclass
class Connections:
    """Hands out connections to any thread."""

    path: Path
    durability: Durability
    patience_s: float
    closed: bool = False
    _idle: list[sqlite3.Connection] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _writer: sqlite3.Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection within a transaction: all that is read is of one moment."""
        connection = self._take()
        with translated(self.path, self.patience_s):
            try:
                with transaction(connection, write=False):
                    yield connection
            except BaseException:
                connection.close()
                raise
        self._give(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the one connection that writes, outside a transaction; others wait."""
        with self._turn, translated(self.path, self.patience_s):
            if self.closed:
                raise closed()
            if self._writer is None:
                self._writer = connect(self.path, self.durability, self.patience_s)
            yield self._writer

    def close(self) -> None:
        """Let go of the file; the last to do so folds the write-ahead log into it."""
        with self._turn, self._lock:
            self.closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self.closed:
                raise closed()
            if self._idle:
                return self._idle.pop()
        with translated(self.path, self.patience_s):
            return connect(self.path, self.durability, self.patience_s)

    def _give(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self.closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()


def closed() -> Unavailable:
    """Return the error that tells of a memory that was closed."""
    message = "expected an open memory, found it closed; open it again"
    return Unavailable(message, retry_after_s=0.0)
