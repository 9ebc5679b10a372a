"""Recommendations as one plan that the guard lets through, and what it stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.core.types import Change, Network, Parameters, Plan
from cellhive.diagnose.advice.network import place_of
from cellhive.diagnose.advice.recommendation import Recommendation
from cellhive.diagnose.audit.configuration import Configuration
from cellhive.flows.advice.seen import Present
from cellhive.ran.guard.check import check
from cellhive.ran.guard.state import OPERATOR, GuardState, Limits
from cellhive.ran.parameters import DEFAULTS, default_parameters

PLAN_ID = "advice"
_GEOMETRY = frozenset({"electrical_tilt_deg", "tx_power_dbm"})
_TRIGGERS = frozenset({"a3_offset_db", "hysteresis_db", "time_to_trigger_s", "filter_coefficient"})


@dataclass(frozen=True)
class SetAside:
    """A recommendation that is not among those listed, and why."""

    recommendation: Recommendation
    why: str


@dataclass(frozen=True)
class Planned:
    """The plan of an analysis."""

    plan: Plan | None
    """None where no recommendation has a present value to start from."""
    network: Network
    """The cells and relations that the plan speaks of, for writing it."""
    refused: tuple[SetAside, ...]
    """What the guard does not let through."""
    assumed: str
    """Which settings the guard had to assume; "" where none."""


def without_conflicts(
    ranked: Sequence[Recommendation],
) -> tuple[list[Recommendation], list[SetAside]]:
    """Return recommendations that do not contradict each other, and those that gave way.

    The first in the order stays. Two conflict if they set the same parameter of the same object,
    an offset between the same two cells, an offset out of a cell whose triggers are set, or the
    antenna or power of a cell that is to sleep or to cover a sleeping one: their effects could
    not be told apart, or would cancel each other.

    Args:
        ranked: Best first.
    """
    kept: list[Recommendation] = []
    aside: list[SetAside] = []
    claimed: dict[tuple[str, str], Recommendation] = {}
    for one in ranked:
        wants = _claims(one)
        other = next((claimed[claim] for claim in wants if claim in claimed), None)
        if other is not None:
            aside.append(SetAside(one, f'gives way to "{other.headline}"'))
            continue
        kept.append(one)
        claimed.update(dict.fromkeys(_holds(one), one))
    return kept, aside


def _claims(one: Recommendation) -> list[tuple[str, str]]:
    """Return what must not be held by another for a recommendation to stay."""
    return [claim for claim, _ in _both(one)]


def _holds(one: Recommendation) -> list[tuple[str, str]]:
    """Return what a recommendation holds against later ones."""
    return [claim for _, held in _both(one) for claim in held]


def _both(one: Recommendation) -> list[tuple[tuple[str, str], list[tuple[str, str]]]]:
    out: list[tuple[tuple[str, str], list[tuple[str, str]]]] = []
    for step in one.steps:
        cell, parameter = step.cell, step.parameter
        own = (step.object_id, parameter)
        out.append((own, [own]))
        if parameter == "cio_db" and step.target is not None:
            pair = (" and ".join(sorted((cell, step.target))), "offset")
            out += [(pair, [pair]), ((cell, "offsets out"), [(cell, "triggers")])]
        elif parameter in _TRIGGERS:
            out.append(((cell, "triggers"), [(cell, "offsets out")]))
        elif parameter == "asleep":
            out += [((name, "antenna"), [(name, "sleep")]) for name in one.objects]
            out.append(((cell, "sleeper"), [(cell, "host")]))
            out += [((name, "host"), [(name, "sleeper")]) for name in one.objects if name != cell]
        elif parameter in _GEOMETRY:
            out.append(((cell, "sleep"), [(cell, "antenna")]))
    return out


def planned(
    chosen: Sequence[Recommendation], present: Present, conf: Configuration | None, time_s: float
) -> Planned:
    """Return the changes of recommendations as a plan that passes the guard.

    Bounds, grid, largest step, handover loops and budgets are those of the guard for a person's
    plan. Settings that no file states are taken as the defaults, which is said.

    Args:
        chosen: Without conflicts, best first.
        present: Values of parameters where known.
        conf: Configuration from files, if there is one.
        time_s: Time of the plan [s].
    """
    changes = [
        (one, step.change(one.headline)) for one in chosen for step in one.steps if step.in_plan
    ]
    network = _network([change for _, change in changes], conf)
    if not changes:
        return Planned(None, network, (), "")
    every = [change for _, change in changes]
    parameters, assumed = _parameters(network, present, every), _assumed(present, every)
    plan = Plan(PLAN_ID, OPERATOR, time_s, tuple(change for _, change in changes))
    state = GuardState(base=parameters.copy())
    verdict = check(plan, network, parameters, state, time_s, Limits())
    reasons = {(r.change.object_id, r.change.parameter): r.reason for r in verdict.refused}
    stopped = {
        id(one): reasons[change.object_id, change.parameter]
        for one, change in changes if (change.object_id, change.parameter) in reasons
    }  # fmt: skip
    # the steps of one recommendation stand or fall together
    kept = tuple(change for one, change in changes if id(one) not in stopped)
    refused = tuple(
        SetAside(one, f"the guard refuses it: {stopped[id(one)]}")
        for one in chosen if id(one) in stopped
    )  # fmt: skip
    return Planned(
        Plan(PLAN_ID, OPERATOR, time_s, kept) if kept else None, network, refused, assumed
    )


def undo_of(plan: Plan) -> Plan:
    """Return the plan that takes a plan back, the last change first."""
    back = tuple(change.reverted(f"undo: {change.reason}") for change in reversed(plan.changes))
    return Plan(f"{plan.plan_id}-undo", plan.function, plan.time_s, back)


def _network(changes: Sequence[Change], conf: Configuration | None) -> Network:
    """Return the cells and relations that changes speak of, and their neighbours where known."""
    cells = list(conf.cell_ids) if conf is not None else []
    sites = {}
    if conf is not None:
        sites = dict(zip(conf.cell_ids, conf.site_ids, strict=True))
    pairs: dict[tuple[str, str], None] = {}
    if conf is not None:
        for a, b in zip(conf.relation_source, conf.relation_target, strict=True):
            if a != b:
                pairs[conf.cell_ids[int(a)], conf.cell_ids[int(b)]] = None
    for change in changes:
        cells += [change.cell] + ([change.target] if change.target is not None else [])
        if change.target is not None:
            pairs[change.cell, change.target] = None
            pairs[change.target, change.cell] = None  # a loop needs a way back
    cells = list(dict.fromkeys(cells))
    index = {cell: k for k, cell in enumerate(cells)}
    count = len(cells)
    named = {cell: place.site for cell in cells if (place := place_of(cell)) is not None}
    flat = np.zeros(count)
    return Network(
        "1", tuple(cells), tuple(sites.get(cell) or named.get(cell, cell) for cell in cells),
        flat, flat, flat, flat, flat, flat, flat, ("UMa",) * count, np.zeros(count, np.bool_),
        np.zeros(count, np.bool_),
        np.array([index[a] for a, _ in pairs], np.int32),
        np.array([index[b] for _, b in pairs], np.int32),
    )  # fmt: skip


def _parameters(network: Network, present: Present, changes: Sequence[Change]) -> Parameters:
    """Return the settings that the guard judges by: those known, and else the defaults."""
    out = default_parameters(network)
    known = {address: value for address, value in present.items() if math.isfinite(value)}
    known |= {(one.cell, one.target, one.parameter): one.before for one in changes}
    for (cell, target, name), value in known.items():
        at = network.cell_index.get(cell)
        if at is None:
            continue
        if target is None and name != "cio_db":
            getattr(out, name)[at] = value
        elif target is not None and target in network.cell_index:
            relation = network.relation_index.get((at, network.cell_index[target]))
            if relation is not None:
                out.cio_db[relation] = value
    return out


def _assumed(present: Present, changes: Sequence[Change]) -> str:
    """Return what was assumed for the check of handover loops, in words; "" for nothing."""
    moved = [one for one in changes if one.target is not None]
    if not moved:
        return ""
    known = {name for _, _, name in present}
    lacking = [
        f"{name} = {DEFAULTS[name]:g} dB" for name in ("a3_offset_db", "hysteresis_db")
        if name not in known
    ]  # fmt: skip
    stated = {(cell, target) for cell, target, name in present if name == "cio_db"}
    stated |= {(one.cell, one.target) for one in moved}
    if any((one.target, one.cell) not in stated for one in moved):
        lacking.append("offsets of the way back = 0 dB")
    if not lacking:
        return ""
    return f"handover loops were checked with {', '.join(lacking)}, where no file states them"
