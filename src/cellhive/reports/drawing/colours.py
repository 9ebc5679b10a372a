"""Colour scales for maps: perceptual from low to high, and diverging around no change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellhive.core.canvas import VIRIDIS, coloured
from cellhive.core.types import Floats
from cellhive.reports.drawing.scales import nice_limits

Bytes = npt.NDArray[np.uint8]

_DIVERGING = (
    (150, 56, 10), (205, 102, 47), (240, 176, 136), (233, 234, 235),
    (146, 195, 222), (55, 131, 186), (9, 76, 133),
)  # fmt: skip
"""Orange over grey to blue: worse, no change, better; told apart by every common colour vision."""


@dataclass(frozen=True, slots=True)
class ColourScale:
    """Maps values to colours between two limits."""

    low: float
    high: float
    diverging: bool = False
    """Whether the middle is "no change"."""
    reverse: bool = False
    """Whether high values take the colours of low ones: for KPIs where lower is better."""

    def rgb(self, values: npt.ArrayLike) -> Bytes:
        """Return colours, shape of ``values`` plus (3,); values beyond the limits take the ends."""
        share = (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)
        share = np.nan_to_num(np.clip(share, 0.0, 1.0))
        if self.reverse:
            share = 1.0 - share
        return coloured(share, _DIVERGING if self.diverging else VIRIDIS)

    def hex(self, value: float) -> str:
        """Return one colour as "#rrggbb"."""
        red, green, blue = self.rgb(value).tolist()
        return f"#{red:02x}{green:02x}{blue:02x}"


def scale_for(*groups: npt.ArrayLike, better: str = "", robust: bool = False) -> ColourScale:
    """Return a sequential scale that fits all groups of values, so that maps can be compared.

    Args:
        *groups: Values that share the scale; NaN is left out.
        better: "lower" turns the scale round, so that bright is always good.
        robust: Leave the outermost 2 % on either side to the end colours.
    """
    known = _known(groups)
    if not known.size:
        return ColourScale(0.0, 1.0)
    if robust:
        low, high = (float(v) for v in np.percentile(known, [2, 98]))
    else:
        low, high = float(known.min()), float(known.max())
    low, high = nice_limits(low, high)
    return ColourScale(low, high, reverse=better == "lower")


def change_scale(values: npt.ArrayLike, *, better: str = "", robust: bool = False) -> ColourScale:
    """Return a diverging scale around zero that fits changes; blue is better, orange worse."""
    known = np.abs(_known([values]))
    size = float(np.percentile(known, 98) if robust else known.max()) if known.size else 0.0
    limit = nice_limits(0.0, size)[1] if size > 0 and math.isfinite(size) else 1.0
    return ColourScale(-limit, limit, diverging=True, reverse=better == "lower")


def _known(groups: Sequence[npt.ArrayLike]) -> Floats:
    parts = [np.asarray(group, dtype=np.float64).ravel() for group in groups]
    values = np.concatenate(parts) if parts else np.zeros(0)
    return values[np.isfinite(values)]
