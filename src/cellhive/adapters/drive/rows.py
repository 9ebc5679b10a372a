"""Rows of delimited text, one after the other, from files that need not fit into memory."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cellhive.adapters.files import SEPARATORS, UNKNOWN, parse_number
from cellhive.core.errors import BadInput, NotFound

MOST_ROWS = 2_000_000
"""Rows beyond which a file is refused: 23 days in seconds."""
MOST_LINE = 65_536
"""Longest line [characters]."""
MOST_TOLD = 5
"""Damaged rows that are named one by one."""

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Row:
    """One row, its fields by the names of the header."""

    place: str
    """File and line, for messages."""
    fields: Mapping[str, str]

    def text(self, name: str) -> str:
        """Return a field without blanks around it; "" where it says that it is unknown."""
        value = self.fields.get(name, "").strip()
        return "" if value.lower() in UNKNOWN else value

    def number(self, name: str) -> float | None:
        """Return a field as a number, None where it is unknown.

        Raises:
            BadInput: It is something else.
        """
        value = self.text(name)
        if not value:
            return None
        try:
            return parse_number(value)
        except ValueError as error:
            raise BadInput(
                place=f"{self.place}, column {name}", expected="a number, or - where there is none",
                found=repr(value[:40]),
            ) from error  # fmt: skip


@dataclass
class Rows:
    """The rows of a file: iterate once; what was left out is told afterwards."""

    path: Path
    header: tuple[str, ...] = ()
    left_out: list[str] = field(default_factory=list)
    """Rows that were damaged, in words."""
    damaged: int = 0
    read: int = 0

    def __iter__(self) -> Iterator[Row]:
        """Give the rows in their order; those of another length than the header are left out.

        Raises:
            BadInput: The file cannot be read to its end, or is too long.
        """
        for line, fields in _lines(self.path):
            if not self.header:
                self.header = tuple(name.strip() for name in fields)
                continue
            fitted = _fitted(fields, len(self.header))
            if fitted is None:
                self._leave_out(line, len(fields))
                continue
            self.read += 1
            if self.read > MOST_ROWS:
                raise BadInput(
                    place=str(self.path), expected=f"at most {MOST_ROWS:,} rows", found="more",
                    remedy="split the file",
                )  # fmt: skip
            yield Row(f"{self.path}, line {line}", dict(zip(self.header, fitted, strict=True)))

    def _leave_out(self, line: int, found: int) -> None:
        self.damaged += 1
        if len(self.left_out) < MOST_TOLD:
            self.left_out.append(
                f"line {line} was left out: expected {len(self.header)} fields, found {found}"
            )

    def notes(self) -> tuple[str, ...]:
        """Return what was left out, in words."""
        more = self.damaged - len(self.left_out)
        return (*self.left_out, *([f"and {more} more damaged lines"] if more > 0 else ()))


def header_of(path: Path) -> tuple[str, ...]:
    """Return the names in the first line of a file.

    Raises:
        NotFound: There is no such file.
        BadInput: It has no text.
    """
    for _, fields in _lines(path):
        return tuple(name.strip() for name in fields)
    raise BadInput(place=str(path), expected="a header line and rows", found="an empty file")


def missing(header: Sequence[str], needed: Sequence[str]) -> list[str]:
    """Return which of the needed columns a header lacks."""
    return [name for name in needed if name not in header]


def _fitted(fields: list[str], width: int) -> list[str] | None:
    """Return the fields at the width of the header, or None; blank ones may be too many."""
    if len(fields) > width and not any(one.strip() for one in fields[width:]):
        return fields[:width]
    return fields if len(fields) == width else None


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give (line number, fields) of each line with content.

    Raises:
        NotFound: There is no such file.
        BadInput: It is no text, or damaged.
    """
    if not path.exists():
        message = f"{path}: there is no such file"
        raise NotFound(message)
    if not path.is_file():
        raise BadInput(place=str(path), expected="a file", found="a folder or a device")
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            separator = ""
            for number, line in _bounded(text, path):
                separator = separator or _separator(line)
                if line.strip():
                    yield number, next(csv.reader([line], delimiter=separator))
    except UnicodeDecodeError as error:
        raise BadInput(
            place=f"{path}, near line {number + 1}", expected="text in UTF-8",
            found=f"the byte 0x{error.object[error.start]:02x}", remedy="save the file as UTF-8",
        ) from error  # fmt: skip
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise BadInput(
            place=f"{path}, after line {number}", expected="a file that can be read to its end",
            found=f"{type(error).__name__}: {error}", remedy="copy the file again",
        ) from error  # fmt: skip


def _bounded(text: io.TextIOWrapper, path: Path) -> Iterator[tuple[int, str]]:
    """Give (line number, line) and refuse a line without end."""
    number = 0
    while line := text.readline(MOST_LINE + 1):
        number += 1
        if len(line) > MOST_LINE or "\0" in line:
            found = "a binary file" if "\0" in line else "a longer one"
            raise BadInput(
                place=f"{path}, line {number}",
                expected=f"a line of text of at most {MOST_LINE} characters", found=found,
            )  # fmt: skip
        yield number, line.rstrip("\r\n")


def _separator(line: str) -> str:
    """Return the separator that a header line holds most of."""
    return max(SEPARATORS, key=lambda mark: (line.count(mark), -SEPARATORS.index(mark)))
