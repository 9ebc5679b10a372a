"""The learning curve as TensorBoard shows it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.flows.training.train import IterationDone, Row


class TensorBoard:
    """An observer of a training that writes TensorBoard's files."""

    def __init__(self, folder: Path, done: int = 0) -> None:
        """Open the files.

        Args:
            folder: Where they are.
            done: Iterations done before; what was written of later ones is hidden.

        Raises:
            BadInput: The package that writes them is not installed.
        """
        try:
            package: Any = importlib.import_module("tensorboardX")  # only who trains has it
        except ImportError as error:
            raise BadInput(
                place="--tensorboard", expected="the package tensorboardX", found="none",
                remedy="install the extra: pip install 'cellhive[train]', or --no-tensorboard",
            ) from error  # fmt: skip
        purge = done + 1 if done else None
        self._writer: Any = package.SummaryWriter(str(folder), purge_step=purge)

    def __call__(self, event: object) -> None:
        """Write a point of the curve."""
        if isinstance(event, IterationDone):
            for name, value in scalars(event.row).items():
                if np.isfinite(value):
                    self._writer.add_scalar(name, value, event.row.number)
            self._writer.flush()

    def close(self) -> None:
        """Finish the files."""
        self._writer.close()


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
