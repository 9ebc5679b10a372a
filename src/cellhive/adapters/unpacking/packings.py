"""Content that is packed by gzip, bzip2, xz or Zstandard, unpacked in bounded pieces."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Protocol, cast

import zstandard

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

_PACKED = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip
_ZSTD_PIECE = 1024
"""Packed bytes taken at a time: they can unpack to 32 MiB at most."""


def packing_of(head: bytes) -> str:
    """Return "gzip", "bzip2", "xz", "zstd" or "" by the first bytes of a file."""
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), "")


class _Readable(Protocol):
    """A stream that gives what it has."""

    def read1(self, size: int, /) -> bytes:
        """Return up to so many bytes, at least one unless it is at its end."""


class _Zstd:
    """Reads frames of Zstandard one after the other; a cut is an error, as it is elsewhere."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._left = b""

    def read1(self, _: int) -> bytes:
        """Return what can be unpacked so far; nothing at the end.

        Raises:
            EOFError: The content ends inside a frame.
        """
        while True:
            packed = self._left or self._raw.read(_ZSTD_PIECE)
            self._left = b""
            if not packed:
                if self._frame is not None:
                    message = "the frame is not complete"
                    raise EOFError(message)
                return b""
            if self._frame is None:
                window = zstandard.ZstdDecompressor(max_window_size=1 << 27)
                self._frame = window.decompressobj()
            data = self._frame.decompress(packed)
            if self._frame.eof:
                self._left = self._frame.unused_data
                self._frame = None
            if data:
                return data


def _stream(raw: IO[bytes], packing: str, stack: ExitStack) -> _Readable:
    match packing:
        case "gzip":
            return stack.enter_context(gzip.GzipFile(fileobj=raw))
        case "bzip2":
            return stack.enter_context(bz2.BZ2File(raw))
        case "xz":
            return stack.enter_context(lzma.LZMAFile(raw))
        case "zstd":
            return _Zstd(raw)
        case _:
            return cast("_Readable", raw)


_BREAKS = (
    EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, OSError,
)  # fmt: skip
"""What unpacking raises where content is cut or damaged."""


class Truncated(Exception):
    """The packed file ends, or is damaged, in the middle."""


def pieces(raw: IO[bytes], place: str, packed_bytes: int, limits: Limits) -> Iterator[bytes]:
    """Yield the unpacked content of an open file.

    Args:
        raw: The file, at its beginning.
        place: What it is called.
        packed_bytes: Its size as it is.
        limits: How much of it is read.

    Raises:
        BadInput: It unpacks to more than the limits allow.
        Truncated: The packing is cut or damaged; what came before was yielded.
        OSError: It cannot be read from its beginning on.
    """
    total, packed = 0, max(packed_bytes, 1)
    packing = packing_of(raw.read(6))
    raw.seek(0)
    with ExitStack() as stack:
        stream = _stream(raw, packing, stack)
        while True:
            try:
                # read1 returns what can be unpacked so far, so a cut file yields all before it.
                data = stream.read1(CHUNK_BYTES)
            except _BREAKS as error:
                message = f"the {packing or 'file'} content ends or breaks: {error}"
                raise Truncated(message) from error
            if not data:
                return
            total += len(data)
            _check_size(place, total, packed, limits)
            yield data


def _check_size(place: str, total: int, packed: int, limits: Limits) -> None:
    if total > limits.unpacked_bytes:
        raise BadInput(
            place=place,
            expected=f"at most {limits.unpacked_bytes >> 20} MiB of content",
            found="more",
            remedy="split the file",
        )
    if total > limits.ratio_from_bytes and total > packed * limits.ratio:
        raise BadInput(
            place=place,
            expected=f"content at most {limits.ratio:g} times the packed size",
            found=f"more than {total // packed} times, which looks like a decompression bomb",
            remedy="unpack it yourself if it is what you want",
        )
