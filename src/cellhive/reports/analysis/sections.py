"""What others add to the report of an analysis: a section in each of its forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cellhive.core.measurements import Severity
from cellhive.diagnose.audit.configuration import Audit, Configuration
from cellhive.flows.advice.advise import Advised
from cellhive.flows.drives.survey import Survey
from cellhive.reports.advice import words as advice_words
from cellhive.reports.advice.alike import alike
from cellhive.reports.advice.section import advice_html, advice_json, advice_markdown
from cellhive.reports.analysis.precedents import (
    Found,
    line,
    precedents_html,
    precedents_json,
    precedents_markdown,
)
from cellhive.reports.audit.report import AuditReport
from cellhive.reports.audit.section import (
    audit_section_html,
    audit_section_markdown,
    audit_section_record,
)
from cellhive.reports.drive.section import drives_html, drives_markdown, drives_record, lead
from cellhive.reports.reading.section import FilesRead, files_html, files_markdown, files_record

PLACES = ("incidents", "why", "map", "cells", "kpis", "quality")
"""Sections of the report behind which another may stand, in their order."""


@dataclass(frozen=True)
class Section:
    """One section that is composed into the report: the same content in three forms."""

    name: str
    """Anchor in the page and key in the JSON form: small letters and hyphens."""
    heading: str
    html: str
    """Its body, already escaped by who made it; headings from h3 on."""
    markdown: Sequence[str] = ()
    """Its lines below the heading, already escaped."""
    record: Any = None
    """Its content for programs."""
    after: str = "why"
    """Section behind which it stands, one of ``PLACES``."""
    summary: tuple[str, str] = ("", "")
    """Line of the executive summary: what it answers ("What to do") and the answer in plain
    text; empty for none. It takes the place of the line of the same name."""
    tone: str = ""
    """How that line is marked: "worse", "warn", "better" or ""."""

    @property
    def body(self) -> Markup:
        """Return the body as markup."""
        return Markup(self.html)  # noqa: S704  # made and escaped by the section's own room


def composed(
    *,
    audited: tuple[Configuration, Audit] | None = None,
    surveys: Sequence[Survey] = (),
    found: Found | None = None,
    advised: Advised | None = None,
    read: FilesRead | None = None,
) -> list[Section]:
    """Return the sections of what there is besides the analysis itself.

    Args:
        audited: A configuration and its audit.
        surveys: What drive-test logs add up to.
        found: Earlier incidents by the rank of one of now; None where no memory was asked.
        advised: What to change.
        read: What became of the files.
    """
    sections = []
    if advised is not None:
        sections.append(of_advice(advised))
    if found is not None:
        sections.append(of_precedents(found))
    if surveys:
        sections.append(of_drives(surveys))
    if audited is not None:
        sections.append(of_audit(AuditReport(*audited, ())))
    if read is not None and read.files:
        sections.append(of_files(read))
    return sections


def of_advice(advised: Advised) -> Section:
    """Return the section of what to change."""
    lines = advice_words.summary(advised)
    first = next((one.headline for one in alike(advised.recommendations)), "")
    best = f"{first.rstrip('.')}. {lines[0]}" if first else ""
    return Section(
        "advice", "What to change", advice_html(advised), advice_markdown(advised)[3:],
        advice_json(advised), "why", ("What to do", best) if best else ("", ""),
    )  # fmt: skip


def of_drives(surveys: Sequence[Survey]) -> Section:
    """Return the section of drive tests."""
    return Section(
        "drives", "Drive tests", drives_html(surveys), drives_markdown(surveys),
        drives_record(surveys), "why", ("Driven", lead(surveys)),
    )  # fmt: skip


def of_files(read: FilesRead) -> Section:
    """Return the section of what became of the files."""
    return Section(
        "files", "Files", files_html(read), files_markdown(read), files_record(read), "quality",
        ("Read", read.lead()) if any(one.status == "failed" for one in read.files) else ("", ""),
    )  # fmt: skip


def of_precedents(found: Found) -> Section:
    """Return the section of earlier incidents that looked like those of now."""
    html, rank = precedents_html(found), min(found, default=0)
    best = f"Incident {rank}: {line(found[rank][0])}" if rank else ""
    return Section(
        "precedents", "Similar past incidents",
        str(html) or '<p class="empty">The memory holds no incident like these.</p>',
        precedents_markdown(found), precedents_json(found), "why",
        ("Seen before", best) if best else ("", ""),
    )  # fmt: skip


def of_audit(report: AuditReport) -> Section:
    """Return the section of a configuration audit."""
    made = sum(1 for one in report.audit.checks if not one.skipped)
    checks = f"{made} of {len(report.audit.checks)} checks could be made"
    if report.audit.findings:
        head = f"{report.lead()} ({checks})."
        first = report.audit.findings[0]
        if first.severity is Severity.ERROR:
            head += f" First: {first.found}."
        tone = {Severity.ERROR: "worse", Severity.WARNING: "warn"}.get(first.severity, "")
    elif made:
        head, tone = f"{report.looked_at()}: nothing to change was found ({checks}).", "better"
    else:
        head, tone = f"{report.looked_at()}: too little is stated of them for any check.", ""
    return Section(
        "configuration", "Configuration audit", audit_section_html(report),
        audit_section_markdown(report), audit_section_record(report), "kpis",
        ("Is it configured rightly", head), tone,
    )  # fmt: skip
