"""Vectors by row in a file: written through a mapping, read a row at a time.

What is read leaves nothing behind in the memory of the process: a page that is touched
through a mapping stays in it, and the kernel maps its neighbours with it, so that a few
thousand searches would make the whole file resident. A read costs some 2 µs instead.

The file begins with a page that names its dimension; row r lies r vectors after it. A
second file holds a checksum for each block of rows, 0 while the block is being changed:
a process that is killed leaves blocks unchecked, and what the log tells again is written
again. Damage to a block at rest is noticed when it is first touched.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput, Unavailable
from cellhive.core.records import Rows
from cellhive.core.types import Floats32

_PAGE_BYTES: Final = 4096
_BLOCK_BYTES: Final = 1 << 16
_LEAST_ROWS: Final = 1024
_MOST_BLOCKS: Final = 1024
"""Read at once: a read of 2 GiB and more is cut off."""
_MAGIC = b"CellHive vectors 1\n"


class MappedVectors:
    """A VectorFile on disk. Rows that were never written hold zeros."""

    def __init__(self, path: Path, dimension: int) -> None:
        """Open a file, made where it is missing; one of something else is begun anew.

        Args:
            path: The file; its checksums lie beside it.
            dimension: Components D of every vector.
        """
        self.path, self.dimension = path, dimension
        self._sums_path = path.with_name(path.name + ".sums")
        self._block_rows = max(_BLOCK_BYTES // (4 * dimension), 1)
        self._lock = threading.RLock()
        self._rows = 0
        self._map: npt.NDArray[np.float32] = np.zeros((0, dimension), np.float32)
        self._sums: npt.NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._checked = np.zeros(0, np.bool_)
        self._dirty = np.zeros(0, np.bool_)
        with self._lock, _translated(path):
            header = _MAGIC + dimension.to_bytes(4, "little")
            header += bytes(_PAGE_BYTES - len(header))
            if not self._fits(header):
                path.write_bytes(header)
                self._sums_path.write_bytes(b"")
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._let_go = weakref.finalize(self, os.close, self._file)
            size = (path.stat().st_size - _PAGE_BYTES) // (4 * dimension)
            self._remap(size - size % self._block_rows)

    def _fits(self, header: bytes) -> bool:
        """Whether the file is one of ours, and has its checksums."""
        if not self.path.exists() or not self._sums_path.exists():
            return False
        with self.path.open("rb") as file:
            return file.read(_PAGE_BYTES) == header

    def _remap(self, rows: int) -> None:
        """Map so many rows, whole blocks of them; the files grow as needed."""
        blocks = rows // self._block_rows
        if rows == 0:
            return
        for path, size in (
            (self.path, _PAGE_BYTES + 4 * self.dimension * rows), (self._sums_path, 4 * blocks),
        ):  # fmt: skip
            if path.stat().st_size < size:
                with path.open("r+b") as file:
                    file.truncate(size)
        self._map = np.memmap(self.path, np.float32, "r+", _PAGE_BYTES, (rows, self.dimension))
        self._sums = np.memmap(self._sums_path, np.uint32, "r+", 0, (blocks,))
        more = blocks - len(self._checked)
        self._checked = np.pad(self._checked, (0, more))
        self._dirty = np.pad(self._dirty, (0, more))
        self._rows = rows

    def write(self, rows: Rows, vectors: Floats32) -> None:
        """Store vectors, (N, D), at their rows; the file grows as needed.

        Raises:
            BadInput: A block that is written to is damaged; a row is negative.
            Unavailable: There is no room on the disk.
        """
        if len(rows) == 0:
            return
        self._must_be_rows(rows)
        with self._lock, _translated(self.path):
            wanted = int(rows.max()) + 1
            if wanted > self._rows:
                grown = max(wanted, self._rows + self._rows // 4, _LEAST_ROWS)
                self._remap(grown + -grown % self._block_rows)
            blocks = np.unique(rows // self._block_rows)
            self._check(blocks)
            self._sums[blocks] = 0
            self._dirty[blocks] = True
            self._map[rows] = vectors

    def take(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Return vectors at rows, (N, D).

        Raises:
            BadInput: A block they lie in is damaged: make the index anew. A row is negative.
        """
        self._must_be_rows(rows)
        with self._lock, _translated(self.path):
            there = rows < self._rows
            inside = rows if there.all() else rows[there]
            blocks = inside // self._block_rows
            if not self._checked[blocks].all():
                self._check(np.unique(blocks))
            read = self._read(inside)
        if len(inside) == len(rows):
            return read
        taken = np.zeros((len(rows), self.dimension), np.float32)
        taken[there] = read
        return taken

    def _read(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Return vectors at rows that the file has, (N, D): neighbours in one read."""
        each = 4 * self.dimension
        breaks = np.diff(rows) != 1
        breaks |= np.diff(rows // (self._block_rows * _MOST_BLOCKS)) != 0
        begins = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(rows)]])
        lengths = (np.diff(begins) * each).tolist() if len(rows) else []
        offsets = (_PAGE_BYTES + each * rows[begins[:-1]]).tolist() if len(rows) else []
        file = self._file
        data = bytearray().join(
            [os.pread(file, length, offset)
             for length, offset in zip(lengths, offsets, strict=True)]
        )  # fmt: skip
        if len(data) != each * len(rows):
            raise _damaged(self.path, "a file that ends too early")
        return np.frombuffer(data, np.float32).reshape(-1, self.dimension)

    def flush(self) -> None:
        """Put everything on the disk, checksums too."""
        with self._lock, _translated(self.path):
            if not self._dirty.any():
                return
            blocks = np.flatnonzero(self._dirty)
            self._map.base.flush()  # type: ignore[union-attr]  # a memmap is based on its mapping
            for block in blocks.tolist():
                self._sums[block] = _checksum(self._block(block))
            self._sums.base.flush()  # type: ignore[union-attr]  # likewise
            self._dirty[blocks] = False

    def close(self) -> None:
        """Put everything on the disk and let go."""
        self.flush()
        with self._lock:
            self._rows = 0
            self._let_go()
            self._map, self._sums = self._map[:0].copy(), self._sums[:0].copy()

    def _must_be_rows(self, rows: Rows) -> None:
        if len(rows) and int(rows.min()) < 0:
            raise BadInput(
                expected="row numbers", found=f"{int(rows.min())}", place=str(self.path),
                remedy="ask for rows that the log has told of",
            )  # fmt: skip

    def _block(self, block: int) -> npt.NDArray[Any]:
        return self._read(np.arange(block * self._block_rows, (block + 1) * self._block_rows))

    def _check(self, blocks: npt.NDArray[np.int64]) -> None:
        for block in blocks[~self._checked[blocks]].tolist():
            told = int(self._sums[block])
            if told and told != _checksum(self._block(block)):
                raise _damaged(self.path, "others")
            self._checked[block] = True


def _damaged(path: Path, found: str) -> BadInput:
    return BadInput(
        expected="vectors as they were written", found=found,
        remedy="remove the file: it is made anew from the log", place=str(path),
    )  # fmt: skip


def _checksum(block: npt.NDArray[Any]) -> int:
    """Return a checksum of a block that is never 0."""
    return crc32(block.reshape(-1).view(np.uint8).data) or 1


class _translated:  # noqa: N801  # reads as a phrase
    """Turn errors of files into ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate."""
        if isinstance(error, OSError):
            message = f"{self.path}: expected a file of vectors to work, found {error.strerror}"
            raise Unavailable(message, retry_after_s=60.0) from error
