"""Vectors divided into cells, so that a search looks at a few of them only.

A cell is a list of vectors near one centroid. In the lists are codes: the signs of the
residuals or product codes. They only nominate candidates; the caller scores those exactly.
Cells are values: adding to them makes new ones.

Axis letters: ``N`` vectors, ``D`` components, ``L`` lists, ``B`` rotated components (D
filled up to whole words of 64 bits), ``M`` parts of a product code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.records import Metric, Namespace, Storage
from cellhive.core.types import Floats32

Slots = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Take = Callable[[npt.NDArray[np.integer[Any]]], Floats32]

_WORD = 64
_BLOCK = 16_384
_ROUNDS, _LAST_ROUNDS = 8, 3
_SAMPLE_PER_LIST = 20
_PART = 8
"""Components in a part of a product code."""


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
    codes: npt.NDArray[Any]
    """Sign codes, (N, B / 64) words, or product codes, (N, M) bytes."""
    codebooks: Floats32
    """Code vectors of each part, (M, 256, B / M); empty for sign codes."""
    inner: bool
    """Whether nearness is the inner product and not the distance."""

    @property
    def count(self) -> int:
        """Codes held, those of deleted vectors included."""
        return len(self.order)

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

    def candidates(
        self, query: Floats32, probes: int, wanted: int, skip: npt.NDArray[np.uint8] | None
    ) -> tuple[Slots, int]:
        """Return slots that may be nearest to a query, ``wanted`` in no order, out of how many.

        Args:
            query: As stored vectors are, (D,).
            probes: How many lists to look into.
            wanted: How many slots to return.
            skip: Not zero for slots that may not be found, by slot; None where all may.
        """
        from .kernels import near_lists, scan_products, search_signs  # noqa: PLC0415  # compiles

        turned = self.rotated(query)
        skipped = np.zeros(0, np.uint8) if skip is None else skip
        coarse = self.centroids, self.half, self.signs, self.middle, self.spread
        if len(self.codebooks):
            lists = near_lists(turned, *coarse, self.inner, probes)
            table = _product_table(turned, self.codebooks, self.inner)
            slots, looked_at = scan_products(
                table, lists, self.offsets, self.codes, self.order, skipped, wanted
            )
        else:
            slots, looked_at = search_signs(
                turned, *coarse, self.radius, self.offsets, self.codes, self.order, skipped,
                self.inner, probes, wanted,
            )  # fmt: skip
        return slots, int(looked_at)


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


def lists_for(count: int) -> int:
    """Return into how many lists so many vectors are divided: four times the root."""
    return max(1, int(4 * np.sqrt(count)))


def built(
    space: Namespace, slots: npt.NDArray[np.integer[Any]], take: Take, rng: np.random.Generator,
    lists: int = 0,
) -> Cells:  # fmt: skip
    """Return cells of vectors, trained on a sample of them.

    Args:
        space: Dimension, metric and storage.
        slots: Which vectors, (N,).
        take: Returns vectors by slot.
        rng: Picks the sample, the rotation and the first centroids.
        lists: How many lists; 0 for as many as suit the number of vectors.
    """
    from .kernels import encode_signs  # noqa: PLC0415  # compiles

    lists = lists or lists_for(len(slots))
    picked = rng.permutation(len(slots))[: max(256, lists * _SAMPLE_PER_LIST)]
    sample = take(np.sort(slots[picked]))
    inner = space.metric is Metric.INNER_PRODUCT
    rotation = _directions(space.dimension, rng)
    center = np.zeros(space.dimension) if inner else sample.mean(axis=0, dtype=np.float64)
    turned = np.ascontiguousarray((sample - center.astype(np.float32)) @ rotation, np.float32)
    centroids = _divided(turned, lists, rng)
    half = (centroids**2).sum(axis=1) / 2
    middle = centroids.mean(axis=0)
    signs = np.empty((len(centroids), rotation.shape[1] // _WORD), np.uint64)
    encode_signs(centroids - middle, signs)
    bits = rotation.shape[1]
    product = space.storage is Storage.PRODUCT
    codebooks = _codebooks(turned, rng) if product else np.zeros((0, 0, 0), np.float32)
    empty = (np.empty((0, bits // _PART), np.uint8) if product
             else np.empty((0, bits // _WORD), np.uint64))  # fmt: skip
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
        codes=empty,
        codebooks=codebooks,
        inner=inner,
    )
    return extended(cells, slots, take)


def extended(
    cells: Cells, slots: npt.NDArray[np.integer[Any]], take: Take,
    skip: npt.NDArray[np.uint8] | None = None,
) -> Cells:  # fmt: skip
    """Return cells with more vectors in them, and without those codes that ``skip`` names."""
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
    belongs = _nearest(turned, cells.centroids)
    residuals = turned - cells.centroids[belongs]
    lengths = np.sqrt(np.einsum("nb,nb->n", residuals, residuals))
    if len(cells.codebooks):
        return belongs.astype(np.uint32), _product_codes(turned, cells.codebooks), lengths
    codes = np.empty((len(vectors), residuals.shape[1] // _WORD), np.uint64)
    encode_signs(residuals, codes)
    return belongs.astype(np.uint32), codes, lengths


def _directions(dimension: int, rng: np.random.Generator) -> Floats32:
    """Return random directions, orthonormal by rows, (D, B) with B whole words of bits."""
    bits = -(-dimension // _WORD) * _WORD
    square, _ = np.linalg.qr(rng.standard_normal((bits, dimension)))
    return np.ascontiguousarray(square.T, np.float32)


def _divided(sample: Floats32, lists: int, rng: np.random.Generator) -> Floats32:
    """Return centres of lists, (L, B): k-means within the cells of k-means, then all together."""
    districts = _centers(sample, max(1, int(np.sqrt(lists))), rng)
    belongs = _nearest(sample, districts)
    parts: list[Floats32] = []
    for district in range(len(districts)):
        members = sample[belongs == district]
        if len(members):
            parts.append(_centers(members, max(1, round(lists * len(members) / len(sample))), rng))
    return _moved(sample, np.concatenate(parts), _LAST_ROUNDS, rng)


def _centers(points: Floats32, count: int, rng: np.random.Generator) -> Floats32:
    """Return k-means centres (Lloyd 1982), (≤ count, B), begun from points drawn at random."""
    begun = points[rng.permutation(len(points))[: min(count, len(points))]]
    return _moved(points, begun, _ROUNDS, rng)


def _moved(points: Floats32, begun: Floats32, rounds: int, rng: np.random.Generator) -> Floats32:
    """Return centres after some rounds; one that lost all its points begins at another."""
    centers = begun.copy()
    for _ in range(rounds):
        belongs = _nearest(points, centers)
        sizes = np.bincount(belongs, minlength=len(centers))
        by_center = np.argsort(belongs, kind="stable")
        begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        filled = sizes > 0
        sums = np.add.reduceat(points[by_center], begins[filled], axis=0, dtype=np.float32)
        centers[filled] = sums / sizes[filled, None]
        lost = int((~filled).sum())
        if lost:
            centers[~filled] = points[rng.integers(0, len(points), lost)]
    return centers


def _nearest(points: Floats32, centers: Floats32) -> npt.NDArray[np.int64]:
    """Return the nearest centre of each point, (N,)."""
    half = (centers**2).sum(axis=1) / 2
    found = np.empty(len(points), np.int64)
    for begin in range(0, len(points), _BLOCK):
        scores = points[begin : begin + _BLOCK] @ centers.T
        scores -= half
        found[begin : begin + _BLOCK] = scores.argmax(axis=1)
    return found


def _codebooks(sample: Floats32, rng: np.random.Generator) -> Floats32:
    """Return the code vectors of each part (Jégou 2011), (M, 256, B / M)."""
    parts = sample[:65_536].reshape(len(sample[:65_536]), -1, _PART)
    books = np.zeros((parts.shape[1], 256, _PART), np.float32)
    for m in range(parts.shape[1]):
        centers = _centers(np.ascontiguousarray(parts[:, m]), 256, rng)
        books[m, : len(centers)] = centers
        books[m, len(centers) :] = centers[0]
    return books


def _product_codes(turned: Floats32, codebooks: Floats32) -> npt.NDArray[np.uint8]:
    parts = turned.reshape(len(turned), len(codebooks), -1)
    codes = [_nearest(np.ascontiguousarray(parts[:, m]), book) for m, book in enumerate(codebooks)]
    return np.column_stack(codes).astype(np.uint8)


def _product_table(turned: Floats32, codebooks: Floats32, inner: bool) -> Floats32:
    """Return what each code adds to the score of a query, (M, 256)."""
    parts = turned.reshape(len(codebooks), -1)
    table: Floats32 = np.einsum("mcb,mb->mc", codebooks, parts)
    if not inner:
        table -= (codebooks**2).sum(axis=2) / 2
    return table
