"""The command that compares the twin's handovers with a published study in ns-3."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cellhive.cli.output import console
from cellhive.core.errors import BadInput


class Part(StrEnum):
    """Which rows of the study are compared."""

    ALL = "all"
    A = "A"
    B = "B"
    C = "C"


def validate_handover(
    part: Annotated[Part, typer.Option(help="Part of the study: A, B, C or all.")] = Part.ALL,
    seeds: Annotated[int, typer.Option(help="How many seeds; their mean is compared.")] = 20,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Rows of the study: ns3_urban_a3.json of the package handoverlab. "
            "Default: ../shared/data/validation/ns3_urban_a3.json."
        ),
    ] = None,
    alternatives: Annotated[
        bool, typer.Option(help="Run other defensible choices as well and show what each gives.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Page with charts to write, .html.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the comparison as JSON and nothing else.")
    ] = False,
) -> None:
    """Run the twin in the street grid of an ns-3 / 5G-LENA study and compare handovers.

    Exits with 1 when rank correlation or median ratio of handovers leave their limits.
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.adapters.ns3_study import STUDY_FILE, read_study  # noqa: PLC0415
    from cellhive.ran.validation.a3_study import (  # noqa: PLC0415
        ALTERNATIVES,
        REPORTED,
        Choices,
        Comparison,
        run_study,
    )
    from cellhive.reports.page import write_atomic  # noqa: PLC0415
    from cellhive.reports.validation.handover import (  # noqa: PLC0415
        handover_json,
        handover_page,
        handover_screen,
    )

    if seeds < 1:
        raise BadInput(place="--seeds", expected="at least 1", found=str(seeds))
    if report is not None:
        check_output(report, "--report", (".html", ".htm"))
    rows = [row for row in read_study(reference or STUDY_FILE) if part in {Part.ALL, row.part}]
    if not rows:
        raise BadInput(place="--part", expected="a part of the study", found=f"no rows of {part}")
    with console(stderr=True, quiet=as_json).status("Running the twin ...") as status:

        def compared(name: str, choices: Choices) -> Comparison:
            return run_study(
                rows, range(1, seeds + 1), choices,
                lambda done, total: status.update(f"{name}: {done} of {total} runs"),
            )  # fmt: skip

        found = compared("as reported", REPORTED)
        others: dict[str, Comparison] = {}
        for name, choices in ALTERNATIVES.items() if alternatives else ():
            others[name] = found if choices == REPORTED else compared(name, choices)
    if report is not None:
        write_atomic(report, handover_page(found, others))
    if as_json:
        print(handover_json(found, others))
    else:
        console().print(handover_screen(found, others))
        if report is not None:
            print(f"Report  {report}")
    if not found.agrees:
        raise typer.Exit(1)
