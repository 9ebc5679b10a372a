"""The names under which Gymnasium finds the environments."""

from __future__ import annotations

import gymnasium

from cellhive.adapters.scenarios import scenario_names


def ids() -> dict[str, str]:
    """Return the scenario behind each name."""
    return {f"cellhive/{scenario}-v0": scenario for scenario in scenario_names()}


def register() -> None:
    """Make ``gymnasium.make`` and ``make_vec`` know every scenario; again does no harm."""
    for name, scenario in ids().items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="cellhive.adapters.environments.gym_env:NetworkEnv",
                vector_entry_point="cellhive.adapters.environments.gym_env:NetworkVectorEnv",
                kwargs={"scenario": scenario},
            )
