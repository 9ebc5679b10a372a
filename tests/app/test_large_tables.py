"""A table read in blocks of objects gives what it gives when it is held whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cellhive.adapters.reading import ReadResult
from cellhive.adapters.streaming import parquet
from cellhive.adapters.streaming.panels import PanelFile, StoredPanel
from cellhive.app.analysis import analyse_paths
from cellhive.app.working import Threads
from cellhive.cli import main
from cellhive.core.measurements import Severity
from cellhive.flows.analyse import Analysis
from cellhive.flows.causes.why import causes_of
from cellhive.reports.analysis.report import render_analysis

CELLS, HOURS = 14, 24 * 18


def table() -> pl.DataFrame:
    """Return hourly rows of cells whose names sort otherwise than they are numbered."""
    rng = np.random.default_rng(8)
    hour = np.arange(HOURS)
    load = 1 + 0.6 * np.sin((hour % 24 - 6) * 2 * np.pi / 24)
    size = rng.lognormal(0, 0.4, (CELLS, 1))
    users = rng.poisson(40 * size * load)
    drops = np.round(rng.gamma(4, 0.1 / 4, (CELLS, HOURS)), 4)
    drops[3, 200:224] += 2.0
    success = np.round(99.2 + 0.3 * rng.standard_normal((CELLS, HOURS)).clip(-2, 2), 3)
    traffic = np.round(users * rng.gamma(30, 1 / 30, users.shape), 2)
    traffic[5, 300:] *= 0.3
    traffic[7, 40] = -1.0
    frame = pl.DataFrame({
        "Time": np.tile(1_759_276_800_000_000 + 3_600_000_000 * hour, CELLS),
        "Cell Name": np.repeat([f"S{n % 5}-{n}" for n in range(CELLS)], HOURS),
        "Vendor": ["v"] * (CELLS * HOURS),
        "Active users": users.ravel(), "Call drop rate [%]": drops.ravel(),
        "RRC setup success rate [%]": success.ravel(), "DL traffic [GB]": traffic.ravel(),
    })  # fmt: skip
    frame = frame.with_columns(pl.col("Time").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    kept = rng.random(frame.height) > 0.01
    kept[:30] = False  # the first cell starts late
    return frame.filter(pl.Series(kept)).sort("Time", maintain_order=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of one form, as daily exports are, and a note that is no table."""
    made = tmp_path_factory.mktemp("pm")
    rows = table()
    rows.head(rows.height // 2).write_parquet(made / "a.parquet")
    rows.tail(rows.height - rows.height // 2).write_parquet(made / "b.parquet")
    (made / "read.me").write_text("nothing\n")
    return made


@pytest.fixture(scope="module")
def whole(folder: Path) -> Analysis:
    """The same held in memory."""
    return analyse_paths([folder])[1]


@pytest.fixture(scope="module")
def streamed(folder: Path) -> tuple[ReadResult, Analysis]:
    """The table in blocks of three cells or so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "MOST_VALUES", 1000)
        patch.setattr(parquet, "BLOCK_VALUES", 4 * 3 * HOURS)
        return analyse_paths([folder])


def test_the_table_was_read_in_blocks(streamed: tuple[ReadResult, Analysis]) -> None:
    """Or the other tests say nothing."""
    result, analysis = streamed
    assert all(isinstance(panel, StoredPanel) for panel in analysis.parts[0].panels)
    assert any("in 5 blocks of objects" in note for note in analysis.notes)
    assert [one.status for one in result.files if one.kind == "parquet"] == ["read", "read"]
    assert sum(one.rows for one in result.files) == table().height


def test_incidents_are_the_same_to_the_last_figure(
    whole: Analysis, streamed: tuple[ReadResult, Analysis]
) -> None:
    """A KPI is always judged over all its objects at once."""
    assert len(whole.search.incidents) >= 2
    assert streamed[1].search == whole.search


def test_values_summaries_and_coverage_are_the_same(
    whole: Analysis, streamed: tuple[ReadResult, Analysis]
) -> None:
    """Objects and times land where they do in a table that is held."""
    (one,), (other,) = whole.parts, streamed[1].parts
    assert [p.kpi for p in one.panels] == [p.kpi for p in other.panels]
    for ours, theirs in zip(one.panels, other.panels, strict=True):
        assert (ours.objects, ours.start_s, ours.step_s, ours.unit) == (
            theirs.objects, theirs.start_s, theirs.step_s, theirs.unit,
        )  # fmt: skip
        np.testing.assert_array_equal(ours.values, theirs.values)
    assert repr(one.summaries) == repr(other.summaries)
    assert one.coverage == other.coverage
    assert (one.rows, one.start, one.end, one.columns) == (
        other.rows, other.start, other.end, other.columns,
    )  # fmt: skip


def test_warnings_are_counted_over_all_blocks(
    whole: Analysis, streamed: tuple[ReadResult, Analysis]
) -> None:
    """The same kinds of the same columns."""

    def warnings(analysis: Analysis) -> set[tuple[str, str]]:
        every = (one for one in analysis.findings if one.severity is Severity.WARNING)
        return {(one.code, one.column) for one in every if one.column}

    assert warnings(streamed[1]) == warnings(whole)
    assert ("sentinel", "DL traffic [GB]") in warnings(whole)


def test_the_rest_of_the_analysis_takes_such_a_table(
    streamed: tuple[ReadResult, Analysis],
) -> None:
    """The report is drawn and causes are looked for."""
    page = render_analysis(streamed[1])
    assert "<svg" in page
    assert "S3-3" in page
    assert not causes_of(streamed[1]).problem.startswith("the causal model failed")


@pytest.mark.parametrize("timed", [False, True])
def test_a_large_table_without_regular_times_is_read_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timed: bool
) -> None:
    """Whether it has no times at all or such as make no grid."""
    monkeypatch.setattr(parquet, "MOST_VALUES", 10)
    rng = np.random.default_rng(2)
    rows = pl.DataFrame({"Cell Name": ["a", "b"] * 40, "RRC setup success rate [%]":
                         99 + rng.random(80)})  # fmt: skip
    if timed:
        steps = np.where(np.arange(80) % 4 < 2, 1, rng.integers(10_000, 900_000, 80))
        moments = (1_759_276_800 + np.cumsum(steps)) * 1_000_000
        rows = rows.with_columns(pl.Series("Time", moments).cast(pl.Datetime("us")))
    rows.write_parquet(tmp_path / "x.parquet")
    analysis = analyse_paths([tmp_path / "x.parquet"])[1]
    assert analysis.parts[0].rows == 80
    assert not isinstance(analysis.parts[0].panels[0], StoredPanel)


def test_a_panel_file_keeps_what_is_put_and_says_nothing_of_the_rest() -> None:
    """Rows in any order; periods from any on."""
    room = PanelFile().room(4, 5)
    room.put([2, 0], 1, np.array([[1.0, 2.0], [3.0, 4.0]]))
    panel = room.panel("k", ("a", "b", "c", "d"), 0.0, 60.0, "")
    nan = np.nan
    expected = [[nan, 3, 4, nan, nan], [nan] * 5, [nan, 1, 2, nan, nan], [nan] * 5]
    np.testing.assert_array_equal(panel.values, expected)
    assert panel.periods == 5
    assert not panel.values.flags.writeable
    some = replace(panel, objects=("a",), values=panel.values[:1])
    assert (some.values.shape, some.periods, some.unit) == ((1, 5), 5, "")


def test_no_file_is_left_in_the_folder(tmp_path: Path) -> None:
    """It has no name from the beginning."""
    room = PanelFile(tmp_path).room(2, 3)
    room.put([0, 1], 0, np.ones((2, 3)))
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_an_analysis_with_its_code_and_leaves_no_report(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the key were pressed while incidents are looked for."""

    def interrupted(self: Threads, stage: str, function: object, items: object) -> list[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Threads, "__call__", interrupted)
    report = tmp_path / "r.html"
    monkeypatch.setattr("sys.argv", ["cellhive", "analyze", str(folder), "--report", str(report)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert list(tmp_path.iterdir()) == []
