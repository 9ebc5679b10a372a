"""Trained policies as optimisers, by the names that people give them on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellhive.app.learning.models import MODELS, open_models
from cellhive.core.errors import NotFound
from cellhive.core.models import CHAMPION
from cellhive.core.types import Mode
from cellhive.flows.decide import LoopSettings
from cellhive.flows.policy.plans import AUTHOR, BESIDE_RULES

if TYPE_CHECKING:
    from cellhive.app.learning.models import LoadedModel
    from cellhive.flows.policy.optimizer import Model, PolicyRole
    from cellhive.flows.policy.served import TakesModels

PREFIX = "rl:"
"""What the name of a policy begins with among optimisers."""
WITH_RULES = "+rules"
"""What it ends with where the rules act for the functions that the policy was not trained for."""


def is_policy(optimizer: str) -> bool:
    """Return whether an optimiser is a trained policy."""
    return optimizer.startswith(PREFIX)


def trusting(optimizer: str, mode: Mode) -> LoopSettings:
    """Return the settings of a loop that lets a policy go on where its own plans are watched."""
    if not is_policy(optimizer):
        return LoopSettings(mode=mode)
    return LoopSettings(mode=mode, may_follow=frozenset({AUTHOR}), open_to_all=BESIDE_RULES)


def reference_of(policy: str) -> str:
    """Return what the store calls "rl:NAME", "NAME@VERSION" or "NAME@ALIAS"."""
    return policy.removeprefix(PREFIX).removesuffix(WITH_RULES).replace("@", ":", 1)


def shown(reference: str) -> str:
    """Return what people write for a reference of the store."""
    return reference.replace(":", "@", 1)


def resolved(optimizer: str, models: str) -> str:
    """Return a policy by its version: a record must not depend on where an alias points later.

    Raises:
        NotFound: With the policies there are.
        BadInput: It is no name of a policy, or does not fit.
    """
    version = f"{PREFIX}{shown(load(optimizer, models).manifest.reference)}"
    return version + WITH_RULES if optimizer.endswith(WITH_RULES) else version


def load(policy: str, models: str) -> LoadedModel:
    """Return a policy as it was registered, or as it ships.

    Raises:
        NotFound: With the policies there are, and how to train one.
        BadInput: It is no name of a policy, its files are damaged, or it does not fit.
    """
    reference = reference_of(policy)
    with open_models(models, existing=True) as there:
        try:
            return there.load(reference)
        except NotFound as error:
            message = f"policy {shown(reference)}: {error} (looked in {models})"
            raise NotFound(message) from error


def model_of(loaded: LoadedModel) -> Model:
    """Return a registered model as what decides."""
    from cellhive.flows.policy.optimizer import Model, PolicyRole  # noqa: PLC0415 - kernels
    from cellhive.rl.act import by_role  # noqa: PLC0415

    parts = by_role(tuple(loaded.shapes), loaded.tensors)
    beside = {role.name: role.beside_rules for role in loaded.manifest.roles}
    roles = tuple(
        PolicyRole(name, shape, {k: np.asarray(a) for k, a in parts[name].items()}, beside[name])
        for name, shape in loaded.shapes.items()
    )
    return Model(shown(loaded.manifest.reference), roles)


def joined_roles(own: Sequence[PolicyRole], others: Sequence[PolicyRole]) -> tuple[PolicyRole, ...]:
    """Return roles together with those of another policy, which come after them.

    A role of the other policy that turns the same knobs is replaced; one that only has the same
    name gets a number behind it.
    """
    roles, turned = list(own), {(role.shape.heads, role.beside_rules) for role in own}
    for role in others:
        if (role.shape.heads, role.beside_rules) in turned:
            continue
        names, name, number = {one.name for one in roles}, role.name, 2
        while name in names:
            name, number = f"{role.name}_{number}", number + 1
        roles.append(role._replace(name=name))
    return tuple(roles)


def policy_named(optimizer: str, models: str) -> TakesModels:
    """Return a policy as a fresh optimiser, with rules where its name says so; see ``load``."""
    from cellhive.flows.policy.optimizer import PolicyOptimizer  # noqa: PLC0415 - loads kernels
    from cellhive.flows.policy.together import PolicyWithRules  # noqa: PLC0415

    model = model_of(load(optimizer, models))
    return PolicyWithRules(model) if optimizer.endswith(WITH_RULES) else PolicyOptimizer(model)


def export_as(reference: str, folder: Path, name: str, models: str) -> Path:
    """Write a policy into a folder of models; return where.

    Args:
        reference: As the store calls it.
        folder: Of models.
        name: There it is the champion of this name, as the next version: records of runs name
            those before. Empty leaves name, version and aliases as they are.
        models: Store.
    """
    from cellhive.adapters.models.files import export_model  # noqa: PLC0415
    from cellhive.lifecycle.registry import check_name  # noqa: PLC0415

    with open_models(models, existing=True) as there:
        if not name:
            return there.export(reference, folder)
        loaded = there.load(reference)
    there_are = (one.name for one in (folder / check_name(name, "--as")).glob("*"))
    before = [int(one) for one in there_are if one.isdigit()]
    manifest = replace(loaded.manifest, name=name, version=1 + max(before, default=0))
    return export_model(folder, manifest, loaded.tensors, {CHAMPION: manifest.version})


__all__ = [
    "MODELS", "PREFIX", "export_as", "is_policy", "joined_roles", "load", "model_of", "open_models",
    "policy_named", "reference_of", "resolved", "shown", "trusting",
]  # fmt: skip
