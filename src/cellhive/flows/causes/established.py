"""What DoWhy says of the same question: identification from the graph, an estimate, refuters.

DoWhy is the established tool for deciding from a graph whether an effect can be told from what
is observed, and by which variables (Sharma and Kiciman 2020, "DoWhy: an end-to-end library for
causal inference"; Pearl 2009, sections 3.3 and 3.5). It knows one graph and no posterior, so it
is asked about the most probable graph, or one that is given. It comes with the extra ``causal``
and is imported when it is asked.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from cellhive.causal.effects import place_of
from cellhive.causal.statistics import panel_rows
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Bools, Floats
from cellhive.flows.causes.model import CausalModel
from cellhive.flows.causes.observations import centred

_FEWEST_ROWS = 20
_REPEATS = 5


@dataclass(frozen=True)
class Identified:
    """Whether and how a graph lets an effect be told from what is observed."""

    cause: str
    effect: str
    hidden: tuple[str, ...]
    """Variables taken for not observed."""
    path: bool
    """Whether a directed path leads from cause to effect; if not, the effect is 0."""
    adjustment: tuple[str, ...] | None
    """Variables to hold (back-door criterion), possibly none of them; None: no set will do."""
    front_door: tuple[str, ...]
    """Variables through which all of the effect passes and can be followed."""
    instruments: tuple[str, ...]
    """Variables that move the effect through the cause alone; with straight lines they tell."""

    @property
    def told(self) -> bool:
        """Whether the effect follows from the observed, whatever the mechanisms look like."""
        return not self.path or self.adjustment is not None or bool(self.front_door)

    def words(self) -> str:
        """Say it in a sentence."""
        start = f"In this graph the effect of {self.cause} on {self.effect}"
        if not self.path:
            return f"In this graph nothing leads from {self.cause} to {self.effect}."
        if self.adjustment is not None:
            held = ", ".join(self.adjustment)
            return f"{start} can be told {f'with {held} held' if held else 'as it stands'}."
        if self.front_door:
            return f"{start} can be told through {', '.join(self.front_door)}."
        if self.instruments:
            return f"{start} can be told by {', '.join(self.instruments)} if lines are straight."
        hidden = f" with {', '.join(self.hidden)} hidden" if self.hidden else ""
        return f"{start} cannot be told from what is observed{hidden}."


@dataclass(frozen=True)
class SecondOpinion:
    """DoWhy's least squares on the data of a model, and its refuters."""

    identified: Identified
    estimate: float
    """Effect of a unit of the cause, in units of the effect."""
    placebo: float
    """The estimate with the cause's values exchanged at random: near 0 if all is well."""
    distracted: float
    """The estimate with a common cause of pure chance added: near the estimate if all is well."""


def identified(
    edges: Bools, names: Sequence[str], cause: str, effect: str, *, hidden: Sequence[str] = ()
) -> Identified:
    """Return whether and how an effect within a period can be told, by DoWhy.

    Args:
        edges: A graph, [lag, cause, effect]; earlier periods are in it as far as lags reach.
        names: Of the variables.
        cause: Variable that is set.
        effect: Variable that is looked at, in the same period.
        hidden: Variables that the graph has and nobody observes.

    Raises:
        NotFound: If a variable is unknown, or DoWhy is not installed.
        BadInput: If the two are the same, or hidden.
    """
    size = len(names)
    start, end = place_of(names, cause), place_of(names, effect)
    unseen = {place_of(names, name) for name in hidden}
    if start == end or {start, end} & unseen:
        raise BadInput(
            expected="a cause and another variable, both observed", found=f"{cause}, {effect}",
            remedy="hide neither of them",
        )  # fmt: skip
    _dowhy()
    import networkx  # noqa: PLC0415  # with the extra
    from dowhy.causal_identifier import EstimandType, identify_effect_auto  # noqa: PLC0415

    whole = networkx.DiGraph()
    whole.add_nodes_from(f"n{k}" for k in range(size * len(edges)))
    whole.add_edges_from(_window(edges))
    ends = [f"n{start}", f"n{end}"]
    relevant = set(ends).union(*(networkx.ancestors(whole, one) for one in ends))
    graph = whole.subgraph(relevant).copy()
    observed = [one for one in graph if int(one[1:]) % size not in unseen]
    found = identify_effect_auto(
        graph, [ends[0]], [ends[1]], observed, EstimandType.NONPARAMETRIC_ATE
    )
    path = not found.no_directed_path
    estimands = found.estimands or {}

    def told(nodes: Sequence[str] | None) -> tuple[str, ...]:
        places = sorted(int(one[1:]) for one in nodes or ())
        return tuple(_label(names, place) for place in places)

    held = told(found.get_backdoor_variables()) if path and estimands.get("backdoor") else None
    return Identified(
        cause, effect, tuple(hidden), path, held,
        told(found.get_frontdoor_variables()) if path else (),
        told(found.get_instrumental_variables()) if path else (),
    )  # fmt: skip


def _window(edges: Bools) -> list[tuple[str, str]]:
    """Return the edges among the periods that lags reach, each as often as it fits."""
    lags, size = len(edges) - 1, edges.shape[1]
    return [
        (f"n{(shift + lag) * size + cause}", f"n{shift * size + effect}")
        for lag, cause, effect in np.argwhere(edges).tolist()
        for shift in range(lags - lag + 1)
    ]


def _label(names: Sequence[str], place: int) -> str:
    lag, which = divmod(place, len(names))
    return names[which] if not lag else f"{names[which]} {lag} period{'s' * (lag > 1)} ago"


def second_opinion(
    model: CausalModel, cause: str, effect: str, *, edges: Bools | None = None, seed: int = 1
) -> SecondOpinion:
    """Return what DoWhy's least squares and refuters say of an effect within a period.

    Args:
        model: With its observations.
        cause: Variable that is set.
        effect: Variable that is looked at.
        edges: A graph, [lag, cause, effect]; None: the most probable one.
        seed: Of the refuters' chance.

    Raises:
        NotFound: If a variable is unknown, or DoWhy is not installed.
        BadInput: If the graph has no effect, or there are too few rows without gaps.
    """
    graph = model.posterior.best_graph() if edges is None else edges
    found = identified(graph, model.names, cause, effect)
    if not found.path or found.adjustment is None:
        raise BadInput(
            expected="a graph with an effect that can be told by holding others",
            found=found.words(), remedy="ask for another effect",
        )  # fmt: skip
    rows = _rows(model)
    if len(rows) < _FEWEST_ROWS:
        raise BadInput(expected=f"at least {_FEWEST_ROWS} rows without gaps", found=f"{len(rows)}")
    dowhy = _dowhy()
    import networkx  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    with _chance_apart(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas and statsmodels within DoWhy
        drawn = networkx.DiGraph(_window(graph))
        nodes = [f"n{k}" for k in range(rows.shape[1])]
        drawn.add_nodes_from(nodes)
        asked: Any = dowhy.CausalModel(
            pd.DataFrame(rows, columns=nodes), f"n{place_of(model.names, cause)}",
            f"n{place_of(model.names, effect)}", graph=drawn,
        )  # fmt: skip
        estimand = asked.identify_effect(proceed_when_unidentifiable=True)
        estimate = asked.estimate_effect(estimand, method_name="backdoor.linear_regression")
        refuted = [
            asked.refute_estimate(
                estimand, estimate, method_name=method, random_state=seed,
                num_simulations=_REPEATS, show_progress_bar=False, **more,
            ).new_effect
            for method, more in (
                ("placebo_treatment_refuter", {"placebo_type": "permute"}),
                ("random_common_cause", {}),
            )
        ]  # fmt: skip
    return SecondOpinion(found, float(estimate.value), float(refuted[0]), float(refuted[1]))


def _rows(model: CausalModel) -> Floats:
    panel = model.seen.chosen_exactly(model.names).values
    panel = centred(panel) if model.asked.within_cells else panel
    rows = panel_rows(panel, model.asked.lags)
    whole: Floats = rows[np.isfinite(rows).all(axis=1)]
    return whole


@contextlib.contextmanager
def _chance_apart(seed: int) -> Iterator[None]:
    """Give what draws from NumPy's global numbers a seed, and put these back as they were."""
    before = np.random.get_state()  # noqa: NPY002  # DoWhy draws from it: nobody else shall notice
    np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _dowhy() -> ModuleType:
    """Return DoWhy.

    Raises:
        NotFound: If it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its imports
            import dowhy  # noqa: PLC0415  # heavy, and with the extra alone
    except ImportError as problem:
        message = (
            "expected DoWhy, found that it is not installed; install it with "
            "`pip install -c constraints.txt 'cellhive[causal]'`"
        )
        raise NotFound(message) from problem
    found: ModuleType = dowhy
    return found
