"""One bit per component: the signs of a vector along random directions, all compared by faiss.

Nearer vectors share more signs (Charikar 2002). Every code is compared (``IndexBinaryFlat``), its
place is its slot, so nothing but the bits is kept: 32 times less than floats.

Axis letters: ``B`` queries, ``D`` components, ``N`` vectors, ``S`` signs (D filled up to 64s).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.records import Metric, Namespace
from cellhive.core.types import Floats32

from .codes import Bytes, Slots, Take, library, selector

_WORD, _BLOCK, _SAMPLE = 64, 16_384, 16_384
_MOST_BARRED = 0.5
"""Share of codes that may not be found, up to which more are asked for and those left out: faiss
is four times slower where it looks every code up."""


@dataclass(frozen=True, slots=True, eq=False)
class Signs:
    """Signs by slot."""

    index: Any
    """``faiss.IndexBinaryFlat``."""
    center: Floats32
    """Mean that is taken off before the signs are taken, (D,)."""
    directions: Floats32
    """Random directions, orthonormal by rows, (D, S)."""
    inner: bool
    """Whether inner products are wanted: the query then keeps the mean."""

    @property
    def count(self) -> int:
        """Codes held, those of slots without a vector included."""
        return int(self.index.ntotal)

    @property
    def lists(self) -> int:
        """One: every code is looked at."""
        return 1

    @property
    def code_bytes(self) -> int:
        """Size of the codes."""
        return self.count * int(self.index.code_size)

    @property
    def bound(self) -> int:
        """One more than the highest slot that can be nominated."""
        return self.count

    def cost(self, probes: int, wanted: int) -> float:
        """Return about how long it takes to nominate [ns]."""
        return 10_000.0 + probes * self.count * int(self.index.d) / 80 + 60.0 * wanted

    def nominated(
        self, queries: Floats32, probes: int, wanted: int, open_: Bytes | None
    ) -> npt.NDArray[np.int64]:
        """Return the slots that promise most for each query, (B, C), -1 where there are fewer."""
        del probes
        asked = _bits(queries if self.inner else queries - self.center, self.directions)
        faiss = library()
        if open_ is None:
            return self._search(asked, wanted)
        barred = self.count - int(np.bitwise_count(open_).sum())
        if barred > _MOST_BARRED * self.count:
            settings = faiss.SearchParameters(sel=selector(open_))
            return self._search(asked, wanted, settings)
        found = self._search(asked, min(self.count, wanted + min(barred, wanted)))
        return _only(found, open_, wanted)

    def _search(self, asked: Bytes, wanted: int, settings: Any = None) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = self.index.search(asked, wanted, params=settings)[1]
        return found

    def extended(self, slots: Slots, take: Take, skip: Bytes) -> Signs:
        """Return codes of more vectors; those that ``skip`` names stay and must not be found."""
        del skip
        size = max(self.count, int(slots.max(initial=-1)) + 1)
        bits = np.zeros((size, self.directions.shape[1] // 8), np.uint8)
        if self.count:
            old = library().vector_to_array(self.index.xb)
            bits[: self.count] = old.reshape(self.count, -1)
        for begin in range(0, len(slots), _BLOCK):
            part = slots[begin : begin + _BLOCK]
            bits[part] = _bits(take(part) - self.center, self.directions)
        return Signs(_flat(bits), self.center, self.directions, self.inner)

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what to save."""
        bits = library().vector_to_array(self.index.xb).reshape(self.count, -1)
        return {"signs": bits, "center": self.center, "directions": self.directions}

    @classmethod
    def built(
        cls, space: Namespace, slots: Slots, teach: Slots, take: Take, rng: np.random.Generator
    ) -> Signs:  # fmt: skip
        """Return signs of vectors about the mean of a sample.

        Args:
            space: Dimension and metric.
            slots: Which vectors, (N,).
            teach: Which of them may be learnt from, in random order.
            take: Returns vectors by slot.
            rng: Picks the directions.
        """
        sample = take(np.sort(teach[:_SAMPLE]))
        signs = -(-space.dimension // _WORD) * _WORD
        square, _ = np.linalg.qr(rng.standard_normal((signs, space.dimension)))
        directions = np.ascontiguousarray(square.T, np.float32)
        none = _flat(np.zeros((0, signs // 8), np.uint8))
        center = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        empty = cls(none, center, directions, space.metric is Metric.INNER_PRODUCT)
        return empty.extended(slots, take, np.zeros(0, np.uint8))

    @classmethod
    def restored(cls, arrays: Mapping[str, npt.NDArray[Any]], space: Namespace) -> Signs:
        """Return what was saved.

        Raises:
            ValueError: The arrays do not fit one another.
            KeyError: One is missing.
        """
        bits, center, directions = (arrays[name] for name in ("signs", "center", "directions"))
        shapes = (space.dimension,), (space.dimension, 8 * bits.shape[1])
        if (center.shape, directions.shape) != shapes or bits.dtype != np.uint8:
            raise ValueError(bits.shape)
        inner = space.metric is Metric.INNER_PRODUCT
        return cls(_flat(bits), np.array(center), np.array(directions), inner)


def _flat(bits: Bytes) -> Any:
    index = library().IndexBinaryFlat(8 * bits.shape[1])
    if len(bits):
        index.add(np.ascontiguousarray(bits))
    return index


def _bits(vectors: Floats32, directions: Floats32) -> Bytes:
    """Return the signs of vectors along directions, eight in a byte, (N, S / 8)."""
    return np.packbits(vectors @ directions > 0, axis=1)


def _only(found: npt.NDArray[np.int64], open_: Bytes, wanted: int) -> npt.NDArray[np.int64]:
    """Return the first that may be found, (B, wanted), -1 where there are fewer."""
    place = np.minimum(found >> 3, len(open_) - 1)
    may = (found >= 0) & (found >> 3 < len(open_)) & ((open_[place] >> (found & 7)) & 1 == 1)
    kept = np.full((len(found), wanted), -1, np.int64)
    for row, slots, good in zip(kept, found, may, strict=True):
        best = slots[good][:wanted]
        row[: len(best)] = best
    return kept
