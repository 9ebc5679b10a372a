"""An index of the vectors of one namespace: exact while that is quickest, codes above.

It is derived: it takes in the changes of a log, knows up to which it has, and can be saved
and taken back. Slots are the rows of the log. What has been written since the codes were
made is searched exactly beside them, what was deleted is never returned, and a search gives
k results wherever k vectors match. Codes are made by faiss; where that is not installed, all
vectors are compared.

Searches may run while changes are taken in, if changes are taken in by one thread at a time:
what a search looks at is replaced, not altered. Only the vector of a record that is being
replaced at that very moment may be seen half old and half new.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.ports import VectorFile
from cellhive.core.records import Changes, Metric, Namespace, Rows, Storage
from cellhive.core.types import Bools, Floats32

from .codes import Bytes, Codes, available
from .fresh import NONE, Fresh
from .lists import Lists
from .quantize import FloatVectors, Vectors, vectors_for
from .rescore import rescored
from .scan import best, nearest_of, scanned
from .signs import Signs

FORMAT = 2
"""Of what is saved; another one is not read but made again."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """When an index changes its ways."""

    exact_below: int = 20_000
    """Vectors up to which every one is compared."""
    recall: float = 0.99
    """Share of the true ten nearest that a search among codes shall find; measured, whenever
    codes are made, on vectors that those are not taught with, less three standard errors."""
    fresh: int = 2_048
    """Vectors searched beside the codes before they are coded too."""
    stale_ratio: float = 0.25
    """Share of codes of deleted and replaced vectors at which codes are made anew."""
    few: int = 50_000
    """Vectors that match a filter up to which each is compared."""
    seed: int = 1
    """Of the random directions and first centres."""


_NO_SKIP = np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What a search looks at."""

    size: int = 0
    """One more than the highest slot."""
    count: int = 0
    """Vectors that are there."""
    codes: Codes | None = None
    trained_on: int = 0
    """Vectors there were when the codes were made."""
    probes: int = 0
    """Lists to look into; 0 where comparing all is quicker."""
    wanted: int = 0
    """Candidates to score exactly for ten results."""
    fresh: Fresh = NONE
    """What is not coded, or with an old vector."""
    skip: Bytes = field(default_factory=lambda: _NO_SKIP)
    """Not zero for slots whose code is stale, or of nothing."""
    open: Bytes | None = None
    """The others, as bits; None where no code is stale."""
    stale: int = 0
    """Codes of vectors that are gone or replaced."""


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
    def codes(self) -> Codes | None:
        """The codes, where there are any."""
        return self._view.codes

    @property
    def without_library(self) -> bool:
        """Whether all are compared only because faiss is not installed."""
        view = self._view
        many = view.count >= self._settings.exact_below
        return view.codes is None and many and not available()

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
        if view.codes is not None:
            stale += int((self._alive[slots] & (skip[slots] == 0)).sum())
            skip[slots] = 1
        self._vectors.put(slots[present], self._prepared(changes.vectors[present]))
        fresh = view.fresh
        if view.codes is not None:
            fresh = fresh.changed(slots, present, self._vectors.take)
        self._alive[slots] = present
        count = view.count + int(present.sum()) - before
        self._view = replace(
            view, size=size, count=count, fresh=fresh, skip=skip, stale=stale,
            open=None if view.codes is None else _open(skip[:size]),
        )  # fmt: skip

    def settle(self) -> bool:
        """Make or extend codes where it is due; return whether they are made anew."""
        view, settings = self._view, self._settings
        if view.codes is None:
            if view.count < settings.exact_below:
                return False
            if not available():
                warnings.warn(_WITHOUT, stacklevel=2)
                return False
            self._make_codes()
            return True
        worn = view.stale > settings.stale_ratio * view.codes.count
        grown = not view.trained_on / 4 <= view.count <= view.trained_on * 4
        if worn or grown:
            if view.count < settings.exact_below // 2:
                self._view = replace(view, codes=None, fresh=NONE, open=None, stale=0)
            else:
                self._make_codes()
            return True
        if len(view.fresh) >= settings.fresh:
            self._place(view.codes.extended(view.fresh.slots, self._vectors.take, view.skip))
        return False

    def _make_codes(self) -> None:
        settings, view = self._settings, self._view
        rng = np.random.default_rng(settings.seed)
        slots = np.flatnonzero(self._alive[: view.size])
        shuffled = rng.permutation(slots)
        trials, teach = np.split(shuffled, [min(_TRIALS, len(slots) // 4)])
        kind = Signs if self.space.storage is Storage.BINARY else Lists
        self._place(kind.built(self.space, slots, teach, self._vectors.take, rng))
        self._view = replace(self._view, trained_on=len(slots))
        self._tune(np.sort(trials))

    def _place(self, codes: Codes) -> None:
        """Put codes in place that hold every vector and no stale one."""
        skip = np.zeros(len(self._alive), np.uint8)
        size = self._view.size
        if isinstance(codes, Signs):  # there is one for every slot, also without a vector
            skip[:size] = ~self._alive[:size]
        self._view = replace(
            self._view, codes=codes, fresh=NONE, stale=0, skip=skip, open=_open(skip[:size]),
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
        if view.codes is None or view.probes == 0:
            return scanned(self._vectors, queries, k, self._allowed(view, mask), self.space.metric)
        there = view.count if mask is None else matching
        found, near = self._by_codes(view, queries, k, mask, there / max(1, view.count))
        short = np.flatnonzero(found[:, min(k, there) - 1] < 0) if there else ()
        if len(short):
            found[short], near[short] = scanned(
                self._vectors, queries[short], k, self._allowed(view, mask), self.space.metric
            )
        return found, near

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

    def _by_codes(
        self, view: _View, queries: Floats32, k: int, mask: Bools | None, share: float
    ) -> tuple[Rows, Floats32]:
        """Return what the codes and what is beside them have to offer, best first."""
        nominated = self._nominated(view, queries, k, mask, share)
        rows, scores = rescored(self._vectors, queries, nominated, k, self.space.metric)
        fresh, block = view.fresh.slots, view.fresh.vectors
        if mask is not None and len(fresh):
            fresh, block = fresh[mask[fresh]], block[mask[fresh]]
        if len(fresh) == 0:
            return rows, scores
        for b, query in enumerate(queries):
            there = rows[b] >= 0
            slots = np.concatenate([rows[b, there], fresh])
            beside = nearest_of(query, block, self.space.metric)
            found, near = best(slots, np.concatenate([scores[b, there], beside]), k)
            rows[b, : len(found)], scores[b, : len(found)] = found, near
        return rows, scores

    def _nominated(
        self, view: _View, queries: Floats32, k: int, mask: Bools | None, share: float
    ) -> Rows:
        """Return candidates of each query, (B, C); look further where a filter leaves too few."""
        codes, more = view.codes, max(1.0, k / _TEN)
        if codes is None:
            return np.empty((len(queries), 0), np.int64)
        probes, wanted, open_ = view.probes, int(view.wanted * more), view.open
        if share < 1 or more > 1:
            probes = int(probes * np.sqrt(more) / share) + 1
        if mask is not None:
            wanted = max(_ENOUGH, wanted * _WANTED_FILTERED)
            open_ = np.packbits(mask & (view.skip[: view.size] == 0), bitorder="little")
        wanted, probes = min(wanted, codes.count), min(codes.lists, probes)
        found = codes.nominated(queries, probes, wanted, open_)
        if mask is None:
            return found
        short = np.flatnonzero(found[:, -1] < 0)
        while len(short) and probes < codes.lists:
            probes = min(codes.lists, 2 * probes)
            found[short] = codes.nominated(queries[short], probes, wanted, open_)
            short = short[found[short, -1] < 0]
        return found

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

    def _tune(self, trials: Rows) -> None:
        """Find the least effort that has the recall, on vectors the codes were not taught with.

        They are asked for as what others ask for will be, and are not counted themselves. A
        recall is believed that stays above the asked one with ``_DEVIATIONS`` standard errors
        taken off.
        """
        view = self._view
        codes = view.codes
        if codes is None:
            return
        queries = self._vectors.take(trials)
        true, _ = scanned(
            self._vectors, queries, _TEN + 1, self._allowed(view, None), self.space.metric
        )
        chosen, least = (0, 0), np.inf
        if isinstance(self._vectors, FloatVectors):  # others are searched by codes at any rate
            least = view.count * self.space.dimension * _COMPARED_NS
        for probes in _steps(codes.lists):
            if self._cost(codes, probes, _WANTED[0]) >= least:
                break
            self._view = replace(view, probes=probes, wanted=_WANTED[-1])
            if not self._suffices(queries, trials, true):
                continue
            for wanted in _WANTED:
                cost = self._cost(codes, probes, wanted)
                self._view = replace(view, probes=probes, wanted=wanted)
                if cost < least and self._suffices(queries, trials, true):
                    chosen, least = (probes, wanted), cost
                    break
        if chosen == (0, 0) and not isinstance(self._vectors, FloatVectors):
            chosen = (codes.lists, _WANTED[-1])
        self._view = replace(view, probes=chosen[0], wanted=chosen[1])

    def _cost(self, codes: Codes, probes: int, wanted: int) -> float:
        """Return about how long a search takes [ns]."""
        dearer = 0.6 if isinstance(self._vectors, FloatVectors) else 3
        return codes.cost(probes, wanted) + wanted * self.space.dimension * dearer

    def _suffices(self, queries: Floats32, slots: Rows, true: Rows) -> bool:
        """Return whether trials tell that the recall is what it shall be."""
        nominated = self._nominated(self._view, queries, _TEN, None, 1.0)
        found, _ = rescored(self._vectors, queries, nominated, _TEN + 1, self.space.metric)
        hits = [len(np.intersect1d(wanted[wanted != own][:_TEN], near))
                for own, near, wanted in zip(slots, found, true, strict=True)]  # fmt: skip
        shares = np.array(hits) / min(_TEN, max(1, self._view.count - 1))
        doubt = _DEVIATIONS * float(shares.std()) / np.sqrt(len(shares))
        return bool(shares.mean() - doubt >= self._settings.recall)

    # ------------------------------------------------------------------ saving

    def snapshot(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return all that is needed to go on from here without making codes again."""
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
        if view.codes is not None:
            arrays["skip"] = np.packbits(view.skip[: view.size].astype(np.bool_))
            arrays |= {f"codes.{name}": array for name, array in view.codes.arrays().items()}
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
        codes: Codes | None = None
        skip = np.zeros(size, np.uint8)
        if "skip" in arrays:
            if not available():
                raise ValueError(_WITHOUT)
            parts = {name.removeprefix("codes."): array for name, array in arrays.items()
                     if name.startswith("codes.")}  # fmt: skip
            kind = Signs if self.space.storage is Storage.BINARY else Lists
            codes = kind.restored(parts, self.space)
            if codes.bound > size:
                raise ValueError(codes.bound)
            if arrays["skip"].any():  # else zeros that no page of memory is taken for
                skip = np.unpackbits(arrays["skip"], count=size)
        fresh = np.array(arrays["fresh"], np.int64)
        if codes is not None and codes.count < int(alive.sum()) - len(fresh):
            raise ValueError(codes.count)
        probes, wanted = header["effort"]
        self._alive = alive
        self._view = _View(
            size=size,
            count=int(alive.sum()),
            codes=codes,
            trained_on=int(header["trained_on"]),
            probes=int(probes),
            wanted=int(wanted),
            fresh=Fresh.of(fresh, self._vectors.take(fresh)) if len(fresh) else NONE,
            skip=skip,
            open=_open(skip) if codes is not None else None,
            stale=int(header["stale"]),
        )


_TEN, _TRIALS = 10, 256
_DEVIATIONS = 3.0
"""Standard errors of the measured recall that are taken off it: the least of many efforts that
look good is chosen, and some of them do by chance."""
_ENOUGH = 512
"""Vectors that match a filter, that are scored exactly at least."""
_WANTED_FILTERED = 3
"""Times more candidates under a filter: with fewer vectors left, codes tell them apart worse."""
_ROUNDING = 0.01
"""Of a vector's largest component: more than any storage rounds by."""
_COMPARED_NS = 0.35
"""What a component costs where all are compared."""
_WANTED = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048)
_WITHOUT = (
    "faiss is not installed: searches of many vectors compare all of them; "
    "pip install 'cellhive[memory]' makes them fast"
)


def _steps(lists: int) -> list[int]:
    """Return numbers of lists to try, each a third more than the one before."""
    steps, value = [], 2.0
    while value < lists:
        steps.append(int(value))
        value = max(value + 1, value * 1.33)
    return [*steps, lists]


def _open(skip: Bytes) -> Bytes | None:
    """Return which slots are not to be skipped, as bits; None where none is."""
    return np.packbits(skip == 0, bitorder="little") if skip.any() else None
