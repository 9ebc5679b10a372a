"""Drives the twin: whole kernel steps of networks on a hexagonal grid."""

from __future__ import annotations

import argparse
from dataclasses import replace

from measure import cpu_s, tell

from cellhive.adapters.scenarios import scenario_named
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.scenarios import build_world
from cellhive.ran.simulator import STEP_S, Simulator
from cellhive.ran.users import LOST

SETTLE_S = 20.0


def build(sites: int, users: int, networks: int, share: float, seed: int = 1) -> Simulator:
    """Return networks of one place, not yet advanced.

    Args:
        sites: Sites of three cells, 500 m apart.
        users: Users of each network.
        networks: Networks, each with its own users.
        share: Share of users to be in a session; 1 keeps everybody in one, outdoors.
        seed: Of the place and of the first network.
    """
    scenario = replace(
        scenario_named("healthy"),
        network=lambda: hex_grid(sites, 500.0, SiteDesign(carrier_hz=2.1e9)),
    )
    world, parameters = build_world(scenario, seed)
    endless = share >= 1
    traffic = replace(world.traffic, mean_session_s=1e9 if endless else 20.0)
    mix = replace(world.mix, users=users)
    if endless:  # outdoors, so that next to nobody is out of reach and costs nothing
        mix = replace(mix, indoor_loss_db=(0.0, 0.0), car_loss_db=(0.0, 0.0))
    world = replace(world, mix=mix, traffic=traffic)
    simulator = Simulator(world, [parameters] * networks, list(range(seed, seed + networks)))
    simulator.plant.activity[:] = 1e3 if endless else share / (1 - share)
    return simulator


def main() -> None:
    """Measure a number of steps after the users have settled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=19)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--networks", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--settle", type=float, default=SETTLE_S, help="simulated time before [s]")
    options = parser.parse_args()
    before = cpu_s()
    simulator = build(options.sites, options.users, options.networks, options.share)
    built_s = cpu_s() - before
    simulator.advance(max(round(options.settle / STEP_S), 1))

    def advance() -> int:
        simulator.advance(options.steps)
        return int(options.steps)

    users = simulator.plant.users
    tell(
        advance, simulator.world.network.cells, users.size, STEP_S, built_s,
        networks=users.shape[0], pixel_m=simulator.world.radio_map.pixel_m,
        connected=float(((users["serving"] >= 0) & (users["state"] != LOST)).mean()),
    )  # fmt: skip


if __name__ == "__main__":
    main()
