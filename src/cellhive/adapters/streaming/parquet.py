"""Parquet tables that are too large to be held: what they hold, and blocks of their objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import polars as pl

from cellhive.adapters.tabular.grids import Grid
from cellhive.adapters.tabular.mapping import Mapping, apply_mapping, describe
from cellhive.adapters.tabular.tables import key_headings, measure_grid, with_shares
from cellhive.core.errors import BadInput
from cellhive.core.inputs import FileOutcome
from cellhive.core.measurements import TIME, ColumnInfo, Findings, Measurements

MOST_VALUES = 60_000_000
"""Numbers in tables of one form, from which they are read in blocks."""
BLOCK_VALUES = 16_000_000
"""Numbers in a block."""
SAMPLE_ROWS = 50_000
"""Rows from each of a few places, by which the columns of time and object are told."""
SAMPLES = 4
_MAGIC = b"PAR1"


@dataclass(frozen=True)
class LargeTable:
    """A table in one or several Parquet files, of which blocks of objects are read."""

    paths: tuple[Path, ...]
    mapping: Mapping
    """Says which columns are the time and the object."""
    objects: tuple[str, ...]
    """Names of all objects, sorted."""
    start: datetime
    """First time in the table."""
    end: datetime
    """Last time in the table."""
    rows: int
    groups: tuple[tuple[str | None, ...], ...]
    """Values of the first column of the object's name, block by block."""
    columns: dict[str, ColumnInfo]
    """What the columns are, settled over the whole table."""
    findings: Findings
    form: Measurements
    """No rows, in the columns of a block."""
    sizes: tuple[int, ...]
    """Rows of each file."""

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.groups)

    @property
    def name(self) -> str:
        """Name of the table."""
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{self.paths[0].name}{more}"

    @property
    def outcomes(self) -> tuple[FileOutcome, ...]:
        """What became of the files."""
        return tuple(
            FileOutcome(path, "parquet", "read", rows)
            for path, rows in zip(self.paths, self.sizes, strict=True)
        )

    @property
    def described(self) -> Measurements:
        """The table without its rows."""
        sources = tuple(str(path) for path in self.paths)
        return replace(self.form, name=self.name, columns=self.columns, sources=sources)

    def block(self, index: int) -> Measurements:
        """Return the measurements of one block of objects.

        Args:
            index: From 0.
        """
        first = self.mapping.object[0]
        wanted = [name for name in self.groups[index] if name is not None]
        chosen = pl.col(first).cast(pl.String).is_in(wanted)
        if len(wanted) < len(self.groups[index]):
            chosen |= pl.col(first).is_null()
        measured = _measured(self.paths, self.mapping, _scan(self.paths).filter(chosen), Findings())
        columns = {name: self.columns.get(name, info) for name, info in measured.columns.items()}
        sources = tuple(str(path) for path in self.paths)
        return replace(measured, name=self.name, columns=columns, sources=sources)


def large_tables(
    paths: Sequence[Path], mapping: Mapping, most_values: int | None = None
) -> list[LargeTable]:
    """Return the tables among files that are too large to be held; others are left out.

    Args:
        paths: Files of any kind.
        mapping: What a person says about the columns.
        most_values: Numbers in tables of one form, up to which they are held.
    """
    most_values = MOST_VALUES if most_values is None else most_values
    forms: dict[object, list[Path]] = {}
    sizes: dict[Path, int] = {}
    for path in paths:
        shape = _shape(path)
        if shape is not None:
            form, sizes[path] = shape
            forms.setdefault(form, []).append(path)
    large = [some for some in forms.values() if sum(sizes[path] for path in some) > most_values]
    tables = (_table(tuple(some), mapping) for some in large)
    return [table for table in tables if table is not None]


def _shape(path: Path) -> tuple[object, int] | None:
    """Return the columns and the number of numbers of a Parquet file; None of other files."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return None
        schema = pl.read_parquet_schema(path)
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError):
        return None  # the reader says what is wrong with it
    numbers = sum(1 for kind in schema.values() if kind.is_numeric())
    return tuple(schema.items()), int(rows) * numbers


def _scan(paths: Sequence[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(list(paths))


def _grid(paths: Sequence[Path], frame: pl.DataFrame) -> Grid:
    headers = tuple(frame.columns)
    numbered = frame.rename({name: str(index) for index, name in enumerate(headers)})
    return Grid(str(paths[0]), "", headers, numbered)


def _measured(
    paths: Sequence[Path], mapping: Mapping, rows: pl.LazyFrame, findings: Findings
) -> Measurements:
    return measure_grid(_grid(paths, rows.collect()), mapping, findings)


def _table(paths: tuple[Path, ...], mapping: Mapping) -> LargeTable | None:
    """Return a large table; None where it has no regular form and must be read whole."""
    every = _scan(paths)
    sizes = tuple(int(_scan([path]).select(pl.len()).collect().item()) for path in paths)
    rows = sum(sizes)
    places = [rows * k // SAMPLES for k in range(SAMPLES)]
    sample = pl.concat([every.slice(at, SAMPLE_ROWS) for at in places]).unique().collect()
    findings = Findings()
    try:
        time, named = key_headings(_grid(paths, sample), mapping)
        if not time or not named:
            return None
        pinned = replace(mapping, time=time, object=named)
        measure_grid(_grid(paths, sample), pinned, findings)
        index = measure_grid(_grid(paths, _index(every, time, named)), pinned, Findings())
    except BadInput:
        return None  # reading it whole says what is wrong
    times = index.frame[TIME].drop_nulls()
    start, end = times.min(), times.max()
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return None
    return LargeTable(
        paths, pinned, tuple(index.objects), start, end, rows,
        _groups(every, named[0], max(BLOCK_VALUES // max(len(index.columns), 1), 1)),
        _settled(every, index, pinned), _true(findings, every),
        replace(index, frame=index.frame.clear()), sizes,
    )  # fmt: skip


def _index(every: pl.LazyFrame, time: Sequence[str], named: Sequence[str]) -> pl.DataFrame:
    """Return a row for every object and one for every time, so that all of both are there."""
    schema = every.collect_schema()
    objects = every.select(named).unique().collect()
    times = every.select(time).unique().collect()
    rows = pl.concat([objects, times], how="horizontal_extend").with_columns(
        pl.col(name).fill_null(strategy="forward").fill_null(strategy="backward")
        for name in (*named, *time)
    )
    others = (
        pl.lit(0 if kind.is_numeric() else "-", dtype=pl.Float64 if kind.is_numeric() else None)
        .alias(name)
        for name, kind in schema.items() if name not in {*named, *time}
    )  # fmt: skip
    return rows.with_columns(others).select(schema.names())


def _true(found: Findings, every: pl.LazyFrame) -> Findings:
    """Return what was found in a sample, but for columns that are empty only there."""
    headings = set(every.collect_schema().names())
    kept = Findings()
    for one in found.as_tuple():
        if one.code == "empty-column" and one.column in headings:
            column = pl.col(one.column)
            if every.select(column.is_not_null().any()).collect().item():
                continue
        kept.add(one)
    return kept


def _groups(
    every: pl.LazyFrame, first: str, rows_per_block: int
) -> tuple[tuple[str | None, ...], ...]:
    """Return the values of a column in blocks of about so many rows, in order."""
    counts = every.group_by(pl.col(first).cast(pl.String)).len().collect().sort(first)
    groups: list[list[str | None]] = [[]]
    filled = 0
    for name, count in counts.iter_rows():
        if groups[-1] and filled + count > rows_per_block:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += count
    return tuple(tuple(group) for group in groups)


def _settled(every: pl.LazyFrame, index: Measurements, mapping: Mapping) -> dict[str, ColumnInfo]:
    """Return what columns are; shares by all their values, column by column."""

    def values(name: str) -> pl.Series:
        heading = index.columns[name].header or name
        column = every.select(pl.col(heading).cast(pl.Float64)).collect().to_series()
        return column.fill_nan(None)

    # As the headings alone say: shares have been settled by values that are none.
    plain = [replace(describe(n), header=info.header) for n, info in index.columns.items()]
    settled = {info.name: info for info in with_shares(plain, values)}
    return apply_mapping(replace(index, columns=settled), mapping).columns
