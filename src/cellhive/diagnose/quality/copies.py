"""Data that was copied: a day over another, a cell over another, a counter under two names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from cellhive.core.measurements import Finding, Measurements, Severity
from cellhive.core.types import Bools, Floats
from cellhive.diagnose.quality.column import (
    DAY_S,
    Blocks,
    Indices,
    Rows,
    clock,
    listed,
    moment,
    values_of,
)

Hashes = npt.NDArray[np.uint64]

MINUTE_S = 60.0
FEWEST = 6
"""Values that a stretch must have for its repetition to be no chance."""
FINE = 0.5
"""Share of different values in a sample, from which a column is fine enough to judge by."""
SAMPLE = 4000
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class _Copied:
    """Blocks that hold the same values as another block."""

    same_object: Bools
    """A stretch of time repeats an earlier one of the same object, (blocks,)."""
    same_time: Bools
    """An object repeats another one at the same time, (blocks,)."""
    first: Indices
    """The block that each block repeats; itself where it repeats none."""


def say_copies(m: Measurements, rows: Rows, columns: Sequence[str], found: list[Finding]) -> None:
    """Find copied stretches in the finely resolved columns, and columns that are the same.

    Args:
        m: Measurements as read.
        rows: Objects and times of their rows.
        columns: Columns to look at.
        found: Takes the findings.
    """
    fine = [name for name in columns if _is_fine(m.frame[name])]
    if not rows.timed or not fine:
        return
    blocks = rows.chunks
    slots = _slots(rows, blocks)
    whole = np.zeros(blocks.starts.size, dtype=np.uint64)
    per_column: list[tuple[str, _Copied]] = []
    names: dict[int, list[str]] = {}
    there = np.zeros(blocks.starts.size, dtype=np.bool_)
    for index, name in enumerate(fine):
        values = values_of(m.frame[name])
        mixed = _mixed(values, slots)
        hashes = np.asarray(np.add.reduceat(mixed, blocks.starts), dtype=np.uint64)
        names.setdefault(int(hashes.sum()), []).append(name)
        whole += hashes * np.uint64(2 * index + 1)
        judged = _judged(values, blocks)
        there |= judged
        per_column.append((name, _copied(blocks, hashes, judged)))
    everything = _copied(blocks, whole, there)
    _tell(rows, blocks, everything, "", found)
    for name, copied in per_column:
        rest = _Copied(copied.same_object & ~everything.same_object,
                       copied.same_time & ~everything.same_time, copied.first)  # fmt: skip
        _tell(rows, blocks, rest, name, found)
    for twins in names.values():
        if len(twins) > 1:
            found.append(
                Finding(
                    Severity.INFO, "identical-columns", "different values in different columns",
                    f"{listed(twins)} hold the same values in every row",
                    "all are kept and judged; what happens in one happens in all",
                    column=twins[0], count=len(twins), counted="columns",
                )
            )  # fmt: skip


def _is_fine(column: pl.Series) -> bool:
    sample = column.gather_every(max(column.len() // SAMPLE, 1)).drop_nulls()
    sample = sample.filter(sample != 0)
    return sample.len() >= 2 * FEWEST and sample.n_unique() >= FINE * sample.len()


def _slots(rows: Rows, blocks: Blocks) -> Hashes:
    """Return a number for the place of each row in its block: the time of day, or the order."""
    seconds = rows.seconds
    assert seconds is not None  # noqa: S101  # asked of timed rows only
    lengths = np.diff(np.concatenate([blocks.starts, [seconds.size]]))
    begin = np.repeat(seconds[blocks.starts], lengths)
    if rows.period_s is not None and rows.period_s < DAY_S:
        begin = np.floor(begin / DAY_S) * DAY_S
    return np.asarray(np.rint(seconds - begin).astype(np.uint64) * _ODD + np.uint64(1))


def _mixed(values: Floats, slots: Hashes) -> Hashes:
    """Return a hash of each value and its place; 0 where there is no value."""
    bits = (values + 0.0).view(np.uint64)
    mixed = (bits ^ slots) * _ODD
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return np.where(np.isnan(values), np.uint64(0), mixed)


def _judged(values: Floats, blocks: Blocks) -> Bools:
    """Return which blocks hold enough values that change."""
    known = (~np.isnan(values)) & (values != 0)
    count = blocks.sums(known.astype(np.float64))
    moves = np.zeros(values.size)
    moves[1:] = known[1:] & (values[1:] != values[:-1])
    moves[blocks.starts] = 0
    return np.asarray((count >= FEWEST) & (blocks.sums(moves) >= FEWEST - 2))


def _copied(blocks: Blocks, hashes: Hashes, judged: Bools) -> _Copied:
    """Return which blocks repeat another: the earliest, of the object of the lowest number."""
    size = hashes.size
    first = np.arange(size)
    order = np.lexsort((blocks.row, blocks.number, hashes))
    order = order[judged[order]]
    equal = np.zeros(order.size, dtype=np.bool_)
    equal[1:] = hashes[order[1:]] == hashes[order[:-1]]
    lead = np.maximum.accumulate(np.where(equal, 0, np.arange(order.size)))
    first[order] = order[lead]
    repeats = first != np.arange(size)
    return _Copied(
        repeats & (blocks.row[first] == blocks.row),
        repeats & (blocks.number[first] == blocks.number),
        first,
    )


def _tell(rows: Rows, blocks: Blocks, copied: _Copied, column: str, found: list[Finding]) -> None:
    assert rows.seconds is not None  # noqa: S101  # asked of timed rows only
    lengths = np.diff(np.concatenate([blocks.starts, [rows.row.size]]))
    what = "values" if column else "all fine counters"
    for which, code in ((copied.same_object, "copied-time"), (copied.same_time, "copied-object")):
        if not which.any():
            continue
        at = np.repeat(which, lengths)
        one = int(np.flatnonzero(which)[0])
        source = int(copied.first[one])
        when = [clock(moment(float(rows.seconds[blocks.starts[i]]))) for i in (one, source)]
        mine, other = (rows.objects[int(blocks.row[i])] for i in (one, source))
        told = (
            f"{what} of {mine} from {when[0]} on are exactly those from {when[1]} on"
            if code == "copied-time"
            else f"{what} of {mine} from {when[0]} on are exactly those of {other}"
        )  # fmt: skip
        count = int(which.sum())
        span = (
            "days"
            if blocks is rows.chunks and MINUTE_S <= (rows.period_s or 0) <= DAY_S / 12
            else "stretches"
        )
        more = f", and {count - 1} more such {span}" if count > 1 else ""
        finding = rows.finding(
                Severity.WARNING, code,
                ("each object and day measured for itself", told + more,
                 "kept as found; one of the two is a copy"), at, (count, span),
        )  # fmt: skip
        found.append(replace(finding, column=column))
