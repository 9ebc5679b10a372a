"""The forward pass of a policy written out in NumPy, cell by cell, as ``PolicyShape`` states it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cellhive.core.types import Floats32, Ints
from cellhive.rl.actions import OPTIONS
from cellhive.rl.observations import SLOT_FEATURES
from cellhive.rl.policy import NEIGHBOURS, PolicyShape


def random_tensors(shape: PolicyShape, seed: int, scale: float = 0.4) -> dict[str, Floats32]:
    """Return tensors that make a policy with opinions."""
    rng = np.random.default_rng(seed)
    return {
        name: (scale * rng.standard_normal(size)).astype(np.float32)
        for name, size in shape.actor_tensors().items()
    }


def forward(
    shape: PolicyShape, tensors: dict[str, Floats32], near: Ints
) -> Callable[[Floats32], Floats32]:
    """Return what computes logits (E, C, D, 3) from observations (E, C, F)."""

    def cell_of(seen: Floats32, c: int, hidden: Floats32) -> Floats32:
        if shape.encoder != NEIGHBOURS:
            z = np.tanh(tensors["trunk.weight"] @ hidden[c] + tensors["trunk.bias"])
            return (tensors["cell.weight"] @ z + tensors["cell.bias"]).reshape(-1, OPTIONS)
        slots = seen[c, shape.own_features :].reshape(-1, len(SLOT_FEATURES))
        messages = np.zeros((len(slots), shape.message), np.float32)
        scores = np.full(len(slots), -np.inf)
        for k, other in enumerate(near[c].tolist()):
            if other >= 0:
                heard = tensors["slot.weight"] @ slots[k] + tensors["slot.bias"]
                messages[k] = np.tanh(heard + tensors["next.weight"] @ hidden[other])
                scores[k] = (tensors["attend.weight"] @ messages[k]).item()
        weight = (
            np.exp(scores - scores.max()) if np.isfinite(scores).any() else np.zeros(len(slots))
        )
        total = (weight / max(weight.sum(), 1e-30)) @ messages
        z = np.tanh(
            tensors["trunk.weight"] @ np.concatenate([hidden[c], total]) + tensors["trunk.bias"]
        )
        parts = []
        if shape.slot_columns:
            wide = np.array([np.concatenate([z, message]) for message in messages])
            parts.append(wide @ tensors["towards.weight"].T + tensors["towards.bias"])
        if shape.columns > shape.slot_columns:
            own = tensors["cell.weight"] @ z + tensors["cell.bias"]
            parts.append(own.reshape(-1, OPTIONS))
        return np.concatenate(parts)

    def logits(seen: Floats32) -> Floats32:
        own = shape.features if shape.encoder != NEIGHBOURS else shape.own_features
        hidden = np.tanh(seen[..., :own] @ tensors["own.weight"].T + tensors["own.bias"])
        networks, cells = seen.shape[:2]
        every = [[cell_of(seen[e], c, hidden[e]) for c in range(cells)] for e in range(networks)]
        return np.array(every, np.float32)

    return logits
