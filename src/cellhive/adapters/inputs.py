"""Opens input files whatever they are packed in, and says what they hold from their content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cellhive.core.errors import BadInput

CHUNK_BYTES = 1 << 18
"""Bytes read at a time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an input is read before it is refused."""

    unpacked_bytes: int = 16 << 30
    """Largest content."""
    ratio: float = 500.0
    """Largest unpacked over packed size; real measurement files stay below 100."""
    ratio_from_bytes: int = 64 << 20
    """The ratio is not looked at below this content."""
    whole_bytes: int = 1 << 30
    """Largest content of formats that must be held whole: spreadsheets, JSON, tables."""


DEFAULT_LIMITS = Limits()

_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}


def packing_of(head: bytes) -> str:
    """Return "gzip", "bzip2", "xz" or "" by the first bytes of a file."""
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), "")


_Stream = gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile | io.BufferedReader


def _open(path: Path) -> tuple[_Stream, str]:
    packing = ""
    try:
        with path.open("rb") as raw:
            packing = packing_of(raw.read(6))
        match packing:
            case "gzip":
                return gzip.open(path, "rb"), packing
            case "bzip2":
                return bz2.open(path, "rb"), packing
            case "xz":
                return lzma.open(path, "rb"), packing
            case _:
                return path.open("rb"), packing
    except OSError as error:
        raise BadInput(
            place=str(path),
            expected="a file that can be read",
            found=str(error.strerror or error),
        ) from error


class NotMeasurements(BadInput):
    """The file may be in order, but it holds no measurements."""


class Truncated(Exception):
    """The packed file ends, or is damaged, in the middle."""


def chunks(path: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[bytes]:
    """Yield the unpacked content of a file in pieces.

    Raises:
        BadInput: It cannot be read, or unpacks to more than the limits allow.
        Truncated: The packing is cut or damaged; what came before was yielded.
    """
    stream, packing = _open(path)
    packed = max(path.stat().st_size, 1)
    total = 0
    with stream:
        while True:
            try:
                # read1 returns what can be unpacked so far, so a cut file yields all before it.
                data = stream.read1(CHUNK_BYTES)
            except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
                message = f"the {packing or 'file'} content ends or breaks: {error}"
                raise Truncated(message) from error
            if not data:
                return
            total += len(data)
            _check_size(path, total, packed, limits)
            yield data


def _check_size(path: Path, total: int, packed: int, limits: Limits) -> None:
    if total > limits.unpacked_bytes:
        raise BadInput(
            place=str(path),
            expected=f"at most {limits.unpacked_bytes >> 20} MiB of content",
            found="more",
            remedy="split the file",
        )
    if total > limits.ratio_from_bytes and total > packed * limits.ratio:
        raise BadInput(
            place=str(path),
            expected=f"content at most {limits.ratio:g} times the packed size",
            found=f"more than {total // packed} times, which looks like a decompression bomb",
            remedy="unpack it yourself if it is what you want",
        )


def whole(path: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the unpacked content of a file.

    Raises:
        BadInput: It cannot be read, is damaged, or is too large.
    """
    parts: list[bytes] = []
    total = 0
    try:
        for data in chunks(path, limits):
            total += len(data)
            if total > limits.whole_bytes:
                raise BadInput(
                    place=str(path),
                    expected=f"at most {limits.whole_bytes >> 20} MiB in one table",
                    found="more",
                    remedy="split the file, or convert it to Parquet",
                )
            parts.append(data)
    except Truncated as error:
        raise BadInput(
            place=str(path), expected="a complete file", found=str(error), remedy="fetch it again"
        ) from error
    return b"".join(parts)


def head_of(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of the unpacked content; fewer where the file is cut.

    Raises:
        BadInput: It cannot be read, or nothing of it can be unpacked.
    """
    data = b""
    try:
        for part in chunks(path):
            data += part
            if len(data) >= size:
                break
    except Truncated as error:
        if not data:
            raise BadInput(
                place=str(path), expected="a file that can be unpacked", found=str(error),
                remedy="fetch it again",
            ) from error  # fmt: skip
    return data[:size]
