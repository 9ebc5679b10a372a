"""Turns CSV text, spreadsheets and Parquet into plain grids: headings over columns of text.

Finds the encoding, the separator, the heading rows and the rows that are no data. What the
columns mean is decided in ``tables``.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cellhive.adapters.inputs import NotMeasurements, whole
from cellhive.adapters.tabular.headings import (
    HEAD_ROWS,
    clean,
    find_header,
    headers_of,
    listing_rows,
    title_of,
)
from cellhive.adapters.unpacking.encodings import decode
from cellhive.adapters.unpacking.packings import DEFAULT_LIMITS, Limits
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Findings, Severity

_MOST_SECTIONED = 32 << 20
"""Largest text that is searched for several tables [bytes]."""
_MOST_CELLS = 5_000_000
_SEP_LINE = re.compile(r"^sep=.\r?\n", re.IGNORECASE)
"""The line with which spreadsheets are told the separator."""
_EMPTY_LINE = re.compile(r"\n[;,|\t ]*\r?\n")
_TOTAL = re.compile(
    r"^(grand |sub)?-?(totals?|sum|average|avg|mean|overall|summary|gesamt|summe|somme|moyenne)\b",
    re.IGNORECASE,
)
LONGEST_LINE = 8 << 20
"""Characters of a line: what the columns of a table can fill."""
MOST_COLUMNS = 1 << 14
"""Columns of a table; a spreadsheet has no more."""


@dataclass(frozen=True)
class Grid:
    """One table: a column per heading."""

    file: str
    sheet: str
    """Name of the sheet; "" for files that have none."""
    headers: tuple[str, ...]
    """Headings as found, "" where there is none."""
    frame: pl.DataFrame
    """Columns "0", "1", ... of text (String), or typed where the format has types."""
    first_row: int = 1
    """Line or row of the first data row, from 1."""
    findings: tuple[Finding, ...] = field(default=())
    title: str = ""
    """What stands alone above the headings."""

    @property
    def place(self) -> str:
        """Name of the file and the sheet."""
        return f"{self.file}, sheet '{self.sheet}'" if self.sheet else self.file


def separator_of(text: str) -> str:
    """Return the separator of a CSV text: the one that splits its lines most evenly.

    One that splits every line alike comes before all others, as names of objects hold commas.
    """
    sample = "\n".join(text[:200_000].splitlines()[:80])
    best, best_score = ",", (False, 0.0)
    for separator in (",", ";", "\t", "|"):
        widths = [len(row) for row in csv.reader(io.StringIO(sample), delimiter=separator) if row]
        if not widths:
            continue
        width, lines = Counter(widths).most_common(1)[0]
        if width == 1:
            continue
        even = lines / len(widths)
        score = (even == 1.0, even * min(width - 1, 12) + 0.001 * width)
        if score > best_score:
            best, best_score = separator, score
    return best


def _short_text(path: Path, limits: Limits) -> str:
    """Return a text that is short enough to be looked through, else ""."""
    try:
        data = whole(path, limits)
        if len(data) > _MOST_SECTIONED:
            return ""
        text = decode(data, str(path), Findings()).replace("\x00", "")
    except BadInput:  # reading it as one table says what is wrong
        return ""
    return _SEP_LINE.sub("", text, count=1)


def sections_of(path: Path, limits: Limits = DEFAULT_LIMITS) -> tuple[list[list[str]], bool]:
    """Return the rows of a text that may hold several tables, and whether it is a listing of MML.

    None where there are no empty lines between rows, or the text is large.
    """
    text = _short_text(path, limits)
    if not _EMPTY_LINE.search(text.strip()):
        return [], False
    listing = listing_rows(text)
    return (listing, True) if listing else (_rows_of(text), False)


def _rows_of(text: str) -> list[list[str]]:
    """Return the rows of a text, all of one length; none where that would be too many cells."""
    csv.field_size_limit(1 << 20)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator_of(text)))
    except csv.Error:
        return []
    width = max(map(len, rows), default=0)
    if width * len(rows) > _MOST_CELLS:
        return []
    return [row + [""] * (width - len(row)) for row in rows]


def read_csv_grid(path: Path, findings: Findings, limits: Limits = DEFAULT_LIMITS) -> Grid:
    """Return the grid of a CSV or TSV file.

    Raises:
        BadInput: It is empty, binary, or has no columns.
    """
    text = _plain_lines(decode(whole(path, limits), str(path), findings), str(path), findings)
    text = _SEP_LINE.sub("", text, count=1)
    if not text.strip():
        raise BadInput(
            place=str(path), expected="a table", found="an empty file", remedy="fetch it again"
        )
    csv.field_size_limit(1 << 20)
    separator = separator_of(text)
    text = _with_paired_quotes(text, separator, str(path), findings)
    try:
        head = list(_limited(csv.reader(io.StringIO(text), delimiter=separator), HEAD_ROWS))
        header_at, header_rows = find_header(head)
        headers = headers_of(head[header_at : header_at + header_rows]) if header_rows else ()
        if not headers:
            headers = tuple("" for _ in max(head, key=len))
        if len(headers) > MOST_COLUMNS:
            raise BadInput(
                place=str(path), expected=f"at most {MOST_COLUMNS} columns",
                found=str(len(headers)), remedy="turn the table, so that objects are rows",
            )  # fmt: skip
        frame = _even_frame(text, separator, header_at + header_rows, len(headers))
        if frame is None:
            rows = _data_rows(text, separator, header_at + header_rows)
            frame = _ragged_frame(rows, headers, str(path), text[-1] not in "\r\n", findings)
    except csv.Error as error:
        raise BadInput(
            place=str(path),
            expected="a table with separated columns",
            found=f"text that cannot be one ({error})",
            remedy="check the quotes in the file",
        ) from error
    if len(headers) < 2:  # noqa: PLR2004 (a table has two columns)
        raise NotMeasurements(
            place=str(path),
            expected="columns separated by comma, semicolon, tab or bar",
            found=f"one column, which begins with {clean(text[:40])!r}",
            remedy="check that this is a table",
        )
    grid = Grid(
        str(path), "", headers, frame, header_at + header_rows + 1, title=title_of(head[:header_at])
    )
    note_titles(grid, header_at, header_rows, findings)
    return without_noise(grid, findings)


def _plain_lines(text: str, file: str, findings: Findings) -> str:
    """Return text without zero bytes, and with lines that end as ours do."""
    zeros = text.count("\x00")
    if zeros:
        line = text.count("\n", 0, text.index("\x00")) + 1
        findings.add(
            Finding(
                Severity.WARNING, "zero-bytes", "text", f"{zeros} bytes of 0: a part of the file "
                "may never have been written", "left out; what stood there is lost",
                file=file, where=f"line {line}", count=zeros, counted="bytes",
            )
        )  # fmt: skip
        text = text.replace("\x00", "")
    last = text.rstrip(" ")[-1:]
    if last and last not in "\r\n" and "\n" in text:
        findings.add(
            Finding(
                Severity.INFO, "last-line-open", "an end of the last line", "none",
                "read as it is; if the file was cut, the last value may be too", file=file,
            )
        )  # fmt: skip
    if "\r" in text and text.count("\r") != text.count("\r\n"):  # as old programs write lines
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    _check_lines(text, file)
    return text


def _check_lines(text: str, file: str) -> None:
    """Refuse text with a line that no table has; it would be taken apart for minutes.

    Raises:
        BadInput: A line is longer than that.
    """
    at = 0
    while len(text) - at > LONGEST_LINE:
        end = text.rfind("\n", at, at + LONGEST_LINE)
        if end < 0:
            raise BadInput(
                place=file, expected=f"lines of at most {LONGEST_LINE >> 20} MiB",
                found="a longer one", remedy="check that this is a table with rows",
            )  # fmt: skip
        at = end + 1


def _with_paired_quotes(text: str, separator: str, file: str, findings: Findings) -> str:
    """Return text without quotes that open and never close: each would swallow all after it."""
    if text.count('"') % 2 == 0:
        return text
    opening = re.compile(rf'(?:^|{re.escape(separator)}) *"')
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if line.count('"') % 2 and opening.search(line):
            lines[index] = line.replace('"', "")
            findings.add(
                Finding(
                    Severity.WARNING,
                    "unpaired-quote",
                    expected="quotes in pairs",
                    found=repr(line[:60]),
                    action="read without the quotes of this line",
                    file=file,
                    where=f"line {index + 1}",
                )
            )
    return "\n".join(lines)


def _limited(reader: Any, count: int) -> list[list[str]]:
    rows: list[list[str]] = []
    for row in reader:
        rows.append(row)
        if len(rows) >= count:
            break
    return rows


def _even_frame(text: str, separator: str, skip: int, width: int) -> pl.DataFrame | None:
    """Return the columns of a text whose lines all have the same fields, unquoted, else None.

    Counts separators as bytes; ten times as fast as looking at each line.
    """
    if '"' in text or width < 2:  # noqa: PLR2004 (a table has two columns)
        return None
    raw = text.encode().replace(b"\r\n", b"\n")
    if b"\r" in raw:
        return None
    raw = raw if raw.endswith(b"\n") else raw + b"\n"
    content = np.frombuffer(raw, np.uint8)
    ends = np.flatnonzero(content == ord("\n"))
    if ends.size <= skip:
        return None
    marks = np.flatnonzero(content == ord(separator))
    counts = np.diff(np.searchsorted(marks, ends)[max(skip - 1, 0) :], prepend=0)
    counts = counts[1:] if skip else counts
    if (counts != width - 1).any():
        return None
    start = int(ends[skip - 1]) + 1 if skip else 0
    return pl.read_csv(
        io.BytesIO(raw[start:]),
        has_header=False,
        separator=separator,
        quote_char=None,
        schema={str(index): pl.String for index in range(width)},
    )


def _data_rows(text: str, separator: str, skip: int) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    rows: list[tuple[int, list[str]]] = []
    for index, row in enumerate(reader):
        if index >= skip and any(row):
            rows.append((reader.line_num, row))
    return rows


def _ragged_frame(
    rows: list[tuple[int, list[str]]],
    headers: Sequence[str],
    file: str,
    unfinished: bool,
    findings: Findings,
) -> pl.DataFrame:
    """Return the columns; leave out lines with too many fields and a last line cut short."""
    width = len(headers)
    kept: list[list[str]] = []
    last = len(rows) - 1
    for index, (line, row) in enumerate(rows):
        if len(row) == width:
            kept.append(row)
            continue
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            kept.append(row[:width])
            continue
        cut = index == last and unfinished and len(row) < width
        short = len(row) < width
        code = "file-cut" if cut else "short-line" if short else "long-line"
        findings.add(
            Finding(
                Severity.ERROR if cut else Severity.WARNING,
                code,
                expected=f"{width} fields",
                found=f"{len(row)}" + (" at the end of the file" if cut else ""),
                action="the missing fields are null"
                if short and not cut
                else "the line is left out",
                file=file,
                where=f"line {line}",
            )
        )
        if short and not cut:
            kept.append(row + [""] * (width - len(row)))
    columns = zip(*kept, strict=True) if kept else [() for _ in headers]
    return pl.DataFrame(
        [pl.Series(str(index), column, pl.String) for index, column in enumerate(columns)]
    )


def note_titles(grid: Grid, header_at: int, header_rows: int, findings: Findings) -> None:
    """Say that there are no headings, or rows above them."""
    where = f"sheet '{grid.sheet}'" if grid.sheet else "line 1"
    if header_rows == 0:
        findings.add(
            Finding(
                Severity.WARNING,
                "no-header",
                expected="a row of headings",
                found="none",
                action="columns are called by their number",
                file=grid.file,
                where=where,
            )
        )
    elif header_at > 0:
        findings.add(
            Finding(
                Severity.INFO,
                "title-rows",
                expected="headings in the first row",
                found="other rows above them",
                action="left out",
                file=grid.file,
                where=where,
                count=header_at,
            )
        )


def without_noise(grid: Grid, findings: Findings) -> Grid:
    """Leave out empty rows, totals, footers and repeated headings, and say so."""
    frame = grid.frame
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    if not texts or frame.height == 0 or len(grid.headers) < 3:  # noqa: PLR2004 (too narrow to tell)
        return grid
    cleaned = frame.select(
        pl.col(name).str.strip_chars(" \t\r\n\u00a0") if name in texts else pl.col(name)
        for name in frame.columns
    )
    filled = cleaned.select(
        pl.sum_horizontal(
            [
                (pl.col(name) != "").fill_null(False).cast(pl.Int32)
                if name in texts
                else pl.col(name).is_not_null().cast(pl.Int32)
                for name in frame.columns
            ]
        ).alias("n")
    )["n"]
    first = cleaned[texts[0]].fill_null("")
    header = clean(grid.headers[int(texts[0])]) if int(texts[0]) < len(grid.headers) else ""
    second = cleaned[texts[1]].fill_null("") if len(texts) > 1 else first
    other = clean(grid.headers[int(texts[1])]) if len(texts) > 1 else header
    kinds = {
        "empty": filled == 0,
        "repeated-heading": (first == header) & (second == other) & pl.Series([header != ""]),
        "total-row": _matches(first, _TOTAL),
        "footer-row": (filled == 1) & (first != ""),
    }
    drop = pl.Series([False] * frame.height)
    for code, mask in kinds.items():
        fresh = mask & ~drop
        count = int(fresh.sum())
        if count and code != "empty":
            row = int(fresh.arg_true()[0])
            where = f"row {grid.first_row + row}"
            findings.add(
                Finding(
                    Severity.INFO,
                    code,
                    expected="only measurements",
                    found=f"a row that begins with {str(first[row])[:40]!r}",
                    action="left out",
                    file=grid.file,
                    where=f"sheet '{grid.sheet}', {where}" if grid.sheet else where,
                    count=count,
                )
            )
        drop = drop | mask
    return replace(grid, frame=cleaned.filter(~drop))


def _matches(values: pl.Series, pattern: re.Pattern[str]) -> pl.Series:
    found = {value: bool(pattern.match(value)) for value in values.unique().to_list()}
    if not any(found.values()):
        return pl.Series([False] * values.len())
    return values.replace_strict(found, return_dtype=pl.Boolean)
