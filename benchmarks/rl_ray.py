"""Promise: training on Ray makes twice the decisions of stock RLlib with as many runners.

Both run RLlib on Ray with the same networks, batch, epochs and minibatch, one learner in the
process that asks, and 0, 1 or 2 runners beside it, in turns. Ours brings its own runner,
module and learner. The place is that of ``rl_train``: quick to simulate, so that the training
is what is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from _bench import Row, report
from _drivers import middle, run

OURS, THEIRS = "run_ray.py", "run_rllib.py"
PEER = "RLlib 2.60 PPO, new API stack"
GOAL = ">= 2 x the peer"
CASES = ((64, 0), (64, 1), (64, 2), (256, 2))
"""Width of the layers, and runners."""
_FASTER = 4
"""Iterations of ours for each of the peer's, which takes so much longer."""

NOTES = (
    "16 networks of 7 sites and 21 cells with a user each, 0.4 s of radio per decision, 6 "
    "columns per cell; 32 decisions an iteration (10 752 of cells), 4 epochs, minibatch 1024, "
    "flat policy with tanh and a separate critic, float32; one thread in each process; after a "
    "first iteration; rates are of the median iteration, with half the range over iterations",
    "processor time is that of the process that learns and of all it started: runners and the "
    "daemons of Ray; wall time is on two processors",
    "ours has a central critic (it also sees mean and maximum of the network) and masks; RLlib's "
    "critic sees the cell, and it is not told the masks",
)


def trained(driver: str, hidden: int, runners: int, iterations: int) -> Mapping[str, Any]:
    """Train in a process of its own and return what it told."""
    words = ["--hidden", hidden, "--runners", runners, "--iterations", iterations]
    return run(sys.executable, driver, "fast", *words, ours=True).told


def rates(runs: Sequence[Mapping[str, Any]], spent: str) -> list[float]:
    """Return the decisions of cells per second of each iteration of all runs."""
    return [
        float(cells) / float(spent_s)
        for told in runs
        for cells, spent_s in zip(told["cells"], told[spent], strict=True)
    ]


def compared(hidden: int, runners: int, repeats: int, iterations: int) -> list[Row]:
    """Return decisions per second of both, taking turns."""
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(trained(OURS, hidden, runners, _FASTER * iterations))
        theirs.append(trained(THEIRS, hidden, runners, iterations))
    rows = []
    for spent, unit in (("cpu_s", "per CPU-s"), ("wall_s", "per s")):
        mine, spread = middle(rates(ours, spent))
        peer, _ = middle(rates(theirs, spent))
        name = f"decisions of cells, 2 x {hidden}, {runners} runners"
        rows.append(Row(name, mine, unit, GOAL, PEER, peer, mine / peer, spread))
    return rows


def main(given: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=3)
    options = parser.parse_args(given)
    rows: list[Row] = []
    for hidden, runners in CASES:
        rows += compared(hidden, runners, options.repeats, options.iterations)
        report("rl_ray", rows, packages=("torch", "ray", "numpy", "numba"), notes=NOTES)


if __name__ == "__main__":
    main()
