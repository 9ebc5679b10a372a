"""The command that audits a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellhive.cli.output import console


def audit(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Site lists, cell and neighbour lists, bulk CM; or folders of them."),
    ],
    report: Annotated[
        Path, typer.Option(help="Where the report goes: .html, .md or .json by its suffix.")
    ] = Path("audit.html"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the audit as JSON and nothing else.")
    ] = False,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "",
) -> None:
    """Look for what is wrong in a configuration: identities, neighbours, positions, parameters.

    Reads tables (CSV, TSV, JSON with an object per row) of cells and of neighbour relations
    (columns source and target), JSON cell lists with neighbours, and bulk CM XML (TS 32.616).
    Several files are put together by the names of cells; a bad file never stops the others.

    Finds PCI collisions and confusions, one-way relations, neighbours that lack, lead nowhere
    or are too far away, sectors that seem swapped, positions that cannot be, and parameters
    that few cells like it have. Ends with 1 if it found an error, so that a pipeline can stop.
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.app.audit import AUDIT_SUFFIXES, audit_paths  # noqa: PLC0415
    from cellhive.core.measurements import Severity  # noqa: PLC0415
    from cellhive.reports.audit.report import (  # noqa: PLC0415
        AuditReport,
        audit_json,
        audit_screen,
        write_audit,
    )

    check_output(report, "--report", AUDIT_SUFFIXES)
    messages = console(stderr=True, quiet=as_json)
    with messages.status("Reading ...") as status:
        conf, found, reading = audit_paths(paths, lambda p: status.update(f"Read {p.name} ..."))
        made = AuditReport(conf, found, reading, title)
        write_audit(made, report)
    if as_json:
        print(audit_json(made))
    else:
        console().print(audit_screen(made, report))
    severities = [one.severity for one in found.findings] + [one.severity for one in reading]
    if Severity.ERROR in severities:
        raise typer.Exit(1)
