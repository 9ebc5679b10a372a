"""Trains a policy with our trainer on Ray; see ``training_case``."""

from __future__ import annotations

from collections.abc import Iterator

import ray
from training_case import Case, Pass, measure

from cellhive.adapters.ray.plan import places_of
from cellhive.adapters.ray.training import RayTrainer
from cellhive.rl.env import CellEnvironment


def on_ray(case: Case, style: str) -> Iterator[Pass]:
    """Train with RLlib, and runners, networks and learner of ours."""
    ray.init("local", num_cpus=max(1, case.runners), include_dashboard=False,
             object_store_memory=100_000_000, log_to_driver=False,
             configure_logging=False)  # fmt: skip
    environment = CellEnvironment(case.settings, case.networks)
    trainer = RayTrainer(
        [case.role], case.learning, places_of([environment]), 1, runners=case.runners
    )
    before = 0
    while True:
        told = trainer.iterate()
        yield Pass(told.decisions - before, {}, case.role, lambda: trainer.arrays("cell"))
        before = told.decisions


if __name__ == "__main__":
    measure(on_ray, "alike")
