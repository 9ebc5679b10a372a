"""Networks from site lists and back: real sites on the map, with all that was assumed said.

A site list is delimited text or JSON with one row per site or per cell. Only latitude
and longitude must be there; what else is missing gets a default, and each default, with
the number of cells it was needed for, becomes a note.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from cellhive.adapters.files import disarmed, write_whole
from cellhive.adapters.sites.site_fields import load_rows
from cellhive.adapters.sites.site_rows import Rows, one_row_each, read_rows, refuse
from cellhive.adapters.sites.site_sectors import (
    BoundingBox,
    Sector,
    at_their_nodes,
    check_size,
    inside_box,
    make_sectors,
    middle,
)
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Floats, Network, Parameters
from cellhive.ran.layout import SiteDesign, lat_lon, local_xy
from cellhive.ran.parameters import DEFAULTS
from cellhive.ran.propagation import RESOURCE_BLOCKS

__all__ = ["SITE_COLUMNS", "BoundingBox", "SiteList", "read_sites", "write_sites"]

DEFAULT_HEIGHT_M = {"UMa": 25.0, "UMi": 10.0, "RMa": 35.0}
"""Antenna height of each scenario [m], TR 38.901 tables 7.2-1 and 7.2-3."""
MICRO_HEIGHT_M = 15.0
"""Antennas below this are taken for UMi [m]."""
MICRO_DISTANCE_M = 250.0
"""Sites nearer to one another than this are taken for UMi, if their height is not known [m]."""
RURAL_DISTANCE_M = 1500.0
"""Sites farther from one another than this are taken for RMa [m]."""
CROWDED_DISTANCE_M = 100.0
"""Sites of one operator are rarely nearer to one another than this [m]."""

SITE_COLUMNS = (
    "cell", "site", "latitude", "longitude", "azimuth_deg", "height_m", "power_dbm",
    "frequency_hz", "bandwidth_hz", "etilt_deg", "mtilt_deg", "environment",
    "coverage", "protected", "omni",
)  # fmt: skip
"""Columns of a site list that is written here, in order."""


@dataclass(frozen=True)
class SiteList:
    """A network read from a site list, and what was assumed on the way."""

    network: Network
    """Without neighbour relations; they follow from the radio map."""
    electrical_tilt_deg: Floats
    """Electrical downtilt of each cell as listed, or the default [deg], (C,)."""
    tx_power_dbm: Floats
    """Transmit power of each cell as listed, or the default [dBm], (C,)."""
    notes: tuple[str, ...]
    """What was merged, assumed or defaulted, and for how many rows."""
    findings: tuple[str, ...]
    """What is odd about the list, though it can be used."""


def read_sites(path: Path, *, bbox: BoundingBox | None = None) -> SiteList:
    """Return the network that a site list describes.

    Args:
        path: Delimited text (comma, semicolon, tab; gzip) with a header, or JSON.
        bbox: The part of the map to read; None means all of it.

    Raises:
        NotFound: There is no such file.
        BadInput: The list cannot be used; the message names file, rows and columns.
    """
    rows, notes = one_row_each(read_rows(load_rows(path)))
    rows, moved = at_their_nodes(rows)
    if bbox is not None:
        rows = inside_box(rows, bbox)
    sectors, made = make_sectors(rows)
    notes += moved + made
    check_size(sectors, rows.table.place)
    origin = middle(sectors)
    x_m, y_m = local_xy(
        np.array([sector.row.lat for sector in sectors]),
        np.array([sector.row.lon for sector in sectors]),
        origin,
    )
    distance_m = _site_distance_m(x_m, y_m)
    environment = _environment(sectors, distance_m, notes)
    carrier_hz = _carrier_hz(sectors, notes)
    network = Network(
        name=path.name.partition(".")[0],
        cell_ids=tuple(sector.cell for sector in sectors),
        site_ids=tuple(sector.site for sector in sectors),
        x_m=x_m,
        y_m=y_m,
        height_m=_height_m(sectors, environment, notes),
        azimuth_deg=np.array([sector.azimuth_deg for sector in sectors]),
        mechanical_tilt_deg=_listed(sectors, "mechanical_tilt", 0.0, "deg", notes),
        carrier_hz=carrier_hz,
        bandwidth_hz=_bandwidth_hz(sectors, rows, notes),
        environment=tuple(environment),
        coverage_cell=_coverage(sectors, carrier_hz, notes),
        protected=np.array([bool(sector.row.flags.get("protected")) for sector in sectors]),
        relation_source=np.zeros(0, np.int32),
        relation_target=np.zeros(0, np.int32),
        origin_lat_deg=origin[0],
        origin_lon_deg=origin[1],
        omnidirectional=np.array([sector.omni for sector in sectors]),
    )
    tilt_deg = _electrical_tilt_deg(sectors, notes)
    power_dbm = _tx_power_dbm(sectors, rows, notes)
    notes += _unused(rows)
    return SiteList(
        network, tilt_deg, power_dbm, tuple(notes), tuple(_findings(network, distance_m))
    )


def write_sites(network: Network, path: Path, parameters: Parameters | None = None) -> None:
    """Write a network as a site list that ``read_sites`` reads back.

    Args:
        network: The network; its neighbour relations are not written.
        path: Where to; written whole or not at all.
        parameters: Gives power and electrical tilt; None leaves these columns out.

    Raises:
        BadInput: The path cannot be written.
    """
    lat, lon = lat_lon(network.x_m, network.y_m, (network.origin_lat_deg, network.origin_lon_deg))
    omni = network.omnidirectional
    left_out = set() if parameters is not None else {"power_dbm", "etilt_deg"}
    columns: dict[str, list[str]] = {
        "cell": [disarmed(name) for name in network.cell_ids],
        "site": [disarmed(name) for name in network.site_ids],
        "latitude": _written(lat),
        "longitude": _written(lon),
        "azimuth_deg": _written(network.azimuth_deg),
        "height_m": _written(network.height_m),
        "power_dbm": _written(parameters.tx_power_dbm) if parameters else [],
        "frequency_hz": _written(network.carrier_hz),
        "bandwidth_hz": _written(network.bandwidth_hz),
        "etilt_deg": _written(parameters.electrical_tilt_deg) if parameters else [],
        "mtilt_deg": _written(network.mechanical_tilt_deg),
        "environment": list(network.environment),
        "coverage": _yes_or_no(network.coverage_cell.tolist()),
        "protected": _yes_or_no(network.protected.tolist()),
        "omni": _yes_or_no([False] * network.cells if omni is None else omni.tolist()),
    }
    names = [name for name in SITE_COLUMNS if name not in left_out]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows(zip(*(columns[name] for name in names), strict=True))
    write_whole(path, text.getvalue().encode("utf-8"))


def _written(values: Floats) -> list[str]:
    return [repr(value) for value in values.tolist()]


def _yes_or_no(values: list[bool]) -> list[str]:
    return ["yes" if value else "no" for value in values]


# --------------------------------------------------------------------- what is not listed


def _listed(
    sectors: list[Sector], field: str, default: float, unit: str, notes: list[str]
) -> Floats:
    """Return a field of each cell, with the default where the list has none, and say so."""
    values = np.array([sector.row.numbers.get(field, math.nan) for sector in sectors])
    return _filled(values, np.full(len(sectors), default), field, f"{default:g} {unit}", notes)


def _filled(values: Floats, defaults: Floats, field: str, said: str, notes: list[str]) -> Floats:
    missing = np.isnan(values)
    if missing.any():
        name = field.replace("_", " ")
        notes.append(f"{name}: {_share(int(missing.sum()), len(values))} without; {said} assumed")
    return np.where(missing, defaults, values)


def _share(count: int, total: int) -> str:
    return f"all {total:,} cells" if count == total else f"{count:,} of {total:,} cells"


def _site_distance_m(x_m: Floats, y_m: Floats) -> Floats:
    """Return the mean distance to the three nearest other sites [m], (C,); NaN for one site."""
    points, of_cell = np.unique(np.stack([x_m, y_m], axis=1).round(), axis=0, return_inverse=True)
    others = min(3, len(points) - 1)
    if others == 0:
        return np.full(x_m.size, np.nan)
    distance = np.asarray(cKDTree(points).query(points, k=others + 1)[0])
    mean: Floats = distance[:, 1:].mean(axis=1)
    return mean[of_cell.reshape(-1)]


def _environment(sectors: list[Sector], distance_m: Floats, notes: list[str]) -> list[str]:
    """Return the scenario of each cell: as listed, else from antenna height and site distance."""
    result = []
    assumed: Counter[str] = Counter()
    for sector, apart_m in zip(sectors, distance_m.tolist(), strict=True):
        name = sector.row.environment or _likely_environment(sector, apart_m)
        result.append(name)
        if not sector.row.environment:
            assumed[name] += 1
    if assumed:
        counts = ", ".join(f"{name} for {count:,} cells" for name, count in assumed.most_common())
        notes.append(
            f"environment: {_share(assumed.total(), len(sectors))} without; from antenna height "
            f"and distance of the nearest sites (median {np.nanmedian(distance_m):.0f} m): {counts}"
            if np.isfinite(distance_m).any()
            else f"environment: {_share(assumed.total(), len(sectors))} without; {counts}"
        )
    return result


def _likely_environment(sector: Sector, distance_m: float) -> str:
    height_m = sector.row.numbers.get("height", math.nan)
    if height_m < MICRO_HEIGHT_M or (math.isnan(height_m) and distance_m < MICRO_DISTANCE_M):
        return "UMi"
    return "RMa" if distance_m > RURAL_DISTANCE_M else "UMa"


def _height_m(sectors: list[Sector], environment: list[str], notes: list[str]) -> Floats:
    """Return antenna heights: as listed, else those of the scenario."""
    values = np.array([sector.row.numbers.get("height", math.nan) for sector in sectors])
    defaults = np.array([DEFAULT_HEIGHT_M[name] for name in environment])
    said = ", ".join(f"{DEFAULT_HEIGHT_M[name]:g} m in {name}" for name in sorted(set(environment)))
    return _filled(values, defaults, "height", said, notes)


def _carrier_hz(sectors: list[Sector], notes: list[str]) -> Floats:
    values = np.array([sector.row.carrier_hz for sector in sectors])
    default = SiteDesign().carrier_hz
    defaults = np.full(len(sectors), default)
    return _filled(values, defaults, "carrier", f"{default / 1e9:g} GHz", notes)


def _bandwidth_hz(sectors: list[Sector], rows: Rows, notes: list[str]) -> Floats:
    """Return channel bandwidths; the file counts MHz unless its header says otherwise."""
    column = rows.columns.get("bandwidth")
    scale = {"hz": 1.0, "khz": 1e3, "ghz": 1e9}.get(column.unit if column else "", 1e6)
    given = np.array([sector.row.numbers.get("bandwidth", math.nan) for sector in sectors]) * scale
    problems = [
        f"{rows.table.counted} {sector.row.line}: {value / 1e6:g} MHz"
        for sector, value in zip(sectors, given.tolist(), strict=True)
        if not math.isnan(value) and not _is_channel(value)
    ]
    known = ", ".join(map(str, RESOURCE_BLOCKS))
    refuse(problems, rows.table, f"channel bandwidths of {known} MHz")
    default = SiteDesign().bandwidth_hz
    defaults = np.full(len(sectors), default)
    return _filled(given, defaults, "bandwidth", f"{default / 1e6:g} MHz", notes)


def _is_channel(bandwidth_hz: float) -> bool:
    whole_mhz = round(bandwidth_hz / 1e6)
    return whole_mhz in RESOURCE_BLOCKS and abs(bandwidth_hz - whole_mhz * 1e6) <= 1.0


def _coverage(sectors: list[Sector], carrier_hz: Floats, notes: list[str]) -> npt.NDArray[np.bool_]:
    """Return which cells carry basic coverage: as listed, else the lowest carrier of a site."""
    lowest: dict[str, float] = {}
    for sector, hz in zip(sectors, carrier_hz.tolist(), strict=True):
        lowest[sector.site] = min(hz, lowest.get(sector.site, hz))
    listed = [sector.row.flags.get("coverage") for sector in sectors]
    likely = [
        hz == lowest[sector.site] for sector, hz in zip(sectors, carrier_hz.tolist(), strict=True)
    ]
    unknown = [guess for flag, guess in zip(listed, likely, strict=True) if flag is None]
    if unknown:
        notes.append(
            f"coverage cells: {_share(len(unknown), len(sectors))} without; {sum(unknown):,} on "
            "the lowest carrier of their site taken for coverage, which never sleeps"
        )
    return np.array(
        [guess if flag is None else flag for flag, guess in zip(listed, likely, strict=True)]
    )


def _electrical_tilt_deg(sectors: list[Sector], notes: list[str]) -> Floats:
    """Return electrical tilts; a tilt that is not said to be either is taken for electrical."""
    electrical = np.array([s.row.numbers.get("electrical_tilt", math.nan) for s in sectors])
    either = np.array([s.row.numbers.get("tilt", math.nan) for s in sectors])
    taken = np.isnan(electrical) & ~np.isnan(either)
    if taken.any():
        notes.append(f"tilt: taken for electrical tilt in {_share(int(taken.sum()), len(sectors))}")
    default = DEFAULTS["electrical_tilt_deg"]
    values = np.where(taken, either, electrical)
    defaults = np.full(len(sectors), default)
    return _filled(values, defaults, "electrical_tilt", f"{default:g} deg", notes)


def _tx_power_dbm(sectors: list[Sector], rows: Rows, notes: list[str]) -> Floats:
    """Return transmit powers [dBm], from dBm, W or mW as header or size say."""
    values = np.array([sector.row.numbers.get("power", math.nan) for sector in sectors])
    default = DEFAULTS["tx_power_dbm"]
    if not np.isnan(values).all():
        values = _as_dbm(values, sectors, rows, notes)
    defaults = np.full(len(sectors), default)
    return _filled(values, defaults, "power", f"{default:g} dBm", notes)


def _as_dbm(values: Floats, sectors: list[Sector], rows: Rows, notes: list[str]) -> Floats:
    unit = rows.columns["power"].unit
    highest_dbm = QUANTITIES["tx_power_dbm"].high
    if unit not in {"dbm", "w", "watt", "watts", "mw"}:
        likely_dbm = (np.nanmedian(values) >= 30.0) & (np.nanmax(values) <= highest_dbm)  # noqa: PLR2004 - 30 dBm is 1 W
        unit = "dbm" if likely_dbm else "w"
        notes.append(
            f"power: header {rows.columns['power'].header!r} names no unit; values from "
            f"{np.nanmin(values):g} to {np.nanmax(values):g} were taken for "
            f"{'dBm' if unit == 'dbm' else 'W'}"
        )
    if unit != "dbm":
        watts = values / 1e3 if unit == "mw" else values
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(watts > 0, 30.0 + 10.0 * np.log10(watts), -np.inf)
        values = np.where(np.isnan(watts), np.nan, _near_half_db(values))
    problems = [
        f"{rows.table.counted} {sector.row.line}: {sector.row.numbers['power']:g}"
        for sector, dbm in zip(sectors, values.tolist(), strict=True)
        if not math.isnan(dbm) and not 0.0 <= dbm <= highest_dbm
    ]
    refuse(problems, rows.table, f"transmit powers from 0 to {highest_dbm:g} dBm (not EIRP)")
    return values


def _near_half_db(values_dbm: Floats) -> Floats:
    """Return powers on the 0.5 dB grid where they are nearly on it: 40 W is 46 dBm."""
    with np.errstate(invalid="ignore"):
        on_grid = np.round(values_dbm * 2) / 2
        return np.where(np.abs(values_dbm - on_grid) <= 0.05, on_grid, values_dbm)  # noqa: PLR2004


def _unused(rows: Rows) -> list[str]:
    """Say which columns of the file were not read."""
    used = {column.index for column in rows.columns.values()}
    left = [name for index, name in enumerate(rows.table.header) if index not in used and name]
    return [f"columns not read: {', '.join(left)}"[:300]] if left else []


def _findings(network: Network, distance_m: Floats) -> list[str]:
    """Return what is odd about a network that can be used all the same."""
    findings = []
    if np.median(distance_m) < CROWDED_DISTANCE_M:
        findings.append(
            f"sites are {np.median(distance_m):.0f} m apart at the median; the list may hold "
            "several operators, whose cells would all interfere with one another here"
        )
    masts: dict[tuple[int, int], set[str]] = {}
    for x, y, site in zip(
        network.x_m.tolist(), network.y_m.tolist(), network.site_ids, strict=True
    ):
        masts.setdefault((round(x / 5), round(y / 5)), set()).add(site)
    crowded = [sites for sites in masts.values() if len(sites) > 1]
    if crowded:
        example = ", ".join(sorted(crowded[0])[:3])
        findings.append(f"{len(crowded):,} points with several sites within 5 m, such as {example}")
    twins = Counter(
        zip(network.site_ids, network.azimuth_deg.tolist(), network.carrier_hz.tolist(),
            strict=True)
    )  # fmt: skip
    same = sum(count > 1 for count in twins.values())
    if same:
        findings.append(f"{same:,} groups of cells share site, azimuth and carrier")
    high = int((network.height_m > 150.0).sum())  # noqa: PLR2004 - beyond TR 38.901's masts
    if high:
        findings.append(f"{high:,} antennas are higher than 150 m, beyond the models of TR 38.901")
    return findings
