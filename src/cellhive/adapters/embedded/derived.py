"""Where indexes are kept beside a memory: arrays saved whole, checked when loaded, mapped.

One process at a time owns the folder, the first to come: what it saves and the vectors it
writes belong together. Others may load what needs no vectors beside it, and save nothing.
Whatever is missing, half written or damaged is taken for not there: the index is made anew.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from cellhive.adapters.embedded.vector_files import MappedVectors
from cellhive.core.errors import BadInput, Unavailable

_MAGIC = b"CellHive arrays 1\n"
_ALIGN: Final = 64
_CHUNK_BYTES: Final = 1 << 20
_MOST_HEADER_BYTES: Final = 1 << 24
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,150}")


@dataclass(frozen=True)
class _Entry:
    """Where an array lies in its file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    checksum: int
    """CRC-32 of its bytes."""


class FolderFiles:
    """DerivedFiles in a folder on this machine."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, made where it is missing; own it where nobody else does.

        Raises:
            BadInput: It cannot be made or written.
        """
        self.folder = folder
        self._vectors: dict[str, MappedVectors] = {}
        self._private: tempfile.TemporaryDirectory[str] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadInput(
                expected="a folder that can be written", found=str(error.strerror),
                remedy="see to its rights", place=str(folder),
            ) from error  # fmt: skip
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.owned = True
        except BlockingIOError:
            self.owned = False

    def load(self, name: str) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return saved arrays, mapped from disk; None where missing, damaged or half written.

        Every byte is checked once. Nothing is there where another process owns the folder and
        has vectors in it: they follow its indexes, not ours.
        """
        path = self._path(name, "arrays")
        if not self.owned and any(self.folder.glob("*.floats")):
            return None
        try:
            with path.open("rb") as file:
                entries = _read_header(file)
                if entries is None or not all(_sound(file, entry) for entry in entries.values()):
                    return None
            return {each: _map(path, entry) for each, entry in entries.items()}
        except (OSError, ValueError, TypeError):
            return None

    def save(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Replace what is saved under a name, at once or not at all.

        Vectors that were written before are on the disk first. Does nothing where another
        process owns the folder.

        Raises:
            BadInput: An array holds objects.
            Unavailable: There is no room on the disk; what was saved before is still there.
        """
        path = self._path(name, "arrays")
        if not self.owned:
            return
        try:
            for vectors in self._vectors.values():
                vectors.flush()
            _write_whole(path, arrays)
        except OSError as error:
            message = f"{path}: expected room to save an index, found {error.strerror}"
            raise Unavailable(message, retry_after_s=60.0) from error

    def floats(self, name: str, dimension: int) -> MappedVectors:
        """Open a file of float32 vectors: only those asked for come into memory.

        Where another process owns the folder it is a file of this process alone, empty at first.
        """
        path = self._path(name, "floats")
        if name in self._vectors:
            return self._vectors[name]
        if not self.owned:
            if self._private is None:
                self._private = tempfile.TemporaryDirectory(prefix="cellhive-")
            path = Path(self._private.name) / path.name
        self._vectors[name] = MappedVectors(path, dimension)
        return self._vectors[name]

    def close(self) -> None:
        """Put vectors on the disk and let go of the folder."""
        for vectors in self._vectors.values():
            vectors.close()
        self._vectors.clear()
        if self._private is not None:
            self._private.cleanup()
            self._private = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
            self.owned = False

    def _path(self, name: str, kind: str) -> Path:
        if not _NAME.fullmatch(name):
            raise BadInput(
                expected="a name of letters, digits, dots, dashes and spaces", found=repr(name),
                remedy="name the index so",
            )  # fmt: skip
        return self.folder / f"{name}.{kind}"


def _write_whole(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    if any(array.dtype.hasobject for array in plain.values()):
        raise BadInput(expected="arrays of numbers", found="one of objects", place=str(path))
    descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            header = _header(plain)
            file.write(header)
            place = len(header)
            for array in plain.values():
                data = array.reshape(-1).view(np.uint8).data
                file.write(data)
                place += len(data)
                file.write(bytes(-place % _ALIGN))
                place += -place % _ALIGN
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _header(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return the header, padded: magic, length, checksum, and where each array lies."""
    start, entries = 0, {}
    for name, array in arrays.items():
        checksum = crc32(array.reshape(-1).view(np.uint8).data)
        entries[name] = _Entry(array.dtype.str, array.shape, start, checksum)
        start += array.nbytes + -array.nbytes % _ALIGN
    told = msgspec.msgpack.encode(entries)
    front = _MAGIC + len(told).to_bytes(4, "little") + crc32(told).to_bytes(4, "little")
    return front + told + bytes(-(len(front) + len(told)) % _ALIGN)


def _read_header(file: BinaryIO) -> dict[str, _Entry] | None:
    """Return where each array lies, from the start of the file; None where it is damaged."""
    front = file.read(len(_MAGIC) + 8)
    if front[:-8] != _MAGIC:
        return None
    length = int.from_bytes(front[-8:-4], "little")
    told = file.read(min(length, _MOST_HEADER_BYTES))
    if len(told) != length or crc32(told) != int.from_bytes(front[-4:], "little"):
        return None
    start = len(front) + length
    start += -start % _ALIGN
    entries = msgspec.msgpack.decode(told, type=dict[str, _Entry])
    return {name: replace(entry, offset=entry.offset + start) for name, entry in entries.items()}


def _sound(file: BinaryIO, entry: _Entry) -> bool:
    """Whether the bytes of an array are those that were saved; read, not mapped."""
    left = np.dtype(entry.dtype).itemsize * int(np.prod(entry.shape, dtype=np.int64))
    checksum = 0
    file.seek(entry.offset)
    while left > 0:
        chunk = file.read(min(left, _CHUNK_BYTES))
        if not chunk:
            return False
        checksum = crc32(chunk, checksum)
        left -= len(chunk)
    return checksum == entry.checksum


def _map(path: Path, entry: _Entry) -> npt.NDArray[Any]:
    dtype = np.dtype(entry.dtype)
    if 0 in entry.shape:
        return np.zeros(entry.shape, dtype)
    return np.memmap(path, dtype, "r", entry.offset, entry.shape)
