"""The whole analysis on measurements with known faults, and on real tables where they are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

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
from cellhive.flows.analyse import analyse, panels_of, shown

START = datetime(2025, 3, 3, tzinfo=UTC)
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def network(days: int = 21, cells: int = 12, period_s: float = 3600.0) -> Measurements:
    """Return hourly measurements with a daily cycle; success rates are fractions under "%"."""
    rng = np.random.default_rng(0)
    count = round(days * 86400 / period_s)
    hours = np.arange(count) * period_s / 3600
    traffic = 50 * (1.5 + np.sin(2 * np.pi * hours / 24))
    traffic = traffic * np.exp(0.05 * rng.standard_normal((cells, count)))
    success = 0.99 + 0.002 * rng.standard_normal((cells, count))
    success[min(2, cells - 1), 200:224] -= 0.05
    frame = pl.DataFrame(
        {
            OBJECT: np.repeat([f"cell-{i:02d}" for i in range(cells)], count),
            TIME: [START + timedelta(seconds=period_s * i) for _ in range(cells)
                   for i in range(count)],
            PERIOD_S: [period_s] * (cells * count),
            SUSPECT: [False] * (cells * count),
            "Traffic": traffic.ravel(),
            "Success (%)": np.minimum(success, 1.0).ravel(),
            "Latitude": np.repeat(32.0, cells * count),
            "Bin.3": np.repeat(1.0, cells * count),
        },
        schema_overrides={TIME: TIME_TYPE},
    )  # fmt: skip
    infos = {
        "Traffic": ColumnInfo("Traffic", unit="GB", role=Role.COUNTER),
        "Success (%)": ColumnInfo("Success (%)", unit="%", role=Role.RATIO, better="higher"),
        "Latitude": ColumnInfo("Latitude", role=Role.ATTRIBUTE),
        "Bin.3": ColumnInfo("Bin.3", role=Role.COUNTER, base="Bin", bin=3),
    }
    return Measurements("net", frame, infos, (), "cell", "UTC", ("net.csv",))


def test_a_fault_is_reported_in_per_cent_with_its_size() -> None:
    """Success falls by 5 points in cell-02 from hour 200 to 224; nothing else happens."""
    read = Finding(Severity.ERROR, "unreadable", "a table", "noise", "skipped", file="x.csv")
    analysis = analyse([network()], [read])
    (incident,) = analysis.search.incidents
    lead = incident.lead
    assert (lead.object, lead.kpi, lead.unit, lead.effect) == (
        "cell-02", "Success (%)", "%", "worse",
    )  # fmt: skip
    assert lead.size == pytest.approx(-5.0, abs=0.2)
    begin = START.timestamp()
    assert (incident.start_s, incident.end_s) == (begin + 200 * 3600, begin + 224 * 3600)
    assert analysis.findings[0] is read
    assert {one.code for one in analysis.findings} >= {"unreadable", "fraction-under-percent"}
    assert analysis.sources == ("net.csv",)
    part = analysis.parts[0]
    assert [panel.kpi for panel in part.panels] == ["Traffic", "Success (%)"]
    assert part.summaries[1].worst[0] in part.objects
    assert any("At most 5%" in note for note in analysis.notes)
    assert any("1 bins of vector counters" in note for note in analysis.notes)


def test_known_sites_tell_which_cells_belong_together() -> None:
    """Two cells fail at the same hours in different KPIs: one incident of one site, two of two."""
    net = network()
    failing = (pl.col(OBJECT) == "cell-07") & pl.col(TIME).is_between(
        START + timedelta(hours=200), START + timedelta(hours=223)
    )
    halved = pl.when(failing).then(pl.col("Traffic") / 2).otherwise(pl.col("Traffic"))
    net = replace(net, frame=net.frame.with_columns(halved.alias("Traffic")))
    sites = {f"cell-{i:02d}": f"site {i}" for i in range(12)}
    assert len(analyse([net], sites=sites).search.incidents) == 2
    (incident,) = analyse([net], sites=sites | {"cell-07": "site 2"}).search.incidents
    assert set(incident.objects) == {"cell-02", "cell-07"}


def test_panel_puts_each_value_in_its_period() -> None:
    """Rows in any order; a missing row is NaN, never zero."""
    m = network(days=1, cells=2)
    frame = m.frame.filter(~((pl.col(OBJECT) == "cell-01") & (pl.col(TIME).dt.hour() == 5)))
    shuffled = Measurements(m.name, frame.sample(fraction=1, shuffle=True, seed=1), m.columns)
    panel = panels_of(shuffled, 3600.0)[0]
    assert panel.values.shape == (2, 24)
    assert np.argwhere(np.isnan(panel.values)).tolist() == [[1, 5]]
    values = m.frame.filter(pl.col(OBJECT) == "cell-00")["Traffic"].to_numpy()
    assert np.array_equal(panel.values[0], values)


def test_periods_of_different_length_are_never_mixed() -> None:
    """15-minute and hourly rows of one file are two parts."""
    quarter, hour = network(2, 3, 900.0), network(2, 3)
    both = Measurements("both", pl.concat([quarter.frame, hour.frame]), hour.columns)
    analysis = analyse([both])
    assert [(part.period_s, part.rows) for part in analysis.parts] == [(900.0, 576), (3600.0, 144)]


def test_without_times_there_are_summaries_and_no_incidents() -> None:
    """Drive tests without a clock are still summarised."""
    m = network(2, 3)
    frame = m.frame.with_columns(
        pl.lit(None, TIME_TYPE).alias(TIME), pl.lit(None, pl.Float64).alias(PERIOD_S)
    )
    analysis = analyse([Measurements("m", frame, m.columns)])
    assert analysis.search.incidents == ()
    assert analysis.parts[0].summaries[0].network.values == 144
    assert any("no regular times" in note for note in analysis.notes)


def test_nothing_read_is_an_empty_analysis() -> None:
    """No measurements is a result too."""
    analysis = analyse([])
    assert analysis.parts == ()
    assert analysis.search.series == 0


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (ColumnInfo("a", unit="%", role=Role.RATIO, share="fraction"), (100.0, "%")),
        (ColumnInfo("a", unit="%", role=Role.RATIO, share="percent"), (1.0, "%")),
        (ColumnInfo("a", unit="GB"), (1.0, "GB")),
    ],
)
def test_shares_are_shown_in_per_cent(info: ColumnInfo, expected: tuple[float, str]) -> None:
    """However they are written in the file."""
    assert shown(info) == expected


def test_real_site_table_shows_the_outage_of_may_2025() -> None:
    """Daily KPIs of 16 sites: the counters fell at many sites in the middle of May 2025.

    Expected from the file itself: 19 of 6224 site-days are missing, ping-pongs are counted
    from March 2025 only, one site repeats the RSSI -120 dBm, and shares are fractions.
    """
    path = DATA / "libyana_lte_kpi" / "aggregated_sites_traffic.xlsx"
    if not path.exists():
        pytest.skip("the real table libyana_lte_kpi is not beside the repository")
    tables = pytest.importorskip("cellhive.adapters.tabular.tables")
    measurements = pytest.importorskip("cellhive.core.measurements")
    read = tables.read_table_file(path, measurements.Findings(), kind="spreadsheet")
    analysis = analyse(read)
    found = {(one.code, one.column): one.count for one in analysis.findings}
    assert found["gaps", ""] == 19
    assert ("switched-on", "no_ping_pong_ho_count") in found
    assert found["constant-in-objects", "avg_rssi_dbm"] == 1
    assert ("fraction-under-percent", "erab_drop_rate_%") in found
    may = datetime(2025, 5, 13, tzinfo=UTC).timestamp()
    top = [one for one in analysis.search.incidents[:5] if abs(one.start_s - may) <= 86400]
    assert any(len(one.objects) >= 5 and one.lead.effect == "worse" for one in top)
