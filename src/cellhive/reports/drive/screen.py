"""A replayed drive test on one terminal screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cellhive.flows.drive import SWEEP_TRIGGERS_S, Comparison
from cellhive.reports.drive import words
from cellhive.reports.numbers import format_number

MOST_CAVEATS = 16


def drive_screen(compared: Comparison, paths: Mapping[str, Path]) -> RenderableType:
    """Return the summary of a comparison.

    Args:
        compared: The comparison.
        paths: Files that were written, by what they are: "Report".
    """
    parts: list[RenderableType] = [Text(words.read_line(compared))]
    said = ", ".join(f"{kind} {count}" for kind, count in list(compared.events.items())[:12])
    if said:
        parts.append(Text(f"The log says: {said}"))
    parts += [Text(f"{case.name}: {words.settings_text(case)}") for case in compared.cases]
    parts += [Text(), _table(compared)]
    if compared.sweep:
        parts += [Text(), _sweep(compared)]
    told = words.caveats(compared)
    parts += [Text(), *(Text(f"- {one}", style="dim") for one in told[:MOST_CAVEATS])]
    if len(told) > MOST_CAVEATS:
        parts.append(Text(f"- and {len(told) - MOST_CAVEATS} more in the report", style="dim"))
    parts += [
        Text.assemble((f"{name}  ", "dim"), (str(path), "bold")) for name, path in paths.items()
    ]
    return Group(*parts)


def _table(compared: Comparison) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("recorded", *(case.name for case in compared.cases)):
        table.add_column(escape(name), justify="right", no_wrap=True)
    for line in words.comparison_lines(compared):
        table.add_row(line.name, *line.texts)
    return table


def _sweep(compared: Comparison) -> Table:
    """Return the grid: handovers per minute / failures per hour."""
    title = "Handovers per minute / failures per hour, by A3 offset and time to trigger"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    table.add_column("A3 [dB]")
    for trigger in SWEEP_TRIGGERS_S:
        table.add_column(f"{trigger * 1e3:g} ms", justify="right", no_wrap=True)
    rows: dict[float, list[str]] = {}
    for offset, _, tally in words.sweep_rows(compared):
        handovers = format_number(tally.handovers_per_minute, 3)
        failures = format_number(words.failures_per_hour(tally), 3)
        rows.setdefault(offset, []).append(f"{handovers} / {failures}")
    for offset, texts in rows.items():
        table.add_row(f"{offset:g}", *texts)
    return table
