"""Pictures as arrays: colours for values, and the few shapes that a map needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Bools, Floats

Picture = npt.NDArray[np.uint8]
"""Red, green and blue, (rows, columns, 3), first row on top."""

VIRIDIS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip
"""Anchors of the viridis colour map (CC0, van der Walt and Smith)."""

NIGHT = ((10, 12, 24), (15, 27, 48), (20, 50, 76), (34, 84, 102), (74, 128, 124))
"""Near black over blue to a muted green: a ground on which other things stand out."""

HEAT = ((52, 120, 200), (90, 190, 190), (240, 220, 110), (240, 140, 50), (220, 40, 50))
"""Blue over yellow to red: from idle to overloaded."""


def coloured(share: npt.ArrayLike, anchors: tuple[tuple[int, int, int], ...]) -> Picture:
    """Return colours between anchors, shape of ``share`` plus (3,); NaN takes the first.

    Args:
        share: 0 to 1; values beyond take the ends.
        anchors: Colours at equal distances.
    """
    values = np.nan_to_num(np.clip(np.asarray(share, np.float64), 0.0, 1.0))
    place = np.arange(len(anchors)) / (len(anchors) - 1)
    table = np.array(anchors, np.float64)
    parts = [np.interp(values, place, table[:, channel]) for channel in range(3)]
    return np.stack(parts, axis=-1).round().astype(np.uint8)


def wedge_mask(
    rows: Floats, columns: Floats, radii: tuple[float, float], bearing_rad: float, half_rad: float
) -> Bools:
    """Return which pixels lie in a ring sector around the origin.

    Args:
        rows: Pixels below the origin of each place.
        columns: Pixels right of it.
        radii: Inner and outer radius [pixels].
        bearing_rad: Middle, clockwise from up.
        half_rad: Half the angle.
    """
    distance = np.hypot(rows, columns)
    away = np.arctan2(columns, -rows) - bearing_rad
    away = np.abs((away + np.pi) % (2 * np.pi) - np.pi)
    inside: Bools = (distance >= radii[0]) & (distance <= radii[1]) & (away <= half_rad)
    return inside


def stamp(picture: Picture, rows: Floats, columns: Floats, radius: float, colour: Picture) -> None:
    """Draw filled discs, in place.

    Args:
        picture: Drawn on.
        rows: Centres, (N,).
        columns: Centres, (N,).
        radius: In pixels.
        colour: One colour, (3,), or one per disc, (N, 3).
    """
    reach = int(np.ceil(radius))
    colours = np.broadcast_to(colour, (rows.size, 3))
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if np.hypot(down, right) > radius:
                continue
            r, c = np.rint(rows).astype(int) + down, np.rint(columns).astype(int) + right
            ok = (r >= 0) & (r < picture.shape[0]) & (c >= 0) & (c < picture.shape[1])
            picture[r[ok], c[ok]] = colours[ok]
