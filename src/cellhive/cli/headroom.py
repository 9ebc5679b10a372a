"""The command that measures how much there is to gain in a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellhive.cli.output import console
from cellhive.core.errors import BadInput

FEWEST_SEEDS = 2
FEWEST_EVALUATIONS = 2


def headroom(
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Scenario, a name or a YAML file; repeatable; default: all."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="How many cities, from the first test seed of each scenario on.")
    ] = 5,
    evaluations: Annotated[
        int, typer.Option(help="Settings that the search may try in each city.")
    ] = 160,
    hours: Annotated[
        float | None, typer.Option(help="Simulated hours; default: each scenario's own.")
    ] = None,
    observed: Annotated[
        float, typer.Option(help="Seconds of radio time simulated per 15-minute period.")
    ] = 120.0,
    out: Annotated[
        Path, typer.Option(help="Results, .json; or .md for a page with the results beside it.")
    ] = Path("headroom.json"),
) -> None:
    """Search for the best fixed setting and compare it with doing nothing and with the rules.

    The search has an exact copy of the network and tries settings on it; the three runs that
    are compared have other users. A city takes a minute or two. Results are written city by
    city: the same command goes on where it was stopped.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.adapters.scenarios import scenario_named, scenario_names  # noqa: PLC0415
    from cellhive.adapters.scenarios.studies import load_study, save_study  # noqa: PLC0415
    from cellhive.core.compiled import source_digest  # noqa: PLC0415
    from cellhive.flows.headroom import (  # noqa: PLC0415
        HeadroomSettings,
        HeadroomStudy,
        Surroundings,
        city_headroom,
    )
    from cellhive.flows.trial import Hooks  # noqa: PLC0415
    from cellhive.flows.tuning import SearchSettings  # noqa: PLC0415
    from cellhive.ran.guard import Guard  # noqa: PLC0415
    from cellhive.ran.son import Rules  # noqa: PLC0415
    from cellhive.reports.headroom import headroom_markdown, headroom_words  # noqa: PLC0415
    from cellhive.reports.page import write_atomic  # noqa: PLC0415

    _check(seeds, evaluations, hours, observed)
    check_output(out, "--out", (".json", ".md"))
    recipes = {one.name: one for one in map(scenario_named, scenario or scenario_names())}
    results = out.with_suffix(".json")
    study = HeadroomStudy(source_digest(), evaluations, observed, hours, {})
    if results.exists():
        found = load_study(results)
        if not found.same_terms(study):
            raise BadInput(
                place=str(results), expected="results of the same options and the same twin",
                found="others", remedy="choose another --out, or take the file away",
            )  # fmt: skip
        study = found
    settings = HeadroomSettings(
        hours=hours, observed_s=observed, search=SearchSettings(evaluations=evaluations)
    )
    messages = console(stderr=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        outside = Surroundings(
            Rules, Guard, Hooks(advance=lambda jobs: list(pool.map(lambda job: job(), jobs))),
            lambda jobs: list(pool.map(lambda job: job(), jobs)),
        )  # fmt: skip
        for name, recipe in recipes.items():
            first, last = recipe.splits.test
            for seed in range(first, min(first + seeds, last + 1)):
                if study.has(name, seed):
                    continue
                messages.print(f"{name}, city {seed}", highlight=False)
                study = study.with_city(name, city_headroom(recipe, seed, settings, outside))
                save_study(study, results)
    if out.suffix.lower() == ".md":
        command = f"cellhive headroom --seeds {seeds} --evaluations {evaluations}"
        write_atomic(out, headroom_markdown(recipes, study, command))
    for name in recipes:
        print(f"{name}: {headroom_words(study, name)}")
    print(out)


def _check(seeds: int, evaluations: int, hours: float | None, observed: float) -> None:
    """Refuse options that no study can have."""
    if seeds < FEWEST_SEEDS:
        raise BadInput(
            place="--seeds", expected=f"at least {FEWEST_SEEDS}, for an interval", found=str(seeds)
        )
    if evaluations < FEWEST_EVALUATIONS:
        raise BadInput(
            place="--evaluations", expected=f"at least {FEWEST_EVALUATIONS}", found=str(evaluations)
        )
    if hours is not None and not 0.25 <= hours <= 336:  # noqa: PLR2004
        raise BadInput(place="--hours", expected="0.25 to 336 hours", found=f"{hours:g}")
    if not 4.0 <= observed <= 900.0:  # noqa: PLR2004
        raise BadInput(place="--observed", expected="4 to 900 seconds", found=f"{observed:g}")
