"""Find a fault in a table of KPIs, from Python.

    python examples/analyse_a_table.py                 make a table with a known fault
    python examples/analyse_a_table.py FILE.csv ...     analyse your own

Without a file the twin makes one, as an operator's tool would export it: five days of a
suburb with 21 cells, in which one cell nearly falls silent (30 dB less power) from 17:00
to 23:00 on the third. The analysis
is told nothing of that. The same in the shell: ``cellhive analyze FILE.csv``.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
from pathlib import Path

import polars as pl

from cellhive.app.analysis import analyse_paths
from cellhive.core.types import Change, KpiFrame, Network, Plan
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.scenarios import Scenario, build_twin
from cellhive.ran.simulator import Twin

FAULTY, LOST_DB = "S03-2", 30.0
SUBURB = Scenario(
    "suburb",
    "Seven sites on an ordinary day",
    focus=(),
    network=lambda: hex_grid(7, 500.0, SiteDesign(carrier_hz=2.1e9)),
    users_per_cell=14,
    peak_share=0.3,
    start_h=0.0,
)
MIDNIGHT = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
HEADINGS = {
    "DL PRB Utilization (%)": ("prb_utilisation_ratio", 100.0),
    "DL Traffic Volume (Mbit)": ("DRB.PdcpSduVolumeDL", 1.0),
    "Avg RRC Connected Users": ("RRC.ConnMean", 1.0),
    "Average SINR (dB)": ("sinr_mean_db", 1.0),
}
"""Headings of the table, and what stands below them."""


def set_power(twin: Twin, change_db: float) -> None:
    """Change the power of the faulty cell, past every guard: this is a fault, not a plan."""
    before = float(twin.parameters().tx_power_dbm[twin.network.cell_index[FAULTY]])
    change = Change(FAULTY, "tx_power_dbm", before, before + change_db)
    twin.apply(Plan("fault", "nobody", twin.time_s, (change,)))


def rows(frame: KpiFrame, network: Network) -> pl.DataFrame:
    """Return one period as rows of the table."""
    when = MIDNIGHT + dt.timedelta(seconds=frame.time_s)
    values = {
        heading: (frame.column(name) * factor).round(3)
        for heading, (name, factor) in HEADINGS.items()
    }
    labels = {"Time": [f"{when:%Y-%m-%d %H:%M}"] * network.cells, "Cell Name": network.cell_ids}
    return pl.DataFrame({**labels, **values}).fill_nan(None)


def make_table(path: Path, periods: int = 480, faulty: tuple[int, int] = (260, 284)) -> None:
    """Write five days of KPIs with a fault from one period to another."""
    twin = build_twin(SUBURB, seed=3, observed_s=60.0)
    parts = []
    for period in range(periods):
        if period == faulty[0]:
            set_power(twin, -LOST_DB)
        if period == faulty[1]:
            set_power(twin, LOST_DB)
        parts.append(rows(twin.observe(), twin.network))
    pl.concat(parts).write_csv(path)


def tell(paths: list[Path]) -> None:
    """Analyse files and print what was read, what is odd about it, and the incidents."""
    result, analysis = analyse_paths(paths)
    for file in result.files:
        sys.stdout.write(f"{file.path.name}: {file.status}, {file.rows} rows {file.note}\n")
    for finding in analysis.findings[:8]:
        sys.stdout.write(f"- {finding.found}; {finding.action}\n")
    for incident in analysis.search.incidents[:6]:
        start, end = (dt.datetime.fromtimestamp(t, dt.UTC)
                      for t in (incident.start_s, incident.end_s))  # fmt: skip
        sys.stdout.write(
            f"{incident.rank}. {incident.kind}, {start:%d %b %H:%M} to {end:%d %b %H:%M}, "
            f"{', '.join(incident.objects[:4])}: {', '.join(incident.kpis[:3])} "
            f"({incident.effect or 'neither good nor bad'})\n"
        )


def main(arguments: list[str]) -> None:
    """Analyse the files that are named, or one that is made."""
    if arguments:
        tell([Path(argument) for argument in arguments])
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kpis.csv"
        make_table(path)
        tell([path])


if __name__ == "__main__":
    main(sys.argv[1:])
