"""The configuration audit as a self-contained page, as JSON, as Markdown and on the screen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table as ScreenTable
from rich.text import Text

from cellhive.core.measurements import Finding, Severity
from cellhive.diagnose.audit.configuration import Audit, AuditFinding, Check, Configuration
from cellhive.reports.analysis.words import counted
from cellhive.reports.causal.report import escaped
from cellhive.reports.page import Cell, Column, Table, render, write_atomic, writer_for

MOST_ROWS = 2000
"""Findings that a page shows; JSON has them all."""

_ON_SCREEN = 12
_TONES = {Severity.ERROR: "worse", Severity.WARNING: "warn", Severity.INFO: "muted"}
_CELLS_NAMED = 6


@dataclass(frozen=True)
class AuditReport:
    """An audit and what it rests on."""

    configuration: Configuration
    audit: Audit
    reading: Sequence[Finding]
    """What was found wrong with the files themselves."""
    title: str = ""

    @property
    def heading(self) -> str:
        """Return the title, or one of our own."""
        return self.title or "Configuration audit"

    def lead(self) -> str:
        """Return what was looked at and what came of it, in one sentence."""
        found = Counter(one.severity for one in self.audit.findings)
        parts = [
            counted(found[severity], word, plural)
            for severity, word, plural in (
                (Severity.ERROR, "error", ""), (Severity.WARNING, "warning", ""),
                (Severity.INFO, "to confirm", "to confirm"),
            ) if found[severity]
        ]  # fmt: skip
        return f"{self.looked_at()}: {', '.join(parts) or 'nothing was found'}"

    def looked_at(self) -> str:
        """Return what was looked at: "21 cells at 7 sites, 96 neighbour relations"."""
        conf = self.configuration
        sites = len({site for site in conf.site_ids if site})
        relations = conf.relation_source.size
        return (
            counted(conf.cells, "cell") + (f" at {counted(sites, 'site')}" if sites else "")
            + (f", {counted(relations, 'neighbour relation')}" if relations else "")
        )  # fmt: skip


def write_audit(report: AuditReport, path: Path) -> None:
    """Write the report in the form that the ending of its file says.

    Raises:
        BadInput: The ending says none, or nothing can be written there.
    """
    write = writer_for(
        path, lambda: audit_html(report), lambda: audit_json(report), lambda: audit_markdown(report)
    )
    write_atomic(path, write())


def audit_html(report: AuditReport) -> str:
    """Return the report as a self-contained page."""
    return render(
        "audit.html",
        title=report.heading,
        subtitle="identities, neighbour relations, positions and parameters",
        **audit_tables(report),
    )


def audit_tables(report: AuditReport) -> dict[str, Any]:
    """Return what templates show of an audit, by name."""
    return {
        "lead": report.lead(),
        "checks": _checks(report.audit),
        "findings": _findings(report.audit.findings[:MOST_ROWS]),
        "hidden": max(len(report.audit.findings) - MOST_ROWS, 0),
        "reading": [str(one) for one in report.reading],
    }


def _checks(audit: Audit) -> Table:
    return Table(
        (Column("Check", keep=True), Column("Looked at", numeric=True), Column("of"),
         Column("Found", numeric=True), Column("Why not", wide=True)),
        [
            (one.title, Cell("–", -1.0) if one.skipped else one.examined, one.of,
             Cell("not checked", -1.0, "muted") if one.skipped else _found(audit, one), one.skipped)
            for one in audit.checks
        ],
        filterable=False,
    )  # fmt: skip


def _found(audit: Audit, check: Check) -> Cell:
    count = audit.count(check.code)
    worst = next((one.severity for one in audit.findings if one.code == check.code), None)
    return Cell(str(count), float(count), _TONES[worst] if worst else "better")


def _findings(findings: Sequence[AuditFinding]) -> Table:
    return Table(
        (Column("Severity"), Column("Kind", keep=True), Column("Cells", wide=True),
         Column("What is configured", wide=True), Column("Why it matters", wide=True),
         Column("What to do", wide=True)),
        [
            (Cell(one.severity.value, one.severity.value, _TONES[one.severity]), one.code,
             _names(one.cells), one.found, one.why, one.action)
            for one in findings
        ],
        empty="Nothing that should be looked at was found.",
    )  # fmt: skip


def _names(cells: Sequence[str]) -> str:
    more = f" and {len(cells) - _CELLS_NAMED} more" if len(cells) > _CELLS_NAMED else ""
    return ", ".join(cells[:_CELLS_NAMED]) + more


def audit_json(report: AuditReport) -> str:
    """Return all of it for programs."""
    return json.dumps(
        {
            "title": report.heading,
            "cells": report.configuration.cells,
            "relations": int(report.configuration.relation_source.size),
            "checks": [
                {"code": c.code, "title": c.title, "examined": c.examined, "of": c.of,
                 "found": report.audit.count(c.code), "skipped": c.skipped or None}
                for c in report.audit.checks
            ],
            "findings": [
                {"code": f.code, "severity": f.severity.value, "cells": list(f.cells),
                 "found": f.found, "why": f.why, "action": f.action}
                for f in report.audit.findings
            ],
            "reading": [str(one) for one in report.reading],
        },
        indent=1, ensure_ascii=False,
    )  # fmt: skip


def audit_markdown(report: AuditReport) -> str:
    """Return the report for messages and merge requests."""
    lines = [f"# {escaped(report.heading)}", "", f"{report.lead()}.", "",
             "| check | looked at | found |", "|---|---|---|"]  # fmt: skip
    for one in report.audit.checks:
        found = f"not checked: {one.skipped}" if one.skipped else str(report.audit.count(one.code))
        lines.append(f"| {one.title} | {one.examined} {one.of} | {escaped(found)} |")
    shown = report.audit.findings[:MOST_ROWS]
    lines += ["", "| severity | kind | cells | found | what to do |", "|---|---|---|---|---|"]
    lines += [
        f"| {f.severity.value} | {f.code} | {escaped(_names(f.cells))} | {escaped(f.found)} | "
        f"{escaped(f.action)} |"
        for f in shown
    ]
    if len(report.audit.findings) > len(shown):
        lines += ["", f"and {len(report.audit.findings) - len(shown)} more."]
    lines += ["", *(f"- {escaped(str(one))}" for one in report.reading)]
    return "\n".join(lines) + "\n"


def audit_screen(report: AuditReport, path: Path | None) -> RenderableType:
    """Return the audit on one screen."""
    table = ScreenTable(box=None, pad_edge=False)
    for heading, side in (
        ("Check", "left"),
        ("Looked at", "right"),
        ("Found", "right"),
        ("", "left"),
    ):
        table.add_column(heading, justify="right" if side == "right" else "left")
    for one in report.audit.checks:
        looked = "" if one.skipped else f"{one.examined} {one.of}"
        found = "–" if one.skipped else str(report.audit.count(one.code))
        table.add_row(one.title, looked, found, Text(one.skipped, style="dim"))
    parts: list[RenderableType] = [Text(report.lead()), Text(), table, Text()]
    for finding in report.audit.findings[:_ON_SCREEN]:
        style = {"error": "red", "warning": "yellow"}.get(finding.severity.value, "dim")
        parts.append(
            Text.assemble((f"{finding.code}  ", style), f"{finding.found}; {finding.action}")
        )
    if len(report.audit.findings) > _ON_SCREEN:
        parts.append(Text(f"and {len(report.audit.findings) - _ON_SCREEN} more", style="dim"))
    parts += [Text(f"- {escape(str(one))}", style="dim") for one in report.reading[:_ON_SCREEN]]
    if path is not None:
        parts.append(Text.assemble(("Report  ", "dim"), (str(path), "bold")))
    return Group(*parts)
