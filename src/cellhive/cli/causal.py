"""Commands about causes: learn a causal model, and ask it why, what if and what to change."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cellhive.cli.output import console
from cellhive.core.errors import BadInput
from cellhive.core.types import to_jsonable

if TYPE_CHECKING:
    from cellhive.causal.queries.planning import Advice, Harm, Lever, Outcome
    from cellhive.flows.causes.model import CausalModel
    from cellhive.flows.causes.summary import EdgeFound

causal_app = typer.Typer(
    help="Ask measurements why, what if and what to change, with intervals.\n\n"
    "Start: [bold]cellhive causal discover kpis.csv -o model.causal[/bold], then "
    "[bold]cellhive causal effect model.causal --effect ue_throughput_mbps[/bold].",
    no_args_is_help=True,
)

ModelFile = Annotated[Path, typer.Argument(help="A model that `causal discover` wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

_HARM = re.compile(r"^(?P<name>[^<>]+)(?P<way>[<>])(?P<limit>[^@]+)(@(?P<probability>.+))?$")
_SHOWN_EDGES = 25


@causal_app.command()
def discover(
    paths: Annotated[
        list[Path], typer.Argument(help="PM XML files, KPI tables, or folders of them.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where the model goes: a .causal file.")
    ] = Path("model.causal"),
    variable: Annotated[
        list[str] | None,
        typer.Option(
            "--variable",
            "-v",
            help="A variable to use, or a pattern with *; repeatable; "
            "default: all that are mostly there.",
        ),
    ] = None,
    lags: Annotated[int, typer.Option(help="Earlier periods that may hold causes, 0 to 3.")] = 0,
    knowledge: Annotated[
        Path | None,
        typer.Option(help="YAML: like, forbidden, required, encouraged, radio; see the how-to."),
    ] = None,
    cell_class: Annotated[
        str, typer.Option("--class", help="Class of objects to take; default: the richest.")
    ] = "",
    mapping: Annotated[
        Path | None, typer.Option(help="YAML that says what columns mean; see analyze.")
    ] = None,
    across_cells: Annotated[
        bool,
        typer.Option(
            "--across-cells",
            help="Take lasting differences between cells for "
            "effects, too; by default each cell is compared with itself.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same model.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Learn which counters and settings act on which, from measurements.

    What is known of radio networks is used (settings act on radio, radio on load, load on
    mobility, all on what users experience); --knowledge adds to it or corrects it. The model is
    checked on later periods and on what it leaves unexplained, and says what failed.

    Example: cellhive causal discover pm/ --lags 1 -o week.causal
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415  # --help must not wait
    from cellhive.app import causal as composition  # noqa: PLC0415
    from cellhive.flows.causes.model import Asked  # noqa: PLC0415

    check_output(out, "--out", composition.MODEL_SUFFIXES)
    told = composition.read_knowledge(knowledge)
    with console(stderr=True, quiet=as_json).status("Reading ...") as status:
        seen = composition.observed(
            paths, mapping=mapping, select=variable or (), cell_class=cell_class,
            on_progress=lambda done, total, path: status.update(
                f"Read {done} of {total}: {path.name}"
            ),
        )  # fmt: skip
        status.update(f"Learning from {len(seen.names)} variables of {len(seen.cells)} cells ...")
        model, verdict = composition.discovered(seen, told, Asked(lags, not across_cells, seed))
        status.update("Writing the model ...")
        composition.save_model(model, out)
    if as_json:
        print(json.dumps(_model_told(model) | {"checks": to_jsonable(verdict)}, indent=2))
        return
    screen = console()
    periods, cells, _ = seen.values.shape
    screen.print(f"{periods} periods of {cells} cells, {len(model.names)} variables")
    for name, why in [*seen.left_out, *((one.name, one.reason) for one in model.unusable)]:
        screen.print(f"left out {name}: {why}", markup=False, style="dim")
    for note in model.notes:
        screen.print(note, markup=False)
    if model.asked.counted < 1.0:
        screen.print(
            "values follow themselves from period to period: rows count "
            f"{model.asked.counted:.0%} of as many independent ones, unless --lags has the memory",
            style="dim",
        )
    screen.print(_edges_table(model))
    screen.print(str(model.posterior.convergence), markup=False)
    screen.print(str(verdict), markup=False, style="" if verdict.passed else "yellow")
    screen.print(f"Model {out}", markup=False)


def _edges_of(model: CausalModel) -> tuple[EdgeFound, ...]:
    from cellhive.flows.causes.summary import edges_of  # noqa: PLC0415

    return edges_of(model, model.mechanisms())


def _edges_table(model: CausalModel) -> Table:
    table = Table("cause", "acts on", "after", "probability", "per unit", "90 %", box=None)
    edges = _edges_of(model)
    for edge in edges[:_SHOWN_EDGES]:
        table.add_row(
            escape(edge.cause), escape(edge.effect),
            f"{edge.lag} periods" if edge.lag else "at once", f"{edge.probability:.2f}",
            f"{edge.mean:+.3g}", f"{edge.low:+.3g} to {edge.high:+.3g}",
        )  # fmt: skip
    if len(edges) > _SHOWN_EDGES:
        table.caption = f"{len(edges) - _SHOWN_EDGES} less probable ones are in the report"
    return table


def _model_told(model: CausalModel) -> dict[str, Any]:
    return {
        "variables": list(model.names), "cells": len(model.seen.cells),
        "periods": len(model.seen.values),
        "unusable": {one.name: one.reason for one in model.unusable},
        "left_out": dict(model.seen.left_out), "notes": list(model.notes),
        "converged": model.posterior.convergence.reached,
        "edges": [asdict(edge) for edge in _edges_of(model)],
    }  # fmt: skip


@causal_app.command()
def effect(
    model: ModelFile,
    effect: Annotated[str, typer.Option(help="Variable that is looked at.")],
    cause: Annotated[
        str, typer.Option(help="Variable that is moved; default: those with the largest effects.")
    ] = "",
    change: Annotated[
        float | None,
        typer.Option(help="How far it is moved, in its unit; default: a standard deviation."),
    ] = None,
    horizon: Annotated[int, typer.Option(help="Periods later.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say what moving a variable does to another, how sure that is, and whether data can tell.

    Example: cellhive causal effect week.causal --cause electrical_tilt_deg --change 1
    --effect ue_throughput_mbps
    """
    from cellhive.app.causal import load_model  # noqa: PLC0415
    from cellhive.flows.causes.questions import effect_of, strongest  # noqa: PLC0415

    held = load_model(model)
    if cause:
        answers = [effect_of(held, cause, effect, change=change, horizon=horizon)]
    else:
        if change is not None or horizon:
            raise BadInput(expected="--cause with --change and --horizon", found="none")
        if effect not in held.names:
            effect_of(held, held.names[0], effect)
        answers = list(strongest(held, effect))
    if as_json:
        print(json.dumps([to_jsonable(asdict(one)) for one in answers], indent=2))
        return
    if not answers:
        console().print(f"nothing among the variables acts on {effect}", markup=False)
    for one in answers:
        console().print(f"{one.words()} [{one.verdict}]", markup=False, soft_wrap=True)


@causal_app.command()
def whatif(
    model: ModelFile,
    cell: Annotated[str, typer.Option(help="Cell that is looked at.")],
    settings: Annotated[
        list[str], typer.Option("--set", help="name=value, in the variable's unit; repeatable.")
    ],
    at: Annotated[int, typer.Option(help="First period, from 0; -1 is the last one.")] = -1,
    periods: Annotated[int, typer.Option(help="Periods for which it is set.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Say what a cell's periods would have been, had something been set otherwise.

    What nothing explains in those periods stays as it was (abduction, action, prediction).

    Example: cellhive causal whatif week.causal --cell C12 --at 40 --set tx_power_dbm=43
    """
    from cellhive.app.causal import load_model  # noqa: PLC0415
    from cellhive.flows.causes.questions import what_if  # noqa: PLC0415

    held = load_model(model)
    wanted = dict(_numbered(text, "--set") for text in settings)
    answer = what_if(held, cell, at, wanted, periods=periods)
    if as_json:
        print(json.dumps(to_jsonable(asdict(answer)), indent=2))
        return
    for period in range(len(answer.factual)):
        table = Table("variable", "was", "would have been", "50 %", "90 %", box=None,
                      title=f"{cell}, period {at + period if at >= 0 else len(held.seen.values) + at + period}",  # noqa: E501
                      title_justify="left")  # fmt: skip
        for name in answer.names:
            place = answer.names.index(name)
            half = answer.of(name, period=period, level=0.5)
            most = answer.of(name, period=period, level=0.9)
            table.add_row(
                escape(name), f"{answer.factual[period, place]:.4g}", f"{most[1]:.4g}",
                f"{half[0]:.4g} to {half[2]:.4g}", f"{most[0]:.4g} to {most[2]:.4g}",
            )  # fmt: skip
        console().print(table)
    for name, value in wanted.items():
        far = answer.reach[name]
        if abs(far) > 3.0:  # noqa: PLR2004
            console().print(
                f"{name}={value:g} is {abs(far):.1f} standard deviations from what was seen: an "
                "extrapolation, which holds if mechanisms go on as they were",
                markup=False, style="yellow",
            )  # fmt: skip


@causal_app.command()
def plan(
    model: ModelFile,
    lever: Annotated[
        list[str],
        typer.Option(help="name:step,step,... with the changes to consider; repeatable."),
    ],
    goal: Annotated[
        list[str],
        typer.Option(help="name=worth of a unit; negative where less is better; repeatable."),
    ],
    harm: Annotated[
        list[str] | None,
        typer.Option(
            help="name>rise or name<fall, and @probability (0.1): what must not happen; repeatable."
        ),
    ] = None,
    worst: Annotated[
        float,
        typer.Option(help="Judge by the mean of this worst share of models; 1: by the mean."),
    ] = 1.0,
    together: Annotated[int, typer.Option(help="Levers changed at the same time.")] = 2,
    horizon: Annotated[int, typer.Option(help="Periods after the change.")] = 0,
    trial: Annotated[
        float, typer.Option(help="Cells times periods of a trial: says which would teach most.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Say which change is best under all models, what it risks, and what to try first.

    Example: cellhive causal plan week.causal --lever electrical_tilt_deg:-1,1
    --goal ue_throughput_mbps=1 --harm 'rlf_per_ue_min>0.05@0.1' --trial 500
    """
    from cellhive.app.causal import load_model  # noqa: PLC0415
    from cellhive.causal.queries.planning import Aim  # noqa: PLC0415
    from cellhive.flows.causes.questions import advice_for  # noqa: PLC0415

    levers = [_lever(text) for text in lever]
    aim = Aim(
        dict(_numbered(text, "--goal") for text in goal),
        tuple(_harm(text) for text in harm or ()),
        horizon=horizon, worst=worst, most_levers=together,
    )  # fmt: skip
    advice = advice_for(load_model(model), levers, aim, trial_samples=trial)
    if as_json:
        print(json.dumps(to_jsonable(asdict(advice)), indent=2))
        return
    _print_advice(advice)


def _print_advice(advice: Advice) -> None:
    screen = console()
    if advice.why:
        screen.print(advice.why, markup=False)
    if advice.options:
        screen.print(_options_table(advice.options, "best changes"))
    if advice.refused:
        screen.print(_options_table(advice.refused, "would help, but risk too much"))
    for one in advice.options:
        if one.outside:
            screen.print(f"{one.label}: {', '.join(one.outside)} ends outside what was seen",
                         markup=False, style="yellow")  # fmt: skip
    if advice.trials:
        table = Table("try", "is worth", box=None, title="what would teach most",
                      title_justify="left")  # fmt: skip
        for trial in advice.trials:
            table.add_row(escape(trial.outcome.label), f"{trial.value:.3g}")
        screen.print(table)
    screen.print(f"{advice.considered} changes considered; knowing every effect exactly would be "
                 f"worth {advice.certainty_value:.3g}", markup=False, style="dim")  # fmt: skip


def _options_table(options: tuple[Outcome, ...], title: str) -> Table:
    table = Table("change", "gain", "90 %", "better", "risks", box=None, title=title,
                  title_justify="left")  # fmt: skip
    for one in options:
        risks = ", ".join(f"{name} {share:.0%}" for name, share in one.harm.items())
        table.add_row(
            escape(one.label), f"{one.gain:+.3g}", f"{one.low:+.3g} to {one.high:+.3g}",
            f"{one.better:.0%}", escape(risks) or "-",
        )  # fmt: skip
    return table


@causal_app.command()
def report(
    model: ModelFile,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where it goes: .html, .md or .json by its suffix.")
    ] = Path("causes.html"),
    title: Annotated[str, typer.Option(help="Title of the report.")] = "",
) -> None:
    """Write a page on a model: its graph, effects with intervals, patterns, and what failed.

    Example: cellhive causal report week.causal -o causes.html
    """
    from cellhive.adapters.files import check_output  # noqa: PLC0415
    from cellhive.app.causal import checked, load_model  # noqa: PLC0415
    from cellhive.reports.causal.report import CAUSAL_SUFFIXES, write_causal_report  # noqa: PLC0415

    check_output(out, "--out", CAUSAL_SUFFIXES)
    held = load_model(model)
    with console(stderr=True).status("Checking the model ..."):
        verdict = checked(held)
        write_causal_report(held, out, title=title, checks=verdict)
    console().print(f"Report {out}", markup=False)


def _numbered(text: str, place: str) -> tuple[str, float]:
    name, sign, value = text.rpartition("=")
    try:
        number = float(value)
    except ValueError:
        sign = ""
        number = 0.0
    if not sign or not name:
        raise BadInput(expected="name=number", found=repr(text), place=place)
    return name.strip(), number


def _lever(text: str) -> Lever:
    from cellhive.causal.queries.planning import Lever  # noqa: PLC0415

    name, _, steps = text.rpartition(":")
    try:
        numbers = tuple(float(step) for step in steps.split(","))
    except ValueError:
        numbers = ()
    if not name or not numbers:
        raise BadInput(expected="name:step,step,...", found=repr(text), place="--lever")
    return Lever(name.strip(), numbers)


def _harm(text: str) -> Harm:
    from cellhive.causal.queries.planning import Harm  # noqa: PLC0415

    found = _HARM.match(text)
    try:
        limit = float(found["limit"]) if found else 0.0
        probability = float(found["probability"] or 0.1) if found else 0.0
    except ValueError:
        found = None
    if not found or limit <= 0.0 or not 0.0 <= probability < 1.0:
        raise BadInput(
            expected="name>rise@probability or name<fall@probability, with a positive number",
            found=repr(text), place="--harm",
        )  # fmt: skip
    rise = found["way"] == ">"
    return Harm(found["name"].strip(), limit if rise else -limit, probability)
