"""The map of an analysis: where its objects stand, coloured by their incidents or by a KPI."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.audit.configuration import Configuration
from cellhive.diagnose.positions import Position
from cellhive.flows.analyse import Analysis
from cellhive.ran.layout import local_xy
from cellhive.reports.analysis import words
from cellhive.reports.drawing.colours import ColourScale
from cellhive.reports.drawing.scales import nice_limits
from cellhive.reports.map import Overlay, network_map
from cellhive.reports.page import safe_svg

MOST_PLACED = 3000
"""Objects on a map: more are too small to be seen."""
FAR_AWAY = 30.0
"""Distance from the middle, in median distances, beyond which a position is left off the map."""
SHADES = 24
_SHORTEST_NAME = 3


@dataclass(frozen=True)
class Placed:
    """Objects on a plane, as a map needs them."""

    cell_ids: tuple[str, ...]
    site_ids: tuple[str, ...]
    x_m: Floats
    y_m: Floats
    azimuth_deg: Floats
    omnidirectional: Bools | None = None

    @property
    def cells(self) -> int:
        """Number of objects."""
        return len(self.cell_ids)


@dataclass(frozen=True)
class NetworkMap:
    """A map and what the script needs to colour it anew."""

    chart: Markup
    cells: tuple[int, ...]
    """Index of each drawn object among the objects of the page."""
    palettes: dict[str, list[str]]
    """Colours from low to high: "lower" and "higher" is better, "" where neither is."""
    notes: list[str]


def positions(analysis: Analysis, conf: Configuration | None) -> dict[str, Position]:
    """Return where the objects of an analysis stand: its own columns first, then the sites."""
    found: dict[str, Position] = {}
    names = {name for part in analysis.parts for name in part.objects}
    if conf is not None:
        for index in np.flatnonzero(conf.located):
            name = conf.cell_ids[index]
            if name in names:
                found[name] = Position(
                    name, float(conf.latitude_deg[index]), float(conf.longitude_deg[index]),
                    float(conf.azimuth_deg[index]),
                )  # fmt: skip
    for part in analysis.parts:
        for one in part.positions:
            if one.object not in found:
                found[one.object] = one
    return found


def map_of(
    analysis: Analysis, names: Sequence[str], conf: Configuration | None = None
) -> NetworkMap | None:
    """Return the map of an analysis, or None where nothing says where objects stand.

    Args:
        analysis: The analysis.
        names: Objects of the page, those with most trouble first.
        conf: Sites and cells that were read along with it.
    """
    where = positions(analysis, conf)
    index = {name: i for i, name in enumerate(names)}
    stated = [where[name] for name in names if name in where]
    known = stated[:MOST_PLACED]
    kept = _near(known)
    if not kept:
        return None
    placed, guessed = _placed(kept)
    changes = dict.fromkeys(names, 0)
    for incident in analysis.search.incidents:
        for name in incident.objects:
            if name in changes and incident.effect in {"worse", "mixed"}:
                changes[name] += 1
    counts = np.array([changes[name] for name in placed.cell_ids], dtype=np.float64)
    scale = ColourScale(
        0.0, nice_limits(0.0, max(float(counts.max()), 1.0))[1], diverging=True, reverse=True
    )
    shown = _cleaned(placed)
    chart = network_map(
        shown, counts, title="Changes for the worse", scale=scale, overlay=Overlay(width=960)
    )
    return NetworkMap(
        safe_svg(chart), tuple(index[name] for name in placed.cell_ids), _palettes(),
        _notes(kept, known, (len(stated), len(names)), guessed=guessed),
    )  # fmt: skip


def _notes(
    kept: Sequence[Position], known: Sequence[Position], counts: tuple[int, int], *, guessed: bool
) -> list[str]:
    notes = []
    stated, every = counts
    if stated < every:
        notes.append(f"{stated} of {every} objects have a position.")
    if len(known) < stated:
        notes.append(
            f"The first {len(known)} of these {stated} are drawn, those with most trouble first."
        )
    if len(kept) < len(known):
        far = len(known) - len(kept)
        notes.append(f"{far} so far away from the others that they are not drawn.")
    if guessed:
        notes.append(
            "Where no bearing is stated, the objects of one place are drawn side by side: the "
            "directions mean nothing."
        )
    return notes


def _palettes() -> dict[str, list[str]]:
    shares = [(i + 0.5) / SHADES for i in range(SHADES)]
    scales = {
        "lower": ColourScale(0.0, 1.0, diverging=True, reverse=True),
        "higher": ColourScale(0.0, 1.0, diverging=True),
        "": ColourScale(0.0, 1.0),
    }
    return {name: [scale.hex(share) for share in shares] for name, scale in scales.items()}


def _near(known: Sequence[Position]) -> list[Position]:
    """Return positions without those that lie so far off that nothing else could be seen."""
    if len(known) < 3:  # noqa: PLR2004  # of two, either could be the wrong one
        return list(known)
    lat = np.array([one.latitude_deg for one in known])
    lon = np.array([one.longitude_deg for one in known])
    origin = (float(np.median(lat)), float(np.median(lon)))
    x, y = local_xy(lat, lon, origin)
    far = np.hypot(x - np.median(x), y - np.median(y))
    limit = FAR_AWAY * max(float(np.median(far)), 100.0)
    return [one for one, distance in zip(known, far.tolist(), strict=True) if distance <= limit]


def _placed(known: Sequence[Position]) -> tuple[Placed, bool]:
    """Return positions on a plane, and whether bearings had to be made up."""
    lat = np.array([one.latitude_deg for one in known])
    lon = np.array([one.longitude_deg for one in known])
    x, y = local_xy(lat, lon, (float(np.median(lat)), float(lon[0])))
    azimuth = np.array([one.azimuth_deg for one in known])
    places: dict[tuple[float, float], list[int]] = {}
    for i, one in enumerate(known):
        key = (round(one.latitude_deg, 5), round(one.longitude_deg, 5))
        places.setdefault(key, []).append(i)
    site_ids = [""] * len(known)
    omni = np.zeros(len(known), dtype=np.bool_)
    guessed = False
    for members in places.values():
        name = _common([known[i].object for i in members])
        unknown = [i for i in members if not math.isfinite(azimuth[i])]
        guessed |= len(unknown) > 1
        for turn, i in enumerate(unknown):
            azimuth[i] = 360.0 * turn / len(unknown)
            omni[i] = len(unknown) == 1
        for i in members:
            site_ids[i] = name
    return Placed(
        tuple(one.object for one in known), tuple(site_ids), np.asarray(x), np.asarray(y),
        azimuth, omni,
    ), guessed  # fmt: skip


def _common(names: Sequence[str]) -> str:
    """Return what the names of the objects of one place have in common, or the first."""
    low, high = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    prefix = low[:same].rstrip("-_/ .:")
    return prefix if len(prefix) >= _SHORTEST_NAME else names[0]


def _cleaned(placed: Placed) -> Placed:
    return Placed(
        tuple(words.clean(name) for name in placed.cell_ids),
        tuple(words.clean(name) for name in placed.site_ids),
        placed.x_m, placed.y_m, placed.azimuth_deg, placed.omnidirectional,
    )  # fmt: skip
