"""Promise: beginning from the rules' history, a policy needs half the data to reach their level.

The highway, whose handover parameters are wrong as found. The rules' history is made with
other users than those judged with, and what a network has lived through anyway is not
counted as data; its length is stated. Counted are the decisions of networks that training
makes until the policy gains, on users it never saw, as much as the rules do on the same
users. Every arm is trained with the same settings from several seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from _bench import Row, report

from cellhive.adapters.scenarios import scenario_named
from cellhive.core.types import Floats, Floats32
from cellhive.flows.training.causal_mask import known_causes, visible_features
from cellhive.flows.training.history import demonstrate
from cellhive.rl.actions import ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.experience import History
from cellhive.rl.learning.imitation import CloningSettings, clone, likeness
from cellhive.rl.learning.networks import Actor, Critic
from cellhive.rl.learning.offline import OfflineSettings, learn_offline
from cellhive.rl.learning.ppo import TrainingSettings
from cellhive.rl.learning.privacy import PrivacySettings, clone_privately
from cellhive.rl.learning.restriction import restrict
from cellhive.rl.learning.roles import joint_role
from cellhive.rl.learning.rollout import Stage
from cellhive.rl.learning.training import Trainer

HEADS = ("cio_db", "a3_offset_db", "hysteresis_db", "time_to_trigger_s")
NETWORKS, DECISIONS = 4, 16
ROLES = joint_role(HEADS, hidden=64)
SHAPE = ROLES[0].shape
HELD_OUT = tuple(range(9001, 9009))
"""Seeds of the users that all are judged with."""
RESAMPLES = 10_000


class Start(NamedTuple):
    """A beginning of training."""

    arrays: dict[str, Floats32] | None
    masked: bool = False
    adaptive: bool = False
    """Whether curiosity follows each cell."""


def environment(networks: int = NETWORKS) -> CellEnvironment:
    """Return copies of the highway."""
    settings = EnvironmentSettings(
        scenario_named("highway-corridor"), observed_s=5.0, warm_up_s=10.0, periods=DECISIONS,
        actions=ActionSettings(heads=HEADS, neighbours=SHAPE.neighbours),
    )  # fmt: skip
    return CellEnvironment(settings, networks)


class Judge:
    """The users that nothing is learnt from."""

    def __init__(self) -> None:
        """Play them once with nothing done."""
        self.stage = Stage(environment(len(HELD_OUT)), ROLES)
        self.idle = self.stage.idle(HELD_OUT)

    def gain(self, actor: Actor) -> float:
        """Return the mean reward of a decision above that of changing nothing; options drawn."""
        rng = np.random.default_rng(1)
        return self.stage.play([actor], HELD_OUT, rng, self.idle).gain


def fresh(seed: int) -> Actor:
    """Return an actor with first weights that turn as seldom as those of training."""
    torch.manual_seed(seed)
    return Actor(SHAPE)


def starts(shown: History, strayed: History, seed: int) -> dict[str, Start]:
    """Return the beginnings of one training seed."""
    rng = np.random.default_rng(seed)
    visible = visible_features(known_causes(), HEADS, SHAPE.neighbours)
    settings = CloningSettings(steps=500)
    cloned, seen, offline = fresh(seed), fresh(seed), fresh(seed)
    clone(cloned, [shown], settings, rng)
    restrict(seen, visible)
    clone(seen, [shown], settings, rng)
    learn_offline(
        offline, Critic(SHAPE), [shown, strayed], OfflineSettings(settings, critic_steps=200), rng
    )
    return {
        "from scratch": Start(None), "from scratch, curiosity by cell": Start(None, adaptive=True),
        "cloned": Start(cloned.arrays()),
        "cloned, causal mask": Start(seen.arrays(), masked=True),
        "offline": Start(offline.arrays()),
    }  # fmt: skip


def curve(start: Start, seed: int, judge: Judge, iterations: int, level: float) -> list[float]:
    """Return the gain on the held-out users before training and after each iteration.

    Training ends once two judgements in a row reach the level.
    """
    actors = None if start.arrays is None else {"joint": start.arrays}
    settings = TrainingSettings(adaptive=start.adaptive)
    trainer = Trainer(ROLES, settings, [environment()], seed, actors=actors)
    actor = trainer.learner("joint").actor
    if start.masked:
        restrict(actor, visible_features(known_causes(), HEADS, SHAPE.neighbours))
    gains = [judge.gain(actor)]
    while len(gains) <= iterations and reached(gains, level) is None:
        trainer.iterate()
        gains.append(judge.gain(actor))
    return gains


def reached(gains: list[float], level: float) -> int | None:
    """Return the iterations until two judgements in a row reach a level, or None."""
    for first in range(len(gains) - 1):
        if min(gains[first], gains[first + 1]) >= level:
            return first
    return None


def interval(values: Floats, statistic: Callable[..., Floats]) -> tuple[float, float]:
    """Return a 95 % bootstrap interval over training seeds."""
    rng = np.random.default_rng(1)
    drawn = values[rng.integers(0, len(values), (RESAMPLES, len(values)))]
    low, high = np.quantile(statistic(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def _by_name(periods: dict[str, list[float]]) -> list[Row]:
    """Return how many decisions every arm needed, and how many fewer than from scratch."""
    rows = []
    scratch = np.array(periods["from scratch"])
    for name, counts in periods.items():
        low, high = interval(np.array(counts), np.median)
        rows.append(
            Row(f"decisions of networks to the rules' level, {name}", float(np.median(counts)),
                "decisions", spread=(high - low) / 2)
        )  # fmt: skip
    for name, counts in periods.items():
        if name != "from scratch":
            low, high = interval(np.stack([np.array(counts), scratch], axis=-1), _saved)
            rows.append(
                Row(f"fewer decisions than from scratch, {name}",
                    100 * (1.0 - sum(counts) / float(scratch.sum())), "%",
                    goal="" if name.startswith("from scratch") else ">= 50",
                    spread=50 * (high - low))
            )  # fmt: skip
    return rows


def _saved(drawn: Floats, axis: int) -> Floats:
    sums = drawn.sum(axis=axis)
    return np.asarray(1.0 - sums[..., 0] / sums[..., 1])


def _before(first: dict[str, list[float]]) -> list[Row]:
    """Return what every arm gains before any training, and offline learning over cloning."""
    rows = []
    for name, gains in first.items():
        low, high = interval(np.array(gains), np.mean)
        rows.append(
            Row(f"gain before training, {name}", float(np.mean(gains)), "reward per decision",
                spread=(high - low) / 2)
        )  # fmt: skip
    better = np.array(first["offline"]) - np.array(first["cloned"])
    low, high = interval(better, np.mean)
    row = Row("offline above cloned, before training", float(better.mean()), "reward per decision",
              goal="interval above 0", spread=(high - low) / 2)  # fmt: skip
    return [*rows, row]


EPSILONS = (8.0, 1.0)
"""Budgets of privacy."""


def privately(shown: History, epsilon: float, judge: Judge, seeds: int) -> tuple[list[float], str]:
    """Return what private clones gain, and what was spent."""
    gains, told = [], ""
    for seed in range(seeds):
        actor = fresh(seed + 1)
        spent = clone_privately(
            actor, [shown], PrivacySettings(epsilon, 1e-4, steps=200, batch=64),
            np.random.default_rng(seed),
        )  # fmt: skip
        gains.append(judge.gain(actor))
        told = (
            f"epsilon {spent.epsilon:.2f}, delta {spent.delta:g}, unit {spent.unit}, "
            f"{spent.decisions} of them, noise {spent.noise:.2f}"
        )
    return gains, told


def _cost(private: dict[str, list[float]], cloned: list[float]) -> list[Row]:
    """Return what privacy costs, seed by seed against the clone without it."""
    rows = []
    for name, gains in private.items():
        lost = np.array(cloned) - np.array(gains)
        low, high = interval(lost, np.mean)
        rows.append(
            Row(f"lost before training by privacy, {name}", float(lost.mean()),
                "reward per decision", spread=(high - low) / 2)
        )  # fmt: skip
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    judge, env = Judge(), environment()
    rules = demonstrate(judge.stage.env, HELD_OUT)
    level = float(rules.network_reward.mean())
    seeds = list(range(100, 100 + 4 * NETWORKS))
    shown = demonstrate(env, seeds)
    strayed = demonstrate(
        env, [seed + 500 for seed in seeds], strayed=0.05, rng=np.random.default_rng(1)
    )
    print(f"rules' level {level:.4f} reward per decision; {shown.decisions} decisions of history")
    periods: dict[str, list[float]] = {}
    first: dict[str, list[float]] = {}
    never = options.iterations + 1
    for seed in range(1, options.seeds + 1):
        for name, start in starts(shown, strayed, seed).items():
            gains = curve(start, seed, judge, options.iterations, level)
            found = reached(gains, level)
            count = NETWORKS * DECISIONS * (never if found is None else found)
            periods.setdefault(name, []).append(count)
            first.setdefault(name, []).append(gains[0])
            print(f"seed {seed}, {name}: {count}, {np.round(gains, 3).tolist()}", flush=True)
    private, spent = {}, []
    for epsilon in EPSILONS:
        name = f"private clone, epsilon {epsilon:g}"
        private[name], told = privately(shown, epsilon, judge, options.seeds)
        spent.append(told)
        print(f"{name}: {np.round(private[name], 3).tolist()}", flush=True)
    unseen = fresh(1)
    clone(unseen, [shown], CloningSettings(steps=500), np.random.default_rng(1))
    alike = likeness(unseen, [rules])
    visible = visible_features(known_causes(), HEADS, SHAPE.neighbours)
    missed = ", ".join(
        f"{name} {sum(count >= NETWORKS * DECISIONS * never for count in counts)} of {len(counts)}"
        for name, counts in periods.items()
    )
    notes = (
        f"highway-corridor, 20 cells, {DECISIONS} decisions of 15 min (5 s of radio each), "
        f"{NETWORKS} networks per iteration; {options.seeds} training seeds; judged on "
        f"{len(HELD_OUT)} episodes of other users in the same city, options drawn; reached "
        "means two judgements in a row",
        f"who does not reach it in {options.iterations} iterations counts as {never}: {missed}",
        f"history: {shown.decisions} decisions of the rules, {shown.taken} changes taken over "
        f"and {shown.left_out} that no column expresses; offline also {strayed.decisions} in "
        "which 5 % of the columns strayed; not counted as data",
        f"a clone on the held-out users: loss {alike.loss:.3f} nat per free column, blind "
        f"turning {alike.keeping:.3f}; recall {alike.recall:.2f}, precision {alike.precision:.2f}",
        f"causal mask: {int(visible.sum())} of {visible.size} features seen",
        f"private clones: {'; '.join(spent)}",
        "spreads are half the width of 95 % bootstrap intervals over training seeds",
    )
    level_row = Row("rules' level", level, "reward per decision above doing nothing")
    rows = [
        level_row, *_by_name(periods), *_before(first | private), *_cost(private, first["cloned"])
    ]  # fmt: skip
    report("rl_data", rows, packages=("torch", "numpy", "numba", "opacus"), notes=notes)


if __name__ == "__main__":
    main()
