"""Promise: training in one process makes four times the decisions of stock RLlib.

Both train one flat policy for all cells, with the same networks, batch, epochs and
minibatch, each in one process on one thread, in turns. The first part is a small city with
little radio time per decision, where the training and not the twin is what takes time; the
second, asked for with ``--gain``, is the highway as it is shipped, until a policy gains so much.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from _bench import Row, report
from _drivers import middle, run

OURS, THEIRS = "run_training.py", "run_rllib.py"
PEER = "RLlib 2.60 PPO, new API stack"
GOALS = {64: ">= 4 x the peer, goal 10 x", 256: ">= 2.5 x the peer, goal 10 x"}
PARTS = {
    "simulate": "twin, observations, guard", "forward": "policy and draws",
    "judge": "values and advantages", "update": "gradient steps",
}  # fmt: skip

NOTES = (
    "speed: 16 networks of 7 sites and 21 cells with a user each, 0.4 s of radio per "
    "decision, 6 columns per cell; 32 decisions an iteration (10 752 of cells), 4 "
    "epochs, minibatch 1024, flat policy with tanh and a separate critic, float32; one "
    "process and thread; processor time of the process after a first iteration",
    "ours has a central critic (it also sees mean and maximum of the network) and "
    "masks; RLlib's critic sees the cell, and it is not told the masks",
    "highway: highway-corridor, 20 cells, 10 s of radio per decision, 4 networks x 16 "
    "decisions an iteration; gain is the mean reward of a decision of a cell above "
    "that of changing nothing, options drawn, over 8 episodes with users not trained "
    "on; judging is not counted; wall time on one thread, first iteration included",
)


def trained(driver: str, case: str, **options: object) -> Mapping[str, Any]:
    """Train in a process of its own and return what it told."""
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return run(sys.executable, driver, case, *words, ours=True).told


def rate(told: Mapping[str, Any]) -> float:
    """Return the decisions of cells per second of processor time, of the median iteration."""
    pairs = zip(told["cells"], told["cpu_s"], strict=True)
    return statistics.median(float(cells) / float(cpu_s) for cells, cpu_s in pairs)


def speed(hidden: int, repeats: int, iterations: int) -> list[Row]:
    """Return decisions per CPU-second of both, taking turns, and where our time goes."""
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(trained(OURS, "fast", hidden=hidden, iterations=4 * iterations))
        theirs.append(trained(THEIRS, "fast", hidden=hidden, iterations=iterations))
    mine, spread = middle([rate(told) for told in ours])
    peer, _ = middle([rate(told) for told in theirs])
    rows = [
        Row(f"decisions of cells, 2 x {hidden}", mine, "per CPU-s", GOALS[hidden], PEER, peer,
            mine / peer, spread)
    ]  # fmt: skip
    for part, words in PARTS.items():
        share = [1e6 * one[part] / cells for told in ours
                 for one, cells in zip(told["parts"], told["cells"], strict=True)]  # fmt: skip
        rows.append(Row(f"2 x {hidden}: {words}", statistics.median(share), "us per decision"))
    return rows


def first_reaching(told: Mapping[str, Any], gain: float, every: int) -> float:
    """Return the time until a policy had gained so much [s]; infinite where it never did."""
    for place, found in enumerate(told["gain"]):
        if found >= gain:
            return float(sum(told["wall_s"][: (place + 1) * every]))
    return float("inf")


def to_the_same_gain(gain: float, iterations: int, every: int) -> list[Row]:
    """Return how long each takes on the highway until its policy gains so much.

    Args:
        gain: What it must gain: reward per decision.
        iterations: After so many it has failed.
        every: Iterations between two judgements.
    """
    options = {"iterations": iterations, "judge-every": every, "until": gain}
    peer = trained(THEIRS, "road", **options)
    theirs = first_reaching(peer, gain, every)
    rows = [] if theirs < float("inf") else [_missed(PEER, gain, peer)]
    for style, words in (
        ("alike", "the same policy and settings"), ("shipped", "our policy and defaults"),
    ):  # fmt: skip
        told = trained(OURS, "road", style=style, **options)
        mine, name = first_reaching(told, gain, every), f"highway: time to {gain:g}, {words}"
        if mine == float("inf"):
            rows.append(_missed(words, gain, told))
        elif theirs == float("inf"):
            rows.append(Row(name, mine, "s"))
        else:
            rows.append(Row(name, mine, "s", "<= half the peer's", PEER, theirs, theirs / mine))
    return rows


def _missed(who: str, gain: float, told: Mapping[str, Any]) -> Row:
    """Return what was gained where that was too little."""
    name = f"highway: {who}, after {sum(told['wall_s']):.0f} s, {gain:g} not reached"
    return Row(name, told["gain"][-1], "reward per decision")


def main(given: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--gain", type=float, help="also: time on the highway to this gain")
    parser.add_argument("--learning-iterations", type=int, default=200)
    options = parser.parse_args(given)
    rows = [row for hidden in GOALS for row in speed(hidden, options.repeats, options.iterations)]
    write(rows)
    if options.gain is not None:
        write([*rows, *to_the_same_gain(options.gain, options.learning_iterations, 5)])


def write(rows: Sequence[Row]) -> None:
    """Write what was measured so far."""
    report("rl_train", rows, packages=("torch", "ray", "numpy", "numba"), notes=NOTES)


if __name__ == "__main__":
    main()
