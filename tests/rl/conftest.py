"""A small place to learn in: one site with two layers, six cells, half a minute to compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from small import two_layers

from cellhive.rl.env import CellEnvironment, EnvironmentSettings

SMALL = two_layers(8, 2.0)
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
