"""Drives CRRM: all users move in every step, then throughputs are asked for."""

from __future__ import annotations

import sys

import numpy as np
from CRRM import Parameters, Simulator
from measure import cpu_s, tell

SITES, SECTORS, USERS = 19, 3, 1000
SPEED_M, HEIGHT_M, RADIUS_M = 0.4, 1.5, 1100.0


def main() -> None:
    """Measure a number of steps with one of its path loss models."""
    steps = int(sys.argv[1])
    rng = np.random.default_rng(1)
    angle, radius = rng.uniform(0, 2 * np.pi, USERS), RADIUS_M * np.sqrt(rng.uniform(size=USERS))
    places = np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), np.full(USERS, HEIGHT_M)], axis=1
    )
    heading = rng.uniform(0, 2 * np.pi, USERS)
    way = SPEED_M * np.stack([np.cos(heading), np.sin(heading), np.zeros(USERS)], axis=1)
    simulator = Simulator(
        Parameters(
            n_cell_locations=SITES, n_sectors=SECTORS, n_ues=USERS, ue_initial_locations=places,
            distance_scale=500.0, h_UT_default=HEIGHT_M, h_BS_default=25.0, fc_GHz=2.1,
            pathloss_model_name=sys.argv[2],
        )
    )  # fmt: skip
    simulator.get_UE_throughputs()
    everybody = list(range(USERS))

    def advance() -> int:
        for step in range(steps):
            simulator.set_ue_locations(everybody, places + (step + 1) * way)
            simulator.get_UE_throughputs()
        return steps

    cells = len(simulator.cell_locations.data)
    tell(advance, cells, USERS, 0.0, cpu_s())


if __name__ == "__main__":
    main()
