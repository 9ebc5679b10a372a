"""Exports in forms of vendors nobody here has seen: every value at its object and its time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cellhive.adapters.reading import read_paths
from cellhive.core.measurements import OBJECT, TIME

HOURS = [datetime(2024, 3, 14, tzinfo=UTC) + timedelta(hours=hour) for hour in range(26)]
CELLS = ("C_1", "C_2", "C_3")
Line = Callable[[datetime, str, float, float], str]


def drawn(when: datetime, cell: str, a: float, b: float) -> str:
    """A table drawn with lines, as a terminal shows it."""
    return f"| {when:%Y-%m-%d %H:%M} | {cell} | {a:8} | {b:8} |"


def names_with_commas(when: datetime, cell: str, a: float, b: float) -> str:
    """Whole distinguished names, not quoted, between semicolons."""
    return f"{when:%Y-%m-%d %H:%M};SubNetwork=A,ManagedElement=1,EUtranCellFDD={cell};{a};{b}"


def quoted_thousands(when: datetime, cell: str, a: float, b: float) -> str:
    """Numbers with a separator of thousands that is the separator of columns."""
    return f'{when:%Y-%m-%d %H:%M},60,"S, 1",{cell},"{a:,.2f}","{b:,.2f}"'


def twelve_hours(when: datetime, cell: str, a: float, b: float) -> str:
    """A clock of twelve hours, months first."""
    return f"{when:%m/%d/%Y %I:%M:%S %p},{cell},{a},{b}"


def interval(when: datetime, cell: str, a: float, b: float) -> str:
    """The day, and from when to when on it."""
    return f"{when:%d-%b-%y},{when:%H:%M}-{when + timedelta(hours=1):%H:%M},{cell},{a},{b}"


def mixed_marks(when: datetime, cell: str, a: float, b: float) -> str:
    """One column with a decimal comma, another with a point."""
    return f"{when:%Y-%m-%d %H:%M};{cell};{str(a).replace('.', ',')};{b}"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("line", "head", "tail"),
    [
        (drawn, "| Time | Cell | A | B |\n|------|------|-----|-----|", ""),
        (names_with_commas, "Time;Object;A;B", ""),
        (quoted_thousands,
         "User: admin\nQuery: all, of it\n\nStart Time,Period (min),NE Name,Cell,A,B",
         'Total,,,,"9,999.00","8,888.00"'),
        (twelve_hours, "Time,Cell,A,B", "\nAverage,,12,13\nTotal,,9999,8888\n# end"),
        (interval, "Date,Time,Cell,A,B", ""),
        (mixed_marks, "sep=;\nTime;Cell;A;B", ""),
    ],
)  # fmt: skip
def test_every_value_is_read(
    tmp_path: Path, line: Line, head: str, tail: str, encoding: str
) -> None:
    """Nothing is missing, nothing is added, whatever stands above and below."""
    truth = {
        (cell, when): (1000 + 37.5 * k + n % 23 + 0.25, 2000 + 12.5 * k - n % 7 + 0.75)
        for k, cell in enumerate(CELLS)
        for n, when in enumerate(HOURS)
    }
    lines = [line(when, cell, *truth[cell, when]) for when in HOURS for cell in CELLS]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([head, *lines, tail]), encoding)
    (measured,) = read_paths([path]).measurements
    assert list(measured.columns) == ["A", "B"]
    rows = measured.frame.select(OBJECT, TIME, "A", "B").rows()
    assert len(rows) == len(truth)
    got = {(name.rpartition("=")[2].rpartition("/")[2], when): (a, b) for name, when, a, b in rows}
    assert got == truth
