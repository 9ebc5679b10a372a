"""Drives AIMM: users move, report to all cells and are handed over once a simulated second."""

from __future__ import annotations

import sys

import numpy as np
from AIMM_simulator import MME, Scenario, Sim, UMa_pathloss
from measure import cpu_s, tell

SITES_M, SECTORS, USERS = 500.0, 3, 1000
SPEED_M, HEIGHT_M, MAST_M, RADIUS_M = 10.0, 1.5, 25.0, 1100.0


def site_places() -> list[tuple[float, float]]:
    """Return two rings of a hexagonal grid: 19 sites."""
    return [
        (SITES_M * 0.75**0.5 * q, SITES_M * (r + q / 2))
        for q in range(-2, 3)
        for r in range(-2, 3)
        if abs(q + r) <= 2  # noqa: PLR2004 (rings)
    ]


def sector_pattern(bearing_deg: float) -> np.ndarray:
    """Return the gain of a sector [dB] in each degree, TR 38.901 table 7.3-1."""
    off = (np.arange(360.0) - bearing_deg + 180.0) % 360.0 - 180.0
    return 8.0 - np.minimum(12.0 * (off / 65.0) ** 2, 30.0)


def main() -> None:
    """Measure a number of simulated seconds."""
    seconds = int(sys.argv[1])
    rng = np.random.default_rng(1)
    sim = Sim(params={"fc_GHz": 2.1, "h_UT": HEIGHT_M, "h_BS": MAST_M}, show_params=False)
    for east, north in site_places():
        for bearing in (60.0, 180.0, 300.0):
            sim.make_cell(
                xyz=(east, north, MAST_M), power_dBm=46.0, pattern=sector_pattern(bearing)
            )
    loss = UMa_pathloss(fc_GHz=2.1, h_UT=HEIGHT_M, h_BS=MAST_M)
    ways = []
    for _ in range(USERS):
        angle, radius = rng.uniform(0, 2 * np.pi), RADIUS_M * rng.uniform() ** 0.5
        place = (radius * np.cos(angle), radius * np.sin(angle), HEIGHT_M)
        sim.make_UE(xyz=place, pathloss_model=loss).attach_to_nearest_cell()
        heading = rng.uniform(0, 2 * np.pi)
        ways.append(SPEED_M * np.array([np.cos(heading), np.sin(heading), 0.0]))

    def move(of: Sim) -> None:
        for user, way in zip(of.UEs, ways, strict=True):
            user.set_xyz(user.xyz + way)

    sim.add_scenario(Scenario(sim, func=move))
    sim.add_MME(MME(sim, interval=1.0, strategy="best_rsrp_cell"))

    def advance() -> int:
        sim.run(until=seconds)
        return seconds

    tell(advance, len(sim.cells), USERS, 1.0, cpu_s())


if __name__ == "__main__":
    main()
