"""Replay: what was experienced, kept in bounded memory and drawn again for learning.

Experience comes in blocks of ``T`` steps of ``S`` streams. A stream is whatever goes on by
itself: a network, whose rows then hold all of its cells, as a central critic needs them, or
a single cell. Each stream of a block is kept as one unbroken stretch of rows, so that the
step after a row is the row after it: an observation that is at once the last of one step
and the first of the next is stored once.

The ring forgets the oldest rows first; what is left of a stretch is always its end.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Floats
from cellhive.rl.sum_tree import SumTree

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

FORMAT = 1
"""Version of the saved form."""
MOST_BYTES = 1 << 34
"""Largest replay that is made or read: 16 GiB."""

_KINDS = "biuf"
_NEXT = "next_"


@dataclass(frozen=True)
class Field:
    """One column: an array per row."""

    shape: tuple[int, ...]
    """Of a row, for example (C, F)."""
    dtype: str = "float32"
    followed: bool = False
    """Whether a block holds one step more of it, T + 1: what is seen before and after. It is
    drawn twice, the second time as "next_" and its name."""

    def __post_init__(self) -> None:
        """Refuse columns that cannot be stored or saved."""
        if any(size < 1 for size in self.shape):
            raise BadInput(place="shape", expected="sizes from 1", found=str(self.shape))
        if np.dtype(self.dtype).kind not in _KINDS:
            raise BadInput(place="dtype", expected="numbers or booleans", found=self.dtype)

    @property
    def row_bytes(self) -> int:
        """Memory of a row [bytes]."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


class Batch(NamedTuple):
    """Transitions or sequences that were drawn."""

    columns: dict[str, Array]
    """(B, ...), of sequences (B, L, ...); what is followed also as "next_" and its name, of
    sequences (B, L + 1, ...) under its own name only."""
    rows: Rows
    """Where they, or their first steps, stand: for ``set_priorities``, (B,)."""
    weights: Floats
    """What each must count so that drawing by priority biases nothing, 1 at most, (B,)."""


class Replay:
    """Transitions in columns; drawn evenly, by priority, or as sequences."""

    def __init__(
        self, fields: Mapping[str, Field], capacity: int, *, exponent: float | None = None
    ) -> None:
        """Take the memory for everything at once.

        Args:
            fields: The columns by name.
            capacity: Rows. A stretch of T steps takes T, and one more if any column is
                followed.
            exponent: How much priorities matter, 0 (not at all) to 1; None means that
                nothing is drawn by priority, which saves its memory and time. Schaul et al.
                2016, "Prioritized experience replay", use 0.6 (proportional).

        Raises:
            BadInput: There are no columns, names clash, or it would be too large.
        """
        if not fields or any(name.startswith(_NEXT) for name in fields):
            raise BadInput(
                place="columns", expected=f"at least one, none beginning with {_NEXT!r}",
                found=", ".join(fields) or "none",
            )  # fmt: skip
        if exponent is not None and not 0.0 <= exponent <= 1.0:
            raise BadInput(place="exponent", expected="0 to 1", found=f"{exponent:g}")
        size = capacity * sum(field.row_bytes for field in fields.values())
        if capacity < 2 or size > MOST_BYTES:  # noqa: PLR2004  # a step, and what is seen after it
            raise BadInput(
                place="capacity", expected=f"2 or more rows, {MOST_BYTES} bytes at most",
                found=f"{capacity} rows, {size} bytes",
            )  # fmt: skip
        self.fields, self.capacity, self.exponent = dict(fields), capacity, exponent
        self._columns = {
            name: np.zeros((capacity, *field.shape), field.dtype) for name, field in fields.items()
        }
        self._extra = int(any(field.followed for field in fields.values()))
        self._left = np.zeros(capacity, np.int32)
        self._next, self._steps = 0, 0
        self._starts: dict[int, Rows] = {}
        self._tree = None if exponent is None else SumTree(capacity)
        self._highest = 1.0

    def __len__(self) -> int:
        """Transitions that can be drawn."""
        return self._starts_of(1).size

    @property
    def added(self) -> int:
        """Transitions ever added, those forgotten since included."""
        return self._steps

    @property
    def nbytes(self) -> int:
        """Memory of the columns [bytes]; it does not grow."""
        return sum(column.nbytes for column in self._columns.values())

    def add(self, block: Mapping[str, Array]) -> None:
        """Take in a block, each of its streams as a stretch of its own.

        Args:
            block: Every column by name, (T, S, ...); one that is followed (T + 1, S, ...).

        Raises:
            BadInput: Names, shapes or types are not those of the columns, a number is not
                finite, or a stretch is longer than the replay; nothing is added then.
        """
        steps, streams, given = self._checked(block)
        length = steps + self._extra
        # Of a block that is larger than the replay only the last streams would be left.
        skip = max(0, streams - self.capacity // length)
        rows = (self._next + np.arange((streams - skip) * length)) % self.capacity
        at_once = rows[0] <= rows[-1]
        for name, column in self._columns.items():
            part = given[name].swapaxes(0, 1)[skip:]
            if at_once:
                whole = column[rows[0] : rows[-1] + 1].reshape(-1, length, *column.shape[1:])
                whole[:, : part.shape[1]] = part
            else:
                column[rows.reshape(-1, length)[:, : part.shape[1]]] = part
        left = np.tile(np.maximum(steps - np.arange(length), 0), streams - skip)
        self._left[rows] = left
        if self._tree is not None:
            # What is new is drawn as if it were the most surprising of all seen so far.
            self._tree.set(rows, np.where(left > 0, self._highest, 0.0))
        self._next = (int(rows[-1]) + 1) % self.capacity
        self._steps += steps * streams
        self._starts.clear()

    def sample(self, batch: int, rng: np.random.Generator) -> Batch:
        """Draw transitions, each as likely as any other, with replacement."""
        starts = self._starts_of(1)
        self._must_hold(starts, batch, 1)
        rows = starts[rng.integers(0, starts.size, batch)]
        return Batch(self._transitions(rows), rows, np.ones(batch))

    def sample_by_priority(
        self, batch: int, rng: np.random.Generator, correction: float = 0.4
    ) -> Batch:
        """Draw transitions in proportion to priority ** exponent.

        One is drawn from each of B equal shares of the whole (Schaul et al. 2016, appendix
        B.2.1). The weights are (N P) ** -correction over the largest of the batch.

        Args:
            batch: How many, B.
            rng: Draws.
            correction: 0 corrects nothing, 1 all of the bias.

        Raises:
            Conflict: The replay keeps no priorities, or is empty.
        """
        starts = self._starts_of(1)
        self._must_hold(starts, batch, 1)
        if self._tree is None:
            message = "expected a replay with priorities, found none; give it an exponent"
            raise Conflict(message)
        if not 0.0 <= correction <= 1.0:
            raise BadInput(place="correction", expected="0 to 1", found=f"{correction:g}")
        shares = (np.arange(batch) + rng.random(batch)) / batch
        rows, chance = self._tree.find(shares)
        weights = (starts.size * chance) ** -correction
        return Batch(self._transitions(rows), rows, weights / weights.max())

    def set_priorities(self, rows: Rows, priorities: Floats) -> None:
        """Set how surprising transitions were, for example by their temporal difference.

        Args:
            rows: ``Batch.rows``, (B,). Rows overwritten since get the priority all the same.
            priorities: Above 0, (B,); a small number keeps what holds no surprise alive.
        """
        if self._tree is None or self.exponent is None:
            message = "expected a replay with priorities, found none; give it an exponent"
            raise Conflict(message)
        values = np.asarray(priorities, np.float64)
        good = values.shape == rows.shape and np.isfinite(values).all() and (values > 0).all()
        if not good or ((rows < 0) | (rows >= self.capacity)).any():
            raise BadInput(
                place="priorities", expected=f"{rows.size} finite numbers above 0, rows that exist",
                found=f"shape {values.shape}, {values.min(initial=np.inf):g} at least",
            )  # fmt: skip
        powers = values**self.exponent
        self._tree.set(rows, np.where(self._left[rows] > 0, powers, 0.0))
        self._highest = max(self._highest, float(powers.max(initial=0.0)))

    def sequences(self, batch: int, length: int, rng: np.random.Generator) -> Batch:
        """Draw stretches of consecutive steps of one stream, each start as likely as any other.

        Args:
            batch: How many, B.
            length: Steps L. None runs past the end of its stretch.
            rng: Draws.

        Raises:
            Conflict: No stretch is as long.
        """
        starts = self._starts_of(length)
        self._must_hold(starts, batch, length)
        first = starts[rng.integers(0, starts.size, batch)]
        rows = (first[:, None] + np.arange(length + 1)) % self.capacity
        columns = {
            name: column[rows if self.fields[name].followed else rows[:, :-1]]
            for name, column in self._columns.items()
        }
        return Batch(columns, first, np.ones(batch))

    def save(self, file: IO[bytes]) -> None:
        """Write everything as an npz archive; priorities too."""
        about = {
            "format": FORMAT, "capacity": self.capacity, "exponent": self.exponent,
            "next": self._next, "steps": self._steps, "highest": self._highest,
            "fields": {name: [list(f.shape), str(np.dtype(f.dtype)), f.followed]
                       for name, f in self.fields.items()},
        }  # fmt: skip
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        arrays = {f"column {name}": column for name, column in self._columns.items()}
        if self._tree is not None:
            arrays["priorities"] = self._tree.leaves()
        np.savez(file, allow_pickle=False, about=text, left=self._left, **arrays)

    @classmethod
    def load(cls, file: IO[bytes], most_bytes: int = MOST_BYTES) -> Replay:
        """Return a replay as it was saved.

        Raises:
            BadInput: It is no such archive, is damaged or too large, or does not agree with
                itself.
        """
        try:
            return cls._loaded(file, most_bytes)
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise BadInput(
                place="saved replay", expected=f"an archive of format {FORMAT}",
                found=f"{type(error).__name__}: {error}",
            ) from error  # fmt: skip

    @classmethod
    def _loaded(cls, file: IO[bytes], most_bytes: int) -> Replay:
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > most_bytes:
                message = f"{size} bytes, more than {most_bytes}"
                raise ValueError(message)
            arrays = {
                entry.filename.removesuffix(".npy"): np.load(
                    io.BytesIO(archive.read(entry)), allow_pickle=False
                )
                for entry in archive.infolist()
            }
        about = json.loads(arrays["about"].tobytes())
        if about["format"] != FORMAT:
            message = f"format {about['format']}"
            raise ValueError(message)
        fields = {name: Field(tuple(f[0]), f[1], f[2]) for name, f in about["fields"].items()}
        if int(about["capacity"]) * sum(f.row_bytes for f in fields.values()) > most_bytes:
            message = f"{about['capacity']} rows, more than {most_bytes} bytes"
            raise ValueError(message)
        replay = cls(fields, about["capacity"], exponent=about["exponent"])
        for name, column in replay._columns.items():
            _take_over(column, arrays[f"column {name}"])
        _take_over(replay._left, arrays["left"])
        replay._next, replay._steps = int(about["next"]), int(about["steps"])
        replay._highest = float(about["highest"])
        if replay._tree is not None:
            leaves = np.zeros(replay.capacity)
            _take_over(leaves, arrays["priorities"])
            replay._tree.set(np.arange(replay.capacity), leaves)
        replay._must_agree()
        return replay

    def _must_agree(self) -> None:
        """Refuse places and lengths of stretches that no adding can have led to."""
        ahead = np.roll(self._left, -1)
        unbroken = (self._left <= 1 - self._extra) | (ahead == self._left - 1)
        whole = (self._left >= 0).all() and 0 <= self._next < self.capacity
        if not (whole and unbroken.all() and np.isfinite(self._highest) and self._highest > 0):
            message = "stretches that are broken"
            raise ValueError(message)

    def _starts_of(self, length: int) -> Rows:
        """Return the rows from which so many steps can be taken."""
        if length < 1:
            raise BadInput(place="length", expected="1 or more", found=str(length))
        if length not in self._starts:
            self._starts[length] = np.flatnonzero(self._left >= length)
        return self._starts[length]

    def _must_hold(self, starts: Rows, batch: int, length: int) -> None:
        if batch < 1:
            raise BadInput(place="batch", expected="1 or more", found=str(batch))
        if not starts.size:
            message = f"expected stretches of {length} steps, found none; add experience first"
            raise Conflict(message)

    def _transitions(self, rows: Rows) -> dict[str, Array]:
        columns = {name: column.take(rows, axis=0) for name, column in self._columns.items()}
        ahead = (rows + 1) % self.capacity
        for name, field in self.fields.items():
            if field.followed:
                columns[_NEXT + name] = self._columns[name].take(ahead, axis=0)
        return columns

    def _checked(self, block: Mapping[str, Array]) -> tuple[int, int, dict[str, Array]]:
        """Return steps, streams and columns of a block, or raise what is wrong with it."""
        if set(block) != set(self.fields):
            raise BadInput(
                place="block", expected=", ".join(sorted(self.fields)),
                found=", ".join(sorted(block)) or "nothing",
            )  # fmt: skip
        some = next(iter(self.fields))
        steps, streams = (*np.asarray(block[some]).shape, 0, 0)[:2]
        steps -= self.fields[some].followed
        if steps < 1 or streams < 1 or steps + self._extra > self.capacity:
            raise BadInput(
                place="block", expected=f"1 to {self.capacity - self._extra} steps of 1 or more",
                found=f"{steps} steps of {streams} streams",
            )  # fmt: skip
        shapes = {
            name: (steps + field.followed, streams, *field.shape)
            for name, field in self.fields.items()
        }
        return steps, streams, {
            name: _of_column(name, block[name], shape, self.fields[name].dtype)
            for name, shape in shapes.items()
        }  # fmt: skip


def _of_column(name: str, given: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """Return what is to be stored in a column, or raise what is wrong with it."""
    given = np.asarray(given)
    if given.shape != shape or not np.can_cast(given.dtype, dtype, "same_kind"):
        raise BadInput(
            place=f"column {name}", expected=f"{dtype} of shape {shape}",
            found=f"{given.dtype} of shape {given.shape}",
        )  # fmt: skip
    with np.errstate(over="ignore"):
        stored = given.astype(dtype, copy=False)
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise BadInput(
            place=f"column {name}", expected=f"finite numbers of {dtype}",
            found=f"{int((~np.isfinite(stored)).sum())} that are not",
        )  # fmt: skip
    if not np.array_equal(stored, given) and stored.dtype.kind in "iu":
        raise BadInput(
            place=f"column {name}", expected=f"numbers that fit {dtype}",
            found=f"{given.min()} to {given.max()}",
        )  # fmt: skip
    return stored


def _take_over(column: Array, given: Array) -> None:
    if given.shape != column.shape or given.dtype != column.dtype:
        message = f"{given.dtype} of shape {given.shape} for {column.dtype} of {column.shape}"
        raise ValueError(message)
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        message = "numbers that are not finite"
        raise ValueError(message)
    column[:] = given
