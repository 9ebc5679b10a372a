"""Trained policies by name: where they are looked for, and how they become optimisers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from cellhive.adapters.models.embedded import EmbeddedModels
from cellhive.core.errors import NotFound
from cellhive.core.models import CHAMPION, ModelManifest, Tensors
from cellhive.flows.decide import Optimizer
from cellhive.flows.policy.optimizer import Model, PolicyOptimizer, PolicyRole
from cellhive.flows.policy.plans import AUTHOR
from cellhive.lifecycle.registry import check_fit, parse_reference
from cellhive.rl.policy import role_of, shape_of

PREFIX = "rl:"
"""What the name of a policy begins with among optimisers."""

MODELS = Path("models")
"""Folder of the store of models, unless another is named."""


def open_models(folder: Path) -> EmbeddedModels:
    """Open the store of models in a folder, made where there is none."""
    return EmbeddedModels(folder, now_s=time.time)


def is_policy(optimizer: str) -> bool:
    """Return whether an optimiser is a trained policy."""
    return optimizer.startswith(PREFIX)


def trusted(optimizer: str) -> frozenset[str]:
    """Return the authors that may go on where their own plans are watched."""
    return frozenset({AUTHOR}) if is_policy(optimizer) else frozenset()


def reference(optimizer: str) -> tuple[str, int | str]:
    """Return name, and version or alias, of "rl:NAME", "rl:NAME@VERSION" or "rl:NAME@ALIAS".

    Raises:
        BadInput: It is none of these.
    """
    return parse_reference(optimizer.removeprefix(PREFIX).replace("@", ":"))


def resolved(optimizer: str, folder: Path) -> str:
    """Return a policy by its version: a record must not depend on where an alias points later.

    Raises:
        NotFound: With the policies there are.
        BadInput: It is no name of a policy.
    """
    manifest, _ = found(optimizer, folder)
    return f"{PREFIX}{manifest.name}@{manifest.version}"


def found(optimizer: str, folder: Path) -> tuple[ModelManifest, Tensors]:
    """Return a policy as it was registered.

    Raises:
        NotFound: With the policies there are.
        BadInput: It is no name of a policy, its files are damaged, or it does not fit.
    """
    name, which = reference(optimizer)
    known: list[str] = []
    if folder.is_dir():
        with closing(open_models(folder)) as store:
            names = dict.fromkeys(manifest.name for manifest in store.models())
            if name in names:
                return store.get(name, which)
            known = list(names)
    there = f"one of {', '.join(known)}" if known else "a policy that is registered"
    message = (
        f"--optimizer: expected {PREFIX} and {there}, found {name!r} (looked in {folder}); "
        f"train it: cellhive train start --name {name}"
    )
    raise NotFound(message)


def model_of(manifest: ModelManifest, tensors: Tensors) -> Model:
    """Return a registered model as what decides.

    Raises:
        BadInput: It was trained for other inputs or outputs than there are now.
    """
    shapes = {role.name: shape_of(role) for role in manifest.roles}
    check_fit(manifest, {name: role_of(name, shape) for name, shape in shapes.items()})
    roles = []
    for name, shape in shapes.items():
        first = f"{name}/"
        own = {
            key.removeprefix(first): np.asarray(array)
            for key, array in tensors.items()
            if key.startswith(first)
        }
        roles.append(PolicyRole(name, shape, own))
    which = f"@{manifest.version}" if manifest.version else ""
    return Model(f"{manifest.name}{which}", tuple(roles))


def policy_named(optimizer: str, folder: Path) -> Optimizer:
    """Return a policy as a fresh optimiser; see ``found``."""
    return PolicyOptimizer(model_of(*found(optimizer, folder)))


def listed(folder: Path) -> list[tuple[ModelManifest, Sequence[str]]]:
    """Return every registered model with its aliases; none where there is no store."""
    if not folder.is_dir():
        return []
    with closing(open_models(folder)) as store:
        models = store.models()
        aliases = {manifest.name: store.aliases(manifest.name) for manifest in models}
    return [
        (m, [alias for alias, version in aliases[m.name].items() if version == m.version])
        for m in models
    ]


__all__ = [
    "CHAMPION", "MODELS", "PREFIX", "found", "is_policy", "listed", "model_of", "open_models",
    "policy_named", "reference", "resolved", "trusted",
]  # fmt: skip
