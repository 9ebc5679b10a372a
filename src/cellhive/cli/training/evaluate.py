"""The command that compares everything that can run a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cellhive.cli.output import console
from cellhive.cli.run_options import Observed
from cellhive.cli.training.evaluate_options import (
    Arms,
    Evaluations,
    Full,
    Guard,
    Hours,
    ResultsFile,
    Scenarios,
    Seeds,
    Sites,
    Workers,
)
from cellhive.cli.training.options import MODELS, ModelsFolder
from cellhive.core.errors import BadInput

QUICK_SEEDS, FULL_SEEDS = 3, 10
QUICK_SCENARIOS = ("highway-corridor", "mis-tilted")
QUICK_HOURS = 4.0
GUARDED = {"both": (True, False), "on": (True,), "off": (False,)}
"""With the guard and without, by what --guard says."""


def evaluate(
    scenario: Scenarios = None,
    arm: Arms = None,
    seeds: Seeds = None,
    full: Full = False,
    hours: Hours = None,
    observed: Observed = 30.0,
    evaluations: Evaluations = 48,
    sites: Sites = None,
    models: ModelsFolder = MODELS,
    guard: Guard = "both",
    workers: Workers = 2,
    out: ResultsFile = Path("arms.json"),
) -> None:
    """Compare everything that can run a network, on cities that nothing was learnt from.

    Doing nothing, the sets of 3GPP, the best fixed setting, Bayesian optimisation, the rules
    and learned policies run on the same users, with and without the guard. Results are written
    as they come: the same command goes on where it was stopped.
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.adapters.scenarios import scenario_names  # noqa: PLC0415
    from cellhive.adapters.scenarios.unseen_city import NAME  # noqa: PLC0415
    from cellhive.app.learning.arms import (  # noqa: PLC0415
        ArmsOptions,
        Progress,
        compare_arms,
        scenario_of,
    )
    from cellhive.flows.arms.run import UNLEARNED, ArmSettings  # noqa: PLC0415
    from cellhive.reports.arms import (  # noqa: PLC0415
        arms_markdown,
        arms_table,
        shown_scenarios,
    )
    from cellhive.reports.numbers import format_duration  # noqa: PLC0415
    from cellhive.reports.page import write_atomic  # noqa: PLC0415

    check_output(out, "--out", (".json", ".md"))
    if guard not in GUARDED:
        raise BadInput(place="--guard", expected=", ".join(GUARDED), found=guard)
    names = list(scenario or (scenario_names() if full else QUICK_SCENARIOS))
    if sites is not None and NAME not in names:
        names.append(NAME)
    hours = hours if hours is not None or full else QUICK_HOURS
    options = ArmsOptions(
        scenarios=tuple(dict.fromkeys(names)), arms=tuple(dict.fromkeys(arm or UNLEARNED)),
        seeds=(FULL_SEEDS if full else QUICK_SEEDS) if seeds is None else seeds,
        settings=replace(ArmSettings(), hours=hours, observed_s=observed, evaluations=evaluations),
        out=out.with_suffix(".json"), sites=sites, workers=workers, models=models,
        guarded=GUARDED[guard],
    ).checked()  # fmt: skip
    messages = console(stderr=True)

    def tell(at: Progress) -> None:
        left = "" if at.left_s is None else f", {format_duration(at.left_s)} left"
        messages.print(f"{at.done} of {at.total}{left}: {at.last}", highlight=False)

    study = compare_arms(options, on_progress=tell)
    titles = shown_scenarios([scenario_of(name, 0, sites) for name in options.scenarios])
    if out.suffix.lower() == ".md":
        command = "cellhive train evaluate" + (" --full" if full else "")
        write_atomic(out, arms_markdown(study, titles, command) + "\n")
    for name in titles:
        console().print(arms_table(study, name))
    print(out)
