"""A calibration as a self-contained page, as a picture, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.table import Table as ScreenTable
from rich.text import Text

from cellhive import __version__
from cellhive.core.types import to_jsonable
from cellhive.ran.validation import QUANTITIES, TOLERANCE_DB, Calibration, Check, Spread, checks
from cellhive.reports.page import Cell, Column, Table, render, safe_svg, write_atomic
from cellhive.reports.validation import words
from cellhive.reports.validation.figures import difference_chart, distribution_chart, picture


@dataclass(frozen=True, slots=True)
class Card:
    """One set-up at the head of the page."""

    name: str
    value: str
    tone: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One set-up on the page."""

    key: str
    title: str
    charts: list[Markup]
    table: Table


@dataclass(frozen=True)
class Validation:
    """Calibrations beside what the companies found."""

    calibrations: Sequence[Calibration]
    spreads: Mapping[tuple[str, str], Spread]
    reference: str = ""
    """File the companies' figures were read from; empty where they are the kept ones."""

    @property
    def checks(self) -> list[Check]:
        """Every check of every set-up."""
        return [check for each in self.calibrations for check in checks(each, self.spreads)]

    @property
    def passes(self) -> bool:
        """Whether all checks pass."""
        return all(check.passes for check in self.checks)

    def charts(self, calibration: Calibration) -> list[str]:
        """Return the charts of one set-up, one per quantity."""
        scenario = calibration.setup.environment.name
        grouped = groupby(checks(calibration, self.spreads), lambda check: check.quantity)
        return [
            distribution_chart(calibration, self.spreads[scenario, quantity], list(group))
            for quantity, group in grouped
        ]


def write_report(validation: Validation, path: Path) -> None:
    """Write the page; the file appears whole or not at all."""
    write_atomic(path, render_report(validation))


def write_picture(validation: Validation, path: Path) -> None:
    """Write all charts as one SVG file."""
    rows = [(each.setup.title, validation.charts(each)) for each in validation.calibrations]
    write_atomic(path, picture(rows, "Calibration of TR 38.901 §7.8.1 beside R1-165974"))


def render_report(validation: Validation) -> str:
    """Return the page."""
    every = validation.checks
    return render(
        "validation.html",
        title="Calibration of the twin's radio",
        subtitle="TR 38.901 §7.8.1, large scale, beside the companies of R1-165974",
        summary=words.summary(every),
        sampling=words.sampling(validation.calibrations, every),
        origin=words.origin(validation.reference),
        cards=[_card(each, validation) for each in validation.calibrations],
        parts=[_part(each, validation) for each in validation.calibrations],
        assumptions=words.ASSUMPTIONS,
    )


def _card(calibration: Calibration, validation: Validation) -> Card:
    found = checks(calibration, validation.spreads)
    inside = sum(check.passes for check in found)
    beyond = max(check.outside_db for check in found)
    from_mean = max(abs(check.found_db - check.mean_db) for check in found)
    return Card(
        calibration.setup.title,
        f"{inside} of {len(found)} inside",
        "better" if inside == len(found) else "worse",
        (
            ("beyond their range", f"{beyond:.2f} dB"),
            ("from their mean", f"{from_mean:.2f} dB"),
        ),
    )


def _part(calibration: Calibration, validation: Validation) -> Part:
    rows = [
        (
            QUANTITIES[check.quantity],
            Cell(f"{check.percent:g} %", check.percent),
            Cell(words.db(check.found_db), check.found_db),
            Cell(f"± {check.error_db:.2f}", check.error_db),
            Cell(words.db(check.low_db), check.low_db),
            Cell(words.db(check.mean_db), check.mean_db),
            Cell(words.db(check.high_db), check.high_db),
            Cell(words.verdict(check), check.outside_db, "better" if check.passes else "worse"),
        )
        for check in checks(calibration, validation.spreads)
    ]
    columns = (
        Column("quantity"), Column("share of users", numeric=True),
        Column("found [dB]", numeric=True),
        Column("±", numeric=True, title="Standard error from drawing other users [dB]"),
        Column("companies: smallest", numeric=True), Column("mean", numeric=True),
        Column("largest", numeric=True),
        Column("verdict", title=f"Inside: at most {TOLERANCE_DB:g} dB beyond the companies"),
    )  # fmt: skip
    key = calibration.setup.environment.name
    charts = [
        *validation.charts(calibration),
        *(difference_chart(calibration, validation.spreads[key, q], q) for q in QUANTITIES),
    ]
    table = Table(columns, rows, filterable=False)
    return Part(key, calibration.setup.title, [safe_svg(chart) for chart in charts], table)


def screen(validation: Validation, paths: Sequence[Path] = ()) -> RenderableType:
    """Return every check as a table, and the result in words.

    Args:
        validation: The calibrations.
        paths: Files that were written, named at the end.
    """
    table = ScreenTable(box=None, pad_edge=False)
    for name in ("set-up", "quantity"):
        table.add_column(name)
    for name in ("%", "found dB", "±", "smallest", "mean", "largest"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for check in validation.checks:
        style = "" if check.passes else "bold red"
        table.add_row(
            check.scenario, QUANTITIES[check.quantity], f"{check.percent:g}",
            words.db(check.found_db), f"{check.error_db:.2f}", words.db(check.low_db),
            words.db(check.mean_db), words.db(check.high_db), words.verdict(check), style=style,
        )  # fmt: skip
    told = [
        *words.summary(validation.checks),
        words.sampling(validation.calibrations, validation.checks),
        words.origin(validation.reference),
        *map(str, paths),
    ]
    return Group(table, Text(), *(Text(line) for line in told))


def as_json(validation: Validation) -> dict[str, Any]:
    """Return every check as plain JSON values."""
    return {
        "format": "cellhive-validation-1",
        "version": __version__,
        "users": validation.calibrations[0].users,
        "seed": validation.calibrations[0].seed,
        "reference": words.origin(validation.reference),
        "tolerance_db": TOLERANCE_DB,
        "passes": validation.passes,
        "checks": [
            {
                **to_jsonable(check._asdict()),
                "outside_db": check.outside_db,
                "passes": check.passes,
            }
            for check in validation.checks
        ],
        "assumptions": list(words.ASSUMPTIONS),
    }
