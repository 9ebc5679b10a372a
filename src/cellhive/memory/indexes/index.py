"""An index of the vectors of one namespace: exact while that is quickest, cells above.

It is derived: it takes in the changes of a log, knows up to which it has, and can be saved
and taken back. Slots are the rows of the log. What has been written since the cells were
made is searched exactly beside them, what was deleted is never returned, and a search gives
k results wherever k vectors match.

Searches may run while changes are taken in, if changes are taken in by one thread at a time:
what a search looks at is replaced, not altered. Only the vector of a record that is being
replaced at that very moment may be seen half old and half new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.ports import VectorFile
from cellhive.core.records import Changes, Metric, Namespace, Rows, Storage
from cellhive.core.types import Bools, Floats32

from .cells import Cells, built, extended
from .fresh import NONE, Fresh
from .quantize import FloatVectors, Vectors, vectors_for
from .scan import best, nearest_of, scanned

FORMAT = 1
"""Of what is saved; another one is not read but made again."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """When an index changes its ways."""

    exact_below: int = 20_000
    """Vectors up to which every one is compared."""
    recall: float = 0.99
    """Share of the true ten nearest that a search among cells shall find; measured on the
    vectors themselves whenever cells are made."""
    fresh: int = 2_048
    """Vectors searched beside the cells before they are put into them."""
    stale_ratio: float = 0.25
    """Share of codes of deleted and replaced vectors at which cells are made anew."""
    few: int = 50_000
    """Vectors that match a filter up to which each is compared."""
    seed: int = 1
    """Of the random directions and first centroids."""


_NO_SKIP = np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What a search looks at."""

    size: int = 0
    """One more than the highest slot."""
    count: int = 0
    """Vectors that are there."""
    cells: Cells | None = None
    trained_on: int = 0
    """Vectors there were when the cells were made."""
    probes: int = 0
    """Lists to look into; 0 where comparing all is quicker."""
    wanted: int = 0
    """Candidates to score exactly for ten results."""
    fresh: Fresh = NONE
    """What the cells do not have, or have with an old vector."""
    skip: npt.NDArray[np.uint8] = field(default_factory=lambda: _NO_SKIP)
    """Not zero for slots whose code in these cells is stale."""
    stale: int = 0
    """Codes in the cells of vectors that are gone or replaced."""


class VectorIndex:
    """The vectors of a namespace, searchable."""

    def __init__(
        self,
        space: Namespace,
        file: VectorFile | None = None,
        settings: IndexSettings | None = None,
    ) -> None:
        """Begin empty.

        Args:
            space: Dimension, metric and storage.
            file: Where floats lie that are not kept in memory; None keeps them there.
            settings: When to change ways.
        """
        self.space = space
        self.last = 0
        """Number of the last change taken in."""
        self._settings = settings or IndexSettings()
        self._vectors: Vectors = vectors_for(space.storage, space.dimension, file)
        self._alive: Bools = np.zeros(0, np.bool_)
        self._view = _View()

    def __len__(self) -> int:
        """Return how many vectors there are."""
        return self._view.count

    @property
    def size(self) -> int:
        """One more than the highest row known."""
        return self._view.size

    @property
    def cells(self) -> Cells | None:
        """The cells, where there are any."""
        return self._view.cells

    @property
    def effort(self) -> tuple[int, int]:
        """Lists looked into and candidates scored for ten results; zeros where all are compared."""
        return self._view.probes, self._view.wanted

    def reserve(self, rows: int) -> None:
        """Make room for rows below a number, so that what comes is not moved about."""
        self._vectors.reserve(rows)

    # ------------------------------------------------------------------ taking changes in

    def apply(self, changes: Changes) -> None:
        """Take in a page of changes; call ``settle`` after the last page."""
        self.last = max(self.last, changes.last)
        if len(changes.rows) == 0:
            return
        view, slots = self._view, changes.rows
        size = max(view.size, int(slots.max()) + 1)
        skip = view.skip
        if size > len(self._alive):
            room = max(1024, size * 3 // 2)
            alive, skip = np.zeros(room, np.bool_), np.zeros(room, np.uint8)
            alive[: len(self._alive)], skip[: len(view.skip)] = self._alive, view.skip
            self._alive = alive
        present = changes.with_vector & ~changes.deleted
        stale, before = view.stale, int(self._alive[slots].sum())
        if view.cells is not None:
            stale += int((self._alive[slots] & (skip[slots] == 0)).sum())
            skip[slots] = 1
        self._vectors.put(slots[present], self._prepared(changes.vectors[present]))
        fresh = view.fresh
        if view.cells is not None:
            fresh = fresh.changed(slots, present, self._vectors.take)
        self._alive[slots] = present
        count = view.count + int(present.sum()) - before
        self._view = replace(view, size=size, count=count, fresh=fresh, skip=skip, stale=stale)

    def settle(self) -> bool:
        """Make or extend cells where it is due; return whether they are made anew."""
        view, settings = self._view, self._settings
        if view.cells is None:
            if view.count < settings.exact_below:
                return False
            self._make_cells()
            return True
        worn = view.stale > settings.stale_ratio * view.cells.count
        grown = not view.trained_on / 4 <= view.count <= view.trained_on * 4
        if worn or grown:
            if view.count < settings.exact_below // 2:
                self._view = replace(view, cells=None, fresh=NONE, stale=0)
            else:
                self._make_cells()
            return True
        if len(view.fresh) >= settings.fresh:
            cells = extended(view.cells, view.fresh.slots, self._vectors.take, view.skip)
            self._clear(cells)
        return False

    def _make_cells(self) -> None:
        settings, view = self._settings, self._view
        rng = np.random.default_rng(settings.seed)
        slots = np.flatnonzero(self._alive[: view.size])
        self._clear(built(self.space, slots, self._vectors.take, rng))
        self._view = replace(self._view, trained_on=len(slots))
        self._tune(rng)

    def _clear(self, cells: Cells) -> None:
        """Put cells in place that hold every vector and no stale code."""
        self._view = replace(
            self._view, cells=cells, fresh=NONE, stale=0,
            skip=np.zeros(len(self._alive), np.uint8),
        )  # fmt: skip

    def _prepared(self, vectors: Floats32) -> Floats32:
        """Return vectors as they are stored: of length one under the cosine."""
        if self.space.metric is not Metric.COSINE or len(vectors) == 0:
            return vectors
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
        return (vectors / np.where(lengths > 0, lengths, 1.0)[:, None]).astype(np.float32)

    # ------------------------------------------------------------------ searching

    def search(self, queries: Floats32, k: int, mask: Bools | None = None) -> tuple[Rows, Floats32]:
        """Return rows and scores of the k nearest of each query, (B, k), -1 where there are fewer.

        Args:
            queries: Validated, (B, D) float32.
            k: How many.
            mask: By row, which may be found; None for all.
        """
        view = self._view
        queries = self._prepared(queries)
        if mask is not None:
            known = min(view.size, len(mask))
            asked, mask = mask, np.zeros(view.size, np.bool_)
            mask[:known] = asked[:known] & self._alive[:known]
            matching = int(mask.sum())
            if matching <= max(self._settings.few, k):
                return self._among(queries, k, np.flatnonzero(mask))
        if view.cells is None or view.probes == 0:
            return scanned(self._vectors, queries, k, self._allowed(view, mask), self.space.metric)
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        skip = self._skipped(view, mask)
        available = view.count if mask is None else matching
        share = 1.0 if mask is None else matching / view.count
        for b, query in enumerate(queries):
            found, near = self._in_cells(view, query, k, skip, share, mask)
            if len(found) < min(k, available):
                allowed = self._allowed(view, mask)
                rows[b], scores[b] = (
                    part[0] for part in
                    scanned(self._vectors, queries[b : b + 1], k, allowed, self.space.metric)
                )  # fmt: skip
            else:
                rows[b, : len(found)], scores[b, : len(found)] = found, near
        return rows, scores

    def take(self, rows: Rows) -> Floats32:
        """Return stored vectors by row, (N, D); of length one under the cosine."""
        return self._vectors.take(rows)

    def sample(self, count: int) -> Rows:
        """Return some rows that there are, spread over all, at most ``count``."""
        there = np.flatnonzero(self._alive[: self._view.size])
        return there[np.linspace(0, len(there) - 1, min(count, len(there))).astype(np.int64)]

    def holds(self, rows: Rows, vectors: Floats32) -> bool:
        """Return whether these are, but for rounding, the vectors at some rows."""
        expected, kept = self._prepared(vectors), self._vectors.take(rows)
        scale = np.abs(expected).max(axis=1, keepdims=True)
        return bool((np.abs(expected - kept) <= _ROUNDING * scale).all())

    def _allowed(self, view: _View, mask: Bools | None) -> Bools | int:
        """Return which slots may be found, or how many if all of them may."""
        if mask is not None:
            return mask
        return view.size if view.count == view.size else self._alive[: view.size]

    def _skipped(self, view: _View, mask: Bools | None) -> npt.NDArray[np.uint8] | None:
        if mask is None:
            return view.skip if view.stale else None
        skip = view.skip[: view.size].copy() if view.stale else np.zeros(view.size, np.uint8)
        skip[~mask] = 1
        return skip

    def _in_cells(
        self, view: _View, query: Floats32, k: int, skip: npt.NDArray[np.uint8] | None,
        share: float, mask: Bools | None,
    ) -> tuple[Rows, Floats32]:  # fmt: skip
        """Return what the cells and what is beside them have to offer, best first."""
        cells = view.cells
        if cells is None:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        more = max(1.0, k / 10)
        lists = len(cells.half)
        probes = min(lists, int(view.probes * np.sqrt(more) / share) + 1 if share < 1 or more > 1
                     else view.probes)  # fmt: skip
        wanted = int(view.wanted * more * (1 if mask is None else _WANTED_FILTERED))
        enough = view.probes * cells.count // (2 * lists)
        slots, looked_at = cells.candidates(query, probes, wanted, skip)
        while share < 1 and looked_at < max(enough, wanted) and probes < lists:
            probes = min(lists, probes * 2)
            slots, looked_at = cells.candidates(query, probes, wanted, skip)
        scores = self._scored(query, slots)
        if len(view.fresh):
            beside = nearest_of(query, view.fresh.vectors, self.space.metric)
            fresh = view.fresh.slots
            if mask is not None:
                beside, fresh = beside[mask[fresh]], fresh[mask[fresh]]
            slots = np.concatenate([slots, fresh])
            scores = np.concatenate([scores, beside])
        return best(slots.astype(np.int64), scores, k)

    def _scored(self, query: Floats32, slots: npt.NDArray[np.integer[Any]]) -> Floats32:
        if isinstance(self._vectors, FloatVectors):
            from .kernels import score_rows  # noqa: PLC0415  # compiles

            scores = np.empty(len(slots), np.float32)
            squared = self.space.metric is Metric.L2
            score_rows(query, self._vectors.floats, slots, squared, scores)
            return scores
        return nearest_of(query, self._vectors.take(slots), self.space.metric)

    def _among(
        self, queries: Floats32, k: int, slots: npt.NDArray[np.int64]
    ) -> tuple[Rows, Floats32]:
        """Compare each of some vectors."""
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        taken = self._vectors.take(slots)
        for b, query in enumerate(queries):
            found, near = best(slots, nearest_of(query, taken, self.space.metric), k)
            rows[b, : len(found)], scores[b, : len(found)] = found, near
        return rows, scores

    # ------------------------------------------------------------------ how hard to look

    def _tune(self, rng: np.random.Generator) -> None:
        """Find the least effort that has the recall, on vectors of our own as queries.

        They lie where vectors lie and are found more surely than what others will ask for: half
        of what the asked recall leaves to be missed is all they may miss.
        """
        view, target = self._view, (1.0 + self._settings.recall) / 2
        cells = view.cells
        if cells is None:
            return
        picked = np.sort(rng.permutation(cells.count)[:_TRIALS])
        slots = cells.order[picked].astype(np.int64)
        queries = self._vectors.take(slots)
        true, _ = scanned(
            self._vectors, queries, _TEN + 1, self._allowed(view, None), self.space.metric
        )
        lists, dearest = len(cells.half), _scan_cost(view.count, self.space.dimension)
        chosen, least = (0, 0), dearest
        for probes in _steps(lists):
            if self._cost(cells, probes, _WANTED[0]) >= least:
                break
            self._view = replace(view, probes=probes, wanted=_WANTED[-1])
            if self._recall(queries, slots, true) < target:
                continue
            for wanted in _WANTED:
                cost = self._cost(cells, probes, wanted)
                self._view = replace(view, probes=probes, wanted=wanted)
                if cost < least and self._recall(queries, slots, true) >= target:
                    chosen, least = (probes, wanted), cost
                    break
        if chosen == (0, 0) and not isinstance(self._vectors, FloatVectors):
            chosen = (lists, _WANTED[-1])
        self._view = replace(view, probes=chosen[0], wanted=chosen[1])

    def _cost(self, cells: Cells, probes: int, wanted: int) -> float:
        """Return about how long a search takes [ns]."""
        lists, bits = len(cells.half), cells.rotation.shape[1]
        codes = probes * cells.count / lists
        coarse = min(lists * bits / 24 + 4 * probes * bits / 10, lists * bits / 10)
        rows = 4 if isinstance(self._vectors, FloatVectors) else 12
        return float(coarse + codes * bits / 24 + probes * 400 + wanted * (60 + bits * rows / 16))

    def _recall(self, queries: Floats32, slots: Rows, true: Rows) -> float:
        hits = 0
        for query, own, wanted in zip(queries, slots, true, strict=True):
            found, _ = self._in_cells(self._view, query, _TEN + 1, None, 1.0, None)
            others = wanted[wanted != own][:_TEN]
            hits += len(np.intersect1d(others, found))
        return hits / (len(queries) * min(_TEN, max(1, self._view.count - 1)))

    # ------------------------------------------------------------------ saving

    def snapshot(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return all that is needed to go on from here without making cells again."""
        view = self._view
        header = {
            "format": FORMAT,
            "space": asdict(self.space),
            "last": self.last,
            "size": view.size,
            "trained_on": view.trained_on,
            "effort": [view.probes, view.wanted],
            "stale": view.stale,
        }
        arrays: dict[str, npt.NDArray[Any]] = {
            "header": np.frombuffer(json.dumps(header, sort_keys=True).encode(), np.uint8),
            "alive": np.packbits(self._alive[: view.size]),
            "fresh": view.fresh.slots,
            **self._vectors.arrays(view.size),
        }
        if view.cells is not None:
            arrays["skip"] = np.packbits(view.skip[: view.size].astype(np.bool_))
            arrays |= {f"cells.{name}": array for name, array in view.cells.arrays().items()}
        return arrays

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]], last_change: int) -> bool:
        """Go on from a snapshot; return False, and stay empty, where it is not of this log now.

        Args:
            arrays: As ``snapshot`` gave them, perhaps by another program, perhaps damaged.
            last_change: Number of the log's last change: a snapshot from beyond it is refused.
        """
        try:
            header = json.loads(bytes(arrays["header"]))
            spaces_agree = header["space"] == json.loads(json.dumps(asdict(self.space)))
            if header["format"] != FORMAT or not spaces_agree or header["last"] > last_change:
                return False
            self._restore(header, arrays)
        except (KeyError, ValueError, TypeError, IndexError, OSError):
            self._alive, self._view = np.zeros(0, np.bool_), _View()
            return False
        self.last = int(header["last"])
        return True

    def _restore(self, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        size = int(header["size"])
        alive = np.unpackbits(arrays["alive"], count=size).astype(np.bool_)
        self._vectors.restore(arrays)
        if self._vectors.size < size and alive.any():
            raise ValueError(size)
        cells, skip = None, np.zeros(size, np.uint8)
        if "skip" in arrays:
            mapped = self.space.storage in {Storage.BINARY, Storage.PRODUCT}
            parts = {name.removeprefix("cells."): array for name, array in arrays.items()
                     if name.startswith("cells.")}  # fmt: skip
            cells = Cells.restored(parts, mapped_order=mapped)
            if header["stale"]:  # else zeros that no page of memory is taken for
                skip = np.unpackbits(arrays["skip"], count=size)
        fresh = np.array(arrays["fresh"], np.int64)
        probes, wanted = header["effort"]
        self._alive = alive
        self._view = _View(
            size=size,
            count=int(alive.sum()),
            cells=cells,
            trained_on=int(header["trained_on"]),
            probes=int(probes),
            wanted=int(wanted),
            fresh=Fresh.of(fresh, self._vectors.take(fresh)) if len(fresh) else NONE,
            skip=skip,
            stale=int(header["stale"]),
        )


_TEN, _TRIALS = 10, 128
_WANTED_FILTERED = 3
"""Times more candidates under a filter: with fewer vectors left, codes tell them apart worse."""
_ROUNDING = 0.01
"""Of a vector's largest component: more than any storage rounds by."""
_WANTED = (32, 48, 64, 96, 128, 192, 256, 512, 1024)


def _steps(lists: int) -> list[int]:
    """Return numbers of lists to try, each a third more than the one before."""
    steps, value = [], 2.0
    while value < lists:
        steps.append(int(value))
        value = max(value + 1, value * 1.33)
    return [*steps, lists]


def _scan_cost(count: int, dimension: int) -> float:
    """Return about how long comparing all takes [ns]."""
    return count * dimension * 0.35
