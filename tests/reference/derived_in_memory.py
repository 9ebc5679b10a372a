"""Derived files in dictionaries: what a folder does, without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.records import Rows
from cellhive.core.types import Floats32


class FloatFile:
    """Vectors by row in a dictionary: what a mapped file does."""

    def __init__(self, dimension: int) -> None:
        """Begin empty."""
        self.kept: dict[int, Floats32] = {}
        self._empty = np.zeros(dimension, np.float32)

    def write(self, rows: Rows, vectors: Floats32) -> None:
        """Keep vectors."""
        self.kept |= {int(row): vector.copy() for row, vector in zip(rows, vectors, strict=True)}

    def take(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Return vectors."""
        return np.array([self.kept.get(int(row), self._empty) for row in rows], np.float32)


class KeptFiles:
    """Derived files in a dictionary."""

    def __init__(self) -> None:
        """Begin empty."""
        self.kept: dict[str, dict[str, npt.NDArray[Any]]] = {}
        self.floats_kept: dict[str, FloatFile] = {}
        self.loaded = 0

    def load(self, name: str) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return what was saved."""
        self.loaded += name in self.kept
        return self.kept.get(name)

    def save(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep copies."""
        self.kept[name] = {key: np.array(array) for key, array in arrays.items()}

    def floats(self, name: str, dimension: int) -> FloatFile:
        """Return the vectors of a name."""
        return self.floats_kept.setdefault(name, FloatFile(dimension))
