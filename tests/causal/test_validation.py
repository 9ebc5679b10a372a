"""Checks that pass on good models and fail, by name, on models that are wrong in a known way."""

from __future__ import annotations

import numpy as np
import pytest
from linear_models import names_of, random_model, samples_of

from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.posterior import Settings
from cellhive.causal.queries.validation import (
    Study,
    held_out,
    refute,
    residual_checks,
    stability,
    together,
)
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats

QUICK = Settings(graphs=60)
ORDERED = Knowledge(tiers={"x": 0, "y": 1, "z": 2})


def panel_of(seed: int, periods: int = 60, cells: int = 20, size: int = 6) -> tuple[Floats, Floats]:
    """Return a panel of independent periods of a random linear model, and the model."""
    rng = np.random.default_rng(seed)
    model = random_model(size, 2.0, rng)
    return samples_of(model, periods * cells, rng).reshape(periods, cells, size), model


def chain(periods: int = 80, cells: int = 20, bend: float = 0.0) -> Floats:
    """Return x -> y -> z, where y bends if asked to."""
    rng = np.random.default_rng(5)
    x, first, second = rng.standard_normal((3, periods, cells))
    y = x + bend * x**2 + first
    return np.stack([x, y, 0.8 * y + second], axis=2)


def test_a_good_model_passes_everything() -> None:
    """Linear, Gaussian, independent: nothing to complain of, on three random models."""
    for seed in range(3):
        panel, _ = panel_of(seed)
        study = Study(panel, tuple(names_of(6)), settings=QUICK)
        rng = np.random.default_rng(seed)
        verdict = together([
            held_out(study, rng), residual_checks(study.mechanisms(rng), panel),
        ])  # fmt: skip
        assert verdict.passed, str(verdict)
        assert {check.name for check in verdict.checks} == {
            "held out", "intervals", "linear", "even spread", "independent in time",
        }  # fmt: skip
        assert "passed all" in str(verdict)


def test_the_gain_is_what_the_causes_tell() -> None:
    """One cause with correlation r: the gain per value is -log(1 - r^2) / 2."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 40))
    y = 1.5 * x + rng.standard_normal(x.shape)
    study = Study(np.stack([x, y], axis=2), ("x", "y"), settings=QUICK,
                  knowledge=Knowledge(required=[Edge("x", "y")]))  # fmt: skip
    gain = [check.value for check in held_out(study, rng).checks if check.name == "held out"]
    assert gain == pytest.approx([0.5 * np.log(1.0 + 1.5**2)], abs=0.03)


def test_a_curve_is_noticed() -> None:
    """The mechanism that bends is named, and only that one."""
    panel = chain(bend=0.8)
    study = Study(panel, ("x", "y", "z"), settings=QUICK,
                  knowledge=ORDERED)  # fmt: skip
    rng = np.random.default_rng(2)
    failed = residual_checks(study.mechanisms(rng), panel).failed
    assert ("linear", "y") in {(check.name, check.about) for check in failed}
    assert "z" not in {check.about for check in failed if check.name == "linear"}
    assert any("not linear" in check.words for check in failed)


def test_uneven_spread_is_noticed() -> None:
    """Noise that grows with the cause."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((80, 20))
    y = 2.0 * x + np.exp(x) * rng.standard_normal(x.shape)
    panel = np.stack([x, y], axis=2)
    study = Study(panel, ("x", "y"), settings=QUICK, knowledge=Knowledge(tiers={"x": 0, "y": 1}))
    failed = residual_checks(study.mechanisms(rng), panel).failed
    assert ("even spread", "y") in {(check.name, check.about) for check in failed}


def test_a_missing_lag_is_noticed_and_mended() -> None:
    """A variable that remembers itself fails without lags and passes with one."""
    rng = np.random.default_rng(4)
    x, y = np.zeros((2, 300, 4))
    for k in range(1, 300):
        x[k] = rng.standard_normal(4)
        y[k] = 0.8 * y[k - 1] + x[k] + rng.standard_normal(4)
    panel = np.stack([x, y], axis=2)
    for lags, fine in ((0, False), (1, True)):
        study = Study(panel, ("x", "y"), lags=lags, settings=QUICK,
                      knowledge=Knowledge(required=[Edge("x", "y")]))  # fmt: skip
        verdict = residual_checks(study.mechanisms(rng), panel)
        checks = [check for check in verdict.checks if check.name == "independent in time"]
        assert [check.passed for check in checks] == [fine]
        if not fine:
            assert "ask for lags" in str(verdict)


def test_a_network_that_changed_fails_held_out() -> None:
    """Later periods follow another law: worse than knowing nothing."""
    panel = chain(bend=0.0)
    panel[60:, :, 2] = -2.0 * panel[60:, :, 1]
    study = Study(panel, ("x", "y", "z"), settings=QUICK)
    failed = held_out(study, np.random.default_rng(6)).failed
    assert ("held out", "z") in {(check.name, check.about) for check in failed}
    assert ("intervals", "z") in {(check.name, check.about) for check in failed}


def test_a_real_effect_survives_its_refuters() -> None:
    """Placebo near zero, distractor and fewer data move nothing much."""
    study = Study(chain(), ("x", "y", "z"), settings=QUICK, knowledge=ORDERED)
    verdict = refute(study, "y", "z", np.random.default_rng(7))
    assert verdict.passed, str(verdict)
    assert {check.name for check in verdict.checks} == {"placebo", "distractor", "fewer data"}


def test_an_effect_that_holds_only_at_times_does_not_survive() -> None:
    """It changes its sign half-way: leaving a third of the periods out moves it."""
    panel = chain()
    rng = np.random.default_rng(8)
    sign = np.where(np.arange(80) < 52, 1.0, -1.0)[:, None]
    panel[:, :, 2] = 2.0 * sign * panel[:, :, 1] + 0.3 * rng.standard_normal(panel.shape[:2])
    study = Study(panel, ("x", "y", "z"), settings=QUICK, knowledge=ORDERED)
    failed = refute(study, "y", "z", rng).failed
    assert "fewer data" in {check.name for check in failed}


def test_edges_that_are_there_are_stable() -> None:
    """In halves of the cells the chain's edges are found again, and no edge from x to z."""
    study = Study(chain(), ("x", "y", "z"), settings=QUICK,
                  knowledge=ORDERED)  # fmt: skip
    share = stability(study, np.random.default_rng(9), repeats=3)[0]
    assert share[0, 1] > 0.95
    assert share[1, 2] > 0.95
    assert share[0, 2] < 0.3


def test_wrong_questions_are_refused() -> None:
    """Each says what was expected."""
    study = Study(chain(periods=12), ("x", "y", "z"), settings=QUICK)
    rng = np.random.default_rng(10)
    with pytest.raises(NotFound, match="'moon'"):
        refute(study, "moon", "z", rng)
    with pytest.raises(BadInput, match="at least one repeat"):
        refute(study, "x", "z", rng, repeats=0)
    with pytest.raises(BadInput, match="leaves at least 8 periods"):
        held_out(study, rng, share=0.5)
    with pytest.raises(BadInput, match="without gaps"):
        residual_checks(study.mechanisms(rng), np.full((12, 20, 3), np.nan))
