"""Promise: a core advances at least 100 million pairs of user and cell by a step per second.

Times whole steps of the twin (movement, sessions, gains, layer 1 and 3 filters, event A3,
handover procedures, radio link monitoring, SINR under load, scheduling, counters) in
float32, and beside it, in the same run and turn by turn, the simulators that others have
published. All are measured in processor time, on one thread, in processes of their own.

Their steps differ in length and in content (see the notes in the result), so two figures
are given: pairs advanced by a step, and simulated seconds, per second of processor time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from _bench import Row, report
from _drivers import Run, first_steps, middle, peers_python, run, run_twin, together

TWIN = "57 cells x 1000 users"


@dataclass(frozen=True)
class Peer:
    """A published simulator and how it is driven."""

    name: str
    script: str
    arguments: tuple[object, ...]
    goal: str
    """By how much the twin is to be faster per pair and step."""
    step: str
    """What one of its steps contains."""
    runs: list[Run] = field(default_factory=list)
    beside: list[Run] = field(default_factory=list)
    """The twin's runs between which the peer's were made."""


def peers() -> list[Peer]:
    """Return the peers in the versions of ``drivers/requirements.txt``."""
    lab = "10 ms of movement, channel, layer 1 and 3 filters, event A3, procedures, RLF, rates"
    return [
        Peer(
            "mobile-env 2.1.0", "run_mobile_env.py", (4,), "ratio >= 1000",
            "1 s of movement, SNR without interference, sharing, utility, observation",
        ),
        Peer(
            "CRRM 2.0.2, UMa", "run_crrm.py", (100, "UMa"), "ratio >= 15",
            "path loss, RSRP, SINR, CQI, MCS, throughput after all users moved; no clock, no "
            "handover",
        ),
        Peer(
            "CRRM 2.0.2, RMa_discretised", "run_crrm.py", (100, "RMa_discretised"), "ratio >= 15",
            "the same with its fastest path loss",
        ),
        Peer(
            "AIMM 2.0.3", "run_aimm.py", (4,), "",
            "1 s: movement, RSRP reports to all cells, CQI, throughput, best cell",
        ),
        Peer(
            "HandoverLab 2.8.0, NumPy, 10 ms", "run_handoverlab.py", (5, 0.01, "numpy"),
            "ratio >= 4",
            f"{lab}; movement and maps are precomputed and not counted; 56 cells",
        ),
        Peer(
            "HandoverLab 2.8.0, Numba, 10 ms", "run_handoverlab.py", (5, 0.01, "numba"),
            "ratio >= 4", "the same with its compiled kernels",
        ),
        Peer(
            "HandoverLab 2.8.0, Numba, 40 ms", "run_handoverlab.py", (10, 0.04, "numba"),
            "ratio >= 4", "the same in steps as long as the twin's",
        ),
    ]  # fmt: skip


def beside_peers(repeats: int, steps: int) -> tuple[list[Row], list[str]]:
    """Return the rows that set the twin beside each peer, and what their steps contain."""
    python, measured = peers_python(), peers()
    for _ in range(repeats):
        for peer in measured:
            peer.beside.append(run_twin(steps=steps))
            peer.runs.append(run(python, peer.script, *peer.arguments))
            print(f"{peer.name}: {peer.runs[-1].pair_steps:.4g} million pair-steps per CPU-s, "
                  f"twin {peer.beside[-1].pair_steps:.4g}")  # fmt: skip
    return [row for peer in measured for row in _rows(peer)], [
        f"a step of {peer.name}: {peer.step}" for peer in measured
    ]


def _rows(peer: Peer) -> list[Row]:
    ours, spread = middle([one.pair_steps for one in peer.beside])
    theirs, _ = middle([one.pair_steps for one in peer.runs])
    rows = [
        Row(
            f"{TWIN}: pair-steps per CPU-second", ours, "million", peer.goal, peer.name,
            theirs, ours / theirs, spread,
        )
    ]  # fmt: skip
    seconds, spread = middle([one.simulated for one in peer.beside])
    theirs, _ = middle([one.simulated for one in peer.runs])
    if theirs > 0:
        rows.append(
            Row(
                f"{TWIN}: simulated time per CPU-second", seconds, "s", "", peer.name,
                theirs, seconds / theirs, spread,
            )
        )  # fmt: skip
    return rows


def alone(repeats: int, steps: int) -> list[Row]:
    """Return the rows of the twin by itself."""
    rows = []
    for share, name in ((1.0, "everybody connected"), (0.4, "a third connected")):
        runs = [run_twin(share=share, steps=steps) for _ in range(repeats)]
        if share >= 1:
            value, spread = middle([one.pair_steps for one in runs])
            rows.append(Row(f"{TWIN}, {name}: pair-steps per CPU-second", value, "million",
                            ">= 100", spread=spread))  # fmt: skip
            value, spread = middle([one.pair_ns for one in runs])
            rows.append(Row(f"{TWIN}, {name}: pair-step", value, "ns", "<= 10", spread=spread))
        value, spread = middle([one.simulated for one in runs])
        rows.append(Row(f"{TWIN}, {name}: faster than real time", value, "x", spread=spread))
    return rows


def many_networks(repeats: int, steps: int) -> list[Row]:
    """Return the rows of batches of networks in one call, and of two processes."""
    rows = []
    for count in (1, 8, 32):
        runs = [
            run_twin(networks=count, steps=max(steps // count, 10), settle=4.0)
            for _ in range(repeats)
        ]
        value, spread = middle([one.pair_ns for one in runs])
        rows.append(Row(f"{count} networks of {TWIN} in one call: pair-step", value, "ns",
                        spread=spread))  # fmt: skip
    single: list[float] = []
    double: list[float] = []
    for _ in range(repeats):
        for count, kept in ((1, single), (2, double)):
            wall, runs = together(count, steps=steps * 8)
            kept.append(sum(one.pairs * one.told["steps"] for one in runs) / wall / 1e6)
    one, _ = middle(single)
    value, spread = middle(double)
    rows.append(Row("two processes on two cores: pair-steps per wall second", value, "million",
                    peer="one process", peer_value=one, ratio=value / one,
                    spread=spread))  # fmt: skip
    return rows


def starting(repeats: int) -> list[Row]:
    """Return the rows of the time to the first step."""
    cold_wall, cold_cpu, warm_wall, warm_cpu = first_steps(repeats)
    rows = []
    for name, values, goal in (
        ("cold, compiling everything", cold_wall, "< 15"),
        ("cold, processor time", cold_cpu, ""),
        ("cached", warm_wall, "< 2"),
        ("cached, processor time", warm_cpu, ""),
    ):
        value, spread = middle(values)
        rows.append(Row(f"start of Python to first step, 57 cells: {name}", value, "s", goal,
                        spread=spread))  # fmt: skip
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    run_twin(steps=1)  # compiles, where nothing has before
    rows, notes = alone(options.repeats, options.steps), [
        "a step of the twin: 40 ms of movement, sessions, gains from a 10 m map, layer 1 and 3 "
        "filters, event A3 with time to trigger and cell offsets, handover procedures, RLF, "
        "SINR under load, scheduling, counters",
        "one thread, float32, scenario healthy, seed 1; rows of 57 cells are padded to 64",
        "beside the peers everybody is connected, as theirs are; only connected users' pairs "
        "count for the twin",
        "medians of processor time, turn by turn with the peers; other work shared the machine",
    ]  # fmt: skip
    if not options.no_peers:
        more, steps = beside_peers(options.repeats, options.steps)
        rows, notes = rows + more, notes + steps
    rows += many_networks(options.repeats, options.steps)
    rows += starting(options.repeats)
    report("twin", rows, packages=("numpy", "numba"), notes=notes)


if __name__ == "__main__":
    main()
