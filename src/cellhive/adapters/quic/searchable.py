"""A memory shared by an event loop, which must not wait, and threads that search."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cellhive.core.records import Record
from cellhive.memory.store import Memory

T = TypeVar("T")


class Searchable:
    """A memory whose newest records lie in a tail until the next search takes them in.

    ``note`` takes no lock, so it never waits for a search or for an index being built; a
    search that begins after it returned finds the record. What the log has by now leaves the
    tail by ``forget``: a search finds it there.
    """

    def __init__(self, memory: Memory) -> None:
        """Share a memory."""
        self.memory = memory
        self._lock = threading.Lock()
        self._tail: deque[Record] = deque()
        self.undeclared: set[str] = set()
        """Namespaces whose declaration is still on its way to the disk."""

    def note(self, records: Sequence[Record]) -> None:
        """Make records searchable; from any thread."""
        self._tail.extend(records)

    def forget(self, durable: Mapping[str, int]) -> None:
        """Drop what the log has from the front of the tail; does nothing while a search goes on.

        It costs next to nothing, where a thread that takes as many records in would keep the
        event loop from the interpreter for milliseconds.

        Args:
            durable: What can be read from the log: writer to number.
        """
        tail = self._tail
        if not tail or not self._lock.acquire(blocking=False):
            return
        try:
            while tail:  # only holders of the lock take anything out
                version = tail[0].version
                if version.sequence > durable.get(version.writer, 0):
                    break
                tail.popleft()
        finally:
            self._lock.release()

    def use(self, action: Callable[[Memory], T]) -> T:
        """Return what an action gives that has the memory for itself, tail taken in."""
        with self._lock:
            self.settle()
            return action(self.memory)

    def settle(self) -> None:
        """Take the tail into the memory; needs the lock."""
        late: list[Record] = []
        ready: list[Record] = []
        while True:
            try:
                record = self._tail.popleft()
            except IndexError:
                break
            (late if record.namespace in self.undeclared else ready).append(record)
        if ready:
            self.memory.note(ready, checked=True)  # by who wrote them, or by the replica
        self._tail.extendleft(reversed(late))

    def __len__(self) -> int:
        """Return how many records wait in the tail."""
        return len(self._tail)
