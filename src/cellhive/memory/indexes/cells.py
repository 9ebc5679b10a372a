"""Vectors divided into cells, so that a search looks at a few of them only.

A cell is a list of vectors near one centroid. In the lists are codes: the signs of the
residuals. They only nominate candidates; the caller scores those exactly. Cells are values:
adding to them makes new ones.

Axis letters: ``N`` vectors, ``D`` components, ``L`` lists, ``B`` rotated components (D
filled up to whole words of 64 bits).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.records import Metric, Namespace
from cellhive.core.types import Floats32

from .partition import divided, lists_for, nearest, sample_of

Slots = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Take = Callable[[npt.NDArray[np.integer[Any]]], Floats32]

_WORD = 64
_BLOCK = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Codes of vectors in lists."""

    center: Floats32
    """Mean that is taken off before rotation, (D,)."""
    rotation: Floats32
    """Random directions, orthonormal by rows, (D, B)."""
    centroids: Floats32
    """Centres of the lists, rotated, (L, B)."""
    half: Floats32
    """Half their squared lengths, zeros for inner products, (L,)."""
    signs: Words
    """Signs of the centroids about their middle, (L, B / 64)."""
    middle: Floats32
    """Mean of the centroids, (B,)."""
    spread: Floats32
    """Mean distance of the centroids from it, (1,)."""
    radius: Floats32
    """Mean length of the residuals of each list, (L,)."""
    offsets: npt.NDArray[np.int64]
    """Where each list begins, (L + 1,)."""
    order: Slots
    """Slot of each code, (N,)."""
    codes: Words
    """Sign codes, (N, B / 64)."""
    inner: bool
    """Whether nearness is the inner product and not the distance."""

    @property
    def count(self) -> int:
        """Codes held, those of deleted vectors included."""
        return len(self.order)

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return len(self.half)

    @property
    def code_bytes(self) -> int:
        """Size of the codes without their slots."""
        return self.codes.nbytes

    @property
    def resident_bytes(self) -> int:
        """Size of all arrays."""
        return sum(array.nbytes for array in self.arrays().values())

    def rotated(self, vectors: Floats32) -> Floats32:
        """Return vectors in the frame of the centroids, (N, B); inner products keep the center."""
        shifted = vectors if self.inner else vectors - self.center
        turned: Floats32 = np.dot(shifted, self.rotation)
        return turned

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what to save."""
        return {part.name: np.asarray(getattr(self, part.name)) for part in fields(self)}

    @classmethod
    def restored(cls, arrays: Mapping[str, npt.NDArray[Any]], *, mapped_order: bool) -> Cells:
        """Return what was saved, copied into memory.

        Args:
            arrays: As ``arrays`` gave them.
            mapped_order: Leave the slots of the codes on disk: few of them are looked at.
        """
        parts: dict[str, Any] = {
            name: _seemingly_own(array) if mapped_order and name == "order" else np.array(array)
            for name, array in arrays.items()
        }  # fmt: skip
        return cls(**{**parts, "inner": bool(parts["inner"])})

    def cost(self, probes: int, wanted: int, rows: int) -> float:
        """Return about how long a search takes [ns]; ``rows`` is 4 for floats in memory."""
        lists, bits = self.lists, self.rotation.shape[1]
        codes = probes * self.count / lists
        coarse = min(lists * bits / 24 + 4 * probes * bits / 10, lists * bits / 10)
        return float(coarse + codes * bits / 24 + probes * 400 + wanted * (60 + bits * rows / 16))

    def barred(self, skip: npt.NDArray[np.uint8]) -> Any:
        """Return what ``candidates`` takes, from what is not zero for slots not to be found."""
        return skip

    def candidates(
        self, query: Floats32, probes: int, wanted: int, barred: Any
    ) -> tuple[Slots, int]:
        """Return slots that may be nearest to a query, ``wanted`` in no order, out of how many.

        Args:
            query: As stored vectors are, (D,).
            probes: How many lists to look into.
            wanted: How many slots to return.
            barred: As ``barred`` gave it; None where every slot may be found.
        """
        from .kernels import search_signs  # noqa: PLC0415  # compiles

        slots, looked_at = search_signs(
            self.rotated(query), self.centroids, self.half, self.signs, self.middle, self.spread,
            self.radius, self.offsets, self.codes, self.order,
            np.zeros(0, np.uint8) if barred is None else barred, self.inner, probes, wanted,
        )  # fmt: skip
        return slots, int(looked_at)

    def extended(
        self, slots: npt.NDArray[np.integer[Any]], take: Take,
        skip: npt.NDArray[np.uint8] | None = None,
    ) -> Cells:  # fmt: skip
        """Return cells with more vectors in them, and without those codes that ``skip`` names."""
        return _extended(self, slots, take, skip)


class _Mapped:
    """An array of somebody else's, offered to NumPy as if it could be written to."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array = array  # keeps the mapping open
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def _seemingly_own(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a mapped array without its mark of being read-only.

    Kernels would be compiled once more for read-only arrays, for seconds. None writes to it.
    """
    return np.asarray(_Mapped(np.ascontiguousarray(array)))


def built(
    space: Namespace, slots: npt.NDArray[np.integer[Any]], take: Take, rng: np.random.Generator
) -> Cells:
    """Return cells of vectors, trained on a sample of them.

    Args:
        space: Dimension, metric and storage.
        slots: Which vectors, (N,).
        take: Returns vectors by slot.
        rng: Picks the sample, the rotation and the first centroids.
    """
    from .kernels import encode_signs  # noqa: PLC0415  # compiles

    lists = lists_for(len(slots))
    sample = take(slots[sample_of(len(slots), lists, rng)])
    inner = space.metric is Metric.INNER_PRODUCT
    rotation = _directions(space.dimension, rng)
    center = np.zeros(space.dimension) if inner else sample.mean(axis=0, dtype=np.float64)
    turned = np.ascontiguousarray((sample - center.astype(np.float32)) @ rotation, np.float32)
    centroids = divided(turned, lists, rng)
    half = (centroids**2).sum(axis=1) / 2
    middle = centroids.mean(axis=0)
    signs = np.empty((len(centroids), rotation.shape[1] // _WORD), np.uint64)
    encode_signs(centroids - middle, signs)
    cells = Cells(
        center=center.astype(np.float32),
        rotation=rotation,
        centroids=centroids,
        half=np.zeros_like(half) if inner else half,
        signs=signs,
        middle=middle,
        spread=np.sqrt(((centroids - middle) ** 2).sum(axis=1)).mean(keepdims=True),
        radius=np.zeros(len(half), np.float32),
        offsets=np.zeros(len(half) + 1, np.int64),
        order=np.empty(0, np.int32),
        codes=np.empty((0, rotation.shape[1] // _WORD), np.uint64),
        inner=inner,
    )
    return cells.extended(slots, take)


def _extended(
    cells: Cells, slots: npt.NDArray[np.integer[Any]], take: Take,
    skip: npt.NDArray[np.uint8] | None,
) -> Cells:  # fmt: skip
    coded = [_coded(cells, take(slots[begin : begin + _BLOCK]))
             for begin in range(0, len(slots), _BLOCK)]  # fmt: skip
    old = np.repeat(np.arange(len(cells.half), dtype=np.uint32), np.diff(cells.offsets))
    kept = np.ones(len(old), np.bool_) if skip is None else skip[cells.order] == 0
    belongs = np.concatenate([old[kept], *(part[0] for part in coded)])
    by_list = np.argsort(belongs, kind="stable")
    order = np.concatenate([cells.order[kept], slots.astype(np.int32)])
    codes = np.concatenate([cells.codes[kept], *(part[1] for part in coded)])
    sizes = np.bincount(belongs, minlength=len(cells.half))
    lengths = np.bincount(old[kept], minlength=len(sizes)) * cells.radius.astype(np.float64)
    for part in coded:
        lengths += np.bincount(part[0], weights=part[2], minlength=len(sizes))
    return replace(
        cells,
        radius=(lengths / np.maximum(sizes, 1)).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        order=order[by_list],
        codes=codes[by_list],
    )


def _coded(
    cells: Cells, vectors: Floats32
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[Any], Floats32]:
    """Return list, code and length of the residual of each vector, (N,), (N, …), (N,)."""
    from .kernels import encode_signs  # noqa: PLC0415  # compiles

    turned = cells.rotated(vectors)
    belongs = nearest(turned, cells.centroids)
    residuals = turned - cells.centroids[belongs]
    lengths = np.sqrt(np.einsum("nb,nb->n", residuals, residuals))
    codes = np.empty((len(vectors), residuals.shape[1] // _WORD), np.uint64)
    encode_signs(residuals, codes)
    return belongs.astype(np.uint32), codes, lengths


def _directions(dimension: int, rng: np.random.Generator) -> Floats32:
    """Return random directions, orthonormal by rows, (D, B) with B whole words of bits."""
    bits = -(-dimension // _WORD) * _WORD
    square, _ = np.linalg.qr(rng.standard_normal((bits, dimension)))
    return np.ascontiguousarray(square.T, np.float32)
