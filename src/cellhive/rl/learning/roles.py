"""Who decides on what: roles with policies of their own, merged into one decision.

One role may turn every knob, or each function of the network has its own: mobility, load,
coverage, energy. Roles see the same cells and are paid by their own weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.types import Ints
from cellhive.rl.actions import HEADS, KEEP, ActionSettings, columns_of
from cellhive.rl.policy import PolicyShape
from cellhive.rl.rewards import RewardSettings

Moves = npt.NDArray[np.int8]
"""Options chosen, (..., C, D)."""


class Role(NamedTuple):
    """A policy and what it is paid for."""

    name: str
    shape: PolicyShape
    rewards: RewardSettings


FUNCTIONS = {
    "energy": ("asleep",),
    "coverage": ("electrical_tilt_deg", "tx_power_dbm"),
    "load": ("cio_db",),
    "mobility": (
        "cio_db", "a3_offset_db", "hysteresis_db", "time_to_trigger_s", "filter_coefficient",
    ),
}  # fmt: skip
"""Heads of each function, in the order of precedence, which is that of the rules."""

_OWN_PART = {"energy": "energy", "coverage": "coverage", "load": "capacity", "mobility": "mobility"}
SHARED = RewardSettings().neighbour_share
_OTHERS = 0.25
"""Weight of the objectives that are not a function's own: it answers for what it does to them."""


def joint_role(
    heads: Sequence[str] = HEADS, neighbours: int = 4, hidden: int = 64, shared: float = SHARED
) -> list[Role]:
    """Return one role for all knobs, paid by the whole objective.

    Args:
        heads: Parameters that may be turned.
        neighbours: Strongest neighbours a cell sees, K.
        hidden: Width of the hidden layers.
        shared: See ``RewardSettings.neighbour_share``.
    """
    ordered = tuple(head for head in HEADS if head in heads)
    shape = PolicyShape(ordered, neighbours, hidden)
    return [Role("joint", shape, RewardSettings(neighbour_share=shared))]


def function_roles(
    heads: Sequence[str] = HEADS, neighbours: int = 4, hidden: int = 64, others: float = _OTHERS
) -> list[Role]:
    """Return a role for each function that has one of these heads to turn.

    Args:
        heads: Parameters that may be turned.
        neighbours: Strongest neighbours a cell sees, K.
        hidden: Width of the hidden layers.
        others: Weight of the objectives that are not the function's own, 0 to 1.
    """
    roles = []
    for name, mine in FUNCTIONS.items():
        kept = tuple(head for head in mine if head in heads)
        if kept:
            weights = dict.fromkeys(_OWN_PART.values(), others) | {_OWN_PART[name]: 1.0}
            shape = PolicyShape(kept, neighbours, hidden)
            roles.append(Role(name, shape, RewardSettings(**weights)))
    return roles


def columns_in(role: Role, actions: ActionSettings) -> Ints:
    """Return where the columns of a role stand among those of an environment, (D,).

    Raises:
        BadInput: The environment lacks a knob of the role, sees other neighbours, or takes
            amounts instead of options.
    """
    place = {column.name: index for index, column in enumerate(columns_of(actions))}
    shape = role.shape
    wanted = columns_of(ActionSettings(heads=shape.heads, neighbours=shape.neighbours))
    lacking = sorted({c.parameter for c in wanted if c.parameter not in actions.heads})
    if lacking:
        raise BadInput(
            place=f"heads of the role {role.name}", expected=f"some of {', '.join(actions.heads)}",
            found=", ".join(lacking),
        )  # fmt: skip
    if shape.neighbours != actions.neighbours:
        raise BadInput(
            place=f"neighbours of the role {role.name}",
            expected=f"{actions.neighbours}, as in the environment", found=str(shape.neighbours),
        )  # fmt: skip
    if actions.kind != "discrete":
        raise BadInput(
            place="kind of the actions", expected="discrete: a policy chooses options",
            found=actions.kind,
        )  # fmt: skip
    return np.array([place[column.name] for column in wanted], np.int32)


def check_roles(roles: Sequence[Role]) -> None:
    """Refuse roles without distinct names, or none at all.

    Raises:
        BadInput: There is no role, or two are called alike or have names no file can hold.
    """
    names = [role.name for role in roles]
    proper = [name for name in names if name.isidentifier()]
    if not names or len(set(proper)) != len(names):
        raise BadInput(
            place="roles", expected="one or more, each with a word of its own as name",
            found=", ".join(map(repr, names)) or "none",
        )  # fmt: skip


def merged(moves: Sequence[Moves], places: Sequence[Ints], columns: int) -> npt.NDArray[np.int64]:
    """Return the decision that roles come to together, (..., C, D of the environment).

    Who asks for a change of a knob goes before who keeps it; of several that ask, the one
    listed first prevails.

    Args:
        moves: Options that each role chose, in order of precedence, (..., C, D of the role).
        places: Where its columns stand, from ``columns_in``.
        columns: Columns of the environment.
    """
    together = np.full((*moves[0].shape[:-1], columns), KEEP, np.int64)
    for chosen, place in zip(reversed(moves), reversed(places), strict=True):
        together[..., place] = np.where(chosen != KEEP, chosen, together[..., place])
    return together
