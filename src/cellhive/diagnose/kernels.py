"""The inner loops of the detection, compiled: contrasts at all positions, edges, medians.

They compute what ``diagnose.yardstick`` and ``diagnose.detection`` say, without the arrays
in between. Running sums have one column more than there are periods (``yardstick.Sums``).

Axis letters: ``N`` objects (rows), ``T`` reporting periods.
"""

from __future__ import annotations

import numpy as np

from cellhive.core.compiled import Scalar, compiled
from cellhive.core.types import Floats

SHARE_VALID = 0.6
"""Share of a window that must have values."""
SHARE_BESIDE = 0.25
"""Share of each flank of a bump that must have values."""


@compiled
def _contrast_at(
    value: Floats, count: Floats, t: int, length: int, flank: int, step: bool
) -> Scalar:
    """Return a contrast at one position near the ends, where windows are cut."""
    top = value.size - 1
    if t + length > top:
        return np.nan
    inside_n = count[t + length] - count[t]
    a = max(t - flank, 0)
    beside_n = count[t] - count[a]
    beside = value[t] - value[a]
    wanted = max(SHARE_VALID * flank, 1.0)
    if not step:
        b = min(t + length + flank, top)
        after_n = count[b] - count[t + length]
        if min(beside_n, after_n) < SHARE_BESIDE * flank:
            return np.nan
        beside_n += after_n
        beside += value[b] - value[t + length]
        wanted = max(SHARE_VALID * 2 * flank, 1.0)
    if inside_n < max(SHARE_VALID * length, 1.0) or beside_n < wanted:
        return np.nan
    return (value[t + length] - value[t]) / inside_n - beside / beside_n


@compiled
def _contrast_row(
    value: Floats, count: Floats, length: int, flank: int, step: bool, out: Floats
) -> None:
    """Fill in a contrast at every position of one row, (T,)."""
    periods = out.size
    first = min(flank, periods)
    last = periods - length + 1 if step else periods - length - flank + 1
    last = max(last, first)
    for t in range(first):
        out[t] = _contrast_at(value, count, t, length, flank, step)
    least = max(SHARE_VALID * length, 1.0)
    wanted = max(SHARE_VALID * (flank if step else 2 * flank), 1.0)
    few = SHARE_BESIDE * flank
    # Slices that begin at the first position: indices that cannot be negative vectorise.
    v0, n0 = value[first - flank :], count[first - flank :]
    v1, n1 = value[first:], count[first:]
    v2, n2 = value[first + length :], count[first + length :]
    v3, n3 = value[last - 1 :], count[last - 1 :]
    if not step:
        v3, n3 = value[first + length + flank :], count[first + length + flank :]
    into = out[first:last]
    if step:
        for i in range(into.size):
            inside_n, before_n = n2[i] - n1[i], n1[i] - n0[i]
            good = (inside_n >= least) & (before_n >= wanted)
            a = (v2[i] - v1[i]) / (inside_n if good else 1.0)
            b = (v1[i] - v0[i]) / (before_n if good else 1.0)
            into[i] = a - b if good else np.nan
    else:
        for i in range(into.size):
            inside_n, before_n, after_n = n2[i] - n1[i], n1[i] - n0[i], n3[i] - n2[i]
            both_n = before_n + after_n
            good = (inside_n >= least) & (both_n >= wanted) & (before_n >= few) & (after_n >= few)
            a = (v2[i] - v1[i]) / (inside_n if good else 1.0)
            b = ((v1[i] - v0[i]) + (v3[i] - v2[i])) / (both_n if good else 1.0)
            into[i] = a - b if good else np.nan
    for t in range(last, periods):
        out[t] = _contrast_at(value, count, t, length, flank, step)


@compiled
def contrast_everywhere(
    value: Floats, count: Floats, length: int, flank: int, step: bool, out: Floats
) -> None:
    """Fill in a contrast at every start position, (N, T); NaN where too little is known.

    Args:
        value: Running sums of the values, (N, T + 1).
        count: Running counts of the values that are known, (N, T + 1).
        length: Periods in the window.
        flank: Periods compared with on each side.
        step: Whether what follows is compared with what comes before, or a bump with both.
        out: Takes the contrast.
    """
    for row in range(out.shape[0]):
        _contrast_row(value[row], count[row], length, flank, step, out[row])


@compiled
def contrast_strongest(  # noqa: PLR0913, PLR0917  # a compiled loop takes arrays
    value: Floats, count: Floats, length: int, flank: int, step: bool, weight: Floats, out: Floats
) -> None:
    """Fill in the largest contrast of each row and the first position it is at.

    Args:
        value: Running sums of the values, (N, T + 1).
        count: Running counts of the values that are known, (N, T + 1).
        length: Periods in the window.
        flank: Periods compared with on each side.
        step: As in ``contrast_everywhere``.
        weight: What the contrast counts at each position, (T,).
        out: Takes the contrast with its sign and its position, NaN and 0 where there is
            none, (2, N).
    """
    line = np.empty(value.shape[1] - 1)
    for row in range(value.shape[0]):
        _contrast_row(value[row], count[row], length, flank, step, line)
        best, at = -1.0, 0
        for t in range(line.size):
            line[t] *= weight[t]
            amount = abs(line[t])
            if amount > best:  # never for NaN
                best, at = amount, t
        out[0, row] = line[at] if best >= 0.0 else np.nan
        out[1, row] = at


@compiled
def running_sums(values: Floats, limit: Floats, value: Floats, count: Floats) -> None:
    """Fill in running sums and counts of values limited to a size, (N, T + 1).

    Args:
        values: NaN where there is none, (N, T).
        limit: Largest size of a value in each row, (N,).
        value: Takes the sums.
        count: Takes the counts.
    """
    for row in range(values.shape[0]):
        total, known, most = 0.0, 0.0, limit[row]
        value[row, 0] = 0.0
        count[row, 0] = 0.0
        for t in range(values.shape[1]):
            x = values[row, t]
            if not np.isnan(x):
                total += min(max(x, -most), most)
                known += 1.0
            value[row, t + 1] = total
            count[row, t + 1] = known


@compiled
def _distances(line: Floats, centre: Scalar, wanted: Floats, out: Floats) -> None:
    """Fill in the n-th smallest distances (from 0, rising) of sorted values from a centre."""
    high = 0
    top = line.size
    while high < top:  # first value at or above the centre
        middle = (high + top) // 2
        if line[middle] < centre:
            high = middle + 1
        else:
            top = middle
    low = high - 1
    taken = 0
    distance = 0.0
    for index in range(wanted.size):
        while taken <= wanted[index]:
            if high >= line.size or (low >= 0 and centre - line[low] <= line[high] - centre):
                distance = centre - line[low]
                low -= 1
            else:
                distance = line[high] - centre
                high += 1
            taken += 1
        out[index] = distance


@compiled
def distance_quantiles(
    ordered: Floats, count: Floats, centre: Floats, shares: Floats, out: Floats
) -> None:
    """Fill in quantiles of the distance from a centre of each row of sorted values, (N, Q).

    They are those of ``cycles.quantiles``; NaN where a row has no value.

    Args:
        ordered: Each row in rising order, NaN last, (N, T).
        count: Values of each row, (N,).
        centre: What distances are measured from, (N,).
        shares: In rising order, (Q,).
        out: Takes the quantiles.
    """
    wanted = np.empty(shares.size)
    for row in range(ordered.shape[0]):
        known = int(count[row])
        if known == 0:
            out[row] = np.nan
        else:
            for index in range(shares.size):
                at = np.floor(shares[index] * (known - 1) + 0.5)
                wanted[index] = min(max(at, 0.0), known - 1.0)
            _distances(ordered[row, :known], centre[row], wanted, out[row])


@compiled
def best_edges(
    row: Floats, low: int, starts: tuple[int, int], ends: tuple[int, int], usable: Floats
) -> tuple[int, int]:
    """Return the window whose mean differs most from what is around it; (-1, -1) if none does.

    Args:
        row: The stretch that is looked at, NaN where there is no value.
        low: Where it begins in the series; the window is returned on the series' axis.
        starts: First and last place a window may start at, in the stretch.
        ends: First and last place a window may end at, in the stretch.
        usable: Room for the running sums and counts, (2, size + 1).
    """
    size = row.size
    usable[0, 0] = 0.0
    usable[1, 0] = 0.0
    for t in range(size):
        known = not np.isnan(row[t])
        usable[0, t + 1] = usable[0, t] + (row[t] if known else 0.0)
        usable[1, t + 1] = usable[1, t] + (1.0 if known else 0.0)
    total, every = usable[0, size], usable[1, size]
    best, first, last = -np.inf, -1, -1
    for a in range(starts[0], starts[1] + 1):
        for b in range(max(ends[0], a + 1), ends[1] + 1):
            inside_n = usable[1, b] - usable[1, a]
            outside_n = every - inside_n
            if inside_n <= 0.0 or outside_n <= 0.0:
                continue
            inside = usable[0, b] - usable[0, a]
            outside = total - inside
            gain = inside * inside / inside_n + outside * outside / outside_n
            if gain > best:
                best, first, last = gain, low + a, low + b
    return first, last


@compiled
def median_of_known(values: Floats) -> Scalar:
    """Return the median of the values that are not NaN; NaN where there is none.

    Args:
        values: One row, (T,).
    """
    return np.nanmedian(values)
