"""Collects measured values, row by row, into one table per object class and granularity.

Every reader of measurement files hands its rows to a ``PmCollector``. Rows of the same
counters are kept together as flat arrays of numbers (8 bytes a value), and the wide tables
are built column by column at the end, so that memory follows the number of values.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    TIME_TYPE,
    ColumnInfo,
    Finding,
    Findings,
    Measurements,
    Role,
    Severity,
)

SCALAR = -1
"""Size of a counter that is a single number, not a vector."""
MISSING = 0
"""Size of a counter that has no value in the row."""
NO_TIME = -(2**62)
"""Stands for a time that is not known [us]."""
NO_PERIOD = 0.0
"""Stands for a period that is not known [s]."""

Layout = tuple[str, tuple[str, ...], tuple[int, ...]]
"""Identity of the group of counters (measInfoId), their names and their sizes."""
Describe = Callable[[str], ColumnInfo]
"""Returns what is known of a counter by its name."""

_LAST_RDN = re.compile(r"(?:^|[,/])\s*([^=,/]+)=[^=]*$")


def join_dn(*parts: str) -> str:
    """Join parts of a distinguished name, dropping what the next part repeats.

    TS 32.435 §4.2: prefix, name of the element and name of the object. Some vendors repeat
    the element in the object's name, or write its bare value as the element.
    """
    whole: list[str] = []
    for part in parts:
        names = [name.strip() for name in part.split(",") if name.strip()]
        if not names:
            continue
        if whole and "=" not in whole[-1] and names[0].partition("=")[2] == whole[-1]:
            whole.pop()
        longest = min(len(whole), len(names))
        repeated = next((n for n in range(longest, 0, -1) if whole[-n:] == names[:n]), 0)
        whole += names[repeated:]
    return ",".join(whole)


def class_of(name: str) -> str:
    """Return the class of an object: the type in the last part of its name, or ""."""
    found = _LAST_RDN.search(name)
    return found.group(1).strip() if found else ""


@dataclass(slots=True)
class _Block:
    """Rows that have the same counters, in flat arrays."""

    layout: Layout
    objects: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    suspects: array[int] = field(default_factory=lambda: array("b"))
    values: array[float] = field(default_factory=lambda: array("d"))

    @property
    def width(self) -> int:
        return sum(abs(size) for size in self.layout[2])

    def columns(self) -> Iterator[tuple[str, int, int]]:
        """Yield (counter, bin or SCALAR, offset in a row)."""
        offset = 0
        for name, size in zip(self.layout[1], self.layout[2], strict=True):
            for index in range(1 if size == SCALAR else size):
                yield name, (SCALAR if size == SCALAR else index), offset
                offset += 1


@dataclass(slots=True)
class Batch:
    """The rows of one file; joins the collection when the file is done."""

    file: str
    blocks: dict[tuple[str, float, Layout], _Block] = field(default_factory=dict)
    texts: list[tuple[str, float, str, int, str, str]] = field(default_factory=list)
    zones: set[str] = field(default_factory=set)
    objects: dict[str, int] = field(default_factory=dict)
    rows: int = 0

    def add(
        self, obj: str, when: tuple[int, float], layout: Layout, values: array[float], suspect: bool
    ) -> None:
        """Add one row.

        Args:
            obj: Name of the object.
            when: Start of the period [us since 1970 UTC] and its length [s].
            layout: Which counters the values are.
            values: The values, vectors one after the other, NaN where missing.
            suspect: Whether the source marks the row as suspect.
        """
        key = (class_of(obj), when[1], layout)
        block = self.blocks.get(key)
        if block is None:
            block = self.blocks[key] = _Block(layout)
        block.objects.append(self.objects.setdefault(obj, len(self.objects)))
        block.times.append(when[0])
        block.suspects.append(suspect)
        block.values.extend(values)
        self.rows += 1

    def add_text(self, obj: str, when: tuple[int, float], name: str, text: str) -> None:
        """Add a value that is text, not a number."""
        self.objects.setdefault(obj, len(self.objects))
        self.texts.append((class_of(obj), when[1], obj, when[0], name, text))


@dataclass(slots=True)
class _Kept:
    """What all files hold for one table."""

    blocks: list[tuple[str, _Block]] = field(default_factory=list)
    """File and rows; objects by their number in the collector."""
    texts: list[tuple[int, int, str, str]] = field(default_factory=list)
    """Object, time, name and text."""


class PmCollector:
    """Gathers the rows of files and builds the tables."""

    def __init__(self, describe: Describe, findings: Findings) -> None:
        """Start empty; what is wrong with the rows goes to ``findings``."""
        self._describe = describe
        self._findings = findings
        self._clear()

    def _clear(self) -> None:
        self._kept: dict[tuple[str, float], _Kept] = {}
        self._objects: dict[str, int] = {}
        self._layouts: dict[Layout, Layout] = {}
        self._zones: dict[str, set[str]] = {}

    def add(self, batch: Batch) -> None:
        """Take the rows of one file; names that other files hold too are kept once."""
        numbers = np.array(
            [self._objects.setdefault(name, len(self._objects)) for name in batch.objects], np.int64
        )
        for (cls, period_s, layout), block in batch.blocks.items():
            objects = numbers[np.frombuffer(block.objects, np.int64)]
            block.objects = array("q", objects.tobytes())
            block.layout = self._layouts.setdefault(layout, layout)
            self._of(cls, period_s).blocks.append((batch.file, block))
        for cls, period_s, obj, time, name, text in batch.texts:
            self._of(cls, period_s).texts.append((self._objects[obj], time, name, text))
        self._zones[batch.file] = batch.zones

    def _of(self, cls: str, period_s: float) -> _Kept:
        return self._kept.setdefault((cls, period_s), _Kept())

    def tables(self) -> tuple[Measurements, ...]:
        """Return one table per class and granularity, and forget the rows."""
        order = sorted(self._objects)
        ranks = np.empty(len(order), np.int64)
        ranks[[self._objects[name] for name in order]] = np.arange(len(order))
        names = np.array(order, dtype=object)
        built: list[Measurements] = []
        for key in list(self._kept):
            kept = self._kept.pop(key)  # so that its rows go as soon as its table is there
            table = _Table(kept, key, (names, ranks), self._findings, self._describe)
            built.append(table.build(self._zones))
        self._clear()
        return tuple(sorted(built, key=lambda table: (table.object_class, table.name)))


@dataclass(slots=True)
class _Piece:
    """A block with the rows of the table that its rows go to."""

    block: _Block
    matrix: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    file: str
    distinct: bool


Place = tuple[_Piece, int]
"""A piece and the column in it."""


class _Table:
    """Builds the wide table of one class and granularity."""

    def __init__(
        self,
        kept: _Kept,
        key: tuple[str, float],
        names: tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]],
        findings: Findings,
        describe: Describe,
    ) -> None:
        self._class, self._period_s = key
        self._findings = findings
        self._describe = describe
        self._kept = kept
        self._names, self._ranks = names
        """Names in their order, and the place in it of each object."""

    def build(self, zones_of: Mapping[str, set[str]]) -> Measurements:
        """Return the table.

        Args:
            zones_of: Time zones of the files.
        """
        chosen = [
            (file, block, self._ranks[np.frombuffer(block.objects, np.int64)])
            for file, block in self._kept.blocks
        ]
        texts = self._kept.texts
        index, inverse = _unique_keys(
            [objects for _, _, objects in chosen]
            + [self._ranks[np.array([text[0] for text in texts], np.int64)]],
            [np.frombuffer(block.times, np.int64) for _, block, _ in chosen]
            + [np.array([text[1] for text in texts], np.int64)],
        )
        suspect, trusted = np.zeros((2, index.shape[1]), np.bool_)
        pieces: list[_Piece] = []
        start = 0
        for file, block, objects in chosen:
            rows = inverse[start : start + objects.size]
            start += objects.size
            marked = np.frombuffer(block.suspects, np.int8) != 0
            suspect[rows[marked]] = True
            trusted[rows[~marked]] = True
            values = np.frombuffer(block.values) if block.values else np.zeros(0)
            matrix = values.reshape(objects.size, block.width)
            distinct = np.unique(rows).size == rows.size
            pieces.append(_Piece(block, matrix, rows, file, distinct))
        self._drop_suspect(pieces, suspect & trusted, index)
        frame = self._key_columns(index, suspect & ~trusted)
        labels = self._label_columns(texts, inverse[start:], index.shape[1])
        numbers, infos = self._number_columns(pieces, index)
        used = {piece.file: None for piece in pieces}
        zones = {zone for file in used for zone in zones_of[file]}
        return Measurements(
            name=self._title(),
            frame=pl.DataFrame([*frame, *labels, *numbers]),
            columns=infos,
            labels=tuple(label.name for label in labels),
            object_class=self._class,
            time_zone=next(iter(zones)) if len(zones) == 1 else "mixed" if zones else "",
            sources=tuple(used),
        )

    def _drop_suspect(
        self, pieces: list[_Piece], mixed: npt.NDArray[np.bool_], index: npt.NDArray[np.int64]
    ) -> None:
        """Empty the suspect groups of counters of rows in which others are not suspect.

        The mark belongs to one measValue (TS 32.435 §4.1), a row of the table joins several.
        """
        for piece in pieces:
            marked = np.frombuffer(piece.block.suspects, np.int8) != 0
            at = marked & mixed[piece.rows]
            if not at.any():
                continue
            piece.matrix = np.where(at[:, None], np.nan, piece.matrix)
            group = piece.block.layout[0]
            self._findings.add(
                Finding(
                    Severity.WARNING,
                    "suspect-values",
                    expected="values that the source stands by",
                    found=f"counters of the group {group!r} marked as suspect",
                    action="left empty; the other counters of the object are kept",
                    file=piece.file,
                    column=piece.block.layout[1][0] if piece.block.layout[1] else "",
                    object=str(self._names[index[0][piece.rows[int(at.argmax())]]]),
                    count=int(at.sum()),
                )
            )

    def _title(self) -> str:
        period = f"{self._period_s:g} s" if self._period_s else "period unknown"
        return f"{self._class or 'objects'}, {period}"

    def _key_columns(
        self, index: npt.NDArray[np.int64], suspect: npt.NDArray[np.bool_]
    ) -> list[pl.Series]:
        times = pl.Series(TIME, index[1])
        times = times.set(times == NO_TIME, None).cast(pl.Datetime("us")).cast(TIME_TYPE)
        return [
            pl.Series(OBJECT, self._names[index[0]].tolist(), pl.String),
            times,
            pl.Series(PERIOD_S, [self._period_s or None], pl.Float64).new_from_index(
                0, index.shape[1]
            ),
            pl.Series(SUSPECT, suspect),
        ]

    def _label_columns(
        self,
        texts: Sequence[tuple[int, int, str, str]],
        rows: npt.NDArray[np.int64],
        height: int,
    ) -> list[pl.Series]:
        labels: dict[str, list[str | None]] = {}
        for text, row in zip(texts, rows.tolist(), strict=True):
            labels.setdefault(f"{text[2]} (text)", [None] * height)[row] = text[3]
        return [pl.Series(name, values, pl.String) for name, values in labels.items()]

    def _number_columns(
        self, pieces: list[_Piece], index: npt.NDArray[np.int64]
    ) -> tuple[list[pl.Series], dict[str, ColumnInfo]]:
        places: dict[str, dict[int, list[Place]]] = {}
        for piece in pieces:
            for name in piece.block.layout[1]:
                places.setdefault(name, {})
            for name, position, offset in piece.block.columns():
                places[name].setdefault(position, []).append((piece, offset))
        for bins in places.values():
            if not bins:
                bins[SCALAR] = []
        numbers: list[pl.Series] = []
        infos: dict[str, ColumnInfo] = {}
        for counter, bins in places.items():
            self._check_sizes(counter, pieces)
            for group, prefix in self._split(counter, bins):
                for position in sorted(group):
                    base = f"{prefix}{counter}"
                    name = base if position == SCALAR else f"{base}[{position}]"
                    column = self._column(name, group[position], index)
                    known = self._measured(counter)
                    infos[name] = ColumnInfo(
                        name=name,
                        header=counter,
                        unit=known.unit,
                        quantity=known.quantity if position == SCALAR else None,
                        confidence=known.confidence if position == SCALAR else 0.0,
                        scale=known.scale,
                        role=known.role,
                        better=known.better if position == SCALAR else "",
                        base="" if position == SCALAR else base,
                        bin=None if position == SCALAR else position,
                        origin=known.origin,
                    )
                    numbers.append(column)
        return numbers, infos

    def _measured(self, counter: str) -> ColumnInfo:
        """Return what is known of a counter; what is in a measurement file was measured."""
        known = self._describe(counter)
        return replace(known, role=Role.UNKNOWN) if known.role is Role.ATTRIBUTE else known

    def _check_sizes(self, counter: str, pieces: list[_Piece]) -> None:
        sizes: dict[int, str] = {}
        for piece in pieces:
            for name, size in zip(piece.block.layout[1], piece.block.layout[2], strict=True):
                if name == counter and size != MISSING:
                    sizes.setdefault(size, piece.file)
        if len(sizes) > 1:
            found = ", ".join("1 number" if s == SCALAR else f"{s} bins" for s in sorted(sizes))
            self._findings.add(
                Finding(
                    Severity.WARNING,
                    "vector-size-varies",
                    expected="one size of a vector counter",
                    found=found,
                    action="each bin is kept by its index; missing bins are null",
                    file=list(sizes.values())[1],
                    column=counter,
                )
            )

    def _split(
        self, counter: str, bins: dict[int, list[Place]]
    ) -> list[tuple[dict[int, list[Place]], str]]:
        """Separate counters that share a name but not a meaning, by their measInfoId."""
        identities: dict[str, list[npt.NDArray[np.int64]]] = {}
        for piece, _ in {id(place[0]): place for all_ in bins.values() for place in all_}.values():
            identities.setdefault(piece.block.layout[0], []).append(piece.rows)
        if len(identities) <= 1:
            return [(bins, "")]
        rows = np.concatenate([np.unique(np.concatenate(parts)) for parts in identities.values()])
        clash = np.unique(rows).size < rows.size
        if not clash:
            return [(bins, "")]
        self._findings.add(
            Finding(
                Severity.INFO,
                "same-name-in-groups",
                expected="one measInfo per counter and object",
                found=f"'{counter}' in {', '.join(repr(name) for name in list(identities)[:4])}",
                action="kept apart; the columns are called measInfoId/counter",
                file=next(iter(bins.values()))[0][0].file,
            )
        )
        return [
            (
                {
                    position: [place for place in places if place[0].block.layout[0] == identity]
                    for position, places in bins.items()
                    if any(place[0].block.layout[0] == identity for place in places)
                },
                f"{identity}/",
            )
            for identity in identities
        ]

    def _column(self, name: str, places: list[Place], index: npt.NDArray[np.int64]) -> pl.Series:
        """Put the values of one column into their rows; the first value of a row stays."""
        column = np.full(index.shape[1], np.nan)
        for piece, offset in places:
            values = piece.matrix[:, offset]
            if piece.distinct:
                rounds = [np.arange(values.size)]
            else:
                order = _occurrence(piece.rows)
                rounds = [np.flatnonzero(order == n) for n in range(int(order.max()) + 1)]
            for chosen in rounds:
                rows, new = piece.rows[chosen], values[chosen]
                old = column[rows]
                known = ~np.isnan(old)
                column[rows] = np.where(known, old, new)
                again = known & ~np.isnan(new)
                if again.any():
                    self._duplicates(name, piece, (old[again], new[again], rows[again]), index)
        return pl.Series(name, column).fill_nan(None)

    def _duplicates(
        self,
        name: str,
        piece: _Piece,
        values: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]],
        index: npt.NDArray[np.int64],
    ) -> None:
        old, new, rows = values
        differ = old != new
        code, severity = "duplicate-value", Severity.INFO
        action, first, count = "kept once", 0, int(old.size)
        if differ.any():
            code, severity = "conflicting-values", Severity.WARNING
            action, first, count = "the first one is kept", int(differ.argmax()), int(differ.sum())
        self._findings.add(
            Finding(
                severity,
                code,
                expected="one value per object and period",
                found=f"{old[first]:g} and {new[first]:g}",
                action=action,
                file=piece.file,
                column=name if code == "conflicting-values" else "",
                object=str(self._names[index[0][rows[first]]]),
                count=count,
            )
        )


def _unique_keys(
    objects: list[npt.NDArray[np.int64]], times: list[npt.NDArray[np.int64]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct (object, time) pairs in order, (2, N), and each entry's index."""
    moments, time_index = np.unique(np.concatenate(times), return_inverse=True)
    keys = np.concatenate(objects) * max(moments.size, 1) + time_index
    distinct, inverse = np.unique(keys, return_inverse=True)
    index = np.stack([distinct // max(moments.size, 1), moments[distinct % moments.size]])
    return index, inverse.astype(np.int64)


def _occurrence(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each entry how many earlier entries have the same row."""
    order = np.argsort(rows, kind="stable")
    ranked = rows[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    lengths = np.diff(np.r_[starts, ranked.size])
    counts = np.arange(ranked.size) - np.repeat(starts, lengths)
    result = np.empty_like(rows)
    result[order] = counts
    return result
