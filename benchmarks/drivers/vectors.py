"""Vectors to search in, the same ones for everybody, and what the right answers are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import numpy.typing as npt

Floats32 = npt.NDArray[np.float32]
SEED, CLUSTERS, DIRECTIONS = 7, 1000, 16
_BLOCK = 100_000


def vectors(kind: str, count: int, dimension: int, queries: int) -> tuple[Floats32, Floats32]:
    """Return vectors of length one and queries drawn alike, (N, D) and (Q, D).

    ``clustered``: 1000 clusters of unequal size (the i-th has a weight of 1/√i); within each
    the vectors spread along 16 random directions, the same for all, and a little along every
    other. ``gaussian``: independent normal components, where no two are near.
    """
    rng = np.random.default_rng(SEED)
    middles = rng.standard_normal((CLUSTERS, dimension), dtype=np.float32)
    along = rng.standard_normal((DIRECTIONS, dimension), dtype=np.float32)
    along *= np.float32(0.7 / np.sqrt(DIRECTIONS))
    weights = 1 / np.sqrt(np.arange(1, CLUSTERS + 1))
    weights /= weights.sum()

    def drawn(number: int) -> Floats32:
        made = np.empty((number, dimension), np.float32)
        for begin in range(0, number, _BLOCK):
            part = min(_BLOCK, number - begin)
            noise = rng.standard_normal((part, dimension), dtype=np.float32)
            if kind == "clustered":
                noise *= np.float32(0.2)
                noise += middles[rng.choice(CLUSTERS, part, p=weights)]
                noise += rng.standard_normal((part, DIRECTIONS), dtype=np.float32) @ along
            noise /= np.linalg.norm(noise, axis=1, keepdims=True)
            made[begin : begin + part] = noise
        return made

    return drawn(count), drawn(queries)


def scan(stored: Floats32, query: Floats32) -> npt.NDArray[np.intp]:
    """Return the ten nearest by a matrix product and a partial sort: what NumPy users write."""
    scores = stored @ query
    best = np.argpartition(scores, -10)[-10:]
    return best[np.argsort(-scores[best])]


def truth(stored: Floats32, queries: Floats32) -> npt.NDArray[np.intp]:
    """Return the ten nearest of each query, (Q, 10)."""
    found: list[npt.NDArray[np.intp]] = []
    for begin in range(0, len(queries), 50):
        scores = queries[begin : begin + 50] @ stored.T
        found.append(np.argpartition(scores, -10, axis=1)[:, -10:])
    return np.concatenate(found)


def recall(found: list[list[int]], right: npt.NDArray[np.intp]) -> float:
    """Return the share of the right ones that were found."""
    hits = sum(len(set(a) & set(b)) for a, b in zip(found, right.tolist(), strict=True))
    return hits / right.size


def timed_queries(
    search: Callable[[Floats32], Any], queries: Floats32, rounds: int = 3
) -> dict[str, Any]:
    """Search for one query after another, several times; return latencies and what was found.

    Returns:
        ``p50_us`` of each round, ``p99_us`` of the last, ``cpu_ms`` per query, ``found``.
    """
    medians, p99 = list[float](), 0.0
    found: list[Any] = []
    for query in queries[:20]:
        search(query)
    used = process_time()
    for _ in range(rounds):
        times, found = [], []
        for query in queries:
            begin = perf_counter()
            answer = search(query)
            times.append(perf_counter() - begin)
            found.append(answer)
        medians.append(float(np.median(times)) * 1e6)
        p99 = float(np.quantile(times, 0.99)) * 1e6
    cpu = (process_time() - used) / rounds / len(queries) * 1e3
    return {"p50_us": medians, "p99_us": p99, "cpu_ms": cpu, "found": found}


def export(folder: Path, count: int, dimension: int, queries: int) -> None:
    """Write vectors, queries and the right answers as raw little-endian files."""
    stored, asked = vectors("clustered", count, dimension, queries)
    stored.astype("<f4").tofile(folder / "stored.f32")
    asked.astype("<f4").tofile(folder / "asked.f32")
    truth(stored, asked).astype("<i4").tofile(folder / "right.i32")


if __name__ == "__main__":
    export(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
