"""Generated layouts and site lists on the map."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.ran.layout import (
    SiteDesign,
    hex_grid,
    highway,
    lat_lon,
    local_xy,
    with_relations,
)


def nearest_m(x_m: np.ndarray, y_m: np.ndarray) -> np.ndarray:
    """Return the distance from each site to its nearest [m]."""
    distance = np.hypot(x_m[:, None] - x_m, y_m[:, None] - y_m)
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1)


@pytest.mark.parametrize(("sites", "rings"), [(7, 1), (19, 2), (37, 3)])
def test_hexagonal_grid_has_equal_distances(sites: int, rings: int) -> None:
    """Whole rings: every site has its nearest at the inter-site distance."""
    network = hex_grid(sites, 500.0)
    assert network.cells == 3 * sites
    x, y = network.x_m[::3], network.y_m[::3]
    np.testing.assert_allclose(nearest_m(x, y), 500.0)
    assert np.hypot(x, y).max() == pytest.approx(500.0 * rings)
    assert np.hypot(x.mean(), y.mean()) < 1e-9


def test_a_ring_may_be_begun() -> None:
    """Nine sites: the middle, its ring, and the first two of the next clockwise from north."""
    network = hex_grid(9, 500.0)
    x, y = network.x_m[::3], network.y_m[::3]
    # by hand: two steps north, then from there a third of the way round to 60°
    np.testing.assert_allclose(x[7:], [0.0, 500.0 * math.sqrt(0.75)], atol=1e-9)
    np.testing.assert_allclose(y[7:], [1000.0, 750.0])
    np.testing.assert_allclose(nearest_m(x, y), 500.0)


def test_sectors_look_between_the_neighbouring_sites() -> None:
    """Bearings 30°, 150° and 270°; the six nearest sites lie at multiples of 60°."""
    network = hex_grid(7, 500.0)
    assert network.azimuth_deg[:3].tolist() == [30.0, 150.0, 270.0]
    bearing = np.degrees(np.arctan2(network.x_m[3::3], network.y_m[3::3])) % 360
    assert np.round(bearing, 6).tolist() == [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]


def test_names_follow_site_and_sector() -> None:
    """The middle is S01; sectors are numbered by bearing."""
    network = hex_grid(7, 500.0)
    assert network.cell_ids[:4] == ("S01-1", "S01-2", "S01-3", "S02-1")
    assert network.site_ids[2:4] == ("S01", "S02")
    assert (network.x_m[0], network.y_m[0]) == (0.0, 0.0)
    assert network.relations == 0
    assert not network.protected.any()


def test_capacity_layer_stands_on_the_same_sites_and_may_sleep() -> None:
    """The second carrier doubles the cells; only the first carries coverage."""
    design = SiteDesign(
        carrier_hz=1.8e9, capacity_carrier_hz=2.6e9, capacity_bandwidth_hz=10e6, height_m=30.0
    )
    network = hex_grid(7, 500.0, design)
    assert network.cells == 42
    assert network.cell_ids[21] == "S01-1b"
    assert network.coverage_cell.tolist() == [True] * 21 + [False] * 21
    np.testing.assert_array_equal(network.x_m[21:], network.x_m[:21])
    assert set(network.carrier_hz[21:]) == {2.6e9}
    assert set(network.bandwidth_hz[:21]) == {20e6}
    assert set(network.bandwidth_hz[21:]) == {10e6}
    assert network.carrier_index.max() == 1


def test_highway_sites_alternate_and_look_along_the_road() -> None:
    """Four sites, 1 km apart, 50 m beside the road, facing east and west."""
    network = highway(4, 1000.0)
    assert network.x_m[::2].tolist() == [-1500.0, -500.0, 500.0, 1500.0]
    assert network.y_m[::2].tolist() == [50.0, -50.0, 50.0, -50.0]
    assert network.azimuth_deg[:2].tolist() == [90.0, 270.0]
    assert set(network.environment) == {"RMa"}
    assert set(network.height_m) == {35.0}


@pytest.mark.parametrize(
    ("sites", "distance_m", "design", "message"),
    [
        (0, 500.0, SiteDesign(), "at least 1, found 0"),
        (7, 0.0, SiteDesign(), "inter_site_distance_m: expected a number above 0"),
        (7, math.nan, SiteDesign(), "inter_site_distance_m: expected a number above 0"),
        (7, 500.0, SiteDesign(environment="city"), "found 'city'"),
        (7, 500.0, SiteDesign(bandwidth_hz=7e6), "found 7 MHz"),
        (7, 500.0, SiteDesign(height_m=-1.0), "height_m"),
        (7, 500.0, SiteDesign(capacity_carrier_hz=0.0), "capacity_carrier_hz"),
    ],
)
def test_impossible_layouts_are_refused(
    sites: int, distance_m: float, design: SiteDesign, message: str
) -> None:
    """Each wrong value is named with what was expected."""
    with pytest.raises(BadInput, match=message):
        hex_grid(sites, distance_m, design)


def test_relations_replace_those_there_were() -> None:
    """The network with relations is a new one; the old one is as it was."""
    network = hex_grid(1, 500.0)
    related = with_relations(network, np.array([0, 1]), np.array([1, 0]))
    assert related.relation_index == {(0, 1): 0, (1, 0): 1}
    assert network.relations == 0


@pytest.mark.parametrize(
    ("source", "target"), [([0], [3]), ([-1], [0]), ([1], [1]), ([0, 0], [1, 1])]
)
def test_impossible_relations_are_refused(source: list[int], target: list[int]) -> None:
    """Indices beyond the cells, a cell beside itself, and repeated pairs."""
    with pytest.raises(BadInput, match="neighbour relations"):
        with_relations(hex_grid(1, 500.0), np.array(source), np.array(target))


def test_local_metres_and_back() -> None:
    """One degree north is 111.195 km on the mean sphere; half of it east at 60°."""
    x, y = local_xy(np.array([60.0, 61.0]), np.array([11.0, 10.0]), (60.0, 10.0))
    assert x == pytest.approx([111_195.08 / 2, 0.0], abs=0.5)
    assert y == pytest.approx([0.0, 111_195.08], abs=0.5)
    lat, lon = lat_lon(x, y, (60.0, 10.0))
    assert lat == pytest.approx([60.0, 61.0])
    assert lon == pytest.approx([11.0, 10.0])


def test_local_metres_across_the_date_line() -> None:
    """Neighbours on both sides of 180° are neighbours."""
    x, _ = local_xy(np.array([0.0]), np.array([-179.9]), (0.0, 179.9))
    assert x[0] == pytest.approx(0.2 * 111_195.08, rel=1e-5)
    assert lat_lon(x, np.zeros(1), (0.0, 179.9))[1][0] == pytest.approx(-179.9)


@pytest.mark.parametrize(("north_m", "error"), [(10e3, 0.00157), (100e3, 0.0160)])
def test_error_of_the_projection_is_as_stated(north_m: float, error: float) -> None:
    """At 45° the way east is off by the ratio of the cosines of the two latitudes."""
    lat, lon = lat_lon(np.array([1000.0]), np.array([north_m]), (45.0, 0.0))
    true_m = np.radians(lon[0]) * 6_371_008.8 * math.cos(math.radians(lat[0]))
    assert abs(1000.0 / true_m - 1.0) == pytest.approx(error, rel=0.01)
