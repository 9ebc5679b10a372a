"""Which mechanism changed: told apart from what only follows from it."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.causal.effects import Mechanisms, drawn_mechanisms
from cellhive.causal.graph import Knowledge
from cellhive.causal.incidents.departures import Usual, departures, direct_weights, usual_of
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats

NAMES = ("load", "signal", "rate", "drops", "boards")
FLOOR = np.full(5, 0.02)


def periods(count: int, seed: int, *, broken: bool = False) -> Floats:
    """Return load -> rate <- signal, rate -> drops, and boards that never change: (T, 6, 5)."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((count, 6, 4))
    load, signal = noise[..., 0], noise[..., 1]
    rate = -1.0 * load + 0.8 * signal + 0.5 * noise[..., 2]
    if broken:
        rate[:, 2] -= 4.0  # in the third cell, for no reason of load or signal
        load[:, 4] += 4.0
        rate[:, 4] -= 4.0  # in the fifth, because of load
    drops = -1.2 * rate + 0.5 * noise[..., 3]
    return np.stack([load, signal, rate, drops, np.full_like(load, 3.0)], axis=2)


@pytest.fixture(scope="module")
def mechanisms() -> Mechanisms:
    """Return mechanisms of all variables but the one that never changes."""
    statistics = statistics_of(periods(100, 1)[:, :, :4], NAMES[:4], within_cells=True)
    tiers = {"load": 0, "signal": 0, "rate": 1, "drops": 2}
    posterior = discover(
        statistics, np.random.default_rng(2),
        knowledge=Knowledge(tiers=tiers), settings=Settings(graphs=50),
    )  # fmt: skip
    return drawn_mechanisms(posterior, np.random.default_rng(3))


@pytest.fixture(scope="module")
def usual(mechanisms: Mechanisms) -> Usual:
    """Return what is usual."""
    return usual_of(mechanisms, NAMES, periods(30, 4), FLOOR)


def test_weights_are_those_that_made_the_data(mechanisms: Mechanisms) -> None:
    """Posterior mean of direct effects, zero for a variable without a mechanism."""
    mean = direct_weights(mechanisms, NAMES).mean(axis=0)
    assert mean[0, 2] == pytest.approx(-1.0, abs=0.1)
    assert mean[1, 2] == pytest.approx(0.8, abs=0.1)
    assert mean[2, 3] == pytest.approx(-1.2, abs=0.1)
    assert not mean[4].any()
    assert not mean[:, 4].any()


def test_only_the_mechanism_that_changed_stands_out(usual: Usual) -> None:
    """What parents explain is no root, however far it is from its usual value."""
    found = departures(usual, periods(6, 5, broken=True))
    rate, drops = NAMES.index("rate"), NAMES.index("drops")
    assert found.sigmas[2, rate] < -8.0
    assert abs(found.sigmas[2, drops]) < 3.5
    assert found.marginal_sigmas[2, drops] > 5.0
    assert found.sigmas[4, NAMES.index("load")] > 6.0
    assert abs(found.sigmas[4, rate]) < 3.5
    assert found.marginal_sigmas[4, rate] < -4.0
    sound = [0, 1, 3, 5]
    assert np.abs(found.sigmas[sound]).max() < 4.5


def test_sound_windows_depart_by_about_one_standard_error(usual: Usual) -> None:
    """The errors are neither much too small nor much too large."""
    many = np.stack([departures(usual, periods(6, seed)).sigmas for seed in range(10, 40)])
    assert 0.75 < many[:, :, :4].std() < 1.25


def test_what_is_not_known_counts_nothing(usual: Usual) -> None:
    """A variable that was not reported has no departure and explains none."""
    window = periods(6, 7)
    window[:, 1, 0] = np.nan
    found = departures(usual, window)
    assert found.sigmas[1, 0] == 0.0
    assert np.isnan(found.unexplained[1, 0])
    assert np.isfinite(found.sigmas).all()


def test_panels_of_another_kind_are_refused(mechanisms: Mechanisms) -> None:
    """Other variables, or too few of them."""
    with pytest.raises(BadInput, match="5 variables"):
        usual_of(mechanisms, NAMES, periods(5, 1)[:, :, :3], FLOOR)
    with pytest.raises(BadInput, match="none of drops"):
        usual_of(mechanisms, NAMES[:3], periods(5, 1)[:, :, :3], FLOOR[:3])
