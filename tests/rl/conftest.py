"""A small place to learn in: one site with two layers, six cells, half a minute to compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.scenarios import Scenario
from cellhive.ran.users import Traffic, UserMix
from cellhive.rl.env import CellEnvironment, EnvironmentSettings

SMALL = Scenario(
    "small", "One site, two layers.", (),
    lambda: hex_grid(1, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)),
    users_per_cell=8,
    mix=UserMix(users=0, indoor_share=0.3, pedestrian_share=0.2, street_share=0.5),
    traffic=Traffic(mean_session_s=5.0, mean_pause_s=5.0), capacity_offset_db=6.0, tilt_deg=6.0,
    hours=2.0,
)  # fmt: skip
"""Six cells, three of which may sleep; an episode has eight decisions."""


def small_settings(**changes: Any) -> EnvironmentSettings:
    """Return settings of a quick environment."""
    usual: dict[str, Any] = {"scenario": SMALL, "observed_s": 4.0, "warm_up_s": 4.0}
    return EnvironmentSettings(**(usual | changes))


@pytest.fixture(scope="session")
def build() -> Callable[..., CellEnvironment]:
    """Build an environment over the small place: ``build(networks=2, guarded=False)``."""

    def make(networks: int = 1, **changes: Any) -> CellEnvironment:
        return CellEnvironment(small_settings(**changes), networks)

    return make


@pytest.fixture(scope="session")
def settings() -> Callable[..., EnvironmentSettings]:
    """The settings of the small place, with some of them changed."""
    return small_settings
