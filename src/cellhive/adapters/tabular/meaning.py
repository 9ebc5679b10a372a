"""Is enough known of what was read, and does what a person says about it fit?"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from cellhive.adapters.tabular.mapping import Mapping, plain
from cellhive.core.errors import BadInput
from cellhive.core.measurements import (
    PERIOD_S,
    TIME,
    Finding,
    Findings,
    Measurements,
    Severity,
)

_MOST_NAMED = 8


def check_rules(mapping: Mapping, measurements: Sequence[Measurements], findings: Findings) -> None:
    """Say which rules of a mapping name no column; a typing error must not go unnoticed.

    Raises:
        BadInput: None of them does.
    """
    headings = {
        plain(heading): heading
        for one in measurements
        for name, info in one.columns.items()
        for heading in (name, info.header or name)
    }
    other = [label for one in measurements for label in one.labels]
    other += [finding.column for finding in findings.as_tuple()]
    other += [*mapping.time, *mapping.object]
    known = headings.keys() | {plain(heading) for heading in other}
    rules = [n for n, rule in mapping.columns.items() if not rule.ignore and not rule.inferred]
    unknown = [name for name in rules if plain(name) not in known]
    for name in unknown:
        expected, found = "a heading of the tables", f"{name!r}, which none of them has"
        near = difflib.get_close_matches(plain(name), headings, n=1)
        remedy = f"did you mean {headings[near[0]]!r}?" if near else "see the headings found"
        if len(unknown) == len(rules) and not mapping.found:
            listed = ", ".join(list(headings.values())[:_MOST_NAMED])
            listed += ", ..." if len(headings) > _MOST_NAMED else ""
            raise BadInput(
                place=f"{mapping.path or 'mapping'}, columns", expected=expected, found=found,
                remedy=remedy if near else f"the headings are {listed}",
            )  # fmt: skip
        findings.add(
            Finding(
                Severity.WARNING, "mapping-unused", expected, found, f"not used; {remedy}",
                file=mapping.path, column=name,
            )
        )  # fmt: skip


def refuse_unknown(measurements: Sequence[Measurements]) -> None:
    """Refuse tables of which neither a time nor any column is known: any result would be a guess.

    Formats that state the length of their periods are no such tables, even without times.

    Raises:
        BadInput: All of them are such.
    """
    if any(
        measured.frame[TIME].count()
        or measured.frame[PERIOD_S].count()
        or any(info.quantity for info in measured.columns.values())
        for measured in measurements
    ):
        return
    headers = [info.header or name for one in measurements for name, info in one.columns.items()]
    headers = list(dict.fromkeys(headers))
    more = ", ..." if len(headers) > _MOST_NAMED else ""
    places = list(dict.fromkeys(source for one in measurements for source in one.sources))
    raise BadInput(
        place=", ".join(places[:_MOST_NAMED]),
        expected="a column of times, or columns whose meaning is known",
        found=", ".join(headers[:_MOST_NAMED]) + more,
        remedy="say in a YAML file what they mean: --mapping FILE",
    )
