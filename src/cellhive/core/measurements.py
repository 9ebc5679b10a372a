"""Measurements of a real network as tables, and what was found wrong with them.

Readers fill these types from files; diagnosis and reports only see them. Values are kept
as they were found: a fraction under a "%" heading stays a fraction, a missing value stays
null. What a column means, and how to turn it into the registry's unit, is in ``ColumnInfo``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import polars as pl

OBJECT = "object"
"""Column of the object's name: a distinguished name, a cell name or a site (String)."""
TIME = "time"
"""Column of the start of the period, in UTC (Datetime[us, UTC]); null where unknown."""
PERIOD_S = "period_s"
"""Column of the length of the period [s] (Float64); null where unknown."""
SUSPECT = "suspect"
"""Column that is true where the source itself marked the row as suspect (Boolean)."""

NAMED = 100
"""Objects that a finding names; it counts them all."""

KEY_COLUMNS = (OBJECT, TIME, PERIOD_S, SUSPECT)
"""The columns every frame begins with."""

TIME_TYPE = pl.Datetime("us", "UTC")
"""Type of the time column."""


class Role(StrEnum):
    """How a column behaves, which decides how it may be aggregated."""

    COUNTER = "counter"
    """Counts or volumes per period; sums over time and objects make sense."""
    RATIO = "ratio"
    """A share or rate; must not be summed, and only be averaged with weights."""
    GAUGE = "gauge"
    """A level (users, power, delay); means make sense, sums over time do not."""
    ATTRIBUTE = "attribute"
    """A number that describes the object (position, band, identity), not its behaviour."""
    UNKNOWN = "unknown"
    """Not known; treat as a gauge."""


class Severity(StrEnum):
    """How much a finding matters."""

    INFO = "info"
    """Worth knowing; the numbers are right."""
    WARNING = "warning"
    """Numbers may not mean what they seem to."""
    ERROR = "error"
    """Something could not be read."""


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """What is known of one numeric column."""

    name: str
    """Name of the column in the frame."""
    header: str = ""
    """The heading as found, unchanged; "" where it is the name."""
    unit: str = ""
    """Unit that the source states ("%", "GB", "kbit/s"); "" where it states none."""
    quantity: str | None = None
    """Name in ``core.schema`` that the column was mapped to; None if it stays itself."""
    confidence: float = 0.0
    """Of the mapping, 0 to 1; 1 when the name is the registry's or a person said so."""
    scale: float = 1.0
    """Multiply by this to get the registry's unit of ``quantity``."""
    role: Role = Role.UNKNOWN
    better: str = ""
    """"higher", "lower" or "" where neither is better or it is not known."""
    share: str = ""
    """What the values of a ratio are in fact: "fraction" (0 to 1), "percent" (0 to 100),
    or "" where it cannot be told or does not apply."""
    base: str = ""
    """Name of the vector counter that this is a bin of; "" otherwise."""
    bin: int | None = None
    """Index of the bin in a vector counter."""
    origin: str = "guess"
    """Where the meaning comes from: "registry", "mapping" (a person said so) or "guess"."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with, or worth knowing about, an input."""

    severity: Severity
    code: str
    """Short, stable name, for example "value-not-a-number"."""
    expected: str
    found: str
    action: str
    """What was done about it."""
    file: str = ""
    where: str = ""
    """Place inside the file: "line 12", "sheet 'KPIs', row 3"."""
    column: str = ""
    object: str = ""
    count: int = 1
    """How often it occurred; the rest of the finding describes the first occurrence."""
    counted: str = ""
    """What ``count`` counts, in the plural: "values", "rows", "periods", "series" (a counter
    of an object), "objects", "identifiers"; "" for occurrences, as readers count them."""
    objects: int = 0
    """How many objects are concerned; 0 where that is not known or not the point."""
    named: tuple[str, ...] = ()
    """Names of the objects concerned, at most ``NAMED`` of them."""
    start: datetime | None = None
    """The first time concerned; None where times are not the point."""
    end: datetime | None = None
    """The last time concerned."""

    @property
    def place(self) -> str:
        """Return file, place, column and object as one text."""
        parts = [self.file, self.where]
        parts += [f"column '{self.column}'"] if self.column else []
        parts += [self.object]
        return ", ".join(part for part in parts if part)

    def __str__(self) -> str:
        """Return the finding as one sentence."""
        times = f" ({self.count} times)" if self.count > 1 and not self.counted else ""
        place = f"{self.place}: " if self.place else ""
        expected = f"expected {self.expected}, " if self.expected else ""
        return f"{place}{expected}found {self.found}{times}; {self.action}"


class Findings:
    """Findings as they come up; repeated ones of a file and column are counted as one."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[tuple[str, str, str], Finding] = {}

    def add(self, finding: Finding, *, of_others: bool = False) -> None:
        """Add a finding, or count it to the same one of the same file and column.

        Args:
            finding: The finding.
            of_others: Whether its objects are others than those before, as in another block of
                the same table, so that their numbers add up and that of columns does not.
        """
        key = (finding.code, finding.file, finding.column)
        first = self._found.get(key)
        self._found[key] = finding if first is None else _both(first, finding, of_others)

    def extend(self, findings: Iterable[Finding], *, of_others: bool = False) -> None:
        """Add several findings; see ``add``."""
        for finding in findings:
            self.add(finding, of_others=of_others)

    def as_tuple(self) -> tuple[Finding, ...]:
        """Return what was found: errors first, otherwise in order of appearance."""
        rank = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}
        return tuple(sorted(self._found.values(), key=lambda finding: rank[finding.severity]))


_MORE = "; and more of the kind elsewhere"


_OF_OBJECTS = frozenset({"", "values", "rows", "periods", "series", "objects", "identifiers"})
"""What adds up over objects: not columns, nor hours of the clock."""


def _both(first: Finding, second: Finding, of_others: bool) -> Finding:
    """Return a finding and another of its kind as one, which is told like the first."""
    named = tuple(dict.fromkeys((*first.named, *second.named)))
    whole = len(first.named) == first.objects and len(second.named) == second.objects
    objects = len(named) if whole else max(first.objects, second.objects)
    if of_others:
        objects = first.objects + second.objects
    adds = not of_others or first.counted in _OF_OBJECTS
    starts = [time for time in (first.start, second.start) if time is not None]
    ends = [time for time in (first.end, second.end) if time is not None]
    told = first.found
    if first.counted and second.found != told and not told.endswith(_MORE):
        told += _MORE  # its numbers are those of the first only; the count is that of all
    return replace(
        first,
        found=told,
        count=first.count + second.count if adds else max(first.count, second.count),
        objects=objects,
        named=named[:NAMED],
        start=min(starts, default=None),
        end=max(ends, default=None),
    )


@dataclass(frozen=True)
class Measurements:
    """All measurements of one class of objects at one granularity.

    The frame is wide: ``object`` (String), ``time`` (Datetime[us, UTC], start of the
    period), ``period_s`` (Float64), ``suspect`` (Boolean), then the label columns (String),
    then one Float64 column per name in ``columns``. It is sorted by object and time.
    """

    name: str
    """What it holds, for example "NRCellDU, 900 s" or "kpis.xlsx / Sheet1"."""
    frame: pl.DataFrame
    columns: dict[str, ColumnInfo]
    """Each numeric column by its name in the frame, in order."""
    labels: tuple[str, ...] = ()
    """Text columns of the frame: site, band, vendor, software version."""
    object_class: str = ""
    """"NRCellDU", "EUtranCellFDD", "site"; "" where unknown."""
    time_zone: str = ""
    """Zone or offset the source states ("UTC", "+01:00", "mixed"); "" where it states none,
    in which case the times are taken as they are written."""
    sources: tuple[str, ...] = field(default=())
    """Files the values come from."""

    @property
    def objects(self) -> list[str]:
        """Names of the objects, sorted."""
        names: list[str] = self.frame[OBJECT].unique().sort().to_list()
        return names

    def column_of(self, quantity: str) -> ColumnInfo | None:
        """Return the most confident column that is mapped to a quantity of the registry."""
        mapped = [info for info in self.columns.values() if info.quantity == quantity]
        return max(mapped, key=lambda info: info.confidence, default=None)

    def in_registry_unit(self, column: str) -> pl.Series:
        """Return a column's values in the unit of the quantity it is mapped to."""
        values = self.frame[column]
        scale = self.columns[column].scale
        return values if scale == 1.0 else values * scale
