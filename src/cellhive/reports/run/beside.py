"""What a candidate would have done beside who ran the network: words and tables of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from cellhive.flows.policy.beside import Agreement, CandidateCompared, Differing
from cellhive.flows.trial import RunRecord
from cellhive.reports.numbers import ABSENT, format_clock, label_of
from cellhive.reports.page import Cell, Column, Row, Table
from cellhive.reports.run.decisions import value_text

MOST_PLACES = 50
"""Values that the table of differences lists."""


@dataclass(frozen=True, slots=True)
class CandidateBeside:
    """The section of the report about the candidate."""

    candidate: str
    sentence: str
    parameters: Table
    places: Table


def agreements_of(compared: Iterable[CandidateCompared]) -> dict[str, Agreement]:
    """Return how far the two agreed over all periods, by parameter."""
    by_name: dict[str, list[Agreement]] = {}
    for period in compared:
        for one in period.agreements:
            by_name.setdefault(one.parameter, []).append(one)
    return {name: reduce(Agreement.__add__, by_name[name]) for name in sorted(by_name)}


def candidate_beside(record: RunRecord) -> CandidateBeside | None:
    """Return where a candidate would have acted otherwise; None where none ran beside."""
    if not record.compared:
        return None
    name = record.compared[0].candidate
    agreements = agreements_of(record.compared)
    return CandidateBeside(
        name, _sentence(record, name, agreements), _by_parameter(agreements),
        _by_place(record.compared),
    )  # fmt: skip


def beside_sentence(record: RunRecord) -> str:
    """Return in a sentence how far the candidate agreed; empty where none ran beside."""
    if not record.compared:
        return ""
    return _sentence(record, record.compared[0].candidate, agreements_of(record.compared))


def _sentence(record: RunRecord, name: str, agreements: dict[str, Agreement]) -> str:
    total = reduce(Agreement.__add__, agreements.values(), Agreement(""))
    wanted = total.same + total.opposite + total.only_deciding + total.only_candidate
    failed = sum(bool(period.failed) for period in record.compared)
    said = f"{name} was asked beside, and nothing it wanted was applied: "
    if not wanted:
        said += "neither it nor who decided wanted a change"
    else:
        said += (
            f"of {wanted} changes that either wanted, both wanted {total.same}, in opposite "
            f"directions {total.opposite}, only who decided {total.only_deciding}, only the "
            f"candidate {total.only_candidate}"
        )
    if failed:
        said += f"; in {failed} of {len(record.compared)} periods it gave no answer"
    return said + "."


def _by_parameter(agreements: dict[str, Agreement]) -> Table:
    columns = [
        Column("Parameter"), Column("Both", numeric=True), Column("Opposite", numeric=True),
        Column("Only who decided", numeric=True), Column("Only the candidate", numeric=True),
    ]  # fmt: skip
    rows: list[Row] = [
        [label_of(one.parameter), one.same, one.opposite, one.only_deciding, one.only_candidate]
        for one in agreements.values()
    ]
    return Table(columns, rows, empty="Neither wanted a change.")


def _by_place(compared: Iterable[CandidateCompared]) -> Table:
    """Return the values they differed about, those most often disputed first."""
    times: Counter[tuple[str, str]] = Counter()
    last: dict[tuple[str, str], tuple[float, Differing]] = {}
    for period in compared:
        for one in period.differing:
            place = (one.object_id, one.parameter)
            times[place] += 1
            last[place] = (period.time_s, one)
    columns = [
        Column("Cell or relation"), Column("Parameter"), Column("Periods", numeric=True),
        Column("Last", numeric=True), Column("Was", numeric=True),
        Column("Who decided", numeric=True), Column("Candidate", numeric=True),
        Column("Why the candidate would", wide=True),
    ]  # fmt: skip
    rows: list[Row] = []
    for place, count in times.most_common(MOST_PLACES):
        time_s, one = last[place]
        values = (one.before, one.deciding, one.candidate)
        rows.append(
            [
                place[0], label_of(place[1]), count, Cell(format_clock(time_s), time_s),
                *(Cell(value_text(place[1], value), value) for value in values),
                one.reason or ABSENT,
            ]
        )  # fmt: skip
    return Table(columns, rows, empty="They wanted the same.")
