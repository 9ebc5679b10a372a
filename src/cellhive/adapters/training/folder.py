"""The folder of a training: what it is, its learning curve, checkpoints that can be trusted.

A checkpoint is an ``.npz`` of plain arrays and a ``.json`` beside it with its SHA-256, which
is written last: a checkpoint without it was not finished. Nothing is ever unpickled.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.adapters.files import read_bounded, write_whole
from cellhive.core.errors import BadInput, CellHiveError, Conflict, NotFound, Unavailable

State = dict[str, npt.NDArray[np.generic]]

KEPT = 3
"""Checkpoints kept; older ones make room."""
MOST_BYTES = 512 * 2**20
"""Largest checkpoint that is read [bytes]."""
FORMAT = 1

_NAME = re.compile(r"checkpoint-(\d{6})\.json")
_MOST_ARRAYS = 10_000


@dataclass(frozen=True)
class Checkpoint:
    """A state as it was kept."""

    number: int
    """Iterations done."""
    state: State


class TrainingFolder:
    """One training on disk."""

    def __init__(self, path: Path) -> None:
        """Name the folder; ``create`` and ``open`` look at it."""
        self.path = path
        self._waiting = b""
        """Points of the curve that could not be written yet."""
        self._held = -1
        """Descriptor that the lock is on; -1 where it is not held."""

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, Any]) -> TrainingFolder:
        """Make a new folder and write what the training is.

        Raises:
            Conflict: It exists already.
            BadInput: It cannot be written.
        """
        folder = cls(path)
        try:
            folder.checkpoints.mkdir(parents=True)
        except FileExistsError as error:
            message = (
                f"{path}: expected a new training, found one; go on with it: "
                f"cellhive train resume {path}"
            )
            raise Conflict(message) from error
        except OSError as error:
            raise BadInput(
                place=str(path), expected="a folder that can be made", found=error.strerror or "?",
                remedy="choose another: --out",
            ) from error  # fmt: skip
        write_whole(folder.facts_path, _json({"format": FORMAT, **facts}))
        return folder

    @classmethod
    def open(cls, path: Path) -> TrainingFolder:
        """Return the folder of a training that was begun.

        Raises:
            NotFound: There is none.
        """
        folder = cls(path)
        if not folder.facts_path.is_file():
            message = f"{path}: expected the folder of a training, found no training.json in it"
            raise NotFound(message)
        return folder

    def hold(self) -> None:
        """Keep other trainings out of the folder until ``close``, or until this process ends.

        Two of them would write into one curve and remove each other's checkpoints.

        Raises:
            Conflict: Another training is at work in it.
        """
        self._held = os.open(self.facts_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            message = (
                f"{self.path}: expected a training that rests, found another process at work on "
                "it; wait until it ends, or stop it with Ctrl-C"
            )
            raise Conflict(message) from error
        except OSError:  # a file system without locks is no reason not to train
            self.close()

    def close(self) -> None:
        """Let other trainings in."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    @property
    def facts_path(self) -> Path:
        """Where it stands what the training is."""
        return self.path / "training.json"

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / "checkpoints"

    @property
    def curve_path(self) -> Path:
        """Where the learning curve is: a JSON object per line."""
        return self.path / "curve.jsonl"

    def facts(self) -> dict[str, Any]:
        """Return what the training is.

        Raises:
            BadInput: The file is damaged, or of another version.
        """
        facts = _object(self.facts_path)
        if facts.get("format") != FORMAT:
            raise BadInput(
                place=str(self.facts_path), expected=f"a training of format {FORMAT}",
                found=repr(facts.get("format")), remedy="use the version that wrote it",
            )  # fmt: skip
        return facts

    def note(self, name: str, value: Any) -> None:
        """Write a further file with something that the training came to."""
        self._write(self.path / f"{name}.json", _json(value))

    def noted(self, name: str) -> dict[str, Any]:
        """Return such a file; empty where there is none."""
        path = self.path / f"{name}.json"
        return _object(path) if path.exists() else {}

    # ------------------------------------------------------------------------- curve

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a point to the curve.

        Where there is no room for it, it waits for the next one; a checkpoint is not kept
        without the curve that led to it.
        """
        self._waiting += (json.dumps(row, allow_nan=False) + "\n").encode()
        with suppress(Unavailable):
            self._write_curve()

    def _write_curve(self) -> None:
        """Write the points that wait, all of them or none.

        Raises:
            Unavailable: There is no room for them.
        """
        try:
            with self.curve_path.open("ab", buffering=0) as file:
                before = file.tell()
                try:
                    if file.write(self._waiting) < len(self._waiting):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
                except OSError:
                    file.truncate(before)
                    raise
        except OSError as error:
            raise self._full(self.curve_path, len(self._waiting), error) from error
        self._waiting = b""

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file whole.

        Raises:
            Unavailable: There is no room for it, or the folder cannot be written any more.
        """
        try:
            write_whole(path, data)
        except BadInput as error:
            raise self._full(path, len(data), error.__cause__ or error) from error

    def _full(self, path: Path, size_bytes: int, error: BaseException) -> Unavailable:
        found = getattr(error, "strerror", None) or str(error)
        message = (
            f"{path}: expected room to write {size_bytes} bytes, found {found}; what was kept "
            f"before is whole: make room, then go on: cellhive train resume {self.path}"
        )
        return Unavailable(message, retry_after_s=60.0)

    def curve(self, up_to: int | None = None) -> list[dict[str, Any]]:
        """Return the points of the curve; what follows an iteration is left out, if given.

        A line that is no point is left out too, such as one cut when the training was killed.
        """
        if not self.curve_path.exists():
            return []
        rows = []
        for line in self.curve_path.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            number = row.get("number") if isinstance(row, dict) else None
            if isinstance(number, int) and (up_to is None or number <= up_to):
                rows.append(row)
        return rows

    def cut_curve(self, number: int) -> list[dict[str, Any]]:
        """Take away what follows an iteration, and return what is left."""
        rows = self.curve(number)
        self._write(
            self.curve_path, "".join(json.dumps(row) + "\n" for row in rows).encode()
        )  # fmt: skip
        return rows

    # ------------------------------------------------------------------- checkpoints

    def save(self, number: int, state: State) -> None:
        """Keep a state, whole or not at all, and let go of the oldest.

        Raises:
            Unavailable: It cannot be written, for example because the disk is full; those
                before it are kept.
        """
        self._write_curve()
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **state)
        data = buffer.getvalue()
        stem = self.checkpoints / f"checkpoint-{number:06d}"
        self._write(stem.with_suffix(".npz"), data)
        told = {"number": number, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        self._write(stem.with_suffix(".json"), _json({"format": FORMAT, **told}))
        for old in self.numbers()[:-KEPT]:
            for suffix in (".json", ".npz"):
                (self.checkpoints / f"checkpoint-{old:06d}{suffix}").unlink(missing_ok=True)

    def numbers(self) -> list[int]:
        """Return the iterations that checkpoints were kept of, oldest first."""
        found = (_NAME.fullmatch(path.name) for path in self.checkpoints.glob("*.json"))
        return sorted(int(match.group(1)) for match in found if match)

    def newest(self) -> tuple[Checkpoint, tuple[str, ...]]:
        """Return the newest checkpoint that is whole, and what was wrong with newer ones.

        Raises:
            NotFound: There is no checkpoint.
            BadInput: None is whole.
        """
        wrong: list[str] = []
        for number in reversed(self.numbers()):
            try:
                return self.read(number), tuple(wrong)
            except CellHiveError as error:
                wrong.append(str(error))
        if not wrong:
            message = f"{self.checkpoints}: expected a checkpoint, found none; begin anew"
            raise NotFound(message)
        raise BadInput(
            place=str(self.checkpoints), expected="a checkpoint that is as it was written",
            found=f"{len(wrong)} that are not: {wrong[0]}", remedy="begin anew",
        )  # fmt: skip

    def read(self, number: int) -> Checkpoint:
        """Return a checkpoint.

        Raises:
            BadInput: It is not as it was written.
        """
        stem = self.checkpoints / f"checkpoint-{number:06d}"
        told = _object(stem.with_suffix(".json"))
        path = stem.with_suffix(".npz")
        data = read_bounded(path, max_bytes=MOST_BYTES)
        if hashlib.sha256(data).hexdigest() != told.get("sha256"):
            raise BadInput(
                place=str(path), expected="the file that was written", found="another SHA-256",
                remedy="an older checkpoint is taken where there is one",
            )  # fmt: skip
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                names: Sequence[str] = arrays.files[:_MOST_ARRAYS]
                return Checkpoint(number, {name: arrays[name] for name in names})
        except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
            raise BadInput(
                place=str(path), expected="arrays of numbers", found=str(error)
            ) from error


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_bounded(path, max_bytes=2**24))
    except ValueError as error:
        raise BadInput(place=str(path), expected="JSON", found=str(error)) from error
    if not isinstance(value, dict):
        raise BadInput(place=str(path), expected="a JSON object", found=type(value).__name__)
    return value
