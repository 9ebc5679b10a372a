"""The command that analyses measurements of a real network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellhive.cli.output import console


def analyze(  # one parameter per option
    paths: Annotated[
        list[Path], typer.Argument(help="PM XML files, KPI tables, or folders of them.")
    ],
    report: Annotated[
        Path, typer.Option(help="Where the report goes: .html, .md or .json by its suffix.")
    ] = Path("analysis.html"),
    mapping: Annotated[
        Path | None, typer.Option(help="YAML that says what columns mean; see --save-mapping.")
    ] = None,
    save_mapping: Annotated[
        Path | None, typer.Option(help="Write the mapping that was guessed here, to edit it.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the analysis as JSON and nothing else.")
    ] = False,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "",
    causes: Annotated[
        bool, typer.Option("--causes/--no-causes", help="Say why, what if and what to change.")
    ] = True,
) -> None:
    """Read real measurement files and report what is wrong with them and with the network.

    Reads 3GPP PM XML (TS 32.435 and TS 28.532, plain or packed) and KPI tables (CSV, TSV,
    XLSX, Parquet). A bad file never stops the others.
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.app import analysis as composition  # noqa: PLC0415
    from cellhive.reports.analysis.report import analysis_json, write_analysis  # noqa: PLC0415
    from cellhive.reports.analysis.screen import analysis_screen  # noqa: PLC0415

    check_output(report, "--report", composition.ANALYSIS_SUFFIXES)
    if save_mapping is not None:
        check_output(save_mapping, "--save-mapping", composition.MAPPING_SUFFIXES)
    messages = console(stderr=True, quiet=as_json)
    with messages.status("Reading ...") as status:
        result, analysis = composition.analyse_paths(
            paths, mapping,
            lambda done, total, path: status.update(f"Read {done} of {total}: {path.name}"),
        )  # fmt: skip
        found = None
        if causes:
            status.update("Looking for causes ...")
            found = composition.causes_of(analysis)
        status.update("Writing the report ...")
        write_analysis(analysis, report, title=title, causes=found)
    if save_mapping is not None:
        composition.save_guesses(result, save_mapping)
    unread = {
        one.path: one.note
        for one in result.files
        if one.status == "failed" or (one.status == "ignored" and one.kind != "other")
    }
    if as_json:
        print(analysis_json(analysis, title=title, causes=found))
    else:
        written = {"Report": report}
        if save_mapping is not None:
            written["Mapping"] = save_mapping
        console().print(analysis_screen(analysis, unread, written, found))
