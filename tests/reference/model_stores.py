"""Opens the stores of models of every adapter, and makes small models to put into them."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cellhive.core.models import GateResult, Lineage, ModelManifest, ModelRole
from cellhive.core.ports import ModelStore

ROLE = ModelRole(
    "joint", "flat", ("a3_offset_db",), 1, 2, 1, ("load", "speed"), ("ratio", "m/s"),
    {"own.weight": (2, 2), "own.bias": (2,)},
)  # fmt: skip
PASSED = (GateResult("rules", True, "0.62 points better"),)
FAILED = (GateResult("rules", False, "0.1 points worse"),)


def manifest(name: str = "city", **changed: object) -> ModelManifest:
    """Return the manifest of a small model that passed its gate."""
    made = ModelManifest(
        name, (ROLE,), Lineage(("highway",), (1, 2), "0.6.0", "cellhive train", ("old:3",),
                               {"decisions": 1e6}, {"pm.csv": "ab"}),
        {"reward": -1.25}, PASSED, "a note, ä",
    )  # fmt: skip
    return replace(made, **changed)


def tensors(number: float = 1.0) -> dict[str, np.ndarray]:
    """Return tensors of ``ROLE`` that tell which they are."""
    return {
        "joint/own.weight": np.full((2, 2), number, np.float32),
        "joint/own.bias": np.array([number, -number], np.float32),
    }


@dataclass
class Ticking:
    """A wall clock that moves on a second per question."""

    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        self.now_s += 1.0
        return self.now_s


@dataclass
class ModelStores:
    """Opens stores of one adapter, and closes them at the end."""

    folder: Path
    opener: Callable[[ModelStores, str], ModelStore]
    clock: Ticking = field(default_factory=Ticking)
    opened: list[ModelStore] = field(default_factory=list)

    def open(self, store: str = "one") -> ModelStore:
        """Open a store; the same name is the same store."""
        self.opened.append(self.opener(self, store))
        return self.opened[-1]


def open_embedded(stores: ModelStores, store: str) -> ModelStore:
    """Open a store in a folder."""
    from cellhive.adapters.models.embedded import EmbeddedModels  # noqa: PLC0415

    return EmbeddedModels(stores.folder / store, now_s=stores.clock)


@cache
def mlflow_database() -> bytes:
    """Return an empty database of MLflow, which takes seconds to make."""
    from cellhive.adapters.models.mlflow import MlflowModels  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        MlflowModels(f"sqlite:///{file}", now_s=Ticking()).close()
        with sqlite3.connect(file) as database:  # where artifacts go is of that folder
            database.execute("DELETE FROM experiments WHERE name = 'cellhive-models'")
        database.close()
        return file.read_bytes()


def open_mlflow(stores: ModelStores, store: str) -> ModelStore:
    """Open a database of MLflow in a folder."""
    pytest.importorskip("mlflow", reason="needs mlflow: pip install '.[mlflow]'")
    from cellhive.adapters.models.mlflow import MlflowModels  # noqa: PLC0415

    file = stores.folder / store / "mlflow.db"
    if not file.exists():
        file.parent.mkdir()
        file.write_bytes(mlflow_database())
    return MlflowModels(f"sqlite:///{file}", now_s=stores.clock)


MODEL_STORES = {"embedded": open_embedded, "mlflow": open_mlflow}
