"""Panels for a causal model: from analysed measurements, or from any table of numbers.

Axis letters: ``T`` periods, ``C`` cells (or other objects), ``V`` variables.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cellhive.causal.motifs import Tier
from cellhive.causal.statistics import MOST_LAGS, cell_levels
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Bools, Floats, Ints
from cellhive.flows.analyse import Part
from cellhive.flows.causes.columns import (
    columns_of,
    labels_of,
    numbers_of,
    places_in_time,
    times_of,
)
from cellhive.flows.causes.naming import tier_guess

MOST_VARIABLES = 60
"""Variables taken if nobody says which."""
_FEWEST_SEEN = 0.5
"""Share of the values that a variable needs if nobody asks for it."""


@dataclass(frozen=True)
class Observations:
    """Variables of cells over time, on a regular grid."""

    values: Floats
    """In the variables' units, NaN where missing, (T, C, V)."""
    names: tuple[str, ...]
    units: tuple[str, ...]
    cells: tuple[str, ...]
    start_s: float = 0.0
    """Start of the first period [s since 1970]."""
    step_s: float = 0.0
    """Length of a period [s]; 0 where no times are known."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Columns that are no variables, and why."""

    @property
    def limits(self) -> Floats:
        """Smallest and largest value of each variable, (V, 2)."""
        flat = self.values.reshape(-1, len(self.names))
        ends: Floats = np.stack([np.nanmin(flat, axis=0), np.nanmax(flat, axis=0)], axis=1)
        return ends

    def cell(self, name: str) -> int:
        """Return the place of a cell.

        Raises:
            NotFound: If there is no such cell.
        """
        if name not in self.cells:
            some = ", ".join(self.cells[:6])
            message = f"expected one of the cells {some}, ..., found {name!r}; correct the name"
            raise NotFound(message)
        return self.cells.index(name)

    def chosen(self, wanted: Sequence[str]) -> Observations:
        """Return the observations of some variables, in the sequence asked for.

        Args:
            wanted: Names, or patterns with * and ?.
        """
        places: list[int] = []
        for pattern in wanted:
            found = [k for k, name in enumerate(self.names) if fnmatch.fnmatchcase(name, pattern)]
            if not found:
                some = ", ".join(self.names[:8])
                message = f"expected one of {some}, ..., found {pattern!r}; correct the name"
                raise NotFound(message)
            places += [k for k in found if k not in places]
        return self._of(places)

    def chosen_exactly(self, names: Sequence[str]) -> Observations:
        """Return the observations of variables by their names.

        Args:
            names: All of them variables.
        """
        return self._of([self.names.index(name) for name in names])

    def _of(self, places: Sequence[int]) -> Observations:
        return replace(
            self, values=self.values[:, :, list(places)],
            names=tuple(self.names[k] for k in places),
            units=tuple(self.units[k] for k in places),
        )  # fmt: skip


def centred(values: Floats) -> Floats:
    """Return a panel with each cell's own mean of each variable taken off, (T, C, V)."""
    off: Floats = values - cell_levels(values)
    return off


def observations_of(
    parts: Sequence[Part], *, select: Sequence[str] = (), cell_class: str = ""
) -> Observations:
    """Return the observations of the richest part of an analysis.

    Args:
        parts: Of an analysis.
        select: Names or patterns of the variables; empty: those that are mostly there.
        cell_class: Class of objects to take, as the files name it; empty: the one with the
            most values.

    Raises:
        BadInput: If there is nothing to learn from.
        NotFound: If a name or class is not there.
    """
    classes = sorted({part.object_class for part in parts})
    if cell_class and cell_class not in classes:
        message = f"expected one of the classes {', '.join(classes)}, found {cell_class!r}"
        raise NotFound(message)
    fitting = [
        part for part in parts
        if part.panels and (not cell_class or part.object_class == cell_class)
    ]  # fmt: skip
    if not fitting:
        raise BadInput(
            expected="measurements of objects over time", found="none",
            remedy="see what `cellhive analyze` says of the files",
        )  # fmt: skip
    part = max(fitting, key=lambda one: sum(np.isfinite(p.values).sum() for p in one.panels))
    shapes = Counter((p.objects, p.values.shape, p.start_s, p.step_s) for p in part.panels)
    (cells, _, start_s, step_s), _ = shapes.most_common(1)[0]
    panels = [p for p in part.panels if p.objects == cells and p.start_s == start_s]
    panels += [p for p in part.settings if p.values.shape == panels[0].values.shape
               and tier_guess(p.kpi) is Tier.CONFIGURATION]  # fmt: skip
    values = np.stack([p.values.T for p in panels], axis=2)
    made = Observations(
        values, tuple(p.kpi for p in panels), tuple(p.unit for p in panels), cells, start_s,
        step_s,
    )  # fmt: skip
    others = [one for one in fitting if one is not part]
    notes = tuple((f"{one.name} ({one.object_class})", "of other objects or another granularity")
                  for one in others)  # fmt: skip
    usable = _usable(made, select)
    return replace(usable, left_out=notes + usable.left_out)


def table_observations(
    table: Any, *, time: str = "", cell: str = "", select: Sequence[str] = ()
) -> Observations:
    """Return the observations in a table of one row per period and cell.

    Args:
        table: A polars or pandas frame, or a mapping of columns.
        time: Column by which the rows of a cell follow each other: numbers, dates, or ISO 8601
            text; empty: as they stand. Where periods are missing, empty ones stand in between.
        cell: Column that names the cell; empty: all rows are of one.
        select: Names or patterns of the variables; empty: all columns of numbers.

    Raises:
        NotFound: If a column is not there.
        BadInput: If cells and times do not make a grid, or nothing is a number.
    """
    every = columns_of(table)
    for role in (time, cell):
        if role and role not in every:
            message = f"expected a column among {', '.join(list(every)[:8])}, found {role!r}"
            raise NotFound(message)
    rows = len(next(iter(every.values())))
    cells_of = labels_of(every[cell], cell) if cell else np.full(rows, "all")
    cells, at = np.unique(cells_of, return_inverse=True)
    moments, dated = times_of(every[time], time) if time else (_turns(at.astype(np.int32)), False)
    times, when = np.unique(moments, return_inverse=True)
    if len(np.unique(when * len(cells) + at)) < rows:
        raise BadInput(
            expected="one row per period and cell", found="several of the same",
            remedy="name the columns that tell rows apart as time and cell",
        )  # fmt: skip
    columns, left_out = numbers_of({k: v for k, v in every.items() if k not in (time, cell)})
    if not columns:
        raise BadInput(expected="columns of numbers", found="none beside time and cell")
    places = places_in_time(times, MOST_LAGS)
    values = np.full((int(places[-1]) + 1, len(cells), len(columns)), np.nan)
    values[places[when], at] = np.stack(list(columns.values()), axis=1)
    step_s = float(np.median(np.diff(times))) if dated and len(times) > 1 else 0.0
    made = Observations(
        values, tuple(columns), ("",) * len(columns), tuple(str(c) for c in cells),
        float(times[0]) if dated else 0.0, step_s, tuple(left_out),
    )  # fmt: skip
    return _usable(made, select)


def _turns(at: Ints) -> Floats:
    """Return how many rows of the same cell stand before each row."""
    turn = np.zeros(len(at))
    seen: Counter[int] = Counter()
    for row, which in enumerate(at.tolist()):
        turn[row] = seen[which]
        seen[which] += 1
    return turn


def _usable(made: Observations, select: Sequence[str]) -> Observations:
    """Return the variables asked for, or those that are mostly there and vary."""
    if select:
        return made.chosen(select)
    seen = np.isfinite(made.values)
    seen = seen[seen.any(axis=(1, 2))]  # periods of a gap count for nothing
    share = seen.reshape(-1, len(made.names)).mean(axis=0)
    left_out = [
        (name, f"{1.0 - share[k]:.0%} of its values are missing")
        for k, name in enumerate(made.names) if share[k] < _FEWEST_SEEN
    ]  # fmt: skip
    good = _most_moving(made, share >= _FEWEST_SEEN)
    if not len(good):
        raise BadInput(
            expected=f"variables of which {_FEWEST_SEEN:.0%} of the values are there",
            found="none", remedy="name the variables to use nevertheless",
        )  # fmt: skip
    left_out += [
        (name, f"beyond the {MOST_VARIABLES} variables that move most; name it to have it")
        for k, name in enumerate(made.names)
        if share[k] >= _FEWEST_SEEN and k not in good
    ]
    some = made.chosen_exactly([made.names[k] for k in good])
    return replace(some, left_out=(*made.left_out, *left_out))


def _most_moving(made: Observations, good: Bools) -> list[int]:
    """Return the variables that take the most different values, up to as many as are taken.

    What is set comes first if it varies at all: it takes few values, and is what one can change.
    """
    different = {
        int(k): len(np.unique(made.values[:, :, k][np.isfinite(made.values[:, :, k])]))
        for k in np.flatnonzero(good)
    }
    turned = {
        k for k, count in different.items()
        if count > 1 and tier_guess(made.names[k]) is Tier.CONFIGURATION
    }  # fmt: skip
    best = sorted(different, key=lambda k: (k not in turned, -different[k]))[:MOST_VARIABLES]
    return sorted(best)
