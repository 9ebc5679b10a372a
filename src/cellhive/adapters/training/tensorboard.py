"""The learning curve as TensorBoard shows it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.flows.training.train import IterationDone, Row


class TensorBoard:
    """An observer of a training that writes TensorBoard's files."""

    def __init__(self, folder: Path, done: int = 0, *, now_s: Callable[[], float]) -> None:
        """Open the files.

        Args:
            folder: Where they are.
            done: Iterations done before; what was written of later ones is hidden.
            now_s: Wall clock [s since the epoch].

        Raises:
            BadInput: The package that writes them is not installed, or there is no room.
        """
        try:  # only who trains has it
            # Not its SummaryWriter: where the disk is full the thread of that one ends, and then
            # it waits for ever, and the training with it.
            writing: Any = importlib.import_module("tensorboardX.record_writer")
            self._proto: Any = importlib.import_module("tensorboardX.proto.event_pb2")
            self._summary: Any = importlib.import_module("tensorboardX.summary")
        except ImportError as error:
            raise BadInput(
                place="--tensorboard", expected="the package tensorboardX", found="none",
                remedy="install the extra: pip install 'cellhive[train]', or --no-tensorboard",
            ) from error  # fmt: skip
        self._now_s, self._ended = now_s, False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{now_s():.0f}.{done}"
            self._file: Any = writing.RecordWriter(str(folder / name))
            self._write(0, file_version="brain.Event:2")
            if done:
                began = self._proto.SessionLog(status=self._proto.SessionLog.START)
                self._write(done + 1, session_log=began)
            self._file.flush()
        except OSError as error:
            raise BadInput(
                place=str(folder), expected="a folder that can be written",
                found=error.strerror or str(error), remedy="make room, or --no-tensorboard",
            ) from error  # fmt: skip

    def __call__(self, event: object) -> None:
        """Write a point of the curve.

        Where there is no room for it the files end there: ``curve.jsonl`` has all of the
        curve, and a training is not to end for a picture of it.
        """
        if self._ended or not isinstance(event, IterationDone):
            return
        try:
            for name, value in scalars(event.row).items():
                if np.isfinite(value):
                    self._write(event.row.number, summary=self._summary.scalar(name, value))
            self._file.flush()
        except OSError:
            self.close()

    def _write(self, step: int, **what: Any) -> None:
        event = self._proto.Event(wall_time=self._now_s(), step=step, **what)
        self._file.write(event.SerializeToString())

    def close(self) -> None:
        """Finish the files."""
        if not self._ended:
            self._ended = True
            with suppress(OSError):
                self._file.close()


def scalars(row: Row) -> dict[str, float]:
    """Return the numbers of a point of the curve by the names that TensorBoard groups by."""
    values = {
        "reward/mean": row.reward, "reward/gain": row.gain,
        "actions/made": float(row.made), "actions/refused": float(row.refused),
        "learning/rate": row.learning_rate, "learning/decisions": float(row.decisions),
    }  # fmt: skip
    values |= {f"reward/{name}": value for name, value in row.parts.items()}
    values |= {
        f"{role}/{name}": value
        for role, losses in row.losses.items()
        for name, value in losses.items()
    }
    return values | {f"seconds/{name}": value for name, value in row.seconds.items()}
