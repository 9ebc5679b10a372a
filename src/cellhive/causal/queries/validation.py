"""Does the model hold? Predictions of what was left out, residuals, and effects that must vanish.

Three kinds of question. *Held out*: how well does a posterior from earlier periods predict
later ones, better than no causes at all, and are its intervals as wide as they say?
*Residuals*: what is left after the causes should be neither curved, nor wider here than there,
nor follow itself in time; where it is, the mechanism is not linear, or a lag is missing.
*Refuters* (after DoWhy; Sharma and Kiciman 2020): an effect has to vanish if its cause is
replaced by a shuffled one, and to stay if an irrelevant variable is added or some of the data are
left out.

Every answer carries the figure, its bound and a sentence; a model that fails says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellhive.causal.effects import Effects, Mechanisms, drawn_mechanisms, total_effects
from cellhive.causal.graph import Knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.statistics import cell_levels, checked_panel, panel_rows, statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats

_DRAWS = 60
_MOST_ROWS = 4000
_FEWEST_PERIODS = 8
_LEVEL = 0.9
_TAIL = 1.6448536269514722
"""Normal quantile of 0.95."""


@dataclass(frozen=True)
class Bounds:
    """Where a check fails. Sizes, not significance: with many samples anything is significant."""

    curved: float = 0.05
    """Share of the residual's variance that squares and products of causes explain."""
    uneven: float = 0.10
    """Share of the squared residual's variance that the fitted value explains."""
    follows: float = 0.30
    """Correlation of a residual with itself one period before, in size."""
    covered: float = 0.05
    """Distance of the share of held-out values in 90 % intervals from 0.9."""
    placebo: float = 0.25
    """Size of a shuffled cause's effect, as a share of the real one's."""
    moved: float = 1.0
    """How far the effect may move when a variable is added or data are left out, in half widths of
    its 90 % interval."""


BOUNDS = Bounds()


@dataclass(frozen=True)
class Study:
    """Data and what is asked of them: all that a posterior is made from."""

    panel: Floats
    """Values [unit of the variable], NaN where missing, (T, C, V)."""
    names: tuple[str, ...]
    lags: int = 0
    within_cells: bool = False
    knowledge: Knowledge | None = None
    settings: Settings | None = None

    def mechanisms(self, generator: np.random.Generator) -> Mechanisms:
        """Return mechanisms drawn from the posterior of these data."""
        statistics = statistics_of(
            self.panel, self.names, lags=self.lags, within_cells=self.within_cells
        )
        posterior = discover(
            statistics, generator, knowledge=self.knowledge, settings=self.settings
        )
        return drawn_mechanisms(posterior, generator)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    """For example "held out" or "placebo"."""
    about: str
    """Variable or effect."""
    value: float
    bound: float
    passed: bool
    words: str


@dataclass(frozen=True)
class Verdict:
    """What the checks came to."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether all of them passed."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that did not."""
        return tuple(check for check in self.checks if not check.passed)

    def __str__(self) -> str:
        """Say it in a sentence, then what failed."""
        count = len(self.checks)
        if self.passed:
            return f"the model passed all {count} checks"
        said = "; ".join(check.words for check in self.failed)
        return f"the model FAILED {len(self.failed)} of {count} checks: {said}"


def _dense(mechanisms: Mechanisms, draws: int) -> tuple[Floats, Floats]:
    """Return coefficients (draws, D, V) and noise (draws, V) of evenly spaced models."""
    posterior = mechanisms.posterior
    which = np.unique(np.linspace(0, len(posterior.chosen) - 1, draws).astype(int))
    size, most = posterior.candidates.shape
    dense = np.zeros((len(which), posterior.statistics.columns, size))
    for slot in range(most):
        real = np.flatnonzero(posterior.candidates[:, slot] >= 0)
        column = posterior.candidates[real, slot]
        dense[:, column, real] = mechanisms.coefficients[which][:, real, slot]
    return dense, mechanisms.noise[which]


def _standard(mechanisms: Mechanisms, rows: Floats) -> Floats:
    """Return rows on the scale of the mechanisms, those with gaps left out, thinned evenly."""
    statistics = mechanisms.posterior.statistics
    whole = rows[np.isfinite(rows).all(axis=1)]
    if not len(whole):
        raise BadInput(
            expected="at least one row without gaps", found="none",
            remedy="leave variables that are often missing out",
        )  # fmt: skip
    some = whole[np.unique(np.linspace(0, len(whole) - 1, _MOST_ROWS).astype(int))]
    scaled: Floats = (some - statistics.mean) / statistics.deviation
    return scaled


# ------------------------------------------------------------------ held out


def held_out(
    study: Study, generator: np.random.Generator, *, share: float = 0.3, bounds: Bounds = BOUNDS
) -> Verdict:
    """Return how well the earlier periods predict each variable in the later ones.

    Args:
        study: Data and question.
        generator: Where chance comes from.
        share: Periods left out, the last ones.
        bounds: Where a check fails.

    The figure is the gain in log predictive density per value over knowing only the variable's
    mean and spread, in nats; it has to be positive where the variable has causes. Values are
    predicted given their causes, over all graphs.
    """
    periods = len(study.panel)
    kept = periods - max(round(share * periods), 1 + study.lags)
    if not 0.0 < share < 1.0 or kept < _FEWEST_PERIODS:
        raise BadInput(
            expected=f"a share that leaves at least {_FEWEST_PERIODS} periods to learn from",
            found=f"{share:g} of {periods} periods", remedy="collect more periods",
        )  # fmt: skip
    values = checked_panel(study.panel, study.names, study.lags)
    if study.within_cells:  # means from what is learned from only
        values = values - cell_levels(values[:kept])
    earlier = replace(study, panel=values[:kept])
    mechanisms = earlier.mechanisms(generator)
    rows = _standard(mechanisms, panel_rows(values[kept - study.lags :], study.lags))
    dense, noise = _dense(mechanisms, _DRAWS)
    size = len(study.names)
    seen = rows[:, :size]
    log_density = np.empty((len(dense), *seen.shape))
    mean, square = np.zeros(seen.shape), np.zeros(seen.shape)
    for draw, (weights, deviation) in enumerate(zip(dense, noise, strict=True)):
        expected = rows @ weights
        log_density[draw] = -0.5 * ((seen - expected) / deviation) ** 2 - np.log(deviation)
        mean += expected / len(dense)
        square += (expected**2 + deviation**2) / len(dense)
    top = log_density.max(axis=0)
    mixed = top + np.log(np.exp(log_density - top).mean(axis=0))
    gain = (mixed + 0.5 * seen**2).mean(axis=0)
    spread = np.sqrt(np.maximum(square - mean**2, 1e-12))
    covered = (np.abs(seen - mean) <= _TAIL * spread).mean(axis=0)
    has_causes = (dense != 0.0).any(axis=1).mean(axis=0) > 0.5  # noqa: PLR2004
    checks = []
    for k, name in enumerate(study.names):
        if has_causes[k]:
            checks.append(_predicted(name, float(gain[k])))
        checks.append(_covered(name, float(covered[k]), len(rows), bounds))
    return Verdict(tuple(checks))


def _predicted(name: str, gain: float) -> Check:
    words = (
        f"later values of {name} are predicted {'better' if gain > 0 else 'no better'} from "
        f"its causes than from its mean ({gain:+.2f} nats a value)"
    )
    return Check("held out", name, gain, 0.0, gain > 0.0, words)


def _covered(name: str, share: float, rows: int, bounds: Bounds) -> Check:
    slack = bounds.covered + 3.0 * float(np.sqrt(_LEVEL * (1.0 - _LEVEL) / rows))
    words = f"{share:.0%} of the later values of {name} lie in their 90 % intervals"
    return Check(
        "intervals", name, share, slack, abs(share - _LEVEL) <= slack, words
    )  # fmt: skip


# ------------------------------------------------------------------ residuals


def residual_checks(mechanisms: Mechanisms, panel: Floats, *, bounds: Bounds = BOUNDS) -> Verdict:
    """Return what the residuals of each mechanism still hold.

    Variables without causes are not looked at: whatever moves them may go on as it likes.

    Args:
        mechanisms: Drawn models; residuals are those of their mean.
        panel: The data, as they were given to ``statistics_of`` (and centred alike), (T, C, V).
        bounds: Where a check fails.
    """
    statistics = mechanisms.posterior.statistics
    size = statistics.variables
    dense, _ = _dense(mechanisms, _DRAWS)
    weights = dense.mean(axis=0)
    values = checked_panel(panel, statistics.names, statistics.lags)
    rows = _standard(mechanisms, panel_rows(values, statistics.lags))
    fitted = rows @ weights
    left = rows[:, :size] - fitted
    probability = mechanisms.posterior.edge_probability().reshape(-1, size)
    after = _follows(mechanisms, values, weights)
    checks = []
    for k, name in enumerate(statistics.names):
        causes = np.flatnonzero(probability[:, k] > 0.5)  # noqa: PLR2004
        if len(causes):
            checks.append(_curved(name, left[:, k], rows[:, causes], bounds))
            checks.append(_uneven(name, left[:, k], fitted[:, k], bounds))
        if len(causes) and np.isfinite(after[k]):
            checks.append(_following(name, float(after[k]), statistics.lags, bounds))
    return Verdict(tuple(checks))


def _curved(name: str, left: Floats, causes: Floats, bounds: Bounds) -> Check:
    """Check whether squares and products of the causes explain the residual (Ramsey 1969)."""
    count = causes.shape[1]
    terms = [causes[:, a] * causes[:, b] for a in range(count) for b in range(a, count)]
    design = np.column_stack([np.ones(len(left)), causes, *terms])
    share = _explained(left, design, 1 + count)
    words = (
        f"curves and interactions of its causes explain {share:.0%} of what is left of {name}: "
        + ("its mechanism is not linear" if share > bounds.curved else "linear is good enough")
    )
    return Check("linear", name, share, bounds.curved, share <= bounds.curved, words)


def _uneven(name: str, left: Floats, fitted: Floats, bounds: Bounds) -> Check:
    """Check whether the residual is as wide everywhere (Breusch and Pagan 1979)."""
    design = np.column_stack([np.ones(len(left)), fitted, fitted**2])
    share = _explained(left**2, design, 1)
    even = share <= bounds.uneven
    words = (
        f"how far {name} strays from what is expected "
        + ("is much the same everywhere" if even else "depends on where it is")
        + f" ({share:.0%} of it)"
    )
    return Check("even spread", name, share, bounds.uneven, even, words)


def _explained(target: Floats, design: Floats, plain: int) -> float:
    """Return the share of variance a design explains beyond its first columns, for its size."""
    rows, columns = design.shape
    if rows <= columns + 1:
        return 0.0
    before = target - design[:, :plain] @ np.linalg.lstsq(design[:, :plain], target)[0]
    after = target - design @ np.linalg.lstsq(design, target)[0]
    total = float(before @ before) / (rows - plain)
    if total <= 0.0:
        return 0.0
    rest = float(after @ after) / (rows - columns)
    share: float = max(1.0 - rest / total, 0.0)
    return share


def _follows(mechanisms: Mechanisms, values: Floats, weights: Floats) -> Floats:
    """Return the correlation of each residual with that of the period before, (V,)."""
    statistics = mechanisms.posterior.statistics
    size, lags = statistics.variables, statistics.lags
    rows = panel_rows(values, lags)
    scaled = (rows - statistics.mean) / statistics.deviation
    left = (scaled[:, :size] - scaled @ weights).reshape(len(values) - lags, -1, size)
    now, before = left[1:].reshape(-1, size), left[:-1].reshape(-1, size)
    both = np.isfinite(now) & np.isfinite(before)
    now, before = np.where(both, now, 0.0), np.where(both, before, 0.0)
    scale = np.sqrt((now**2).sum(axis=0) * (before**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        follows: Floats = np.where(
            both.sum(axis=0) >= _FEWEST_PERIODS, (now * before).sum(axis=0) / scale, np.nan
        )
    return follows


def _following(name: str, correlation: float, lags: int, bounds: Bounds) -> Check:
    fine = abs(correlation) <= bounds.follows
    words = f"what is left of {name} " + (
        "does not follow itself" if fine
        else f"follows itself from period to period ({correlation:+.2f}): ask for "
        f"{'more lags than ' + str(lags) if lags else 'lags'}, intervals are too narrow"
    )  # fmt: skip
    return Check("independent in time", name, correlation, bounds.follows, fine, words)


# ------------------------------------------------------------------ refuters


def refute(  # noqa: PLR0913  # one argument a thing
    study: Study, cause: str, effect: str, generator: np.random.Generator, *,
    horizon: int = 0, repeats: int = 3, bounds: Bounds = BOUNDS,
) -> Verdict:  # fmt: skip
    """Return whether a total effect stands up to a placebo, a distractor and fewer data.

    Args:
        study: Data and question.
        cause: Variable that is set.
        effect: Variable that is looked at.
        generator: Where chance comes from.
        horizon: Periods between.
        repeats: How often each refuter is tried; the median counts.
        bounds: Where a check fails.

    An effect whose interval holds 0 cannot be refuted by a placebo; that check is left out then.
    """
    for name in (cause, effect):
        if name not in study.names:
            some = ", ".join(study.names[:8])
            message = f"expected one of {some}, ..., found {name!r}; correct the name"
            raise NotFound(message)
    if cause == effect:
        raise BadInput(expected="a cause and another variable", found=f"{cause!r} twice")
    if repeats < 1:
        raise BadInput(expected="at least one repeat", found=str(repeats))
    panel = checked_panel(study.panel, study.names, study.lags)
    study = replace(study, panel=panel)
    real = _effect(study, cause, effect, horizon, generator)
    half = max(0.5 * (real[2] - real[0]), 1e-300)
    about = f"{cause} -> {effect}"
    checks = []
    if real[0] > 0.0 or real[2] < 0.0:
        sizes = [
            abs(_effect(_shuffled(study, cause, generator), cause, effect, horizon, generator)[1])
            for _ in range(repeats)
        ]
        size = float(np.median(sizes)) / abs(real[1])
        words = f"with {cause} shuffled its effect on {effect} is {size:.0%} of the real one"
        checks.append(Check("placebo", about, size, bounds.placebo, size <= bounds.placebo, words))
    for name, what, changed in (
        ("distractor", "with an irrelevant variable added", _distracted),
        ("fewer data", "with a third of the periods left out", _thinned),
    ):
        moves = [
            abs(_effect(changed(study, generator), cause, effect, horizon, generator)[1] - real[1])
            for _ in range(repeats)
        ]
        moved = float(np.median(moves)) / half
        words = f"{what} the effect of {cause} on {effect} moves by {moved:.2f} half widths"
        bound = bounds.moved
        checks.append(Check(name, about, moved, bound, moved <= bound, words))
    return Verdict(tuple(checks))


def _effect(
    study: Study, cause: str, effect: str, horizon: int, generator: np.random.Generator
) -> tuple[float, float, float]:
    found: Effects = total_effects(
        study.mechanisms(generator), causes=[cause], horizons=horizon + 1, levels=[_LEVEL]
    )
    return found.interval(cause, effect, horizon=horizon)


def _shuffled(study: Study, cause: str, generator: np.random.Generator) -> Study:
    """Return the study with one variable's cells, or its periods, exchanged at random.

    Its own course in time stays as it is: each cell gets the values of another, turned round by
    a random number of periods.
    """
    at = study.names.index(cause)
    panel = study.panel.copy()
    periods, cells = panel.shape[:2]
    turned = panel[:, generator.permutation(cells), at]
    for cell in range(cells):
        shift = int(generator.integers(periods // 4, max(3 * periods // 4, periods // 4 + 1)))
        panel[:, cell, at] = np.roll(turned[:, cell], shift)
    return replace(study, panel=panel)


def _distracted(study: Study, generator: np.random.Generator) -> Study:
    """Return the study with a variable of pure chance, which may be a cause of everything."""
    name = "irrelevant"
    while name in study.names:
        name += "_"
    extra = generator.standard_normal((*study.panel.shape[:2], 1))
    knowledge = study.knowledge
    if knowledge is not None and knowledge.tiers:
        first = min(knowledge.tiers.values())
        knowledge = replace(knowledge, tiers={**knowledge.tiers, name: first})
    panel = np.concatenate([study.panel, extra], axis=2)
    return replace(study, panel=panel, names=(*study.names, name), knowledge=knowledge)


def _thinned(study: Study, generator: np.random.Generator) -> Study:
    """Return the study with a stretch of a third of its periods cut out."""
    periods = len(study.panel)
    length = max(periods // 3, 1)
    first = int(generator.integers(0, periods - length + 1))
    panel = np.delete(study.panel, np.s_[first : first + length], axis=0)
    return replace(study, panel=panel)


def stability(study: Study, generator: np.random.Generator, *, repeats: int = 8) -> Floats:
    """Return how often each edge is found in halves of the data, [lag, cause, effect].

    Args:
        study: Data and question.
        generator: Where chance comes from.
        repeats: Halves to look at; each is a random half of the cells, or with few cells a stretch
            of half the periods (stability selection; Meinshausen and Buhlmann 2010).
    """
    if repeats < 1:
        raise BadInput(expected="at least one repeat", found=str(repeats))
    panel = checked_panel(study.panel, study.names, study.lags)
    periods, cells = panel.shape[:2]
    size = len(study.names)
    share = np.zeros((study.lags + 1, size, size))
    for _ in range(repeats):
        if cells >= _FEWEST_PERIODS:
            some = np.sort(generator.permutation(cells)[: cells // 2])
            half = panel[:, some]
        else:
            length = max(periods // 2, study.lags + 2)
            first = int(generator.integers(0, max(periods - length, 0) + 1))
            half = panel[first : first + length]
        mechanisms = replace(study, panel=half).mechanisms(generator)
        share += mechanisms.posterior.edge_probability() / repeats
    return share


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the checks of several verdicts as one."""
    return Verdict(tuple(check for verdict in verdicts for check in verdict.checks))
