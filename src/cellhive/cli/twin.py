"""Commands about the twin itself: is it right, and what would it say of recorded logs?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cellhive.cli.output import console

twin_app = typer.Typer(
    help="Check the twin against references, and apply it to recordings.", no_args_is_help=True
)

REPORT_SUFFIXES, PICTURE_SUFFIXES = (".html", ".htm"), (".svg",)


@twin_app.command()
def validate(
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="UMa, UMi or InH (open office); repeatable; default: all three."),
    ] = None,
    users: Annotated[int, typer.Option(help="Users dropped per set-up.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Draws users, buildings and links.")] = 1,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="CSV of R1-165974 with every percentile, as HandoverLab has it; default: the "
            "percentiles kept in CellHive."
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Write the distributions as one SVG picture here.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the checks as JSON and nothing else.")
    ] = False,
) -> None:
    """Run the 3GPP calibration on the twin's radio formulas and compare with 21 companies.

    The large-scale set-ups of TR 38.901 §7.8.1 at 6 GHz: coupling gain, SINR and SIR at 5,
    10, 50, 90 and 95 % of users, beside the companies of R1-165974. Ends with exit code 0
    when every percentile lies inside their range widened by 0.5 dB, else with 1.
    """
    from cellhive.adapters.calibration_csv import read_companies  # noqa: PLC0415
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.ran.validation import (  # noqa: PLC0415
        COMPANIES,
        SetUp,
        calibrate,
        setups_named,
    )
    from cellhive.reports.validation import report as reports  # noqa: PLC0415

    for path, option, suffixes in (
        (report, "--report", REPORT_SUFFIXES),
        (picture, "--picture", PICTURE_SUFFIXES),
    ):
        if path is not None:
            check_output(path, option, suffixes)
    setups = setups_named(scenario or ())
    spreads = read_companies(reference) if reference else COMPANIES
    with console(stderr=True, quiet=as_json).status("Compiling ...") as status:

        def tell(setup: SetUp, done: int) -> None:
            status.update(f"{setup.title}: {done:,} of {users:,} users")

        calibrations = [calibrate(setup, users, seed, tell) for setup in setups]
    validation = reports.Validation(calibrations, spreads, reference.name if reference else "")
    if report is not None:
        reports.write_report(validation, report)
    if picture is not None:
        reports.write_picture(validation, picture)
    if as_json:
        print(json.dumps(reports.as_json(validation), indent=2, allow_nan=False))
    else:
        console().print(reports.screen(validation, [path for path in (report, picture) if path]))
    if not validation.passes:
        raise typer.Exit(1)
