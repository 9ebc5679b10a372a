"""A memory shared by an event loop, which must not wait, and threads that search."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from cellhive.core.records import Record
from cellhive.memory.store import Memory

T = TypeVar("T")


class Searchable:
    """A memory whose newest records lie in a tail until the next search takes them in.

    ``note`` takes no lock, so it never waits for a search or for an index being built; a
    search that begins after it returned finds the record.
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
