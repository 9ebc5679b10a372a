"""The command that analyses measurements of a real network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellhive.cli.output import console
from cellhive.cli.progress import Stages

if TYPE_CHECKING:
    from cellhive.app.whole import Wanted
    from cellhive.flows.analyse import Analysis


@dataclass(frozen=True)
class _Asked:
    """What the command was asked for."""

    paths: list[Path]
    report: Path
    mapping: Path | None
    save_mapping: Path | None
    as_json: bool
    title: str
    plan: Path | None
    wanted: Wanted


def analyze(  # one parameter per option
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="PM files, KPI tables, site and neighbour lists, bulk CM, drive tests; or folders "
            "of them."
        ),
    ],
    report: Annotated[
        Path, typer.Option(help="Where the report goes: .html, .md or .json by its suffix.")
    ] = Path("analysis.html"),
    mapping: Annotated[
        Path | None,
        typer.Option(
            help="YAML that says what columns mean; else cellhive-mapping.yaml beside the data."
        ),
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
    memory: Annotated[
        str,
        typer.Option(
            envvar="CELLHIVE_MEMORY",
            help="Name earlier incidents like these from this memory (a folder or "
            "postgresql://...), and remember these.",
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            "--memory-key", envvar="CELLHIVE_MEMORY_KEY",
            help="Key of an encrypted memory: a file with 64 hex digits, or env:NAME.",
        ),
    ] = "",
    plan: Annotated[
        Path | None,
        typer.Option(
            help="Write what to change as a plan (.xml: bulk CM, or .csv), the plan that takes it "
            "back, and all recommendations as a table beside it."
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="From where on something is recommended, such as prb_utilisation_ratio=0.7 or "
            "ue_throughput_mbps=3; repeatable."
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and analyse again as files arrive.")
    ] = False,
    every_s: Annotated[
        float, typer.Option("--every", min=0.1, help="Seconds between two looks of --watch.")
    ] = 10.0,
) -> None:  # fmt: skip
    """Read real measurement files and report what is wrong with them and with the network.

    Reads 3GPP PM XML (TS 32.435 and TS 28.532, plain or packed) and KPI tables (CSV, TSV,
    XLSX, Parquet); site lists, neighbour relations and bulk CM XML, which it audits; and
    drive-test logs, which it sums up. A bad file never stops the others.

    Example: cellhive analyze pm/ kpis.xlsx --memory memory
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.app import advice  # noqa: PLC0415
    from cellhive.app import analysis as composition  # noqa: PLC0415
    from cellhive.app.whole import Wanted  # noqa: PLC0415

    check_output(report, "--report", composition.ANALYSIS_SUFFIXES)
    if save_mapping is not None:
        check_output(save_mapping, "--save-mapping", composition.MAPPING_SUFFIXES)
    if plan is not None:
        advice.check_plan_path(plan)
    wanted = Wanted(causes, memory, key, advice.limits_told(limit or ()))
    asked = _Asked(paths, report, mapping, save_mapping, as_json, title, plan, wanted)
    if not watch:
        _once(asked)
        return
    from cellhive.cli.analysis.watch import watch as watched  # noqa: PLC0415

    own = [path for path in (report, save_mapping) if path is not None]
    own += advice.files_of_plan(plan) if plan is not None else ()
    watched(paths, lambda: _once(asked, brief=True), console(), every_s=every_s, ignored=own)


def _once(asked: _Asked, *, brief: bool = False) -> Analysis:
    """Analyse, write the report, and tell of it; not on the screen where ``brief``."""
    from cellhive.app import analysis as composition  # noqa: PLC0415
    from cellhive.app.whole import whole_of  # noqa: PLC0415
    from cellhive.cli.analysis.advice import tell_advice  # noqa: PLC0415
    from cellhive.cli.analysis.besides import print_besides  # noqa: PLC0415
    from cellhive.reports.analysis.precedents import precedents_lines  # noqa: PLC0415
    from cellhive.reports.analysis.screen import analysis_screen  # noqa: PLC0415

    with Stages(console(stderr=True, quiet=asked.as_json)) as stages:
        result, analysis = composition.analyse_paths(
            asked.paths, asked.mapping,
            lambda done, total, path: stages(f"Read {path.name}", done, total), stages,
        )  # fmt: skip
        whole = whole_of(analysis, result, asked.wanted, stages)
        stages("Writing the report")
        whole.write(asked.report, title=asked.title)
    if asked.save_mapping is not None:
        composition.save_guesses(result, asked.save_mapping)
    if asked.as_json:
        print(whole.as_json(title=asked.title))
    elif not brief:
        unread = {
            one.path: one.note
            for one in result.files
            if one.status == "failed" or (one.status == "ignored" and one.kind != "other")
        }
        written = {"Report": asked.report}
        if asked.save_mapping is not None:
            written["Mapping"] = asked.save_mapping
        console().print(analysis_screen(analysis, unread, written, whole.causes, whole.sections))
        print_besides(composition.taken_for(result), whole.surveys, result.mapping.path)
    quiet = asked.as_json or brief
    tell_advice(whole.advised, asked.plan, console(stderr=asked.as_json, quiet=quiet))
    if whole.seen and not asked.as_json:
        console().print("Seen before:")
        for text in precedents_lines(whole.seen):
            console().print(f"  {text}", markup=False)
    return analysis
