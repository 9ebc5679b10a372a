"""Curiosity goes where values surprise, leaves what has settled, and never passes the mask."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.rl.learning.exploration import (
    Exploration,
    ExplorationSettings,
    risk_of,
    softened,
)
from cellhive.rl.observations import KPI_FEATURES, features_of

CELLS = 4


def seen(load: float, failing: float) -> np.ndarray:
    """Return an observation of every cell with a load and a rate of failures."""
    names = [feature.name for feature in KPI_FEATURES]
    rows = np.full((CELLS, len(features_of(2))), 0.5, np.float32)
    rows[:, names.index("prb_utilisation_ratio")] = load
    rows[:, names.index("rlf_per_ue_min")] = failing
    return rows


def test_nothing_known_is_1_everywhere() -> None:
    """Before the first iteration, and where all cells are alike."""
    explorer = Exploration(CELLS)
    np.testing.assert_array_equal(explorer.weights(), 1.0)
    explorer.learn(np.full((3, 2, CELLS), 5.0), np.full((3, 2, CELLS), 0.7))
    np.testing.assert_allclose(explorer.weights(), 1.0, atol=1e-6)


def test_surprise_raises_and_what_is_settled_lowers() -> None:
    """By hand: surprises 1, 2, 4, 8 over their geometric mean, and entropies alike."""
    explorer = Exploration(CELLS)
    surprise = np.array([1.0, -2.0, 4.0, -8.0]) * np.ones((5, 2, CELLS))
    explorer.learn(surprise, np.full(CELLS, 0.3))
    middle = 2**1.5
    np.testing.assert_allclose(explorer.weights(), np.array([1, 2, 4, 8]) / middle, rtol=1e-5)
    settled = Exploration(CELLS)
    settled.learn(np.ones((5, 2, CELLS)), np.array([0.04, 0.04, 0.01, 0.64]))
    entropies = np.array([0.04, 0.04, 0.01, 0.64])
    expected = np.sqrt(entropies / np.exp(np.log(entropies).mean()))
    np.testing.assert_allclose(settled.weights(), np.clip(expected, 0.2, 3.0), rtol=1e-5)


def test_what_was_long_ago_is_forgotten() -> None:
    """A cell that surprised once comes back to the others, and the weights stay within bounds."""
    explorer = Exploration(CELLS)
    explorer.learn(np.array([1.0, 1.0, 1.0, 1000.0]), np.ones(CELLS))
    assert explorer.weights()[3] == pytest.approx(3.0)
    assert explorer.weights().min() >= 0.2 - 1e-6
    for _ in range(80):
        explorer.learn(np.ones(CELLS), np.ones(CELLS))
    np.testing.assert_allclose(explorer.weights(), 1.0, atol=0.05)


def test_risk_lowers_by_where_and_when() -> None:
    """A loaded or failing cell is explored less, in the same iteration."""
    explorer = Exploration(CELLS)
    idle, loaded, failing = seen(0.0, 0.0), seen(0.8, 0.0), seen(0.8, 0.5)
    np.testing.assert_allclose(explorer.weights(idle), 1.0)
    np.testing.assert_allclose(explorer.weights(loaded), np.exp(-0.8), rtol=1e-5)
    np.testing.assert_allclose(risk_of(failing), 0.9, rtol=1e-6)
    assert explorer.weights(np.stack([idle, loaded])).shape == (2, CELLS)
    unknown = seen(-1.0, -1.0)
    np.testing.assert_allclose(risk_of(unknown), 0.0)


def test_curiosity_ends_with_time() -> None:
    """After a half-life it is half, and never below the lowest."""
    explorer = Exploration(CELLS, ExplorationSettings(half_life=10.0))
    for _ in range(10):
        explorer.learn(np.ones(CELLS), np.ones(CELLS))
    np.testing.assert_allclose(explorer.weights(), 0.5, rtol=1e-5)
    for _ in range(90):
        explorer.learn(np.ones(CELLS), np.ones(CELLS))
    np.testing.assert_allclose(explorer.weights(), 0.2, rtol=1e-5)


def test_no_temperature_lets_through_what_is_masked_out() -> None:
    """Chances move among what is allowed; a temperature of 1 changes none."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, CELLS, 3, 3)).astype(np.float32)
    logits[..., 2] = -1e9

    def chances(values: np.ndarray) -> np.ndarray:
        powers = np.exp(values - values.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    soft = softened(logits, np.full((2, CELLS), 1.0, np.float32))
    np.testing.assert_allclose(chances(soft), chances(logits), atol=1e-6)
    hot = chances(softened(logits, np.full((2, CELLS), 1e6, np.float32)))
    assert hot[..., 2].max() == 0.0
    np.testing.assert_allclose(hot[..., :2], 0.5, atol=1e-4)
    cold = chances(softened(logits, np.full((2, CELLS), 0.01, np.float32)))
    assert (cold.argmax(-1) == logits.argmax(-1)).all()
    with pytest.raises(BadInput, match="above 0"):
        softened(logits, np.zeros((2, CELLS), np.float32))


def test_a_state_goes_on_exactly_and_others_are_refused() -> None:
    """What was learnt comes back; a state of other cells does not."""
    one, other = Exploration(CELLS), Exploration(CELLS)
    one.learn(np.arange(1.0, 5.0), np.ones(CELLS))
    other.restore(one.state())
    for each in (one, other):
        each.learn(np.ones(CELLS), np.arange(1.0, 5.0))
    np.testing.assert_array_equal(one.weights(), other.weights())
    with pytest.raises(BadInput, match="exploration state"):
        Exploration(5).restore(one.state())
    with pytest.raises(BadInput, match="not finite"):
        one.learn(np.full(CELLS, np.nan), np.ones(CELLS))
    for wrong in ({"low": 2.0}, {"memory": 1.0}, {"risk": -1.0}):
        with pytest.raises(BadInput):
            ExplorationSettings(**wrong)
