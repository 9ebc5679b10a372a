"""A posterior over causal graphs that follows the network, one period at a time.

``observed`` adds a period to forgetting statistics and watches every mechanism for drift;
``refreshed`` renews the posterior, starting from where the search for the last one ended. The
state is a value: whoever keeps an earlier one can go on from there. Chance comes from the
seed and the number of periods, so a restored state goes on exactly as the original. What is
expected of a period, by which drift is found, follows the statistics along a probable graph
of the last refresh, so periods without a refresh are watched as well.

What is done anew in a refresh, and why: score tables and draws always, since every score
changes with every period and they are what the answer rests on; of the search, relocations
from the best orders of before (6 for 50 variables, 2 to 10 for others) and from random ones
(2 for 50 variables, none above 100, where each would take longer than all the rest);
candidate parents from the graphs so found and from all edges drawn the last time. After a
drift, and the first time, the search is that of ``discover``. The draws are all new: 2 chains
of 125 graphs, fewer above 50 variables, and ``Posterior.convergence`` says how many
independent graphs they are worth.

What is forgotten: each period reduces the weight of those before by 2^(-1 / half-life). When
a drift is found, everything before counts as much as ``restart_periods`` periods, and no
less than what a posterior needs; levels of cells likewise. For ``settle_periods`` nothing is
watched then, since new mechanisms are being learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.causal.convergence import Convergence
from cellhive.causal.graph import Constraints, Knowledge, constraints_of
from cellhive.causal.live.drift import (
    Drift,
    Watch,
    empty_watch,
    measures_of,
    mechanism_of,
    rewatched,
    threshold,
    watched,
)
from cellhive.causal.live.running import Running, advanced, empty_running
from cellhive.causal.live.snapshots import packed, unpacked
from cellhive.causal.live.soundness import (
    refuse_shape,
    refuse_unsound,
    refuse_unsound_constraints,
    refuse_unsound_statistics,
    refuse_unsound_trail,
)
from cellhive.causal.posterior import Posterior, Settings, Trail, explored
from cellhive.causal.scores import Prior
from cellhive.causal.statistics import Statistics
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats

_RANDOM_STARTS = 100
_GRAPHS = 6250
_FIRST_PAUSE = 10


@dataclass(frozen=True)
class Pace:
    """How fast to forget, how hard to look, and when to cry drift."""

    half_life_periods: float = 96.0
    """Periods after which a sample counts half."""
    within_cells: bool = True
    """Whether each cell deviates from its own level, so that lasting differences between cells
    make no edges."""
    settings: Settings | None = None
    """Of a refresh; None, and ``starts`` None in it: as said above."""
    false_alarm_periods: float = 2000.0
    """Mean number of periods until a drift is found without cause, in any variable."""
    restart_periods: float = 2.0
    """Periods that all before a drift is worth once it is found."""
    settle_periods: int = 10
    """Periods after a drift in which none is looked for."""


@dataclass(frozen=True)
class Live:
    """What is known after a period."""

    pace: Pace
    constraints: Constraints
    seed: int
    periods: int
    """Periods observed."""
    running: Running
    watch: Watch
    drifts: tuple[Drift, ...] = ()
    """Mechanisms that the latest period showed to have changed, the clearest first."""
    cold: bool = True
    """Whether the next refresh must search from nothing."""
    posterior: Posterior | None = None
    """As of the last refresh; None before the first."""
    trail: Trail | None = None
    refreshed_at: int = 0
    """Periods observed when the posterior was renewed."""

    @property
    def statistics(self) -> Statistics:
        """Statistics up to now."""
        return self.running.statistics

    def __str__(self) -> str:
        """Say it in a line."""
        weight = f"period {self.periods}, worth {self.statistics.weight:.0f} samples"
        if self.posterior is None:
            return f"{weight}; no posterior yet"
        drawn, behind = len(self.posterior.chosen), self.periods - self.refreshed_at
        late = f", {behind} periods old" if behind else ""
        found = "; drift of " + "; ".join(str(drift) for drift in self.drifts)
        return (
            f"{weight}; {drawn} graphs{late}, {self.posterior.convergence}"
            f"{found if self.drifts else ''}"
        )


def begun(
    names: Sequence[str],
    cells: int,
    *,
    lags: int = 0,
    knowledge: Knowledge | None = None,
    seed: int = 0,
    pace: Pace | None = None,
) -> Live:
    """Return the state before any period.

    Args:
        names: Of the variables.
        cells: Number of cells; their order is the same in every period.
        lags: Earlier periods that may hold causes, 0 to 3.
        knowledge: What is known beforehand.
        seed: Of all chance, from 0.
        pace: How fast to forget and how hard to look.
    """
    wanted = pace or Pace()
    if not wanted.half_life_periods > 0.0:
        found = f"{wanted.half_life_periods:g}"
        raise BadInput(expected="a half-life of more than 0 periods", found=found)
    if seed < 0:
        raise BadInput(expected="a seed of 0 or more", found=str(seed))
    running = empty_running(names, cells, lags=lags, within_cells=wanted.within_cells)
    known = constraints_of(knowledge or Knowledge(), names, lags)
    watch = empty_watch(len(names), len(known.allowed), pause=_FIRST_PAUSE)
    return Live(wanted, known, seed, 0, running, watch)


def observed(live: Live, values: Floats) -> Live:
    """Return the state after a period, its posterior as it was.

    Args:
        live: Before the period.
        values: Of the period [unit of the variable], NaN where missing, (C, V). A period of
            which nothing came is all NaN.
    """
    keep = 0.5 ** (1.0 / live.pace.half_life_periods)
    running, deviations = advanced(live.running, values, keep=keep)
    after = replace(live, running=running, periods=live.periods + 1, drifts=())
    if live.posterior is None or not len(deviations.values):
        return after
    names = live.statistics.names
    expected = mechanism_of(live.statistics, live.watch.joined)
    measures = measures_of(deviations.values, deviations.seen, expected)
    alarm = threshold(len(names), live.pace.false_alarm_periods)
    watch, drifts = watched(
        live.watch, measures, names, alarm, pause=live.pace.settle_periods
    )  # fmt: skip
    if not drifts:
        return replace(after, watch=watch)
    kept = live.running.forgotten(_kept_after_drift(live))
    again, _ = advanced(kept, values, keep=keep)
    return replace(after, running=again, watch=watch, drifts=drifts, cold=True)


def _kept_after_drift(live: Live) -> float:
    """Return the share of all weight that is left when a mechanism has changed."""
    weight, columns = live.statistics.weight, live.statistics.columns
    wanted = max(live.pace.restart_periods * live.running.cells, 3.0 * columns + 15.0)
    return min(1.0, wanted / max(weight, 1e-300))


def refreshed(live: Live) -> Live:
    """Return the state with a posterior of all that was observed.

    Args:
        live: After some periods.

    Raises:
        BadInput: If data cannot tell causes apart: too few, or variables that do not vary or
            follow from others. The state stays usable, and the next period may mend it.
    """
    settings = live.pace.settings or _quick(live.statistics.variables)
    trail = None if live.cold else live.trail
    if trail is not None and settings.starts is None:
        random_starts = min(_RANDOM_STARTS // live.statistics.variables, 5)
        settings = replace(settings, starts=random_starts)
    generator = np.random.default_rng([live.seed, live.periods])
    posterior, ended = explored(
        live.statistics, live.constraints, generator, settings=settings, trail=trail
    )
    return replace(
        live, posterior=posterior, trail=ended, cold=False, refreshed_at=live.periods,
        watch=rewatched(live.watch, posterior),
    )  # fmt: skip


def _quick(variables: int) -> Settings:
    """Return settings with which a refresh of 50 variables takes well below a second."""
    return Settings(graphs=int(np.clip(_GRAPHS // variables, 25, 125)), burn_in=0.25)


# ------------------------------------------------------------------ as bytes


def snapshot(live: Live) -> bytes:
    """Return the state as bytes, from which ``restored`` goes on exactly as from here.

    Args:
        live: After any period.
    """
    running, statistics = live.running, live.statistics
    values: dict[str, Any] = {
        "names": list(statistics.names), "lags": statistics.lags, "weight": statistics.weight,
        "within_cells": running.within_cells, "pace": asdict(live.pace), "seed": live.seed,
        "periods": live.periods, "refreshed_at": live.refreshed_at, "cold": live.cold,
        "pause": live.watch.pause, "drifts": [asdict(drift) for drift in live.drifts],
    }  # fmt: skip
    arrays = {
        "mean": statistics.mean, "scatter": statistics.scatter,
        **_arrays("running", running, ("level", "weight", "square", "recent")),
        **_arrays("known", live.constraints, ("allowed", "required", "preference", "tiers")),
        **_arrays("watch", live.watch, ("sums", "since", "mean", "square", "count", "joined")),
    }  # fmt: skip
    posterior = live.posterior
    if posterior is not None and live.trail is not None:
        seen = posterior.statistics
        values |= {
            "prior": posterior.prior.value, "convergence": asdict(posterior.convergence),
            "seen_weight": seen.weight,
        }  # fmt: skip
        arrays |= {
            "seen.mean": seen.mean, "seen.scatter": seen.scatter,
            **_arrays("posterior", posterior, ("candidates", "chosen", "log_score", "best_chosen")),
            **_arrays("trail", live.trail, ("orders", "ends", "joined")),
        }  # fmt: skip
    return packed(values, arrays)


def _arrays(head: str, value: object, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    return {f"{head}.{name}": getattr(value, name) for name in names}


def restored(data: bytes) -> Live:
    """Return the state of a snapshot.

    Args:
        data: As ``snapshot`` gave them.

    Raises:
        BadInput: If they are damaged, of another version, or no snapshot.
    """
    values, arrays = unpacked(data)
    try:
        return _restored(values, arrays)
    except (LookupError, ArithmeticError, ValueError, TypeError, AttributeError) as problem:
        raise BadInput(
            expected="a snapshot of a causal posterior", found=f"parts that do not fit: {problem}",
            remedy="restore an earlier one, or begin anew",
        ) from problem  # fmt: skip


def _restored(values: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Live:
    parts: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        head, _, rest = name.rpartition(".")
        parts.setdefault(head, {})[rest] = array
    names, lags = tuple(values["names"]), int(values["lags"])
    statistics = Statistics(names, lags, float(values["weight"]), **parts[""])
    settings = values["pace"].pop("settings")
    if settings is not None:
        prior = settings.pop("prior")
        settings |= {"betas": tuple(settings["betas"]), "prior": prior and Prior(prior)}
        settings = Settings(**settings)
    pace = Pace(settings=settings, **values["pace"])
    live = Live(
        pace, Constraints(**parts["known"]), int(values["seed"]), int(values["periods"]),
        Running(statistics, bool(values["within_cells"]), **parts["running"]),
        Watch(**parts["watch"], pause=int(values["pause"])),
        tuple(Drift(**drift) for drift in values["drifts"]), bool(values["cold"]),
        refreshed_at=int(values["refreshed_at"]),
    )  # fmt: skip
    refuse_unsound_statistics(statistics)
    size, columns = statistics.variables, statistics.columns
    refuse_unsound_constraints(live.constraints, size, columns)
    running = live.running
    kept = len(running.level)
    for name, shape in (
        ("level", (kept, columns)), ("weight", (kept, columns)), ("square", (kept, columns)),
        ("recent", (lags, running.recent.shape[1], size)),
    ):  # fmt: skip
        refuse_shape(name, getattr(running, name), shape, "f")
    if "posterior" not in parts:
        return live
    told = values["convergence"]
    posterior = Posterior(
        Statistics(names, lags, float(values["seen_weight"]), **parts["seen"]), live.constraints,
        Prior(values["prior"]), **parts["posterior"],
        convergence=Convergence(**{**told, "exchanged": tuple(told["exchanged"])}),
    )  # fmt: skip
    refuse_unsound(posterior)
    trail = Trail(**parts["trail"])
    refuse_unsound_trail(trail, size, columns)
    return replace(live, posterior=posterior, trail=trail)
