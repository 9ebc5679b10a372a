"""Runs every scenario over seeds, beside doing nothing: what the page of results is made of."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata

import numpy as np

from cellhive import __version__
from cellhive.adapters.scenarios import scenario_named
from cellhive.app.learning.policies import MODELS, trusting
from cellhive.app.runs import RunOptions, optimizer_named, prepare
from cellhive.core.types import Mode
from cellhive.flows.evaluate import Agents, evaluate
from cellhive.flows.trial import Hooks, TrialSettings
from cellhive.ran.guard import Guard
from cellhive.reports.results import ScenarioResult


def evaluate_scenarios(
    names: Sequence[str],
    seeds: Sequence[int],
    *,
    optimizer: str = "rules",
    models: str = MODELS,
    hours: float | None = None,
    on_progress: Callable[[str, int], None] = lambda name, seed: None,
) -> list[ScenarioResult]:
    """Run scenarios over seeds with "do nothing" beside each, and return the comparison.

    Args:
        names: Scenarios.
        seeds: At least two; every seed is another city.
        optimizer: Who proposes.
        models: Store of trained policies, where the optimiser is one.
        hours: Simulated time [h]; None means each scenario's own.
        on_progress: Is told of every run before it starts.
    """
    every = [
        RunOptions(
            scenario=name, optimizer=optimizer, hours=hours, seed=max(seeds), models=models
        ).checked()
        for name in names
    ]
    results = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        hooks = Hooks(advance=lambda jobs: list(pool.map(lambda job: job(), jobs)))
        for options in every:

            def make(seed: int, options: RunOptions = options) -> Agents:
                on_progress(options.scenario, seed)
                run = prepare(replace(options, seed=seed))
                return run.twin, optimizer_named(options.optimizer, options.models), Guard()

            settings = TrialSettings(
                periods=options.periods,
                loop=trusting(options.optimizer, Mode.AUTONOMOUS),
            )
            rows = evaluate(make, seeds, settings, hooks=hooks)
            scenario = scenario_named(options.scenario)
            results.append(ScenarioResult(scenario, tuple(seeds), float(options.hours or 0), rows))
    return results


def versions() -> dict[str, str]:
    """Return the versions that figures depend on."""
    return {
        "CellHive": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "Numba": metadata.version("numba"),
    }
