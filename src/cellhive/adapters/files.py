"""Files read with a bound, written whole or not at all; delimited text with line numbers."""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import re
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cellhive.core.errors import BadInput, NotFound

MAX_BYTES = 64 * 2**20
"""Largest file that is read into memory, after decompression [bytes]."""

SEPARATORS = (",", ";", "\t", "|")
"""What may stand between two fields of delimited text."""

UNKNOWN = frozenset({"", "-", "na", "n/a", "nan", "nil", "none", "null", "unknown"})
"""What a field says when its value is not known, in lower case."""

_ARMED = re.compile(r"'*[=+\-@\t\r]")
"""Text that a spreadsheet may take for a formula, or that was disarmed before."""
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_bounded(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a file, decompressed if it is gzip.

    Raises:
        NotFound: There is no such file.
        BadInput: It is a folder, empty, unreadable, cut, or larger than ``max_bytes``.
    """
    if not path.exists():
        message = f"{path}: there is no such file"
        raise NotFound(message)
    if not path.is_file():
        raise BadInput(place=str(path), expected="a file", found="a folder or a device")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            data = (
                gzip.GzipFile(fileobj=raw).read(max_bytes + 1)
                if packed
                else raw.read(max_bytes + 1)
            )
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(
            place=str(path),
            expected="a file that can be read to its end",
            found=f"{type(error).__name__}: {error}",
            remedy="copy the file again",
        ) from error
    if len(data) > max_bytes:
        raise BadInput(
            place=str(path), expected=f"at most {max_bytes / 2**20:.0f} MiB", found="more than that"
        )
    if not data.strip():
        raise BadInput(place=str(path), expected="a file with content", found="an empty file")
    return data


def check_output(path: Path, place: str, suffixes: Sequence[str]) -> None:
    """Refuse a file that could not be written in the end, before any work is done for it.

    Args:
        path: The file; folders on the way to it need not exist.
        place: Option that names it.
        suffixes: What its name may end in.

    Raises:
        BadInput: The suffix is another, or nothing can be written there.
    """
    if path.suffix.lower() not in suffixes:
        raise BadInput(
            place=place, expected=f"a file name ending in {' or '.join(suffixes)}",
            found=repr(str(path)),
        )  # fmt: skip
    check_folder(path.absolute().parent, place)  # first, as nothing is known in a closed one
    if path.is_dir():
        raise BadInput(
            place=place, expected="a file", found=f"the folder {path}",
            remedy="add a file name to it",
        )  # fmt: skip


def check_folder(path: Path, place: str) -> None:
    """Refuse a folder in which nothing can be written; it need not exist yet.

    Args:
        path: The folder.
        place: Option that names it.

    Raises:
        BadInput: It, or the nearest of its parents that exists, is no folder or is closed.
    """
    whole = path.absolute()
    nearest = next(each for each in (whole, *whole.parents) if os.path.lexists(each))
    if not nearest.is_dir():
        found = f"{nearest}, which is no folder"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        found = f"{nearest}, which cannot be written"
    else:
        return
    raise BadInput(
        place=place, expected="a path in a folder that can be written", found=found,
        remedy="choose another path",
    )  # fmt: skip


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old or the new content, never a part of it.

    Raises:
        BadInput: The folder does not exist or cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise BadInput(
            place=str(path),
            expected="a folder that can be written",
            found=error.strerror or str(error),
            remedy="create the folder or choose another path",
        ) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(
            place=str(path), expected="a path that can be written", found=str(error)
        ) from error


def check_text(text: str, *, place: str) -> str:
    """Return a text unchanged if every file format here can carry it.

    Raises:
        BadInput: It has characters that XML 1.0 does not allow: control
            characters, lone surrogates, U+FFFE or U+FFFF.
    """
    for character in text:
        code = ord(character)
        allowed = (
            code in {0x9, 0xA, 0xD}
            or 0x20 <= code <= 0xD7FF  # noqa: PLR2004 - the ranges of XML 1.0, production 2
            or 0xE000 <= code <= 0xFFFD  # noqa: PLR2004
            or code >= 0x10000  # noqa: PLR2004
        )
        if not allowed:
            raise BadInput(
                place=place,
                expected="text that XML 1.0 can carry",
                found=f"the character U+{code:04X}",
                remedy="remove it",
            )
    return text


def disarmed(text: str) -> str:
    """Return text that no spreadsheet runs as a formula: an apostrophe goes before it."""
    return f"'{text}" if _ARMED.match(text) else text


def rearmed(text: str) -> str:
    """Return text as it was before it was disarmed."""
    return text[1:] if text.startswith("'") and _ARMED.match(text) else text


def parse_number(text: str, *, decimal_comma: bool = False) -> float:
    """Return a finite number.

    Args:
        text: What the field holds; blanks around it do not matter.
        decimal_comma: Whether "1,5" means 1.5.

    Raises:
        ValueError: It is not a finite number in plain decimal notation.
    """
    plain = text.strip()
    if decimal_comma and plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    if "_" in plain:
        message = f"{text!r} is not a number"
        raise ValueError(message)
    value = float(plain)
    if not math.isfinite(value):
        message = f"{text!r} is not finite"
        raise ValueError(message)
    return value


@dataclass(frozen=True, slots=True)
class Table:
    """Delimited text as it stands in a file."""

    place: str
    """The file, for messages."""
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Fields of each row that is not blank, as many as the header has."""
    lines: tuple[int, ...]
    """Line of the file on which each row ends, from 1."""
    separator: str = ","
    counted: str = "line"
    """What ``lines`` counts, for messages."""

    @property
    def decimal_comma(self) -> bool:
        """Whether a comma inside a number can only be its decimal mark."""
        return self.separator != ","


def read_table(path: Path, *, max_rows: int) -> Table:
    """Return the delimited text of a file; see ``parse_table``.

    Raises:
        NotFound: There is no such file.
        BadInput: It is not such a table; the message names the line.
    """
    return parse_table(read_bounded(path), place=str(path), max_rows=max_rows)


def parse_table(data: bytes, *, place: str, max_rows: int) -> Table:
    """Return delimited text (RFC 4180 and its relatives) with a header line.

    Understands UTF-8 and UTF-16 with or without a byte order mark, the separators in
    ``SEPARATORS`` and the ``sep=;`` line that spreadsheets write.

    Raises:
        BadInput: It is not such a table; the message names the line.
    """
    text = _decode(data, place)
    lines_skipped = 0
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == len("sep=") + 1:
        text, lines_skipped = rest, 1
    separator = _separator(text)
    header: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            line = reader.line_num + lines_skipped
            if not header:
                header = tuple(field.strip() for field in fields)
                continue
            rows.append(_fitted(fields, len(header), f"{place}, line {line}"))
            lines.append(line)
            if len(rows) > max_rows:
                raise BadInput(
                    place=place,
                    expected=f"at most {max_rows:,} rows",
                    found="more",
                    remedy="split the file or cut it to the area of interest",
                )
    except csv.Error as error:
        raise BadInput(
            place=f"{place}, line {reader.line_num + lines_skipped}",
            expected="delimited text (RFC 4180)",
            found=f"a malformed row ({error})",
        ) from error
    if not rows:
        raise BadInput(place=place, expected="a header line and at least one row", found="no rows")
    return Table(place, header, tuple(rows), tuple(lines), separator)


def _decode(data: bytes, place: str) -> str:
    encoding = "utf-16" if data[:2] in _UTF16 else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(
            place=f"{place}, line {line}",
            expected="text in UTF-8 (or UTF-16 with a byte order mark)",
            found=f"the byte 0x{data[error.start]:02x}",
            remedy="save the file as UTF-8",
        ) from error
    if "\0" in text:
        raise BadInput(place=place, expected="delimited text", found="a binary file")
    return text


def _separator(text: str) -> str:
    """Return the separator that the first line with content holds most of."""
    first = next(line for line in text.splitlines() if line.strip()) if text.strip() else ""
    outside = "".join(first.split('"')[::2])
    return max(SEPARATORS, key=lambda mark: (outside.count(mark), -SEPARATORS.index(mark)))


def _fitted(fields: list[str], width: int, place: str) -> tuple[str, ...]:
    """Return the fields at the width of the header; blank ones may be missing or too many."""
    if len(fields) > width and not any(field.strip() for field in fields[width:]):
        fields = fields[:width]
    if len(fields) != width:
        raise BadInput(
            place=place,
            expected=f"{width} fields as in the header",
            found=f"{len(fields)}",
            remedy="quote fields that contain the separator",
        )
    return tuple(fields)
