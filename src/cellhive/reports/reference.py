"""The reference pages, made from the code: quantities, commands, rules, limits, scenarios.

Everything returns Markdown. ``docs/build.py`` writes it; a test compares.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperGroup, TyperOption

from cellhive.core.errors import BadInput
from cellhive.core.schema import COUNTERS, KPIS, PARAMETERS, RELATION_COUNTERS, Quantity
from cellhive.flows.watch import WatchRules
from cellhive.ran.guard.rules import RULES
from cellhive.ran.guard.state import Limits
from cellhive.ran.handover import Procedures
from cellhive.ran.kpi import POINTS_PER_KW, WEIGHTS
from cellhive.ran.parameters import DEFAULTS
from cellhive.ran.scenarios import Scenario
from cellhive.ran.son import CoverageSettings, EnergySavingSettings, MlbSettings, MroSettings
from cellhive.ran.users import Traffic, UserMix
from cellhive.reports.environment import environment_page
from cellhive.reports.validation.words import ASSUMPTIONS

GENERATED = "<!-- Made by `make docs` from the code. Change the code, not this page. -->"

_BLOCK = re.compile(r"<!-- begin ([a-z-]+) -->\n.*?<!-- end \1 -->", re.DOTALL)
_MARKUP = re.compile(r"\[/?bold\]")
_MOST_POINTS = 24
_LARGE = 1000
_UNITS = {"s": "s", "db": "dB", "dbm": "dBm", "mbps": "Mbit/s"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'|'.join('---' for _ in header)}|"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def with_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """Return a page with its generated blocks made anew.

    A block stands between ``<!-- begin name -->`` and ``<!-- end name -->``. Blocks whose
    name is not given stay as they are.

    Args:
        text: The page.
        blocks: Markdown by name.
    """

    def filled(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in blocks:
            return match.group()
        return f"<!-- begin {name} -->\n{blocks[name].strip()}\n<!-- end {name} -->"

    return _BLOCK.sub(filled, text)


def block_names(text: str) -> list[str]:
    """Return the names of the generated blocks of a page."""
    return _BLOCK.findall(text)


# --------------------------------------------------------------------------- quantities


def parameters_page() -> str:
    """Return the reference of everything that may be changed."""
    rows = [
        (
            f"`{q.name}`", q.label, q.unit, str(q.per), _number(DEFAULTS.get(q.name)),
            _range(q), _number(q.max_step), f"{q.min_interval_s / 60:g} min", q.description,
            q.source,
        )
        for q in PARAMETERS
    ]  # fmt: skip
    header = ("name", "short", "unit", "per", "default", "values", "largest step",
              "shortest interval", "meaning", "source")  # fmt: skip
    return "\n".join(
        [
            "# Parameters",
            "",
            GENERATED,
            "",
            "Everything a plan may change. Range, step and interval are what the "
            "[guard](../guard.md) enforces. The default is that of generated networks; "
            "scenarios and site lists may set other values.",
            "",
            table(header, rows),
            "",
        ]
    )


def kpis_page() -> str:
    """Return the reference of every KPI and counter."""
    intro = (
        "Counters carry the names of TS 28.552. A name that starts with `x.` is our own, where "
        "the standard has none. A value that is not known is absent (NaN, null), never zero. "
        "KPIs of several cells or periods are computed from summed counters, never as means "
        "of ratios."
    )
    parts = ["# KPIs and counters", "", GENERATED, "", intro, ""]
    sections = (
        ("KPIs", "Per cell, per area and for the whole network.", KPIS),
        ("Counters of a cell", "", COUNTERS),
        ("Counters of a neighbour relation", "From a source to a target cell.", RELATION_COUNTERS),
    )
    for heading, text, quantities in sections:
        parts += [f"## {heading}", "", *([text, ""] if text else []), _quantities(quantities), ""]
    parts += ["## The score", "", *_score_text(), "", weights_table(), ""]
    return "\n".join(parts)


def _quantities(quantities: Sequence[Quantity]) -> str:
    rows = [(f"`{q.name}`", q.label, q.unit, q.better, q.description, q.source) for q in quantities]
    labelled = any(q.label for q in quantities)
    header = ("name", "short", "unit", "better", "meaning", "source")
    if not labelled:
        return table([h for h in header if h != "short"], [(r[0], *r[2:]) for r in rows])
    return table(header, rows)


def _score_text() -> list[str]:
    return [
        "One number to weigh plans by; one point is one percentage point of demand satisfied. "
        "It is the sum of each KPI times its weight, less "
        f"{POINTS_PER_KW / 100:g} points per watt of mean power per cell. KPIs that are not "
        "known count nothing.",
    ]


def weights_table() -> str:
    """Return the weights of the objective."""
    return table(("KPI", "points per unit"), [(f"`{k}`", f"{w:+g}") for k, w in WEIGHTS.items()])


def _range(quantity: Quantity) -> str:
    low, high, grid = quantity.low, quantity.high, quantity.grid
    if not grid:
        return f"{low:g} to {high:g}"
    steps = {round(b - a, 6) for a, b in itertools.pairwise(grid)}
    if len(steps) == 1:
        return f"{low:g} to {high:g} in steps of {steps.pop():g}"
    if len(grid) <= _MOST_POINTS:
        return ", ".join(f"{point:g}" for point in grid)
    return f"{len(grid)} values from {low:g} to {high:g}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "" if math.isinf(value) else f"{value:g}"


# --------------------------------------------------------------------------- settings


def field_texts(kind: type) -> dict[str, str]:
    """Return the string under each field of a class, by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
    texts: dict[str, str] = {}
    for node, below in itertools.pairwise(body):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[node.target.id] = " ".join(str(below.value.value).split())
    return texts


def settings_table(kind: type) -> str:
    """Return the settings of a class with their defaults and what they mean."""
    texts = field_texts(kind)
    rows = [
        (f"`{f.name}`", _written(_default(f)), texts.get(f.name, _in_words(f.name)))
        for f in fields(kind)
        if not is_dataclass(_default(f))
    ]
    return table(("setting", "default", "meaning"), rows)


def _in_words(name: str) -> str:
    """Return what a name says, where nothing else does: "q_out_db" is "Q out [dB]."."""
    stem, _, suffix = name.rpartition("_")
    unit = _UNITS.get(suffix) if stem else None
    words = (stem if unit else name).replace("_", " ").replace("gbr", "GBR")
    return f"{words[0].upper()}{words[1:]}{f' [{unit}]' if unit else ''}."


def _default(field: Field[Any]) -> object:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(_written(item) for item in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"`{key}` {_written(item)}" for key, item in value.items())
    if value is MISSING:
        return "must be given"
    return "none" if value is None else str(value)


def guard_rules_table() -> str:
    """Return every rule of the guard in the order it is asked."""
    rows = [
        (str(place), f"`{name}`", _first_line(rule))
        for place, (name, rule) in enumerate(RULES, start=1)
    ]
    return table(("", "rule", "what it does"), rows)


def _first_line(function: Callable[..., object]) -> str:
    return (inspect.getdoc(function) or "").splitlines()[0]


def scenarios_table(scenarios: Iterable[Scenario]) -> str:
    """Return scenarios and what each is judged on."""
    rows = [
        (
            f"`{s.name}`", s.title, f"{s.hours:g}", f"{s.start_h:02.0f}:00",
            ", ".join(f"`{name}`" for name in s.focus),
        )
        for s in scenarios
    ]  # fmt: skip
    return table(("scenario", "what it is", "hours", "starts", "judged on"), rows)


def blocks(scenarios: Iterable[Scenario]) -> dict[str, str]:
    """Return every block that is made from the code and the scenarios, by name."""
    return {
        "guard-rules": guard_rules_table(),
        "guard-limits": settings_table(Limits),
        "watch-rules": settings_table(WatchRules),
        "mro-settings": settings_table(MroSettings),
        "mlb-settings": settings_table(MlbSettings),
        "es-settings": settings_table(EnergySavingSettings),
        "cco-settings": settings_table(CoverageSettings),
        "procedures": settings_table(Procedures),
        "traffic": settings_table(Traffic),
        "users": settings_table(UserMix),
        "scenarios": scenarios_table(scenarios),
        "calibration-assumptions": "\n".join(f"- {each}" for each in ASSUMPTIONS),
    }


# --------------------------------------------------------------------------- command line


def commands_of(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every command below a group with its full name, the group itself first."""
    yield name, command
    if isinstance(command, TyperGroup):
        for inner, below in command.commands.items():
            yield from commands_of(below, f"{name} {inner}")


def cli_page(command: TyperGroup, name: str = "cellhive") -> str:
    """Return the reference of the command line.

    Args:
        command: The group that holds all commands.
        name: What it is called.
    """
    exits = (
        "Exit codes: 0 done; 1 failed; 2 a wrong option or bad input, said in one message; "
        "130 interrupted (what was done is reported and recorded)."
    )
    parts = ["# Command line", "", GENERATED, "", exits, ""]
    for full, each in commands_of(command, name):
        if full != name:
            parts += _command(full, each)
    return "\n".join(parts)


def _command(full: str, command: Any) -> list[str]:
    parts = [f"## `{full}`", "", _plain(command.help or ""), ""]
    if isinstance(command, TyperGroup):
        return parts
    arguments = [p for p in command.params if isinstance(p, TyperArgument)]
    options = [p for p in command.params if isinstance(p, TyperOption)]
    usage = [full, *(f"{_argument(p)}" for p in arguments), *(["[OPTIONS]"] if options else [])]
    parts += ["```", " ".join(usage), "```", ""]
    rows = [(f"`{_argument(p)}`", "", _plain(p.help or "")) for p in arguments]
    rows += [(_names(p), _shown_default(p), _plain(p.help or "") + _choices(p)) for p in options]
    if rows:
        parts += [table(("argument or option", "default", "meaning"), rows), ""]
    return parts


def _argument(argument: Any) -> str:
    name = (argument.name or "").upper()
    return f"{name}..." if argument.nargs == -1 else name


def _names(option: Any) -> str:
    return " / ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _shown_default(option: Any) -> str:
    default = option.default
    if option.required:
        return "must be given"
    if default is None or default == "":
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"`{default.value if isinstance(default, Enum) else default}`"


def _choices(option: Any) -> str:
    choices = getattr(option.type, "choices", None)
    return f" One of: {', '.join(f'`{c}`' for c in choices)}." if choices else ""


def _plain(text: str) -> str:
    return _MARKUP.sub("`", text).strip()


# --------------------------------------------------------------------------- benchmarks


def benchmarks_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return what benchmarks measured, one row per figure.

    Args:
        results: The content of each file of results.

    Raises:
        BadInput: A file lacks what every file of results has.
    """
    rows = []
    for result in results:
        try:
            rows += [_figure(str(result["name"]), row) for row in result["rows"]]
        except KeyError as error:
            raise BadInput(
                place=f"results of {result.get('name', 'a benchmark')}",
                expected="name and rows with name, value, unit", found=f"no {error}",
                remedy="run the benchmark again",
            ) from error  # fmt: skip
    header = ("benchmark", "figure", "measured", "goal", "beside it")
    return table(header, rows)


def _figure(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    spread = f" ± {row['spread']:.2g}" if row.get("spread") else ""
    beside = ""
    if row.get("peer"):
        value = row.get("peer_value")
        said = "no answer" if value is None else f"{_figures(value)} {row['unit']}"
        beside = f"{row['peer']}: {said}"
        beside += f" (×{_ratio(row['ratio'])})" if row.get("ratio") else ""
    measured = f"{_figures(row['value'])}{spread} {row['unit']}"
    return f"`{name}`", str(row["name"]), measured, str(row.get("goal", "")), beside


def _figures(value: float) -> str:
    """Return a number with three figures, large ones in full."""
    return f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.3g}"


def _ratio(value: float) -> str:
    """Return a ratio with two figures, large ones without an exponent."""
    return f"{value:.2g}" if value < _LARGE / 10 else f"{float(f'{value:.2g}'):,.0f}"


def machines_text(results: Sequence[Mapping[str, Any]]) -> str:
    """Return in one sentence what the figures were measured on."""
    machines = {
        f"{m.get('processor', 'an unknown processor')}, {m.get('cpus')} cores, "
        f"Python {m.get('python')}"
        for m in (result.get("machine", {}) for result in results)
    }
    return f"Measured on: {'; '.join(sorted(machines))}." if machines else ""


def pages(command: TyperGroup) -> dict[Path, str]:
    """Return every page that is generated entirely, by its path below ``docs``."""
    reference = Path("reference")
    return {
        reference / "cli.md": cli_page(command),
        reference / "environment.md": environment_page(table, settings_table, GENERATED),
        reference / "kpis.md": kpis_page(),
        reference / "parameters.md": parameters_page(),
    }
