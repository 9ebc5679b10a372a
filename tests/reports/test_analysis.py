"""The report says what the analysis found, escapes what files say, and appears whole."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cellhive.core.errors import BadInput
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
from cellhive.diagnose.incidents import ALL_KPIS, Anomaly, rank
from cellhive.flows.analyse import Analysis, analyse
from cellhive.reports.analysis import tables, words
from cellhive.reports.analysis.clock import Clock, clock_of
from cellhive.reports.analysis.report import (
    analysis_json,
    analysis_markdown,
    render_analysis,
    write_analysis,
)
from cellhive.reports.analysis.summary import Users, points

EVIL = "<script>alert('x')</script>|`A`"
START = datetime(2025, 3, 3, tzinfo=UTC)


def measured(cells: int = 8, days: int = 40, name: str = "cell") -> Measurements:
    """Return daily measurements in which the first cell fails for five days."""
    rng = np.random.default_rng(0)
    success = 99.0 + 0.1 * rng.standard_normal((cells, days))
    success[0, 20:25] -= 4.0
    frame = pl.DataFrame(
        {
            OBJECT: np.repeat([f"{name}-{i}" for i in range(cells)], days),
            TIME: [START + timedelta(days=d) for _ in range(cells) for d in range(days)],
            PERIOD_S: [86400.0] * (cells * days),
            SUSPECT: [False] * (cells * days),
            "Success\u00a0(%)": success.ravel(),
        },
        schema_overrides={TIME: TIME_TYPE},
    )
    column = "Success\u00a0(%)"
    info = ColumnInfo(column, unit="%", role=Role.RATIO, better="higher")
    return Measurements(f"{name}s.csv", frame, {column: info}, (), "cell", "", (f"{name}s.csv",))


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Return an analysis with one incident."""
    return analyse([measured()])


class Balanced(HTMLParser):
    """Checks that tags close in order, and collects links and text."""

    VOID = frozenset({"meta", "input", "br", "hr", "img", "link"})

    def __init__(self) -> None:
        """Start outside of everything."""
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        self.scripts += tag == "script"
        self.loads += [
            v or "" for k, v in attrs if k in {"src", "href"} and not (v or "").startswith("#")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Leave elements that close themselves."""


def parsed(page: str) -> Balanced:
    """Return a page after parsing."""
    parser = Balanced()
    parser.feed(page)
    parser.close()
    return parser


def test_page_says_what_happened_where_and_how_much(analysis: Analysis) -> None:
    """The summary names the KPI, the cell, the days and the size."""
    page = render_analysis(analysis)
    (wrong, worst, who, why, what, data) = points(analysis, None, (), clock_of(analysis))
    assert wrong.answer.startswith("Nothing that still goes on")
    assert worst.answer.startswith("Success (%) down: cell-0, 2025-03-23 to 2025-03-27;")
    assert who.answer.startswith("1 cell of 8 in the worst incident.")
    assert why.question == "Why"
    assert what.answer == "Check alarms and changes of settings at cell-0 around 2025-03-23."
    assert data.anchor == "quality"
    for one in (wrong, worst, who, why, what, data):
        assert one.answer in page
    assert "Success (%) down: cell-0" in page
    assert "2025-03-23 to 2025-03-27" in page
    assert "5 days" in page
    assert re.search(r"−(3\.9\d?|4|4\.0\d)\u00a0pp", page)
    for heading in ("Summary", "Incidents", "Data quality", "KPIs", "How this was made"):
        assert f"<h2>{heading}</h2>" in page
    assert "At most 5% of the series" in page
    assert "Time zone not stated" in page


def test_page_is_whole_and_loads_nothing(analysis: Analysis) -> None:
    """Balanced tags, no address outside, small."""
    page = render_analysis(analysis)
    parser = parsed(page)
    assert parser.open == []
    assert parser.loads == []
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert len(page) < 5_000_000


def test_hostile_names_are_shown_not_run() -> None:
    """A cell, a column, a file and a finding full of markup add no tag to any report."""
    plain = parsed(render_analysis(analyse([measured()])))
    finding = Finding(
        Severity.ERROR, "unreadable", EVIL, EVIL, EVIL, file=EVIL, where=EVIL, column=EVIL
    )
    bad = measured(name=EVIL)
    column = next(iter(bad.columns))
    info = replace(bad.columns[column], name=EVIL, header=EVIL)
    bad = Measurements(EVIL, bad.frame.rename({column: EVIL}), {EVIL: info}, (), EVIL, "", (EVIL,))
    evil = analyse([bad], [finding])
    assert evil.search.incidents
    page = render_analysis(evil)
    assert parsed(page).scripts == plain.scripts
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "<script" not in analysis_markdown(evil)
    assert json.loads(analysis_json(evil))["findings"][0]["found"] == EVIL


def test_json_holds_everything_without_nan(analysis: Analysis) -> None:
    """Programs get incidents, findings, summaries; NaN is null."""
    record = json.loads(analysis_json(analysis), parse_constant=pytest.fail)
    assert record["format"] == "cellhive-analysis-2"
    (incident,) = record["incidents"]
    assert incident["objects"] == ["cell-0"]
    assert incident["members"][0]["size"] == pytest.approx(-4.0, abs=0.15)
    assert len(record["parts"][0]["kpis"][0]["objects"]) == 8
    assert record["search"]["series_judged"] == 8


def test_markdown_has_one_line_per_incident_and_finding(analysis: Analysis) -> None:
    """Tables stay tables."""
    text = analysis_markdown(analysis)
    assert "| 1 | 2025-03-23 to 2025-03-27 | Success (%) down: cell-0 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") - line.count("\\|") in {6, 7, 8} for line in rows)


@pytest.mark.parametrize("name", ["report.html", "report.json", "report.md"])
def test_written_whole_by_the_ending(analysis: Analysis, tmp_path: Path, name: str) -> None:
    """Nothing but the file is left."""
    write_analysis(analysis, tmp_path / "out" / name, title="My network")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert "My network" in (tmp_path / "out" / name).read_text(encoding="utf-8")


def test_unknown_ending_is_refused(analysis: Analysis, tmp_path: Path) -> None:
    """One clear message, nothing written."""
    with pytest.raises(BadInput, match=r"ends in \.html, \.json or \.md"):
        write_analysis(analysis, tmp_path / "report.pdf")
    assert list(tmp_path.iterdir()) == []


def test_empty_analysis_is_a_page_too() -> None:
    """Nothing read, nothing judged, and it says so."""
    page = render_analysis(analyse([]))
    assert "No measurements were read." in page
    assert 'id="incidents"' not in page
    assert 'href="#incidents"' not in page
    assert parsed(page).open == []


def test_thousand_cells_stay_below_five_megabytes() -> None:
    """The page lists the worst of many, not all."""
    page = render_analysis(analyse([measured(cells=1000, days=30)]))
    assert len(page.encode()) < 5_000_000
    assert "the 12 worst of 1000 objects" in page


def test_inputs_read_in_part_are_not_called_unread() -> None:
    """A file that was cut gave the rows before the cut."""
    findings = [
        Finding(Severity.ERROR, code, "a", "b", "c", file=file)
        for code, file in (
            ("unreadable-file", "x.xml"), ("file-cut", "y.xml"), ("count-mismatch", "y.xml"),
        )
    ]  # fmt: skip
    (_, data) = points(analyse([], findings), None, (), Clock())
    assert "1 input could not be read; 1 input could be read only in part" in data.answer


def test_silence_has_a_plot_and_words() -> None:
    """A cell without rows while others report."""
    m = measured()
    gone = (pl.col(OBJECT) == "cell-3") & pl.col(TIME).dt.ordinal_day().is_between(90, 93)
    analysis = analyse([Measurements("m", m.frame.filter(~gone), m.columns, (), "", "UTC")])
    silent = [one for one in analysis.search.incidents if one.lead.kpi == ALL_KPIS]
    assert [words.headline(one) for one in silent] == ["No data: cell-3"]
    assert words.change(silent[0].lead) == "silent for 4 periods"
    place = words.anchor(silent[0])
    assert f'class="incident worse" id="{place}"><span id="incident-2">' in render_analysis(
        analysis
    )


def test_sizes_and_times_in_words() -> None:
    """By hand: 30 of 40 GB is -10 GB (-25 %); a share changes in points."""
    one = Anomaly("A", "v", "GB", "spike", 0.0, 3600.0, 40.0, 30.0, -9.0, 1e-9, "worse")
    assert words.change(one) == "−10\u00a0GB (−25\u00a0%)"
    assert words.from_to(one) == "30\u00a0GB instead of 40\u00a0GB"
    assert words.change(replace(one, unit="%")) == "−10\u00a0pp"
    (incident,) = rank([(one,)])
    assert words.stretch(incident, Clock()) == "1970-01-01 00:00 to 01:00"
    assert words.lasting(incident) == "1 h"
    assert words.stretch(replace(incident, open_end=True), Clock()) == "since 1970-01-01 00:00"
    assert words.headline(incident) == "v down for a moment: A"
    assert words.at_lead(incident, Clock()) == "A"
    (wider,) = rank([(one, replace(one, kpi="w", sigmas=-3.0, start_s=1800.0))])
    assert words.at_lead(wider, Clock()) == "A"  # most begin later, but its time is told
    (longer,) = rank([(one, replace(one, kpi="w", sigmas=-3.0, end_s=7200.0))])
    assert words.at_lead(longer, Clock()) == "A, 1970-01-01 00:00 to 01:00"


def test_what_was_not_looked_for_is_not_called_absent() -> None:
    """One row is no series; with a series, an empty table is a result."""
    m = measured(cells=1)
    short = analyse([Measurements("m", m.frame.head(1), m.columns)])
    assert "No incidents were looked for." in render_analysis(short)
    search = replace(short.search, series=1)
    table = tables.incidents(search, Clock(), Users(short))
    assert "No incident was found." in table.empty


def test_recordings_are_not_called_too_short() -> None:
    """Many samples at scattered times are no short series; a table without times is neither."""
    m = measured(cells=1, days=960)
    runs = np.sort(np.random.default_rng(1).integers(0, 365 * 86400, 20))
    seconds = np.concatenate([run + np.arange(48) for run in runs])  # 48 s each
    times = pl.Series(seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))
    frame = m.frame.with_columns(times.alias(TIME), pl.lit(1.0).alias(PERIOD_S))
    scattered = Measurements("m", frame, m.columns, (), "", "UTC")
    found = points(analyse([scattered]), None, (), Clock())
    assert "single recordings or events" in found[0].answer
    timeless = m.frame.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias(TIME))
    found = points(analyse([Measurements("m", timeless, m.columns)]), None, (), Clock())
    assert "the input states no times" in found[0].answer
    short = points(analyse([Measurements("m", m.frame.head(1), m.columns)]), None, (), Clock())
    assert "no series is long enough" in short[0].answer


def test_counters_that_lack_values_are_listed_with_where_they_lack_most() -> None:
    """A hole in one object names that object; a full table has no such list."""
    m = measured(cells=3)
    (column,) = m.columns
    hole = (pl.col("object") == m.objects[1]) & (pl.int_range(pl.len()).over("object") < 10)
    frame = m.frame.with_columns(pl.when(hole).then(None).otherwise(pl.col(column)).alias(column))
    analysis = analyse([replace(m, frame=frame)])
    (counter,) = json.loads(analysis_json(analysis))["parts"][0]["counters"]
    assert (counter["rows"] - counter["values"], counter["lowest"]) == (10, m.objects[1])
    assert "that lack values" in render_analysis(analysis)
    assert "that lack values" not in render_analysis(analyse([m]))
