"""Which seeds are for what: the one place where it is said, and where it is checked.

======================  ========================  ===========================================
what                    seeds                     who may see it
======================  ========================  ===========================================
cities for learning     ``Scenario.splits.train``  training; users of an episode are drawn
                        (1 to 100)                from (seed of the training, iteration)
cities for choosing     ``splits.validation``      choosing among candidates, settings of
                        (101 to 200)              searches, everything tried by hand
cities for the result   ``splits.test``            the comparison, once per arm; nothing else
                        (201 to 300)
users of a test city    the seed of the city      the comparison only
users of the same city  seed + ``FRESH``, and     searches that tune one city: the best fixed
for tuning              the seed after it         setting, Bayesian optimisation
======================  ========================  ===========================================

A city is its shadowing, its hot spots and its faults. A search that tunes one city knows
that city, as an operator knows his, but never the users it will be judged with.
"""

from __future__ import annotations

from collections.abc import Iterable

from cellhive.core.errors import BadInput
from cellhive.flows.headroom import FRESH
from cellhive.ran.scenarios import Scenario, Splits

FEWEST_SEEDS = 2
"""Fewest cities from which an interval can be had."""


def held_out(scenario: Scenario, count: int) -> tuple[int, ...]:
    """Return the first test cities of a scenario.

    Raises:
        BadInput: There are not so many, or too few for an interval.
    """
    first, last = scenario.splits.test
    if not FEWEST_SEEDS <= count <= last - first + 1:
        raise BadInput(
            place="seeds", expected=f"{FEWEST_SEEDS} to {last - first + 1} test cities",
            found=str(count),
        )  # fmt: skip
    return tuple(range(first, first + count))


def tuning_users(seed: int) -> int:
    """Return the seed of the users that a search in a city tries settings on."""
    return (seed + FRESH) % 2**32


def check_unseen(splits: Splits, learnt_from: Iterable[int]) -> None:
    """Refuse cities for learning that the result is judged by.

    Args:
        splits: Of the scenario.
        learnt_from: Seeds of the cities that something was learnt from or chosen with.

    Raises:
        BadInput: A test city is among them.
    """
    first, last = splits.test
    seen = sorted(seed for seed in set(learnt_from) if first <= seed <= last)
    if seen:
        raise BadInput(
            place="cities", expected=f"none of the test cities {first} to {last}",
            found=", ".join(map(str, seen)),
            remedy="learn from another split; what was learnt here cannot be judged any more",
        )  # fmt: skip
