"""A candidate beside whoever runs a network: asked the same, compared, never applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from cellhive.core.ports import Observer
from cellhive.core.types import Change, KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.flows.decide import Optimizer

MOST_TOLD = 50
"""Differing changes of a period that are told one by one; all are counted."""


@dataclass(frozen=True)
class Agreement:
    """How many changes of one parameter two wanted."""

    parameter: str
    same: int = 0
    """Both, in the same direction."""
    opposite: int = 0
    """Both, one up and the other down."""
    only_deciding: int = 0
    """Only the one that decides."""
    only_candidate: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        """Return the sum over two periods."""
        return Agreement(
            self.parameter, self.same + other.same, self.opposite + other.opposite,
            self.only_deciding + other.only_deciding, self.only_candidate + other.only_candidate,
        )  # fmt: skip


@dataclass(frozen=True)
class Differing:
    """One value that the two want to be different."""

    object_id: str
    parameter: str
    before: float
    deciding: float
    """What it is set to by the one that decides; ``before`` where that one keeps it."""
    candidate: float
    reason: str
    """Why the candidate would; empty where it would keep the value."""


@dataclass(frozen=True)
class CandidateCompared:
    """What the candidate would have done in a period, beside what was proposed."""

    time_s: float
    candidate: str
    """"NAME@VERSION"."""
    agreements: tuple[Agreement, ...]
    """By parameter; those that nobody wanted to change are left out."""
    differing: tuple[Differing, ...]
    """At most ``MOST_TOLD``, the candidate's own first."""
    failed: str = ""
    """Why the candidate gave no answer; empty where it gave one."""


class Beside:
    """Proposes what one optimiser does, and tells what the candidate would have proposed.

    Both are shown the same network and told the same outcomes, so that the candidate knows
    what was done and undone, as it would if it were in use.
    """

    def __init__(
        self, deciding: Optimizer, candidate: Optimizer, name: str, observer: Observer
    ) -> None:
        """Put a candidate beside an optimiser.

        Args:
            deciding: Its plans are returned.
            candidate: Its plans are compared.
            name: Of the candidate.
            observer: Is told ``CandidateCompared`` in every period.
        """
        self._deciding, self._candidate = deciding, candidate
        self._name, self._observer = name, observer

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return the plans of the one that decides."""
        plans = self._deciding.propose(network, parameters, frames, now_s)
        try:
            instead = self._candidate.propose(network, parameters, frames, now_s)
        except Exception as error:  # no failure of a candidate may reach the network
            told = CandidateCompared(now_s, self._name, (), (), f"{error}")
        else:
            told = CandidateCompared(now_s, self._name, *compared(plans, instead))
        self._observer(told)
        return plans

    def learn(self, outcome: Outcome) -> None:
        """Tell both what became of a plan."""
        self._deciding.learn(outcome)
        with suppress(Exception):  # it is compared, and may be wrong; it may not stop a network
            self._candidate.learn(outcome)


def compared(
    plans: Sequence[Plan], instead: Sequence[Plan]
) -> tuple[tuple[Agreement, ...], tuple[Differing, ...]]:
    """Return how far two sets of plans for the same moment agree, and where they do not."""
    ours, theirs = _wanted(plans), _wanted(instead)
    counts: dict[str, Counter[str]] = {}
    differing = []
    for place in dict.fromkeys((*theirs, *ours)):
        mine, its = ours.get(place), theirs.get(place)
        kind = _kind(mine, its)
        counts.setdefault(place[1], Counter())[kind] += 1
        if kind != "same":
            before = _before(mine, its)
            differing.append(
                Differing(
                    *place, before, mine.after if mine else before, its.after if its else before,
                    its.reason if its else "",
                )
            )  # fmt: skip
    agreements = tuple(Agreement(name, **counts[name]) for name in sorted(counts))
    return agreements, tuple(differing[:MOST_TOLD])


def _wanted(plans: Sequence[Plan]) -> dict[tuple[str, str], Change]:
    """Return changes by object and parameter; of several for one, the most urgent."""
    found: dict[tuple[str, str], Change] = {}
    for plan in plans:
        for change in plan.changes:
            found.setdefault((change.object_id, change.parameter), change)
    return found


def _kind(mine: Change | None, its: Change | None) -> str:
    if mine is None:
        return "only_candidate"
    if its is None:
        return "only_deciding"
    up = [change.after > change.before for change in (mine, its)]
    return "same" if up[0] == up[1] else "opposite"


def _before(mine: Change | None, its: Change | None) -> float:
    known = mine if mine is not None else its
    return known.before if known is not None else float("nan")
