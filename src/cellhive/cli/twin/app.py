"""Commands about the twin itself: is it right, and what would it say of recorded logs?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellhive.cli.output import console
from cellhive.cli.twin.film import film
from cellhive.cli.twin.validate_handover import validate_handover
from cellhive.core.errors import BadInput

if TYPE_CHECKING:
    from cellhive.ran.trace import ReplaySettings

twin_app = typer.Typer(
    help="Check the twin against references, apply it to recordings, and film it.",
    no_args_is_help=True,
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


twin_app.command("validate-handover")(validate_handover)
twin_app.command("film")(film)


@twin_app.command("replay")
def twin_replay(
    log: Annotated[
        Path, typer.Argument(help="A drive-test log: NTU WMN-Lab, G-NetTrack, or a plain CSV.")
    ],
    a3_offset: Annotated[float | None, typer.Option(help="A3 offset [dB].")] = None,
    hysteresis: Annotated[float | None, typer.Option(help="Hysteresis [dB].")] = None,
    ttt: Annotated[float | None, typer.Option(help="Time to trigger [ms].")] = None,
    filter_k: Annotated[
        float | None, typer.Option("--filter", help="Layer-3 filter coefficient k.")
    ] = None,
    t310: Annotated[float | None, typer.Option(help="T310 [ms].")] = None,
    load: Annotated[
        float, typer.Option(help="Share of their power with which other cells interfere, 0 to 1.")
    ] = 0.5,
    run: Annotated[str, typer.Option(help="One run of a log that holds several.")] = "",
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Replay over a grid of A3 offsets and TTTs, too.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="HTML report to write.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the comparison as JSON and nothing else.")
    ] = False,
) -> None:
    """Replay a drive test: what happened, and what other handover parameters would have done.

    The handover machine of the twin runs over the recorded RSRP, with the default parameters
    and with yours. The past radio stays as it was.
    """
    from cellhive.adapters.drive.logs import open_drive_test  # noqa: PLC0415
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.flows.drive import Case, compare  # noqa: PLC0415
    from cellhive.ran.trace import ReplaySettings  # noqa: PLC0415
    from cellhive.reports.drive.report import write_drive_report  # noqa: PLC0415
    from cellhive.reports.drive.screen import drive_screen  # noqa: PLC0415
    from cellhive.reports.drive.words import comparison_json  # noqa: PLC0415

    if report is not None:
        check_output(report, "--report", REPORT_SUFFIXES)
    default = ReplaySettings()
    yours = _settings(default, (a3_offset, hysteresis, ttt, filter_k, t310))
    cases = [Case("default", default)] + ([Case("yours", yours)] if yours != default else [])
    messages = console(stderr=True, quiet=as_json)
    with messages.status("Replaying ...") as status:
        compared = compare(
            open_drive_test(log, run), cases, load=load, sweep=yours if sweep else None,
            on_run=lambda name: status.update(f"Replayed {name}"),
        )  # fmt: skip
    if report is not None:
        write_drive_report(compared, report)
    if as_json:
        print(json.dumps(comparison_json(compared), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        console().print(drive_screen(compared, {} if report is None else {"Report": report}))


def _settings(default: ReplaySettings, given: tuple[float | None, ...]) -> ReplaySettings:
    """Return the default settings with what was given on the command line.

    Args:
        default: The settings to start from.
        given: A3 offset [dB], hysteresis [dB], TTT [ms], k, T310 [ms]; None is the default.

    Raises:
        BadInput: A value is outside what TS 38.331 §6.3 allows.
    """
    limits = (
        ("--a3-offset", -15, 15), ("--hysteresis", 0, 15), ("--ttt", 0, 5120),
        ("--filter", 0, 19), ("--t310", 0, 6000),
    )  # fmt: skip
    for value, (place, low, high) in zip(given, limits, strict=True):
        if value is not None and not low <= value <= high:
            raise BadInput(place=place, expected=f"{low} to {high}", found=f"{value:g}")
    a3_offset, hysteresis, ttt, filter_k, t310 = given
    made = default
    if a3_offset is not None:
        made = replace(made, a3_offset_db=a3_offset)
    if hysteresis is not None:
        made = replace(made, hysteresis_db=hysteresis)
    if ttt is not None:
        made = replace(made, time_to_trigger_s=ttt / 1e3)
    if filter_k is not None:
        made = replace(made, filter_coefficient=filter_k)
    if t310 is not None:
        made = replace(made, procedures=replace(made.procedures, t310_s=t310 / 1e3))
    return made
