"""How curious a policy is, cell by cell and as time goes on.

One number for all cells and all of the training explores too much where everything is
settled, and too little where nothing is known. Here every cell has its own: high where the
values of its situations are still surprising, low where its decisions have settled, lower
where a wrong decision would be felt by many users. What may be tried at all is not decided
here but by the mask: a temperature moves chances among what the guard would let through.

Axes: ``T`` decisions, ``E`` networks, ``C`` cells.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32
from cellhive.rl.observations import KPI_FEATURES

_LEAST = 1e-9

State = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class ExplorationSettings:
    """Where to be curious."""

    low: float = 0.2
    """Smallest weight of a cell."""
    high: float = 3.0
    """Largest weight of a cell."""
    memory: float = 0.8
    """Share of what is known of a cell that stays when an iteration comes in."""
    uncertainty: float = 1.0
    """Power of a cell's surprise over that of all cells: its weight rises with it."""
    settled: float = 0.5
    """Power of a cell's entropy over that of all cells: where decisions have settled, its weight
    falls."""
    risk: float = 1.0
    """How far the weight falls where the network is loaded and failing: exp(-risk), at most."""
    half_life: float = 0.0
    """Iterations in which curiosity halves everywhere; 0 means never."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        values = np.array([getattr(self, field.name) for field in fields(self)])
        good = np.isfinite(values).all() and (values >= 0).all() and 0 < self.low <= 1 <= self.high
        if not good or self.memory >= 1:
            raise BadInput(
                place="exploration", expected="finite numbers from 0, a memory below 1, and "
                "weights with 1 between the lowest and the highest",
                found=", ".join(f"{value:g}" for value in values),
            )  # fmt: skip


def risk_of(seen: Floats32) -> Floats:
    """Return how much a wrong decision would be felt, 0 to 1, (...), from observations (..., F).

    The busier a cell, and the more of its users' links fail already, the more.
    """
    names = [feature.name for feature in KPI_FEATURES]
    load = np.clip(seen[..., names.index("prb_utilisation_ratio")], 0.0, 1.0).astype(np.float64)
    failing = np.clip(seen[..., names.index("rlf_per_ue_min")], 0.0, 1.0).astype(np.float64)
    risk: Floats = 1.0 - (1.0 - load) * (1.0 - failing)
    return risk


class Exploration:
    """What is known of the cells of one environment, and how curious to be about each."""

    def __init__(self, cells: int, settings: ExplorationSettings | None = None) -> None:
        """Begin alike everywhere."""
        self.settings = settings or ExplorationSettings()
        self._surprise, self._entropy = np.zeros(cells), np.zeros(cells)
        self._weight, self._iterations = 0.0, 0

    def learn(self, surprise: Floats, entropy: Floats) -> None:
        """Take in an iteration.

        Args:
            surprise: What came less what the critic expected: the advantages, (T, E, C).
            entropy: Of the choices of each cell [nat], (T, E, C), or (C,).

        Raises:
            BadInput: The shapes are of other cells, or a number is not finite.
        """
        cells = self._surprise.size
        for name, values in (("surprise", surprise), ("entropy", entropy)):
            if values.shape[-1] != cells or not np.isfinite(values).all():
                raise BadInput(
                    place=name, expected=f"finite numbers of {cells} cells",
                    found=f"shape {values.shape}, "
                    f"{int((~np.isfinite(values)).sum())} numbers not finite",
                )  # fmt: skip
        keep = self.settings.memory
        squared = np.square(surprise, dtype=np.float64).reshape(-1, cells).mean(axis=0)
        choice = entropy.astype(np.float64).reshape(-1, cells).mean(axis=0)
        self._surprise = keep * self._surprise + (1 - keep) * squared
        self._entropy = keep * self._entropy + (1 - keep) * choice
        self._weight = keep * self._weight + (1 - keep)
        self._iterations += 1

    def weights(self, seen: Floats32 | None = None) -> Floats32:
        """Return how curious to be, 1 in the middle, (C,), or (..., C) for observations.

        They serve as factors of the entropy's weight in the loss, or as temperatures that
        logits are divided by before a draw.

        Args:
            seen: Observations, (..., C, F), for the risk; None leaves it out.
        """
        settings = self.settings
        known: Floats = np.ones(self._surprise.shape)
        if self._weight > 0:
            surprise = np.sqrt(self._surprise / self._weight)
            known *= _relative(surprise) ** settings.uncertainty
            known *= _relative(self._entropy / self._weight) ** settings.settled
        if seen is not None:
            known = known * np.exp(-settings.risk * risk_of(seen))
        if settings.half_life > 0:
            known = known * 0.5 ** (self._iterations / settings.half_life)
        return np.clip(known, settings.low, settings.high).astype(np.float32)

    def state(self) -> State:
        """Return copies of what is known, to go on exactly."""
        numbers = np.array([self._weight, self._iterations], np.float64)
        return {
            "surprise": self._surprise.copy(), "entropy": self._entropy.copy(), "numbers": numbers
        }  # fmt: skip

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            BadInput: It is of other cells.
        """
        mine = self.state()
        for name, array in mine.items():
            found = state.get(name)
            if found is None or found.shape != array.shape or not np.isfinite(found).all():
                raise BadInput(
                    place=f"{name} of an exploration state", expected=f"shape {array.shape}",
                    found="nothing" if found is None else f"shape {found.shape}",
                )  # fmt: skip
        self._surprise = np.array(state["surprise"], np.float64)
        self._entropy = np.array(state["entropy"], np.float64)
        self._weight, self._iterations = float(state["numbers"][0]), int(state["numbers"][1])


def _relative(values: Floats) -> Floats:
    """Return values over their geometric middle: most cells are near 1, whatever the unit."""
    held = np.maximum(values, _LEAST)
    middle: Floats = held / np.exp(np.log(held).mean())
    return middle


def softened(logits: Floats32, weights: Floats32) -> Floats32:
    """Return logits that are drawn from with a temperature for each cell.

    Args:
        logits: Masked, (..., C, D, 3): what is masked out stays out at any temperature.
        weights: Temperatures above 0, (..., C).
    """
    if not ((weights > 0) & np.isfinite(weights)).all():
        raise BadInput(
            place="temperatures", expected="finite numbers above 0", found=f"{weights.min():g}"
        )
    # Divided about the largest, so that what is masked out stays as far below it.
    top = logits.max(axis=-1, keepdims=True)
    masked = logits < _MASKED
    soft = (logits - top) / weights[..., None, None]
    return np.where(masked, logits, soft).astype(np.float32)


_MASKED = -1e8
"""Logits below are those of what is masked out."""
