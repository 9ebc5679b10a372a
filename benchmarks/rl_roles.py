"""Promise: how one policy for all knobs compares with four, one for each function, is measured.

Both turn every knob that the package has in a city of two carriers, with the same budget of
decisions; where two functions want the same knob, the one that goes first in the order of the
rules has it. Besides, curiosity that follows each cell against one number for all. Every arm
is trained from several seeds and judged, options drawn, in cities that it never saw.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from _bench import Row, report

from cellhive.adapters.scenarios import scenario_named
from cellhive.core.types import Floats
from cellhive.flows.training.recipe import (
    FUNCTIONS,
    JOINT,
    TrainingRecipe,
    environments_of,
    held_out_seeds,
)
from cellhive.rl.actions import ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.learning.networks import Actor
from cellhive.rl.learning.ppo import TrainingSettings
from cellhive.rl.learning.roles import Role, function_roles, joint_role
from cellhive.rl.learning.rollout import Stage
from cellhive.rl.learning.training import Trainer

RESAMPLES = 10_000
USERS = (9001, 9002)
"""Seeds of the users that all are judged with."""
CITIES = 2
"""Cities that are learned in, and as many that are judged in."""


class Judge:
    """Cities and users that nothing is learnt from."""

    def __init__(self, recipe: TrainingRecipe, roles: Sequence[Role]) -> None:
        """Play them once with nothing done."""
        self.stages = []
        for name in recipe.scenarios:
            scenario = scenario_named(name)
            for city in held_out_seeds(scenario, CITIES):
                settings = EnvironmentSettings(
                    scenario, city_seed=city, observed_s=recipe.observed_s, periods=recipe.periods,
                    actions=ActionSettings(heads=recipe.heads, neighbours=recipe.neighbours),
                )  # fmt: skip
                self.stages.append(Stage(CellEnvironment(settings, len(USERS)), roles))
        self.idle = [stage.idle(USERS) for stage in self.stages]

    def gain(self, actors: Sequence[Actor]) -> float:
        """Return the mean reward of a decision above that of changing nothing; options drawn."""
        rng = np.random.default_rng(1)
        played = zip(self.stages, self.idle, strict=True)
        return float(np.mean([stage.play(actors, USERS, rng, idle).gain for stage, idle in played]))


ARMS = {
    "one joint policy": (JOINT, False),
    "four policies": (FUNCTIONS, False),
    "one joint policy, curiosity by cell": (JOINT, True),
}
"""Roles, and whether curiosity follows each cell."""


def roles_of(recipe: TrainingRecipe, kind: str) -> list[Role]:
    """Return who decides on what."""
    make = joint_role if kind == JOINT else function_roles
    return make(recipe.heads, recipe.neighbours, recipe.hidden)


def trained(recipe: TrainingRecipe, arm: str, seed: int, iterations: int) -> list[Actor]:
    """Return the actors of an arm after its training."""
    kind, adaptive = ARMS[arm]
    roles = roles_of(recipe, kind)
    envs = environments_of(recipe, [scenario_named(name) for name in recipe.scenarios])
    trainer = Trainer(roles, TrainingSettings(adaptive=adaptive, episode_seeds=16), envs, seed)
    for _ in range(iterations):
        trainer.iterate()
    return [trainer.learner(role.name).actor for role in roles]


def mean_row(name: str, values: Floats, goal: str = "") -> Row:
    """Return a mean over training seeds with half the width of its bootstrap interval."""
    rng = np.random.default_rng(1)
    drawn = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    unit = "reward per decision"
    return Row(name, float(values.mean()), unit, goal=goal, spread=float(high - low) / 2)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=24)
    parser.add_argument("--scenario", action="append")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, notes = [], []
    for scenario in options.scenario or ["stadium-surge"]:
        recipe = TrainingRecipe(
            "roles", scenarios=(scenario,), cities=CITIES, networks=1, periods=16, observed_s=5.0
        )
        judges = {kind: Judge(recipe, roles_of(recipe, kind)) for kind in (JOINT, FUNCTIONS)}
        gains: dict[str, list[float]] = {}
        for seed in range(1, options.seeds + 1):
            for arm, (kind, _) in ARMS.items():
                actors = trained(recipe, arm, seed, options.iterations)
                gains.setdefault(arm, []).append(judges[kind].gain(actors))
                print(f"{scenario}, seed {seed}, {arm}: {gains[arm][-1]:+.4f}", flush=True)
        joint, *others = ARMS
        rows += [mean_row(f"{arm}: {scenario}", np.array(gains[arm])) for arm in ARMS]
        rows += [
            mean_row(f"{arm} less {joint}: {scenario}", np.array(gains[arm]) - gains[joint])
            for arm in others
        ]
        cells = judges[JOINT].stages[0].env.network.cells
        notes.append(
            f"{scenario}: {CITIES} cities of {cells} cells learned in, {CITIES} others judged in "
            f"with {len(USERS)} sets of users each; {options.iterations} iterations of "
            f"{recipe.periods} decisions of 15 min ({recipe.observed_s:g} s of radio each)"
        )
    notes += [
        f"knobs: {', '.join(recipe.heads)}; {options.seeds} training seeds; the value is the mean "
        "reward of a cell's decision above that of changing nothing, with the weights of the "
        "joint policy for all",
        "spreads are half the width of 95 % bootstrap intervals over training seeds",
    ]
    report("rl_roles", rows, packages=("torch", "numpy", "numba"), notes=tuple(notes))


if __name__ == "__main__":
    main()
