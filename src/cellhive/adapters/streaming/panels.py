"""Panels in a file without a name: nothing is left of it, however the process ends."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Panel

_PAGE = max(mmap.ALLOCATIONGRANULARITY, 4096)
_WIDTH = 8
"""Bytes of a value."""


class StoredPanel(Panel):
    """A panel whose values are looked at in the file, and not kept in memory.

    What ``dataclasses.replace`` makes of it keeps the values that it is given.
    """

    _held: Floats | Room

    def __init__(
        self, kpi: str, objects: tuple[str, ...], start_s: float, step_s: float,
        values: Floats | Room, unit: str = "",
    ) -> None:  # fmt: skip
        """Take what a panel is made of; values may be where they are.

        Args:
            kpi: As in ``Panel``.
            objects: As in ``Panel``.
            start_s: As in ``Panel`` [s].
            step_s: As in ``Panel`` [s].
            values: The values, or where they are.
            unit: As in ``Panel``.
        """
        of = {"kpi": kpi, "objects": objects, "start_s": start_s, "step_s": step_s, "unit": unit}
        for name, value in {**of, "_held": values}.items():
            object.__setattr__(self, name, value)  # it is frozen

    @property
    def values(self) -> Floats:
        """Values, (N, T); a view that occupies memory for as long as it is held."""
        return self._held.values() if isinstance(self._held, Room) else self._held

    @property
    def periods(self) -> int:
        """Number of periods T of the grid."""
        return int(self._held.shape[1])


class Room:
    """Space for the values of one panel, NaN until they are put there."""

    def __init__(self, store: PanelFile, offset: int, shape: tuple[int, int]) -> None:
        """Take a stretch of the file.

        Args:
            store: The file.
            offset: Where the stretch begins [bytes].
            shape: Objects and periods.
        """
        self._store, self._offset, self.shape = store, offset, shape
        self._filled = np.zeros(shape[0], dtype=np.bool_)

    def put(self, rows: list[int], first: int, values: Floats) -> None:
        """Write the values of some objects.

        Args:
            rows: Their places in the panel.
            first: Period at which the values begin.
            values: (len(rows), any number of periods that fits).
        """
        periods = self.shape[1]
        whole = np.full((len(rows), periods), np.nan)
        whole[:, first : first + values.shape[1]] = values
        at = np.asarray(rows, dtype=np.int64)
        breaks = np.flatnonzero(np.diff(at) != 1) + 1
        for stretch in np.split(np.arange(at.size), breaks):
            if stretch.size:
                place = self._offset + int(at[stretch[0]]) * periods * _WIDTH
                self._store.write(place, np.ascontiguousarray(whole[stretch]))
        self._filled[at] = True

    def panel(
        self, kpi: str, objects: tuple[str, ...], start_s: float, step_s: float, unit: str
    ) -> Panel:
        """Return what was put here as a panel."""
        empty = np.flatnonzero(~self._filled).tolist()
        for begin in range(0, len(empty), 1000):
            some = empty[begin : begin + 1000]
            self.put(some, 0, np.full((len(some), 0), np.nan))
        return StoredPanel(kpi, objects, start_s, step_s, self, unit)

    def values(self) -> Floats:
        """Return a view of the values, (N, T)."""
        return self._store.view(self._offset, self.shape)


class PanelFile:
    """A file of panels that has no name: it goes with the process."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open the file.

        Args:
            folder: Where it is; by default where the system keeps temporary files.
        """
        self._file = tempfile.TemporaryFile(dir=folder, prefix="cellhive-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._end = 0
        self._lock = threading.Lock()

    def room(self, objects: int, periods: int) -> Room:
        """Return space for a panel.

        Args:
            objects: Rows.
            periods: Columns.
        """
        with self._lock:
            offset = self._end
            size = max(objects * periods * _WIDTH, 1)
            self._end = offset + -(-size // _PAGE) * _PAGE
            os.ftruncate(self._file.fileno(), self._end)
        return Room(self, offset, (objects, periods))

    def write(self, offset: int, values: Floats) -> None:
        """Write values at a place.

        Args:
            offset: The place [bytes].
            values: What to write there.

        Raises:
            BadInput: There is no space left.
        """
        data = values.data.cast("B")
        try:
            while data.nbytes:
                written = os.pwrite(self._file.fileno(), data, offset)
                data, offset = data[written:], offset + written
        except OSError as error:
            raise BadInput(
                place=tempfile.gettempdir(), expected=f"room for {self._end >> 20} MiB of values",
                found=error.strerror or str(error),
                remedy="make room, or name another folder in TMPDIR",
            ) from error  # fmt: skip

    def view(self, offset: int, shape: tuple[int, int]) -> Floats:
        """Return values as an array over the file; its memory is free once it is let go of.

        Args:
            offset: Where they begin [bytes].
            shape: Objects and periods.
        """
        count = shape[0] * shape[1]
        if count == 0:
            return np.empty(shape)
        mapped = mmap.mmap(
            self._file.fileno(), count * _WIDTH, access=mmap.ACCESS_READ, offset=offset
        )
        return np.frombuffer(mapped, dtype=np.float64, count=count).reshape(shape)
