"""Trains a policy with our trainer; see ``training_case``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter, process_time

from training_case import Case, Pass, measure

from cellhive.rl.env import CellEnvironment
from cellhive.rl.learning.ppo import TrainingSettings
from cellhive.rl.learning.training import Trainer


def ours(case: Case, style: str) -> Iterator[Pass]:
    """Train, with what is shared with the peers or with our defaults."""
    shipped = style == "shipped"
    learning = TrainingSettings() if shipped else case.learning
    role = case.role
    if shipped:
        role = role._replace(shape=replace(role.shape, encoder="neighbours"))
    environment = CellEnvironment(case.settings, case.networks)
    trainer = Trainer([role], learning, [environment], seed=1, device=case.device,
                      clock=process_time if case.device == "cpu" else perf_counter)  # fmt: skip
    before = 0
    while True:
        told = trainer.iterate()
        yield Pass(
            told.decisions - before, dict(told.seconds), role, lambda: trainer.arrays("cell")
        )
        before = told.decisions


if __name__ == "__main__":
    measure(ours, "alike", "shipped")
