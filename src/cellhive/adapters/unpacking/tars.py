"""Files inside tar archives, whatever these are packed in.

A packed tar archive can only be read from its beginning, and its members are looked at more than
once. So it is unpacked once, bounded, into a file that has no name and is gone with the archive.
Layouts are those of POSIX.1-2017 (pax, ustar) and GNU tar; ``tarfile`` reads the headers.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

from cellhive.adapters.unpacking.packings import Truncated

MOST_MEMBERS = 10_000
"""Largest number of files in an archive."""
_IN_MEMORY_BYTES = 32 << 20
_MOST_HEADER_BYTES = 1 << 20
"""Largest piece that is read for a header: long names and attributes of pax."""
_BLOCK_BYTES = 512


class TarError(Exception):
    """The archive cannot be read at all, or has more in it than is looked at."""


def is_tar(head: bytes) -> bool:
    """Return whether content begins with the header of a member whose checksum holds."""
    block = head[:_BLOCK_BYTES]
    if len(block) < _BLOCK_BYTES:
        return False
    stated = block[148:156].strip(b"\0 ")
    try:
        return int(stated, 8) == sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    except ValueError:
        return False


class _Headers(io.RawIOBase):
    """An archive while its headers are read: none of them may ask for very much."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MOST_HEADER_BYTES:
            message = f"a header of {size:,} bytes"
            raise TarError(message)
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class Tar:
    """An archive, unpacked where nobody else sees it."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """List an archive.

        Args:
            pieces: Its content.

        Raises:
            TarError: It has no members, a header that cannot be, or too many members.
            OSError: There is no room to unpack it.
        """
        self._file = cast(
            "BinaryIO",
            tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES),  # noqa: SIM115 (goes with the archive)
        )
        weakref.finalize(self, self._file.close)
        self.sizes: dict[str, int] = {}
        """Content of the files by their name [bytes]."""
        self.refused: dict[str, str] = {}
        """What is no file, and what it is instead."""
        self.cut = ""
        """What is wrong, where it ends or breaks in the middle."""
        self._offsets: dict[str, int] = {}
        try:
            for piece in pieces:
                self._file.write(piece)
        except Truncated as error:
            self.cut = str(error)
        self._end = self._file.tell()
        self._list()

    def _list(self) -> None:
        self._file.seek(0)
        try:
            with tarfile.open(fileobj=_Headers(self._file), mode="r:") as book:
                for count, one in enumerate(iter(book.next, None)):
                    if count >= MOST_MEMBERS:
                        message = f"more than {MOST_MEMBERS:,} members"
                        raise TarError(message)
                    self._take(one)
        except (tarfile.TarError, EOFError, ValueError) as error:
            if not self.sizes and not self.refused:
                raise TarError(str(error)) from error
            self.cut = self.cut or f"the archive ends or breaks: {error}"

    def _take(self, one: tarfile.TarInfo) -> None:
        if one.isdir():
            return
        if not one.isreg() or one.issparse() or one.size < 0:
            self.refused[one.name] = _what(one)
        elif one.offset_data + one.size > self._end:
            self.cut = self.cut or f"the archive ends inside {one.name[:60]!r}"
            self.refused[one.name] = "a file that is cut"
        else:
            self.sizes[one.name] = one.size
            self._offsets[one.name] = one.offset_data

    def member(self, name: str) -> TarMember:
        """Return a member."""
        return TarMember(self, self._offsets[name], self.sizes[name])

    def read_at(self, offset: int, size: int) -> bytes:
        """Return so many bytes of the archive."""
        self._file.seek(offset)
        return self._file.read(size)


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in a tar archive."""

    book: Tar
    offset: int
    packed_bytes: int
    """Its content, which is not packed once more [bytes]."""

    def open(self) -> IO[bytes]:
        """Return its content, from the beginning."""
        return io.BufferedReader(_Slice(self.book, self.offset, self.packed_bytes))


class _Slice(io.RawIOBase):
    """A stretch of an archive."""

    def __init__(self, book: Tar, start: int, size: int) -> None:
        self._book, self._start, self._size = book, start, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = origin + offset
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # narrower
        size = max(min(len(buffer), self._size - self._at), 0)
        data = self._book.read_at(self._start + self._at, size)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _what(one: tarfile.TarInfo) -> str:
    if one.issym() or one.islnk():
        return f"a link to {one.linkname[:60]!r}"
    if one.issparse():
        return "a file with holes"
    return "a device or a pipe" if one.isdev() else "no file"
