"""A city that nothing was trained on: real sites out of a list of OpenCellID.

The list names cells by their identity and gives estimated positions. What it does not give
is assumed and told: every base station has three sectors, all on one carrier of 1800 MHz,
25 m high. What is wrong is made as in the scenarios of the package: some tilts too far up,
and handovers that wait.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cellhive.adapters.files import read_bounded
from cellhive.adapters.sites.topology import read_sites
from cellhive.core.errors import BadInput
from cellhive.ran.layout import local_xy
from cellhive.ran.scenarios import RealSites, Scenario, SiteListLayout

NAME = "milan"
LIST = "cell_base_stations_mapped-LTE.csv.gz"
"""File of the list, as it comes."""

CENTRE = (45.4642, 9.1900)
"""Latitude and longitude of the cathedral [deg]."""
FIRST_NODE, LAST_NODE = 21_500, 21_999
"""Numbers of the base stations of one operator: they stand in one block, and their cells are
numbered 1 to 6."""
SITES = 19
APART_M = 150.0
"""Least distance between sites [m]: nearer ones are one site whose position was guessed twice."""

TILT_DEG, OFF_BY_DEG, WRONG_SHARE = 11.0, -6.0, 0.1
_CELLS_PER_NODE = 256
_MOST_CELL = 6
_FEWEST_SITES = 3

Place = tuple[float, float]
"""Latitude and longitude [deg]."""


def unseen_city(path: Path, seed: int) -> Scenario:
    """Return central Milan as one operator's sites, with faults drawn from a seed.

    Args:
        path: The list, or the folder that it is in.
        seed: Draws which cells point too far up; also the seed to build the city with.

    Raises:
        NotFound: There is no such file.
        BadInput: It is not such a list.
    """
    file = path / LIST if path.is_dir() else path
    places = _chosen(_nodes(file), str(file))
    sites = _as_sites(places)
    rng = np.random.default_rng([seed, 2])
    tilt = np.full(sites.network.cells, TILT_DEG)
    wrong = rng.permutation(tilt.size)[: round(WRONG_SHARE * tilt.size)]
    tilt[wrong] += OFF_BY_DEG
    sites = replace(sites, electrical_tilt_deg=tilt)
    return Scenario(
        name=NAME,
        title=f"Central Milan, {len(places)} sites of one operator (OpenCellID): some wrong "
        "tilts, handovers that wait.",
        focus=("demand_satisfied_ratio", "ue_throughput_p5_mbps", "rlf_per_ue_min"),
        network=SiteListLayout(sites, str(file)),
        users_per_cell=14, hours=12.0, start_h=8.0, hot_spots=4, hot_spot_share=0.15,
        tilt_deg=TILT_DEG, a3_offset_db=3.0, hysteresis_db=0.0, time_to_trigger_s=0.32,
    )  # fmt: skip


def _nodes(file: Path) -> dict[int, Place]:
    """Return the mean position of every base station of the operator, by number."""
    text = io.StringIO(read_bounded(file).decode("utf-8", errors="replace"))
    cells: dict[int, Place] = {}
    for row in csv.DictReader(text):
        try:
            cell, place = int(row["bs_id"]), (float(row["lat"]), float(row["lng"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                place=str(file), expected="columns bs_id, lat and lng of OpenCellID",
                found=f"a row without them ({error})",
            ) from error  # fmt: skip
        if 1 <= cell % _CELLS_PER_NODE <= _MOST_CELL:
            cells[cell] = place
    nodes: defaultdict[int, list[Place]] = defaultdict(list)
    for cell, place in cells.items():
        if FIRST_NODE <= cell // _CELLS_PER_NODE <= LAST_NODE:
            nodes[cell // _CELLS_PER_NODE].append(place)
    return {
        node: (float(np.mean([lat for lat, _ in found])), float(np.mean([lon for _, lon in found])))
        for node, found in sorted(nodes.items())
    }


def _chosen(nodes: Mapping[int, Place], source: str) -> dict[int, Place]:
    """Return the base stations nearest to the centre that stand apart."""
    numbers = list(nodes)
    lat, lon = np.array([nodes[each] for each in numbers]).reshape(-1, 2).T
    x_m, y_m = local_xy(lat, lon, CENTRE)
    chosen: list[int] = []
    for index in np.argsort(np.hypot(x_m, y_m), kind="stable").tolist():
        apart = [np.hypot(x_m[index] - x_m[j], y_m[index] - y_m[j]) for j in chosen]
        if len(chosen) < SITES and min(apart, default=np.inf) >= APART_M:
            chosen.append(index)
    if len(chosen) < _FEWEST_SITES:
        raise BadInput(
            place=source, expected=f"base stations {FIRST_NODE} to {LAST_NODE} in Milan",
            found=f"{len(chosen)} of them",
        )  # fmt: skip
    return {numbers[index]: nodes[numbers[index]] for index in chosen}


def _as_sites(places: Mapping[int, Place]) -> RealSites:
    """Return base stations as the reader of site lists takes them."""
    rows: Sequence[str] = [f"{node},{lat:.6f},{lon:.6f},25,B3" for node, (lat, lon) in
                           places.items()]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{NAME}.csv"
        path.write_text("\n".join(["site,lat,lon,height,band", *rows, ""]), encoding="utf-8")
        listed = read_sites(path)
    return RealSites(listed.network, listed.electrical_tilt_deg, listed.tx_power_dbm)
