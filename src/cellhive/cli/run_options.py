"""Options of ``cellhive run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellhive.core.types import Mode

ScenarioName = Annotated[
    str,
    typer.Option(help="What to run: a name out of [bold]cellhive scenarios[/bold] or a YAML file."),
]
Hours = Annotated[float | None, typer.Option(help="Simulated hours; default: the scenario's own.")]
Seed = Annotated[int, typer.Option(help="Draws the city, its users and its faults.")]
RunMode = Annotated[
    Mode,
    typer.Option(
        help="shadow: propose only. assist: ask before each plan. "
        "autonomous: apply, watch, roll back."
    ),
]
Proposer = Annotated[
    str,
    typer.Option(
        help="Who proposes: none, rules, mro, mlb, es or cco alone, or a trained policy: "
        "rl:NAME, rl:NAME@VERSION. By NAME alone, what is promoted meanwhile takes over."
    ),
]
Shadow = Annotated[
    str,
    typer.Option(
        help="A trained policy to ask beside, and to compare; nothing it wants is applied. "
        "NAME is the candidate of that name; NAME@VERSION."
    ),
]
SiteList = Annotated[
    Path | None,
    typer.Option(
        help="Build the network from a site list: CSV with id, lat, lon and, if known, "
        "azimuth, height, power, band."
    ),
]
Bbox = Annotated[
    str | None,
    typer.Option(help="Part of the site list: min_lon,min_lat,max_lon,max_lat."),
]
PlanFile = Annotated[
    Path | None,
    typer.Option(help="A plan file (.xml or .csv) to put to the guard in the first period."),
]
Protect = Annotated[
    list[str] | None, typer.Option(help="A cell that nothing may change; repeatable.")
]
Freeze = Annotated[
    list[str] | None,
    typer.Option(
        help="Hours in which the guard's freeze switch is on, such as 17:00-21:30: nothing "
        "but roll-backs; repeatable."
    ),
]
Observed = Annotated[
    float, typer.Option(help="Seconds of radio time simulated per 15-minute period.")
]
Branches = Annotated[bool, typer.Option(help="Measure each plan's true effect in an exact branch.")]
Predict = Annotated[
    bool,
    typer.Option(
        help="Foretell what each plan will do before it is applied; the guard refuses plans "
        "whose harm is too probable."
    ),
]
MemoryPlace = Annotated[
    str,
    typer.Option(
        help="Recall what worked in earlier runs from this memory, and write to it what "
        "this one teaches; default: no memory."
    ),
]
ReportFile = Annotated[Path | None, typer.Option(help="Write the HTML report here too.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")]
