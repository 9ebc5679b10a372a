"""Whether the data can tell what a change does, said plainly, with the reason when they cannot.

An answer carries a verdict and words. Data cannot tell when a cause never varied, when it is a
copy of others, when there are too few samples, when graphs that fit equally well turn the arrow
round, or when a hidden common cause fits about as well as the edge. Beyond what was seen they
tell only if mechanisms go on as they were. And no data of this kind exclude a hidden common
cause beside the edge: how strong it would have to be is stated
(Cinelli and Hazlett 2020, "Making sense of sensitivity", equations 14 and 17; VanderWeele and
Ding 2017 for the E-value, with their approximation for continuous outcomes).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy import stats

from cellhive.causal.effects import Mechanisms, drawn_effects, place_of
from cellhive.causal.posterior import Posterior
from cellhive.causal.queries.hidden import suspicion
from cellhive.causal.queries.whatif import FAR_SD, band
from cellhive.causal.statistics import Statistics
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats

FEWEST_SAMPLES = 20.0
FEWEST_PER_PARENT = 5.0
_COPY = 1e-8
_NEARLY = 0.01
"""Share of a variable's spread that others leave, below which effects get very wide."""
_DOUBT = 0.1
_MOST_SETS = 20


class Verdict(StrEnum):
    """How far an answer can be relied on."""

    CLEAR = "clear"
    """The data tell: the interval holds if nothing hidden is at work."""
    EXTRAPOLATED = "extrapolated"
    """Beyond what was seen: holds if mechanisms go on as they were."""
    UNDECIDED = "undecided"
    """Graphs that fit about equally well disagree on which is the cause."""
    HIDDEN = "hidden"
    """A hidden common cause fits better than the edge between them, or nearly as well."""
    REFUSED = "refused"
    """The data cannot tell; there is no number."""


@dataclass(frozen=True)
class Direction:
    """In what share of drawn graphs one variable comes before another."""

    forth: float
    """A directed path leads from cause to effect."""
    back: float
    """One leads from effect to cause within a period."""

    @property
    def undecided(self) -> bool:
        """Whether both directions are probable enough to matter."""
        return self.back > _DOUBT and self.forth > _DOUBT


@dataclass(frozen=True)
class Robustness:
    """How strong a hidden common cause would have to be, as shares of remaining variance."""

    value: float
    """If it explains this share of what is left of both, the effect is gone (RV, q = 1)."""
    value_5: float
    """If it explains this share, the 95 % interval of least squares reaches zero."""
    e_value: float
    """Risk ratio with both that would explain the effect away, for the effect of 1 sd."""
    strongest: str
    """Of the known common causes, the one that explains most; empty if there is none."""
    strongest_share: float
    """What it explains of what is left of both: the lesser of the two shares."""

    def __str__(self) -> str:
        """Say it in a sentence."""
        said = (
            f"A hidden common cause would have to explain {self.value:.0%} of what is left of both "
            f"to undo the effect, {self.value_5:.0%} to leave it in doubt (E-value "
            f"{self.e_value:.1f})"
        )
        if self.strongest:
            said += (
                f"; the strongest known one, {self.strongest}, explains {self.strongest_share:.0%}"
            )
        return said + "."


@dataclass(frozen=True)
class Answer:
    """What a change of one variable does to another, and how far that can be relied on."""

    cause: str
    effect: str
    change: float
    """How far the cause is moved, in its unit."""
    verdict: Verdict
    mean: float
    """In the effect's unit; NaN if refused."""
    half: tuple[float, float]
    """Ends of the 50 % interval."""
    most: tuple[float, float]
    """Ends of the 90 % interval."""
    direction: Direction | None
    robustness: Robustness | None
    reasons: tuple[str, ...]
    """Why the verdict is what it is, a sentence each."""

    def words(self) -> str:
        """Say it in plain words."""
        head = self.cause if math.isnan(self.change) else f"{self.cause} {self.change:+.3g}"
        if self.verdict is Verdict.REFUSED:
            return " ".join([f"What {head} does to {self.effect} cannot be told.", *self.reasons])
        low, high = self.most
        said = (
            f"{head} changes {self.effect} by {self.mean:+.3g} (90 %: {low:+.3g} to {high:+.3g})."
        )
        return " ".join([said, *self.reasons])


@dataclass(frozen=True)
class Unusable:
    """A variable whose effects no data of this kind can tell, and why."""

    name: str
    reason: str


def separable(statistics: Statistics) -> tuple[Statistics, tuple[Unusable, ...]]:
    """Return the statistics of variables that can be told apart, and the others with reasons.

    Constants go, and the later one of each set that determine one another, so that a posterior
    over the rest is possible.

    Args:
        statistics: Of all variables.
    """
    size, flat = statistics.variables, statistics.flat
    kept: list[int] = []
    out: list[Unusable] = []
    factor = np.zeros((statistics.columns, 0))
    matrix = statistics.scatter / max(statistics.weight, 1.0)
    for variable in range(size):
        name = statistics.names[variable]
        if flat[variable]:
            reason = f"{name} did not vary: it is {statistics.mean[variable]:.4g} everywhere."
            out.append(Unusable(name, reason))
            continue
        rest = matrix[:, variable] - factor @ factor[variable]
        if rest[variable] <= _COPY * matrix[variable, variable]:
            out.append(Unusable(name, _copy_of(statistics, variable, kept)))
            continue
        factor = np.column_stack([factor, rest / math.sqrt(rest[variable])])
        kept.append(variable)
    fewer = _fewer(statistics, kept)
    while len(kept) > 1 and (copies := np.flatnonzero(fewer.determined)).size:
        # Together with earlier periods, or just within the bound of what can be told apart.
        gone = kept.pop(int(copies.max()) % len(kept))
        out.append(Unusable(statistics.names[gone], _copy_of(statistics, gone, kept)))
        fewer = _fewer(statistics, kept)
    return fewer, tuple(out)


def _fewer(statistics: Statistics, kept: Sequence[int]) -> Statistics:
    """Return the statistics of some of the variables."""
    if len(kept) == statistics.variables:
        return statistics
    size = statistics.variables
    columns = [lag * size + k for lag in range(statistics.lags + 1) for k in kept]
    return replace(
        statistics, names=tuple(statistics.names[k] for k in kept),
        mean=statistics.mean[columns], scatter=statistics.scatter[np.ix_(columns, columns)],
    )  # fmt: skip


def _copy_of(statistics: Statistics, variable: int, kept: Sequence[int]) -> str:
    """Return of which variables one is a copy."""
    name = statistics.names[variable]
    if statistics.weight <= len(kept) + 1.0:
        return (
            f"{name}: {statistics.weight:.0f} samples cannot tell more than {len(kept)} variables "
            "apart. Collect more periods or more cells, or choose fewer variables."
        )
    inner = statistics.scatter[np.ix_(kept, kept)]
    slopes = np.linalg.lstsq(inner, statistics.scatter[kept, variable], rcond=None)[0]
    shares = np.abs(slopes) * statistics.deviation[list(kept)] / statistics.deviation[variable]
    involved = [statistics.names[kept[int(k)]] for k in np.flatnonzero(shares > 1e-4)]  # noqa: PLR2004
    if not involved:
        return f"{name} follows exactly from earlier periods: no data tell which of them acts."
    verb = "is a copy of" if len(involved) == 1 else "follows exactly from"
    return f"{name} {verb} {', '.join(involved[:6])}: no data tell which of them acts."


@dataclass(frozen=True)
class Question:
    """What moving a cause does to an effect."""

    cause: str
    effect: str
    start: float | None = None
    """Where the cause is moved from, in its unit; None: the mean of the data."""
    end: float | None = None
    """Where to; None: one standard deviation up."""
    horizon: int = 0
    """Periods later; the cause is moved in one period only."""

    def ends(self, statistics: Statistics) -> tuple[float, float]:
        """Return from where to where the cause is moved.

        Args:
            statistics: Of the variables.
        """
        at = place_of(statistics.names, self.cause)
        mean, spread = float(statistics.mean[at]), float(statistics.deviation[at])
        begin = mean if self.start is None else self.start
        end = begin + spread if self.end is None else self.end
        if not (math.isfinite(begin) and math.isfinite(end)) or begin == end:
            raise BadInput(
                expected=f"two different finite values of {self.cause!r}",
                found=f"{begin:g} and {end:g}",
            )
        return begin, end


def effect_answer(
    mechanisms: Mechanisms,
    question: Question,
    *,
    limits: tuple[float, float] | None = None,
    unusable: Sequence[Unusable] = (),
) -> Answer:
    """Return what moving a cause does to an effect, and how sure that is.

    Args:
        mechanisms: Drawn models.
        question: What is asked.
        limits: Smallest and largest value seen of the cause; None if only statistics are left.
        unusable: Variables that were left out, with reasons.

    Raises:
        NotFound: If a variable is unknown.
        BadInput: If cause and effect are the same.
    """
    posterior, cause, effect = mechanisms.posterior, question.cause, question.effect
    left_out = [one.reason for one in unusable if one.name in (cause, effect)]
    if left_out:
        return refused(question, left_out)
    from_, to = place_of(posterior.names, cause), place_of(posterior.names, effect)
    if from_ == to:
        raise BadInput(expected="a cause and another variable", found=f"{cause!r} twice")
    begin, stop = question.ends(posterior.statistics)
    poor = _too_little(posterior, from_)
    if poor:
        return refused(replace(question, start=begin, end=stop), poor)
    drawn = drawn_effects(mechanisms, cause, horizons=question.horizon + 1)
    slopes = drawn[:, question.horizon, to] * (stop - begin)
    middle, low, high = band(slopes, (0.5, 0.9))
    way = direction(mechanisms, cause, effect, horizon=question.horizon)
    beyond = [said for value in (begin, stop) for said in
              _beyond(posterior.statistics, from_, value, limits)]  # fmt: skip
    asked = way.forth > _DOUBT and question.horizon == 0
    known = robustness(posterior, cause, effect) if asked else None
    doubt = suspicion(posterior, cause, effect) if asked else None
    doubted = [str(doubt)] if doubt is not None and doubt.suspected else []
    verdict = Verdict.EXTRAPOLATED if beyond else Verdict.CLEAR
    if doubted:
        verdict = Verdict.HIDDEN
    if way.undecided:
        verdict = Verdict.UNDECIDED
    reasons = (
        *_direction_words(question, way, slopes), *doubted, *beyond,
        *_convergence_words(posterior),
        *_thin_words(posterior, from_), *([str(known)] if known else []),
    )  # fmt: skip
    return Answer(
        cause, effect, stop - begin, verdict, float(middle), (float(low[0]), float(high[0])),
        (float(low[1]), float(high[1])), way, known, reasons,
    )  # fmt: skip


def refused(question: Question, reasons: Sequence[str]) -> Answer:
    """Return an answer without a number.

    Args:
        question: What was asked.
        reasons: Why not, a sentence each.
    """
    known = question.start is not None and question.end is not None
    change = (question.end or 0.0) - (question.start or 0.0) if known else math.nan
    nothing = (math.nan, math.nan)
    return Answer(
        question.cause, question.effect, change, Verdict.REFUSED, math.nan, nothing, nothing,
        None, None, tuple(reasons),
    )  # fmt: skip


def _too_little(posterior: Posterior, cause: int) -> list[str]:
    """Return why there is too little to tell anything; nothing if there is enough."""
    samples = posterior.statistics.weight
    parents = float(np.bitwise_count(posterior.chosen[:, cause]).mean())
    needed = max(FEWEST_SAMPLES, FEWEST_PER_PARENT * (parents + 1.0))
    if samples >= needed:
        return []
    return [
        f"The data are worth {samples:.0f} independent samples; {needed:.0f} would be the fewest. "
        "Collect more periods or more cells."
    ]


def _beyond(
    statistics: Statistics, cause: int, value: float, limits: tuple[float, float] | None
) -> list[str]:
    """Return how far a value is outside what was seen, nothing if it is inside."""
    name, mean = statistics.names[cause], float(statistics.mean[cause])
    spread = float(statistics.deviation[cause])
    away = abs(value - mean) / spread
    if limits is None and away > FAR_SD:
        return [
            f"{name} = {value:.4g} is {away:.1f} standard deviations from the mean of what was "
            f"seen ({mean:.4g}): this holds if things go on as inside."
        ]
    if limits is None or limits[0] <= value <= limits[1]:
        return []
    away = max(limits[0] - value, value - limits[1]) / spread
    return [
        f"{name} = {value:.4g} is {away:.1f} standard deviations outside what was seen "
        f"({limits[0]:.4g} to {limits[1]:.4g}): this holds if things go on as inside."
    ]


def direction(mechanisms: Mechanisms, cause: str, effect: str, *, horizon: int = 0) -> Direction:
    """Return in what share of drawn graphs a cause comes before an effect, and the reverse.

    Args:
        mechanisms: Drawn models.
        cause: Variable that is moved.
        effect: Variable that is looked at.
        horizon: Periods later.
    """
    names = mechanisms.posterior.names
    a, b = place_of(names, cause), place_of(names, effect)
    forth = drawn_effects(mechanisms, cause, horizons=horizon + 1)[:, horizon, b] != 0.0
    back = drawn_effects(mechanisms, effect)[:, 0, a] != 0.0
    return Direction(float(forth.mean()), float(back.mean()))


def direction_of(posterior: Posterior, cause: int, effect: int) -> Direction:
    """Return in what share of graphs a path leads within a period, without coefficients.

    Args:
        posterior: Over graphs.
        cause: Place of the variable that is moved.
        effect: Place of the one that is looked at.
    """
    slots = np.arange(posterior.candidates.shape[1])
    held = ((posterior.chosen[:, :, None] >> slots) & 1).astype(np.float64)
    paths = Mechanisms(posterior, held, np.ones(posterior.chosen.shape))
    return direction(paths, posterior.names[cause], posterior.names[effect])


def _direction_words(question: Question, way: Direction, slopes: Floats) -> list[str]:
    cause, effect = question.cause, question.effect
    if way.forth < _DOUBT and way.back < _DOUBT:
        share = 1.0 - way.forth - way.back
        return [f"In {share:.0%} of the graphs that fit, nothing leads from one to the other."]
    if way.forth < _DOUBT:
        return [f"In {way.back:.0%} of the graphs that fit, {effect} comes before {cause}."]
    if not way.undecided:
        return []
    if_so = slopes[slopes != 0.0]
    low, high = np.quantile(if_so, [0.05, 0.95])
    return [
        f"Which comes first is open: {cause} in {way.forth:.0%} of the graphs that fit, "
        f"{effect} in {way.back:.0%}. If {cause} does, the effect is {if_so.mean():+.3g} "
        f"({low:+.3g} to {high:+.3g}); a trial that varies {cause} on purpose would tell."
    ]


def _convergence_words(posterior: Posterior) -> list[str]:
    found = posterior.convergence
    return [] if found.reached else [f"The search has not settled: {found}."]


def _thin_words(posterior: Posterior, cause: int) -> list[str]:
    """Return a warning if others nearly determine the cause."""
    size = len(posterior.names)
    correlation = posterior.statistics.correlation()[:size, :size]
    left = 1.0 / float(np.linalg.pinv(correlation, hermitian=True)[cause, cause])
    if left > _NEARLY:
        return []
    return [
        f"Others explain {1 - left:.1%} of {posterior.names[cause]}: little is left to tell its "
        "effect from theirs."
    ]


# ------------------------------------------------------------------ hidden common causes


def robustness(posterior: Posterior, cause: str, effect: str) -> Robustness | None:
    """Return how strong a hidden common cause would have to be to undo an effect.

    The effect is that of a regression on the cause and its parents, which is the total effect
    if nothing is hidden (Pearl 2009, theorem 3.3.2), averaged over drawn graphs in which the
    cause is no effect of it.

    Args:
        posterior: Over graphs.
        cause: Variable that is moved.
        effect: Variable that is looked at.
    """
    a, b = place_of(posterior.names, cause), place_of(posterior.names, effect)
    sets = Counter(int(one) for one in posterior.chosen[:, a]).most_common(_MOST_SETS)
    rows: list[tuple[float, float, float, float, float, int]] = []
    for chosen, count in sets:
        slots = [k for k in range(posterior.candidates.shape[1]) if (chosen >> k) & 1]
        parents = [int(posterior.candidates[a, k]) for k in slots]
        if b not in parents:
            rows.append((float(count), *_strength(posterior.statistics, a, b, parents)))
    if not rows:
        return None
    weight = np.array([row[0] for row in rows])
    values = np.array([row[1:5] for row in rows])
    value, value_5, e_value, share = (weight @ values) / weight.sum()
    strongest = max(rows, key=lambda row: row[0])[5]
    name = posterior.statistics.label(strongest) if strongest >= 0 else ""
    return Robustness(float(value), float(value_5), float(e_value), name, float(share))


def _strength(
    statistics: Statistics, cause: int, effect: int, parents: Sequence[int]
) -> tuple[float, float, float, float, int]:
    """Return RV, RV at 5 %, E-value, and the strongest parent with its share."""
    correlation, samples = statistics.correlation(), statistics.weight
    freedom = max(samples - len(parents) - 2.0, 1.0)
    partial, slope = _partial(correlation, cause, effect, parents)
    strength = abs(partial) / math.sqrt(max(1.0 - partial**2, 1e-12))
    critical = float(stats.t(max(freedom - 1.0, 1.0)).ppf(0.975)) / math.sqrt(
        max(freedom - 1.0, 1.0)
    )
    risk = math.exp(0.91 * abs(slope))
    e_value = risk + math.sqrt(risk * (risk - 1.0))
    best, share = -1, 0.0
    for parent in parents:
        others = [other for other in parents if other != parent]
        on_cause = _partial(correlation, parent, cause, others)[0] ** 2
        on_effect = _partial(correlation, parent, effect, [*others, cause])[0] ** 2
        if min(on_cause, on_effect) > share:
            best, share = parent, min(on_cause, on_effect)
    return _robust(strength), _robust(strength - critical), e_value, share, best


def _robust(strength: float) -> float:
    """Return the robustness value of a partial Cohen's f (Cinelli and Hazlett 2020, eq. 14)."""
    square = max(strength, 0.0) ** 2
    return 0.5 * (math.sqrt(square**2 + 4.0 * square) - square)


def _partial(matrix: Floats, one: int, other: int, given: Sequence[int]) -> tuple[float, float]:
    """Return partial correlation and slope of other on one, both per standard deviation."""
    pair = np.array([one, other])
    left = matrix[np.ix_(pair, pair)]
    if given:
        held = np.array(given)
        cross = matrix[np.ix_(held, pair)]
        left = left - cross.T @ np.linalg.solve(matrix[np.ix_(held, held)], cross)
    first, second = max(float(left[0, 0]), 1e-12), max(float(left[1, 1]), 1e-12)
    return float(left[0, 1]) / math.sqrt(first * second), float(left[0, 1]) / first
