"""The report of a causal model: what it rests on, its graph, its effects, known patterns.

One self-contained HTML page, the same as JSON for programs and as Markdown for messages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cellhive import __version__
from cellhive.causal.queries.validation import Check, Verdict
from cellhive.core.types import to_jsonable
from cellhive.flows.causes.model import CausalModel
from cellhive.flows.causes.summary import Summary, summary_of
from cellhive.reports.causal import tables, words
from cellhive.reports.causal.picture import drawn_edges, graph_picture
from cellhive.reports.numbers import format_signed
from cellhive.reports.page import render, safe_svg, write_atomic, writer_for

CAUSAL_SUFFIXES = (".html", ".htm", ".md", ".json")
"""Forms of the report."""
_TITLE = "Causal model"
_MARKDOWN_EDGES = 40

Checks = Verdict | Sequence[Check] | None
"""Of a model: a verdict, checks of several, or none."""


def write_causal_report(
    model: CausalModel, path: Path, *, title: str = "", checks: Checks = None
) -> None:
    """Write the report of a causal model; the file appears whole or not at all.

    Args:
        model: What to report.
        path: Where to; ".html", ".json" or ".md" says in which form.
        title: Heading.
        checks: Made of the model (``causal.queries.validation``); a verdict, or checks of several.

    Raises:
        BadInput: The ending says none of the forms.
    """
    writer = writer_for(path, render_causal, causal_json, causal_markdown)
    write_atomic(path, writer(summary_of(model), title=title, checks=checks))


def picture_of(summary: Summary) -> Markup:
    """Return the picture of a model's graph; empty if no edge is probable."""
    return safe_svg(graph_picture(summary.edges, summary.tiers))


def undrawn(summary: Summary) -> str:
    """Return what the picture leaves out, in a sentence."""
    drawn = drawn_edges(summary.edges)
    names = {name for one in drawn for name in (one.cause, one.effect)}
    alone = len(summary.model.names) - len(names)
    more = len([one for one in summary.edges if one.probability >= 0.5]) - len(  # noqa: PLR2004
        [one for one in drawn if one.probability >= 0.5]  # noqa: PLR2004
    )
    said = []
    if more > 0:
        said.append(f"{words.counted(more, 'weaker edge')} of a probability of 0.5 or more")
    if alone:
        said.append(f"{words.counted(alone, 'variable')} without an edge that is drawn")
    return f"Not drawn: {' and '.join(said)}." if said else ""


def render_causal(summary: Summary, *, title: str = "", checks: Checks = None) -> str:
    """Return the report of a causal model as a self-contained HTML page."""
    model, found = summary.model, words.verdict_checks(checks)
    return render(
        "causal.html",
        title=title or _TITLE,
        subtitle=_subtitle(model),
        failed=words.failures(found),
        settled=model.posterior.convergence.reached,
        headline=words.headline(summary),
        state=words.state(model, found),
        facts=words.data_facts(model.seen, model),
        told=words.told_lines(model),
        left_out=tables.left_out(model),
        picture=picture_of(summary),
        undrawn=undrawn(summary),
        unmeasured=words.hidden_lines(summary),
        totals=tables.totals(summary.totals),
        edges=tables.edges(summary.edges),
        hidden=max(len(summary.edges) - tables.EDGES_SHOWN, 0),
        patterns=tables.patterns(summary.patterns),
        notes=summary.notes,
        checks=tables.checks(found),
        convergence=str(model.posterior.convergence),
    )


def _subtitle(model: CausalModel) -> str:
    seen = model.seen
    cells, periods = (
        words.counted(len(seen.cells), "cell"),
        words.counted(len(seen.values), "period"),
    )
    return f"{words.counted(len(model.names), 'variable')} of {cells} over {periods}"


# For programs and messages -----------------------------------------------------


def causal_json(summary: Summary, *, title: str = "", checks: Checks = None) -> str:
    """Return what a causal model says as JSON; NaN is null."""
    model = summary.model
    record: dict[str, Any] = {
        "format": "cellhive-causal-1",
        "version": __version__,
        "title": title or _TITLE,
        "state": words.state(model, words.verdict_checks(checks)),
        **summary_record(summary),
        "told": words.told_lines(model),
        "data": dict(words.data_facts(model.seen, model)),
        "left_out": [
            *({"name": one.name, "reason": one.reason} for one in model.unusable),
            *({"name": name, "reason": why} for name, why in model.seen.left_out),
        ],
        "checks": words.verdict_checks(checks),
    }
    return json.dumps(to_jsonable(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def summary_record(summary: Summary) -> dict[str, Any]:
    """Return the findings of a model as plain values."""
    convergence = summary.model.posterior.convergence
    return {
        "variables": summary.model.names,
        "converged": convergence.reached,
        "convergence": str(convergence),
        "edges": summary.edges,
        "hidden_causes": [
            {
                "cause": one.cause, "effect": one.effect, "suspected": one.suspected,
                "testable": one.testable, "probability": one.share, "words": str(one),
            }
            for one in summary.hidden
        ],
        "effects": [
            {
                "cause": one.answer.cause, "effect": one.answer.effect,
                "change": one.answer.change, "mean": one.answer.mean,
                "interval_90": one.answer.most, "verdict": one.answer.verdict.value,
                "reasons": one.answer.reasons,
            }
            for one in summary.totals
        ],
        "patterns": [
            {
                "name": one.pattern.name,
                "probability": one.probability if math.isfinite(one.probability) else None,
                "steps_seen": len(one.steps), "steps_unseen": len(one.unseen),
                "words": one.explain(),
            }
            for one in summary.patterns
        ],
        "notes": summary.notes,
    }  # fmt: skip


def causal_markdown(summary: Summary, *, title: str = "", checks: Checks = None) -> str:
    """Return what a causal model says as Markdown."""
    model, found = summary.model, words.verdict_checks(checks)
    lines = [f"# {escaped(title or _TITLE)}", "", escaped(f"{_subtitle(model)}."), ""]
    lines += [f"- {escaped(one)}" for one in words.state(model, found)]
    lines += [f"- FAILED: {escaped(one)}" for one in words.failures(found)]
    lines += ["", "## What acts on what", ""]
    lines += markdown_totals(summary)
    lines += ["", *(f"- {escaped(one)}" for one in words.hidden_lines(summary))]
    lines += ["", "## Edges", "", "| Cause | Effect | Periods before | Probability | Direct effect "
              "| 90 % |", "|---|---|---|---|---|---|"]  # fmt: skip
    for one in summary.edges[:_MARKDOWN_EDGES]:
        cells = (one.cause, one.effect, str(one.lag), words.probability(one.probability),
                 f"{format_signed(one.mean)} {one.unit}".strip(),
                 words.interval(one.low, one.high))  # fmt: skip
        lines.append("| " + " | ".join(escaped(cell) for cell in cells) + " |")
    sure = [one for one in summary.patterns if one.probability >= 0.5]  # noqa: PLR2004
    lines += ["", "## Known patterns", ""]
    lines += [
        f"- {escaped(one.pattern.name)}: {escaped(one.pattern.meaning)} Its path "
        f"{words.pattern_word(one.probability)} ({words.probability(one.probability)}; "
        f"{len(one.steps)} of {len(one.steps) + len(one.unseen)} steps seen)."
        for one in sure
    ] or ["None is there with a probability of 0.5 or more."]
    lines += ["", "## Data", ""]
    lines += [f"- {escaped(name)}: {escaped(text)}" for name, text in
              words.data_facts(model.seen, model)]  # fmt: skip
    lines += [f"- {escaped(one)}" for one in (*words.told_lines(model), *summary.notes)]
    lines += [f"- Left out: {escaped(one.name)}: {escaped(one.reason)}" for one in model.unusable]
    lines += [f"- Left out: {escaped(name)}: {escaped(why)}" for name, why in model.seen.left_out]
    return "\n".join(lines) + "\n"


def markdown_totals(summary: Summary) -> list[str]:
    """Return the strongest effects of each outcome as Markdown."""
    said = [
        f"- {escaped(words.total_words(one))} ({words.RELIANCE[one.answer.verdict][0]})"
        for one in summary.totals
    ]
    return said or ["No variable acts on another noticeably."]


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, no HTML, no new table cell."""
    text = words.clean(text)
    for character in "\\`*_[]|#":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
