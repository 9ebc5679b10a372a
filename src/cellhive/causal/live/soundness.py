"""Whether what came out of a file may be given to compiled code, which checks no index itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.causal.effects import sort_graphs
from cellhive.causal.graph import Constraints
from cellhive.causal.posterior import Posterior, Trail
from cellhive.causal.statistics import MOST_LAGS, Statistics
from cellhive.core.types import Ints

_MOST_CANDIDATES = 20


def refuse_unsound_statistics(statistics: Statistics) -> None:
    """Refuse statistics whose parts do not fit.

    Args:
        statistics: As read.

    Raises:
        ValueError: If they are none.
    """
    names = statistics.names
    _demand(all(isinstance(name, str) for name in names), "names that are words")
    _demand(0 < len(names) == len(set(names)), "different names")
    _demand(statistics.lags in range(MOST_LAGS + 1), f"0 to {MOST_LAGS} lags")
    columns = statistics.columns
    refuse_shape("mean", statistics.mean, (columns,), "f")
    refuse_shape("scatter", statistics.scatter, (columns, columns), "f")
    whole = np.isfinite(statistics.mean).all() and np.isfinite(statistics.scatter).all()
    _demand(bool(whole) and 0.0 <= statistics.weight < math.inf, "finite statistics")


def refuse_unsound(posterior: Posterior) -> None:
    """Refuse a posterior whose parts do not fit.

    Args:
        posterior: As read.

    Raises:
        ValueError: If it is none.
    """
    refuse_unsound_statistics(posterior.statistics)
    size, columns = posterior.statistics.variables, posterior.statistics.columns
    refuse_unsound_constraints(posterior.constraints, size, columns)
    candidates, chosen = posterior.candidates, posterior.chosen
    _demand(candidates.ndim == 2 and chosen.ndim == 2, "tables of candidates and graphs")  # noqa: PLR2004
    most = candidates.shape[1]
    _demand(most <= _MOST_CANDIDATES, f"at most {_MOST_CANDIDATES} candidates")
    refuse_shape("candidates", candidates, (size, most), "i")
    _demand(len(chosen) > 0, "graphs")
    refuse_shape("chosen", chosen, (len(chosen), size), "i")
    refuse_shape("best_chosen", posterior.best_chosen, (size,), "i")
    refuse_shape("log_score", posterior.log_score, (len(chosen),), "f")
    inside = (candidates >= -1) & (candidates < columns)
    _demand(bool(inside.all()), "candidates that are columns")
    real = ((candidates >= 0) << np.arange(most)).sum(axis=1)
    graphs = np.concatenate([chosen, posterior.best_chosen[None]])
    _demand(bool((graphs & ~real == 0).all()), "parents that are candidates")
    order = np.empty(graphs.shape, np.int32)
    _demand(bool(sort_graphs(candidates, graphs, order)), "graphs without cycles")


def refuse_unsound_constraints(constraints: Constraints, size: int, columns: int) -> None:
    """Refuse constraints of other shapes.

    Args:
        constraints: As read.
        size: Variables.
        columns: Variables and lagged variables.

    Raises:
        ValueError: If they are none.
    """
    for name, kind in (("allowed", "b"), ("required", "b"), ("preference", "f")):
        refuse_shape(name, getattr(constraints, name), (columns, size), kind)
    refuse_shape("tiers", constraints.tiers, (size,), "i")


def refuse_unsound_trail(trail: Trail, size: int, columns: int) -> None:
    """Refuse a trail that is not of orders of the variables.

    Args:
        trail: As read.
        size: Variables.
        columns: Variables and lagged variables.

    Raises:
        ValueError: If it is none.
    """
    refuse_shape("joined", trail.joined, (columns, size), "b")
    _refuse_orders("orders", trail.orders, size, 2)
    _refuse_orders("ends", trail.ends, size, 3)


def _refuse_orders(name: str, orders: Ints, size: int, axes: int) -> None:
    _demand(orders.ndim == axes and orders.size > 0, name)
    refuse_shape(name, orders, (*orders.shape[:-1], size), "i")
    _demand(bool((np.sort(orders, axis=-1) == np.arange(size)).all()), f"{name} of all variables")


def refuse_shape(
    name: str, array: npt.NDArray[Any], shape: tuple[int, ...], kind: str
) -> None:  # fmt: skip
    """Refuse an array of another shape or kind of number.

    Args:
        name: Of the array.
        array: As read.
        shape: That it must have.
        kind: Of its numbers, as NumPy writes it; floats are of 64 bits, integers of 32.

    Raises:
        ValueError: If it has another.
    """
    dtype = {"f": "float64", "i": "int32", "b": "bool"}[kind]
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} of {array.dtype} in the shape {array.shape}")  # noqa: EM102


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"expected {what}")  # noqa: EM102
