"""Promise: with a warm memory the loop reaches the same score in fewer periods than cold.

One memory is filled in training cities of several scenarios (seeds 1, 2, …); then cities
of seeds 201, 202, … are run with nothing done, with the rules alone, with an empty memory
(cold) and with the filled one (warm), on the same users. Healthy cities begin at seed 301: a
first version of the memory did harm in city 201, and what was changed for it must be tested
elsewhere. Thresholds were chosen on the training runs, each with a memory of the others. It
takes some 15 minutes: a call with ``--minutes`` stops after so long, and the next one goes
on; the scenarios that are complete are written down.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic

import numpy as np
from _bench import Row, report

from cellhive.adapters.pattern_file import read_patterns, write_patterns
from cellhive.adapters.scenarios import scenario_named
from cellhive.core.types import Effect
from cellhive.flows.recall.situations import CELLS, RELATIONS
from cellhive.flows.recall.warmth import (
    CityWarmth,
    Surroundings,
    WarmthSettings,
    compare,
    paired,
    richer,
    rooms_of,
    sooner,
    train,
)
from cellhive.ran.guard import Guard
from cellhive.ran.scenarios import build_twin
from cellhive.ran.simulator import Twin
from cellhive.ran.son import Rules

PERIODS = {"highway-corridor": 24, "healthy": 12, "mis-tilted": 16}
"""Length of the runs of each scenario."""
TRAINING = {"highway-corridor": 8, "mis-tilted": 4, "healthy": 2}
"""Training cities of each scenario, in this order."""
SHADOW = 4
"""One training city in so many only watches."""
FIRST_TEST = {"highway-corridor": 201, "healthy": 301, "mis-tilted": 201}
"""Seed of the first test city of each scenario."""
ARMS = ("rules", "cold", "warm")


def surroundings(scenario: str) -> Surroundings:
    """Return what the runs of a scenario need."""

    def twin(seed: int) -> Twin:
        return build_twin(scenario_named(scenario), seed, observed_s=120.0)

    return Surroundings(twin, Rules, Guard)


def settings_of(scenario: str) -> WarmthSettings:
    """Return the settings of the runs of a scenario."""
    return replace(WarmthSettings(), periods=PERIODS[scenario])


def fill(scratch: Path, until_s: float) -> bool:
    """Train where training stopped; return whether all of it is done."""
    done_path = scratch / "trained.json"
    done: list[str] = json.loads(done_path.read_text()) if done_path.exists() else []
    patterns = read_patterns(scratch)[0] if done else ()
    for scenario, count in TRAINING.items():
        for seed in range(1, count + 1):
            name = f"{scenario} {seed}"
            if name in done:
                continue
            if monotonic() > until_s:
                return False
            settings = settings_of(scenario)
            rooms = rooms_of(settings, patterns)
            train(seed, rooms, settings, surroundings(scenario), run=name,
                  shadow=seed % SHADOW == 1)  # fmt: skip
            patterns = tuple(p for room in (CELLS, RELATIONS) for p in rooms[room].all)
            write_patterns(scratch, patterns, 0.0)
            done.append(name)
            done_path.write_text(json.dumps(done))
            print(f"trained in {name}: {len(patterns)} patterns", flush=True)
    return True


def tested(scratch: Path, cities: int, until_s: float) -> dict[str, list[CityWarmth]]:
    """Compare in test cities, one scenario after the other; return what is complete."""
    patterns, _ = read_patterns(scratch)
    complete: dict[str, list[CityWarmth]] = {}
    for scenario in PERIODS:
        found: list[CityWarmth] = []
        for seed in range(FIRST_TEST[scenario], FIRST_TEST[scenario] + cities):
            path = scratch / f"{scenario}-{seed}.json"
            if not path.exists():
                if monotonic() > until_s:
                    return complete
                city = compare(seed, patterns, settings_of(scenario), surroundings(scenario))
                path.write_text(json.dumps(asdict(city)))
                print(told(scenario, city), flush=True)
            found.append(CityWarmth(**json.loads(path.read_text())))
        complete[scenario] = found
    return complete


def told(scenario: str, city: CityWarmth) -> str:
    """Return a city in one line."""
    means = ", ".join(f"{arm} {np.mean(getattr(city, arm)):+.2f}" for arm in ARMS)
    reached = ", ".join(f"{arm} {city.reached[arm] or 'never'}" for arm in ARMS)
    return (
        f"{scenario} {city.seed}: mean gain {means}; level {city.level:+.2f} reached {reached}; "
        f"{city.recalled} of {city.changes} changes recalled; rolled back {city.undone}"
    )


def rows_of(scenario: str, cities: Sequence[CityWarmth]) -> list[Row]:
    """Return the figures of a scenario."""
    rng = np.random.default_rng(0)
    effects: list[tuple[Effect, str, str]] = [
        (paired("periods sooner than cold", cities, sooner, rng), "periods", "> 0"),
        (paired("periods sooner than rules", cities, lambda c: sooner(c, "rules"), rng),
         "periods", ""),
        (paired("mean gain beyond cold", cities, richer, rng), "points", ""),
        (paired("mean gain beyond rules", cities, lambda c: richer(c, "rules"), rng),
         "points", "> -1" if scenario == "healthy" else ""),
        (paired("mean gain beyond nothing", cities, lambda c: float(np.mean(c.warm)), rng),
         "points", "> -1" if scenario == "healthy" else ""),
        *((paired(f"periods to the level, {arm}", cities,
                  lambda c, arm=arm: float(c.reached[arm] or len(c.warm) + 1), rng),  # type: ignore[misc]
           "periods", "") for arm in ARMS),
    ]  # fmt: skip
    return [
        Row(f"{scenario}: {e.kpi} ({e.low:+.2f} to {e.high:+.2f})", e.mean, unit, goal,
            spread=(e.high - e.low) / 2)
        for e, unit, goal in effects
    ]  # fmt: skip


def main() -> None:
    """Go on until time is up or all is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, default=Path("build/memory_warm"))
    parser.add_argument("--cities", type=int, default=5, help="test cities of each scenario")
    parser.add_argument("--minutes", type=float, default=60.0, help="start nothing after so long")
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    until_s = monotonic() + 60 * arguments.minutes
    if not fill(arguments.scratch, until_s):
        return
    found = tested(arguments.scratch, arguments.cities, until_s)
    if not found:
        return
    rows = [row for scenario, cities in found.items() for row in rows_of(scenario, cities)]
    notes = [
        f"Training cities (seeds from 1): {TRAINING}; periods of a run: {PERIODS}.",
        "Intervals: 95 %, bootstrap over test cities; the level is 90 % of the gain of the cold "
        "loop in its last four periods; an arm that never reaches it counts one period more "
        "than there are.",
        *(told(scenario, city) for scenario, cities in found.items() for city in cities),
    ]
    report("memory_warm", rows, packages=("numpy", "numba"), notes=notes)


if __name__ == "__main__":
    main()
