"""Promise: an agent can make thousands of decisions for cells per second, on one thread.

Whole decisions of the environment core: check of the actions, guard, settings, 10 s of
radio for every user, counters, observation, rewards and masks. Three kinds of agent: one
that keeps everything, one that turns random knobs that the guard would let through, and
the same without tilt and power, because a new tilt means a new map of that cell.
Measured in processor time; mobile-env, whose step ends with an observation as well,
stands beside in simulated time.
"""

from __future__ import annotations

import argparse
from time import process_time

import numpy as np
import numpy.typing as npt
from _bench import Row, report
from _drivers import middle, peers_python, run

from cellhive.adapters.scenarios import scenario_named
from cellhive.rl.actions import HEADS, KEEP, ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings

BATCHES = (1, 16)
EAGERNESS = 0.1
"""Share of the columns that a random agent turns."""
GEOMETRY = ("electrical_tilt_deg", "tx_power_dbm")


def random_actions(mask: npt.NDArray[np.int8], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return an option for every tenth column, out of those the guard would let through."""
    draws = np.where(mask > 0, rng.random(mask.shape), -1.0)
    chosen = draws.argmax(axis=-1)
    return np.where(rng.random(chosen.shape) < EAGERNESS, chosen, KEEP)


def decisions(networks: int, heads: tuple[str, ...], count: int, seed: int) -> float:
    """Return the processor time of a decision of all networks [s]; no heads keep everything."""
    settings = EnvironmentSettings(
        scenario_named("hex-urban"), actions=ActionSettings(heads=heads or HEADS), start_h=18.0
    )
    env, rng = CellEnvironment(settings, networks), np.random.default_rng(seed)
    mask = env.reset([seed + e for e in range(networks)])[1]
    mask = env.step(env.keep()).mask
    begin = process_time()
    for _ in range(count):
        mask = env.step(random_actions(mask, rng) if heads else env.keep()).mask
    return (process_time() - begin) / count


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    agents: dict[str, tuple[str, ...]] = {
        "keeps everything": (),
        "turns any knob": HEADS,
        "leaves tilt and power": tuple(head for head in HEADS if head not in GEOMETRY),
    }
    rows, fastest = [], 0.0
    for networks in BATCHES:
        for name, heads in agents.items():
            count = max(4, options.decisions // networks * 2)
            times = [decisions(networks, heads, count, seed) for seed in range(options.repeats)]
            rates, spread = middle([networks / time for time in times])
            label = f"{networks} x 57 cells x 798 users, {name}"
            rows.append(Row(f"{label}: env-steps", rates, "/s", spread=spread))
            rows.append(Row(f"{label}: decisions of cells", 57 * rates, "/s", spread=57 * spread))
            fastest = max(fastest, rates)
    if not options.no_peers:
        peer = run(peers_python(), "run_mobile_env.py", 4).simulated
        rows.append(
            Row("simulated time through the environment", 10 * fastest, "s per CPU-second",
                peer="mobile-env 2.1.0", peer_value=peer, ratio=10 * fastest / peer)
        )  # fmt: skip
    report(
        "rl_env",
        rows,
        packages=("numpy", "numba"),
        notes=(
            "scenario hex-urban from 18:00, 10 s of radio per decision in steps of 40 ms, "
            "default actions, observations and rewards; processor time of one thread",
            "mobile-env: 57 cells x 1000 users, all of them connected (here about half are), 1 s "
            "per step, SNR without interference",
        ),
    )


if __name__ == "__main__":
    main()
