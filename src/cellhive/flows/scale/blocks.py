"""The analysis of a table that is read in blocks of objects: as of one that is held, but slower.

Values are examined block by block; what is usual is learned, and incidents are looked for,
over all objects of a KPI at once. A KPI at a time fits into memory, the table does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from cellhive.core.errors import BadInput
from cellhive.core.measurements import ColumnInfo, Finding, Findings, Measurements, Severity
from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Panel
from cellhive.diagnose.summary import summary_of
from cellhive.flows.analyse import Part, parts_of
from cellhive.flows.scale.work import Work, in_turn

_OF_THE_TABLE = ("time-zone", "no-time", "scattered-times", "period-inferred")
"""Beginnings of the codes of findings that are of the whole table and not of rows."""


class Blocks(Protocol):
    """A table in blocks of objects."""

    @property
    def name(self) -> str:
        """Name of the table."""
        ...

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of all objects, sorted."""
        ...

    @property
    def start(self) -> datetime:
        """First time in the table."""
        ...

    @property
    def end(self) -> datetime:
        """Last time in the table."""
        ...

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        ...

    def block(self, index: int) -> Measurements:
        """Return the measurements of one block; no object is in two."""
        ...


class Space(Protocol):
    """Space for the values of one panel, NaN until they are put there."""

    def put(self, rows: list[int], first: int, values: Floats) -> None:
        """Write the values of some objects from a period on."""
        ...

    def panel(
        self, kpi: str, objects: tuple[str, ...], start_s: float, step_s: float, unit: str
    ) -> Panel:
        """Return what was put here as a panel."""
        ...


class Store(Protocol):
    """Keeps the values of panels out of memory."""

    def room(self, objects: int, periods: int) -> Space:
        """Return space for a panel."""
        ...


@dataclass(frozen=True)
class _Taken:
    """What is left of a block once its values are in the store."""

    part: Part
    """Without panels, but for those of KPIs that the first block does not have."""
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    other_rows: int
    """Rows at other steps of time than the first block's."""


class _Table:
    """The panels of a table that comes in blocks."""

    def __init__(self, source: Blocks, store: Store, step_s: float) -> None:
        self.source, self.step_s = source, step_s
        self._store = store
        self.start_s = source.start.timestamp()
        self.periods = round((source.end.timestamp() - self.start_s) / step_s) + 1
        self._place = {name: row for row, name in enumerate(source.objects)}
        self._spaces: dict[str, Space] = {}
        self._units: dict[str, str] = {}

    def open(self, panels: Sequence[Panel]) -> None:
        """Make space for the KPIs of some panels."""
        for panel in panels:
            if panel.kpi not in self._spaces:
                self._spaces[panel.kpi] = self._store.room(len(self._place), self.periods)
                self._units[panel.kpi] = panel.unit

    def put(self, panels: Sequence[Panel]) -> tuple[Panel, ...]:
        """Put panels where they belong; return those that there is no space for."""
        late: list[Panel] = []
        for panel in panels:
            if panel.kpi not in self._spaces:
                late.append(panel)
                continue
            rows = [self._place[name] for name in panel.objects]
            first = round((panel.start_s - self.start_s) / self.step_s)
            self._spaces[panel.kpi].put(rows, first, panel.values)
        return tuple(late)

    def panels(self, order: Sequence[str]) -> tuple[Panel, ...]:
        """Return the panels of all objects, in the order of their columns."""
        return tuple(
            self._spaces[kpi].panel(
                kpi, self.source.objects, self.start_s, self.step_s, self._units[kpi]
            )
            for kpi in order
            if kpi in self._spaces
        )


def part_of_blocks(
    source: Blocks, store: Store, collected: Findings, notes: list[str], work: Work = in_turn
) -> Part:
    """Return the analysis of a table in blocks, without incidents.

    Args:
        source: The table.
        store: Takes the values on their grid.
        collected: Takes what the examination finds.
        notes: Takes what a reader must know.
        work: Does what can be done piece by piece.

    Raises:
        BadInput: The table has no regular times.
    """
    parts, found, said = _examined(source.block(0), {})
    first = max(parts, key=lambda part: part.rows)
    if not first.panels or first.panels[0].step_s <= 0:
        raise BadInput(
            place=source.name, expected="regular times in a table of this size",
            found="none", remedy="split the table, so that it can be held whole",
        )  # fmt: skip
    table = _Table(source, store, first.panels[0].step_s)
    table.open(first.panels)
    opened = _taken(table, parts, found, said)
    taken = [opened]
    settled = first.columns
    del parts, first
    taken += work(
        "Examining the data",
        lambda index: _taken(table, *_examined(source.block(index), settled)),
        range(1, source.blocks),
    )
    for one in taken:
        table.open(one.part.panels)
        table.put(one.part.panels)
        collected.extend(_new(one.findings, collected.as_tuple()), of_others=True)
    _say_left_out(source.name, sum(one.other_rows for one in taken), collected)
    notes += [
        *opened.notes,
        f"{source.name}: read in {source.blocks} blocks of objects, because it is large; the "
        "quality of its data was examined block by block, incidents were looked for in all.",
    ]
    return _joined(table, [one.part for one in taken], work)


def _examined(
    measured: Measurements, settled: Mapping[str, ColumnInfo]
) -> tuple[list[Part], tuple[Finding, ...], list[str]]:
    """Return the parts of a block, with the findings and notes on them."""
    columns = {name: settled.get(name, info) for name, info in measured.columns.items()}
    found, said = Findings(), list[str]()
    parts = parts_of([replace(measured, columns=columns)], found, said, summed=False)
    return parts, found.as_tuple(), said


def _taken(
    table: _Table, parts: Sequence[Part], found: tuple[Finding, ...], said: Sequence[str]
) -> _Taken:
    """Put the values of a block into the store, and return what else there is."""
    fitting = [part for part in parts if all(_fits(panel, table) for panel in part.panels)]
    best = max(fitting or parts, key=lambda part: part.rows)
    late = table.put(best.panels) if fitting else ()
    other = sum(part.rows for part in parts if part is not best or not fitting)
    return _Taken(replace(best, panels=late, settings=()), found, tuple(said), other)


def _fits(panel: Panel, table: _Table) -> bool:
    """Return whether the times of a panel are on the grid of the table."""
    single = panel.step_s == 0 and panel.periods == 1 and panel.start_s >= table.start_s
    return single or panel.step_s == table.step_s


def _new(found: Sequence[Finding], said: Sequence[Finding]) -> list[Finding]:
    """Return findings without those on the whole table that another block has brought."""
    known = {(one.code, one.column) for one in said}
    return [
        one for one in found
        if not (one.code.startswith(_OF_THE_TABLE) and (one.code, one.column) in known)
    ]  # fmt: skip


def _say_left_out(name: str, rows: int, collected: Findings) -> None:
    if rows:
        collected.add(
            Finding(
                Severity.WARNING, "other-periods", "one distance of rows in a table of this size",
                f"{rows} rows at others", "left out; split the table by the length of periods",
                file=name, count=rows,
            )
        )  # fmt: skip


def _joined(table: _Table, parts: Sequence[Part], work: Work) -> Part:
    """Return the parts of all blocks as one."""
    columns: dict[str, ColumnInfo] = {}
    for part in parts:
        columns = {**part.columns, **columns}
    better = {name: info.better for name, info in columns.items()}
    panels = table.panels(list(columns))
    covered = [replace(one, expected=table.periods) for part in parts for one in part.coverage]
    return replace(
        parts[0], objects=table.source.objects, rows=sum(part.rows for part in parts),
        start=table.source.start, end=table.source.end, columns=columns,
        coverage=tuple(sorted(covered, key=lambda one: one.object)), panels=panels,
        positions=tuple(at for part in parts for at in part.positions),
        sites={name: site for part in parts for name, site in part.sites.items()},
        summaries=tuple(work("Summing up", partial(summary_of, better=better), panels)),
    )  # fmt: skip
