"""The report of a replayed drive test as one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from cellhive.flows.drive import Comparison
from cellhive.reports.drive import figures, words
from cellhive.reports.page import Cell, Column, Table, render, write_atomic


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """One part of the log as it is shown."""

    heading: str
    levels: Markup
    serving: Markup


def write_drive_report(compared: Comparison, path: Path) -> None:
    """Write the report; the file appears whole or not at all.

    Raises:
        BadInput: It cannot be written there.
    """
    write_atomic(path, render_drive(compared))


def render_drive(compared: Comparison) -> str:
    """Return the report as a self-contained HTML page."""
    return render(
        "drive.html",
        title=f"Drive test: {Path(compared.test.source).name}",
        subtitle=compared.test.form,
        read=words.read_line(compared),
        cases=[(case.name, words.settings_text(case)) for case in compared.cases],
        comparison=_comparison(compared),
        windows=_windows(compared),
        marked=compared.cases[-1].name,
        sweep=_sweep(compared) if compared.sweep else None,
        sweep_chart=figures.sweep_chart(compared) if compared.sweep else "",
        events=Table(
            (Column("event"), Column("count", numeric=True)),
            [(kind, count) for kind, count in compared.events.items()],
            empty="The log has no events.",
        ),
        caveats=words.caveats(compared),
    )


def _comparison(compared: Comparison) -> Table:
    """Return the comparison: a row per figure, a column per case."""
    names = ("recorded", *(case.name for case in compared.cases))
    return Table(
        (Column(""), *(Column(name, numeric=True) for name in names)),
        [
            (Cell(line.name, title=line.meaning), *line.texts)
            for line in words.comparison_lines(compared)
        ],
        filterable=False,
    )


def _windows(compared: Comparison) -> list[ShownWindow]:
    names = [case.name for case in compared.cases]
    last = len(names) - 1
    return [
        ShownWindow(
            f"{window.log.name}, {window.start_s:.0f} to {window.end_s:.0f} s",
            figures.levels_chart(window, last, names[last]),
            figures.serving_chart(window, names),
        )
        for window in compared.windows
    ]


def _sweep(compared: Comparison) -> Table:
    """Return the grid, a row per pair of parameters."""
    return Table(
        (
            Column("A3 offset (dB)", numeric=True), Column("TTT (ms)", numeric=True),
            Column("handovers per minute", numeric=True),
            Column("ping-pong (%)", numeric=True, title="Back within 1 s, share of handovers"),
            Column("back within 5 s (%)", numeric=True),
            Column("failures per hour", numeric=True, title="Handover and radio link failures"),
            Column("below −110 dBm (%)", numeric=True), Column("mean RSRP (dBm)", numeric=True),
        ),
        [
            (
                offset, trigger * 1e3, tally.handovers_per_minute,
                100 * tally.per_handover(tally.ping_pongs),
                100 * tally.per_handover(tally.returns),
                words.failures_per_hour(tally), 100 * tally.weak_ratio, tally.mean_rsrp_dbm,
            )
            for offset, trigger, tally in words.sweep_rows(compared)
        ],
    )  # fmt: skip
