"""The commands, and what becomes of their errors."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import click
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cellhive import __version__
from cellhive.cli.analysis.analyze import analyze
from cellhive.cli.analysis.audit import audit
from cellhive.cli.analysis.incidents import incidents_app
from cellhive.cli.causal import causal_app
from cellhive.cli.headroom import headroom
from cellhive.cli.memory import memory_app
from cellhive.cli.memory_options import KeyPlace
from cellhive.cli.memory_patterns import condense, learn
from cellhive.cli.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    Stop,
    console,
    stoppable,
)
from cellhive.cli.run_options import (
    AsJson,
    Bbox,
    Branches,
    Freeze,
    Hours,
    MemoryPlace,
    Observed,
    PlanFile,
    Predict,
    Proposer,
    Protect,
    ReportFile,
    RunMode,
    ScenarioName,
    Seed,
    Shadow,
    SiteList,
)
from cellhive.cli.training.app import train_app
from cellhive.cli.training.options import MODELS, ModelsFolder
from cellhive.cli.twin.app import twin_app
from cellhive.core.errors import CellHiveError, UsageError
from cellhive.core.types import Mode, Verdict
from cellhive.reports.numbers import visible

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
app.add_typer(twin_app, name="twin")
memory_app.command()(learn)
memory_app.command()(condense)
app.add_typer(memory_app, name="memory")
app.add_typer(incidents_app, name="incidents")
app.add_typer(causal_app, name="causal")
app.add_typer(train_app, name="train")

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
def run(  # one parameter per option is how the command line is declared
    scenario: ScenarioName = "hex-urban",
    hours: Hours = None,
    seed: Seed = 1,
    mode: RunMode = Mode.AUTONOMOUS,
    optimizer: Proposer = "rules",
    shadow: Shadow = "",
    models: ModelsFolder = MODELS,
    sites: SiteList = None,
    bbox: Bbox = None,
    plan: PlanFile = None,
    protect: Protect = None,
    freeze: Freeze = None,
    observed: Observed = 120.0,
    branches: Branches = True,
    predict: Predict = True,
    memory: MemoryPlace = "",
    key: KeyPlace = "",
    report: ReportFile = None,
    as_json: AsJson = False,
    runs: RunsFolder = Path("runs"),
) -> None:
    """Run the closed loop on a simulated network and report what it achieved.

    Each 15-minute period: observe, propose, let the guard check, apply, watch, keep or roll
    back. "Do nothing" runs beside it with the same users, and every plan is measured
    against an exact branch without it. Ctrl-C ends cleanly, with a report.
    """
    from cellhive.adapters.files import check_folder, check_output  # noqa: PLC0415
    from cellhive.app import runs as composition  # noqa: PLC0415  # --help must not wait for it
    from cellhive.reports.run.as_json import summary  # noqa: PLC0415
    from cellhive.reports.run.live import live_view, summary_table  # noqa: PLC0415

    options = composition.RunOptions(
        scenario=scenario, hours=hours, seed=seed, mode=mode, optimizer=optimizer,
        observed_s=observed, branches=branches, predict=predict, sites=sites, bbox=bbox, plan=plan,
        protected=tuple(protect or ()), freeze=tuple(freeze or ()), memory=memory, memory_key=key,
        models=models, shadow=shadow,
    ).checked()  # fmt: skip
    if report is not None:
        check_output(report, "--report", composition.REPORT_SUFFIXES)
    check_folder(runs, "--runs")
    messages = console(stderr=True, quiet=as_json)
    prepared = composition.prepare(
        options,
        on_build=lambda: messages.print(
            f"Building {options.named}, seed {options.seed}; the first run compiles its "
            "kernels (about 15 s) ...",
            markup=False,
        ),
    )
    folder = composition.record_folder(prepared, runs)
    for note in prepared.notes:
        messages.print(f"[dim]· {escape(note)}[/dim]")
    with stoppable(Stop(messages)) as stop:
        with live_view(folder.start.run_id, console=messages, quiet=as_json) as view:
            prepared.observers.append(view)

            def approve(verdict: Verdict) -> bool | None:
                with view.paused():
                    return _ask(verdict, messages, stop)

            record = composition.execute(
                prepared, approve=approve if mode is Mode.ASSIST else None, should_stop=stop
            )
        paths = composition.finish(prepared, record, report)
        learnt = composition.remember(prepared, record)
    if learnt is not None:
        messages.print(f"Memory {learnt.told}", markup=False)
    if as_json:
        print(json.dumps(summary(record, paths), indent=2, allow_nan=False))
    else:
        console().print(summary_table(record, paths=paths))
    if record.interrupted:
        sys.exit(128 + stop.signum if stop.signum else EXIT_INTERRUPTED)


def _ask(verdict: Verdict, console: Console, stop: Stop) -> bool | None:
    """Ask a person about a plan; None where nobody is there to answer."""
    if not (sys.stdin.isatty() and console.is_terminal):
        return None
    plan = verdict.plan
    console.print(f"\n[bold]{escape(plan.plan_id)}[/bold] wants to change:")
    for change in verdict.accepted:
        console.print(
            f"  {escape(change.object_id)} {change.parameter} {change.before:g} -> "
            f"{change.after:g}: {escape(change.reason)}"
        )
    stop.asking = True
    try:
        answer = console.input(
            f"Apply {escape(plan.plan_id)} ({len(verdict.accepted)} changes)? \\[y/N] "
        )
    except EOFError:
        return None
    finally:
        stop.asking = False
    return answer.strip().lower() in {"y", "yes"}


@app.command()
def replay(
    run_folder: Annotated[Path, typer.Argument(help="A run folder, e.g. runs/2026...")],
) -> None:
    """Run a recorded run again and compare every number with the record."""
    from cellhive.app import runs as composition  # noqa: PLC0415
    from cellhive.reports.run.live import live_view  # noqa: PLC0415

    messages = console(stderr=True)
    with live_view(f"replay of {run_folder.resolve().name}", console=messages) as view:
        replayed = composition.replay(run_folder, observers=[view])
    if replayed.difference is not None:
        message = f"the replay differs: {replayed.difference}"
        raise CellHiveError(message)
    done = len(replayed.new.frames)
    told = f"{done} period{'s' * (done != 1)} replayed"
    if not replayed.complete:
        told = f"{done} of {replayed.planned} periods replayed, as far as the record goes"
    print(f"{told}: every number is the same")


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(help="A run folder, e.g. runs/2026...")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Page to write; default: in the folder.")
    ] = None,
) -> None:
    """Write the report of a recorded run, for example of one that was killed."""
    from cellhive.app import runs as composition  # noqa: PLC0415

    print(composition.report(run_folder, out))


@app.command()
def runs(runs: RunsFolder = Path("runs")) -> None:
    """List the runs there are, newest last."""
    from cellhive.adapters.runs import list_runs  # noqa: PLC0415

    listings = list_runs(runs)
    if not listings:
        print(f"There are no runs in {runs}; start one: cellhive run")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    for name in ("started", "scenario", "seed", "ended"):
        table.add_column(name, no_wrap=True)
    for listing in listings:
        table.add_row(
            escape(str(listing.path)), escape(listing.started[:16].replace("T", " ")),
            escape(listing.scenario), str(listing.seed),
            "by itself" if listing.finished else "early",
        )  # fmt: skip
    console().print(table)


@app.command()
def scenarios(
    show: Annotated[
        str, typer.Option(help="Print the file of one scenario, to write your own from.")
    ] = "",
) -> None:
    """List the scenarios and what is wrong in each, or print one as YAML."""
    from cellhive.adapters.scenarios import library, library_text  # noqa: PLC0415

    if show:
        print(library_text(show), end="")
        return
    from cellhive.adapters.scenarios.studies import library_study  # noqa: PLC0415
    from cellhive.reports.headroom import headroom_words  # noqa: PLC0415

    study = library_study()
    table = Table("scenario", "hours", "headroom", "what it is", box=None, pad_edge=False)
    for scenario in library().values():
        words = headroom_words(study, scenario.name)
        table.add_row(scenario.name, f"{scenario.hours:g}", words, scenario.title)
    console().print(table)


@app.command()
def evaluate(
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Scenario to run; repeatable; default: all but hex-urban."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=2, help="How many seeds; every seed is another city.")
    ] = 10,
    first_seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 201,
    optimizer: Annotated[str, typer.Option(help="Who proposes; see cellhive run.")] = "rules",
    models: ModelsFolder = MODELS,
    hours: Annotated[
        float | None, typer.Option(help="Simulated hours; default: each scenario's own.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Markdown page to write.")] = Path("results.md"),
) -> None:
    """Compare an optimiser with doing nothing on every scenario, over seeds, with intervals.

    This is the command behind docs/results.md; it takes about fifteen minutes on two cores.
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.adapters.scenarios import scenario_names  # noqa: PLC0415
    from cellhive.app.results import evaluate_scenarios, versions  # noqa: PLC0415
    from cellhive.reports.page import write_atomic  # noqa: PLC0415
    from cellhive.reports.results import results_markdown  # noqa: PLC0415

    check_output(out, "--out", (".md",))
    every = [name for name in scenario_names() if name != "hex-urban"]
    names = list(dict.fromkeys(scenario or every))
    messages = console(stderr=True)
    results = evaluate_scenarios(
        names, range(first_seed, first_seed + seeds), optimizer=optimizer, models=models,
        hours=hours,
        on_progress=lambda name, seed: messages.print(f"{name}, seed {seed}", highlight=False),
    )  # fmt: skip
    command = f"cellhive evaluate --seeds {seeds} --first-seed {first_seed}"
    command += "".join(f" --scenario {name}" for name in names if scenario)
    command += f" --optimizer {optimizer}" if optimizer != "rules" else ""
    command += f" --hours {hours:g}" if hours is not None else ""
    write_atomic(out, results_markdown(results, command, versions()))
    for result in results:
        print(f"{result.scenario.name}: {'passes' if result.passes else 'does not pass'}")
    print(out)


app.command()(headroom)
app.command()(analyze)
app.command()(audit)


@plan_app.command("export")
def plan_export(
    run_folder: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        list[Path], typer.Option("--out", "-o", help="File to write: .xml or .csv; repeatable.")
    ],
    plan_id: Annotated[
        str, typer.Option("--plan", help="One plan of the run; default: all that was kept.")
    ] = "",
) -> None:
    """Write a plan of a run as 3GPP bulk CM XML (TS 32.615) or as CSV.

    Without --plan it is everything that the run changed, from the initial to the final
    configuration.
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.app import runs as composition  # noqa: PLC0415

    for path in out:
        check_output(path, "--out", composition.PLAN_SUFFIXES)
    plan = composition.plan_of(run_folder, plan_id)
    for path in out:
        composition.write_plan(plan, run_folder, path)
        print(f"{path}: {len(plan.changes)} changes")


@plan_app.command("show")
def plan_show(
    run_folder: Annotated[Path, typer.Argument(help="A run folder with the network.")],
    file: Annotated[Path, typer.Argument(help="A plan file, .xml or .csv.")],
) -> None:
    """Read a plan file back and list its changes."""
    from cellhive.adapters.runs import load_run  # noqa: PLC0415
    from cellhive.app import runs as composition  # noqa: PLC0415

    plan = composition.read_plan(file, load_run(run_folder).network)
    table = Table("object", "parameter", "from", "to", "reason", box=None, pad_edge=False)
    for change in plan.changes:
        table.add_row(
            escape(change.object_id), change.parameter, f"{change.before:g}", f"{change.after:g}",
            escape(change.reason),
        )  # fmt: skip
    console().print(table)


def main() -> None:
    """Run the command line; errors become one message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a poor encoding must not end a run
    try:
        code: Any = app(prog_name="cellhive", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        _fail(_usage(error), error.exit_code)
    except UsageError as error:
        _fail(str(error), EXIT_USAGE)
    except CellHiveError as error:
        _fail(str(error), EXIT_FAILED)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted", EXIT_INTERRUPTED)
    if code == EXIT_INTERRUPTED:  # what Typer makes of Ctrl-C where no run took it
        _fail("interrupted", EXIT_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: click.ClickException) -> str:
    """Return what is wrong with a command, and where to look up what is right."""
    context = getattr(error, "ctx", None)
    command = "cellhive" if context is None else context.command_path
    return f"{error.format_message().rstrip('.')}; see {command} --help"


def _fail(message: str, code: int) -> NoReturn:
    line = visible(" ".join(message.split()))  # one line, for scripts
    print(f"cellhive: {line}", file=sys.stderr)
    sys.exit(code)
