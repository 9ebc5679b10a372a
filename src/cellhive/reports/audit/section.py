"""The configuration audit as a section of another report."""

from __future__ import annotations

import json
from typing import Any

from cellhive.reports.audit.report import AuditReport, audit_json, audit_markdown, audit_tables
from cellhive.reports.page import render_piece


def audit_section_html(report: AuditReport) -> str:
    """Return the body of the section: what was looked at, what was found, what to do."""
    return render_piece("audit_parts.html", **audit_tables(report))


def audit_section_markdown(report: AuditReport) -> list[str]:
    """Return its lines, without the heading."""
    return audit_markdown(report).splitlines()[2:]


def audit_section_record(report: AuditReport) -> dict[str, Any]:
    """Return its content for programs."""
    record: dict[str, Any] = json.loads(audit_json(report))
    return record
