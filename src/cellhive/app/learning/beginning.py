"""Teaches a policy before it first plays: from the rules, from memory, from recorded runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellhive.adapters.runs import load_run
from cellhive.app.memory.opening import open_memory
from cellhive.app.recall import recall_patterns
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats32
from cellhive.flows.training.beginning import MEMORY, RULES, Beginning
from cellhive.flows.training.causal_mask import known_causes, visible_features
from cellhive.flows.training.history import Remembered, demonstrate, history_of
from cellhive.flows.training.proposing import Proposer
from cellhive.ran.son import Rules
from cellhive.rl.actions import ActionSettings
from cellhive.rl.env import CellEnvironment
from cellhive.rl.experience import History

if TYPE_CHECKING:
    from cellhive.rl.learning.networks import Actor
    from cellhive.rl.learning.roles import Role
    from cellhive.rl.learning.training import Trainer

Tell = Callable[[str], None]
Teacher = tuple[str, Callable[[], Proposer]]


def taught(
    beginning: Beginning,
    role: Role,
    environments: Sequence[CellEnvironment],
    seed: int,
    tell: Tell,
) -> tuple[dict[str, Floats32], tuple[str, ...]]:
    """Return the weights of an actor that was taught, and what is to be said of it.

    Args:
        beginning: Whom it learns from, and how.
        role: What it is to decide.
        environments: Training cities, for teachers that have to be watched.
        seed: Of first weights and of all that is drawn.
        tell: Is told what takes a while.

    Raises:
        NotFound: A run or a memory does not exist.
        BadInput: What was recorded does not fit what the policy is to decide.
    """
    import torch  # noqa: PLC0415 - only who trains has it

    from cellhive.rl.learning.networks import Actor  # noqa: PLC0415

    rng = np.random.default_rng([seed, 0x6265])
    histories = _histories(beginning, role, environments, rng, tell)
    with torch.random.fork_rng(devices=[]):  # first weights must not depend on what ran before
        torch.manual_seed(seed)
        actor = Actor(role.shape)
    shown = sum(history.decisions for history in histories)
    taken = sum(history.taken for history in histories)
    left_out = sum(history.left_out for history in histories)
    said = (
        f"taught by {', '.join(_named(teacher) for teacher in beginning.teachers)}: {shown} "
        f"decisions of networks, {taken} changes taken over, {left_out} that no column expresses"
    )
    if not taken:
        raise BadInput(
            place="--learn-from", expected=f"changes of {', '.join(role.shape.heads)}",
            found=f"none in {shown} decisions",
            remedy="turn other parameters (--heads), or learn from somebody else",
        )  # fmt: skip
    tell(f"Learning from {shown} decisions ...")
    notes = [said]
    if beginning.causal_mask:
        _restrict(actor, role)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps are so small that threads would mostly wait for each other
    try:
        notes += _learn(beginning, actor, histories, rng)
    finally:
        torch.set_num_threads(threads)
    return actor.arrays(), tuple(notes)


def _learn(
    beginning: Beginning, actor: Actor, histories: Sequence[History], rng: np.random.Generator
) -> list[str]:
    """Teach an actor in place, and return what is to be said of it."""
    from cellhive.rl.learning.imitation import CloningSettings, clone  # noqa: PLC0415

    if beginning.epsilon:
        from cellhive.rl.learning.privacy import PrivacySettings, clone_privately  # noqa: PLC0415

        settings = PrivacySettings(beginning.epsilon, beginning.delta)
        spent = clone_privately(actor, histories, settings, rng)
        return [
            f"privacy spent: epsilon {spent.epsilon:.2f}, delta {spent.delta:g}; "
            f"unit {spent.unit}; noise {spent.noise:.2f}"
        ]
    if beginning.offline:
        from cellhive.rl.learning.networks import Critic  # noqa: PLC0415
        from cellhive.rl.learning.offline import OfflineSettings, learn_offline  # noqa: PLC0415

        learn_offline(actor, Critic(actor.shape), histories, OfflineSettings(), rng)
    else:
        clone(actor, histories, CloningSettings(), rng)
    return []


def _histories(
    beginning: Beginning, role: Role, environments: Sequence[CellEnvironment],
    rng: np.random.Generator, tell: Tell,
) -> list[History]:  # fmt: skip
    columns = ActionSettings(heads=role.shape.heads, neighbours=role.shape.neighbours)
    found: list[History] = []
    for name in beginning.teachers:
        if name == RULES:
            found += _watched(beginning, ("the rules", Rules), environments, rng, tell)
        elif name.startswith(MEMORY):
            with open_memory(name.removeprefix(MEMORY), existing=True) as memory:
                patterns = recall_patterns(memory, time.time()).patterns
            if not patterns:
                raise BadInput(
                    place="--learn-from", expected="a memory with patterns", found="none in it",
                    remedy="fill it: cellhive memory learn runs/*",
                )  # fmt: skip
            teacher: Teacher = ("memory", lambda kept=patterns: Remembered(kept))  # type: ignore[misc]
            found += _watched(beginning, teacher, environments, rng, tell)
        else:
            tell(f"Reading {name} ...")
            record = load_run(Path(name))
            found.append(history_of(record, actions=columns, rewards=role.rewards))
    return found


def _watched(
    beginning: Beginning, teacher: Teacher, environments: Sequence[CellEnvironment],
    rng: np.random.Generator, tell: Tell,
) -> list[History]:  # fmt: skip
    name, make = teacher
    found = []
    for environment in environments:
        for round_ in range(beginning.episodes):
            city = f"{environment.settings.scenario.name}, city {environment.settings.city_seed}"
            tell(f"Watching {name} in {city}, {round_ + 1} of {beginning.episodes} ...")
            seeds = rng.integers(2**31, 2**32, environment.networks).tolist()
            stray = beginning.strayed if beginning.offline and round_ % 2 else 0.0
            found.append(demonstrate(environment, seeds, make=make, strayed=stray, rng=rng))
    return found


def _named(teacher: str) -> str:
    return teacher if teacher == RULES or teacher.startswith(MEMORY) else Path(teacher).name


def masked(trainer: Trainer, role: Role) -> None:
    """Let a trainer's actor see only what can matter to its parameters."""
    _restrict(trainer.learner(role.name).actor, role)


def _restrict(actor: Actor, role: Role) -> None:
    from cellhive.rl.learning.restriction import restrict  # noqa: PLC0415 - needs torch

    restrict(actor, visible_features(known_causes(), role.shape.heads, role.shape.neighbours))
