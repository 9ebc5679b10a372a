"""Finds the heading rows of a table, and makes one heading per column of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from cellhive.adapters.tabular.mapping import KNOWN_UNITS

MISSING_WORDS = frozenset(
    {
        "", "-", "--", "---", "n/a", "na", "nan", "null", "nil", "none", "#div/0!", "#n/a", "#na",
        "#value!", "#ref!", "#name?", "#null!", "#num!", "inf", "-inf", "+inf", "infinity",
        "-infinity", "/0", "div/0", "no data", "nodata", "*", "?", "...", "n.a.", "\\n",
    }
)  # fmt: skip
"""What is written, in lower case, where there is no value."""
HEAD_ROWS = 40
"""How far down a sheet the headings are looked for."""

_NUMBER = re.compile(r"^[-+]?[\d.,' \u00a0\u202f]*\d[\d.,]*(?:[eE][-+]?\d+)?\s*%?$")
_DATE = re.compile(
    r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T_].*)?$|^\d{1,2}:\d{2}(:\d{2})?$"
    r"|^\d{1,2}[- ][A-Za-z]{3}[- ]\d{2,4}([ T].*)?$"
)
_SERIAL = re.compile(r"^[34567]\d{4}(\.\d+)?$")
_COUNTER_ID = re.compile(r"^\d{8,12}$")
_UNIT_CELL = re.compile(r"^[(\[].{1,16}[)\]]$|^(%|GB|MB|kB|Mbps|kbps|Mbit/s|ms|s|dBm|dB|km|Erl)$")
_MORE_UNITS = frozenset(
    {"times", "minutes", "none", "count", "counts", "number", "seconds", "ratio"}
)
_WORDY = 0.7
"""Most headings are words."""
CLOCK = re.compile(r"^([01]?\d|2[0-4]):[0-5]\d(:00)?$")
"""A time of day above a column."""
FEWEST_CLOCKS = 6
"""Columns with times of day above them from which a table is one with a column per hour."""
_FEWEST_DATES = 3
"""Columns with dates above them from which a table is one with a column per day."""
_MOST_ROWS = 3


def clean(text: str) -> str:
    """Return text with plain single spaces and no byte order mark."""
    return " ".join(text.replace("\N{ZERO WIDTH NO-BREAK SPACE}", "").split())


def dates_in(cells: Sequence[str]) -> list[int]:
    """Return which cells are dates: written ones, or days as a spreadsheet counts that ascend."""
    written = [i for i, cell in enumerate(cells) if _is_date(clean(str(cell)))]
    serial = [i for i, cell in enumerate(cells) if _SERIAL.match(clean(str(cell)))]
    days = [float(clean(str(cells[i]))) for i in serial]
    steps = {round(b - a, 6) for a, b in pairwise(days)}
    even = len(days) >= _FEWEST_DATES and len(steps) == 1 and min(steps) > 0
    return sorted({*written, *(serial if even else ())})


def _is_date(text: str) -> bool:
    return bool(_DATE.match(text)) and ":" not in text.split(" ", maxsplit=1)[0]


def find_header(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return the index of the first heading row and the number of heading rows (0 to 3)."""
    filled = [[cell for cell in row if str(cell).strip()] for row in rows]
    width = max((len(row) for row in filled), default=0)
    wide = [index for index, row in enumerate(filled) if len(row) >= max(2, width * 0.5)]
    for index in wide:
        if not _is_heading(index, rows, filled):
            if index == wide[0]:
                return index, 0
            break
        at, count = _with_neighbours(index, rows, filled, wide)
        while count < _MOST_ROWS and _is_row_of_units(rows, at + count):
            count += 1
        return at, count
    return (wide[0] if wide else 0), 1


def _with_neighbours(
    index: int, rows: Sequence[Sequence[str]], filled: Sequence[Sequence[str]], wide: list[int]
) -> tuple[int, int]:
    """Return a heading row with the one above or below that belongs to it."""
    width = max(len(row) for row in filled)
    below = next((other for other in wide if other > index), None)
    above = index - 1
    grouped = above >= 0 and _is_group_row(rows[above], rows[index], width)
    if below == index + 1 and _is_second_heading(rows, filled, index, wide):
        return index, 2
    if grouped:
        return above, 2
    return index, 2 if _is_row_of_names(rows, index + 1) else 1


def _is_heading(index: int, rows: Sequence[Sequence[str]], filled: Sequence[Sequence[str]]) -> bool:
    """Return whether a row holds headings: words, dates over days, or ids of counters."""
    cells = filled[index]
    if _texts(cells) >= _WORDY:
        return True
    dates = dates_in(rows[index])
    clocks = [i for i, cell in enumerate(rows[index]) if CLOCK.match(clean(str(cell)))]
    dates = clocks if len(clocks) >= FEWEST_CLOCKS else dates
    if len(dates) >= _FEWEST_DATES:
        others = [c for i, c in enumerate(rows[index]) if i not in dates and str(c).strip()]
        return bool(others) and _texts(others) >= _WORDY
    ids = [i for i, cell in enumerate(rows[index]) if _COUNTER_ID.match(clean(str(cell)))]
    if not ids or dates:
        return False
    others = [c for i, c in enumerate(rows[index]) if i not in ids and str(c).strip()]
    data = [row for row in rows[index + 1 : index + 6] if len(row) > max(ids)]
    alike = sum(bool(_COUNTER_ID.match(clean(str(row[i])))) for row in data for i in ids)
    words = len(others) >= 2 and _texts(others) == 1.0  # noqa: PLR2004 (a time and a name)
    return words and alike * 2 < max(len(data) * len(ids), 1)


def _texts(cells: Sequence[str]) -> float:
    """Return the share of cells that are words, not numbers or dates."""
    if not cells:
        return 0.0
    values = [str(cell).strip() for cell in cells]
    words = [v for v in values if not _NUMBER.match(v) and not _DATE.match(v)]
    return len(words) / len(values)


def is_unit(cell: str) -> bool:
    """Return whether a cell is a unit: in brackets, or a known one."""
    text = clean(str(cell))
    return bool(_UNIT_CELL.match(text)) or (
        text.casefold() in _MORE_UNITS or (text.casefold() in KNOWN_UNITS and text != "")
    )


def _is_row_of_units(rows: Sequence[Sequence[str]], index: int) -> bool:
    """Return whether all that a row has is units."""
    if index >= len(rows):
        return False
    cells = [cell for cell in rows[index] if str(cell).strip()]
    return bool(cells) and all(is_unit(cell) for cell in cells)


def _is_row_of_names(rows: Sequence[Sequence[str]], index: int) -> bool:
    """Return whether a row names only columns of numbers: ids of KPIs below their names."""
    if index >= len(rows) - 1:
        return False
    row = [clean(str(cell)) for cell in rows[index]]
    named = [i for i, cell in enumerate(row) if cell]
    if not named or any(row[i].casefold() in MISSING_WORDS for i in named):
        return False
    if _texts([row[i] for i in named]) < 1.0 or len(named) == len(
        [c for c in row if c is not None]
    ):
        return False
    data = [other for other in rows[index + 1 : index + 8] if len(other) > max(named)]
    below = [clean(str(other[i])) for other in data for i in named]
    known = [cell for cell in below if cell.casefold() not in MISSING_WORDS]
    return bool(known) and _texts(known) < 0.1  # noqa: PLR2004 (numbers)


def _is_second_heading(
    rows: Sequence[Sequence[str]], filled: Sequence[Sequence[str]], index: int, wide: list[int]
) -> bool:
    below = filled[index + 1]
    if sum(1 for cell in below if _UNIT_CELL.match(str(cell).strip())) >= len(below) * 0.5:
        return True
    data = [other for other in wide if other > index + 1][:5]
    if not data or _texts(below) < 0.95:  # noqa: PLR2004 (headings are words)
        return False
    typed = sum(_texts(filled[other]) for other in data) / len(data)
    gaps = any(not str(cell).strip() for cell in rows[index])
    repeated = len({clean(str(cell)) for cell in filled[index]}) < len(filled[index])
    return typed < 0.8 and (gaps or repeated)  # noqa: PLR2004 (data has numbers)


def _is_group_row(above: Sequence[str], below: Sequence[str], width: int) -> bool:
    cells = [index for index, cell in enumerate(above) if str(cell).strip()]
    return (
        2 <= len(cells) < width  # noqa: PLR2004 (one cell is a title)
        and _texts([above[index] for index in cells]) == 1.0
        and len(below) >= len(above)
        and not str(above[0]).strip().endswith(":")  # a filter of the report
    )


def _is_line(row: Sequence[str]) -> bool:
    return all(re.fullmatch(r"[-=+:]{3,}", str(cell).strip()) for cell in row if str(cell).strip())


def headers_of(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return one heading per column from one or more heading rows; lines drawn below are none."""
    rows = [row for row in rows if not _is_line(row)] or rows
    if len(rows) == 1:
        return tuple(str(cell) for cell in rows[0])
    width = max(len(row) for row in rows)
    padded = [[*map(str, row), *[""] * (width - len(row))] for row in rows]
    headers = padded[0]
    for number, lower in enumerate(padded[1:]):
        headers = _joined(headers, lower, first=number == 0)
    return tuple(headers)


def _joined(upper: Sequence[str], lower: Sequence[str], *, first: bool) -> list[str]:
    """Return headings with what stands below them; a group above reaches to the right."""
    units = all(is_unit(cell) for cell in lower if clean(cell))
    group = ""
    headers: list[str] = []
    for over, under in zip(upper, lower, strict=True):
        name, below = clean(over), clean(under)
        if units:
            headers.append(_with_unit(name, below))
            continue
        group = name or (group if below and first else "")
        if is_unit(below) and _UNIT_CELL.match(below):
            headers.append(_with_unit(name, below))
        elif group and below and below != group:
            headers.append(f"{group} / {below}")
        else:
            headers.append(below or group)
    return headers


def _with_unit(name: str, unit: str) -> str:
    plain = unit.strip("()[]")
    if not plain or plain.casefold() in {"none", "times", "count", "counts", "number"}:
        return name
    return f"{name} ({plain})".strip()


def title_of(rows: Sequence[Sequence[str]]) -> str:
    """Return the last title above a heading that stands alone in its row; "" if there is none."""
    for row in reversed(rows):
        cells = [clean(str(cell)) for cell in row if clean(str(cell))]
        if len(cells) == 1 and not cells[0].endswith(":") and ":" not in cells[0]:
            return cells[0]
    return ""


_DASHES = re.compile(r"^-{5,}\s*$")
_GAP = re.compile(r"\s{2,}")
_END = re.compile(r"^\(Number of results|^---\s+END|^To be continued", re.IGNORECASE)


def listing_rows(text: str) -> list[list[str]]:
    """Return the rows of the first listing of an MML command; none if the text is no such listing.

    Below a dashed line stand headings, then rows, in columns that two blanks or more part.
    """
    lines = text.splitlines()
    if not any(line.startswith("RETCODE") for line in lines[:200]):
        return []
    start = next((i for i, line in enumerate(lines) if _DASHES.match(line)), None)
    if start is None:
        return []
    body = [line for line in lines[start + 1 :] if line.strip()]
    end = next((i for i, line in enumerate(body) if _END.match(line)), len(body))
    if end < 2:  # noqa: PLR2004 (headings and a row)
        return []
    headings = [match.group() for match in re.finditer(r"\S+(?: \S+)*", body[0])]
    rows = [headings]
    for line in body[1:end]:
        cells = _GAP.split(line.strip())
        if len(cells) == len(headings):
            rows.append(cells)
    return rows
