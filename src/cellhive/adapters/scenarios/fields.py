"""What a scenario file may say: every key with its unit, its range and what it is for.

Defaults are those of ``ran.scenarios`` and are not repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass

from cellhive.adapters.scenarios.tree import Twig
from cellhive.core.schema import QUANTITIES

VERSION = 1
"""Version of the form."""


@dataclass(frozen=True)
class Number:
    """A number within limits."""

    low: float
    high: float
    unit: str
    """As a reader says it; empty for shares and counts."""
    meaning: str
    whole: bool = False
    grid: tuple[float, ...] = ()
    """The only values there are, where they are few."""

    @property
    def expected(self) -> str:
        """What is expected, in words."""
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:g} to {self.high:g} {self.unit}".rstrip()

    def read(self, twig: Twig) -> float:
        """Return the value, or raise where it is not one of those expected."""
        value = twig.number(self.expected)
        if not self.low <= value <= self.high or (self.whole and value != int(value)):
            raise twig.wrong(expected=self.expected)
        if self.grid and all(abs(value - point) > 1e-9 for point in self.grid):  # noqa: PLR2004
            low, high = self._around(value)
            expected = f"a value that TS 38.331 knows, in {self.unit}"
            raise twig.wrong(expected=expected, remedy=f"the nearest are {low:g} and {high:g}")
        return value

    def _around(self, value: float) -> tuple[float, float]:
        """Return the grid points below and above a value."""
        below = [point for point in self.grid if point < value]
        above = [point for point in self.grid if point > value]
        return below[-1], above[0]


@dataclass(frozen=True)
class Span:
    """Two numbers, the first not above the second."""

    each: Number

    @property
    def meaning(self) -> str:
        """What it is for."""
        return self.each.meaning

    @property
    def expected(self) -> str:
        """What is expected, in words."""
        return f"[smallest, largest], each {self.each.expected}"

    def read(self, twig: Twig) -> tuple[float, float]:
        """Return both numbers."""
        values = [self.each.read(item) for item in twig.items(self.expected)]
        if len(values) != 2 or values[0] > values[1]:  # noqa: PLR2004
            raise twig.wrong(expected=self.expected, found=str([f"{value:g}" for value in values]))
        return values[0], values[1]


@dataclass(frozen=True)
class Word:
    """A text, one of a few where there are a few."""

    meaning: str
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What is expected, in words."""
        return f"one of {', '.join(self.choices)}" if self.choices else "a text"

    def read(self, twig: Twig) -> str:
        """Return the text."""
        text = twig.text(self.expected)
        if self.choices and text not in self.choices:
            raise twig.wrong(expected=self.expected)
        return text


Field = Number | Span | Word
Fields = dict[str, Field]
Values = dict[str, float | tuple[float, float] | str]


def share(meaning: str) -> Number:
    """Return a share from 0 to 1."""
    return Number(0, 1, "", meaning)


def parameter(name: str) -> Number:
    """Return a parameter of a cell, as the registry has it."""
    known = QUANTITIES[name]
    grid = () if name == "electrical_tilt_deg" else known.grid
    return Number(known.low, known.high, known.unit, known.description, grid=grid)


_DESIGN: Fields = {
    "carrier_mhz": Number(500, 7125, "MHz", "Centre frequency of the coverage layer."),
    "bandwidth_mhz": Number(5, 100, "MHz", "Channel bandwidth of the coverage layer."),
    "height_m": Number(3, 150, "m", "Antenna height above ground."),
    "environment": Word("Path loss of TR 38.901.", ("UMa", "UMi", "RMa")),
    "mechanical_tilt_deg": Number(-10, 20, "deg", "Mechanical downtilt of every antenna."),
    "capacity_carrier_mhz": Number(
        500, 7125, "MHz", "Centre frequency of a second layer at the same masts, which may sleep."
    ),
    "capacity_bandwidth_mhz": Number(5, 100, "MHz", "Channel bandwidth of that layer."),
}

LAYOUTS: dict[str, Fields] = {
    "hex": {
        "sites": Number(
            1, 127, "sites", "Sites, ring by ring; 1, 7, 19, 37 are whole rings.", whole=True
        ),
        "inter_site_distance_m": Number(50, 20000, "m", "Distance between neighbouring sites."),
        **_DESIGN,
    },
    "highway": {
        "sites": Number(1, 100, "sites", "Sites along the road.", whole=True),
        "spacing_m": Number(100, 20000, "m", "Distance between sites along the road."),
        **_DESIGN,
    },
    "sites": {
        "file": Word("Site list, beside the scenario file; see cellhive run --sites."),
        "bbox": Word("Part of the list: min_lon,min_lat,max_lon,max_lat."),
    },
}
"""Keys of ``layout``, besides ``kind``."""

LAYOUT_REQUIRES = {
    "hex": ("sites", "inter_site_distance_m", "carrier_mhz"),
    "highway": ("sites", "spacing_m", "carrier_mhz"),
    "sites": ("file",),
}

TIME: Fields = {
    "start_h": Number(0, 24, "h", "Time of day at which it starts."),
    "duration_h": Number(0.25, 336, "h", "How long it runs unless told otherwise."),
}

USERS: Fields = {
    "per_cell": Number(0.1, 200, "users", "Users per cell, in a session or not."),
    "near_sites_share": share(
        "Share of users outside hot spots whose homes scatter around the sites; the others "
        "live anywhere alike."
    ),
    "indoor_share": share("Users indoors, who do not move."),
    "pedestrian_share": share("Users on foot."),
    "street_share": share("Users in cars on the street grid."),
    "highway_share": share("Users in cars on the highway."),
    "pedestrian_m_s": Number(0.1, 4, "m/s", "Speed on foot."),
    "street_m_s": Span(Number(0.5, 40, "m/s", "Slowest and fastest car in the streets.")),
    "highway_m_s": Span(Number(0.5, 100, "m/s", "Slowest and fastest car on the highway.")),
    "indoor_loss_mean_db": Number(0, 60, "dB", "Mean loss of the walls."),
    "indoor_loss_sigma_db": Number(0, 20, "dB", "Scatter of the loss of the walls."),
    "car_loss_mean_db": Number(0, 30, "dB", "Mean loss of a car body."),
    "car_loss_sigma_db": Number(0, 15, "dB", "Scatter of the loss of a car body."),
}

KINDS = ("indoor_share", "pedestrian_share", "street_share", "highway_share")
"""Shares that add up to one; give all four or none."""

HOT_SPOTS: Fields = {
    "count": Number(1, 127, "hot spots", "Places where users gather, each near another site.",
                    whole=True),
    "user_share": share("Share of all users that belong to hot spots."),
    "radius_m": Number(5, 5000, "m", "Scatter of their homes around the place."),
}  # fmt: skip

TRAFFIC: Fields = {
    "peak_session_share": Number(
        0.01, 0.95, "", "Share of users in a session in the busiest hour."
    ),
    "best_effort_mbps": Number(0.01, 1000, "Mbit/s", "Rate that a best-effort user can use."),
    "gbr_mbps": Number(0.01, 100, "Mbit/s", "Guaranteed rate of a GBR user."),
    "gbr_share": share("Share of sessions with a guaranteed rate."),
    "mean_session_s": Number(1, 3600, "s", "Mean length of a session."),
    "mean_pause_s": Number(1, 3600, "s", "Mean time between sessions at activity 1."),
}

CURVES = ("urban", "flat")
"""Daily curves with a name; others are lists of points."""
CURVE_POINT = (
    Number(0, 24, "h", "Hour of the day."),
    Number(0, 1, "", "Share of the busiest hour."),
)

EVENT: Fields = {
    "start_h": Number(0, 24, "h", "Time of day at which it starts."),
    "end_h": Number(0, 48, "h", "Time of day at which it ends; above 24 on the next day."),
    "factor": Number(0, 100, "", "By how much the share of hot spot users in a session grows."),
}

PARAMETERS: Fields = {
    "electrical_tilt_deg": parameter("electrical_tilt_deg"),
    "a3_offset_db": parameter("a3_offset_db"),
    "hysteresis_db": parameter("hysteresis_db"),
    "time_to_trigger_s": parameter("time_to_trigger_s"),
    "capacity_offset_db": Number(
        -24, 24, "dB", "Preference for the capacity layer in cell selection and event A3."
    ),
}

FAULTS: dict[str, Fields] = {
    "tilt": {
        "cell_share": share("Share of cells with this fault."),
        "off_by_deg": Number(-15, 15, "deg", "Added to the tilt; negative is too far up."),
    },
    "a3": {
        "cell_share": share("Share of cells with this fault."),
        "off_by_db": Number(-15, 15, "dB", "Added to the A3 offset; positive is too late."),
    },
}

SEEDS = Span(Number(0, 2**32 - 1, "", "First and last seed.", whole=True))
SPLITS = ("train", "validation", "test")

SECTIONS: dict[str, Fields] = {
    "time": TIME,
    "users": USERS,
    "hot_spots": HOT_SPOTS,
    "traffic": TRAFFIC,
    "parameters": PARAMETERS,
}
"""Sections that are plain lists of keys."""

TOP = (
    "version", "name", "title", "focus", "layout", "time", "users", "hot_spots", "traffic",
    "events", "parameters", "faults", "splits",
)  # fmt: skip
REQUIRED = ("version", "name", "title", "focus", "layout", "users")


def read_fields(twig: Twig, fields: Fields, required: tuple[str, ...] = ()) -> Values:
    """Return the values of a section that are given."""
    return {name: fields[name].read(value)
            for name, value in twig.branches(tuple(fields), required).items()}  # fmt: skip
