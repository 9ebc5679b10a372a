"""Cycles are taken out, faults stay in."""

import numpy as np
import pytest

from cellhive.diagnose.cycles import Panel, quantiles, remove_cycles, robust_sigma

DAY_S = 86400.0


def test_quantiles_skip_missing_values() -> None:
    """By hand: of 1, 2, 3, 4, 5 the median is 3; an empty row has none."""
    values = np.array([[5.0, np.nan, 1.0, 3.0, 2.0, 4.0], [np.nan] * 6])
    median = quantiles(values, (0.5,))[0]
    assert median[0] == 3.0
    assert np.isnan(median[1])


def test_robust_sigma_of_a_gaussian() -> None:
    """It estimates the standard deviation, outliers or not."""
    values = np.random.default_rng(0).normal(0, 2, (1, 20000))
    values[0, :1000] = 1e6
    assert robust_sigma(values)[0] == pytest.approx(2.0, rel=0.1)


def test_exact_cycle_is_removed_and_a_fault_is_kept() -> None:
    """A purely periodic series leaves nothing; a fault in it stays at full size."""
    hours = 5 + np.arange(24 * 28)
    wave = 50 + 20 * np.sin(2 * np.pi * hours / 24) + 5 * ((hours // 24) % 7 == 4)
    noise = np.random.default_rng(2).normal(0, 0.5, hours.size)
    values = np.vstack([wave + noise, wave + noise])
    values[1, 300:310] += 10
    usual = remove_cycles(Panel("k", ("a", "b"), 5 * 3600.0, 3600.0, values, "%"))
    assert usual.removed == ("daily", "weekly")
    assert usual.transform.name == "identity"
    explained = usual.cycle[0] - wave
    assert np.abs(explained).max() < 0.8
    fault = np.median((usual.residual * usual.spread)[1, 300:310])
    assert fault == pytest.approx(10, abs=0.7)


def test_short_series_keep_their_cycle() -> None:
    """Three days are too few to know a day."""
    values = np.random.default_rng(0).normal(10, 1, (1, 72))
    assert remove_cycles(Panel("k", ("a",), 0.0, 3600.0, values)).removed == ()


@pytest.mark.parametrize("name", ["log", "root", "identity"])
def test_transforms_come_back(name: str) -> None:
    """Inverse of forward is the value itself."""
    values = np.array([[0.0, 1.0, 5.0, 40.0, 900.0] * 5])
    if name == "log":
        values = values + 0.5
    if name == "identity":
        values = -values
    usual = remove_cycles(Panel("k", ("a",), 0.0, DAY_S, values))
    expected = "root" if name == "root" else name
    assert usual.transform.name == expected
    back = usual.transform.inverse(usual.transform.forward(values)[0], 0)
    assert back == pytest.approx(values[0], abs=1e-9)
