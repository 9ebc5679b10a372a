"""Why a policy wants what it wants: its odds, and the features that weighed most.

How much a feature weighs is found by leaving it out: it is set to its mean over the network,
and what the choice was preferred by over keeping everything as it is (the margin, a
difference of logits) is computed again. What a margin loses is what the feature gave. It
says what makes a cell differ from the others in the same period; what they have in common,
such as the time of day, does not show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Floats, Floats32, Ints, Network
from cellhive.rl.actions import KEEP
from cellhive.rl.observations import SLOT_FEATURES, UNKNOWN, Feature

Logits = Callable[[Floats32], Floats32]
"""From observations of one network (C, F) to logits (C, D, 3)."""


def influence(logits: Logits, seen: Floats32, chosen: Ints) -> Floats:
    """Return how much each feature added to the margins of some choices, (N, F).

    Args:
        logits: The policy.
        seen: Observations of one network, (C, F).
        chosen: Cell, column and option of each choice, (N, 3).
    """
    typical = _typical(seen)
    whole = _margins(logits(seen), chosen)
    found = np.zeros((len(chosen), seen.shape[1]))
    for feature, usual in enumerate(typical):
        without = seen.copy()
        without[:, feature] = usual
        found[:, feature] = whole - _margins(logits(without), chosen)
    return found


def _typical(seen: Floats32) -> Floats32:
    """Return the mean of each feature over the cells that know it, (F,)."""
    known = seen != UNKNOWN
    total = np.where(known, seen, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), UNKNOWN).astype(np.float32)


def _margins(logits: Floats32, chosen: Ints) -> Floats:
    """Return by how much choices are preferred over keeping, (N,)."""
    cell, column, option = chosen.T
    return np.asarray(logits[cell, column, option] - logits[cell, column, KEEP], np.float64)


def odds(logits: Floats32, mask: Floats | np.ndarray, choice: Sequence[int]) -> tuple[float, float]:
    """Return the probabilities of a choice and of keeping, among what may be chosen.

    Args:
        logits: (C, D, 3).
        mask: 1 where an option may be chosen, (C, D, 3).
        choice: Cell, column and option.
    """
    cell, column, option = choice
    raised = np.where(mask[cell, column] > 0, logits[cell, column].astype(np.float64), -np.inf)
    weight = np.exp(raised - raised.max())
    share = weight / weight.sum()
    return float(share[option]), float(share[KEEP])


class Wording:
    """Puts features of one network into words."""

    def __init__(self, network: Network, features: Sequence[Feature], near: Ints) -> None:
        """Take what names things.

        Args:
            network: The network.
            features: Those of a cell, then those of its slots.
            near: Cell in each slot, -1 for none, (C, K).
        """
        self._names, self._features, self._near = network.cell_ids, features, near
        self._own = len(features) - near.shape[1] * len(SLOT_FEATURES)

    def drivers(self, seen: Floats32, cell: int, gave: Floats, most: int = 3) -> str:
        """Return the features that spoke most for a choice, with their values, or "".

        Args:
            seen: Observations, (C, F).
            cell: The cell that chose.
            gave: How much each feature added to the margin, (F,).
            most: How many are named at most.
        """
        typical = _typical(seen)
        order = [int(f) for f in np.argsort(-gave)[:most] if gave[f] > 0.0]
        return ", ".join(self._feature(f, cell, seen[cell, f], typical[f]) for f in order)

    def _feature(self, place: int, cell: int, value: float, typical: float) -> str:
        feature = self._features[place]
        name = feature.name
        if place >= self._own:
            slot, which = divmod(place - self._own, len(SLOT_FEATURES))
            target = int(self._near[cell, slot])
            word = SLOT_FEATURES[which].name.removesuffix("_db").replace("_", " ")
            name = f"{word} of {self._names[target] if target >= 0 else 'no neighbour'}"
        elif name in QUANTITIES:
            name = QUANTITIES[name].label or name
        else:
            name = name.replace("_", " ")
        told, usual = _amount(feature, value), _amount(feature, typical)
        return f"{name} {told} (mean {usual})"


def _amount(feature: Feature, scaled: float) -> str:
    """Return a scaled value in the unit of its feature."""
    if scaled == UNKNOWN:
        return "not known"
    value = feature.low + float(scaled) * (feature.high - feature.low)
    beyond = {0.0: "≤ ", 1.0: "≥ "}.get(float(scaled), "") if value else ""
    unit = "" if feature.unit in ("", "ratio") else f" {feature.unit}"
    return f"{beyond}{value:.3g}{unit}"
