"""Promise: experience is stored and drawn faster than by the buffers of established trainers.

Transitions of cells: 63 features before and after, 10 columns of actions, a reward. Beside
Stable-Baselines3's ``ReplayBuffer`` (even draws) and RLlib's ``PrioritizedReplayBuffer``
(draws by priority), with the same capacity, batch and data, in the same run. Both libraries
are built to be given one step at a time, and are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from _bench import Row, report, timed

from cellhive.rl.replay import Field, Replay

FEATURES, COLUMNS, CELLS = 63, 10, 64
"""Of a transition, and how many agents act at once."""


def blocks(steps: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return steps of all cells as one block."""
    return {
        "seen": rng.random((steps + 1, CELLS, FEATURES), np.float32),
        "action": rng.integers(0, 3, (steps, CELLS, COLUMNS)),
        "reward": rng.random((steps, CELLS), np.float32),
        "ended": np.zeros((steps, CELLS), np.bool_),
    }


def fields() -> dict[str, Field]:
    """Return the columns; actions are as wide as the libraries store them."""
    return {
        "seen": Field((FEATURES,), followed=True), "action": Field((COLUMNS,), "int64"),
        "reward": Field(()), "ended": Field((), "bool"),
    }  # fmt: skip


def stable_baselines(capacity: int) -> Any:
    """Return the buffer of Stable-Baselines3: rows of all agents at once."""
    from gymnasium.spaces import Box, MultiDiscrete  # noqa: PLC0415
    from stable_baselines3.common.buffers import ReplayBuffer  # noqa: PLC0415

    space = Box(0.0, 1.0, (FEATURES,), np.float32)
    return ReplayBuffer(
        capacity, space, MultiDiscrete([3] * COLUMNS), "cpu", CELLS,
        optimize_memory_usage=True, handle_timeout_termination=False,
    )  # fmt: skip


def fill_peer(buffer: Any, block: dict[str, np.ndarray]) -> None:
    """Add a block, one step of all agents at a time."""
    seen, action = block["seen"], block["action"]
    for t in range(len(action)):
        buffer.add(seen[t], seen[t + 1], action[t], block["reward"][t], block["ended"][t], [])


def rllib(block: dict[str, np.ndarray], capacity: int) -> Any:
    """Return a full prioritised buffer of RLlib."""
    from ray.rllib.policy.sample_batch import SampleBatch  # noqa: PLC0415
    from ray.rllib.utils.replay_buffers import PrioritizedReplayBuffer  # noqa: PLC0415

    buffer = PrioritizedReplayBuffer(capacity, alpha=0.6)
    steps = len(block["action"])
    for s in range(CELLS):
        buffer.add(
            SampleBatch(
                obs=block["seen"][:steps, s], new_obs=block["seen"][1:, s],
                actions=block["action"][:, s], rewards=block["reward"][:, s],
            )
        )  # fmt: skip
    return buffer


def _row(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], peer: str, each: int,
         repeats: int) -> Row:  # fmt: skip
    """Return transitions per second of both, who take turns."""
    for action in (ours, theirs):
        action()
    rounds = [(timed(ours, 1)[0], timed(theirs, 1)[0]) for _ in range(repeats)]
    rates = each / np.array(rounds)
    mine, other = np.median(rates, axis=0).tolist()
    ratio = float(np.median(rates[:, 0] / rates[:, 1]))
    return Row(
        name, mine, "transitions/s", "> 1 of the peer", peer, other, ratio,
        float(np.ptp(rates[:, 0]) / 2),
    )  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng, batch, draws, repeats = np.random.default_rng(1), *(
        getattr(options, name) for name in ("batch", "draws", "repeats")
    )  # fmt: skip
    block = blocks(options.steps, rng)
    size, rows = options.steps * CELLS, (options.steps + 1) * CELLS
    even, ranked = Replay(fields(), rows), Replay(fields(), rows, exponent=0.6)
    peer = stable_baselines(size)
    sb3, ray = "Stable-Baselines3 ReplayBuffer", "RLlib PrioritizedReplayBuffer"
    table = [
        _row("add", lambda: even.add(block), lambda: fill_peer(peer, block), sb3, size, repeats),
        _row(
            "draw evenly",
            lambda: [even.sample(batch, rng) for _ in range(draws)],
            lambda: [peer.sample(batch) for _ in range(draws)], sb3, batch * draws, repeats,
        ),
    ]  # fmt: skip
    ranked.add(block)
    other = rllib(block, size)

    def ours() -> None:
        for _ in range(draws):
            drawn = ranked.sample_by_priority(batch, rng)
            ranked.set_priorities(drawn.rows, rng.random(batch) + 0.01)

    def theirs() -> None:
        drawn = other.sample(batch, beta=0.4)
        other.update_priorities(drawn["batch_indexes"], rng.random(batch) + 0.01)

    for action in (ours, theirs):
        action()
    rounds = [(timed(ours, 1)[0] / draws, timed(theirs, 1)[0]) for _ in range(repeats)]
    rates = batch / np.array(rounds)
    table.append(
        Row(
            "draw by priority and set priorities", float(np.median(rates[:, 0])), "transitions/s",
            "> 1 of the peer", ray, float(np.median(rates[:, 1])),
            float(np.median(rates[:, 0] / rates[:, 1])), float(np.ptp(rates[:, 0]) / 2),
        )
    )  # fmt: skip
    length = 16
    table.append(
        _row(
            "draw sequences of 16", lambda: even.sequences(batch // length, length, rng),
            lambda: even.sample(batch, rng), "the same number of single transitions", batch,
            repeats,
        )
    )  # fmt: skip
    table.append(
        Row(
            "memory per transition", even.nbytes / size, "bytes", "", sb3,
            sum(getattr(peer, name).nbytes
                for name in ("observations", "actions", "rewards", "dones")) / size,
        )
    )  # fmt: skip
    report(
        "rl_replay", table, packages=("numpy", "numba", "stable-baselines3", "ray"),
        notes=(
            f"{size} transitions of {FEATURES} features and {COLUMNS} columns; batches of {batch}",
            "ratio is the median over rounds in which both take turns",
            "adding: ours in one block, as it was collected; theirs a step of all agents at a time",
            "Stable-Baselines3 hands out torch tensors, which share NumPy's memory; it stores the "
            "observation once too (optimize_memory_usage)",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
