"""A causal model of a network: what was observed, the posterior, and what it was told.

``modelled`` makes one from observations; ``model_bytes`` keeps it. Whoever has the bytes has
all that questions need, the observations included.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.causal.convergence import Convergence
from cellhive.causal.effects import Mechanisms, drawn_mechanisms
from cellhive.causal.graph import Edge, Knowledge, constraints_of
from cellhive.causal.live.snapshots import packed, unpacked
from cellhive.causal.live.soundness import (
    refuse_shape,
    refuse_unsound,
    refuse_unsound_statistics,
)
from cellhive.causal.motifs import Tier, radio_knowledge, tier_of
from cellhive.causal.posterior import Posterior, Settings, discover
from cellhive.causal.queries.identification import Unusable, separable
from cellhive.causal.scores import Prior
from cellhive.causal.statistics import Statistics, statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.flows.causes.observations import Observations

_MISFITS = (LookupError, ArithmeticError, ValueError, TypeError, AttributeError, NotFound)
"""What forged parts of a model may raise."""


@dataclass(frozen=True)
class Told:
    """What a person says of the variables."""

    like: Mapping[str, str] = field(default_factory=dict)
    """The quantity of the registry that a variable resembles, or its tier in small letters."""
    forbidden: tuple[Edge, ...] = ()
    required: tuple[Edge, ...] = ()
    encouraged: tuple[tuple[Edge, float], ...] = ()
    """Edges with log odds to add."""
    radio: bool = True
    """Whether what is known of radio networks is used."""

    def without(self, names: Collection[str]) -> Told:
        """Return what is said of other variables than these.

        Args:
            names: Variables that have turned out to be of no use.
        """

        def fine(edge: Edge) -> bool:
            return edge.cause not in names and edge.effect not in names

        return Told(
            {name: kind for name, kind in self.like.items() if name not in names},
            tuple(filter(fine, self.forbidden)), tuple(filter(fine, self.required)),
            tuple((edge, weight) for edge, weight in self.encouraged if fine(edge)), self.radio,
        )  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """How a model is made."""

    lags: int = 0
    """Earlier periods that may hold causes, 0 to 3."""
    within_cells: bool = True
    """Whether lasting differences between cells are taken off first."""
    seed: int = 1
    settings: Settings | None = None
    counted: float = 1.0
    """Share of the rows that count as independent: below 1 where values follow themselves from
    period to period, which would make everything look surer than it is."""


@dataclass(frozen=True)
class CausalModel:
    """A posterior with what it was made from."""

    seen: Observations
    asked: Asked
    told: Told
    posterior: Posterior
    unusable: tuple[Unusable, ...]
    """Variables whose effects no such data can tell."""
    notes: tuple[str, ...] = ()
    """What was assumed."""

    @property
    def names(self) -> tuple[str, ...]:
        """Variables of the posterior."""
        return self.posterior.names

    def mechanisms(self) -> Mechanisms:
        """Return coefficients and noise drawn for every graph; the same at every call."""
        return drawn_mechanisms(self.posterior, np.random.default_rng([self.asked.seed, 1]))

    def unit(self, name: str) -> str:
        """Return the unit of a variable."""
        return self.seen.units[self.seen.names.index(name)]


def modelled(
    seen: Observations, told: Told | None = None, asked: Asked | None = None
) -> CausalModel:
    """Return a causal model of observations.

    Args:
        seen: What was observed.
        told: What is known beforehand.
        asked: How to make it.

    Raises:
        BadInput: If the data are too few or nothing in them varies.
        NotFound: If what was told speaks of a variable that there is not.
    """
    told, asked = told or Told(), asked or Asked()
    if asked.seed < 0:
        raise BadInput(expected="a seed of 0 or more", found=str(asked.seed))
    if not np.isfinite(seen.values).any():
        raise BadInput(expected="values", found="none that was measured")
    within = asked.within_cells and len(seen.cells) > 1
    statistics = statistics_of(seen.values, seen.names, lags=asked.lags, within_cells=within)
    statistics, unusable = separable(statistics.forgotten(asked.counted))
    if within:
        unusable = tuple(replace(one, reason=_within(one)) for one in unusable)
    if statistics.variables < 2:  # noqa: PLR2004  # a cause and an effect
        why = "; ".join(one.reason for one in unusable) or f"{statistics.variables}"
        raise BadInput(
            expected="at least two variables that vary and are no copies of others", found=why
        )
    told = told.without({one.name for one in unusable})
    knowledge, notes = knowledge_of(told, statistics.names, asked.lags)
    posterior = discover(
        statistics, np.random.default_rng(asked.seed), knowledge=knowledge, settings=asked.settings
    )
    if asked.within_cells and not within:
        notes = (*notes, "one cell: what lasts cannot be told from what acts")
    return CausalModel(seen, replace(asked, within_cells=within), told, posterior, unusable, notes)


def _within(one: Unusable) -> str:
    """Return why a variable cannot be used, where cells were compared with themselves."""
    constant = f"{one.name} did not vary:"
    return f"{one.name} did not vary within any cell." if constant in one.reason else one.reason


def knowledge_of(
    told: Told, names: tuple[str, ...], lags: int
) -> tuple[Knowledge, tuple[str, ...]]:
    """Return what is known of these variables, and what was assumed.

    A variable that neither the registry nor the teller knows is taken for something users
    experience: anything may act on it, and within a period it acts on its like only. Where no
    variable is known at all, nothing is assumed of their sequence.
    """
    gone = sorted({edge_end for edge in _edges(told) for edge_end in (edge.cause, edge.effect)
                   if edge_end not in names} | (set(told.like) - set(names)))  # fmt: skip
    if gone:
        some = ", ".join(names[:8])
        message = (
            f"expected usable variables ({some}, ...) in what is known, found {', '.join(gone)}"
        )
        raise NotFound(message)
    notes: tuple[str, ...] = ()
    known = Knowledge()
    if told.radio:
        like: dict[str, str | Tier] = {name: _tier(text) for name, text in told.like.items()}
        strangers = [name for name in names if name not in like and not _is_known(name)]
        if len(strangers) == len(names):
            notes = ("no variable is one of the registry: nothing is assumed of their sequence",)
        else:
            known = radio_knowledge(
                names, lags, like=like | dict.fromkeys(strangers, Tier.EXPERIENCE)
            )
            if strangers:
                more = f" and {len(strangers) - 6} more" if len(strangers) > 6 else ""  # noqa: PLR2004
                notes = (
                    f"not in the registry, so taken for outcomes: {', '.join(strangers[:6])}{more}"
                    "; say in the knowledge file what they are like",
                )
    encouraged = dict(known.encouraged)
    for edge, weight in told.encouraged:
        encouraged[edge] = encouraged.get(edge, 0.0) + weight
    merged = replace(
        known, forbidden=(*known.forbidden, *told.forbidden),
        required=(*known.required, *told.required), encouraged=encouraged,
    )  # fmt: skip
    return merged, notes


def _edges(told: Told) -> list[Edge]:
    return [*told.forbidden, *told.required, *(edge for edge, _ in told.encouraged)]


def _tier(text: str) -> str | Tier:
    return Tier[text.upper()] if text.upper() in Tier.__members__ else text


def _is_known(name: str) -> bool:
    try:
        tier_of(name)
    except NotFound:
        return False
    return True


# ------------------------------------------------------------------ as bytes


def model_bytes(model: CausalModel) -> bytes:
    """Return a model as bytes, from which ``model_of`` makes it again.

    Args:
        model: Of which all that was observed is kept, too.
    """
    seen, posterior = model.seen, model.posterior
    statistics = posterior.statistics
    values: dict[str, Any] = {
        "seen": {
            "names": seen.names, "units": seen.units, "cells": seen.cells,
            "start_s": seen.start_s, "step_s": seen.step_s, "left_out": seen.left_out,
        },
        "asked": asdict(model.asked),
        "told": {
            "like": dict(model.told.like), "radio": model.told.radio,
            "forbidden": [_listed(edge) for edge in model.told.forbidden],
            "required": [_listed(edge) for edge in model.told.required],
            "encouraged": [[*_listed(edge), weight] for edge, weight in model.told.encouraged],
        },
        "names": statistics.names, "weight": statistics.weight, "prior": posterior.prior.value,
        "convergence": asdict(posterior.convergence),
        "unusable": [[one.name, one.reason] for one in model.unusable], "notes": model.notes,
    }  # fmt: skip
    arrays: dict[str, npt.NDArray[Any]] = {
        "seen": seen.values, "mean": statistics.mean, "scatter": statistics.scatter,
        "candidates": posterior.candidates, "chosen": posterior.chosen,
        "log_score": posterior.log_score, "best_chosen": posterior.best_chosen,
    }  # fmt: skip
    return packed(values, arrays)


def model_of(data: bytes) -> CausalModel:
    """Return the model of its bytes.

    Args:
        data: As ``model_bytes`` gave them.

    Raises:
        BadInput: If they are damaged, of another version, or no model.
    """
    values, arrays = unpacked(data)
    try:
        return _model(values, arrays)
    except _MISFITS as problem:
        raise BadInput(
            expected="a causal model", found=f"parts that do not fit: {problem}",
            remedy="make it again with `cellhive causal discover`",
        ) from problem  # fmt: skip


def _model(values: Mapping[str, Any], arrays: Mapping[str, Any]) -> CausalModel:
    told = values["told"]
    said = Told(
        told["like"], tuple(_edge(one) for one in told["forbidden"]),
        tuple(_edge(one) for one in told["required"]),
        tuple((_edge(one[:3]), float(one[3])) for one in told["encouraged"]), bool(told["radio"]),
    )  # fmt: skip
    seen = values["seen"]
    observed = Observations(
        arrays["seen"], tuple(seen["names"]), tuple(seen["units"]), tuple(seen["cells"]),
        float(seen["start_s"]), float(seen["step_s"]),
        tuple((name, why) for name, why in seen["left_out"]),
    )  # fmt: skip
    asked = values["asked"]
    how = Asked(
        int(asked["lags"]), bool(asked["within_cells"]), int(asked["seed"]),
        None if asked["settings"] is None else _settings(asked["settings"]),
    )  # fmt: skip
    if how.seed < 0:
        raise ValueError(f"the seed {how.seed}")  # noqa: EM102
    names = tuple(values["names"])
    statistics = Statistics(
        names, how.lags, float(values["weight"]), arrays["mean"], arrays["scatter"]
    )
    refuse_unsound_statistics(statistics)
    refuse_shape("seen", observed.values, _shape_of(observed), "f")
    if not set(names) <= set(observed.names):
        raise ValueError("variables that were not observed")  # noqa: EM101
    knowledge, _ = knowledge_of(said, names, how.lags)
    posterior = Posterior(
        statistics, constraints_of(knowledge, names, how.lags), Prior(values["prior"]),
        arrays["candidates"], arrays["chosen"], arrays["log_score"], arrays["best_chosen"],
        _convergence(values["convergence"]),
    )  # fmt: skip
    refuse_unsound(posterior)
    unusable = tuple(Unusable(name, reason) for name, reason in values["unusable"])
    return CausalModel(observed, how, said, posterior, unusable, tuple(values["notes"]))


def _shape_of(seen: Observations) -> tuple[int, int, int]:
    if len(seen.units) != len(seen.names):
        raise ValueError("a unit for each variable")  # noqa: EM101
    return len(seen.values), len(seen.cells), len(seen.names)


def _settings(told: Mapping[str, Any]) -> Settings:
    prior, starts, candidates = told["prior"], told["starts"], told["candidates"]
    return Settings(
        None if prior is None else Prior(prior), None if starts is None else int(starts),
        None if candidates is None else int(candidates), int(told["chains"]), int(told["graphs"]),
        float(told["moves_per_node"]), float(told["burn_in"]),
        tuple(float(beta) for beta in told["betas"]),
    )  # fmt: skip


def _convergence(told: Mapping[str, Any]) -> Convergence:
    numbers = {name: float(value) for name, value in told.items() if name != "exchanged"}
    return Convergence(**numbers, exchanged=tuple(float(share) for share in told["exchanged"]))


def _listed(edge: Edge) -> list[Any]:
    return [edge.cause, edge.effect, edge.lag]


def _edge(listed: list[Any]) -> Edge:
    cause, effect, lag = listed
    return Edge(str(cause), str(effect), None if lag is None else int(lag))


def told_of(text: Mapping[str, Any]) -> Told:
    """Return what a knowledge file says.

    Args:
        text: The file, parsed: ``like`` (variable: quantity or tier), ``forbidden``, ``required``
            (lists of [cause, effect] or [cause, effect, lag]), ``encouraged`` (lists of [cause,
            effect, log odds] or [cause, effect, lag, log odds]), ``radio`` (true or false).

    Raises:
        BadInput: If it says something else.
    """
    known = {"like", "forbidden", "required", "encouraged", "radio"}
    odd = sorted(str(key) for key in set(text) - known)
    if odd:
        raise BadInput(expected=f"the keys {', '.join(sorted(known))}", found=", ".join(odd))
    like = text.get("like") or {}
    if not isinstance(like, Mapping) or not all(isinstance(v, str) for v in like.values()):
        raise BadInput(expected="`like` with a quantity or tier for each variable",
                       found=json.dumps(like, default=str))  # fmt: skip
    if not isinstance(text.get("radio", True), bool):
        raise BadInput(expected="`radio` true or false", found=str(text["radio"]))
    weighed = tuple(
        (_spoken(one[:-1], "encouraged"), _weight(one)) for one in _lists(text, "encouraged")
    )
    return Told(
        {str(name): value for name, value in like.items()},
        tuple(_spoken(one, "forbidden") for one in _lists(text, "forbidden")),
        tuple(_spoken(one, "required") for one in _lists(text, "required")),
        weighed, text.get("radio", True),
    )  # fmt: skip


def _lists(text: Mapping[str, Any], key: str) -> list[list[Any]]:
    given = text.get(key) or []
    if not isinstance(given, list) or not all(isinstance(one, list) and one for one in given):
        raise BadInput(expected=f"`{key}` as a list of [cause, effect]", found=str(given)[:80])
    return given


def _spoken(one: list[Any], key: str) -> Edge:
    cause, effect, *lag = one if len(one) >= 2 else (None, None)  # noqa: PLR2004
    right = isinstance(cause, str) and isinstance(effect, str) and len(lag) <= 1
    if not right or (lag and type(lag[0]) is not int):
        wanted = f"[cause, effect] or [cause, effect, lag] in `{key}`"
        raise BadInput(expected=wanted, found=str(one)[:80])
    return Edge(str(cause), str(effect), lag[0] if lag else None)


def _weight(one: list[Any]) -> float:
    if isinstance(one[-1], bool) or not isinstance(one[-1], int | float):
        raise BadInput(expected="log odds last in `encouraged`", found=str(one)[:80])
    return float(one[-1])
