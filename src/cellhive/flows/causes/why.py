"""Why, what if, what to change: what a causal model of analysed measurements says of them.

One model is made of the richest part of an analysis. Each incident's change is split over
what changed before it along the drawn graphs. Nothing here may cost the analysis: where the
data are too few, or something goes wrong, the answer is the reason.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellhive.causal.effects import Effects, total_effects
from cellhive.causal.posterior import Settings
from cellhive.causal.queries.contributions import contributions
from cellhive.causal.queries.validation import Check, residual_checks
from cellhive.core.errors import BadInput, CellHiveError
from cellhive.core.types import Bools, Floats, Ints
from cellhive.diagnose.cycles import DAY_S, Panel
from cellhive.diagnose.incidents import ALL_KPIS, Incident
from cellhive.flows.analyse import Analysis, Part
from cellhive.flows.causes.change import Proposals, proposals_of
from cellhive.flows.causes.model import Asked, CausalModel, Told, modelled
from cellhive.flows.causes.naming import alike
from cellhive.flows.causes.observations import Observations, centred, observations_of
from cellhive.flows.causes.summary import Summary, summary_of

MOST_VARIABLES = 40
FEWEST_ROWS = 40
"""Rows without gaps, beyond one for each cell, from which a model is made."""
FEWEST_PERIODS = 8
MOST_INCIDENTS = 8
MOST_ROWS = 100_000
"""Rows (periods of objects) that a model is made of; more tell it little and cost time."""
FEWEST_OBJECTS = 16
"""Objects that are taken however many periods they have."""
_MOST_CAUSES = 4
_LEAST_SHARE = 0.05
"""Share of an incident's change from which a cause is named."""
_GRAPHS = 250
_MOST_FOLLOWING = 0.98
_NOTICEABLE = 0.9
"""Share of independent rows below which a word is said of it."""


@dataclass(frozen=True)
class Cause:
    """One thing whose own change added to an incident's."""

    name: str
    before: float
    after: float
    unit: str
    mean: float
    """What its own change did to the incident's KPI [unit of the KPI]."""
    low: float
    """Lower end of the 90 % interval."""
    high: float
    probability: float
    """Share of the drawn models in which it acts on the KPI at all."""


@dataclass(frozen=True)
class Explained:
    """Where the change of an incident came from."""

    incident: Incident
    target: str
    unit: str
    before: float
    after: float
    causes: tuple[Cause, ...]
    """Largest part first; only those in the direction of the change."""
    itself: tuple[float, float, float]
    """What no other variable accounts for: low end, mean, high end."""

    @property
    def difference(self) -> float:
        """After less before [unit of the KPI]."""
        return self.after - self.before


@dataclass(frozen=True)
class Causes:
    """What a causal model says of an analysis."""

    summary: Summary | None
    explained: tuple[Explained, ...]
    proposals: Proposals | None
    checks: tuple[Check, ...]
    """Of what the model's mechanisms leave."""
    guessed: Mapping[str, str]
    """What variables were taken for by words in their names."""
    notes: tuple[str, ...]
    problem: str = ""
    """Why there is no model, if there is none."""


def causes_of(analysis: Analysis, *, seed: int = 1) -> Causes:
    """Return what a causal model says of an analysis; never raises.

    Args:
        analysis: The analysis.
        seed: Where chance comes from.
    """
    try:
        return _causes_of(analysis, seed)
    except CellHiveError as problem:
        return Causes(None, (), None, (), {}, (), str(problem))
    except Exception as problem:  # the rest of the report must not suffer
        said = f"the causal model failed ({type(problem).__name__}: {problem}); please report it"
        return Causes(None, (), None, (), {}, (), said)


def _causes_of(analysis: Analysis, seed: int) -> Causes:
    analysis, taken = _sampled(analysis)
    seen, part = _observed(analysis)
    like = alike(seen.names, part.columns)
    counted = independent_share(seen.values)
    asked = Asked(seed=seed, settings=Settings(graphs=_GRAPHS), counted=counted)
    model = modelled(seen, Told(like=like), asked)
    summary = summary_of(model)
    effects = total_effects(summary.mechanisms, levels=(0.9,))
    wanted = [one for one in analysis.search.incidents if _is_here(one, model)]
    explained = [
        found for one in wanted[:MOST_INCIDENTS]
        if (found := _explained(one, summary, effects)) is not None
    ]  # fmt: skip
    better = {name: info.better for name, info in part.columns.items() if info.better}
    hurt = [one.target for one in explained if one.incident.effect == "worse"]
    guessed = {
        name: text for name, text in like.items()
        if part.columns.get(name) is None or part.columns[name].quantity != text
    }  # fmt: skip
    elsewhere = len(analysis.search.incidents) - len(wanted)
    notes = [f"The model is of {part.name}: {len(model.names)} KPIs of {len(seen.cells)} objects."]
    if taken.get(part.name, len(seen.cells)) > len(seen.cells):
        notes.append(
            f"It was learned from {len(seen.cells)} of the {taken[part.name]} objects: those of "
            "the first incidents, and others evenly among the rest."
        )
    if counted < _NOTICEABLE:
        notes.append(
            f"Values follow themselves from period to period: rows count {counted:.0%} of as many "
            "independent ones (Bartlett 1946), which widens the intervals."
        )
    if explained:
        notes.append(
            "What KPIs went from is their median at the same time of day outside the incident, for "
            "causes and effect alike. The usual value that an incident names follows level and "
            "weekday too, so the two can differ."
        )
    if elsewhere:
        notes.append(
            f"{elsewhere} {'incident is' if elsewhere == 1 else 'incidents are'} of other data or "
            "KPIs than the model's, or a silence, and not explained here."
        )
    if seen.step_s < DAY_S:
        notes.append(
            "The time of day is no variable: what follows it without acting on each other can "
            "look like cause and effect where no KPI of load stands between."
        )
    return Causes(
        summary, tuple(explained), proposals_of(summary, better, hurt), _checks(summary), guessed,
        tuple(notes),
    )  # fmt: skip


def _checks(summary: Summary) -> tuple[Check, ...]:
    """Return what the residuals of the mechanisms still hold."""
    model = summary.model
    values = model.seen.chosen_exactly(model.names).values
    if model.asked.within_cells:
        values = centred(values)
    found = residual_checks(summary.mechanisms, values).checks
    return tuple(one for one in found if one.name != "independent in time")  # it was counted in


# ------------------------------------------------------------------ what is modelled


def _sampled(analysis: Analysis) -> tuple[Analysis, dict[str, int]]:
    """Return an analysis of as many objects as a model is made of, and how many there were."""
    wanted = [one.lead.object for one in analysis.search.incidents[: 4 * MOST_INCIDENTS]]
    parts, were = [], {}
    for part in analysis.parts:
        periods = max((panel.periods for panel in part.panels), default=0)
        most = max(MOST_ROWS // max(periods, 1), FEWEST_OBJECTS)
        were[part.name] = len(part.objects)
        parts.append(part if len(part.objects) <= most else _of_objects(part, wanted, most))
    return replace(analysis, parts=tuple(parts)), were


def _of_objects(part: Part, wanted: Sequence[str], most: int) -> Part:
    """Return the panels of some objects of a part: the wanted ones, others evenly spaced."""
    first = [name for name in dict.fromkeys(wanted) if name in set(part.objects)][: most // 2]
    rest = [name for name in part.objects if name not in set(first)]
    free = most - len(first)
    spaced = [rest[k * len(rest) // free] for k in range(free)]
    chosen = dict.fromkeys(sorted((*first, *spaced)))
    return replace(
        part, objects=tuple(chosen),
        panels=tuple(_rows_of(panel, chosen) for panel in part.panels),
        settings=tuple(_rows_of(panel, chosen) for panel in part.settings),
    )  # fmt: skip


def _rows_of(panel: Panel, chosen: Collection[str]) -> Panel:
    rows = [k for k, name in enumerate(panel.objects) if name in chosen]
    names = tuple(panel.objects[k] for k in rows)
    return Panel(panel.kpi, names, panel.start_s, panel.step_s, panel.values[rows], panel.unit)


def _observed(analysis: Analysis) -> tuple[Observations, Part]:
    """Return the observations to model, and the part they are of.

    Raises:
        BadInput: If they are too few.
    """
    parts = [part for part in analysis.parts if any(p.step_s > 0 for p in part.panels)]
    longest = max((part.panels[0].periods for part in parts), default=0)
    if longest < FEWEST_PERIODS:
        raise BadInput(
            expected=f"at least {FEWEST_PERIODS} periods of the same objects",
            found=f"at most {longest}", remedy="bring more periods",
        )  # fmt: skip
    parts = [part for part in parts if part.panels[0].periods >= FEWEST_PERIODS]
    seen = observations_of(parts)
    part = next(one for one in parts if _is_of(seen, one))
    return _enough(_narrowed(seen, analysis, part)), part


def _is_of(seen: Observations, part: Part) -> bool:
    return any(p.objects == seen.cells and p.kpi in seen.names for p in part.panels)


def _narrowed(seen: Observations, analysis: Analysis, part: Part) -> Observations:
    """Return the observations of the variables that matter most, up to as many as are taken."""
    if len(seen.names) <= MOST_VARIABLES:
        return seen
    hurt = {kpi for one in analysis.search.incidents for kpi in one.kpis}
    known = {name for name in seen.names if part.columns[name].quantity}
    settings = {panel.kpi for panel in part.settings}
    rank = sorted(
        range(len(seen.names)),
        key=lambda k: (seen.names[k] not in settings, seen.names[k] not in hurt,
                       seen.names[k] not in known, k),
    )  # fmt: skip
    kept = sorted(rank[:MOST_VARIABLES])
    out = tuple(
        (name, f"beyond the {MOST_VARIABLES} that an analysis models")
        for k, name in enumerate(seen.names) if k not in kept
    )  # fmt: skip
    return _taken(seen, kept, out)


def _taken(
    seen: Observations, kept: Sequence[int], out: tuple[tuple[str, str], ...]
) -> Observations:
    some = list(kept)
    return replace(
        seen, values=seen.values[:, :, some], names=tuple(seen.names[k] for k in some),
        units=tuple(seen.units[k] for k in some), left_out=(*seen.left_out, *out),
    )  # fmt: skip


def _enough(seen: Observations) -> Observations:
    """Return observations with enough rows without gaps: the gappiest variables go first.

    Raises:
        BadInput: If there are too few with any two variables.
    """
    there = np.isfinite(seen.values).reshape(-1, len(seen.names))
    share = there.mean(axis=0)
    kept = list(range(len(seen.names)))
    gone: list[int] = []
    needed = FEWEST_ROWS + len(seen.cells)
    while int(there[:, kept].all(axis=1).sum()) < needed:
        if len(kept) <= 2:  # noqa: PLR2004  # a cause and an effect
            rows = int(there[:, kept].all(axis=1).sum())
            raise BadInput(
                expected=f"at least {needed} rows in which several KPIs are there "
                         f"({FEWEST_ROWS}, and one for each object)",
                found=f"{rows}", remedy="bring more periods",
            )  # fmt: skip
        worst = min(kept, key=lambda k: share[k])
        kept.remove(worst)
        gone.append(worst)
    out = tuple(
        (seen.names[k], f"{1.0 - share[k]:.0%} of its values are missing: with it too few rows are "
         "whole") for k in sorted(gone)
    )  # fmt: skip
    return _taken(seen, kept, out) if gone else seen


def independent_share(values: Floats) -> float:
    """Return what share of the rows of a panel count as independent for its correlations.

    For two series that follow themselves by r and s, n rows tell of their correlation as much
    as n (1 - r s) / (1 + r s) independent ones (Bartlett 1946, "On the theoretical
    specification and sampling properties of autocorrelated time-series").

    Args:
        values: NaN where missing, (T, C, V).
    """
    flat = values.reshape(len(values), -1)
    away = flat - _means(flat)
    now, before = away[1:], away[:-1]
    both = np.isfinite(now) & np.isfinite(before)
    product = np.where(both, now * before, 0.0).reshape(len(now), -1, values.shape[2])
    square = np.where(np.isfinite(away), away**2, 0.0).reshape(len(away), -1, values.shape[2])
    power = square.sum(axis=(0, 1))
    follows = product.sum(axis=(0, 1)) / np.where(power > 0.0, power, 1.0)
    typical = float(np.clip(follows, 0.0, _MOST_FOLLOWING).mean())
    return (1.0 - typical**2) / (1.0 + typical**2)


# ------------------------------------------------------------------ incidents


def _is_here(one: Incident, model: CausalModel) -> bool:
    lead = one.lead
    return lead.kpi != ALL_KPIS and lead.kpi in model.names and lead.object in model.seen.cells


def _explained(one: Incident, summary: Summary, effects: Effects) -> Explained | None:
    """Return where an incident's change came from; None if it cannot be seen in the data."""
    model, target = summary.model, one.lead.kpi
    seen, names = model.seen, model.names
    columns = [seen.names.index(name) for name in names]
    series = seen.values[:, seen.cell(one.lead.object)][:, columns]
    before, after = _before_and_after(series, seen, one)
    at = names.index(target)
    if not (math.isfinite(before[at]) and math.isfinite(after[at])) or before[at] == after[at]:
        return None
    unknown = ~(np.isfinite(before) & np.isfinite(after))
    level = np.where(np.isfinite(before), before, 0.0)
    split = contributions(
        summary.mechanisms, level[None, :], np.where(unknown, level, after)[None, :], target,
        most_paths=1,
    )  # fmt: skip
    difference = float(after[at] - before[at])
    causes = []
    for name in split.origins.largest(len(split.origins.labels)):
        low, mean, high = split.origins.of(name)
        if name == target or mean * difference < _LEAST_SHARE * difference**2:
            continue
        k = names.index(name)
        causes.append(
            Cause(
                name, float(before[k]), float(after[k]), model.unit(name), mean, low, high,
                float(effects.probability[k, 0, at]),
            )
        )  # fmt: skip
    own = split.origins.of(target) if target in split.origins.labels else (0.0, 0.0, 0.0)
    return Explained(
        one, target, model.unit(target), float(before[at]), float(after[at]),
        tuple(causes[:_MOST_CAUSES]), own,
    )  # fmt: skip


def _before_and_after(series: Floats, seen: Observations, one: Incident) -> tuple[Floats, Floats]:
    """Return what is usual at the time of an incident, and what was there, (V,) each."""
    periods = np.arange(len(series))
    lead = one.lead
    first = round((lead.start_s - seen.start_s) / seen.step_s)
    last = max(round((lead.end_s - seen.start_s) / seen.step_s), first + 1)
    inside = (periods >= first) & (periods < last)
    if lead.kind == "drift":
        quarter = max((last - first) // 4, 1)
        begun, ended = slice(max(first, 0), first + quarter), slice(last - quarter, last)
        return _middle(series[begun]), _middle(series[ended])
    return _usual(series, inside, max(round(DAY_S / seen.step_s), 1)), _means(series[inside])


def _usual(series: Floats, inside: Bools, slots: int) -> Floats:
    """Return the mean over an incident's periods of what is usual at their time of day, (V,)."""
    slot: Ints = (np.arange(len(series)) % slots).astype(np.int32)
    rows = []
    for which in slot[inside]:
        same = (slot == which) & ~inside
        rows.append(_middle(series[same] if same.any() else series[~inside]))
    return _means(np.array(rows)) if rows else np.full(series.shape[1], np.nan)


def _middle(rows: Floats) -> Floats:
    """Return the median of what is known in each column; NaN where nothing is."""
    out = np.full(rows.shape[1], np.nan)
    known = np.isfinite(rows).any(axis=0)
    if known.any():
        out[known] = np.nanmedian(rows[:, known], axis=0)
    return out


def _means(rows: Floats) -> Floats:
    """Return the mean of what is known in each column; NaN where nothing is."""
    out = np.full(rows.shape[1], np.nan)
    known = np.isfinite(rows).any(axis=0)
    if known.any():
        out[known] = np.nanmean(rows[:, known], axis=0)
    return out
