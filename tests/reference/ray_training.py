"""Trainings on Ray, in a process of their own: Ray warns, and leaves threads behind.

It prints what it found as a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.cluster_utils import Cluster

from cellhive.adapters.ray.plan import Place, places_of
from cellhive.adapters.ray.training import BUILDS, Late, RayTrainer
from cellhive.app.learning.training import HERE, RAY, TrainOptions, begin, resume, run
from cellhive.core.errors import BadInput
from cellhive.flows.training.recipe import recipe_named, with_changes
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.scenarios import Scenario
from cellhive.ran.users import Traffic, UserMix
from cellhive.rl.actions import ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.learning.ppo import TrainingSettings
from cellhive.rl.learning.roles import function_roles
from cellhive.rl.learning.training import Trainer

HEADS = ("cio_db", "a3_offset_db")
ROLES = function_roles(HEADS, hidden=8)
"""Two functions, load and mobility: RLlib has two modules."""
LEARNING = TrainingSettings(minibatch=24, epochs=2, episode_seeds=4, adaptive=True)
STORE_BYTES = 80_000_000

State = dict[str, Any]


def environments(count: int) -> list[CellEnvironment]:
    """Return a site of two layers with users who differ from place to place."""
    scenario = Scenario(
        "small", "One site, two layers.", (),
        lambda: hex_grid(1, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)),
        users_per_cell=4,
        mix=UserMix(users=0, indoor_share=0.3, pedestrian_share=0.2, street_share=0.5),
        traffic=Traffic(mean_session_s=5.0, mean_pause_s=5.0), hours=2.0,
    )  # fmt: skip
    return [
        CellEnvironment(
            EnvironmentSettings(
                scenario, observed_s=2.0, warm_up_s=2.0, periods=4, city_seed=seed,
                actions=ActionSettings(heads=HEADS),
            ), 4,
        )
        for seed in range(1, count + 1)
    ]  # fmt: skip


def places(count: int) -> tuple[Place, ...]:
    """Return the same, to be built elsewhere."""
    return places_of(environments(count))


def alone(count: int, iterations: int) -> Trainer:
    """Return a training in this process."""
    trainer = Trainer(ROLES, LEARNING, environments(count), seed=5)
    for _ in range(iterations):
        trainer.iterate()
    return trainer


def farthest(left: State, right: State) -> float:
    """Return the largest difference of two states, infinite where they are not alike."""
    if left.keys() != right.keys():
        return float("inf")
    return max(float(np.abs(np.asarray(left[k], float) - right[k]).max()) for k in left)


def runners_on_two_nodes(nodes: Cluster, tell: Callable[..., None]) -> None:
    """Two runners come to the same as none; then one is killed, both, and a node."""
    wanted = alone(2, 2).state()
    with RayTrainer(ROLES, LEARNING, places(2), 5, runners=2) as trainer:
        group = trainer.algorithm.env_runner_group
        where = group.foreach_env_runner(
            lambda runner: ray.get_runtime_context().get_node_id(), local_env_runner=False
        )
        trainer.iterate()
        last = trainer.iterate()
        tell(two_runners=farthest(trainer.state(), wanted), nodes=len(set(where)),
             gain=last.gain, made=last.made, decisions=last.decisions)  # fmt: skip
        _killed(trainer, tell)
        with tempfile.TemporaryDirectory() as folder:
            trainer.algorithm.save_to_path(folder)
            kept = trainer.state()
            tell(files=sorted(path.name for path in Path(folder).iterdir()))
            nodes.remove_node(next(iter(nodes.worker_nodes)))
            trainer.iterate()
            with_one = trainer.state()
            tell(healthy_with_a_node_less=group.num_healthy_remote_env_runners())
            trainer.algorithm.restore_from_path(folder)
            tell(restored=farthest(trainer.state(), kept))
            trainer.iterate()
            tell(played_again=farthest(trainer.state(), with_one))


def learners_on_two_nodes(tell: Callable[..., None]) -> None:
    """Two learners come to what one does, up to rounding, and take a state of one."""
    with RayTrainer(ROLES, LEARNING, places(1), 5, runners=0, learners=2) as trainer:
        trainer.iterate()
        trainer.iterate()
        tell(two_learners=farthest(trainer.state(), alone(1, 2).state()))
        trainer.restore(alone(1, 1).state())
        tell(from_process=trainer.number)
        try:
            trainer.restore({"trainer": np.array([6, 0, 0, 0])})
        except BadInput as error:
            tell(refused=str(error))
    try:
        RayTrainer(ROLES, LEARNING, places(1), 5, runners=9)
    except BadInput as error:
        tell(too_many=str(error))


def as_the_command_does(tell: Callable[..., None]) -> None:
    """A recipe in a folder, begun on Ray and gone on with here."""
    small = {"cities": 1, "networks": 1, "periods": 2, "observed_s": 2.0, "hidden": 8,
             "heads": HEADS, "iterations": 1}  # fmt: skip
    recipe = with_changes(recipe_named("quick"), small)
    with tempfile.TemporaryDirectory() as folder:
        models, root = Path(folder) / "models", Path(folder) / "training"
        options = TrainOptions(recipe, "tiny", models=str(models), on=RAY, runners=0)
        with closing(begin(options, root, tell=lambda words: None)) as training:
            run(training)
        (path,) = root.iterdir()
        changes = {"on": HERE, "iterations": 2}
        with closing(resume(path, lambda words: None, changes)) as training:
            ended = run(training)
            tell(command=[ended.why, ended.number], rows=len(training.folder.curve()),
                 trainer=type(training.trainer).__name__)  # fmt: skip


def too_slow(tell: Callable[..., None]) -> None:
    """Processes that are not there in time, and are ended when they are."""
    try:
        RayTrainer(ROLES, LEARNING, places(1), 5, runners=0, build_s=0.01)
    except Late as error:
        tell(too_slow=str(error))
    for thread in threading.enumerate():
        if thread.name == BUILDS:
            thread.join()


def _killed(trainer: RayTrainer, tell: Callable[..., None]) -> None:
    """Kill a runner: the other plays what it should have; kill both: they come back."""
    group = trainer.algorithm.env_runner_group

    def kill(count: int) -> None:
        pids = group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)
        for pid in pids[:count]:
            os.kill(pid, signal.SIGKILL)

    kill(1)
    trainer.iterate()
    tell(one_killed=farthest(trainer.state(), alone(2, 3).state()),
         healthy=group.num_healthy_remote_env_runners())  # fmt: skip
    pause = threading.Event()
    while group.num_healthy_remote_env_runners() < 2 and trainer.number < 100:
        pause.wait(0.5)
        trainer.iterate()
    tell(healthy_again=group.num_healthy_remote_env_runners())
    kill(2)
    before = trainer.number
    trainer.iterate()
    tell(iterations_after_both_killed=trainer.number - before)


def main() -> None:
    """Train on a cluster of two nodes."""
    torch.set_num_threads(1)
    small = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    nodes = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    nodes.add_node(**small)
    os.environ["RAY_ADDRESS"] = nodes.address
    found: State = {}

    def tell(**told: object) -> None:
        found.update(told)

    try:
        ray.init(log_to_driver=False, configure_logging=False)
        runners_on_two_nodes(nodes, tell)
        nodes.add_node(**small)
        learners_on_two_nodes(tell)
        as_the_command_does(tell)
        too_slow(tell)
    finally:
        ray.shutdown()
        nodes.shutdown()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
