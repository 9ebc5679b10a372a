"""The street grid of the ns-3 study: its geometry against hand-drawn cases."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.ran.users import STREET
from cellhive.ran.validation import urban_grid as grid_of
from cellhive.ran.validation.urban_grid import (
    build_place,
    buildings,
    corners,
    hidden,
    map_grid,
    place_vehicles,
    site_positions,
)


def pixel(x_m: float, y_m: float) -> int:
    """Return the index of the point of the map at a place."""
    grid = map_grid()
    return round(y_m - grid.y0_m) * grid.columns + round(x_m - grid.x0_m)


def test_blocks_are_those_of_the_report() -> None:
    """Four buildings of 413 m by 230 m between streets of 20 m: TR 37.885 annex A."""
    walls = buildings()
    assert len(walls) == 4
    np.testing.assert_array_equal(walls[:, 2] - walls[:, 0], 413.0)
    np.testing.assert_array_equal(walls[:, 3] - walls[:, 1], 230.0)
    assert np.abs(walls[:, [0, 2]]).min() == 10.0
    assert np.abs(walls[:, [1, 3]]).max() == 240.0


def test_sites_stand_on_street_centres() -> None:
    """Every site of either distance is in the middle of a street that runs east-west."""
    for distance_m in (200, 300, 400):
        xy = site_positions(distance_m)
        assert set(np.abs(xy[:, 1]).tolist()) == {0.0, 250.0}
        assert np.abs(xy[:, 0]).max() == distance_m


@pytest.mark.parametrize(
    ("user", "site", "blocked"),
    [
        ((-433.0, 0.0), (0.0, 0.0), False),  # along the street
        ((0.0, 250.0), (0.0, 0.0), False),  # along the other street
        ((200.0, 250.0), (0.0, 0.0), True),  # a block between
        # Seen past the corner (10, 240): the line from (200, 250) meets x = 10 at
        # 250 - 190 / 200 (250 - y), which is above 240 for y > 239.47.
        ((0.0, 239.6), (200.0, 250.0), False),
        ((0.0, 239.3), (200.0, 250.0), True),
        ((433.0, -250.0), (400.0, 0.0), True),  # far down the street at the edge
    ],
)
def test_line_of_sight_ends_at_corners(
    user: tuple[float, float], site: tuple[float, float], blocked: bool
) -> None:
    """Streets are seen along, and into side streets as far as the corner allows."""
    assert hidden(*user, *site, buildings()) is blocked


def test_path_loss_has_a_cliff_at_the_corner() -> None:
    """UMi at 3.5 GHz, by hand: 100 m down the street and just round its corner.

    With sight at 100 m on the ground: d3D = sqrt(100^2 + 8.5^2) = 100.36 m,
    32.4 + 21 log10(100.36) + 20 log10(3.5) = 85.31 dB. Without, at (200, 250) from (0, 239):
    d3D = sqrt(200^2 + 11^2 + 8.5^2) = 200.48 m, 22.4 + 35.3 log10(200.48) + 21.3 log10(3.5)
    = 115.26 dB.
    """
    corner = corners(400.0)
    assert corner.sight[0, pixel(100, 0)]
    assert corner.loss_db[0, pixel(100, 0)] == pytest.approx(85.31, abs=0.02)
    assert not corner.sight[3, pixel(0, 239)]
    assert corner.loss_db[3, pixel(0, 239)] == pytest.approx(115.26, abs=0.02)


def test_shadowing_has_the_spread_and_the_distance_of_the_table() -> None:
    """UMi, TR 38.901 table 7.5-6: 4 dB and 10 m with line of sight, 7.82 dB and 13 m without."""
    place, corner = build_place(400, 3), corners(400.0)
    shadow = place.radio_map.path_gain_db + corner.loss_db
    grid = map_grid()
    for sight, sigma_db, distance_m in ((True, 4.0, 10), (False, 7.82, 13)):
        values = shadow[corner.sight == sight]
        # Some 400 m of street at 10 m, or whole blocks: hundreds of independent values.
        assert values.std() == pytest.approx(sigma_db, rel=0.15)
        fields = shadow.reshape(-1, grid.rows, grid.columns)
        seen = corner.sight.reshape(fields.shape)
        first, later = fields[:, :, :-distance_m], fields[:, :, distance_m:]
        both = (seen[:, :, :-distance_m] == sight) & (seen[:, :, distance_m:] == sight)
        correlation = np.corrcoef(first[both], later[both])[0, 1]
        assert correlation == pytest.approx(np.exp(-1), abs=0.12)
    flat = build_place(400, 3, shadowing=0.0)
    np.testing.assert_array_equal(flat.radio_map.path_gain_db, -corner.loss_db)


def test_vehicles_cover_the_streets_evenly() -> None:
    """Shares of 20 000 vehicles: streets by their length, both ways alike; 4 sigma.

    Three streets of 866 m and three of 500 m: 2598 / 4098 run east-west.
    """
    users = place_vehicles(20_000, 16.0, np.random.default_rng(1))
    along = users["east_m_s"] != 0
    limit = 4 * (0.25 / 20_000) ** 0.5
    assert along.mean() == pytest.approx(2598 / 4098, abs=limit)
    assert (users["east_m_s"][along] > 0).mean() == pytest.approx(0.5, abs=1.3 * limit)
    for y_m in (-250.0, 0.0, 250.0):
        assert (users["y_m"][along] == y_m).mean() == pytest.approx(1 / 3, abs=1.3 * limit)
    assert set(np.unique(users["x_m"][~along])) == {-433.0, 0.0, 433.0}
    assert np.all(users["kind"] == STREET)
    ahead = users["x_m"] + np.sign(users["east_m_s"]) * users["leg_left_m"]
    assert set(np.round(ahead[along])) == {-433.0, 0.0, 433.0}


@pytest.mark.parametrize(
    ("speed_m_s", "mean_db"), [(8.0, 0.0), (16.0, 9.0), (30.0, 9.0), (42.0, 0.0)]
)
def test_only_cars_have_the_loss_of_cars(speed_m_s: float, mean_db: float) -> None:
    """ns-3 takes users at 30 to 120 km/h for cars: 9 dB on average, none for the others."""
    users = place_vehicles(2000, speed_m_s, np.random.default_rng(2))
    assert users["loss_db"].mean() == pytest.approx(mean_db, abs=0.6)
    bare = place_vehicles(2000, speed_m_s, np.random.default_rng(2), car_loss=False)
    assert np.all(bare["loss_db"] == 0)
    np.testing.assert_array_equal(bare["x_m"], users["x_m"])


def test_the_map_reaches_from_street_to_street() -> None:
    """Streets lie on points of the map, so no vehicle is between two of them across its way."""
    grid = map_grid()
    assert (grid.columns, grid.rows) == (867, 501)
    assert (grid.x0_m, grid.y0_m) == (-433.0, -250.0)
    assert grid_of.BLOCK_EAST_M % grid.pixel_m == grid_of.BLOCK_NORTH_M % grid.pixel_m == 0
