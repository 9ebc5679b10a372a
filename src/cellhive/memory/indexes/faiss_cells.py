"""Vectors divided into cells by faiss: the same questions as ``cells`` answers, by a library.

Floats are kept in the lists as float16, product codes as 4 bits for every 4 components. The
index of faiss is never altered once it is made: what extends it alters a clone, so a search
needs no lock. faiss is optional: ``available`` tells whether it is there.

Axis letters: ``N`` vectors, ``D`` components, ``L`` lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.records import Metric, Namespace, Storage
from cellhive.core.types import Floats32

from .cells import Slots, Take
from .partition import divided, lists_for, nearest, sample_of

_MODULE = "faiss"
_BLOCK = 16_384
_LINKS, _BUILD_BREADTH, _LEAST_BREADTH = 32, 80, 12
_TRAINING = 65_536
_MOST_BY_GRAPH = 8
"""Part of the lists from which on every centre is compared."""
_PART = 4
"""Components in a part of a product code."""


def available() -> bool:
    """Return whether faiss can be imported."""
    return find_spec(_MODULE) is not None


def _library() -> Any:
    """Return faiss; its type stubs do not know what its Python wrappers take."""
    import faiss  # noqa: PLC0415  # optional

    return faiss


@dataclass(frozen=True, slots=True, eq=False)
class FaissCells:
    """An inverted file of faiss."""

    index: Any
    """``faiss.IndexIVF`` over a graph of the centres, or over all of them for inner products."""
    graph: Any
    """That graph, ``faiss.IndexHNSWFlat``; None for inner products."""

    @property
    def count(self) -> int:
        """Codes held, those of deleted vectors included."""
        return int(self.index.ntotal)

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return int(self.index.nlist)

    @property
    def code_bytes(self) -> int:
        """Size of the codes without their ids."""
        return self.count * int(self.index.code_size)

    @property
    def resident_bytes(self) -> int:
        """Size of codes, ids and centres with their links."""
        coarse = 4 * self.lists * (int(self.index.d) + 2 * _LINKS)
        return self.code_bytes + 8 * self.count + coarse

    def cost(self, probes: int, wanted: int, rows: int) -> float:
        """Return about how long a search takes [ns]; ``rows`` is 4 for floats in memory."""
        dimension = int(self.index.d)
        codes = probes * self.count / self.lists
        coarse = 15_000 + 2_000 * max(probes, _LEAST_BREADTH) * (0.5 + dimension / 256)
        return coarse + codes * dimension * 0.3 + wanted * (60 + dimension * rows / 16)

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what to save: the index as faiss writes it."""
        faiss = _library()

        return {"index": faiss.serialize_index(self.index)}

    @classmethod
    def restored(cls, arrays: Mapping[str, npt.NDArray[Any]], space: Namespace) -> FaissCells:
        """Return what was saved.

        Raises:
            ValueError: faiss is not there, or cannot read it, or it is of other vectors.
        """
        if not available():
            raise ValueError(_MODULE)
        faiss = _library()

        try:
            index = faiss.deserialize_index(np.array(arrays["index"], np.uint8))
        except (RuntimeError, MemoryError) as error:
            raise ValueError(str(error)) from error
        if not isinstance(index, faiss.IndexIVF) or index.d != space.dimension:
            raise ValueError(type(index).__name__)
        return _cells(index)

    def barred(self, skip: npt.NDArray[np.uint8]) -> Any:
        """Return what ``candidates`` takes, from what is not zero for slots not to be found."""
        faiss = _library()

        return faiss.IDSelectorBitmap(np.packbits(skip == 0, bitorder="little"))

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
        faiss = _library()

        options: dict[str, Any] = {"nprobe": probes}
        if barred is not None:
            options["sel"] = barred
        graph, asked = self.graph, query[None]
        if (
            graph is not None and probes * _MOST_BY_GRAPH >= self.lists
        ):  # a graph does not lead everywhere
            near, lists = graph.storage.search(asked, probes)
            settings = faiss.SearchParametersIVF(**options)
            _, slots = self.index.search_preassigned(asked, wanted, lists, near, params=settings)
        else:
            if graph is not None:
                breadth = max(_LEAST_BREADTH, 2 * probes)
                options["quantizer_params"] = faiss.SearchParametersHNSW(efSearch=breadth)
            settings = faiss.SearchParametersIVF(**options)
            _, slots = self.index.search(asked, wanted, params=settings)
        found = slots[0][slots[0] >= 0].astype(np.int32)
        # faiss does not say how many it passed over: as many as there are, unless it ran short
        looked_at = probes * self.count // self.lists if len(found) == wanted else len(found)
        return found, looked_at

    def extended(
        self, slots: npt.NDArray[np.integer[Any]], take: Take,
        skip: npt.NDArray[np.uint8] | None = None,
    ) -> FaissCells:  # fmt: skip
        """Return cells with more vectors in them, and without those codes that ``skip`` names."""
        faiss = _library()

        index = faiss.clone_index(self.index)
        if skip is not None and skip.any():
            index.remove_ids(faiss.IDSelectorBitmap(np.packbits(skip != 0, bitorder="little")))
        _add(index, slots, take)
        return _cells(index)


def built(
    space: Namespace, slots: npt.NDArray[np.integer[Any]], take: Take, rng: np.random.Generator
) -> FaissCells:
    """Return cells of vectors, trained on a sample of them.

    Args:
        space: Dimension, metric and storage.
        slots: Which vectors, (N,).
        take: Returns vectors by slot.
        rng: Picks the sample and the first centres.
    """
    faiss = _library()

    lists = lists_for(len(slots))
    sample = take(slots[sample_of(len(slots), lists, rng)])
    centers = divided(sample, lists, rng)
    faiss.omp_set_num_threads(1)  # of this thread: others keep theirs
    inner, dimension = space.metric is Metric.INNER_PRODUCT, space.dimension
    metric = faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2
    if inner:  # a graph leads astray where the longest is near to everything
        coarse = faiss.IndexFlatIP(dimension)
    else:
        coarse = faiss.IndexHNSWFlat(dimension, _LINKS)
        coarse.hnsw.efConstruction = _BUILD_BREADTH
    coarse.add(centers)
    if space.storage is Storage.PRODUCT:
        parts = -(-dimension // _PART)
        while dimension % parts:  # faiss wants parts of one size
            parts += 1
        index = faiss.IndexIVFPQFastScan(coarse, dimension, len(centers), parts, 4, metric)
    else:
        index = faiss.IndexIVFScalarQuantizer(
            coarse, dimension, len(centers), faiss.ScalarQuantizer.QT_fp16, metric, False
        )
    coarse.this.disown()
    index.own_fields = True
    index.cp.min_points_per_centroid = 1
    index.train(sample[:_TRAINING])
    _add(index, slots, take)
    return _cells(index)


def _cells(index: Any) -> FaissCells:
    """Return cells of an index, its graph at hand."""
    faiss = _library()
    coarse = faiss.downcast_index(index.quantizer)
    return FaissCells(index, coarse if isinstance(coarse, faiss.IndexHNSW) else None)


def _add(index: Any, slots: npt.NDArray[np.integer[Any]], take: Take) -> None:
    """Put vectors into the lists of their nearest centres."""
    faiss = _library()

    faiss.omp_set_num_threads(1)
    centers = index.quantizer.reconstruct_n(0, index.nlist)
    for begin in range(0, len(slots), _BLOCK):
        part = np.ascontiguousarray(slots[begin : begin + _BLOCK], np.int64)
        vectors = np.ascontiguousarray(take(part), np.float32)
        if isinstance(index, faiss.IndexIVFFastScan):
            index.add_with_ids(vectors, part)
            continue
        belongs = nearest(vectors, centers)
        index.add_core(
            len(part), faiss.swig_ptr(vectors), faiss.swig_ptr(part), faiss.swig_ptr(belongs)
        )
