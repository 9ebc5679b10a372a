"""The way of a drive is drawn so that it can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from cellhive.core.types import Floats
from cellhive.flows.drives.survey import Survey
from cellhive.reports.drive.track import track_picture


@dataclass
class Way:
    """The part of a survey that is drawn."""

    track: tuple[Floats, Floats, Floats]


def drawn(north_m: Floats) -> str:
    """Return the picture of samples along a meridian."""
    lat = 25.0 + np.asarray(north_m) / 111_195.0
    way = Way((lat, np.full(lat.size, 121.5), np.full(lat.size, -80.0)))
    return track_picture(cast(Survey, way))


def test_one_wrong_fix_does_not_shrink_the_way() -> None:
    """100 samples over a kilometre and one 300 km off: the kilometre fills the picture."""
    line = np.linspace(0.0, 1000.0, 100)
    picture = drawn(np.append(line, 300_000.0))
    assert picture.count('r="2.6"') == 100
    assert "1 far away, not drawn" in picture
    assert "far away" not in drawn(line)


def test_who_stood_still_has_no_way() -> None:
    """A phone on a desk moves by the noise of its position only."""
    assert drawn(np.array([0.0, 3.0, 1.0])) == ""
    assert drawn(np.zeros(0)) == ""
