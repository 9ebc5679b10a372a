"""Runs a comparison of arms: in several processes, result by result, from where it stopped."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

from cellhive.adapters.scenarios import scenario_named
from cellhive.adapters.scenarios.studies import load_arms, save_arms
from cellhive.adapters.scenarios.unseen_city import NAME as UNSEEN
from cellhive.adapters.scenarios.unseen_city import unseen_city
from cellhive.app.learning.policies import MODELS, is_policy, load, resolved
from cellhive.app.learning.sources import digest_of
from cellhive.app.runs import optimizer_named
from cellhive.core.errors import BadInput, NotFound
from cellhive.flows.arms.compare import ArmStudy, Budget
from cellhive.flows.arms.run import (
    NOTHING,
    ArmResult,
    ArmSettings,
    ArmSurroundings,
    City,
    OptimizerOf,
    check_arm,
    open_city,
    run_arm,
)
from cellhive.flows.arms.seeds import check_unseen, held_out
from cellhive.ran.scenarios import Scenario


@dataclass(frozen=True)
class ArmsOptions:
    """What to compare."""

    scenarios: tuple[str, ...]
    """Names or files of scenarios; "milan" is the city out of ``sites``."""
    arms: tuple[str, ...]
    seeds: int
    settings: ArmSettings
    out: Path
    """Results, JSON."""
    sites: Path | None = None
    """List of OpenCellID, or its folder, for the city that nothing was trained on."""
    workers: int = 2
    """Processes; 1 runs everything in this one."""
    guarded: tuple[bool, ...] = (True, False)
    """With the guard, without it, or both."""
    models: str = MODELS
    """Folder of the store that trained policies, "rl:NAME", are looked for in."""

    def checked(self) -> ArmsOptions:
        """Return the options, or raise what is wrong with them."""
        for arm in self.arms:
            check_arm(arm)
        if UNSEEN in self.scenarios and self.sites is None:
            message = f"expected the site list of {UNSEEN} (--sites), found none"
            raise NotFound(message)
        for name in self.scenarios:
            held_out(scenario_of(name, 0, self.sites), self.seeds)
        if self.workers < 1:
            raise BadInput(place="--workers", expected="1 or more", found=str(self.workers))
        settings = self.settings
        if settings.evaluations < 1:
            raise BadInput(
                place="--evaluations", expected="1 or more", found=str(settings.evaluations)
            )
        for option, value in (("--hours", settings.hours), ("--observed", settings.observed_s)):
            if value is not None and not 0.0 < value < math.inf:  # NaN neither
                raise BadInput(place=option, expected="a finite number above 0", found=f"{value:g}")
        return self


@dataclass(frozen=True)
class Progress:
    """How far a comparison is."""

    done: int
    total: int
    """Pairs of an arm and a city."""
    left_s: float | None
    """Time that the rest will take at the present pace [s]; None while that is not known."""
    last: str
    """What was done last."""


@dataclass(frozen=True)
class _Task:
    """One arm in one city, with and without the guard as far as that lacks."""

    scenario: str
    seed: int
    arm: str
    guarded: tuple[bool, ...]
    settings: ArmSettings
    sites: Path | None
    optimizer: OptimizerOf


def scenario_of(name: str, seed: int, sites: Path | None) -> Scenario:
    """Return a scenario by name; the unseen city has faults of its own in every seed."""
    if name == UNSEEN and sites is not None:
        return unseen_city(sites, seed)
    return scenario_named(name)


_OF_ALL = ("cellhive.flows.arms.run", "cellhive.ran.son")
"""What every result follows from: the twin, the loop, guard and watch, searches, rules."""
_OF_POLICIES = ("cellhive.flows.policy.optimizer", "cellhive.flows.policy.together")
"""What those of policies follow from besides."""


def new_study(settings: ArmSettings, out: Path) -> ArmStudy:
    """Return the comparison that is in a file already, or an empty one.

    Raises:
        BadInput: The file holds results on other terms.
    """
    study = ArmStudy(digest_of(*_OF_ALL), settings)
    if not out.exists():
        return study
    found = load_arms(out)
    if not found.same_terms(study):
        raise BadInput(
            place=str(out), expected="results of the same options and the same twin",
            found="others", remedy="choose another --out, or take the file away",
        )  # fmt: skip
    return found


def compare_arms(
    options: ArmsOptions,
    *,
    optimizer: OptimizerOf | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> ArmStudy:
    """Run what lacks of a comparison and return all of it.

    Every result is in the file as soon as it is made. Ctrl-C lets the arms that are running
    come to their end and keeps them; a process that is killed loses only those.

    Args:
        options: What to compare.
        optimizer: Returns an optimiser by the name of an arm; a function of a module, since
            it travels to the processes. None means rules and trained policies as
            ``cellhive run`` names them.
        on_progress: Is told after every arm.

    Raises:
        BadInput: The file holds results on other terms, or a policy has seen a test city.
        NotFound: There is no such arm.
    """
    options = options.checked()
    study = new_study(options.settings, options.out)
    if optimizer is None:
        options, study = _with_policies(options, study)
        optimizer = partial(optimizer_named, models=options.models)
    tasks = list(_missing(options, study, optimizer))
    total = (
        sum(len(_modes(arm, options)) for arm in options.arms)
        * options.seeds
        * len(options.scenarios)
    )
    begin, fresh = time.monotonic(), 0
    left = sum(len(task.guarded) for task in tasks)
    if not tasks:
        on_progress(Progress(total, total, 0.0, "nothing lacks"))
    for results in _results(tasks, options.workers):
        for result in results:
            study = study.with_result(result)
        save_arms(study, options.out)
        fresh += len(results)
        left -= len(results)
        pace_s = (time.monotonic() - begin) / fresh
        last = results[-1]
        told = f"{last.scenario}, city {last.seed}, {last.arm}"
        on_progress(Progress(total - left, total, left * pace_s, told))
    return study


def _with_policies(options: ArmsOptions, study: ArmStudy) -> tuple[ArmsOptions, ArmStudy]:
    """Return policies by their version, with what they were trained with.

    What a policy did when its code was another is left out, to be run again.

    Raises:
        BadInput: A policy was trained in a test city of a scenario it is to be judged in.
    """
    arms = []
    for arm in options.arms:
        if not is_policy(arm):
            arms.append(arm)
            continue
        version = resolved(arm, options.models)
        lineage = load(version, options.models).manifest.lineage
        for name in options.scenarios:
            scenario = scenario_of(name, 0, options.sites)
            if scenario.name in lineage.scenarios:
                check_unseen(scenario.splits, lineage.seeds[1:])  # the first draws the training
        budget = Budget(
            version, lineage.budget.get("decisions", float("nan")),
            lineage.budget.get("wall_s", float("nan")),
            f"{', '.join(lineage.scenarios)}; `{lineage.command}`", digest_of(*_OF_POLICIES),
        )  # fmt: skip
        study = study.with_budget(budget)
        arms.append(version)
    return replace(options, arms=tuple(dict.fromkeys(arms))), study


def _modes(arm: str, options: ArmsOptions) -> tuple[bool, ...]:
    """Return how an arm is run: doing nothing needs no guard."""
    return (True,) if arm == NOTHING else options.guarded


def _missing(options: ArmsOptions, study: ArmStudy, optimizer: OptimizerOf) -> Iterator[_Task]:
    """Yield what is not there yet, scenario by scenario and city by city."""
    for name in options.scenarios:
        scenario = scenario_of(name, 0, options.sites)
        for seed in held_out(scenario, options.seeds):
            for arm in options.arms:
                lacking = tuple(
                    guarded
                    for guarded in _modes(arm, options)
                    if not study.has(scenario.name, arm, guarded, seed)
                )
                if lacking:
                    yield _Task(
                        name, seed, arm, lacking, options.settings, options.sites, optimizer
                    )


@lru_cache(maxsize=1)
def _city(name: str, seed: int, settings: ArmSettings, sites: Path | None) -> City:
    return open_city(scenario_of(name, seed, sites), seed, settings)


def _run(task: _Task) -> list[ArmResult]:
    """Run a task, in whatever process."""
    city = _city(task.scenario, task.seed, task.settings, task.sites)
    outside = ArmSurroundings(task.optimizer, time.process_time)
    return [run_arm(city, task.arm, guarded, outside) for guarded in task.guarded]


def _begin() -> None:
    """Prepare a process: Ctrl-C is for the one that hands out the work; one thread each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _results(tasks: Sequence[_Task], workers: int) -> Iterator[list[ArmResult]]:
    """Yield the results of tasks as they come; after Ctrl-C, those under way."""
    if workers == 1:
        for task in tasks:
            yield _run(task)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        pending: set[Future[list[ArmResult]]] = {pool.submit(_run, task) for task in tasks}
        try:
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for future in wait(pending).done:
                if not future.cancelled() and future.exception() is None:
                    yield future.result()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
