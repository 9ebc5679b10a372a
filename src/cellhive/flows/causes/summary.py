"""What a causal model has to say: its edges, its strongest effects, known patterns in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cellhive.causal.effects import Effects, Mechanisms, direct_effects, total_effects
from cellhive.causal.incidents.patterns import PATTERNS, Match, match_all
from cellhive.causal.motifs import Tier, tier_of
from cellhive.causal.queries.hidden import Suspicion, suspicions
from cellhive.causal.queries.identification import Answer, Question, effect_answer
from cellhive.core.errors import NotFound
from cellhive.flows.causes.model import CausalModel

LEAST_PROBABLE = 0.1
"""Probability from which an edge is listed."""
_MOST_OUTCOMES = 12
_CAUSES_EACH = 4
_LEAST_EFFECT = 0.05
"""Standard deviations of the outcome, per one of the cause, from which an effect is worth words."""


@dataclass(frozen=True)
class EdgeFound:
    """One edge, with what it does."""

    cause: str
    effect: str
    lag: int
    probability: float
    strength: float
    """Mean direct effect [standard deviations of the effect per one of the cause]."""
    mean: float
    """Mean direct effect [unit of the effect per unit of the cause]."""
    low: float
    """Lower end of its 90 % interval."""
    high: float
    unit: str
    """Of the effect per unit of the cause, as far as units are known."""


@dataclass(frozen=True)
class TotalFound:
    """What one standard deviation more of a cause does to an outcome."""

    answer: Answer
    strength: float
    """In standard deviations of the outcome."""
    cause_unit: str
    effect_unit: str


@dataclass(frozen=True)
class Summary:
    """What a model has to say."""

    model: CausalModel
    mechanisms: Mechanisms
    tiers: Mapping[str, int]
    """Of the variables; empty where nothing was assumed of their sequence."""
    edges: tuple[EdgeFound, ...]
    """Most probable first."""
    totals: tuple[TotalFound, ...]
    """Grouped by outcome, strongest first."""
    hidden: tuple[Suspicion, ...]
    """How well a hidden common cause fits in place of a probable edge, the most suspect first."""
    patterns: tuple[Match, ...]
    """Those of which at least one step can be seen, most probable first."""
    notes: tuple[str, ...]
    """What could not be said, and why."""


def summary_of(model: CausalModel, mechanisms: Mechanisms | None = None) -> Summary:
    """Return what a model has to say.

    Args:
        model: The model.
        mechanisms: Drawn from it, if there are any yet.
    """
    drawn = model.mechanisms() if mechanisms is None else mechanisms
    tiers = tiers_of(model)
    patterns, notes = _patterns(model, drawn)
    return Summary(
        model, drawn, tiers, edges_of(model, drawn), _totals(model, drawn, tiers),
        suspicions(model.posterior), patterns, notes,
    )  # fmt: skip


def tiers_of(model: CausalModel) -> dict[str, int]:
    """Return the tier of every variable as the model was told; empty if it was told nothing.

    Args:
        model: The model.
    """
    if not model.told.radio:
        return {}
    known: dict[str, int] = {}
    for name in model.names:
        text = model.told.like.get(name, name)
        upper = text.upper()
        try:
            known[name] = int(Tier[upper] if upper in Tier.__members__ else tier_of(text))
        except NotFound:
            continue
    if not known:
        return {}
    return {name: known.get(name, int(Tier.EXPERIENCE)) for name in model.names}


def edges_of(model: CausalModel, mechanisms: Mechanisms) -> tuple[EdgeFound, ...]:
    """Return the edges that are probable enough, the most probable first.

    Args:
        model: The model.
        mechanisms: Drawn from it.
    """
    direct = direct_effects(mechanisms, levels=(0.9,))
    probability = model.posterior.edge_probability()
    scale = model.posterior.statistics.deviation[: len(model.names)]
    found = []
    for lag, a, b in np.argwhere(probability >= LEAST_PROBABLE).tolist():
        at = (a, lag, b)
        found.append(
            EdgeFound(
                model.names[a], model.names[b], lag, float(probability[lag, a, b]),
                float(direct.mean[at] * scale[a] / scale[b]), float(direct.mean[at]),
                float(direct.low[0][at]), float(direct.high[0][at]),
                _per(model.unit(model.names[b]), model.unit(model.names[a])),
            )
        )  # fmt: skip
    found.sort(key=lambda one: (-round(one.probability, 2), -abs(one.strength)))
    return tuple(found)


def _per(effect: str, cause: str) -> str:
    if not effect and not cause:
        return ""
    return f"{effect or '1'} per {cause or 'unit'}"


def _totals(
    model: CausalModel, mechanisms: Mechanisms, tiers: Mapping[str, int]
) -> tuple[TotalFound, ...]:
    """Return the strongest causes of each outcome, with how far that can be relied on."""
    effects = total_effects(mechanisms, levels=(0.9,))
    strength = _strengths(model, effects)
    out: list[TotalFound] = []
    for b in _outcomes(model, strength, tiers):
        order = np.argsort(-np.abs(strength[:, b]), kind="stable")[:_CAUSES_EACH]
        for a in order.tolist():
            if abs(strength[a, b]) < _LEAST_EFFECT:
                continue
            cause, effect = model.names[a], model.names[b]
            answer = effect_answer(mechanisms, Question(cause, effect), unusable=model.unusable)
            out.append(
                TotalFound(answer, float(strength[a, b]), model.unit(cause), model.unit(effect))
            )
    return tuple(out)


def _strengths(
    model: CausalModel, effects: Effects
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return total effects within a period in standard deviations, (V, V)."""
    scale = model.posterior.statistics.deviation[: len(model.names)]
    strength = effects.mean[:, 0, :] * scale[:, None] / scale[None, :]
    np.fill_diagonal(strength, 0.0)
    return strength


def _outcomes(
    model: CausalModel,
    strength: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    tiers: Mapping[str, int],
) -> list[int]:
    """Return the variables whose causes are listed: those acted on most, experience first."""
    acted = np.abs(strength).max(axis=0)
    order = sorted(
        range(len(model.names)), key=lambda k: (-tiers.get(model.names[k], 0), -acted[k])
    )
    return [k for k in order if acted[k] >= _LEAST_EFFECT][:_MOST_OUTCOMES]


def _patterns(
    model: CausalModel, mechanisms: Mechanisms
) -> tuple[tuple[Match, ...], tuple[str, ...]]:
    if not model.told.radio:
        return (), ("Known patterns were not looked for: nothing of radio networks was used.",)
    if model.asked.lags:
        why = (
            "Known patterns are about one period; this model has earlier ones, so none was sought."
        )
        return (), (why,)
    like: dict[str, str | Tier] = {
        name: text for name, text in model.told.like.items() if text.upper() not in Tier.__members__
    }
    matches = match_all(list(PATTERNS.values()), mechanisms, like=like)
    seen = [one for one in matches if one.steps]
    seen.sort(key=lambda one: (-one.probability, -len(one.steps)))
    if not seen:
        why = (
            "No known pattern could be looked for: the data hold no two quantities of any path; "
            "a mapping file that says what the columns mean may help."
        )
        return (), (why,)
    return tuple(seen), ()
