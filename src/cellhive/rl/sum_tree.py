"""A sum tree: draws in proportion to priorities, and changes them, in logarithmic time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import compiled
from cellhive.core.types import Floats

Rows = npt.NDArray[np.int64]


@compiled
def _set(tree: Floats, leaves: int, rows: Rows, values: Floats) -> None:
    """Set leaves and every sum above them; the last of equal rows counts."""
    for i in range(rows.size):
        node = leaves + rows[i]
        tree[node] = values[i]
        node >>= 1
        while node >= 1:
            # Summed anew rather than by difference: rounding does not pile up.
            tree[node] = tree[2 * node] + tree[2 * node + 1]
            node >>= 1


@compiled
def _find(tree: Floats, leaves: int, shares: Floats, rows: Rows, chance: Floats) -> None:
    """Find the leaf at which each share of the whole falls."""
    whole = tree[1]
    for i in range(shares.size):
        rest, node = shares[i] * whole, 1
        while node < leaves:
            node *= 2
            # A share at the very end must not run into a leaf that is never drawn.
            if rest >= tree[node] and tree[node + 1] > 0.0:
                rest -= tree[node]
                node += 1
        rows[i] = node - leaves
        chance[i] = tree[node] / whole


class SumTree:
    """Priorities of rows, from 0; those of 0 are never drawn."""

    def __init__(self, rows: int) -> None:
        """Begin with all priorities 0."""
        self.rows = rows
        self._leaves = 1 << max(0, rows - 1).bit_length()
        self._tree = np.zeros(2 * self._leaves)

    @property
    def whole(self) -> float:
        """Sum of all priorities."""
        return float(self._tree[1])

    def leaves(self) -> Floats:
        """Return the priorities of all rows, (N,)."""
        return self._tree[self._leaves : self._leaves + self.rows].copy()

    def set(self, rows: Rows, values: Floats) -> None:
        """Set priorities, (B,), which must be finite and not negative."""
        _set(self._tree, self._leaves, np.asarray(rows, np.int64), np.asarray(values, np.float64))

    def find(self, shares: Floats) -> tuple[Rows, Floats]:
        """Return the row at which each share of the whole falls, and its chance, (B,) each.

        Args:
            shares: 0 to below 1, (B,).
        """
        rows, chance = np.empty(shares.size, np.int64), np.empty(shares.size)
        _find(self._tree, self._leaves, np.asarray(shares, np.float64), rows, chance)
        return rows, chance
