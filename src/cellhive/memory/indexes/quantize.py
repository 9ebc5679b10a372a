"""How vectors are kept by slot: as floats, halves, bytes, or in a mapped file.

A slot is a small whole number; slots are dense. What is taken out is float32 again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cellhive.core.ports import VectorFile
from cellhive.core.records import Rows, Storage
from cellhive.core.types import Floats32

Slots = npt.NDArray[np.integer[Any]]
_FEWEST = 1024
_BYTE = 127.0


class Vectors(Protocol):
    """Vectors by slot."""

    @property
    def size(self) -> int:
        """One more than the highest slot there is room for."""
        ...

    def reserve(self, size: int) -> None:
        """Make room for slots below ``size``."""
        ...

    def put(self, slots: Slots, vectors: Floats32) -> None:
        """Keep vectors, (N, D)."""
        ...

    def take(self, slots: Slots) -> Floats32:
        """Return vectors, (N, D)."""
        ...

    def span(self, begin: int, end: int) -> Floats32:
        """Return the vectors of a range of slots, (end - begin, D); not to be written to."""
        ...

    def arrays(self, size: int) -> Mapping[str, npt.NDArray[Any]]:
        """Return what must be saved of the slots below ``size``."""
        ...

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take back what was saved."""
        ...


def vectors_for(storage: Storage, dimension: int, file: VectorFile | None) -> Vectors:
    """Return an empty place for vectors; without a file, floats stay in memory."""
    match storage:
        case Storage.FLOAT16:
            return HalfVectors(dimension)
        case Storage.INT8:
            return ByteVectors(dimension)
        case Storage.PRODUCT | Storage.BINARY if file is not None:
            return MappedVectors(dimension, file)
        case _:
            return FloatVectors(dimension)


def _grown(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Return an array with room for ``size`` rows, half as many again to spare."""
    if size <= len(array):
        return array
    room = max(size, _FEWEST) if len(array) == 0 else max(size, len(array) * 3 // 2)
    larger = np.zeros((room, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


class FloatVectors:
    """Vectors as they are: float32, in memory."""

    def __init__(self, dimension: int) -> None:
        """Begin empty."""
        self.floats: Floats32 = np.zeros((0, dimension), np.float32)

    @property
    def size(self) -> int:
        """One more than the highest slot there is room for."""
        return len(self.floats)

    def reserve(self, size: int) -> None:
        """Make room."""
        self.floats = _grown(self.floats, size)

    def put(self, slots: Slots, vectors: Floats32) -> None:
        """Keep vectors."""
        self.reserve(int(slots.max(initial=-1)) + 1)
        self.floats[slots] = vectors

    def take(self, slots: Slots) -> Floats32:
        """Return vectors."""
        return self.floats[slots]

    def span(self, begin: int, end: int) -> Floats32:
        """Return a range without copying it."""
        return self.floats[begin:end]

    def arrays(self, size: int) -> Mapping[str, npt.NDArray[Any]]:
        """Return the floats."""
        return {"floats": self.floats[:size]}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy the floats into memory."""
        self.floats = np.array(arrays["floats"], np.float32)


class HalfVectors:
    """Vectors as float16: half the memory, three digits."""

    def __init__(self, dimension: int) -> None:
        """Begin empty."""
        self._halves = np.zeros((0, dimension), np.float16)

    @property
    def size(self) -> int:
        """One more than the highest slot there is room for."""
        return len(self._halves)

    def reserve(self, size: int) -> None:
        """Make room."""
        self._halves = _grown(self._halves, size)

    def put(self, slots: Slots, vectors: Floats32) -> None:
        """Round vectors and keep them."""
        self.reserve(int(slots.max(initial=-1)) + 1)
        self._halves[slots] = vectors

    def take(self, slots: Slots) -> Floats32:
        """Return vectors."""
        return self._halves[slots].astype(np.float32)

    def span(self, begin: int, end: int) -> Floats32:
        """Return a range."""
        return self._halves[begin:end].astype(np.float32)

    def arrays(self, size: int) -> Mapping[str, npt.NDArray[Any]]:
        """Return the halves."""
        return {"halves": self._halves[:size]}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy the halves into memory."""
        self._halves = np.array(arrays["halves"], np.float16)


class ByteVectors:
    """Vectors as int8 with a scale each: a quarter of the memory, two digits."""

    def __init__(self, dimension: int) -> None:
        """Begin empty."""
        self._bytes = np.zeros((0, dimension), np.int8)
        self._scales = np.zeros(0, np.float32)

    @property
    def size(self) -> int:
        """One more than the highest slot there is room for."""
        return len(self._bytes)

    def reserve(self, size: int) -> None:
        """Make room."""
        self._bytes, self._scales = _grown(self._bytes, size), _grown(self._scales, size)

    def put(self, slots: Slots, vectors: Floats32) -> None:
        """Round vectors and keep them."""
        self.reserve(int(slots.max(initial=-1)) + 1)
        scales = np.abs(vectors).max(axis=1, initial=0.0).astype(np.float32) / np.float32(_BYTE)
        safe = np.where(scales > 0, scales, 1.0).astype(np.float32)
        self._bytes[slots] = np.rint(vectors / safe[:, None])
        self._scales[slots] = scales

    def take(self, slots: Slots) -> Floats32:
        """Return vectors."""
        scaled: Floats32 = self._bytes[slots] * self._scales[slots, None]
        return scaled

    def span(self, begin: int, end: int) -> Floats32:
        """Return a range."""
        scaled: Floats32 = self._bytes[begin:end] * self._scales[begin:end, None]
        return scaled

    def arrays(self, size: int) -> Mapping[str, npt.NDArray[Any]]:
        """Return bytes and scales."""
        return {"bytes": self._bytes[:size], "scales": self._scales[:size]}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Copy bytes and scales into memory."""
        self._bytes = np.array(arrays["bytes"], np.int8)
        self._scales = np.array(arrays["scales"], np.float32)


class MappedVectors:
    """Vectors in a file: only what a search looks at comes into memory."""

    def __init__(self, dimension: int, file: VectorFile) -> None:
        """Take a file; what is in it already is found at its slots."""
        self._dimension, self._file, self._size = dimension, file, 0

    @property
    def size(self) -> int:
        """One more than the highest slot written."""
        return self._size

    def reserve(self, size: int) -> None:
        """Do nothing: the file grows as it is written."""

    def put(self, slots: Slots, vectors: Floats32) -> None:
        """Write vectors to the file."""
        if len(slots):
            self._size = max(self._size, int(slots.max()) + 1)
            self._file.write(_file_rows(slots), vectors)

    def take(self, slots: Slots) -> Floats32:
        """Read vectors from the file."""
        if len(slots) == 0:
            return np.zeros((0, self._dimension), np.float32)
        return np.asarray(self._file.take(_file_rows(slots)))

    def span(self, begin: int, end: int) -> Floats32:
        """Read a range from the file."""
        return self.take(np.arange(begin, min(end, self._size)))

    def arrays(self, size: int) -> Mapping[str, npt.NDArray[Any]]:
        """Return how far the file reaches: it is its own copy."""
        return {"mapped": np.array([size])}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Find what is in the file."""
        self._size = int(arrays["mapped"][0])


def _file_rows(slots: Slots) -> Rows:
    return slots.astype(np.int64)
