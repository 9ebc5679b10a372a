"""DoWhy and we, on the same graph and data: identification, effects, counterfactuals."""

from __future__ import annotations

import random  # noqa: TID251  # whether DoWhy's use of it shows
import warnings

import numpy as np
import pytest

from cellhive.causal.effects import total_effects
from cellhive.causal.graph import Edge
from cellhive.causal.posterior import Settings
from cellhive.causal.queries.whatif import counterfactual
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Bools
from cellhive.flows.causes.established import identified, second_opinion
from cellhive.flows.causes.model import Asked, CausalModel, Told, modelled
from cellhive.flows.causes.observations import Observations

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("dowhy", reason="DoWhy is not installed: pip install 'cellhive[causal]'")

NAMES = ("z", "x", "m", "y", "i")
EDGES = [("z", "x"), ("i", "x"), ("x", "m"), ("m", "y"), ("z", "y")]


def graph(edges: list[tuple[str, str]]) -> Bools:
    """Return edges within a period as a graph."""
    drawn = np.zeros((1, len(NAMES), len(NAMES)), np.bool_)
    for cause, effect in edges:
        drawn[0, NAMES.index(cause), NAMES.index(effect)] = True
    return drawn


@pytest.fixture(scope="module")
def model() -> CausalModel:
    """Return a model whose graph is required, of data with coefficients 1, ½, 2, -1½ and 3."""
    z, i, x, m, y = np.random.default_rng(7).standard_normal((5, 2000))
    x += z + 0.5 * i
    m += 2.0 * x
    y += -1.5 * m + 3.0 * z
    panel = np.stack([z, x, m, y, i], axis=1)[:, None, :]
    seen = Observations(panel, NAMES, ("",) * 5, ("all",))
    others = [Edge(a, b) for a in NAMES for b in NAMES if a != b and (a, b) not in EDGES]
    told = Told(radio=False, required=tuple(Edge(a, b) for a, b in EDGES), forbidden=tuple(others))
    return modelled(seen, told, Asked(settings=Settings(starts=2, graphs=2000)))


@pytest.mark.parametrize(
    ("edges", "hidden", "held", "through", "by", "told"),
    [
        (EDGES, (), {"z"}, ("m",), ("i",), True),
        (EDGES, ("z",), None, ("m",), ("i",), True),
        (EDGES, ("z", "m"), None, (), ("i",), False),
        ([*EDGES[:1], ("x", "y"), ("z", "y")], ("z",), None, (), (), False),
        ([("x", "y"), ("z", "y")], ("z",), set(), (), (), True),
        ([("y", "x")], (), None, (), (), True),
    ],
    ids=["back door", "front door", "instrument", "confounded", "as it stands", "no path"],
)
def test_identification(
    edges: list[tuple[str, str]], hidden: tuple[str, ...], held: set[str] | None,
    through: tuple[str, ...], by: tuple[str, ...], told: bool,
) -> None:  # fmt: skip
    """Textbook graphs: what to hold, what to follow, what moves the cause alone, or nothing."""
    found = identified(graph(edges), NAMES, "x", "y", hidden=hidden)
    assert (None if found.adjustment is None else set(found.adjustment)) == held
    assert (found.front_door, found.instruments, found.told) == (through, by, told)
    assert ("cannot be told" in found.words()) == (not told and not by)


def test_earlier_periods_are_held_too() -> None:
    """A common cause one period ago is adjusted for under its name then."""
    edges = np.zeros((2, 5, 5), np.bool_)
    edges[0, 1, 3] = edges[1, 0, 1] = edges[1, 0, 3] = True
    found = identified(edges, NAMES, "x", "y")
    assert found.adjustment == ("z 1 period ago",)
    assert not identified(edges, NAMES, "x", "y", hidden=["z"]).told


def test_effects_are_those_of_dowhy(model: CausalModel) -> None:
    """Total effects along the required graph equal DoWhy's regressions, and its refuters agree."""
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    ours = total_effects(model.mechanisms())
    for cause, effect, truth in (("x", "y", -3.0), ("z", "m", 2.0), ("z", "y", 0.0)):
        theirs = second_opinion(model, cause, effect)
        found = ours.interval(cause, effect)[1]
        assert found == pytest.approx(theirs.estimate, rel=0.01, abs=0.0 if truth else 0.05)
        assert theirs.estimate == pytest.approx(truth, abs=0.15)
        assert theirs.distracted == pytest.approx(theirs.estimate, abs=0.02)
        assert abs(theirs.placebo) < 0.3
    assert second_opinion(model, "z", "y") == theirs
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert random.getstate() == before[1]


def test_counterfactuals_are_those_of_gcm(model: CausalModel) -> None:
    """DoWhy's invertible linear model answers "what if" for a period as we do."""
    import networkx  # noqa: PLC0415  # with the extra
    import pandas as pd  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dowhy import gcm  # noqa: PLC0415

        gcm.config.disable_progress_bars()
        frame = pd.DataFrame(model.seen.values[:, 0], columns=list(NAMES))
        theirs = gcm.InvertibleStructuralCausalModel(networkx.DiGraph(EDGES))
        for name in NAMES:
            theirs.set_causal_mechanism(
                name,
                gcm.EmpiricalDistribution() if name in {"z", "i"}
                else gcm.AdditiveNoiseModel(gcm.ml.create_linear_regressor()),
            )  # fmt: skip
        gcm.fit(theirs, frame)
        row = frame.iloc[[17]]
        wanted = gcm.counterfactual_samples(theirs, {"x": lambda _: 1.5}, observed_data=row)
    found = counterfactual(model.mechanisms(), model.seen.values[17], {"x": 1.5})
    np.testing.assert_allclose(found.mean[0], wanted[list(NAMES)].to_numpy()[0], rtol=0.01)


def test_what_dowhy_cannot_be_asked_is_refused(model: CausalModel) -> None:
    """The same variable twice, a hidden cause, unknown names, and no effect to estimate."""
    with pytest.raises(BadInput, match="another variable"):
        identified(graph(EDGES), NAMES, "x", "x")
    with pytest.raises(BadInput, match="hide neither"):
        identified(graph(EDGES), NAMES, "x", "y", hidden=["x"])
    with pytest.raises(NotFound, match="nothing"):
        identified(graph(EDGES), NAMES, "x", "y", hidden=["nothing"])
    with pytest.raises(BadInput, match="nothing leads from y to x"):
        second_opinion(model, "y", "x")
