"""Drives mobile-env: one agent for all users, a random action for each in every step."""

from __future__ import annotations

import sys

from measure import cpu_s, tell
from mobile_env.core.base import MComCore
from mobile_env.core.entities import BaseStation, UserEquipment

CELLS, USERS = 57, 1000
SIDE_M = 628
"""As many stations per area as in its own largest scenario (13 on 300 m x 300 m)."""


def build() -> MComCore:
    """Return the environment: stations on a lattice, users with the settings it brings."""
    config = MComCore.default_config()
    config["width"] = config["height"] = SIDE_M
    config["movement_params"].update(width=SIDE_M, height=SIDE_M)
    columns = 8
    pitch = SIDE_M / columns
    stations = [
        BaseStation(i, (pitch * (0.5 + i % columns), pitch * (0.5 + i // columns)), **config["bs"])
        for i in range(CELLS)
    ]
    users = [UserEquipment(i, **config["ue"]) for i in range(USERS)]
    return MComCore(stations, users, config)


def main() -> None:
    """Measure a number of steps."""
    steps = int(sys.argv[1])
    environment = build()
    environment.reset(seed=1)
    environment.action_space.seed(1)
    environment.step(environment.action_space.sample())

    def advance() -> int:
        for _ in range(steps):
            environment.step(environment.action_space.sample())
        return steps

    tell(advance, CELLS, USERS, 1.0, cpu_s())


if __name__ == "__main__":
    main()
