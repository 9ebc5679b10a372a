"""Earlier incidents that looked like those of now, in the forms of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from cellhive.core.types import to_jsonable
from cellhive.flows.recall.incidents import Precedent
from cellhive.reports.analysis import words
from cellhive.reports.analysis.clock import UTC_CLOCK
from cellhive.reports.causal.report import escaped

Found = Mapping[int, tuple[Precedent, ...]]
"""Precedents by the rank of the incident."""


def line(one: Precedent) -> str:
    """Return a precedent in one sentence: what, where, when, and what it turned out to be."""
    facts = one.facts
    others = int(str(facts.get("object_count") or 1)) - 1
    where = words.clean(str(facts.get("lead_object") or "?"))
    where += f" and {words.counted(others, 'other object')}" if others > 0 else ""
    what = f"{facts.get('kind')} of {words.clean(str(facts.get('lead_kpi')))}"
    said = f"{UTC_CLOCK.written(one.time_s)}, {where}: {what} ({one.similarity:.0%} alike"
    said += f", by {words.listed(one.alike)})" if one.alike else ")"
    if one.cause:
        said += f"; began at {words.clean(one.cause)}"
    said += f". Noted: {words.clean(one.note)}" if one.note else f". No note ({one.id})"
    return said


def precedents_lines(found: Found, most: int = 6) -> list[str]:
    """Return the nearest precedent of each of the first incidents, a line each."""
    return [f"{rank}. {line(some[0])}" for rank, some in sorted(found.items())[:most]]


def precedents_html(found: Found) -> Markup:
    """Return the precedents of all incidents as a list; empty where there are none."""
    rows = [
        Markup("<li><strong>Incident {}</strong><ul>{}</ul></li>").format(
            rank, Markup("").join(Markup("<li>{}</li>").format(line(one)) for one in some)
        )
        for rank, some in sorted(found.items())
    ]
    return Markup("<ul>{}</ul>").format(Markup("").join(rows)) if rows else Markup("")


def precedents_markdown(found: Found) -> list[str]:
    """Return the precedents as lines of Markdown."""
    return [
        f"- Incident {rank}: {escaped(line(one))}"
        for rank, some in sorted(found.items()) for one in some
    ]  # fmt: skip


def precedents_json(found: Found) -> dict[str, Any]:
    """Return the precedents as JSON objects by the rank of the incident."""
    return {
        str(rank): [
            {
                "id": one.id, "similarity": round(one.similarity, 4), "alike": list(one.alike),
                "time_s": one.time_s, "note": one.note, "cause": one.cause,
                "facts": to_jsonable({k: v for k, v in one.facts.items() if k != "privacy"}),
            }
            for one in some
        ]
        for rank, some in sorted(found.items())
    }  # fmt: skip
