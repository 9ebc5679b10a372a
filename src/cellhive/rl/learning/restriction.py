"""Keeps a policy from looking at what cannot matter to it: weights that are 0 and stay 0.

Fewer inputs are fewer chances to mistake luck for a cause. The tensors keep their shapes,
so serving needs to know nothing of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cellhive.core.errors import BadInput
from cellhive.core.types import Bools
from cellhive.rl.learning.networks import Actor
from cellhive.rl.observations import SLOT_FEATURES
from cellhive.rl.policy import NEIGHBOURS


def restrict(actor: Actor, visible: Bools) -> None:
    """Let an actor see only some features, from now on and however it learns.

    Weights of the others become 0, and so do their gradients: an optimiser without weight
    decay that begins afterwards leaves them there. With the encoder of neighbours a slot
    feature is seen in all slots or in none.

    Args:
        actor: In place.
        visible: Of each feature, (F,).

    Raises:
        BadInput: There are other features, or slots differ.
    """
    shape = actor.shape
    if visible.shape != (shape.features,):
        raise BadInput(
            place="visible features", expected=str(shape.features), found=str(visible.size)
        )
    own, slots = visible, None
    if shape.encoder == NEIGHBOURS:
        slots = visible[shape.own_features :].reshape(-1, len(SLOT_FEATURES))
        own = visible[: shape.own_features]
        if (slots != slots[0]).any():
            raise BadInput(
                place="visible features", expected="the same in every slot",
                found="slots that differ",
            )  # fmt: skip
        _hold(actor.slot.weight, slots[0])
    _hold(actor.own.weight, own)


def _hold(weight: Tensor, seen: Bools) -> None:
    keep = torch.from_numpy(seen.astype("float32")).to(weight.device)
    with torch.no_grad():
        weight.mul_(keep)
    weight.register_hook(lambda gradient: gradient * keep)  # type: ignore[no-untyped-call]
