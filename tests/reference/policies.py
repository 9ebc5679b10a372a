"""The actor of a policy a second time, in plain NumPy, one cell after the other."""

from __future__ import annotations

import numpy as np

from cellhive.rl.observations import SLOT_FEATURES
from cellhive.rl.policy import FLAT, NETWORK, PolicyShape

SHAPES = (
    PolicyShape(), PolicyShape(encoder=FLAT), PolicyShape(heads=("cio_db",), neighbours=3),
    PolicyShape(heads=("electrical_tilt_deg", "tx_power_dbm"), hidden=19, message=7),
    PolicyShape(encoder=NETWORK, hidden=24),
)  # fmt: skip


def drawn(shape: PolicyShape, seed: int) -> dict[str, np.ndarray]:
    """Return tensors of an actor, large enough that tanh bends."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 0.3, size).astype(np.float32)
        for name, size in shape.actor_tensors().items()
    }


def case(shape: PolicyShape, cells: int, networks: int, seed: int = 0):
    """Return observations, neighbours and a mask under which "keep" is always possible."""
    rng = np.random.default_rng(seed)
    seen = rng.uniform(-1, 1, (networks, cells, shape.features)).astype(np.float32)
    near = rng.integers(-1, cells, (cells, shape.neighbours)).astype(np.int32)
    near[0] = -1
    mask = (rng.random((networks, cells, shape.columns, 3)) < 0.6).astype(np.int8)
    mask[..., 1] = 1
    return seen, near, shape.joined(mask)


def logits_of(shape: PolicyShape, arrays, seen, near) -> np.ndarray:
    """Return the logits, (E, A, D, 3), in float64, as ``PolicyShape.actor_tensors`` says."""
    w = {name: array.astype(np.float64) for name, array in arrays.items()}
    networks, cells, _ = seen.shape
    out = np.empty((networks, shape.deciding(cells), shape.columns, 3))
    own = shape.own_features
    for e in range(networks):
        x = seen[e].astype(np.float64)
        if shape.encoder in (FLAT, NETWORK):
            hidden = np.tanh(x @ w["own.weight"].T + w["own.bias"])
            if shape.encoder == NETWORK:
                hidden = hidden.mean(axis=0, keepdims=True)
            z = np.tanh(hidden @ w["trunk.weight"].T + w["trunk.bias"])
            out[e] = (z @ w["cell.weight"].T + w["cell.bias"]).reshape(len(z), -1, 3)
            continue
        hidden = np.tanh(x[:, :own] @ w["own.weight"].T + w["own.bias"])
        for c in range(cells):
            slots = x[c, own:].reshape(-1, len(SLOT_FEATURES))
            message = np.zeros((shape.neighbours, shape.message))
            attention = np.full(shape.neighbours, -np.inf)
            for k, n in enumerate(near[c]):
                if n >= 0:
                    known = w["next.weight"] @ hidden[n]
                    message[k] = np.tanh(w["slot.weight"] @ slots[k] + w["slot.bias"] + known)
                    attention[k] = w["attend.weight"][0] @ message[k]
            heard = np.zeros(shape.message)
            if np.isfinite(attention).any():
                share = np.exp(attention - attention.max())
                heard = (share / share.sum()) @ message
            z = np.concatenate([hidden[c], heard])
            z = np.tanh(w["trunk.weight"] @ z + w["trunk.bias"])
            parts = []
            if shape.slot_columns:
                parts += [w["towards.weight"] @ np.concatenate([z, u]) + w["towards.bias"]
                          for u in message]  # fmt: skip
            if shape.columns > shape.slot_columns:
                parts += list((w["cell.weight"] @ z + w["cell.bias"]).reshape(-1, 3))
            out[e, c] = parts
    return out
