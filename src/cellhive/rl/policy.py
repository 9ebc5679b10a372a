"""What a policy is made of, without torch: its shape, its tensors and their meaning.

One policy serves every cell of every network: it sees the cell, the cells next to it and
the relations between them, and its weights know nothing of how many cells there are or in
which order they stand. Learning (``rl.learning``) and serving (``rl.act``) read it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.models import ModelRole
from cellhive.core.types import Floats32, Ints, Network
from cellhive.rl.actions import HEADS, OPTIONS, ActionSettings, columns_of, neighbour_slots
from cellhive.rl.observations import SLOT_FEATURES, features_of

FLAT, NEIGHBOURS, NETWORK = "flat", "neighbours", "network"
"""Encoders: all features of a cell in one row, the cell and a set of neighbours, or the mean
over all cells, so that one decision turns the same knobs of every cell alike."""

_MOST_HIDDEN = 4096
Mask = TypeVar("Mask", bound=np.generic)


@dataclass(frozen=True)
class PolicyShape:
    """Everything but the weights."""

    heads: tuple[str, ...] = HEADS
    """Parameters that the policy turns, in the order of ``actions.HEADS``."""
    neighbours: int = 4
    """Strongest neighbours a cell sees and sets its CIO towards, K."""
    hidden: int = 64
    """Width of both hidden layers, H."""
    message: int = 32
    """Width of what is known of a neighbour, M; used by the encoder of neighbours."""
    encoder: str = NEIGHBOURS

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be."""
        ActionSettings(heads=self.heads, neighbours=self.neighbours)  # refuses what is unknown
        if self.heads != tuple(head for head in HEADS if head in self.heads):
            raise BadInput(
                place="heads", expected=f"in the order of {', '.join(HEADS)}",
                found=", ".join(self.heads),
            )  # fmt: skip
        for name in ("hidden", "message"):
            if not 1 <= getattr(self, name) <= _MOST_HIDDEN:
                raise BadInput(
                    place=name, expected=f"1 to {_MOST_HIDDEN}", found=str(getattr(self, name))
                )
        if self.encoder not in (FLAT, NEIGHBOURS, NETWORK):
            raise BadInput(
                place="encoder", expected=f"{FLAT}, {NEIGHBOURS} or {NETWORK}",
                found=repr(self.encoder),
            )  # fmt: skip

    @property
    def features(self) -> int:
        """Features of an observation, F: those of the cell, then those of its K slots."""
        return self.own_features + self.neighbours * len(SLOT_FEATURES)

    @property
    def own_features(self) -> int:
        """Features of the cell itself, which come first."""
        return len(features_of(0))

    @property
    def columns(self) -> int:
        """Columns of an action, D: one per slot if the CIO is turned, then the cell's own."""
        return len(columns_of(ActionSettings(heads=self.heads, neighbours=self.neighbours)))

    @property
    def slot_columns(self) -> int:
        """Columns that are about neighbours: K or 0; they come first."""
        return self.neighbours if "cio_db" in self.heads else 0

    def deciding(self, cells: int) -> int:
        """Return how many decide in a network of some cells, A: every cell, or it as one."""
        return 1 if self.encoder == NETWORK else cells

    def joined(self, mask: npt.NDArray[Mask]) -> npt.NDArray[Mask]:
        """Return a mask of cells, (..., C, D, 3), for those who decide, (..., A, D, 3).

        Where the network decides as one it may choose what any cell may.
        """
        return mask.max(axis=-3, keepdims=True) if self.encoder == NETWORK else mask

    def actor_tensors(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor of the actor; weights are (out, in).

        Of the encoder of neighbours, for cell i with features x_i, its slots k with
        features s_ik, and the cell n(k) in the slot::

            h_i    = tanh(own x_i)                                    H
            u_ik   = tanh(slot s_ik + next h_n(k))                    M
            a_ik   = softmax over the slots that exist of (attend u_ik)
            z_i    = tanh(trunk [h_i, sum_k a_ik u_ik])               H
            logits = cell z_i;  towards slot k: towards [z_i, u_ik]   3 each

        A slot without a neighbour has no part in the sum; a cell without any sums to 0.
        The flat encoder is ``z = tanh(trunk tanh(own x))`` with all columns from ``cell``;
        that of the network has the same tensors and the mean over the cells of ``tanh(own x)``.
        """
        hidden, message, own = self.hidden, self.message, self.own_features
        cell_columns = self.columns - self.slot_columns
        if self.encoder != NEIGHBOURS:
            return {
                "own.weight": (hidden, self.features), "own.bias": (hidden,),
                "trunk.weight": (hidden, hidden), "trunk.bias": (hidden,),
                "cell.weight": (self.columns * OPTIONS, hidden),
                "cell.bias": (self.columns * OPTIONS,),
            }  # fmt: skip
        tensors: dict[str, tuple[int, ...]] = {
            "own.weight": (hidden, own), "own.bias": (hidden,),
            "slot.weight": (message, len(SLOT_FEATURES)), "slot.bias": (message,),
            "next.weight": (message, hidden),
            "attend.weight": (1, message),
            "trunk.weight": (hidden, hidden + message), "trunk.bias": (hidden,),
        }  # fmt: skip
        if cell_columns:
            tensors["cell.weight"] = (cell_columns * OPTIONS, hidden)
            tensors["cell.bias"] = (cell_columns * OPTIONS,)
        if self.slot_columns:
            tensors["towards.weight"] = (OPTIONS, hidden + message)
            tensors["towards.bias"] = (OPTIONS,)
        return tensors

    def feature_names(self) -> tuple[str, ...]:
        """Return the name of every feature in order: what a model must be given."""
        return tuple(feature.name for feature in features_of(self.neighbours))

    def feature_units(self) -> tuple[str, ...]:
        """Return the unit of every feature, in the same order."""
        return tuple(feature.unit for feature in features_of(self.neighbours))


def next_cells(network: Network, neighbours: int) -> Ints:
    """Return the cells of the strongest neighbours of each cell, (C, K), -1 for none."""
    slots = neighbour_slots(network, neighbours)
    target = np.append(network.relation_target, -1)
    return target[slots].astype(np.int32)


def check_tensors(shape: PolicyShape, arrays: dict[str, Floats32]) -> None:
    """Refuse tensors of an actor that are not those of a shape.

    Raises:
        BadInput: A tensor lacks, is unknown, has another shape or is not finite.
    """
    wanted = shape.actor_tensors()
    if set(arrays) != set(wanted):
        raise BadInput(
            place="tensors of a policy", expected=", ".join(sorted(wanted)),
            found=", ".join(sorted(arrays)),
        )  # fmt: skip
    for name, size in wanted.items():
        if arrays[name].shape != size or not np.isfinite(arrays[name]).all():
            raise BadInput(
                place=f"tensor {name}", expected=f"finite numbers of shape {size}",
                found=f"shape {arrays[name].shape}, "
                f"{int((~np.isfinite(arrays[name])).sum())} numbers not finite",
            )  # fmt: skip


def role_of(name: str, shape: PolicyShape, *, beside_rules: bool = False) -> ModelRole:
    """Return a shape as a manifest tells it, with the features it is given now."""
    return ModelRole(
        name, shape.encoder, shape.heads, shape.neighbours, shape.hidden, shape.message,
        shape.feature_names(), shape.feature_units(), shape.actor_tensors(), beside_rules,
    )  # fmt: skip


def shape_of(role: ModelRole) -> PolicyShape:
    """Return the shape that a manifest tells of; whether its features fit is another question.

    Raises:
        BadInput: There is no such shape.
    """
    return PolicyShape(role.heads, role.neighbours, role.hidden, role.message, role.encoder)
