"""What a policy needs to see, and what it can move, by what is known of causes.

A head turns one parameter. It needs to see the parameter itself, what lies between the
parameter and the parts of the objective, and what else acts on these: all other features
can only mislead it. A head that moves no part of the objective need not be there at all.

The causes are those of ``causal.motifs``, which are known before any data, or those that a
causal model found: an edge is taken where its probability is not negligible. Restricting
is a bet that the graph is right; measure it (``benchmarks/rl_data.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.causal.effects import Mechanisms, effect_draws
from cellhive.causal.graph import constraints_of
from cellhive.causal.motifs import TIERS, radio_knowledge
from cellhive.causal.posterior import Posterior
from cellhive.core.errors import BadInput
from cellhive.core.types import Bools
from cellhive.ran.kpi import WEIGHTS
from cellhive.rl.actions import HEADS
from cellhive.rl.observations import CONTEXT_FEATURES, SLOT_FEATURES, features_of

_LIKELY = 0.0
"""Log odds above which an edge that is known of beforehand is taken for one."""

_QUANTITY: Mapping[str, str] = {
    "neighbour_load_mean": "prb_utilisation_ratio", "neighbour_load_max": "prb_utilisation_ratio",
    "load": "prb_utilisation_ratio", "cio_out_db": "cio_db", "cio_back_db": "cio_db",
    "successes": "MM.HoExeInterSucc.nCI", "too_late": "HO.IntraSys.TooLate.nCI",
    "too_early": "HO.IntraSys.TooEarly.nCI", "ping_pongs": "x.HoPingPong.nCI",
    "border_ue": "x.BorderUe.nCI",
}  # fmt: skip
"""Quantity of ``core.schema`` that a feature of the surroundings or of a neighbour is."""

_OF_A_CELL: Mapping[str, str] = {
    "MM.HoExeInterSucc.nCI": "MM.HoExeInterSucc", "HO.IntraSys.TooLate.nCI": "HO.IntraSys.TooLate",
    "HO.IntraSys.TooEarly.nCI": "HO.IntraSys.TooEarly", "x.HoPingPong.nCI": "x.HoPingPong",
}  # fmt: skip
"""What a counter of a relation is a part of, and so acts like."""

_ALWAYS = ("day_sine", "day_cosine")

TARGETS = (*WEIGHTS, "PEE.AvgPower")
"""Parts of the objective."""


@dataclass(frozen=True)
class Causes:
    """A graph of quantities."""

    names: tuple[str, ...]
    edges: Bools
    """[cause, effect], of any lag."""

    def descendants(self, name: str) -> frozenset[str]:
        """Return all that a quantity can move."""
        return self._reached(name, self.edges)

    def ancestors(self, name: str) -> frozenset[str]:
        """Return all that can move a quantity."""
        return self._reached(name, self.edges.T)

    def parents(self, name: str) -> frozenset[str]:
        """Return what moves a quantity directly."""
        if name not in self.names:
            return frozenset()
        column = self.edges[:, self.names.index(name)]
        return frozenset(self.names[place] for place in np.flatnonzero(column).tolist())

    def _reached(self, name: str, edges: Bools) -> frozenset[str]:
        if name not in self.names:
            return frozenset()
        reached = edges[self.names.index(name)].copy()
        while True:
            wider = reached | edges[reached].any(axis=0)
            if (wider == reached).all():
                return frozenset(self.names[place] for place in np.flatnonzero(reached).tolist())
            reached = wider


def known_causes() -> Causes:
    """Return the causes that are known before any data: the likely edges of ``causal.motifs``."""
    names = tuple(TIERS)
    knowledge = radio_knowledge(names)
    allowed = constraints_of(knowledge, names, 0).allowed
    edges = np.zeros((len(names), len(names)), np.bool_)
    index = {name: place for place, name in enumerate(names)}
    for edge, odds in knowledge.encouraged.items():
        edges[index[edge.cause], index[edge.effect]] |= odds > _LIKELY
    for edge in knowledge.required:
        edges[index[edge.cause], index[edge.effect]] = True
    return Causes(names, edges & allowed[: len(names)])


def found_causes(posterior: Posterior, least: float = 0.1) -> Causes:
    """Return the causes that a causal model did not rule out.

    About quantities that the model does not have, what is known beforehand stands.

    Args:
        posterior: Of the model, over quantities of ``core.schema``.
        least: Probability from which an edge, at any lag, is taken.
    """
    if not 0.0 < least < 1.0:
        raise BadInput(place="least", expected="a probability within 0 to 1", found=f"{least:g}")
    prior = known_causes()
    probability = posterior.edge_probability()
    lags = np.asarray(probability).reshape(-1, len(posterior.names), len(posterior.names))
    found = 1.0 - np.prod(1.0 - lags, axis=0) >= least
    edges = prior.edges.copy()
    mine = [name for name in posterior.names if name in prior.names]
    at = [prior.names.index(name) for name in mine]
    there = [posterior.names.index(name) for name in mine]
    edges[np.ix_(at, at)] = found[np.ix_(there, there)]
    np.fill_diagonal(edges, val=False)
    return Causes(prior.names, edges)


def heads_that_matter(causes: Causes, targets: Sequence[str] = TARGETS) -> tuple[str, ...]:
    """Return the heads that can move any of the targets, in the order of ``actions.HEADS``."""
    return tuple(head for head in HEADS if causes.descendants(head) & set(targets))


def heads_with_effect(
    mechanisms: Mechanisms, targets: Sequence[str] = TARGETS, *, least: float = 0.02,
    probability: float = 0.1,
) -> tuple[str, ...]:  # fmt: skip
    """Return the heads whose effect on a target is not negligible, as a causal model has it.

    A head that the model does not have stays: nothing is known against it.

    Args:
        mechanisms: Drawn models.
        targets: Parts of the objective; those that the model lacks are left out.
        least: Effect of a standard deviation of the parameter that counts [standard
            deviations of the target].
        probability: That it is larger, from which a head stays.
    """
    names = mechanisms.posterior.names
    ends = [names.index(target) for target in targets if target in names]
    if not ends:
        raise BadInput(
            place="targets", expected=f"some of {', '.join(names[:8])}, ...",
            found=", ".join(targets),
        )  # fmt: skip
    kept = []
    for head in HEADS:
        if head in names:
            draws = effect_draws(mechanisms, [head])[:, 0, 0][:, ends]
            if (np.abs(draws) > least).mean(axis=0).max() < probability:
                continue
        kept.append(head)
    return tuple(kept)


def visible_features(
    causes: Causes, heads: Sequence[str], neighbours: int, targets: Sequence[str] = TARGETS
) -> Bools:
    """Return which features a policy with these heads needs to see, (F,).

    Args:
        causes: What acts on what.
        heads: Parameters that the policy turns.
        neighbours: Slots of an observation, K.
        targets: Parts of the objective.

    Raises:
        BadInput: A head is none of ``actions.HEADS``.
    """
    unknown = [head for head in heads if head not in HEADS]
    if unknown or not heads:
        raise BadInput(
            place="heads", expected=f"some of {', '.join(HEADS)}",
            found=", ".join(unknown) or "none",
        )  # fmt: skip
    needed: set[str] = set()
    for head in heads:
        needed |= _needed(causes, head, targets)
    surroundings = {feature.name for feature in CONTEXT_FEATURES}
    surroundings |= {feature.name for feature in SLOT_FEATURES}
    seen = []
    for feature in features_of(neighbours):
        name = feature.name.split("[")[0]
        quantity = _QUANTITY.get(name, name) if name in surroundings else name
        quantities = {quantity, _OF_A_CELL.get(quantity, quantity)}
        seen.append(name in _ALWAYS or bool(quantities & needed))
    return np.array(seen, np.bool_)


def _needed(causes: Causes, head: str, targets: Sequence[str]) -> set[str]:
    """Return the head, what lies between it and the targets, and what acts on that directly."""
    moved = causes.descendants(head)
    reached = [target for target in targets if target in moved]
    leading = set(reached).union(*(causes.ancestors(target) for target in reached))
    between = set(moved) & leading
    return {head} | between | set().union(*(causes.parents(name) for name in between))
