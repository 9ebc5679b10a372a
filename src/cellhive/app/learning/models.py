"""Opens the models: those of the user, then those that come with CellHive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from cellhive.core.errors import BadInput, CellHiveError, Conflict, NotFound
from cellhive.core.models import (
    CHAMPION,
    AliasMove,
    Difference,
    ModelManifest,
    Tensors,
)
from cellhive.core.ports import ModelSource, ModelStore, Observer
from cellhive.lifecycle.registry import check_fit, differences, parse_reference

if TYPE_CHECKING:
    from cellhive.rl.act import Published
    from cellhive.rl.policy import PolicyShape

MODELS = "models"
"""Folder of models, beside the folder of runs and the memory."""
MLFLOW = "mlflow:"
"""What a store begins with that is one of MLflow's, ``mlflow:URI``; any other is a folder."""
_SHIPPED = "shipped"


@dataclass(frozen=True)
class ModelRow:
    """One version, as a list shows it."""

    name: str
    version: int
    aliases: tuple[str, ...]
    roles: tuple[str, ...]
    scenarios: tuple[str, ...]
    created_s: float
    """Seconds since the epoch."""
    metrics: Mapping[str, float]
    gates_passed: bool | None
    """None where it was put to no gate."""
    ships: bool
    """Whether it comes with CellHive, and cannot be changed."""


@dataclass(frozen=True)
class LoadedModel:
    """A version that fits what there is to see and to turn now."""

    manifest: ModelManifest
    shapes: Mapping[str, PolicyShape]
    """By role."""
    tensors: Tensors


class Models:
    """The models of the user, where there are any, and those that come with CellHive."""

    def __init__(self, store: ModelStore | None, shipped: ModelSource) -> None:
        """Look into the user's store first; None where there is none."""
        self.store, self.shipped = store, shipped

    def rows(self, name: str = "", unreadable: list[CellHiveError] | None = None) -> list[ModelRow]:
        """Return every version, the user's first, by name and version; or those of one name.

        Args:
            name: Of one model; empty for all.
            unreadable: Takes what is wrong with versions that cannot be read; without it the
                first of them is an error.

        Raises:
            NotFound: There is no model of that name.
        """
        own = self.store.models(unreadable) if self.store is not None else []
        more = [there for there in self.shipped.models(unreadable) if not self.is_own(there.name)]
        found = [self._row(manifest, ships=False) for manifest in own]
        found += [self._row(manifest, ships=True) for manifest in more]
        if name:
            self._source(name)
        return [row for row in found if name in ("", row.name)]

    def is_own(self, name: str) -> bool:
        """Whether the user's store has a model of that name."""
        return self.store is not None and name in self.store.names()

    def manifest(self, reference: str) -> ModelManifest:
        """Return the manifest of "NAME", "NAME:VERSION" or "NAME:ALIAS"."""
        name, which = parse_reference(reference)
        return self._source(name).manifest(name, which)

    def load(self, reference: str) -> LoadedModel:
        """Return a model that can decide.

        Raises:
            NotFound: There is no such model, with those there are.
            BadInput: A file is damaged, or the model was trained for other features or heads.
        """
        name, which = parse_reference(reference)
        source = self._source(name)
        try:
            found = source.get(name, which)
        except NotFound as error:
            here = [there.version for there in source.models([]) if there.name == name]
            if (
                source is self.store
                or not isinstance(which, int)
                or not 0 < which < min(here, default=0)
            ):
                raise
            message = (
                f"{error}; it was trained for other features than there are now: a run that "
                "names it is replayed by the version of CellHive that recorded it"
            )
            raise NotFound(message) from error
        return checked(*found)

    def add(self, manifest: ModelManifest, tensors: Tensors, *, alias: str = "") -> int:
        """Register a new version in the user's store and return its number.

        Raises:
            Conflict: A model that comes with CellHive has that name, or a gate was failed.
            BadInput: Manifest and tensors do not belong together.
        """
        store = self._own()
        if manifest.name in self.shipped.names():
            message = (
                f"expected a name that no model of CellHive has, found {manifest.name}; "
                "choose another"
            )
            raise Conflict(message)
        return store.add(manifest, tensors, alias=alias)

    def promote(
        self, reference: str, *, alias: str = CHAMPION, before: int | None = None, reason: str = ""
    ) -> AliasMove:
        """Point an alias at a version of the user's store.

        Args:
            reference: "NAME:VERSION" or "NAME:ALIAS".
            alias: Which.
            before: Refuse where the alias is not at that version (0: nowhere).
            reason: Why; needed for a champion that did not pass its gates.

        Raises:
            Conflict: The alias is elsewhere, gates were not passed, or the model ships.
            NotFound: There is no such version.
        """
        name, which = parse_reference(reference)
        if ":" not in reference:
            raise BadInput(
                place="model", expected=f"a version or an alias: {name}:3 or {name}:candidate",
                found=reference,
            )  # fmt: skip
        store = self._changeable(name)
        version = store.manifest(name, which).version
        return store.set_alias(name, alias, version, before=before, reason=reason)

    def remove(self, reference: str) -> None:
        """Forget a version of the user's store that no alias points at."""
        name, which = parse_reference(reference)
        store = self._changeable(name)
        store.remove(name, which if isinstance(which, int) else store.manifest(name, which).version)

    def history(self, name: str) -> list[AliasMove]:
        """Return how the aliases of a model were set, oldest first."""
        return self.store.history(name) if self.is_own(name) and self.store is not None else []

    def diff(self, one: str, other: str) -> tuple[Difference, ...]:
        """Return in what two versions differ."""
        pair = []
        for reference in (one, other):
            name, which = parse_reference(reference)
            pair.append(self._source(name).get(name, which))
        return differences(pair[0], pair[1])

    def export(self, reference: str, folder: Path) -> Path:
        """Write a version as JSON and safetensors into a folder of models; return where."""
        from cellhive.adapters.models.files import export_model  # noqa: PLC0415

        name, which = parse_reference(reference)
        source = self._source(name)
        manifest, tensors = source.get(name, which)
        aliases = {a: v for a, v in source.aliases(name).items() if v == manifest.version}
        return export_model(folder, manifest, tensors, aliases)

    def _row(self, manifest: ModelManifest, *, ships: bool) -> ModelRow:
        source: ModelSource = self.shipped if ships or self.store is None else self.store
        aliases = source.aliases(manifest.name).items()
        gates = manifest.gates
        return ModelRow(
            manifest.name, manifest.version,
            tuple(sorted(a for a, v in aliases if v == manifest.version)),
            tuple(role.name for role in manifest.roles), manifest.lineage.scenarios,
            manifest.created_s, manifest.metrics,
            all(gate.passed for gate in gates) if gates else None, ships,
        )  # fmt: skip

    def _source(self, name: str) -> ModelSource:
        if self.store is not None and self.is_own(name):
            return self.store
        if name in self.shipped.names():
            return self.shipped
        own = self.store.names() if self.store is not None else []
        known = sorted({*own, *self.shipped.names()})
        message = (
            f"expected a model out of {', '.join(known)}; found {name!r}" if known else
            f"expected a model, found none, and so no {name!r}; train one: cellhive train start"
        )  # fmt: skip
        raise NotFound(message)

    def _own(self) -> ModelStore:
        if self.store is None:
            message = "expected a folder of models, found none; name one"
            raise NotFound(message)
        return self.store

    def _changeable(self, name: str) -> ModelStore:
        if self._source(name) is not self.store:
            message = (
                f"expected a model of yours, found {name}, which comes with CellHive and is not "
                "changed; train one under another name"
            )
            raise Conflict(message)
        return self._own()


def checked(manifest: ModelManifest, tensors: Tensors) -> LoadedModel:
    """Return a model that can decide, or refuse it; see ``Models.load``."""
    from cellhive.rl.policy import role_of, shape_of  # noqa: PLC0415  # loads kernels

    shapes = {role.name: shape_of(role) for role in manifest.roles}
    check_fit(manifest, {name: role_of(name, shape) for name, shape in shapes.items()})
    return LoadedModel(manifest, shapes, tensors)


def publish(model: LoadedModel) -> Published:
    """Return the weights of a model as decisions take them."""
    from cellhive.rl.act import Published  # noqa: PLC0415  # loads kernels

    return Published(model.shapes, model.tensors, model.manifest.reference)


@contextmanager
def open_models(where: str | Path = MODELS, *, existing: bool = False) -> Iterator[Models]:
    """Open the models, and close them in the end.

    Args:
        where: The user's: a folder, or ``mlflow:URI``; made where it does not exist.
        existing: Make none: where there is none there are only those that ship.

    Raises:
        BadInput: The folder is none for models, or MLflow is not installed.
        Unavailable: There is no room on the disk, or a server does not answer.
    """
    from cellhive.adapters.models.files import FolderModels  # noqa: PLC0415

    shipped = resources.files("cellhive.adapters.models") / _SHIPPED
    with resources.as_file(shipped) as folder:
        store = _store(str(where), existing=existing)
        try:
            yield Models(store, FolderModels(folder))
        finally:
            if store is not None:
                store.close()


def _store(where: str, *, existing: bool) -> ModelStore | None:
    """Return the user's store, or None where there is none and none is to be made."""
    from cellhive.adapters.models.embedded import BOOKS, EmbeddedModels  # noqa: PLC0415

    if where.startswith(MLFLOW):
        from cellhive.adapters.models.mlflow import MlflowModels, database_file  # noqa: PLC0415

        uri = where.removeprefix(MLFLOW)
        file = database_file(uri)
        if existing and file is not None and not file.exists():
            return None
        return MlflowModels(uri, now_s=time.time)
    if existing and not (Path(where) / BOOKS).exists():
        return None
    return EmbeddedModels(Path(where), now_s=time.time)


def check_models(where: str) -> None:
    """Refuse, before hours go by, a store that nothing could be registered in.

    Raises:
        BadInput: It is no folder that can be written, or MLflow cannot be used.
        Unavailable: A server does not answer.
    """
    from cellhive.adapters.files import check_folder  # noqa: PLC0415

    if where.startswith(MLFLOW):
        with open_models(where):
            return
    check_folder(Path(where), "--models")


@contextmanager
def following(
    models: Models, model: LoadedModel, published: Published, observer: Observer | None = None
) -> Iterator[Callable[[], int]]:
    """Swap in what becomes champion of a model's name, as long as the context lasts.

    For a model that was asked for by its name alone: one that was asked for by version is not
    to change. What ships does not change and is not followed. A version of other roles or
    shapes than those in use is not taken, as the laid-out arrays are theirs.

    Yields:
        Tells the version in use.
    """
    manifest, store = model.manifest, models.store
    if store is None or not models.is_own(manifest.name):
        yield lambda: manifest.version
        return
    from cellhive.adapters.models.follow import Follower  # noqa: PLC0415

    def take(new: ModelManifest, tensors: Tensors) -> None:
        loaded = checked(new, tensors)
        if dict(loaded.shapes) != dict(published.shapes):
            raise BadInput(
                place=f"model {new.reference}", expected="roles and shapes of the one in use",
                found="others", remedy="start again to use it",
            )  # fmt: skip
        published.swap(tensors, new.reference)

    follower = Follower(store, manifest.name, take, version=manifest.version, observer=observer)
    follower.start()
    try:
        yield lambda: follower.version
    finally:
        follower.close()
