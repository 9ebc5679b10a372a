"""The EARTH power model, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellhive.ran.energy import MACRO, MICRO, power_coefficients
from cellhive.ran.layout import hex_grid


def test_a_macro_site_draws_what_the_table_says() -> None:
    """Three cells of two transceivers are the table's six: 780 W idle, 1344 W at 6 x 20 W."""
    assert 3 * MACRO.transceivers * MACRO.idle_w == pytest.approx(6 * 130)
    full_w = 3 * (MACRO.transceivers * MACRO.idle_w + MACRO.slope * 2 * 20)
    assert full_w == pytest.approx(6 * (130 + 4.7 * 20))  # Auer et al., table 2
    assert 3 * MACRO.transceivers * MACRO.sleep_w == pytest.approx(6 * 75)


def test_coefficients_per_cell() -> None:
    """Macro cells 260 W, 4.7 and 150 W; micro cells 112 W, 2.6 and 78 W."""
    network = hex_grid(1, 500.0)
    network = replace(network, environment=("UMa", "UMi", "RMa"))
    idle, slope, sleep = power_coefficients(network)
    np.testing.assert_allclose(idle, [260, 112, 260])
    np.testing.assert_allclose(slope, [4.7, 2.6, 4.7])
    np.testing.assert_allclose(sleep, [150, 78, 150])
    assert MICRO.transceivers == 2


def test_sleeping_saves() -> None:
    """An idle cell draws more than a sleeping one, a loaded one more than an idle one."""
    for model in (MACRO, MICRO):
        assert 0 < model.sleep_w < model.idle_w
        assert model.slope > 1
