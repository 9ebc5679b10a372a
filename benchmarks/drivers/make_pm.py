"""Writes hourly counters and KPIs of a made-up network, for measuring how an analysis scales.

Cells differ in size and follow a day and a week; KPIs depend on the cell's load and on each
other; noise remembers the hour before; rows are missing; some cells fail on known days. Only
the load on the analysis is meant to be real, not the radio: detection is measured elsewhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

START_S = 1_759_276_800
"""Wednesday 2025-10-01 00:00 UTC."""
HOUR_S = 3600
MISSING = 0.004
"""Share of the rows that are not there."""
_OUTAGES = 0.0005
_SATURDAY = 5
FAILING = 0.02
"""Share of the cells to which something happens."""

_BASE = (
    "DL traffic volume [MB]", "UL traffic volume [MB]", "Active users DL", "RRC connected users",
    "PRB utilisation DL [%]", "PRB utilisation UL [%]", "RRC setup attempts", "RRC setup failures",
    "RRC setup success rate [%]", "ERAB setup attempts", "ERAB setup failures",
    "ERAB setup success rate [%]", "Call drop rate [%]", "Handover attempts",
    "Handover failures", "Handover success rate [%]", "DL user throughput [Mbit/s]",
    "UL user throughput [Mbit/s]", "DL latency [ms]", "Average CQI", "DL BLER [%]",
    "UL BLER [%]", "RSSI UL [dBm]", "Energy [kWh]", "Cell availability [%]",
)  # fmt: skip
"""Half of the KPIs; the other half are the same of a second service."""


def names_of(kpis: int) -> list[str]:
    """Return names of KPIs, "VoNR" ones after the first 25, numbered further on."""
    names: list[str] = []
    for index in range(kpis):
        turn, base = divmod(index, len(_BASE))
        prefix = "" if turn == 0 else ("VoNR " if turn == 1 else f"Slice {turn} ")
        names.append(prefix + _BASE[base])
    return names


def _smooth(noise: np.ndarray, memory: float) -> np.ndarray:
    """Return AR(1) noise of unit variance along the last axis."""
    out = np.empty_like(noise)
    out[..., 0] = noise[..., 0]
    fresh = np.sqrt(1 - memory**2)
    for t in range(1, noise.shape[-1]):
        out[..., t] = memory * out[..., t - 1] + fresh * noise[..., t]
    return out


def _load(rng: np.random.Generator, cells: int, hours: int) -> np.ndarray:
    """Return the relative load of cells, (cells, hours)."""
    hour = np.arange(hours)
    peak = rng.choice([10.0, 13.0, 20.0], cells, p=[0.3, 0.2, 0.5])[:, None]
    day = 1 + 0.75 * np.cos((hour[None] % 24 - peak) * 2 * np.pi / 24)
    weekend = (hour // 24 + 2) % 7 >= _SATURDAY
    week = np.where(weekend[None], rng.uniform(0.6, 1.1, (cells, 1)), 1.0)
    noise = np.exp(0.12 * _smooth(rng.standard_normal((cells, hours)), 0.6))
    load: np.ndarray = day * week * noise
    return load


def _service(
    rng: np.random.Generator, load: np.ndarray, size: np.ndarray, ill: np.ndarray
) -> list[np.ndarray]:
    """Return the KPIs of one service, in the order of the names, each (cells, hours)."""
    shape = load.shape
    hours = shape[1]
    users = rng.poisson(size * load * 6) + 1.0
    volume = users * rng.gamma(6.0, 30.0 / 6.0, shape)
    prb = np.clip(100 * (1 - np.exp(-0.35 * load * size)) + rng.normal(0, 2, shape), 0.2, 100)
    attempts = rng.poisson(users * 25).astype(float)
    risk = np.exp(0.3 * _smooth(rng.standard_normal(shape), 0.4)) * (1 + 6 * ill)
    failures = rng.poisson(attempts * np.minimum(0.004 * risk, 0.6)).astype(float)
    erab = rng.poisson(attempts * 0.9).astype(float)
    erab_failures = rng.poisson(erab * np.minimum(0.003 * risk, 0.6)).astype(float)
    handovers = rng.poisson(users * 8).astype(float)
    lost = rng.poisson(handovers * np.minimum(0.015 * risk, 0.6)).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = [
            np.round(100 * (1 - bad / good), 3)
            for bad, good in ((failures, attempts), (erab_failures, erab), (lost, handovers))
        ]
    drops = np.round(100 * rng.poisson(erab * 0.002 * risk) / np.maximum(erab, 1), 3)
    throughput = np.round((60 - 0.45 * prb) * rng.gamma(40, 1 / 40, shape) / (1 + ill), 2)
    cqi = np.round(9 + 2 * rng.standard_normal((shape[0], 1)) * 0.4
                   + 0.3 * rng.standard_normal(shape) - 2 * ill, 2)  # fmt: skip
    bler = np.round(np.clip(8 + 1.2 * rng.standard_normal(shape) + 6 * ill, 0.1, 60), 2)
    available = np.where(
        rng.random(shape) < _OUTAGES, np.round(rng.uniform(50, 99, shape), 1), 100.0
    )
    drift = 1 + 0.1 * np.arange(hours) / hours
    return [
        np.round(volume, 2), np.round(volume * rng.gamma(9, 0.12 / 9, shape), 2), users,
        np.round(users * rng.gamma(50, 3 / 50, shape), 1), np.round(prb, 2),
        np.round(0.5 * prb * rng.gamma(60, 1 / 60, shape), 2), attempts, failures, rates[0], erab,
        erab_failures, rates[1], drops, handovers, lost, rates[2], throughput,
        np.round(0.3 * throughput * rng.gamma(30, 1 / 30, shape), 2),
        np.round(18 * drift * rng.gamma(50, 1 / 50, shape) * (1 + prb / 200), 2), cqi, bler,
        np.round(bler * rng.gamma(40, 0.9 / 40, shape), 2),
        np.round(-112 + 2 * rng.standard_normal((shape[0], 1)) + rng.normal(0, 0.6, shape), 2),
        np.round(1.2 + 0.008 * prb + rng.normal(0, 0.02, shape), 3), available,
    ]  # fmt: skip


def block(seed: int, first: int, cells: int, hours: int, kpis: int) -> pl.DataFrame:
    """Return the rows of some cells.

    Args:
        seed: Of the network.
        first: Number of the first cell.
        cells: How many.
        hours: Length.
        kpis: How many columns of numbers.
    """
    rng = np.random.default_rng((seed, first))
    load = _load(rng, cells, hours)
    size = rng.lognormal(0.0, 0.5, (cells, 1))
    ill = np.zeros((cells, hours))
    for cell in np.flatnonzero(rng.random(cells) < FAILING):
        begin = int(rng.integers(hours // 5, hours - 30))
        ill[cell, begin : begin + int(rng.choice([6, 24, 96]))] = 1.0
    columns: list[np.ndarray] = []
    while len(columns) < kpis:
        columns += _service(rng, load, size * rng.uniform(0.3, 1.0, (cells, 1)), ill)
    objects = np.repeat([f"Site{n // 3:04d}_Sector{n % 3 + 1}" for n in
                         range(first, first + cells)], hours)  # fmt: skip
    times = np.tile(START_S + HOUR_S * np.arange(hours), cells) * 1_000_000
    there = rng.random(cells * hours) >= MISSING
    frame = pl.DataFrame({"Cell Name": objects, "Time": times}).with_columns(
        pl.col("Time").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    frame = frame.with_columns(
        pl.Series(name, values.ravel())
        for name, values in zip(names_of(kpis), columns, strict=False)
    )
    return frame.filter(pl.Series(there))


def write(folder: Path, *, cells: int, days: int, kpis: int, seed: int = 1) -> Path:
    """Write ``pm.parquet`` and return its path; blocks of cells, never the whole table.

    Args:
        folder: Where to.
        cells: Cells.
        days: Days of 24 rows.
        kpis: Columns of numbers.
        seed: Of the network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hours = 24 * days
    step = max(200_000 // hours, 1)
    parts: list[Path] = []
    for first in range(0, cells, step):
        part = folder / f"part-{first:06d}.parquet"
        block(seed, first, min(step, cells - first), hours, kpis).write_parquet(part)
        parts.append(part)
    path = folder / "pm.parquet"
    pl.scan_parquet(parts).sink_parquet(path, row_group_size=200_000)
    for part in parts:
        part.unlink()
    return path


def main() -> None:
    """Write the table asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--kpis", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", action="store_true", help="the same as CSV, beside it")
    chosen = parser.parse_args()
    path = write(
        chosen.folder, cells=chosen.cells, days=chosen.days, kpis=chosen.kpis, seed=chosen.seed
    )
    if chosen.csv:
        pl.scan_parquet(path).sink_csv(path.with_suffix(".csv"))


if __name__ == "__main__":
    main()
