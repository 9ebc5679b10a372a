"""Effects with intervals that hold where samples depend on each other: posteriors over resamples.

A posterior counts every sample as news. The cells of one city share their users and their
weather, a period is much like the one before, and mechanisms are a little bent: so
intervals come out too narrow by a factor that no sample size mends. Here whole blocks
(a day of a city) are drawn anew with replacement, a posterior is found for each draw, and
all their effects are put together: what differs from block to block is then in the interval
(bagged posteriors: Bühlmann 2014, "Discussion of Big Bayes Stories and BayesBag"; Huggins
and Miller 2023; whole blocks as for clustered data: Field and Welsh 2007). Blocks are small:
their sufficient statistics, so that a resample costs a few additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.causal.effects import drawn_effects, drawn_mechanisms
from cellhive.causal.graph import Knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.statistics import Statistics
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats

FEWEST_BLOCKS = 2
"""Fewest blocks of a stratum: one that is drawn alone never differs."""


@dataclass(frozen=True)
class BagSettings:
    """How many posteriors, and how hard to look for each."""

    resamples: int = 24
    graphs: Settings = field(default_factory=lambda: Settings(candidates=16, chains=1, graphs=60))
    """Short: what differs between resamples is more than what differs within one."""

    def __post_init__(self) -> None:
        """Refuse no resamples."""
        if self.resamples < 1:
            raise BadInput(expected="at least 1 resample", found=str(self.resamples))


@dataclass(frozen=True)
class BaggedEffects:
    """Effects of causes over resamples, in units of the effect per unit of the cause."""

    causes: tuple[str, ...]
    names: tuple[str, ...]
    draws: Floats
    """Total effects within a period, (resamples, models, causes, V)."""

    def mean(self) -> Floats:
        """Return the mean over everything drawn, (causes, V)."""
        average: Floats = self.draws.mean(axis=(0, 1))
        return average

    def interval(self, level: float = 0.9) -> tuple[Floats, Floats]:
        """Return the ends of the intervals, as much probability below as above, (causes, V) each.

        Args:
            level: Probability that an interval holds.
        """
        if not 0.0 < level < 1.0:
            raise BadInput(expected="a level between 0 and 1", found=f"{level:g}")
        tail = 0.5 * (1.0 - level)
        low, high = np.quantile(self.draws, [tail, 1.0 - tail], axis=(0, 1))
        return low, high


def adjusted(statistics: Statistics, held: Sequence[str]) -> Statistics:
    """Return the statistics of the other variables with some of them held, lags included.

    What is left of each variable after regression on those that are held (Frisch and Waugh
    1933; the Schur complement of the scatter). Common causes that need no explanation of
    their own are best taken out so: they then take no place among candidate parents.

    Args:
        statistics: Of all variables.
        held: Names of variables to hold.

    Raises:
        NotFound: If there is no such variable.
        BadInput: If nothing is left, or there are fewer samples than variables held.
    """
    missing = sorted(set(held) - set(statistics.names))
    if missing:
        known = ", ".join(statistics.names[:8])
        message = f"expected variables of the data ({known}, ...), found {', '.join(missing)}"
        raise NotFound(message)
    inside = np.array([name in set(held) for name in statistics.names])
    if inside.all():
        raise BadInput(expected="variables that are not held", found="none")
    columns = np.tile(inside, statistics.lags + 1)
    weight = statistics.weight - float(columns.sum())
    if weight <= 0.0:
        raise BadInput(
            expected=f"more than {int(columns.sum())} samples",
            found=f"a weight of {statistics.weight:.3g}", remedy="hold fewer variables",
        )  # fmt: skip
    scatter, rest = statistics.scatter, ~columns
    if columns.any():
        scale = np.sqrt(np.maximum(np.diag(scatter)[columns], 1e-300))
        inner = scatter[np.ix_(columns, columns)] / np.outer(scale, scale)
        cross = scatter[np.ix_(columns, rest)] / scale[:, None]
        # Held variables that do not vary, or are copies of others, say nothing more.
        left = scatter[np.ix_(rest, rest)] - cross.T @ np.linalg.pinv(inner, 1e-10) @ cross
    else:
        left = scatter.copy()
    names = tuple(name for name, out in zip(statistics.names, inside, strict=True) if not out)
    return replace(
        statistics, names=names, weight=weight, mean=statistics.mean[rest],
        scatter=0.5 * (left + left.T),
    )  # fmt: skip


def resampled(strata: Sequence[Sequence[Statistics]], generator: np.random.Generator) -> Statistics:
    """Return the statistics of as many blocks, drawn with replacement within each stratum.

    Args:
        strata: Blocks of each stratum: what differs between strata (cities that are all there
            are) is no chance, what differs between blocks of one (days) is.
        generator: Where chance comes from.
    """
    few = [len(blocks) for blocks in strata if len(blocks) < FEWEST_BLOCKS]
    if few or not strata:
        raise BadInput(
            expected=f"at least {FEWEST_BLOCKS} blocks in every stratum",
            found=str(min(few, default=0)), remedy="collect more days, or cut them in halves",
        )  # fmt: skip
    total: Statistics | None = None
    for blocks in strata:
        for which in generator.integers(0, len(blocks), len(blocks)):
            total = blocks[which] if total is None else total.merged(blocks[which])
    assert total is not None  # noqa: S101  # there is a stratum with a block
    return total


def bagged_effects(
    strata: Sequence[Sequence[Statistics]],
    causes: Sequence[str],
    generator: np.random.Generator,
    *,
    knowledge: Knowledge | None = None,
    held: Sequence[str] = (),
    settings: BagSettings | None = None,
) -> BaggedEffects:
    """Return the total effects within a period of causes on all variables.

    Args:
        strata: Blocks of each stratum, see ``resampled``.
        causes: Variables that are set.
        generator: Where chance comes from: the same state gives the same effects.
        knowledge: What is known of the variables that are not held.
        held: Common causes to hold, see ``adjusted``.
        settings: How many resamples, and how hard to look in each.
    """
    asked = settings or BagSettings()
    draws: list[Floats] = []
    names: tuple[str, ...] = ()
    for _ in range(asked.resamples):
        statistics = adjusted(resampled(strata, generator), held)
        posterior = discover(statistics, generator, knowledge=knowledge, settings=asked.graphs)
        mechanisms = drawn_mechanisms(posterior, generator)
        effects = [drawn_effects(mechanisms, cause)[:, 0] for cause in causes]
        draws.append(np.stack(effects, axis=1))
        names = statistics.names
    return BaggedEffects(tuple(causes), names, np.stack(draws))
