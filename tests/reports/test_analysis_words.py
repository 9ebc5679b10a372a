"""What an analysis says in words is borne out by its data, and said once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cellhive.core.inputs import FileOutcome
from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    TIME_TYPE,
    ColumnInfo,
    Finding,
    Measurements,
    Role,
    Severity,
)
from cellhive.diagnose.cycles import Panel
from cellhive.diagnose.incidents import Anomaly, rank
from cellhive.diagnose.search import Search
from cellhive.flows.analyse import Analysis, analyse
from cellhive.flows.causes.why import Cause, Causes, Explained
from cellhive.reports.analysis import words
from cellhive.reports.analysis.clock import UTC_CLOCK, clock_of
from cellhive.reports.analysis.drawn.figures import Figures
from cellhive.reports.analysis.report import analysis_markdown, render_analysis
from cellhive.reports.analysis.sections import of_files
from cellhive.reports.analysis.summary import points
from cellhive.reports.causal import words as causal_words
from cellhive.reports.causal.tables import causes_of
from cellhive.reports.reading.section import FilesRead

START = datetime(2025, 3, 3, tzinfo=UTC)
FAULT = "Drops (%)"
NO_MODEL = Causes(None, (), None, (), {}, (), "expected 8 periods, found 3")


def measured(name: str = "cells.csv", days: int = 40, column: str = FAULT) -> Measurements:
    """Return eight cells, the first of which drops calls on the last days."""
    rng = np.random.default_rng(4)
    values = 1.0 + 0.05 * rng.standard_normal((8, days))
    values[0, 30:] += 3.0
    frame = pl.DataFrame(
        {
            OBJECT: np.repeat([f"cell-{i}" for i in range(8)], days),
            TIME: [START + timedelta(days=d) for _ in range(8) for d in range(days)],
            PERIOD_S: [86400.0] * (8 * days),
            SUSPECT: [False] * (8 * days),
            column: values.ravel(),
        },
        schema_overrides={TIME: TIME_TYPE},
    )
    info = ColumnInfo(column, unit="%", role=Role.RATIO, better="lower")
    return Measurements(name, frame, {column: info}, (), "cell", "", (name,))


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Return an analysis with one incident that goes on."""
    return analyse([measured()])


def explained(*parts: float, itself: float) -> Explained:
    """Return a change by -100 GB and the parts of it that others and nothing measured have."""
    lead = Anomaly("A", "Traffic", "GB", "level shift", 0.0, 86400.0, 500.0, 400.0, -9.0, 1e-9,
                   "worse")  # fmt: skip
    incident = rank([(lead,)])[0]
    causes = tuple(
        Cause(f"KPI {i}", 1.0, 2.0, "%", part, part - 1, part + 1, 1.0)
        for i, part in enumerate(parts)
    )
    return Explained(incident, "Traffic", "GB", 500.0, 400.0, causes,
                     (itself - 1, itself, itself + 1))  # fmt: skip


def test_most_is_said_only_of_the_largest_part() -> None:
    """-75 and -64 of -100 are both more than half, so neither is called most of it."""
    assert "Most of it" not in causal_words.why_line(explained(-75.0, itself=-64.0))
    assert "Besides, −64\u00a0GB" in causal_words.why_line(explained(-75.0, itself=-64.0))
    assert "Most of it, −70\u00a0GB" in causal_words.why_line(explained(-30.0, itself=-70.0))


def test_parts_beyond_the_whole_are_set_against_what_went_the_other_way() -> None:
    """-180 of -100 is told together with the +80 that make up for it."""
    said = causal_words.why_line(explained(-180.0, itself=80.0))
    assert "Against this, +80\u00a0GB" in said
    assert "look for" not in said


def test_causes_have_their_units_and_no_noise_for_digits() -> None:
    """A share goes from 1 % to 2 %, and an end of 0.0000086 beside -6 is 0."""
    row = causes_of(explained(-75.0, itself=-25.0)).cells()[0]
    assert row[1].text == "1\u00a0% to 2\u00a0%"
    assert causal_words.interval(-6.03, 8.6e-6) == "−6.03 to 0"
    assert causal_words.interval(-6.03, 0.0029) == "−6.03 to +0.0029"


def test_what_was_not_judged_is_not_counted_as_nought() -> None:
    """Three days say nothing of incidents: no zeros, no "no incident here", and the reason."""
    page = render_analysis(analyse([measured(days=3)]))
    assert "not judged" in page
    assert "got worse" not in page
    assert "some better, some worse" not in page
    assert "Changes for the worse</button>" not in page
    assert '"judged":false' in page
    said = page.split('id="incidents"')[1].split("</section>")[0]
    assert "No incidents were looked for: no series is long enough" in said


def test_unread_input_is_not_covered_by_praise(analysis: Analysis) -> None:
    """That nothing misleads holds of what was read."""
    lost = Finding(Severity.ERROR, "unreadable-file", "a file", "a part", "left out", "cut.csv.gz")
    quiet = tuple(one for one in analysis.findings if one.severity is Severity.INFO)
    answer = points(replace(analysis, findings=(lost, *quiet)), None, (), clock_of(analysis))[-1]
    assert "in what was read" in answer.answer
    warned = Finding(Severity.WARNING, "gaps", "every day", "1 day less", "left open", "cells.csv")
    answer = points(replace(analysis, findings=(warned,)), None, (), clock_of(analysis))[-1]
    assert "1 warning about quality, with what was done" in answer.answer


def test_users_are_called_unknown_not_absent(analysis: Analysis) -> None:
    """A column may count users under a name that is not known."""
    every = points(analysis, None, (), clock_of(analysis))
    answer = next(one.answer for one in every if one.question == "Who is affected")
    assert "is known to count them" in answer


def test_the_only_object_is_named_once(analysis: Analysis) -> None:
    """Headline, time and size: the cell stands in the headline."""
    now = points(analysis, None, (), clock_of(analysis))[0].answer
    assert now.count("cell-0") == 1


def test_markdown_has_each_heading_once_and_a_table_of_kpis_for_each_part() -> None:
    """Two files with a column of the same name stay apart."""
    whole = analyse([measured("north.csv"), measured("south.csv", column="Drops of calls (%)")])
    text = analysis_markdown(whole, causes=NO_MODEL)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == len(set(headings))
    assert "### north.csv" in text
    assert "### south.csv" in text


def test_markdown_asks_why_only_where_something_happened() -> None:
    """Without incidents there is nothing to say that no model was made of."""
    text = analysis_markdown(
        analyse([measured(days=3)]),
        causes=NO_MODEL,
    )
    assert "## Why" not in text


def test_an_incident_holds_the_time_of_the_series_that_is_told() -> None:
    """Two of three members begin a day late; the strongest began before, and is the one drawn."""
    day = 86400.0
    lead = Anomaly("A", "Drops", "%", "level shift", 0.0, 4 * day, 1.0, 9.0, 19.0, 1e-9, "worse")
    late = [
        replace(lead, kpi=kpi, start_s=day, sigmas=5.0, p_value=1e-7) for kpi in ("Delay", "Loss")
    ]
    incident = rank([(lead, *late)])[0]
    assert incident.start_s == day
    assert words.stretch(incident) == "1970-01-01 to 1970-01-04"
    assert words.lasting(incident) == "4 days"
    assert words.at_lead(incident, UTC_CLOCK) == "A"


def test_a_report_without_measurements_is_named_after_its_files() -> None:
    """Sites or drives alone: what was read stands in the title, what was ignored does not."""
    files = [
        FileOutcome(Path("in/sites.csv"), "text", "read", 3),
        FileOutcome(Path("in/README.md"), "other", "ignored"),
    ]
    page = render_analysis(analyse([]), sections=[of_files(FilesRead(files))])
    assert "<h1>Network analysis: sites.csv</h1>" in page


def test_the_band_of_a_plot_knows_the_holidays_of_the_search() -> None:
    """Half a year of days, one Tuesday of them a holiday: usual is what a Sunday has."""
    days = np.arange(182)
    values = np.tile(np.where(days % 7 == 6, 5.0, 10.0), (6, 1))
    values += 0.1 * np.random.default_rng(0).standard_normal(values.shape)
    start_s = 4 * 86400.0  # a Monday; Sunday is 3 from the Thursday of the epoch
    panel = Panel("Users", tuple("abcdef"), start_s, 86400.0, values)
    search = Search((), 6, {}, 0, 0.05, ("weekly",), calendar={start_s + 15 * 86400.0: 3})
    usual, row = Figures(Analysis((), (), search, ()), UTC_CLOCK)._usual_of(panel, 2)
    assert usual.cycle[row, 15] == pytest.approx(usual.cycle[row, 13])
    assert usual.cycle[row, 15] < usual.cycle[row, 8] - 3
