"""Serves a policy while it runs a network: what is promoted takes over, a candidate runs beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cellhive.app.learning.models import checked, open_models
from cellhive.app.learning.policies import (
    PREFIX,
    WITH_RULES,
    is_policy,
    load,
    model_of,
    policy_named,
    reference_of,
    resolved,
)
from cellhive.core.errors import Unavailable
from cellhive.core.models import CANDIDATE, ModelManifest, Tensors
from cellhive.core.ports import Observer
from cellhive.flows.decide import Optimizer
from cellhive.flows.policy.beside import Beside
from cellhive.flows.policy.served import Newest, PolicyTaken, ServedPolicy

if TYPE_CHECKING:
    from cellhive.flows.policy.optimizer import Model


def follows(optimizer: str) -> bool:
    """Return whether an optimiser is a policy asked for by its name alone: the one in use."""
    return is_policy(optimizer) and "@" not in optimizer


def candidate_named(policy: str, models: str) -> str:
    """Return by its version what runs beside: "NAME" is the candidate of that name.

    Raises:
        NotFound: There is no such policy.
        BadInput: It is no name of a policy, or does not fit.
    """
    plain = policy.removeprefix(PREFIX).removesuffix(WITH_RULES)
    rules = WITH_RULES if policy.endswith(WITH_RULES) else ""
    which = plain if "@" in plain else f"{plain}@{CANDIDATE}"
    return resolved(f"{PREFIX}{which}{rules}", models)


def with_candidate(deciding: Optimizer, policy: str, models: str, observer: Observer) -> Optimizer:
    """Return an optimiser with a candidate beside it, told of to an observer."""
    return Beside(deciding, policy_named(policy, models), policy.removeprefix(PREFIX), observer)


@contextmanager
def served(
    policy: str, models: str, observer: Observer, *, taken: Sequence[PolicyTaken] | None = None
) -> Iterator[Optimizer]:
    """Yield a policy that gives way to what becomes champion of its name.

    What ships does not change and is not followed.

    Args:
        policy: By its version.
        models: Store.
        observer: Is told what took over, and what could not.
        taken: What took over when the run was recorded, to do the same again; None follows
            the store.
    """
    deciding = policy_named(policy, models)
    if taken is not None:
        yield ServedPolicy(deciding, _as_recorded(taken, models), observer)
        return
    with _promoted(reference_of(policy), models) as newest:
        yield deciding if newest is None else ServedPolicy(deciding, newest, observer)


def _as_recorded(taken: Sequence[PolicyTaken], models: str) -> Newest:
    to_come = list(taken)

    def newest(now_s: float) -> Model | None:
        if not to_come or now_s < to_come[0].time_s:
            return None
        return model_of(load(to_come.pop(0).after, models))

    return newest


@contextmanager
def _promoted(reference: str, models: str) -> Iterator[Newest | None]:
    """Yield what tells what became champion; None where nothing can."""
    from cellhive.adapters.models.follow import Follower, ModelNotTaken  # noqa: PLC0415

    with open_models(models, existing=True) as there:
        manifest, store = there.manifest(reference), there.store
        if store is None or not there.is_own(manifest.name):
            yield None
            return
        found: list[Model] = []
        wrong: list[str] = []

        def take(new: ModelManifest, tensors: Tensors) -> None:
            found.append(model_of(checked(new, tensors)))

        def tell(event: object) -> None:
            if isinstance(event, ModelNotTaken):
                wrong.append(event.why)

        follower = Follower(store, manifest.name, take, version=manifest.version, observer=tell)

        def newest(_: float) -> Model | None:
            found.clear()
            wrong.clear()
            follower.look()  # here and not in a thread: a decision finds what was promoted before
            if wrong:
                raise Unavailable(wrong[-1], retry_after_s=0.0)
            return found[-1] if found else None

        yield newest
