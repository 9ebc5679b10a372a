"""The command line: what people type, and what they are told when it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cellhive import __version__
from cellhive.core.errors import BadInput, CellHiveError, UsageError
from cellhive.core.types import Mode

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="cellhive",
    help="Runs a mobile radio network by itself and can say why.\n\n"
    "Start with [bold]cellhive run[/bold] (the closed loop on a simulated city) or "
    "[bold]cellhive analyze PATH[/bold] (your own PM files and KPI tables).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
plan_app = typer.Typer(
    help="Take plans out of runs as files, and look at plan files.", no_args_is_help=True
)
app.add_typer(plan_app, name="plan")

RunsFolder = Annotated[
    Path, typer.Option("--runs", help="Folder that holds the run folders.", show_default=True)
]


def _version(value: bool) -> None:
    if value:
        print(f"cellhive {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take options that belong to no command."""


@app.command()
def run(  # noqa: PLR0913  # one parameter per option is how the command line is declared
    scenario: Annotated[
        str, typer.Option(help="What to run; see [bold]cellhive scenarios[/bold].")
    ] = "hex-urban",
    hours: Annotated[
        float | None, typer.Option(help="Simulated hours; default: the scenario's own.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the city, its users and its faults.")] = 1,
    mode: Annotated[
        Mode,
        typer.Option(
            help="shadow: propose only. assist: ask before each plan. "
            "autonomous: apply, watch, roll back."
        ),
    ] = Mode.AUTONOMOUS,
    optimizer: Annotated[
        str, typer.Option(help="Who proposes: none, rules, or mro, mlb, es, cco alone.")
    ] = "rules",
    sites: Annotated[
        Path | None,
        typer.Option(
            help="Build the network from a site list: CSV with id, lat, lon and, if known, "
            "azimuth, height, power, band."
        ),
    ] = None,
    bbox: Annotated[
        str | None,
        typer.Option(help="Part of the site list: min_lon,min_lat,max_lon,max_lat."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="A plan file (.xml or .csv) to put to the guard in the first period."),
    ] = None,
    protect: Annotated[
        list[str] | None, typer.Option(help="A cell that nothing may change; repeatable.")
    ] = None,
    observed: Annotated[
        float, typer.Option(help="Seconds of radio time simulated per 15-minute period.")
    ] = 120.0,
    branches: Annotated[
        bool, typer.Option(help="Measure each plan's true effect in an exact branch.")
    ] = True,
    report: Annotated[
        Path | None, typer.Option(help="Write the HTML report here too.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")
    ] = False,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Run the closed loop on a simulated network and report what it achieved.

    Each 15-minute period: observe, propose, let the guard check, apply, watch, keep or roll
    back. "Do nothing" runs beside it with the same users, and every plan is measured
    against an exact branch without it. Ctrl-C ends cleanly, with a report.
    """
    from cellhive import app as composition  # noqa: PLC0415  # help must not wait for it
    from cellhive.reports.terminal import run_in_terminal  # noqa: PLC0415

    options = composition.RunOptions(
        scenario=scenario, hours=hours, seed=seed, mode=mode, optimizer=optimizer,
        observed_s=observed, branches=branches, sites=sites, bbox=bbox, plan=plan,
        protected=tuple(protect or ()),
    )  # fmt: skip
    run_in_terminal(options, runs, report=report, as_json=as_json)


def main() -> None:
    """Run the command line; errors become one message and an exit code."""
    try:
        app()
    except UsageError as error:
        print(f"cellhive: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except CellHiveError as error:
        print(f"cellhive: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        print("cellhive: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
