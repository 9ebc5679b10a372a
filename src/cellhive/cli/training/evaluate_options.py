"""Options of the command that compares everything that can run a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Scenarios = Annotated[
    list[str] | None,
    typer.Option(
        help="Scenario, a name or a YAML file, or milan with --sites; repeatable; default: "
        "highway-corridor and mis-tilted, with --full all."
    ),
]
Arms = Annotated[
    list[str] | None,
    typer.Option(
        help="Who runs the network: nothing, set-1 to set-5, tuned, bayesian, rules, rl:NAME; "
        "repeatable; default: all but rl."
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(help="How many test cities of each scenario; default: 3, with --full 10."),
]
Full = Annotated[
    bool, typer.Option(help="All scenarios, ten cities, the scenarios' own hours: two hours.")
]
Hours = Annotated[
    float | None,
    typer.Option(help="Simulated hours; default: 4, with --full each scenario's own."),
]
Evaluations = Annotated[int, typer.Option(help="Settings that each search may try in a city.")]
Sites = Annotated[
    Path | None,
    typer.Option(
        help="OpenCellID list of Milan, or its folder: adds the scenario milan, a city that "
        "nothing was trained on."
    ),
]
Guard = Annotated[str, typer.Option(help="both: each arm with the guard and without; on, or off.")]
Workers = Annotated[int, typer.Option(help="Processes.")]
ResultsFile = Annotated[
    Path, typer.Option(help="Results, .json; or .md for a page with the results beside it.")
]
