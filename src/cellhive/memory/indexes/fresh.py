"""Vectors that wait to be put into cells, searched beside them until there are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellhive.core.records import Rows
from cellhive.core.types import Bools, Floats32

_FEWEST = 64


@dataclass(frozen=True, slots=True, eq=False)
class Fresh:
    """Slots and their vectors, to be searched by many while one takes changes in.

    What is seen here never changes: later ones are written into room that this one does not
    show. So only the latest may be asked for the next.
    """

    slots: npt.NDArray[np.int64]
    """In rising order, (N,)."""
    vectors: Floats32
    """(N, D)."""
    _slots_room: npt.NDArray[np.int64]
    _vectors_room: Floats32

    @classmethod
    def of(cls, slots: Rows, vectors: Floats32) -> Fresh:
        """Return some slots, in rising order, and their vectors; both belong to it now."""
        return cls(slots, vectors, slots, vectors)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.slots)

    def changed(self, slots: Rows, present: Bools, take: Callable[[Rows], Floats32]) -> Fresh:
        """Return what is fresh after some changes.

        Args:
            slots: What changed, each once.
            present: Whether there is a vector now.
            take: Returns the vectors there are now of some slots.
        """
        added = np.sort(slots[present])
        if len(self.slots) == 0 or slots.min() > self.slots[-1]:
            return self._extended(added, take(added)) if len(added) else self
        at = np.minimum(np.searchsorted(self.slots, slots), len(self.slots) - 1)
        kept = np.ones(len(self.slots), np.bool_)
        kept[at[self.slots[at] == slots]] = False
        every = np.sort(np.concatenate([self.slots[kept], added]))
        return Fresh.of(every, take(every))

    def _extended(self, slots: Rows, vectors: Floats32) -> Fresh:
        """Return this with slots behind the last, which takes no copy of what there is."""
        before, after = len(self.slots), len(self.slots) + len(slots)
        slots_room, vectors_room = self._slots_room, self._vectors_room
        if after > len(slots_room):
            room = max(_FEWEST, 2 * after)
            slots_room = np.empty(room, np.int64)
            vectors_room = np.empty((room, vectors.shape[1]), np.float32)
            if before:
                slots_room[:before], vectors_room[:before] = self.slots, self.vectors
        slots_room[before:after], vectors_room[before:after] = slots, vectors
        return Fresh(slots_room[:after], vectors_room[:after], slots_room, vectors_room)


NONE = Fresh.of(np.empty(0, np.int64), np.empty((0, 0), np.float32))
