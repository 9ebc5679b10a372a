"""Looks after a memory: what is in it, is it whole, does its index find what is there?"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cellhive.adapters.embedded import copies
from cellhive.adapters.files import check_folder
from cellhive.app.memory.opening import INDEXES, RECORDS, Place, visible
from cellhive.app.memory.transfer import everything
from cellhive.core.errors import BadInput, CellHiveError, Conflict, NotFound
from cellhive.core.records import Metric, Namespace, RecordKind
from cellhive.core.types import Floats32
from cellhive.memory.store import Memory

QUERIES, NEAREST = 200, 10
"""Stored vectors that are searched for when an index is verified, and how many results of each."""
LEAST_RECALL = 0.9
"""An index that finds less of the nearest records than this is not in order."""
_PAGE = 4_096


@dataclass(frozen=True)
class SpaceState:
    """What is in one namespace."""

    namespace: Namespace
    records: int
    kinds: dict[str, int]
    index: IndexState | None = None
    """None where it was not asked for."""


@dataclass(frozen=True)
class IndexState:
    """How the vectors of a namespace are searched."""

    vectors: int
    exact: bool
    """Whether every vector is looked at."""
    cells: int = 0
    """Parts the vectors are divided into, of which a search looks at some; 1 where it compares
    the codes of all."""
    probes: int = 0
    """How many parts a search looks at."""
    pool: int = 0
    """How many candidates are compared exactly."""
    without_library: bool = False
    """Whether every vector is looked at only because faiss is not installed."""


@dataclass(frozen=True)
class StoreState:
    """Where a memory is and what its acknowledgements mean."""

    place: str
    durability: str
    encrypted: bool
    records_bytes: int | None
    """Size of its files with records; None in a server."""
    index_bytes: int | None


def store_of(where: str, *, encrypted: bool) -> StoreState:
    """Return where a memory is, and how large its files are."""
    place = Place(where)
    if place.on_server:
        durability = "as the server is set: synchronous_commit, fsync and its replicas decide"
        return StoreState(place.shown, durability, encrypted, None, None)
    folder = place.folder
    records = sum(each.stat().st_size for each in folder.glob(f"{RECORDS}*") if each.is_file())
    saved = sum(each.stat().st_size for each in (folder / INDEXES).rglob("*") if each.is_file())
    durability = (
        "an acknowledged write is synced to the disk: it survives kill -9 and the loss of power"
    )
    return StoreState(place.shown, durability, encrypted, records, saved)


def state_of(memory: Memory, *, indexes: bool = False) -> list[SpaceState]:
    """Return what is in each namespace, by name.

    Args:
        memory: The memory.
        indexes: Bring every index up to date, which may take a while, and tell how it searches.
    """
    found = []
    for namespace in visible(memory.log):
        name = namespace.name
        kinds = {kind.value: memory.count(name, kind=kind) for kind in RecordKind}
        kinds = {kind: count for kind, count in kinds.items() if count}
        index = _index_state(memory, name) if indexes else None
        found.append(SpaceState(namespace, memory.count(name), kinds, index))
    return found


def _index_state(memory: Memory, name: str) -> IndexState:
    index = memory.index(name)
    codes, (probes, pool) = index.codes, index.effort
    if codes is None or probes == 0:
        return IndexState(len(index), exact=True, without_library=index.without_library)
    return IndexState(len(index), False, codes.lists, probes, pool)


def discard_indexes(where: str) -> None:
    """Throw the saved indexes of a memory away; they are made anew from the records.

    Raises:
        Conflict: Another process uses them.
    """
    place = Place(where)
    if place.on_server:
        return
    for owner in (place.folder / INDEXES).glob("*/owner"):
        with owner.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = (
                    f"{owner.parent}: expected indexes that nobody uses, found another process "
                    "that does; stop it first"
                )
                raise Conflict(message) from error
    shutil.rmtree(place.folder / INDEXES, ignore_errors=True)


def back_up(where: str, target: Path) -> Path:
    """Copy a memory into a folder that is a memory itself; return the copied file.

    Raises:
        BadInput: There is something in that folder already; or the memory is in a server.
        NotFound: There is no memory.
        Unavailable: There is no room for it.
    """
    place = Place(where)
    if place.on_server:
        raise BadInput(
            place="--memory", expected="a memory in a folder", found=place.shown,
            remedy="back a server up by its own means, such as pg_dump",
        )  # fmt: skip
    source = place.folder / RECORDS
    if not source.exists():
        message = f"{place.folder}: there is no memory to back up"
        raise NotFound(message)
    check_folder(target, "folder of the backup")
    target.mkdir(parents=True, exist_ok=True)
    copies.back_up(source, target / RECORDS)
    return target / RECORDS


def file_problems(where: str) -> list[str]:
    """Return what is wrong with the file of a memory; nothing is known of a server's."""
    place = Place(where)
    return [] if place.on_server else copies.problems(place.folder / RECORDS)


@dataclass
class Verified:
    """How one namespace stood up to being read whole."""

    namespace: str
    records: int = 0
    vectors: int = 0
    recall: float | None = None
    """Share of the nearest records that the index finds; None without vectors."""
    problems: list[str] = field(default_factory=list)


def verify(
    memory: Memory, name: str, on_progress: Callable[[int], None] = lambda done: None
) -> Verified:
    """Read every record of a namespace, and compare its index with a scan of all of them.

    The vectors searched for are some of the stored ones, evenly spread; the scan is exact.
    """
    verified = Verified(name)
    namespace = memory.log.namespaces()[name]
    queries = _some_vectors(memory, name, verified)
    if verified.records != (counted := memory.count(name)):
        verified.problems.append(f"{verified.records:,} records read, {counted:,} counted")
    if queries is None:
        return verified
    truth = _nearest(memory, namespace, queries, on_progress)
    hits = memory.search(name, queries, min(NEAREST, verified.vectors))
    found = _scores_found(hits.rows, hits.scores, truth)
    verified.recall = found
    if found < LEAST_RECALL:
        verified.problems.append(
            f"the index finds {found:.1%} of the nearest records; expected {LEAST_RECALL:.0%}: "
            "cellhive memory rebuild"
        )
    return verified


def _some_vectors(memory: Memory, name: str, verified: Verified) -> Floats32 | None:
    """Return vectors evenly spread over the namespace, (B, D), having read all records."""
    total = max(memory.count(name), 1)
    step = max(total // QUERIES, 1)
    chosen: list[Floats32] = []
    try:
        for record in everything(memory, name):
            if record.vector is not None:
                if verified.vectors % step == 0 and len(chosen) < QUERIES:
                    chosen.append(record.vector)
                verified.vectors += 1
            verified.records += 1
    except CellHiveError as error:
        verified.problems.append(str(error))
    return np.stack(chosen) if chosen else None


def _nearest(
    memory: Memory, namespace: Namespace, queries: Floats32, on_progress: Callable[[int], None]
) -> Floats32:
    """Return the scores of the nearest records of each query by a scan, best first, (B, k)."""
    best = np.full((len(queries), NEAREST), -np.inf, np.float32)
    after = done = 0
    while True:
        rows, records = memory.scan(namespace.name, after_row=after, limit=_PAGE)
        if not records:
            break
        after, done = int(rows[-1]), done + len(records)
        vectors = [record.vector for record in records if record.vector is not None]
        if vectors:
            scores = _scores(queries, np.stack(vectors), namespace.metric)
            best = -np.sort(-np.hstack([best, scores]), axis=1)[:, :NEAREST]
        on_progress(done)
    return best


def _scores(queries: Floats32, vectors: Floats32, metric: Metric) -> Floats32:
    """Return how near vectors are to queries, (B, N), higher is nearer."""
    one, two = queries.astype(np.float64), vectors.astype(np.float64)
    if metric is Metric.COSINE:
        one = one / np.linalg.norm(one, axis=1, keepdims=True)
        two = two / np.linalg.norm(two, axis=1, keepdims=True)
    products = one @ two.T
    if metric is Metric.L2:
        products = 2 * products - (one**2).sum(1)[:, None] - (two**2).sum(1)[None, :]
    return products.astype(np.float32)


def _scores_found(rows: np.ndarray, scores: Floats32, truth: Floats32) -> float:
    """Return the share of results that are as near as the true ones; ties count as found."""
    k = rows.shape[1]
    least = truth[:, k - 1 : k]
    slack = 1e-5 * np.maximum(1.0, np.abs(least))
    return float(((rows >= 0) & (scores >= least - slack)).mean())
