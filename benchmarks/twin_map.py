"""Promise: gains from a 10 m map cost less than 0.2 dB in the quantiles of SINR.

Draws one city on a map of 2.5 m, keeps every fourth, eighth or sixteenth pixel of it, and
reads the gains in between as the twin does, bilinear in dB. Every pixel of the fine map is
a place where a user may be, so the two maps are compared at all of them.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from time import process_time

import numpy as np
from _bench import Row, report

from cellhive.core.types import Floats, Floats32, Network
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.radio_map import (
    RadioMap,
    build_radio_map,
    reference_power_dbm,
    sinr_db_raster,
    total_gain_db,
)

FINE_M, SIDE_M, TILT_DEG, POWER_DBM, LOAD = 2.5, 1760.0, 11.0, 46.0, 0.5
QUANTILES = (0.05, 0.5, 0.95)
GOAL_DB = 0.2


@dataclass(frozen=True)
class City:
    """A network with its gains on a fine map."""

    network: Network
    radio_map: RadioMap
    gain_db: Floats32

    def sinr_db(self, gain_db: Floats32) -> Floats32:
        """Return the SINR of the best cell at every fine pixel, (P,)."""
        cells = self.network.cells
        power = reference_power_dbm(self.network, np.full(cells, POWER_DBM))
        load = np.full(cells, LOAD)
        return sinr_db_raster(self.radio_map, self.network, gain_db, power, load).values.ravel()


def make_city(seed: int, environment: str) -> City:
    """Return seven sites on a map of 2.5 m."""
    network = hex_grid(7, 500.0, SiteDesign(carrier_hz=2.1e9, environment=environment))
    half = SIDE_M / 2
    radio_map = build_radio_map(
        network, np.random.default_rng(seed), pixel_m=FINE_M, bounds=(-half, -half, half, half)
    )
    return City(network, radio_map, total_gain_db(radio_map, network, np.full(21, TILT_DEG)))


def coarsened(city: City, every: int) -> Floats32:
    """Return the gains at every fine pixel as read from each ``every``-th, bilinear in dB."""
    rows, columns = city.radio_map.rows, city.radio_map.columns
    kept = city.gain_db.reshape(rows, columns, -1)[::every, ::every]
    for axis in (0, 1):
        kept = _between(np.moveaxis(kept, axis, 0), every)
        kept = np.moveaxis(kept, 0, axis)
    return np.ascontiguousarray(kept.reshape(rows * columns, -1), dtype=np.float32)


def _between(values: Floats32, every: int) -> Floats32:
    """Return values along the first axis with what lies between them."""
    made = np.empty(((values.shape[0] - 1) * every + 1, *values.shape[1:]), np.float32)
    for part in range(every):
        share = np.float32(part / every)
        made[part::every][: values.shape[0] - 1] = (1 - share) * values[:-1] + share * values[1:]
    made[-1] = values[-1]
    return made


def compared(city: City, every: int) -> tuple[Floats, float, float]:
    """Return the errors of the quantiles and the RMS of that of SINR, and of the best gain [dB]."""
    coarse = coarsened(city, every)
    fine_sinr, coarse_sinr = city.sinr_db(city.gain_db), city.sinr_db(coarse)
    errors = np.quantile(coarse_sinr, QUANTILES) - np.quantile(fine_sinr, QUANTILES)
    best = city.gain_db.argmax(axis=1)[:, None]
    gain = np.take_along_axis(coarse - city.gain_db, best, axis=1)
    return errors, float(np.std(coarse_sinr - fine_sinr)), float(np.sqrt(np.mean(gain**2)))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cities", type=int, default=3)
    options = parser.parse_args()
    rows = []
    begin = process_time()
    for environment in ("UMa", "UMi"):
        cities = [make_city(seed, environment) for seed in range(1, options.cities + 1)]
        for every in (4, 8, 16):
            found = [compared(city, every) for city in cities]
            errors = np.mean([np.abs(errors) for errors, _, _ in found], axis=0)
            name = f"{environment}, map of {FINE_M * every:.0f} m"
            goal = f"< {GOAL_DB:g}" if every == 4 and environment == "UMa" else ""  # noqa: PLR2004
            rows += [
                Row(f"{name}: error of the {quantile:.0%} quantile of SINR", float(error), "dB",
                    goal)
                for quantile, error in zip(QUANTILES, errors, strict=True)
            ]  # fmt: skip
            rows += [
                Row(f"{name}: RMS error of the gain of the best cell",
                    float(np.mean([rms for _, _, rms in found])), "dB"),
                Row(f"{name}: RMS error of SINR at a place",
                    float(np.mean([rms for _, rms, _ in found])), "dB"),
            ]  # fmt: skip
    print(f"{process_time() - begin:.0f} s of processor time")
    report(
        "twin_map",
        rows,
        packages=("numpy", "numba"),
        notes=(
            f"seven sites of three cells 500 m apart at 2.1 GHz, all half loaded, "
            f"{options.cities} cities each; against the same city on a map of {FINE_M} m",
            "10 m is what the twin uses up to 60 million gains; 1000 cells make it 41 m",
        ),
    )


if __name__ == "__main__":
    main()
