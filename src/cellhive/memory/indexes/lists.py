"""An inverted file of faiss: vectors in lists by their nearest centre, as product codes.

The codes are those of the residuals, what a vector lies off the centre of its list, 4 bits for
every few components, scanned from registers (Jégou 2011; André 2015; ``IndexIVFPQFastScan``).

Axis letters: ``B`` queries, ``D`` components, ``N`` vectors, ``L`` lists, ``P`` lists looked into.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.records import Metric, Namespace, Storage
from cellhive.core.types import Floats32

from .codes import Bytes, Slots, Take, library, selector

_BLOCK = 16_384
_ROUNDS, _SAMPLE_PER_LIST, _FEWEST = 8, 32, 1_024
_TRAINING, _LISTS = 32_768, 2_048
_PART, _LARGE_PART = 4, 8
"""Components in a part of a code: of namespaces kept in memory, of those kept as codes."""
_BITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Codes in lists."""

    index: Any
    """``faiss.IndexIVFPQFastScan`` over all centres."""
    center: Floats32
    """Taken off every vector, so that far from the origin little is rounded away, (D,)."""
    products: Any
    """The centres once more, ``faiss.IndexFlatIP``, where inner products are wanted: vectors lie
    in the list of the nearest centre, lists are chosen by inner product. Else None."""

    @property
    def count(self) -> int:
        """Codes held, those of deleted vectors included."""
        return int(self.index.ntotal)

    @property
    def lists(self) -> int:
        """Into how many lists they are divided."""
        return int(self.index.nlist)

    @property
    def code_bytes(self) -> int:
        """Size of the codes alone, without their slots."""
        return self.count * int(self.index.code_size)

    def cost(self, probes: int, wanted: int) -> float:
        """Return about how long it takes to nominate [ns]."""
        coarse = self.lists * int(self.index.d) * 0.1
        scanned = probes * self.count / self.lists * int(self.index.pq.M) * 0.2
        return coarse + scanned + 800.0 * probes + 60.0 * wanted

    def nominated(
        self, queries: Floats32, probes: int, wanted: int, open_: Bytes | None
    ) -> npt.NDArray[np.int64]:
        """Return the slots that promise most for each query, (B, C), -1 where there are fewer."""
        faiss, index = library(), self.index
        settings = _looking_into(probes)
        if open_ is not None:
            settings = faiss.SearchParametersIVF(nprobe=probes, sel=selector(open_))
        asked = _shifted(queries, self.center, int(index.d))
        scores = np.empty((len(asked), wanted), np.float32)
        found = np.empty((len(asked), wanted), np.int64)
        if self.products is None:
            index.search_c(  # what the wrapper does beside it takes as long as a list
                len(asked), faiss.swig_ptr(asked), wanted, faiss.swig_ptr(scores),
                faiss.swig_ptr(found), settings,
            )  # fmt: skip
            return found
        near, chosen = self.products.search(asked, probes)
        index.search_preassigned_c(  # the wrapper takes no settings
            len(asked), faiss.swig_ptr(asked), wanted, faiss.swig_ptr(chosen),
            faiss.swig_ptr(near), faiss.swig_ptr(scores), faiss.swig_ptr(found), False, settings,
        )  # fmt: skip
        return found

    def extended(self, slots: Slots, take: Take, skip: Bytes) -> Lists:
        """Return codes of more vectors, without those that ``skip``, by slot, names."""
        index = library().clone_index(self.index)
        if skip.any():
            index.remove_ids(selector(np.packbits(skip, bitorder="little")))
        _add(index, slots, take, self.center)
        return Lists(index, self.center, self.products)

    @property
    def bound(self) -> int:
        """One more than the highest slot that can be nominated."""
        faiss, lists = library(), self.index.invlists
        sizes = ((number, lists.list_size(number)) for number in range(self.lists))
        return 1 + max((int(faiss.rev_swig_ptr(lists.get_ids(number), size).max())
                        for number, size in sizes if size), default=-1)  # fmt: skip

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what to save: the index as faiss writes it, and the centre."""
        return {"index": library().serialize_index(self.index), "center": self.center}

    @classmethod
    def built(
        cls, space: Namespace, slots: Slots, teach: Slots, take: Take, rng: np.random.Generator
    ) -> Lists:  # fmt: skip
        """Return lists of vectors, trained on a sample of them.

        Args:
            space: Dimension, metric and storage.
            slots: Which vectors, (N,).
            teach: Which of them may be learnt from, in random order.
            take: Returns vectors by slot.
            rng: Picks the first centres.
        """
        faiss = library()
        lists = min(lists_for(len(slots)), len(teach))
        sample = take(np.sort(teach[: max(_FEWEST, lists * _SAMPLE_PER_LIST)]))
        inner = space.metric is Metric.INNER_PRODUCT
        center = np.zeros(space.dimension, np.float32)
        if not inner:
            center = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        part = _LARGE_PART if space.storage is Storage.PRODUCT else _PART
        dimension = -(-space.dimension // part) * part
        sample = _shifted(sample, center, dimension)
        coarse = faiss.IndexFlatL2(dimension)
        grouping = faiss.Clustering(dimension, lists)
        grouping.init_method = faiss.ClusteringInitMethod_AFK_MC2
        grouping.niter, grouping.seed = _ROUNDS, int(rng.integers(1 << 31))
        grouping.min_points_per_centroid, grouping.max_points_per_centroid = 1, _SAMPLE_PER_LIST
        grouping.train(sample, coarse)
        metric = faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2
        index = faiss.IndexIVFPQFastScan(coarse, dimension, lists, dimension // part, _BITS, metric)
        coarse.this.disown()
        index.own_fields = True
        index.by_residual = True
        _without_table(index)
        index.train(sample[rng.permutation(len(sample))[:_TRAINING]])
        _add(index, slots, take, center)
        return cls(index, center, _products(index) if inner else None)

    @classmethod
    def restored(cls, arrays: Mapping[str, npt.NDArray[Any]], space: Namespace) -> Lists:
        """Return what was saved.

        Raises:
            ValueError: faiss cannot read it, or it is of other vectors.
            KeyError: Something is missing.
        """
        faiss = library()
        center = np.array(arrays["center"], np.float32)
        try:
            index = faiss.deserialize_index(np.array(arrays["index"], np.uint8))
        except (RuntimeError, MemoryError) as error:
            raise ValueError(str(error)) from error
        fits = isinstance(index, faiss.IndexIVFPQFastScan) and index.d >= space.dimension
        if not fits or center.shape != (space.dimension,):
            raise ValueError(type(index).__name__)
        _without_table(index)
        inner = space.metric is Metric.INNER_PRODUCT
        return cls(index, center, _products(index) if inner else None)


@lru_cache(maxsize=256)
def _looking_into(probes: int) -> Any:
    """Return settings that faiss only reads: to make them takes as long as to scan a list."""
    return library().SearchParametersIVF(nprobe=probes)


def _without_table(index: Any) -> None:
    """Have distances from centres to code words worked out when they are asked for.

    The table faiss would make takes megabytes and is no quicker: it does not fit in the caches.
    """
    index.use_precomputed_table = -1
    index.precomputed_table.resize(0)


def lists_for(count: int) -> int:
    """Return into how many lists so many vectors are divided.

    Four times the root: with fewer lists than the data has clusters, many must be looked into.
    From 2048 on twice the root: making them takes time in proportion to lists and vectors.
    """
    root = float(np.sqrt(count))
    return max(1, int(min(4 * root, max(_LISTS, 2 * root))))


def _products(index: Any) -> Any:
    """Return the centres of an index as something to choose from by inner product."""
    faiss = library()
    products = faiss.IndexFlatIP(index.d)
    products.add(index.quantizer.reconstruct_n(0, index.nlist))
    return products


def _add(index: Any, slots: Slots, take: Take, center: Floats32) -> None:
    """Put vectors into the lists of their nearest centres."""
    for begin in range(0, len(slots), _BLOCK):
        part = np.ascontiguousarray(slots[begin : begin + _BLOCK], np.int64)
        index.add_with_ids(_shifted(take(part), center, int(index.d)), part)


def _shifted(vectors: Floats32, center: Floats32, dimension: int) -> Floats32:
    """Return vectors about a centre, with zeros up to a dimension."""
    if dimension == vectors.shape[1]:
        return np.ascontiguousarray(vectors - center, np.float32)
    filled = np.zeros((len(vectors), dimension), np.float32)
    filled[:, : vectors.shape[1]] = vectors - center
    return filled
