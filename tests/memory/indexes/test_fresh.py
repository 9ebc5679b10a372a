"""What waits beside the cells: it grows without being copied, and what was seen stays."""

from __future__ import annotations

import numpy as np

from cellhive.core.records import Rows
from cellhive.core.types import Floats32
from cellhive.memory.indexes.fresh import NONE


def test_what_was_seen_stays_while_more_comes() -> None:
    """After any changes it holds the present ones with their vectors; earlier views stand still."""
    rng, stored = np.random.default_rng(5), np.zeros((500, 3), np.float32)
    present: set[int] = set()
    fresh, seen = NONE, []

    def take(slots: Rows) -> Floats32:
        return stored[slots]

    highest = 0
    for step in range(120):
        count = int(rng.integers(1, 5))
        if rng.random() < 0.7:
            slots = np.arange(highest, highest + count)
            highest += count
        else:
            slots = rng.permutation(highest + 1)[:count]
        there = rng.random(len(slots)) < 0.8
        stored[slots] = step + 1
        present = (present - set(slots.tolist())) | set(slots[there].tolist())
        fresh = fresh.changed(slots, there, take)
        assert fresh.slots.tolist() == sorted(present)
        assert (fresh.vectors == stored[fresh.slots]).all()
        seen.append((fresh, fresh.slots.copy(), fresh.vectors.copy()))
    for view, slots, vectors in seen:
        assert (view.slots == slots).all()
        assert (view.vectors == vectors).all()
