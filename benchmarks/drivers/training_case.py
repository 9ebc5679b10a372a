"""A place to train in, for our trainer and its peers, and how both are measured.

All play the same networks with the same decisions, network of weights, batch, epochs and
minibatch, each in one process on one thread.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cellhive.adapters.scenarios import scenario_named
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.rl.actions import HEADS, ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.learning.ppo import TrainingSettings
from cellhive.rl.learning.roles import Role
from cellhive.rl.learning.rollout import Stage
from cellhive.rl.learning.training import Trainer
from cellhive.rl.policy import FLAT, PolicyShape
from cellhive.rl.rewards import RewardSettings

KNOBS = ("cio_db", "a3_offset_db", "time_to_trigger_s")
JUDGED = range(9001, 9009)
"""Users of the episodes that a policy is judged by."""


@dataclass(frozen=True)
class Case:
    """What is trained."""

    settings: EnvironmentSettings
    networks: int
    hidden: int
    learning: TrainingSettings
    runners: int = 0
    """Processes that play; 0 means the one that learns."""
    device: str = "cpu"
    """Where the networks are."""

    @property
    def role(self) -> Role:
        """One flat policy for all cells, paid by the whole objective."""
        actions = self.settings.actions
        shape = PolicyShape(actions.heads, actions.neighbours, self.hidden, encoder=FLAT)
        return Role("cell", shape, RewardSettings())


SPEED = TrainingSettings(learning_rate=3e-4, minibatch=1024, paired=False, most_kl=1e9,
                         entropy=0.01, keep_bias=0.0)  # fmt: skip
"""Every epoch is run, and nothing is done that the peers do not do."""


def fast(hidden: int) -> Case:
    """Return a city of 21 cells with a user each and 0.4 s of radio per decision: the twin is
    quick there, so that the training is what is measured."""
    scenario = replace(
        scenario_named("healthy"), users_per_cell=1,
        network=lambda: hex_grid(7, 500.0, SiteDesign(carrier_hz=2.1e9)),
    )  # fmt: skip
    settings = EnvironmentSettings(
        scenario, observed_s=0.4, warm_up_s=2.0, periods=32,
        actions=ActionSettings(heads=tuple(head for head in HEADS if head in KNOBS)),
    )  # fmt: skip
    return Case(settings, 16, hidden, SPEED)


def road(hidden: int) -> Case:
    """Return the highway with late handovers, as it is shipped."""
    settings = EnvironmentSettings(
        scenario_named("highway-corridor"), observed_s=10.0, periods=16,
        actions=ActionSettings(heads=tuple(head for head in HEADS if head in KNOBS)),
    )  # fmt: skip
    return Case(settings, 4, hidden, replace(SPEED, minibatch=320))


def judged(case: Case, role: Role, arrays: dict[str, npt.NDArray[np.float32]]) -> float:
    """Return the mean reward of a decision of a cell, above that of changing nothing."""
    trainer = Trainer([role], case.learning, [CellEnvironment(case.settings)], seed=1,
                      actors={"cell": arrays})  # fmt: skip
    stage = Stage(CellEnvironment(case.settings, len(JUDGED)), [role])
    actor = trainer.learner("cell").actor
    rng, idle = np.random.default_rng(1), stage.idle(JUDGED)
    return stage.play([actor], JUDGED, rng, idle).gain


@dataclass
class Pass:
    """What an iteration cost and led to."""

    cells: int
    """Decisions of cells."""
    parts: dict[str, float]
    """Time by part [s]."""
    role: Role
    """Whose policy it is."""
    arrays: Callable[[], dict[str, npt.NDArray[np.float32]]]
    """Returns its tensors."""


def family_s() -> float:
    """Return the processor time of this process and all that came of it, Ray's daemons too [s].

    Those that have ended in between are not counted.
    """
    parents, spent = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            pid = int(folder.name)
            parents[pid], spent[pid] = int(words[1]), int(words[11]) + int(words[12])
    ticks, me = 0, os.getpid()
    for pid, used in spent.items():
        older = pid
        while older not in {me, 0}:
            older = parents.get(older, 0)
        ticks += used if older == me else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(train: Callable[[Case, str], Iterator[Pass]], *styles: str) -> None:
    """Train as the command line says, and tell what it cost.

    Args:
        train: Yields after each iteration.
        *styles: Ways in which it can train.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=("fast", "road"))
    parser.add_argument("--style", choices=styles, default=styles[0])
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--runners", type=int, help="on Ray; the time of all processes counts")
    parser.add_argument("--device", default="cpu", help="of our trainer's networks")
    parser.add_argument("--minibatch", type=int, help="agent steps; default: the case's")
    parser.add_argument("--judge-every", type=int, default=0)
    parser.add_argument("--until", type=float, default=float("inf"), help="gain to stop at")
    options = parser.parse_args()
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    case = {"fast": fast, "road": road}[options.case](options.hidden)
    case = replace(
        case, runners=options.runners or 0, device=options.device,
        learning=replace(case.learning, minibatch=options.minibatch or case.learning.minibatch),
    )  # fmt: skip
    clock_s = process_time if options.runners is None else family_s
    passes = train(case, options.style)
    if options.judge_every == 0:
        next(passes)  # compiles, and builds what is built once
    told: dict[str, Any] = {"cells": [], "cpu_s": [], "wall_s": [], "parts": [], "gain": []}
    for number in range(1, options.iterations + 1):
        cpu_s, wall_s = clock_s(), perf_counter()
        done = next(passes)
        told["cpu_s"].append(clock_s() - cpu_s)
        told["wall_s"].append(perf_counter() - wall_s)
        told["cells"].append(done.cells)
        told["parts"].append(done.parts)
        if options.judge_every and number % options.judge_every == 0:
            told["gain"].append(judged(case, done.role, done.arrays()))
            if told["gain"][-1] >= options.until:
                break
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()  # or its daemons disturb the next
    os._exit(0)  # RLlib takes seconds to take itself apart
