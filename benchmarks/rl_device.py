"""What a GPU gains in training: our trainer with its networks on the processor and on the GPU.

The twin always stays on the processor. Both train the small city of ``rl_train.py`` with the
same settings, networks of three widths and minibatches of two sizes, in turns, each in a
process of its own. Wall time counts, as a GPU's work is not in the processor's; where torch
sees no GPU nothing is measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from _bench import Row, report
from _drivers import middle, run

WIDTHS = (64, 256, 1024)
MINIBATCHES = (1024, 8192)
PEER = "the same on the processor, one thread"
PARTS = {"update": "gradient steps", "forward": "policy and draws"}


def trained(device: str, hidden: int, minibatch: int, iterations: int) -> Mapping[str, Any]:
    """Train in a process of its own and return what it told."""
    words = ["--device", device, "--hidden", hidden, "--minibatch", minibatch]
    return run(sys.executable, "run_training.py", "fast", *words,
               "--iterations", iterations, ours=True).told  # fmt: skip


def rate(told: Mapping[str, Any]) -> float:
    """Return the decisions of cells per second of wall time, of the median iteration."""
    pairs = zip(told["cells"], told["wall_s"], strict=True)
    return statistics.median(float(cells) / float(wall_s) for cells, wall_s in pairs)


def part_us(told: Mapping[str, Any], part: str) -> float:
    """Return the time that a part takes of a decision of a cell [us]."""
    pairs = zip(told["parts"], told["cells"], strict=True)
    return statistics.median(1e6 * float(parts[part]) / float(cells) for parts, cells in pairs)


def rows_of(hidden: int, minibatch: int, repeats: int, iterations: int) -> list[Row]:
    """Return decisions per second of both, taking turns, and what the parts take."""
    here, there = [], []
    for _ in range(repeats):
        here.append(trained("cpu", hidden, minibatch, iterations))
        there.append(trained("cuda", hidden, minibatch, iterations))
    mine, spread = middle([rate(told) for told in there])
    peer, _ = middle([rate(told) for told in here])
    case = f"2 x {hidden}, minibatch {minibatch}"
    rows = [Row(f"decisions of cells on the GPU, {case}", mine, "per s", peer=PEER,
                peer_value=peer, ratio=mine / peer, spread=spread)]  # fmt: skip
    for part, words in PARTS.items():
        gpu, cpu = (statistics.median(part_us(told, part) for told in side)
                    for side in (there, here))  # fmt: skip
        rows.append(Row(f"{case}: {words}", gpu, "us per decision", peer=PEER, peer_value=cpu,
                        ratio=cpu / gpu))  # fmt: skip
    return rows


def main(given: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=4)
    options = parser.parse_args(given)
    if not torch.cuda.is_available():
        parser.error("torch sees no GPU")
    notes = [
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}; 16 networks of "
        "7 sites and 21 cells, 0.4 s of radio per decision, 32 decisions an iteration (10 752 of "
        "cells), 4 epochs, flat policy with tanh and a central critic, float32; wall time after a "
        "first iteration; the twin is on the processor in both.",
    ]
    rows: list[Row] = []
    for hidden in WIDTHS:
        for minibatch in MINIBATCHES:
            rows += rows_of(hidden, minibatch, options.repeats, options.iterations)
            report("rl_device", rows, packages=("torch", "numpy", "numba"), notes=notes)


if __name__ == "__main__":
    main()
