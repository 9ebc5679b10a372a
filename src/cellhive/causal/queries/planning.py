"""Which change to make: the best intervention under the posterior, its risk, and what to try.

Every model drawn from the posterior says what each lever does. A change is judged by what it
does to a goal over all of these models: by the mean, or by the mean of the worst share of
them (conditional value at risk; Rockafellar and Uryasev 2000), and it is left out where one
of the harms is too probable. Levers that are not touched stay where they are, so what one of
them does does not run through another.

What a trial would teach is worth what it adds to the best choice after it (expected value of
sample information; Raiffa and Schlaifer 1961): outcomes are simulated from each model, every
model is weighed by how well it predicts them, and the best change is chosen anew.

Axis letters: ``M`` drawn models, ``L`` levers, ``V`` variables, ``N`` changes considered.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.causal.effects import Mechanisms, effect_draws
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Bools, Floats

_MOST_CHANGES = 50_000
_FAR = 3.0
"""Standard deviations from the mean beyond which a value counts as outside the data."""
_CHUNK = 512
_LEAST_SPREAD = 1e-12
_HERMITE = 5


@dataclass(frozen=True)
class Lever:
    """A variable that can be set, and the changes of it that are allowed."""

    name: str
    steps: tuple[float, ...]
    """Changes to consider, in the variable's unit; 0 need not be among them."""
    now: float | None = None
    """Its present value, if known: a value far from the data is then pointed out."""


@dataclass(frozen=True)
class Harm:
    """What a change must not do, or only with little probability."""

    name: str
    limit: float
    """Change of the variable, in its unit, that is a harm: a positive limit means a rise by more
    than that, a negative one a fall by more than that."""
    probability: float = 0.1
    """How probable it may be."""


@dataclass(frozen=True)
class Aim:
    """What is wanted, and what is not."""

    goal: Mapping[str, float]
    """Worth of a unit of each variable; negative where less is better."""
    harms: tuple[Harm, ...] = ()
    horizon: int = 0
    """Periods after the change at which it is judged; the levers stay changed until then."""
    worst: float = 1.0
    """Share of the drawn models, the worst for a change, by whose mean it is judged; 1: all."""
    most_levers: int = 2
    """Levers that may be changed together."""
    apart: tuple[frozenset[str], ...] = ()
    """Levers that must not be changed together."""


@dataclass(frozen=True)
class Outcome:
    """What a change is expected to do."""

    changes: Mapping[str, float]
    """Change of each lever [its unit]."""
    gain: float
    """Expected change of the goal [worth]."""
    low: float
    """Lower end of its 90 % interval."""
    high: float
    """Upper end."""
    judged: float
    """What it is ranked by: the mean over the worst share of models."""
    better: float
    """Probability that the goal gains at all."""
    effects: Mapping[str, tuple[float, float, float]]
    """Of every variable of the goal and the harms: low end, mean, high end [its unit]."""
    harm: Mapping[str, float]
    """Probability of the harms to each variable, the greatest where it has several."""
    outside: tuple[str, ...] = ()
    """Levers that end where the data have hardly been."""

    @property
    def label(self) -> str:
        """Name it, for example "tilt +1, power -2"."""
        return ", ".join(f"{name} {step:+g}" for name, step in self.changes.items())


@dataclass(frozen=True)
class Trial:
    """What trying a change would be worth."""

    outcome: Outcome
    value: float
    """Expected rise of the best choice's gain through what the trial teaches [worth]."""


@dataclass(frozen=True)
class Advice:
    """The changes worth making, best first; none where it is better to leave things."""

    options: tuple[Outcome, ...]
    refused: tuple[Outcome, ...]
    """The best among those that a harm rules out."""
    considered: int
    trials: tuple[Trial, ...] = ()
    """What to try, the most instructive first."""
    certainty_value: float = 0.0
    """What knowing every effect exactly would add to the best choice's gain: no trial is worth
    more [worth]."""
    why: str = ""
    """Where there are no options: why."""


@dataclass(frozen=True)
class Responses:
    """What a unit of each lever does in each drawn model."""

    levers: tuple[str, ...]
    names: tuple[str, ...]
    per_unit: Floats
    """(M, L, V), in units of the variable per unit of the lever."""
    mean: Floats
    """Of the variables in the data, (V,)."""
    deviation: Floats
    """(V,)."""
    spread: Floats
    """Covariance of the variables in the data, (V, V): what a trial's outcome varies by."""
    horizon: int = 0
    """Periods after the change."""


def responses_of(mechanisms: Mechanisms, levers: Sequence[str], *, horizon: int = 0) -> Responses:
    """Return what levers do if they are set once and held.

    Args:
        mechanisms: Drawn models.
        levers: Variables that can be set. None of them acts through another.
        horizon: Periods after the change.
    """
    if horizon < 0:
        raise BadInput(expected="a horizon of at least 0 periods", found=str(horizon))
    statistics = mechanisms.posterior.statistics
    size = statistics.variables
    pulses = effect_draws(mechanisms, levers, horizons=horizon + 1, held=levers)
    scale = statistics.deviation[:size]
    lever_scale = scale[[statistics.names.index(name) for name in levers]]
    held: Floats = pulses.sum(axis=2, dtype=np.float64) * scale / lever_scale[:, None]
    for at, name in enumerate(levers):
        held[:, :, statistics.names.index(name)] = 0.0
        held[:, at, statistics.names.index(name)] = 1.0
    spread = statistics.scatter[:size, :size] / max(statistics.weight, 1.0)
    return Responses(
        tuple(levers), statistics.names, held, statistics.mean[:size], scale, spread,
        horizon,
    )  # fmt: skip


def advise(
    responses: Responses,
    levers: Sequence[Lever],
    aim: Aim,
    *,
    top: int = 5,
    trial_samples: float = 0.0,
) -> Advice:
    """Return the best changes and, if asked, which trial would teach most.

    Args:
        responses: What each lever does.
        levers: What may be changed, and by how much.
        aim: What is wanted.
        top: Options, refused ones and trials to return at most.
        trial_samples: Independent samples that a trial would gather, such as cells times periods;
            0 leaves trials out.

    Raises:
        NotFound: If a lever, a goal or a harm is no variable.
        BadInput: If nothing can be changed, or the aim cannot be read.
    """
    _check(responses, levers, aim)
    _check_present(levers)
    _check_apart(responses, aim)
    _check_harms(aim.harms)
    if top < 0 or not 0.0 <= trial_samples < math.inf:
        raise BadInput(
            expected="0 or more options and trial samples", found=f"{top} and {trial_samples:g}"
        )
    steps = _combined(levers, aim)
    moves = _moves(responses, levers, steps)
    worth = _worth(responses, aim)
    gains = moves @ (responses.per_unit @ worth).T
    judged = _worst_mean(gains, aim.worst)
    risks = _risks(responses, moves, aim.harms)
    bounds = np.array([harm.probability for harm in aim.harms])
    allowed: Bools = np.atleast_1d((risks <= bounds).all(axis=1))
    ranking = np.argsort(-judged, kind="stable")

    def told(which: int) -> Outcome:
        return _outcome(
            responses, levers, aim, steps[which], moves[which], gains[which],
            float(judged[which]), risks[which],
        )  # fmt: skip

    good = [int(k) for k in ranking if allowed[k] and judged[k] > 0.0]
    refused = [int(k) for k in ranking if not allowed[k] and judged[k] > 0.0]
    trials, certain = _trials(gains, moves, allowed, responses, worth, trial_samples)
    return Advice(
        tuple(told(k) for k in good[:top]),
        tuple(told(k) for k in refused[:top]),
        len(steps),
        tuple(Trial(told(k), value) for k, value in trials[:top]),
        certain,
        "" if good else _why(judged, allowed),
    )


def _why(judged: Floats, allowed: Bools) -> str:
    if not (judged > 0.0).any():
        return "no change considered is expected to help: leave things as they are"
    if not allowed[judged > 0.0].any():
        return "every change that would help risks one of the harms with more than its probability"
    return ""


def _check(responses: Responses, levers: Sequence[Lever], aim: Aim) -> None:
    known = set(responses.names)
    asked = [*aim.goal, *(harm.name for harm in aim.harms)]
    for name in asked:
        if name not in known:
            some = ", ".join(list(responses.names)[:8])
            message = f"expected one of {some}, ..., found {name!r}; correct the name"
            raise NotFound(message)
    for lever in levers:
        if lever.name not in responses.levers:
            message = (
                f"expected a lever among {', '.join(responses.levers)}, found {lever.name!r}; "
                "ask for its responses, too"
            )
            raise NotFound(message)
    names = [lever.name for lever in levers]
    if not levers or len(set(names)) < len(names):
        raise BadInput(expected="at least one lever, each once", found=", ".join(names) or "none")
    if not aim.goal or not all(math.isfinite(worth) for worth in aim.goal.values()):
        raise BadInput(expected="a goal with a finite worth for each variable", found=str(aim.goal))
    if aim.horizon != responses.horizon:
        raise BadInput(
            expected=f"responses {aim.horizon} periods after the change, as the aim says",
            found=f"those {responses.horizon} periods after it",
            remedy="give `responses_of` the aim's horizon",
        )  # fmt: skip
    if not 0.0 < aim.worst <= 1.0:
        raise BadInput(expected="a worst share above 0 and up to 1", found=f"{aim.worst:g}")
    if aim.most_levers < 1:
        raise BadInput(expected="at least one lever at a time", found=str(aim.most_levers))


def _check_present(levers: Sequence[Lever]) -> None:
    for lever in levers:
        if lever.now is not None and not math.isfinite(lever.now):
            raise BadInput(
                expected="a finite present value, or None where it is not known",
                found=f"{lever.now:g}", place=f"lever {lever.name!r}",
            )  # fmt: skip


def _check_apart(responses: Responses, aim: Aim) -> None:
    strangers = sorted(frozenset[str]().union(*aim.apart) - set(responses.levers))
    if strangers:
        message = (
            f"expected levers among {', '.join(responses.levers)} to be kept apart, found "
            f"{', '.join(strangers)}; correct the names"
        )
        raise NotFound(message)


def _check_harms(harms: Sequence[Harm]) -> None:
    for harm in harms:
        if not math.isfinite(harm.limit) or harm.limit == 0.0 or not 0.0 <= harm.probability <= 1.0:
            raise BadInput(
                expected="harms with a limit above or below 0 and a probability of 0 to 1",
                found=f"{harm.name!r}: {harm.limit:g} with probability {harm.probability:g}",
                remedy="allow no rise at all by a small limit above 0, no fall by one below",
            )  # fmt: skip


def _combined(levers: Sequence[Lever], aim: Aim) -> list[dict[int, float]]:
    """Return every allowed set of changes, by index of the lever."""
    steps: list[dict[int, float]] = []
    for count in range(1, min(aim.most_levers, len(levers)) + 1):
        for some in itertools.combinations(range(len(levers)), count):
            names = {levers[k].name for k in some}
            if any(len(pair & names) > 1 for pair in aim.apart):
                continue
            choices = [[step for step in levers[k].steps if step != 0.0] for k in some]
            for chosen in itertools.product(*choices):
                steps.append(dict(zip(some, chosen, strict=True)))
                if len(steps) > _MOST_CHANGES:
                    raise BadInput(
                        expected=f"at most {_MOST_CHANGES} combinations of changes",
                        found="more", remedy="fewer steps, levers, or levers at a time",
                    )  # fmt: skip
    if not steps:
        raise BadInput(expected="a step other than 0 for some lever", found="none")
    return steps


def _moves(
    responses: Responses, levers: Sequence[Lever], steps: Sequence[Mapping[int, float]]
) -> Floats:
    """Return the change of every lever in every set of changes, (N, L)."""
    at = [responses.levers.index(lever.name) for lever in levers]
    moves = np.zeros((len(steps), len(responses.levers)))
    for row, chosen in enumerate(steps):
        for lever, step in chosen.items():
            moves[row, at[lever]] = step
    if not np.isfinite(moves).all():
        raise BadInput(expected="finite steps of the levers", found="infinite or missing ones")
    return moves


def _worth(responses: Responses, aim: Aim) -> Floats:
    worth = np.zeros(len(responses.names))
    for name, value in aim.goal.items():
        worth[responses.names.index(name)] += value
    return worth


def _worst_mean(gains: Floats, share: float) -> Floats:
    """Return the mean over the worst share of models of each change, (N,)."""
    draws = gains.shape[1]
    count = max(round(share * draws), 1)
    if count >= draws:
        mean: Floats = gains.mean(axis=1)
        return mean
    worst: Floats = np.partition(gains, count - 1, axis=1)[:, :count].mean(axis=1)
    return worst


def _risks(responses: Responses, moves: Floats, harms: Sequence[Harm]) -> Floats:
    """Return the probability of each harm of each change, (N, harms)."""
    risks = np.zeros((len(moves), len(harms)))
    for which, harm in enumerate(harms):
        change = moves @ responses.per_unit[:, :, responses.names.index(harm.name)].T
        bad = change > harm.limit if harm.limit > 0.0 else change < harm.limit
        risks[:, which] = bad.mean(axis=1)
    return risks


def _outcome(  # noqa: PLR0913, PLR0917  # the rows of one change
    responses: Responses, levers: Sequence[Lever], aim: Aim, steps: Mapping[int, float],
    move: Floats, gain: Floats, judged: float, risks: Floats,
) -> Outcome:  # fmt: skip
    effects = {}
    for name in dict.fromkeys((*aim.goal, *(harm.name for harm in aim.harms))):
        change = responses.per_unit[:, :, responses.names.index(name)] @ move
        low, high = np.quantile(change, [0.05, 0.95])
        effects[name] = (float(low), float(change.mean()), float(high))
    low, high = np.quantile(gain, [0.05, 0.95])
    outside = tuple(
        levers[k].name
        for k, step in steps.items()
        if levers[k].now is not None and _is_outside(responses, levers[k], step)
    )
    return Outcome(
        {levers[k].name: step for k, step in steps.items()},
        float(gain.mean()), float(low), float(high), float(judged), float((gain > 0.0).mean()),
        effects, _greatest(aim.harms, risks),
        outside,
    )  # fmt: skip


def _greatest(harms: Sequence[Harm], risks: Floats) -> dict[str, float]:
    """Return the greatest probability of a harm to each variable."""
    found: dict[str, float] = {}
    for harm, risk in zip(harms, risks.tolist(), strict=True):
        found[harm.name] = max(risk, found.get(harm.name, 0.0))
    return found


def _is_outside(responses: Responses, lever: Lever, step: float) -> bool:
    at = responses.names.index(lever.name)
    end = (lever.now or 0.0) + step
    return bool(abs(end - responses.mean[at]) > _FAR * responses.deviation[at])


# ------------------------------------------------------------------ what to try


def _trials(  # what is known of the changes
    gains: Floats, moves: Floats, allowed: Bools, responses: Responses, worth: Floats,
    samples: float,
) -> tuple[list[tuple[int, float]], float]:  # fmt: skip
    """Return changes with the value of trying them, and the value of certainty.

    A choice is made among the changes that the harms allow, and leaving things as they are.
    """
    choices = np.vstack([np.zeros(gains.shape[1]), gains[allowed]])
    now = float(choices.mean(axis=1).max())
    certain = float(choices.max(axis=0).mean()) - now
    if samples <= 0.0 or not allowed.any():
        return [], certain
    varies = float(worth @ responses.spread @ worth)  # of the goal, before and after: twice
    noise = max(math.sqrt(max(2.0 * varies / samples, 0.0)), _LEAST_SPREAD)
    shown = _largest_of_each(moves, allowed)
    values = [(k, max(sample_value(gains[k], choices, noise) - now, 0.0)) for k in shown]
    values.sort(key=lambda pair: -pair[1])
    return values, certain


def _largest_of_each(moves: Floats, allowed: Bools) -> list[int]:
    """Return, for each set of levers and directions, the allowed change with the largest steps."""
    largest: dict[tuple[float, ...], int] = {}
    for which in np.flatnonzero(allowed):
        key = tuple(np.sign(moves[which]))
        held = largest.get(key)
        if held is None or np.abs(moves[which]).sum() > np.abs(moves[held]).sum():
            largest[key] = int(which)
    return sorted(largest.values())


def sample_value(tried: Floats, choices: Floats, noise: float) -> float:
    """Return the expected gain of the best choice after the outcome of a trial is known.

    Args:
        tried: Gain of the change that is tried, by model, (M,).
        choices: Gains of all that can be chosen afterwards, (N, M).
        noise: Standard deviation of the trial's outcome about the true gain.

    The outcomes simulated are those of each model with the quantiles of a normal, so that
    nothing random is needed.
    """
    quantiles, weights = np.polynomial.hermite_e.hermegauss(_HERMITE)
    weights = weights / weights.sum()
    total = 0.0
    for quantile, weight in zip(quantiles, weights, strict=True):
        outcomes = tried + noise * quantile
        for first in range(0, len(outcomes), _CHUNK):
            some = outcomes[first : first + _CHUNK]
            log_fit = -0.5 * ((some[:, None] - tried[None, :]) / noise) ** 2
            fit = np.exp(log_fit - log_fit.max(axis=1, keepdims=True))
            fit /= fit.sum(axis=1, keepdims=True)
            total += float(weight) * float((fit @ choices.T).max(axis=1).sum())
    return total / len(tried)
