"""How often an arm decides as well as the best single action, found by exact branching.

python benchmarks/rl_decisions.py [--arm rl:NAME ...] [--scenario NAME ...] [--decisions 24]
"""

from __future__ import annotations

import argparse
import math

from _bench import Row, report

from cellhive.adapters.scenarios import scenario_named
from cellhive.app.runs import optimizer_named
from cellhive.flows.arms.best_action import (
    BranchingSettings,
    Chooser,
    DecisionStudy,
    Keeping,
    Proposing,
    judge_decisions,
)
from cellhive.flows.arms.seeds import held_out
from cellhive.rl.env import CellEnvironment, EnvironmentSettings

GOAL = "95 %"
NOTES = (
    "A gain is points of the objective of the whole network over two periods, less those of "
    "keeping everything; 95 % is meant of that gain. Single changes of one cell that the guard "
    "lets through, all other cells keeping what they have.",
    "Six futures per action: three choose the best action, three say what it is worth. Clear are "
    "decisions whose best action is two standard errors above keeping.",
    "A change of the rules is taken as the option in its direction, one step.",
)


def chooser(arm: str) -> Chooser:
    """Return who decides."""
    return Keeping() if arm == "nothing" else Proposing(optimizer_named(arm))


def rows(study: DecisionStudy) -> list[Row]:
    """Return the figures of one arm in one scenario; what is not known is left out."""
    of = f"{study.arm}, {study.scenario}"
    clear, count = len(study.clear), len(study.decisions)
    found = [
        Row(f"decisions with a clear best action: {of}", 100 * clear / count, "%"),
        Row(f"as good as the best action where it is clear: {of}", 100 * study.share_right, "%",
            goal=GOAL),
        Row(f"lost of what the best actions bring: {of}", 100 * study.regret, "%"),
        Row(f"no clear harm in the other decisions: {of}", 100 * study.share_harmless, "%"),
    ]  # fmt: skip
    return [row for row in found if math.isfinite(row.value)]


def main() -> None:
    """Judge the decisions of every arm in the first test city of every scenario."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arm", action="append")
    parser.add_argument("--scenario", action="append")
    parser.add_argument("--decisions", type=int, default=24)
    parser.add_argument("--observed", type=float, default=20.0)
    asked = parser.parse_args()
    found: list[Row] = []
    for name in asked.scenario or ["highway-corridor"]:
        scenario = scenario_named(name)
        seed = held_out(scenario, 2)[0]
        environment = CellEnvironment(
            EnvironmentSettings(scenario, city_seed=seed, observed_s=asked.observed)
        )
        for arm in asked.arm or ["nothing", "rules"]:
            settings = BranchingSettings(decisions=asked.decisions)
            found += rows(judge_decisions(environment, chooser(arm), settings, (arm, seed)))
    notes = (*NOTES, f"{asked.decisions} decisions per arm, {asked.observed:g} s per period.")
    report("rl_decisions", found, notes=notes, packages=("numpy", "numba"))


if __name__ == "__main__":
    main()
