"""How found incidents are compared with faults of known truth, and the figures that come of it.

A found incident is a hit on a fault if they share a cell, overlap in time, and the incident is
no blanket: it lasts at most twice as long as the fault and a day (of daily values: a week).
A fault is found if anything hits it. An incident that hits nothing is false. Where several hit
the same fault, the one of the best rank is compared with the truth; the others are counted as
pieces, neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fault_panels import DAY_S, KINDS, Case, Fault


@dataclass(frozen=True)
class Found:
    """An incident as any detector tells it."""

    cells: frozenset[int]
    first: int
    last: int
    kind: str
    rank: int
    sizes: dict[tuple[int, str], float] = field(default_factory=dict)
    """Mean change by cell and KPI, in the unit of the KPI."""


@dataclass(frozen=True)
class Hit:
    """What became of one fault."""

    kind: str
    size: str
    found: bool
    named: bool = False
    """Whether the kind was called by a right name."""
    pieces: int = 0
    """Incidents that hit it."""
    rank: int = 0
    late: int = 0
    """Start of the incident less start of the fault, in periods."""
    overlap: float = 0.0
    """Of the times: intersection over union."""
    size_error: float = float("nan")
    """Size over true size, less one, of the KPI that shows it best."""


@dataclass(frozen=True)
class Scored:
    """What became of a case."""

    hits: tuple[Hit, ...]
    false: int
    """Incidents that hit no fault."""
    incidents: int
    cell_days: float


def _hits(one: Found, fault: Fault, case: Case) -> bool:
    days = 7.0 if case.grid.per_day == 1 else 1.0
    slack = days * DAY_S / case.grid.step_s
    together = min(one.last, fault.last) > max(one.first, fault.first)
    blanket = one.last - one.first > 2 * (fault.last - fault.first) + slack
    return together and not blanket and bool(one.cells & set(fault.cells))


def _judged(fault: Fault, ours: list[Found]) -> Hit:
    if not ours:
        return Hit(fault.kind, fault.size, found=False)
    best = min(ours, key=lambda one: one.rank)
    shared = min(best.last, fault.last) - max(best.first, fault.first)
    union = max(best.last, fault.last) - min(best.first, fault.first)
    sizes = {
        key: size for key, size in best.sizes.items()
        if fault.usual.get(key) and np.isfinite(size) and fault.change.get(key)
    }  # fmt: skip
    error = float("nan")
    if sizes and "no data" not in best.kind:
        lead = next(iter(sizes))
        error = sizes[lead] / fault.change[lead] - 1
    right = any(one.kind in KINDS[fault.kind] for one in ours[:3])
    return Hit(fault.kind, fault.size, True, right, len(ours), best.rank,
               best.first - fault.first, shared / union, error)  # fmt: skip


def score(case: Case, found: Sequence[Found]) -> Scored:
    """Return what became of the faults of a case, and how many incidents are false."""
    hits, used = [], set()
    for fault in case.faults:
        mine = [i for i, one in enumerate(found) if _hits(one, fault, case)]
        used.update(mine)
        hits.append(_judged(fault, sorted((found[i] for i in mine), key=lambda one: one.rank)))
    days = case.grid.cells * case.grid.days
    return Scored(tuple(hits), len(found) - len(used), len(found), float(days))


def as_told(scored: Scored) -> dict[str, Any]:
    """Return a score as JSON."""
    return {"hits": [vars(hit) for hit in scored.hits], "false": scored.false,
            "incidents": scored.incidents, "cell_days": scored.cell_days}  # fmt: skip


def from_told(told: dict[str, Any]) -> Scored:
    """Return a score from JSON."""
    return Scored(tuple(Hit(**hit) for hit in told["hits"]), told["false"], told["incidents"],
                  told["cell_days"])  # fmt: skip
