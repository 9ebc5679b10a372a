"""Changes of how a series moves: its cycle changes size or phase, its noise grows or falls.

Each block of a series (a day; of daily values a week) is reduced to three numbers: how large
its cycle is beside the usual one, by how many periods it is late, and how restless its noise
is. Windows of blocks are then compared with the rest of the row.

Axis letters: ``N`` objects (rows), ``T`` reporting periods, ``D`` blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.cycles import DAY_S, Panel, Usual, quantiles, robust_sigma
from cellhive.diagnose.detection import Departure
from cellhive.diagnose.rhythm.weeks import ROWS_TO_POOL, fold, median_over
from cellhive.diagnose.yardstick import moderate

SEASONALITY = "seasonality break"
VARIANCE = "variance change"
SHORTEST_BLOCK = 4
"""Periods that a block needs to have a cycle or a spread of its own."""
FEWEST_BLOCKS = 8
LEAST_BLOCKS = 2
"""Blocks that a change lasts at least; one more where blocks are of few periods."""
FEW_PERIODS = 7
LEVEL = 0.05
"""Largest p-value of interest."""
CLEAR_CYCLE = 1.5
"""Root mean square of a cycle, in usual spreads, from which it is one worth watching."""
FAR = 8.0
"""Spreads that a single value counts at most in a cycle's size."""
RESTLESS = 4.0
"""Times the usual change from period to period that a single one counts at most."""
LIMIT = 5.0
"""Spreads that a single block counts at most."""
OUTER = 0.9
"""Share of a row's blocks within the point that tells how long its tails are."""
LONGEST = 0.5
"""Share of the blocks that a change may fill and still be told from what is usual."""
AT_FIRST = 0.1
"""Share of the blocks within which a window begins that is the past: the change follows it."""
KNOWN = 0.6
"""Share of its periods that a block needs."""
LEAST = {"size": 0.2, "delay": 0.04, "noise": 0.35}
"""Smallest change worth a word: of the relative size, of the delay in blocks, of log noise."""


@dataclass(frozen=True)
class Change:
    """What a change of rhythm is, beside where it is."""

    departure: Departure
    aspect: str
    """"size", "delay" or "noise"."""
    amount: float
    """Size of the cycle beside the usual one, delay in periods, or spread beside usual."""


@dataclass(frozen=True)
class Rhythm:
    """Changes of rhythm in a panel."""

    changes: tuple[Change, ...]
    p_values: Floats
    """Smallest p-value of each row, NaN where it was not judged, (N,)."""


@dataclass(frozen=True)
class _Blocks:
    """Rows in blocks, each (N, D) but for the values, (N, D, block)."""

    lead: int
    length: int
    noise: Floats
    """Values beside the cycle, in usual spreads."""
    cycle: Floats
    """The usual cycle about its mean, in usual spreads."""


def rhythm(panel: Panel, usual: Usual, departures: Sequence[Departure]) -> Rhythm:
    """Return where the cycle or the noise of a row is not as usual.

    A window is judged by Student's t: its mean less that of the other blocks, over the
    row's robust spread (moderated over the panel) and widened by the memory of the blocks;
    p-values are multiplied by the windows and aspects looked at. What single departures
    explain, such as an outage within the window, does not count: where there are only one
    or two, their periods are left out and the window has to stand without them.

    Args:
        panel: The panel.
        usual: The same without its cycles.
        departures: What was found of it before.
    """
    rows = panel.values.shape[0]
    length = _block(panel)
    nothing = Rhythm((), np.full(rows, np.nan))
    if length < SHORTEST_BLOCK or panel.periods // length < FEWEST_BLOCKS:
        return nothing
    found = _judged(panel, usual, length)
    few = _alone(found, departures)
    if few:
        residual = np.array(usual.residual)
        for one in few:
            residual[one.row, one.first : one.last] = np.nan
        which = np.unique([one.row for one in few])
        again = _judged(panel, replace(usual, residual=residual), length)
        p = np.array(found.p_values)
        p[which] = again.p_values[which]
        kept = [c for c in found.changes if c.departure.row not in which]
        kept += [c for c in again.changes if c.departure.row in which]
        found = Rhythm(tuple(kept), p)
    return found


def _block(panel: Panel) -> int:
    """Return the periods of a day, or of a week where periods are days."""
    per_day = DAY_S / panel.step_s
    if abs(panel.step_s - DAY_S) < 1:
        return 7
    return round(per_day) if per_day > 1 and abs(per_day - round(per_day)) < 1e-6 else 0  # noqa: PLR2004


def _alone(found: Rhythm, departures: Sequence[Departure]) -> list[Departure]:
    """Return the departures within changes of rhythm that hold only one or two of them."""
    out: list[Departure] = []
    for one in found.changes:
        at = one.departure
        inside = [
            d for d in departures
            if d.row == at.row and min(d.last, at.last) > max(d.first, at.first)
        ]  # fmt: skip
        if len(inside) <= 2:  # noqa: PLR2004
            out += inside
    return out


def _blocks(panel: Panel, usual: Usual, length: int) -> _Blocks:
    lead = int((panel.start_s % (length * panel.step_s)) // panel.step_s)
    cycle = fold(usual.cycle, lead, length)
    cycle = cycle - np.nanmean(cycle, axis=2, keepdims=True)
    cycle = np.nan_to_num(cycle / fold(usual.spread, lead, length))
    return _Blocks(lead, length, fold(usual.residual, lead, length), cycle)


def _judged(panel: Panel, usual: Usual, length: int) -> Rhythm:
    with np.errstate(invalid="ignore"):
        blocks = _blocks(panel, usual, length)
    rows = blocks.noise.shape[0]
    known = ~np.isnan(blocks.noise)
    enough = known.mean(axis=2) >= KNOWN
    size, delay = _cycle_of(blocks, known, enough)
    noise = np.where(usual.weak[:, None], np.nan, _noise_of(blocks, enough))
    usable = (~np.isnan(size)).sum(axis=1) + (~np.isnan(noise)).sum(axis=1) > 0
    smallest = np.full(rows, np.nan)
    changes: list[Change] = []
    for aspect, values in (("size", size), ("delay", delay), ("noise", noise)):
        window = _windows(values, LEAST_BLOCKS if length > FEW_PERIODS else LEAST_BLOCKS + 1)
        least = LEAST[aspect] * (length if aspect == "delay" else 1.0)
        worth = (np.abs(window.amount) >= least) | np.isnan(window.p_value)
        p = np.where(worth, np.minimum(3 * window.p_value, 1.0), 1.0)
        smallest = np.fmin(smallest, p)
        changes += [
            _change(blocks, int(row), aspect, window, float(p[row]), panel.periods)
            for row in np.flatnonzero(p <= LEVEL)
        ]
    return Rhythm(_strongest(changes), np.where(usable, smallest, np.nan))


def _change(
    blocks: _Blocks, row: int, aspect: str, window: _Window, p_value: float, periods: int
) -> Change:
    """Return the change of a row, its borders in periods of the grid."""
    amount, sigmas = float(window.amount[row]), float(window.sigmas[row])
    where = (int(window.first[row]), int(window.last[row]))
    count = blocks.noise.shape[1]
    if where[0] <= AT_FIRST * count and where[1] < count - 1:  # so it was, until it changed
        where, sigmas = (where[1], count), -sigmas
        amount = 1 / max(1 + amount, 0.05) - 1 if aspect == "size" else -amount
    a, b = _sharpened(blocks, row, where, aspect, amount)
    a, b = max(a - blocks.lead, 0), min(b - blocks.lead, periods)
    kind = VARIANCE if aspect == "noise" else SEASONALITY
    departure = Departure(row, kind, a, b, sigmas, p_value, a == 0, b > periods - blocks.length)
    return Change(departure, aspect, _told(aspect, amount))


def _told(aspect: str, amount: float) -> float:
    if aspect == "noise":
        return float(np.exp(amount))
    return 1.0 + amount if aspect == "size" else amount


def _strongest(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return one change of the cycle and one of the noise a row, the likelier aspect of each."""
    best: dict[tuple[int, str], Change] = {}
    for one in changes:
        key = (one.departure.row, one.departure.kind)
        if key not in best or one.departure.p_value < best[key].departure.p_value:
            best[key] = one
    return tuple(best.values())


def _cycle_of(blocks: _Blocks, known: Bools, enough: Bools) -> tuple[Floats, Floats]:
    """Return the size of the cycle less one, and its delay in periods, both (N, D).

    Both are least squares of a block's values on the usual cycle and its slope.
    """
    noise = np.clip(np.nan_to_num(blocks.noise), -FAR, FAR)
    number = np.maximum(known.sum(axis=2, keepdims=True), 1)
    noise = np.where(known, noise - noise.sum(axis=2, keepdims=True) / number, 0.0)
    cycle = np.where(known, blocks.cycle, 0.0)
    cycle = np.where(known, cycle - cycle.sum(axis=2, keepdims=True) / number, 0.0)
    slope = np.where(known, np.roll(blocks.cycle, 1, axis=2) - np.roll(blocks.cycle, -1, axis=2), 0)
    slope = slope / 2.0
    power, across = np.square(cycle).sum(axis=2), np.square(slope).sum(axis=2)
    clear = power >= CLEAR_CYCLE**2 * number[:, :, 0]
    usable = enough & clear & (across > 0)
    size = np.where(usable, (noise * cycle).sum(axis=2) / np.where(usable, power, 1.0), np.nan)
    delay = np.where(usable, (noise * slope).sum(axis=2) / np.where(usable, across, 1.0), np.nan)
    return size, delay


def _sharpened(
    blocks: _Blocks, row: int, window: tuple[int, int], aspect: str, amount: float
) -> tuple[int, int]:
    """Return the borders of a window of blocks in periods: where the change explains most."""
    length = blocks.length
    noise = np.clip(np.nan_to_num(blocks.noise[row].ravel()), -FAR, FAR)
    cycle = blocks.cycle[row].ravel()
    if aspect == "noise":
        ratio = np.exp(2 * amount)
        gain = 0.5 * (np.square(np.clip(noise, -LIMIT, LIMIT)) * (1 - 1 / ratio) - np.log(ratio))
    else:
        slope = (np.roll(cycle, 1) - np.roll(cycle, -1)) / 2.0
        expected = amount * (cycle if aspect == "size" else slope)
        gain = np.square(noise) - np.square(noise - expected)
    gain = np.where(np.isnan(blocks.noise[row].ravel()), 0.0, gain)
    total = np.concatenate([[0.0], np.cumsum(gain)])
    first, last = window[0] * length, window[1] * length
    starts = np.arange(max(first - length, 0), min(first + length, last - length) + 1)
    ends = np.arange(max(last - length, first + length), min(last + length, gain.size) + 1)
    start = int(starts[np.argmin(total[starts])]) if starts.size else first
    end = int(ends[np.argmax(total[ends])]) if ends.size else last
    return start, max(end, start + 1)


def _noise_of(blocks: _Blocks, enough: Bools) -> Floats:
    """Return the logarithm of the mean change from period to period in each block, (N, D)."""
    change = np.abs(np.diff(blocks.noise, axis=2))
    rows = change.shape[0]
    usual = median_over(change.reshape(rows, -1), 1)[:, None, None]
    limited = np.minimum(change, RESTLESS * np.where(usual > 0, usual, np.inf))
    known = ~np.isnan(limited)
    number = known.sum(axis=2)
    mean = np.where(known, limited, 0.0).sum(axis=2) / np.maximum(number, 1)
    usable = enough & (number > 0) & (mean > 0)
    return np.where(usable, np.log(np.where(usable, mean, 1.0)), np.nan)


@dataclass(frozen=True)
class _Window:
    """The strongest window of each row, each (N,)."""

    p_value: Floats
    first: Floats
    last: Floats
    amount: Floats
    """Median within less median outside, in the unit of the values."""
    sigmas: Floats


def _windows(values: Floats, least: int) -> _Window:
    """Return the strongest window of each row of blocks."""
    number = (~np.isnan(values)).sum(axis=1)
    usable = number >= FEWEST_BLOCKS
    centred = values - quantiles(values, (0.5,))[0][:, None]
    change = np.abs(np.diff(centred, axis=1)) / np.sqrt(2.0)
    memory = _memory(centred, change)
    # By what changes from block to block, so that a change that fills half of them is none of it.
    short = quantiles(change, (0.5,))[0] / 0.6745 * np.sqrt((1 + memory) / 2)
    raw = np.where(usable, np.fmin(robust_sigma(centred), short), np.nan)
    scale, freedom = moderate(np.nan_to_num(raw), np.where(usable, 0.37 * number / memory, 0.0))
    scale = np.maximum(scale, 0.7 * np.nan_to_num(raw))
    good = usable & (scale > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = scale * _longer(np.where(good[:, None], np.abs(centred) / scale[:, None], np.nan))
    safe = np.where(good, scale, 1.0)
    unit = np.where(good[:, None], np.clip(centred / safe[:, None], -LIMIT, LIMIT), np.nan)
    best, first, last, looks = _best_window(unit, least)
    p = 2 * stats.t.sf(np.abs(best) / np.sqrt(memory), np.maximum(freedom, 2.0)) * looks
    amount = np.nan_to_num(_median_inside(centred, first, last))
    return _Window(np.where(good, np.minimum(p, 1.0), np.nan), first, last, amount, amount / safe)


def _longer(size: Floats) -> float:
    """Return how many times as long as a unit Gaussian's the tails of a panel's blocks are.

    Sizes and delays of a cycle are quotients, and their spread is known from few blocks: the
    median row's 90 % point tells how far they go. At least 1; 1 where few rows can tell.

    Args:
        size: Blocks about their middle, in spreads of their row, without sign, (N, D).
    """
    count = (~np.isnan(size)).sum(axis=1)
    size, count = size[count > 0], count[count > 0]
    if count.size < ROWS_TO_POOL:
        return 1.0
    place = (np.floor(OUTER * (count - 1) + 0.5) + 1) / (count + 1)
    expected = stats.norm.ppf(0.5 + place / 2)
    return max(float(np.median(quantiles(size, (OUTER,))[0] / expected)), 1.0)


def _best_window(unit: Floats, least: int) -> tuple[Floats, Floats, Floats, int]:
    """Return the largest statistic of each row, its window, and how many were looked at."""
    rows, count = unit.shape
    zero = np.zeros((rows, 1))
    total = np.hstack([zero, np.cumsum(np.nan_to_num(unit), axis=1)])
    number = np.hstack([zero, np.cumsum(~np.isnan(unit), axis=1)])
    best, first, last = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    looks = 0
    for length in _lengths(count, least):
        inside = total[:, length:] - total[:, :-length]
        within = number[:, length:] - number[:, :-length]
        beside = number[:, -1:] - within
        allowed = (within >= np.maximum(0.6 * length, 2)) & (beside >= FEWEST_BLOCKS / 2)
        within, beside = np.maximum(within, 1), np.maximum(beside, 1)
        difference = inside / within - (total[:, -1:] - inside) / beside
        statistic = np.where(allowed, difference / np.sqrt(1 / within + 1 / beside), 0.0)
        at = np.argmax(np.abs(statistic), axis=1)
        top = statistic[np.arange(rows), at]
        better = np.abs(top) > np.abs(best)
        best = np.where(better, top, best)
        first, last = np.where(better, at, first), np.where(better, at + length, last)
        looks += statistic.shape[1]
    return best, first, last, looks


def _lengths(count: int, least: int) -> list[int]:
    """Return the lengths of windows that are tried, in blocks."""
    out: list[int] = []
    length = least
    while length <= LONGEST * count:
        out.append(length)
        length = max(length + 1, round(1.25 * length))
    return out


def _memory(centred: Floats, change: Floats) -> Floats:
    """Return how many blocks the rows remember, the panel's median where there are several."""
    size = quantiles(np.abs(centred), (0.5,))[0]
    steps = quantiles(change, (0.5,))[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.clip(np.nan_to_num(1 - np.square(steps / size)), 0.0, 0.9)
    if r.size >= ROWS_TO_POOL:
        r = np.full_like(r, np.median(r))
    return np.asarray((1 + r) / (1 - r))


def _median_inside(values: Floats, first: Floats, last: Floats) -> Floats:
    """Return the median of each row within its window less that outside, (N,)."""
    at = np.arange(values.shape[1])[None, :]
    inside = (at >= first[:, None]) & (at < last[:, None])
    within = quantiles(np.where(inside, values, np.nan), (0.5,))[0]
    return np.asarray(within - quantiles(np.where(inside, np.nan, values), (0.5,))[0])
