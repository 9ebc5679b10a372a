"""The large-scale calibration of TR 38.901 §7.8.1 on the twin's own radio formulas.

Path loss, line of sight, shadowing, entry into buildings, antennas and noise are the
functions the twin runs on. What differs from a run of the twin: line of sight is there or
not, as in the clause, where the twin has a soft state; and every user draws its own states
and shadowing for each site, where the twin draws maps. Sectors of a site share both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cellhive.core.compiled import Scalar, compiled
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats
from cellhive.ran.antenna import Beam, beam_gain_dbi, make_beam
from cellhive.ran.link import NOISE_FIGURE_DB
from cellhive.ran.propagation import (
    ENTRY_SHADOWING_DB,
    SHADOWING,
    los_probability,
    path_loss_db,
)
from cellhive.ran.validation.companies import PERCENT, Spread
from cellhive.ran.validation.setups import SetUp, Users, bearings_deg, drop_users, ways_m

QUANTITIES = {
    "coupling_gain_db": "coupling gain",
    "sinr_db": "SINR",
    "sir_db": "SIR",
}
"""What is compared, and its name: "geometry" with and without noise is SINR and SIR."""
TOLERANCE_DB = 0.5
"""How far beyond the companies' extremes a percentile may lie."""
FEWEST_USERS, MOST_USERS, MOST_SEED = 100, 1_000_000, 2**32 - 1
_BLOCK = 5000


class _Scene(NamedTuple):
    """What the links of one set-up share."""

    environment: int
    carrier_hz: float
    height_m: float
    beam: Beam
    sigma_los_db: float
    sigma_nlos_db: float


class _Place(NamedTuple):
    """What one user's links share."""

    height_m: float
    inside_m: float
    entry_db: float
    indoors: bool


@dataclass(frozen=True)
class Calibration:
    """What the users of one set-up receive from their strongest cells."""

    setup: SetUp
    seed: int
    values: Mapping[str, Floats]
    """Values of each of ``QUANTITIES`` [dB], sorted, (U,)."""

    @property
    def users(self) -> int:
        """How many users were dropped."""
        return int(self.values["sinr_db"].size)

    def percentile_db(self, quantity: str, percent: float) -> float:
        """Return the value that a share of users [%] does not exceed."""
        return float(np.percentile(self.values[quantity], percent))

    def error_db(self, quantity: str, percent: float) -> float:
        """Return the standard error of a percentile from drawing other users.

        Half the distance of the percentiles one binomial standard error to both sides;
        users are independent, so this holds for any distribution.
        """
        share = percent / 100.0
        step = 100.0 * math.sqrt(share * (1.0 - share) / self.users)
        low, high = max(percent - step, 0.0), min(percent + step, 100.0)
        return 0.5 * (self.percentile_db(quantity, high) - self.percentile_db(quantity, low))


class Check(NamedTuple):
    """One percentile of one quantity beside what the companies found."""

    scenario: str
    quantity: str
    percent: float
    found_db: float
    error_db: float
    """Standard error of ``found_db`` from drawing other users."""
    low_db: float
    mean_db: float
    high_db: float

    @property
    def outside_db(self) -> float:
        """How far the value lies beyond the companies' extremes, 0 between them."""
        return max(self.low_db - self.found_db, self.found_db - self.high_db, 0.0)

    @property
    def passes(self) -> bool:
        """Whether the value lies between the companies' extremes, widened by the tolerance."""
        return self.outside_db <= TOLERANCE_DB


def calibrate(
    setup: SetUp,
    users: int,
    seed: int,
    on_progress: Callable[[SetUp, int], None] = lambda setup, done: None,
) -> Calibration:
    """Return what users of a set-up receive at their strongest cell.

    Args:
        setup: The set-up.
        users: How many users to drop.
        seed: Draws their places, their buildings and their links.
        on_progress: Told of the set-up and how many of its users are done.
    """
    if not FEWEST_USERS <= users <= MOST_USERS:
        raise BadInput(
            place="users", expected=f"{FEWEST_USERS:,} to {MOST_USERS:,}", found=f"{users:,}"
        )
    if not 0 <= seed <= MOST_SEED:
        raise BadInput(
            place="seed", expected=f"a whole number from 0 to {MOST_SEED}", found=str(seed)
        )
    rng = np.random.default_rng([int(setup.environment), seed])
    parts: list[tuple[Floats, ...]] = []
    for done in range(0, users, _BLOCK):
        count = min(_BLOCK, users - done)
        gain = coupling_gain_db(setup, drop_users(setup, count, rng), rng)
        parts.append(at_strongest(setup, gain))
        on_progress(setup, done + count)
    joined = (np.sort(np.concatenate(part)) for part in zip(*parts, strict=True))
    return Calibration(setup, seed, dict(zip(QUANTITIES, joined, strict=True)))


def at_strongest(setup: SetUp, gain_db: Floats) -> tuple[Floats, Floats, Floats]:
    """Return coupling gain, SINR and SIR of users at their strongest cell [dB], (U,) each.

    Every cell sends all the time, and users change to a stronger cell at once (0 dB).

    Args:
        setup: The set-up.
        gain_db: Coupling gain of each user to each cell [dB], (U, C).
    """
    received = 10.0 ** (gain_db / 10.0)
    wanted = received.max(axis=1)
    others = received.sum(axis=1) - wanted
    noise_dbm = -174.0 + NOISE_FIGURE_DB + 10.0 * math.log10(setup.bandwidth_hz)
    noise = 10.0 ** ((noise_dbm - setup.power_dbm) / 10.0)
    sinr, sir = wanted / (others + noise), wanted / others
    return gain_db.max(axis=1), 10.0 * np.log10(sinr), 10.0 * np.log10(sir)


def coupling_gain_db(setup: SetUp, users: Users, rng: np.random.Generator) -> Floats:
    """Return the coupling gain of each user to each cell [dB], (U, 3 S), site after site.

    Args:
        setup: The set-up.
        users: Where they are.
        rng: Source of line of sight and shadowing.
    """
    east, north = ways_m(setup, users)
    spread = SHADOWING[setup.environment]
    scene = _Scene(
        int(setup.environment), setup.carrier_hz, setup.height_m,
        make_beam(setup.tilt_deg, 0.0, False),
        spread.sigma_los_db, spread.sigma_nlos_db,
    )  # fmt: skip
    luck, noise = rng.random(east.shape), rng.standard_normal(east.shape)
    azimuths = np.radians(bearings_deg(setup))
    gain = np.empty((east.shape[0], east.shape[1] * azimuths.size))
    _fill_gain(gain, scene, users, (east, north, luck, noise), azimuths)
    return gain


@compiled
def _fill_gain(
    gain: np.ndarray,
    scene: _Scene,
    users: Users,
    links: tuple[np.ndarray, ...],
    azimuths: np.ndarray,
) -> None:
    """Fill ``gain`` link by link."""
    east, north, luck, noise = links
    for user in range(east.shape[0]):
        place = _Place(
            users.height_m[user], users.inside_m[user], users.entry_db[user], users.indoors[user]
        )
        for site in range(east.shape[1]):
            x, y = east[user, site], north[user, site]
            loss = link_loss_db(scene, place, math.hypot(x, y), luck[user, site], noise[user, site])
            drop = scene.height_m - place.height_m
            length = math.sqrt(x * x + y * y + drop * drop)
            for sector in range(azimuths.size):
                sine, cosine = math.sin(azimuths[sector]), math.cos(azimuths[sector])
                forward, right = x * sine + y * cosine, x * cosine - y * sine
                gain[user, azimuths.size * site + sector] = (
                    beam_gain_dbi(scene.beam, forward / length, right / length, -drop / length)
                    - loss
                )


@compiled
def link_loss_db(
    scene: Scalar, place: Scalar, ground_m: Scalar, luck: Scalar, noise: Scalar
) -> Scalar:
    """Return path loss, entry loss and shadowing between a site and a user [dB].

    Args:
        scene: What the links of the set-up share.
        place: What the links of the user share.
        ground_m: Distance on the ground [m].
        luck: Uniform in 0 to 1: line of sight where it is below the probability.
        noise: Standard normal: the shadowing.
    """
    los, nlos = path_loss_db(
        scene.environment, ground_m, scene.height_m, place.height_m, scene.carrier_hz
    )
    outdoors_m = max(ground_m - place.inside_m, 0.0)
    sight = luck < los_probability(scene.environment, outdoors_m, place.height_m)
    sigma = scene.sigma_los_db if sight else scene.sigma_nlos_db
    if place.indoors:
        sigma = ENTRY_SHADOWING_DB
    return (los if sight else nlos) + place.entry_db + sigma * noise


def checks(calibration: Calibration, spreads: Mapping[tuple[str, str], Spread]) -> list[Check]:
    """Return every checked percentile beside the companies' extremes.

    Args:
        calibration: What was found.
        spreads: What the companies found, by scenario and quantity: ``COMPANIES``.
    """
    scenario = calibration.setup.environment.name
    found = []
    for quantity in QUANTITIES:
        spread = spreads[scenario, quantity]
        for percent in PERCENT:
            at = spread.percent.index(percent)
            found.append(
                Check(
                    scenario, quantity, percent,
                    calibration.percentile_db(quantity, percent),
                    calibration.error_db(quantity, percent),
                    spread.low[at], spread.mean[at], spread.high[at],
                )
            )  # fmt: skip
    return found
