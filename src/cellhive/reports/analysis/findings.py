"""How findings about the quality of data are put into words: by kind, without folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from cellhive.core.measurements import Finding, Severity
from cellhive.reports.analysis.words import clean, counted, listed
from cellhive.reports.numbers import format_number

FINDING_NAMES = {
    "gaps": "Gaps",
    "duplicate-rows": "Duplicate rows",
    "conflicting-rows": "Conflicting rows",
    "suspect-rows": "Rows marked suspect",
    "no-time": "No times",
    "no-object": "No column names the object",
    "rows-without-time": "Rows without a time",
    "rows-without-object": "Rows without an object",
    "reports-now-and-then": "Objects that report now and then",
    "starts-late": "Objects that start late",
    "stops-early": "Objects that stop early",
    "time-zone-unknown": "Time zone not stated",
    "time-zones-mixed": "Several time zones",
    "nearly-empty-column": "Nearly empty columns",
    "empty-column": "Empty columns",
    "identifier-forms": "Identifiers in several forms",
    "identifier-lost-digits": "Identifiers that lost digits",
    "sentinel": "Stand-ins for “no value”",
    "fraction-under-percent": "Fractions under a “%” heading",
    "fraction-and-percent": "Fractions mixed with per cent",
    "impossible": "Impossible values",
    "share-above-limit": "Shares beyond their limit",
    "share-above-limit-slightly": "Shares just above their limit",
    "recurring-extreme": "One value far from all others, again and again",
    "zero-as-missing": "Zeros among values that are never near zero",
    "dead-counter": "Counters that are 0 everywhere",
    "dead-in-objects": "Counters that are 0 in some objects",
    "constant": "Columns that never change",
    "constant-in-objects": "Counters that never change in some objects",
    "switched-on": "Counters switched on later",
    "switched-off": "Counters switched off early",
    "frozen": "Frozen values",
    "unit-changed": "Units that change",
    "running-total": "Running totals",
    "resolution-changed": "Decimals that change",
    "copied-time": "Days that are copies",
    "copied-object": "Objects that are copies",
    "identical-columns": "Columns that are the same",
    "contradicting-counters": "Counters that contradict each other",
    "all-zero-rows": "Rows of zeros only",
    "total-among-objects": "Totals among the objects",
    "values-missing": "Missing values",
    "changing-population": "Objects that come and go",
    "finer-rows": "Rows of a finer granularity",
    "coarser-rows": "Rows of a coarser granularity",
    "several-periods": "Several lengths of period",
    "times-beside-the-grid": "Times beside the grid",
    "impossible-time": "Impossible times",
    "clock-change-skipped-hour": "The hour that clocks skip",
    "clock-change-doubled-hour": "The hour that clocks repeat",
    "daily-course-shifted": "The course of the day moves",
    "time-zones-differ": "Files in different time zones",
    "identifier-zeros-lost": "Identifiers without their leading zeros",
    "object-names-differ": "One object under several names",
    "scattered-times": "Single recordings, no series",
    "time-zone-missing": "Time zone not stated",
    "period-inferred": "Granularity taken from the times",
    "value-missing": "Empty cells",
    "object-guessed": "Objects named by a guess",
    "another-network": "Another network under the same names",
    "cell-stated-differently": "Cells that files state differently",
}
"""What a finding's code is called in reports; other codes are shown as they are."""


@dataclass(frozen=True)
class FindingGroup:
    """Findings of one kind."""

    severity: Severity
    name: str
    files: tuple[str, ...]
    columns: tuple[str, ...]
    amount: str
    """How many of what, in words."""
    count: int
    """The number in it, to sort by."""
    first: Finding


def grouped(findings: Sequence[Finding]) -> list[FindingGroup]:
    """Return findings by kind; errors first, then warnings. Errors stay one by one."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        alone = one.file if one.severity is Severity.ERROR else ""
        groups.setdefault((one.code, alone), []).append(one)
    order = list(Severity)[::-1]
    made = [
        FindingGroup(
            severity=max((f.severity for f in group), key=lambda s: list(Severity).index(s)),
            name=FINDING_NAMES.get(code, code.replace("-", " ").capitalize()),
            files=tuple(dict.fromkeys(short(f.file) for f in group if f.file)),
            columns=tuple(dict.fromkeys(clean(f.column) for f in group if f.column)),
            amount=amount_of(group),
            count=sum(f.count for f in group),
            first=group[0],
        )
        for (code, _), group in groups.items()
    ]
    return sorted(made, key=lambda one: order.index(one.severity))


def amount_of(group: Sequence[Finding]) -> str:
    """Return how many of what findings of one kind are about: "4 662 values, 16 objects"."""
    count = sum(one.count for one in group)
    what = {one.counted for one in group}
    noun = what.pop() if len(what) == 1 else ""
    if not noun:
        return format_number(count, 12)
    singular = noun if noun == "series" else noun.removesuffix("s")
    text = counted(count, singular, noun)
    named = {name for one in group for name in one.named}
    objects = max(len(named), *(one.objects for one in group))
    if objects > 1 and noun not in {"objects", "series"}:
        text += f", {counted(objects, 'object')}"
    return text


def short(file: str) -> str:
    """Return the name of a file without its folders."""
    return clean(file.rsplit("/", 1)[-1]) if " / " not in file else clean(file)


def short_names(files: Sequence[str]) -> dict[str, str]:
    """Return what each file is called: its name, with as many folders as tell it from others."""
    parts = {file: PurePosixPath(file).parts for file in dict.fromkeys(files) if file}
    names: dict[str, str] = {}
    for depth in range(1, max((len(one) for one in parts.values()), default=0) + 1):
        tried: dict[str, list[str]] = {}
        for file in parts:
            if file not in names:
                tried.setdefault(clean("/".join(parts[file][-depth:])), []).append(file)
        names.update({same[0]: name for name, same in tried.items() if len(same) == 1})
    return {file: names.get(file, clean(file)) for file in parts}


def without_folders(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings whose files are called by their short names."""
    names = short_names([one.file for one in findings])
    return tuple(replace(one, file=names.get(one.file, "")) for one in findings)


def place_of(group: FindingGroup) -> str:
    """Return the inputs and columns of a group of findings, the first few."""
    parts = (listed(group.files, 2), listed(group.columns, 2))
    return ": ".join(part for part in parts if part)
