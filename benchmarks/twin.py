"""Promise: one core advances 57 cells and 1000 users far faster than real time.

Times whole kernel steps (movement, sessions, RSRP of every cell, filters, event A3,
procedures, sharing, counters) and states them per pair of user and cell. A pair whose
user has no session costs next to nothing, so the figure is given both for a usual share
of users in session and for everybody in session.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from time import perf_counter

import numpy as np
from _bench import Row, report

from cellhive.ran.scenarios import SCENARIOS, build_world
from cellhive.ran.simulator import STEP_S, Simulator


def step_times(share: float, steps: int, repeats: int) -> tuple[list[float], float]:
    """Return the time of a step [s], repeat by repeat, and the share really in session.

    Args:
        share: Share of users in a session; 1 keeps everybody in one.
        steps: Steps per repeat.
        repeats: How often.
    """
    world, parameters = build_world(SCENARIOS["healthy"], 1)
    endless = share >= 1
    traffic = replace(world.traffic, mean_session_s=1e9 if endless else 20.0)
    world = replace(world, mix=replace(world.mix, users=1000), traffic=traffic)
    simulator = Simulator(world, [parameters], [1])
    simulator.plant.activity[:] = 1e3 if endless else share / (1 - share)
    simulator.advance(round(40.0 / STEP_S))  # settle, and compile
    times = []
    for _ in range(repeats):
        begin = perf_counter()
        simulator.advance(steps)
        times.append((perf_counter() - begin) / steps)
    return times, float(np.mean(simulator.plant.users["session_left_s"] > 0))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows = []
    for share in (0.4, 1.0):
        times, found = step_times(share, options.steps, options.repeats)
        median, spread = statistics.median(times), (max(times) - min(times)) / 2
        name = f"57 cells x 1000 users, {found:.0%} in session"
        pairs = 57 * 1000
        rows += [
            Row(f"{name}: pair-step", median / pairs * 1e9, "ns", spread=spread / pairs * 1e9),
            Row(f"{name}: faster than real time", STEP_S / median, "x"),
        ]
    report(
        "twin",
        rows,
        packages=("numpy", "numba"),
        notes=(
            f"one thread, steps of {STEP_S * 1e3:.0f} ms, scenario healthy, seed 1",
            "pairs count every user, in session or not; rows of 57 cells are padded to 64",
        ),
    )


if __name__ == "__main__":
    main()
