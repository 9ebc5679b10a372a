"""The set-ups of the calibration, its links against a slow twin, and its percentiles."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from cellhive.core.errors import BadInput, NotFound
from cellhive.ran.validation import (
    COMPANIES,
    SETUPS,
    Calibration,
    SetUp,
    calibrate,
    checks,
    setups_named,
)
from cellhive.ran.validation.calibration import at_strongest, coupling_gain_db
from cellhive.ran.validation.setups import Users, drop_users, sites, ways_m

_SPEC = importlib.util.spec_from_file_location(
    "reference_propagation", Path(__file__).parents[1] / "reference" / "propagation.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)

UMA, UMI, INH = (SETUPS[name] for name in ("UMa", "UMi", "InH"))
SEVEN = [(0, 0), (5, -2), (2, 3), (-3, 5), (-5, 2), (-2, -3), (3, -5)]


def users_at(x_m: list[float], y_m: list[float]) -> Users:
    """Return users in the street at these places."""
    none = np.zeros(len(x_m))
    return Users(np.array(x_m), np.array(y_m), none + 1.5, np.zeros(len(x_m), bool), none, none)


def by_hand_db(setup: SetUp, users: Users, rng: np.random.Generator) -> np.ndarray:
    """Return coupling gains link by link, from the formulas of the reference alone."""
    place = sites(setup)
    shape = (users.x_m.size, len(place))
    luck, noise = rng.random(shape), rng.standard_normal(shape)
    name, office = setup.environment.name, setup.environment.name == "InH"
    sigmas = {"UMa": (4.0, 6.0), "UMi": (4.0, 7.82), "InH": (3.0, 8.03)}[name]
    copies = [(0, 0)] if office else SEVEN
    # towards 30, 150 and 270 degrees from the x axis; the grid is turned, see bearings_deg
    sectors = (60.0, 300.0, 180.0) if office else (30.0, 150.0, 270.0)
    gain = np.empty((shape[0], 3 * shape[1]))
    for user in range(shape[0]):
        for site in range(shape[1]):
            ways = [
                (
                    users.x_m[user] - place[site, 0] - setup.site_distance_m * math.sqrt(0.75) * q,
                    users.y_m[user] - place[site, 1] - setup.site_distance_m * (r + q / 2),
                )
                for q, r in copies
            ]
            east, north = min(ways, key=lambda way: math.hypot(*way))
            ground, height = math.hypot(east, north), float(users.height_m[user])
            los, nlos = reference.path_loss_db(
                name, np.array(ground), setup.height_m, height, setup.carrier_hz
            )
            outside = max(ground - float(users.inside_m[user]), 0.0)
            sight = luck[user, site] < reference.los_probability(name, np.array(outside), height)
            sigma = 7.0 if users.indoors[user] else sigmas[0 if sight else 1]
            loss = float(los if sight else nlos) + users.entry_db[user] + sigma * noise[user, site]
            zenith = math.degrees(math.atan2(ground, height - setup.height_m))
            for number, sector in enumerate(sectors):
                off = math.degrees(math.atan2(east, north)) - sector
                off = (off + 180.0) % 360.0 - 180.0
                lobe = reference.antenna_gain_dbi(zenith, off, setup.tilt_deg, 0.0)
                gain[user, 3 * site + number] = lobe - loss
    return gain


@pytest.mark.parametrize("setup", SETUPS.values(), ids=list(SETUPS))
def test_links_agree_with_the_slow_twin(setup: SetUp) -> None:
    """The compiled links and the reference, given the same draws, agree on every cell."""
    users = drop_users(setup, 25, np.random.default_rng(3))
    found = coupling_gain_db(setup, users, np.random.default_rng(4))
    np.testing.assert_allclose(found, by_hand_db(setup, users, np.random.default_rng(4)), atol=1e-6)


def test_strongest_cell_worked_by_hand() -> None:
    """Two cells at -140 and -143 dB of UMa: the second counts against the first, then noise.

    SIR 3 dB. Noise -174 + 9 + 73.0103 = -91.9897 dBm in 20 MHz, wanted -91 dBm, other
    -94 dBm: 10^-9.4 + 10^-9.19897 = 3.98107e-10 + 6.32456e-10, so SINR is 7.94328 / 10.30563
    in linear terms, -1.1308 dB.
    """
    gain, sinr, sir = at_strongest(UMA, np.array([[-143.0, -140.0]]))
    assert gain == pytest.approx(-140.0)
    assert sir == pytest.approx(3.0)
    assert sinr == pytest.approx(-1.1308, abs=1e-3)


def test_sites_stand_as_the_tables_say() -> None:
    """19 sites, neighbours 500 m apart; twelve in the office, 10 m and 15 m from its walls."""
    place = sites(UMA)
    apart = np.hypot(*(place[:, None] - place[None]).T) + 1e9 * np.eye(19)
    np.testing.assert_allclose(apart.min(axis=1), 500.0)
    office = sites(INH)
    assert sorted(set(office[:, 0])) == [10.0, 30.0, 50.0, 70.0, 90.0, 110.0]
    assert sorted(set(office[:, 1])) == [15.0, 35.0]
    assert office.shape == (12, 2)


@pytest.mark.parametrize("setup", [UMA, UMI], ids=["UMa", "UMi"])
def test_the_cluster_looks_the_same_from_every_site(setup: SetUp) -> None:
    """With wrap-around a place beside any site is as far from the other 18 as beside the middle."""
    place = sites(setup)
    offset = 0.3 * setup.site_distance_m * np.array([0.4, 0.7])
    users = users_at(*(place + offset).T.tolist())
    distances = np.sort(np.hypot(*ways_m(setup, users)), axis=1)
    np.testing.assert_allclose(distances, np.broadcast_to(distances[0], (19, 19)), atol=1e-6)
    assert distances[0, 0] == pytest.approx(np.hypot(*offset))
    assert distances.max() < 2.7 * setup.site_distance_m


def test_nothing_wraps_in_the_office() -> None:
    """From one corner of the room the farthest site is at the other end."""
    east, north = ways_m(INH, users_at([0.0], [0.0]))
    assert np.hypot(east, north).max() == pytest.approx(math.hypot(110.0, 35.0))


@pytest.mark.parametrize("setup", [UMA, UMI], ids=["UMa", "UMi"])
def test_users_are_spread_over_all_cells(setup: SetUp) -> None:
    """Even over sites (chi square, 18 degrees), none too near, each nearest to its own."""
    users = drop_users(setup, 19_000, np.random.default_rng(1))
    distance = np.hypot(*ways_m(setup, users))
    assert distance.min() >= setup.nearest_m
    assert distance.min(axis=1).max() <= setup.site_distance_m / math.sqrt(3.0) + 1e-9
    counts = np.bincount(distance.argmin(axis=1), minlength=19)
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < 42.3  # 99.9 %
    # The mean squared distance in a hexagon of side s is 5/12 s², here 5/36 of the squared
    # site distance; the hole around the mast is cut out of it.
    radius = setup.nearest_m / setup.site_distance_m
    area = math.sqrt(3.0) / 2.0
    hole = math.pi * radius**2
    expected = (5.0 / 36.0 * area - hole * radius**2 / 2.0) / (area - hole)
    mean = np.mean(distance.min(axis=1) ** 2) / setup.site_distance_m**2
    assert mean == pytest.approx(expected, abs=0.002)


def test_users_in_buildings_are_as_the_clause_draws_them() -> None:
    """Shares, floors, ways inside and entry losses have the means worked out by hand.

    Floors: N of 4 to 8, n of 1 to N: the mean of n is (mean N + 1)/2 = 3.5, height
    3·2.5 + 1.5 = 9 m; on the first floor with chance (1/4 + 1/5 + 1/6 + 1/7 + 1/8)/5 = 0.17690.
    Way inside: the smaller of two draws up to 25 m, mean 25/3 m. Walls at 6 GHz: glass
    3.2 dB, concrete 29 dB, coated glass 24.8 dB; low 5 - 10 log10(0.3·0.478630 +
    0.7·0.00125893) = 13.402, high 5 - 10 log10(0.7·0.00331131 + 0.3·0.00125893) = 30.692;
    the mean of both with 0.5 dB/m inside is 22.047 + 4.167 = 26.214 dB.
    """
    users = drop_users(UMI, 40_000, np.random.default_rng(2))
    inside = users.indoors
    assert np.mean(inside) == pytest.approx(0.8, abs=0.007)
    assert (users.height_m[~inside] == 1.5).all()
    assert not users.inside_m[~inside].any()
    assert not users.entry_db[~inside].any()
    assert np.mean(users.height_m[inside]) == pytest.approx(9.0, abs=0.1)
    assert np.mean(users.height_m[inside] == 1.5) == pytest.approx(0.1769, abs=0.008)
    assert users.height_m.max() == 22.5
    assert np.mean(users.inside_m[inside]) == pytest.approx(25.0 / 3.0, abs=0.12)
    assert np.mean(users.entry_db[inside]) == pytest.approx(26.214, abs=0.25)


def test_users_of_the_office_sit_in_the_room() -> None:
    """At 1 m, evenly between the walls, with nothing to enter."""
    users = drop_users(INH, 20_000, np.random.default_rng(2))
    assert (users.height_m == 1.0).all()
    for nothing in (users.indoors, users.entry_db, users.inside_m):
        assert not nothing.any()
    for values, length in ((users.x_m, 120.0), (users.y_m, 50.0)):
        assert 0.0 <= values.min() <= values.max() <= length
        assert np.mean(values) == pytest.approx(length / 2.0, abs=0.01 * length)
        assert np.std(values) == pytest.approx(length / math.sqrt(12.0), abs=0.01 * length)


def test_standard_error_of_a_flat_distribution() -> None:
    """10,000 values spread evenly over 100 dB: half a decibel at the median, 0.3 at 10 %."""
    flat = np.linspace(0.0, 100.0, 10_000)
    calibration = Calibration(UMA, 0, {"sinr_db": flat})
    assert calibration.percentile_db("sinr_db", 50.0) == pytest.approx(50.0)
    assert calibration.error_db("sinr_db", 50.0) == pytest.approx(0.5)
    assert calibration.error_db("sinr_db", 10.0) == pytest.approx(0.3)


def test_standard_error_is_the_spread_over_seeds() -> None:
    """30 drops of 2,000 users: each percentile spreads about as much as one drop tells.

    The spread of 30 values is itself known to 13 %, what one drop tells to about as much.
    """
    runs = [checks(calibrate(INH, 2000, seed), COMPANIES) for seed in range(30)]
    found = np.array([[check.found_db for check in run] for run in runs])
    told = np.mean([[check.error_db for check in run] for run in runs], axis=0)
    ratio = found.std(axis=0, ddof=1) / told
    assert 0.6 < ratio.min() <= ratio.max() < 1.6
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.15)


def test_the_seed_decides_alone() -> None:
    """The same seed finds the same, another one something else, and blocks do not show."""
    done: list[int] = []
    first = calibrate(INH, 6000, 7, lambda _, count: done.append(count))
    assert done == [5000, 6000]
    assert first.users == 6000
    same, other = calibrate(INH, 6000, 7), calibrate(INH, 6000, 8)
    np.testing.assert_array_equal(first.values["sir_db"], same.values["sir_db"])
    assert not np.array_equal(first.values["sir_db"], other.values["sir_db"])


def test_a_check_says_how_far_beyond() -> None:
    """Half a decibel is the last that passes, on both sides."""
    (first, *_) = checks(calibrate(INH, 1000, 1), COMPANIES)
    inside = first._replace(low_db=-5.0, high_db=5.0, found_db=-5.0)
    assert (inside.outside_db, inside.passes) == (0.0, True)
    for found_db in (-5.5, 5.5):
        beyond = inside._replace(found_db=found_db)
        assert (beyond.outside_db, beyond.passes) == (0.5, True)
    for found_db in (-5.75, 5.75):
        assert not inside._replace(found_db=found_db).passes


def test_what_cannot_be_is_refused() -> None:
    """Too few or many users, seeds below 0, and set-ups that there are not."""
    with pytest.raises(BadInput, match="expected 100 to 1,000,000, found 99"):
        calibrate(INH, 99, 1)
    with pytest.raises(BadInput, match="seed: expected a whole number from 0"):
        calibrate(INH, 100, -1)
    with pytest.raises(NotFound, match="expected one of UMa, UMi, InH, found 'RMa'"):
        setups_named(["RMa"])
    assert setups_named(["InH", "UMa", "InH"]) == [UMA, INH]
    assert setups_named([]) == [UMA, UMI, INH]
