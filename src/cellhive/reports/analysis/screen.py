"""An analysis on one terminal screen: what was read, what it means, what stands out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cellhive.core.measurements import ColumnInfo, Severity
from cellhive.flows.analyse import Analysis
from cellhive.flows.causes.why import Causes
from cellhive.reports.analysis import words
from cellhive.reports.analysis.clock import clock_of
from cellhive.reports.analysis.findings import grouped, short_names, without_folders
from cellhive.reports.analysis.sections import Section
from cellhive.reports.analysis.summary import points, tally
from cellhive.reports.causal.words import causes_lines

MOST_COLUMNS, MOST_INCIDENTS, MOST_FINDINGS, MOST_UNREAD = 12, 6, 8, 12
MOST_PARTS = 12
MOST_REASON, MOST_TOLD = 160, 400
"""Letters of a reason and of a finding that are told on the screen."""
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


def analysis_screen(
    analysis: Analysis,
    unread: Mapping[Path, str],
    paths: Mapping[str, Path],
    causes: Causes | None = None,
    sections: Sequence[Section] = (),
) -> RenderableType:
    """Return the summary of an analysis.

    Args:
        analysis: The analysis.
        unread: Files of which nothing was read, and why.
        paths: Where its files are, by what they are: "Report".
        causes: What a causal model says of it; None if none was asked for.
        sections: What others add to the report; their line of the summary is shown.
    """
    clock = clock_of(analysis)
    parts: list[RenderableType] = [
        Text(words.part_line(part, clock)) for part in analysis.parts[:MOST_PARTS]
    ]
    if len(analysis.parts) > MOST_PARTS:
        parts.append(Text(f"and {len(analysis.parts) - MOST_PARTS} more, in the report"))
    shown = list(unread.items())[:MOST_UNREAD]
    names = short_names([str(path) for path, _ in shown])
    parts += [
        Text(f"✘ {names[str(path)]}: {clipped(reason, MOST_REASON)}", style="red")
        for path, reason in shown
    ]
    if len(unread) > MOST_UNREAD:
        parts.append(Text(f"✘ … and {len(unread) - MOST_UNREAD} more files", style="red"))
    parts += [Text(), _columns(analysis), Text()] if analysis.parts else [Text()]
    parts += [Text(one) for one in tally(analysis)]
    parts += [
        Text.assemble((f"{one.question}: ", "bold"), one.answer)
        for one in points(analysis, causes, sections, clock)
    ]
    incidents, noun = analysis.search.incidents, words.noun_of(analysis)
    parts += [
        Text(f"  {index}. {words.headline(one, noun)}; {words.stretch(one, clock)}")
        for index, one in enumerate(incidents[:MOST_INCIDENTS], 1)
    ]
    if len(incidents) > MOST_INCIDENTS:
        parts.append(Text(f"  and {len(incidents) - MOST_INCIDENTS} more, in the report"))
    if causes is not None and (incidents or causes.summary is not None):
        parts += [Text(), *(Text(line) for line in causes_lines(causes))]
    parts += [Text(), _findings(analysis), Text()]
    parts += [
        Text.assemble((f"{name}  ", "dim"), (str(path), "bold")) for name, path in paths.items()
    ]
    return Group(*parts)


def clipped(text: str, most: int) -> str:
    """Return text on one line, cut between words where it is long."""
    text = words.clean(text)
    return text if len(text) <= most else f"{text[:most].rsplit(' ', 1)[0]} …"


def _columns(analysis: Analysis) -> Table:
    """Return what columns were taken to mean, surest first."""
    table = Table("column", "read as", "unit", "sure", box=None, pad_edge=False, title="Columns")
    seen: dict[str, ColumnInfo] = {}
    for part in analysis.parts:
        for info in part.columns.values():
            if info.bin is None:
                seen.setdefault(info.header or info.name, info)
    shown = sorted(seen.items(), key=lambda item: (item[1].quantity is None, -item[1].confidence))
    for header, info in shown[:MOST_COLUMNS]:
        meaning = info.quantity or f"itself ({info.role.value}, {info.better or 'no direction'})"
        sure = f"{100 * info.confidence:.0f} %" if info.quantity else "–"
        table.add_row(escape(words.clean(header)), meaning, info.unit, sure)
    if len(shown) > MOST_COLUMNS:
        table.add_row(f"and {len(shown) - MOST_COLUMNS} more, in the report", "", "", "")
    return table


def _findings(analysis: Analysis) -> Group:
    """Return the data quality findings grouped by kind."""
    groups = grouped(without_folders(analysis.findings))
    severities = Counter(one.severity for one in analysis.findings)
    counts = ", ".join(f"{severities[s]} {s.value}" for s in Severity if severities[s]) or "none"
    lines = [Text(f"Data quality: {counts}")]
    for group in groups[:MOST_FINDINGS]:
        told = f"  {group.name} ({group.amount}): {clipped(str(group.first), MOST_TOLD)}"
        lines.append(Text(told, style=_STYLES[group.severity]))
    if len(groups) > MOST_FINDINGS:
        lines.append(Text(f"  and {len(groups) - MOST_FINDINGS} more kinds, in the report"))
    return Group(*lines)
