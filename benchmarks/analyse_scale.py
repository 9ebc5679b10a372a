"""How long ``cellhive analyze`` takes on large tables, and how much memory.

``python benchmarks/analyse_scale.py`` makes hourly KPIs of a network
(``drivers/make_pm.py``), analyses them from the file to the written report, each time in a
process of its own, and measures wall and processor time, the largest resident memory, and
the size of the report: 36 million values from Parquet and from CSV, which are held in memory,
and ten times as many from Parquet, which are read in blocks. Beside it stands the plain
way to look for incidents, statsmodels' STL of one series after the other, on the same panels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from _bench import Row, report
from _drivers import DRIVERS, peers_python, run

KPIS = 50
WALL_S, PEAK_GB, REPORT_MB, LARGE_GB = 60, 3, 5, 4
SAMPLE_CELLS, SAMPLE_KPIS = 40, 25


def made(folder: Path, name: str, cells: int, days: int, *, csv: bool) -> Path:
    """Return the table of a network, made by a process of its own."""
    words = [sys.executable, str(DRIVERS / "make_pm.py"), str(folder / name), "--cells", str(cells),
             "--days", str(days), "--kpis", str(KPIS), *(["--csv"] if csv else [])]  # fmt: skip
    subprocess.run(words, check=True)  # noqa: S603
    return folder / name / "pm.parquet"


def analysed(path: Path) -> dict[str, Any]:
    """Return what an analysis of a file cost; it may use all cores."""
    words = [sys.executable, str(DRIVERS / "run_scale.py"), str(path), "--report",
             str(path.with_suffix(".html"))]  # fmt: skip
    done = subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        message = f"the analysis of {path.name} ended with {done.returncode}:\n"
        raise SystemExit(message + done.stderr[-3000:])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def rows_of(name: str, told: dict[str, Any], *, large: bool) -> list[Row]:
    """Return the figures of one analysis."""
    peak = f"< {LARGE_GB}" if large else f"< {PEAK_GB}"
    rows = [
        Row(f"{name}: wall time", told["wall_s"], "s", "" if large else f"< {WALL_S}"),
        Row(f"{name}: processor time", told["cpu_s"], "s"),
        Row(f"{name}: largest resident memory", told["peak_gb"], "GB", peak),
        Row(f"{name}: of it not of mapped files", told["anonymous_gb"], "GB"),
        Row(f"{name}: report", told["report_mb"], "MB", "" if large else f"< {REPORT_MB}"),
    ]
    for stage, cost in told["stages"].items():
        rows.append(Row(f"{name}: {stage.lower()}, wall time", cost["wall_s"], "s"))
        rows.append(Row(f"{name}: {stage.lower()}, processor time", cost["cpu_s"], "s"))
    return rows


def sample(path: Path, periods: int) -> npt.NDArray[np.float64]:
    """Return some panels of a table, (KPIs, cells, periods), NaN where a row is missing."""
    every = pl.scan_parquet(path)
    cells = every.select(pl.col("Cell Name").unique().sort()).collect().to_series()
    chosen = cells.gather_every(max(len(cells) // SAMPLE_CELLS, 1)).head(SAMPLE_CELLS)
    frame = every.filter(pl.col("Cell Name").is_in(chosen.to_list())).collect()
    hours = (frame["Time"].dt.epoch("s") - frame["Time"].dt.epoch("s").min()) // 3600
    row = frame["Cell Name"].replace_strict(chosen, range(len(chosen))).to_numpy()
    names = frame.columns[2 : 2 + SAMPLE_KPIS]
    panels = np.full((len(names), len(chosen), periods), np.nan)
    for index, name in enumerate(names):
        panels[index, row, hours.to_numpy()] = frame[name].cast(pl.Float64).to_numpy()
    return panels


def beside(path: Path, folder: Path, periods: int) -> Row:
    """Return the processor time per series beside that of the plain way, on one thread."""
    panels = folder / "panels.npy"
    np.save(panels, sample(path, periods))
    ours = run(sys.executable, "run_look.py", panels, ours=True).told
    peer = run(peers_python("requirements-analyse.txt"), "run_stl_series.py", panels).told
    mine, theirs = (1e3 * one["cpu_s"] / one["series"] for one in (ours, peer))
    name = f"Looking for incidents, per series of {periods} hours, {peer['series']} series"
    return Row(name, mine, "ms", "", "pandas + statsmodels STL + threshold", theirs, theirs / mine)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--times", type=int, default=10, help="cells of the large table; 0: none")
    parser.add_argument("--no-csv", action="store_true")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--folder", type=Path, help="where tables are made, and left")
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="cellhive-scale-"))
    millions = chosen.cells * chosen.days * 24 * KPIS / 1e6
    rows: list[Row] = []
    try:
        path = made(folder, "small", chosen.cells, chosen.days, csv=not chosen.no_csv)
        analysed(made(folder, "first", 20, chosen.days, csv=False))  # compiles what is compiled
        rows += rows_of(f"{millions:.3g} M values, Parquet", analysed(path), large=False)
        if not chosen.no_csv:
            csv = path.with_suffix(".csv")
            rows += rows_of(f"{millions:.3g} M values, CSV", analysed(csv), large=False)
        if not chosen.no_peer:
            rows.append(beside(path, folder, 24 * chosen.days))
        if chosen.times:
            large = made(folder, "large", chosen.times * chosen.cells, chosen.days, csv=False)
            name = f"{chosen.times * millions:.3g} M values, Parquet in blocks"
            rows += rows_of(name, analysed(large), large=True)
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    notes = (
        f"{chosen.cells} cells, {KPIS} KPIs, {chosen.days} days of hours, made by "
        "drivers/make_pm.py; from loading the program to the written report, causes and "
        "recommendations included; compiled kernels were in the cache.",
        "Resident memory includes pages of mapped files, which the system takes back when it "
        "needs them; the part that is not of files is told beside it.",
        "The plain way: gaps interpolated, STL with a daily period, robust z of the rest above "
        "8; one thread each, the same panels; quality of detection: benchmarks/analyse.py.",
    )
    report("analyse_scale", rows, packages=("numpy", "numba", "polars"), notes=notes)


if __name__ == "__main__":
    main()
