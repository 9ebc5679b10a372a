"""The radio map against its twin, and what is read off it."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats32, Network
from cellhive.ran.layout import SiteDesign, hex_grid, highway
from cellhive.ran.propagation import SHADOWING, Environment, draw_field, field_filter
from cellhive.ran.radio_map import (
    NOTHING_DBM,
    PADDING_DB,
    RadioMap,
    best_server_cell,
    best_server_rsrp_dbm,
    build_radio_map,
    cell_gain_db,
    interpolate_gain,
    neighbour_relations,
    reference_power_dbm,
    sinr_db_raster,
    site_distance_m,
    total_gain_db,
)

_SPEC = importlib.util.spec_from_file_location(
    "reference_propagation", Path(__file__).parents[1] / "reference" / "propagation.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)


def offsets(radio_map: RadioMap, x_m: float, y_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Return east and north of a place at every pixel [m], each (P,)."""
    east = radio_map.x0_m + radio_map.pixel_m * np.arange(radio_map.columns) - x_m
    north = radio_map.y0_m + radio_map.pixel_m * np.arange(radio_map.rows) - y_m
    return np.tile(east, radio_map.rows), np.repeat(north, radio_map.columns)


@pytest.fixture(scope="module")
def network() -> Network:
    """Seven sites, 500 m apart."""
    return hex_grid(7, 500.0)


@pytest.fixture(scope="module")
def radio_map(network: Network) -> RadioMap:
    """Their map in pixels of 25 m."""
    return build_radio_map(network, np.random.default_rng(1), pixel_m=25.0)


@pytest.fixture(scope="module")
def gain_db(network: Network, radio_map: RadioMap) -> Floats32:
    """Gain of all cells at 6° electrical tilt."""
    return total_gain_db(radio_map, network, np.full(network.cells, 6.0))


POWER_DBM = np.full(21, 46.0)


def test_grid_covers_the_margin(network: Network, radio_map: RadioMap) -> None:
    """One inter-site distance around the outermost sites, at ±433 m east and ±500 m north."""
    assert site_distance_m(network) == pytest.approx(500.0)
    assert (radio_map.x0_m, radio_map.y0_m) == pytest.approx((-433.0127 - 500, -1000.0))
    assert (radio_map.rows, radio_map.columns) == (81, 76)
    assert radio_map.x0_m + 25 * (radio_map.columns - 1) >= 933.0127
    assert radio_map.path_gain_db.shape == (7, 81 * 76)
    assert radio_map.path_gain_db.dtype == np.float32


def test_bounds_are_kept(network: Network) -> None:
    """Explicit edges take the place of the margin."""
    made = build_radio_map(
        network, np.random.default_rng(1), pixel_m=50.0, bounds=(0.0, -100.0, 200.0, 300.0)
    )
    assert (made.x0_m, made.y0_m, made.rows, made.columns) == (0.0, -100.0, 9, 5)


@pytest.mark.parametrize(
    ("environment", "height_m", "carrier_hz"),
    [("UMa", 25.0, 3.5e9), ("UMi", 10.0, 3.5e9), ("RMa", 35.0, 0.7e9)],
)
def test_path_gain_agrees_with_the_reference(
    environment: str, height_m: float, carrier_hz: float
) -> None:
    """Same fields through the NumPy twin: equal within 0.02 dB.

    What differs is the line-of-sight probability, tabulated at every metre.
    """
    design = SiteDesign(carrier_hz=carrier_hz, environment=environment, height_m=height_m)
    network = hex_grid(1, 500.0, design)
    made = build_radio_map(network, np.random.default_rng(9), pixel_m=40.0)
    stream = np.random.default_rng(9).spawn(1)[0]
    row = SHADOWING[Environment[environment]]
    shape = (made.rows, made.columns)
    fields = np.stack(
        [
            draw_field(field_filter(shape, 40.0, distance_m, smooth=smooth), shape, stream).ravel()
            for distance_m, smooth in (
                (row.los_state_m, True),
                (row.decorrelation_los_m, False),
                (row.decorrelation_nlos_m, False),
            )
        ]
    ).astype(np.float64)
    expected = reference.path_gain_db(
        environment, offsets(made, 0.0, 0.0), height_m, carrier_hz, fields
    )
    np.testing.assert_allclose(made.path_gain_db[0], expected, atol=0.02)


def test_antenna_on_top_agrees_with_the_reference() -> None:
    """Bearing, both tilts and height of every sector, as the complex-sum twin sees them."""
    network = hex_grid(1, 500.0, SiteDesign(mechanical_tilt_deg=3.0))
    made = build_radio_map(network, np.random.default_rng(4), pixel_m=125.0)
    for cell, tilt_deg in enumerate((0.0, 4.5, 12.0)):
        found = cell_gain_db(made, network, cell, tilt_deg) - made.path_gain_db[0]
        for pixel, (east, north) in enumerate(zip(*offsets(made, 0.0, 0.0), strict=True)):
            ground = np.hypot(east, north)
            zenith = np.degrees(np.arctan2(ground, -23.5))
            azimuth = np.degrees(np.arctan2(east, north)) - network.azimuth_deg[cell]
            azimuth = (azimuth + 180.0) % 360.0 - 180.0
            expected = reference.antenna_gain_dbi(zenith, azimuth, tilt_deg, 3.0)
            assert found[pixel] == pytest.approx(expected, abs=2e-4)


def test_sectors_of_a_site_share_the_path_and_sites_do_not(
    network: Network, radio_map: RadioMap
) -> None:
    """TR 38.901 §7.4.4: one path per site; shadowing of different sites is independent."""
    assert radio_map.path_of.tolist() == [site for site in range(7) for _ in range(3)]
    assert network.site_ids[::3] == tuple(f"S{n:02d}" for n in range(1, 8))
    made = build_radio_map(
        hex_grid(7, 0.001), np.random.default_rng(2), pixel_m=40.0, bounds=(-2e3, -2e3, 2e3, 2e3)
    )
    # seven sites on one spot differ by shadowing and sight alone
    spread = made.path_gain_db - made.path_gain_db.mean(axis=0)
    correlation = np.corrcoef(spread)[np.triu_indices(7, 1)]
    # subtracting the mean of seven leaves -1/6 between independent fields
    np.testing.assert_allclose(correlation, -1 / 6, atol=0.15)


def test_carriers_of_a_site_share_the_fields() -> None:
    """Both layers differ by 20 log10 of the frequencies where both see the mast."""
    design = SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)
    made = build_radio_map(hex_grid(1, 500.0, design), np.random.default_rng(3), pixel_m=50.0)
    assert made.path_of.tolist() == [0, 0, 0, 1, 1, 1]
    step_db = made.path_gain_db[0] - made.path_gain_db[1]
    # 20 log10(2.6/1.8) = 3.194 dB; the soft state is sharper at the higher frequency
    assert np.median(step_db) == pytest.approx(3.194, abs=0.05)
    assert np.mean(np.abs(step_db - 3.194) < 0.5) > 0.9


def test_shadowing_of_the_map_has_the_spread_of_the_table() -> None:
    """UMa far out, where next to nothing is in sight: 6 dB around the NLOS loss.

    The tail of the soft state lifts the median: at 3 km F = -2.5, so the state is about
    1/(2.5π·sqrt(20·3.5e9/3e8)) = 0.0083, and 32 dB lie between both losses: 0.27 dB at G = 0.
    """
    network = hex_grid(1, 500.0)
    rng = np.random.default_rng(6)
    residual = []
    for _ in range(40):
        made = build_radio_map(network, rng, pixel_m=40.0, bounds=(2e3, -1e3, 4e3, 1e3))
        ground = np.hypot(*offsets(made, 0.0, 0.0))
        blocked = reference.path_loss_db("UMa", ground, 25.0, 1.5, 3.5e9)[1]
        residual.append(made.path_gain_db[0] + blocked)
    low, median, high = np.percentile(residual, [25, 50, 75])
    assert 0.1 < median < 0.7
    assert (high - low) / 2 / 0.67449 == pytest.approx(6.0, abs=0.15)


def test_same_seed_same_map_and_other_seed_other_map(network: Network) -> None:
    """Everything random comes from the generator."""
    first, again, other = (
        build_radio_map(network, np.random.default_rng(seed), pixel_m=100.0).path_gain_db
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1.0


def test_matrix_of_gains_is_padded_and_made_of_cells(
    network: Network, radio_map: RadioMap, gain_db: Floats32
) -> None:
    """21 cells fill 32 columns; each is what one cell alone gives."""
    assert gain_db.shape == (radio_map.pixels, 32)
    assert gain_db.dtype == np.float32
    assert gain_db.flags.c_contiguous
    assert (gain_db[:, 21:] == PADDING_DB).all()
    for cell in (0, 13, 20):
        alone = cell_gain_db(radio_map, network, cell, 6.0)
        np.testing.assert_array_equal(gain_db[:, cell], alone)


def test_tilting_down_moves_gain_from_far_to_near(network: Network, radio_map: RadioMap) -> None:
    """In front of a sector, 12° of tilt favour 100 m and cost at 800 m."""
    east, north = offsets(radio_map, 0.0, 0.0)
    ahead = np.abs(np.degrees(np.arctan2(east, north)) - 30.0) < 20.0
    change = cell_gain_db(radio_map, network, 0, 12.0) - cell_gain_db(radio_map, network, 0, 2.0)
    ground = np.hypot(east, north)
    assert change[ahead & (ground > 90) & (ground < 130)].mean() > 5.0
    assert change[ahead & (ground > 700)].mean() < -5.0


def test_complete_gains_get_no_antenna_and_no_tilt(network: Network, radio_map: RadioMap) -> None:
    """A map that holds antennas already gives its own gains back, whatever the tilt."""
    complete = replace(radio_map, with_antennas=True)
    expected = complete.path_gain_db[complete.path_of[4]]
    for tilt_deg in (0.0, 12.0):
        np.testing.assert_array_equal(cell_gain_db(complete, network, 4, tilt_deg), expected)
    assert not np.array_equal(cell_gain_db(radio_map, network, 4, 0.0), expected)


def test_omnidirectional_cells_have_no_bearing() -> None:
    """All three cells of an omnidirectional site are the same."""
    network = replace(hex_grid(1, 500.0), omnidirectional=np.ones(3, dtype=np.bool_))
    made = build_radio_map(network, np.random.default_rng(3), pixel_m=100.0)
    gain = total_gain_db(made, network, np.full(3, 4.0))
    np.testing.assert_allclose(gain[:, 1], gain[:, 0], atol=1e-4)


def test_interpolation_is_bilinear_and_stops_at_the_edge(
    radio_map: RadioMap, gain_db: Floats32
) -> None:
    """At pixels the pixel, amid four their mean, a quarter on the weights by hand."""
    x, y, step = radio_map.x0_m, radio_map.y0_m, radio_map.pixel_m
    columns = radio_map.columns
    corner = [gain_db[p] for p in (0, 1, columns, columns + 1)]
    np.testing.assert_array_equal(interpolate_gain(radio_map, gain_db, x, y), corner[0])
    middle = interpolate_gain(radio_map, gain_db, x + step / 2, y + step / 2)
    np.testing.assert_allclose(middle, sum(corner) / 4, atol=1e-4)
    quarter = interpolate_gain(radio_map, gain_db, x + step / 4, y + step / 2)
    expected = (3 * corner[0] + corner[1] + 3 * corner[2] + corner[3]) / 8
    np.testing.assert_allclose(quarter, expected, atol=1e-4)
    beyond = interpolate_gain(radio_map, gain_db, 1e6, 1e6)
    np.testing.assert_allclose(beyond, gain_db[-1], atol=1e-4)


def test_reference_power_is_that_of_one_resource_element() -> None:
    """46 dBm over 106 blocks of 12: 46 - 10 log10 1272 = 14.955 dBm; asleep is nothing."""
    network = hex_grid(1, 500.0)
    power = reference_power_dbm(network, np.full(3, 46.0), np.array([False, True, False]))
    assert power[0] == pytest.approx(46.0 - 31.0449, abs=1e-3)
    assert power[1] == PADDING_DB


def test_best_server_and_sinr_agree_with_numpy(
    network: Network, radio_map: RadioMap, gain_db: Floats32
) -> None:
    """Strongest cell, RSRP, and SINR at half load, against a plain array calculation."""
    element = reference_power_dbm(network, POWER_DBM)
    rsrp = gain_db[:, :21].astype(np.float64) + element
    best = rsrp.argmax(axis=1)
    received = 10 ** (rsrp / 10)
    wanted = received[np.arange(len(best)), best]
    noise = 10 ** ((-174 + 10 * np.log10(15e3) + 9) / 10)
    sinr = 10 * np.log10(wanted / (0.5 * (received.sum(axis=1) - wanted) + noise))
    cell = best_server_cell(radio_map, gain_db, element)
    assert cell.values.shape == (radio_map.rows, radio_map.columns)
    np.testing.assert_array_equal(cell.values.reshape(-1), best)
    strongest = best_server_rsrp_dbm(radio_map, gain_db, element)
    np.testing.assert_allclose(strongest.values.reshape(-1), rsrp.max(axis=1), atol=1e-4)
    found = sinr_db_raster(radio_map, network, gain_db, element, np.full(21, 0.5))
    np.testing.assert_allclose(found.values.reshape(-1), sinr, atol=1e-3)


def test_other_carriers_do_not_interfere() -> None:
    """A second layer at full load leaves the SINR of the first as it is."""
    design = SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)
    network = hex_grid(1, 500.0, design)
    made = build_radio_map(network, np.random.default_rng(3), pixel_m=50.0)
    gain = total_gain_db(made, network, np.full(6, 4.0))
    element = reference_power_dbm(network, np.array([46.0] * 3 + [20.0] * 3))
    load = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    alone = sinr_db_raster(made, network, gain, element, np.zeros(6)).values
    beside = sinr_db_raster(made, network, gain, element, load).values
    first_layer = best_server_cell(made, gain, element).values < 3
    assert first_layer.mean() > 0.9
    np.testing.assert_array_equal(beside[first_layer], alone[first_layer])


def test_a_network_asleep_serves_nobody(
    network: Network, radio_map: RadioMap, gain_db: Floats32
) -> None:
    """With every cell off the map shows the floor."""
    element = reference_power_dbm(network, POWER_DBM, np.ones(21, dtype=np.bool_))
    found = best_server_rsrp_dbm(radio_map, gain_db, element)
    assert (found.values == NOTHING_DBM).all()


def test_relations_are_mutual_unique_and_hold_the_own_site(
    network: Network, gain_db: Floats32
) -> None:
    """Every relation has its reverse; the sectors of a site know each other first."""
    source, target = neighbour_relations(gain_db, network, POWER_DBM)
    pairs = list(zip(source.tolist(), target.tolist(), strict=True))
    assert source.dtype == target.dtype == np.int32
    assert len(set(pairs)) == len(pairs)
    assert {(j, i) for i, j in pairs} == set(pairs)
    assert all(i != j for i, j in pairs)
    assert (np.diff(source) >= 0).all()
    for cell in range(21):
        own = [j for i, j in pairs if i == cell][:2]
        assert {network.site_ids[j] for j in own} == {network.site_ids[cell]}


def test_relations_are_the_cells_that_are_nearly_as_strong(network: Network) -> None:
    """A made-up map: cell 0 serves, 3 is 5 dB weaker everywhere, 6 is 7 dB, all else gone."""
    gain = np.full((1000, 32), -250.0, np.float32)
    gain[:, 0], gain[:, 3], gain[:, 6] = -80.0, -85.0, -87.0
    gain[:2, 9] = -86.0  # on 0.2 % of the pixels
    gain[:1, 12] = -86.0  # on 0.1 %
    source, target = neighbour_relations(gain, network, POWER_DBM, within_db=6.0)
    assert set(target[source == 0].tolist()) == {1, 2, 3, 9}
    assert target[source == 0].tolist()[2:] == [3, 9]
    wider = neighbour_relations(gain, network, POWER_DBM, within_db=8.0)
    assert wider[1][wider[0] == 0].tolist()[2:] == [3, 6, 9]


def test_one_sided_overlap_makes_neighbours_both_ways(network: Network) -> None:
    """Cell 20 serves everywhere with 6 and 9 near; 6 and 9 themselves serve nowhere."""
    gain = np.full((100, 32), -250.0, np.float32)
    gain[:, 20], gain[:, 6], gain[:50, 9] = -80.0, -84.0, -84.0
    source, target = neighbour_relations(gain, network, POWER_DBM)
    assert target[source == 20].tolist() == [18, 19, 6, 9]
    assert target[source == 6].tolist() == [7, 8, 20]
    assert target[source == 9].tolist() == [10, 11, 20]


def test_relations_stop_at_the_cap_with_the_most_important(
    network: Network, gain_db: Floats32
) -> None:
    """At most four each, still mutual, own site still there."""
    source, target = neighbour_relations(gain_db, network, POWER_DBM, max_per_cell=4)
    assert np.bincount(source, minlength=21).max() == 4
    pairs = set(zip(source.tolist(), target.tolist(), strict=True))
    assert {(j, i) for i, j in pairs} == pairs
    assert {(3 * site, 3 * site + 1) for site in range(7)} <= pairs


def test_wrong_input_is_refused(network: Network) -> None:
    """Pixels of no size, bounds inside out, and antennas below the users."""
    rng = np.random.default_rng(1)
    with pytest.raises(BadInput, match="pixel_m"):
        build_radio_map(network, rng, pixel_m=0.0)
    with pytest.raises(BadInput, match="west < east"):
        build_radio_map(network, rng, bounds=(1.0, 0.0, 0.0, 1.0))
    with pytest.raises(BadInput, match="height_m"):
        build_radio_map(replace(network, height_m=np.full(21, 1.0)), rng)


def test_a_lone_site_gets_a_kilometre_around_it() -> None:
    """Without a neighbour there is no distance to take the margin from."""
    made = build_radio_map(highway(1, 500.0), np.random.default_rng(1), pixel_m=100.0)
    assert (made.rows, made.columns) == (21, 21)


def test_a_map_of_ten_metres_is_near_the_exact_loss() -> None:
    """Between pixels, a smooth loss is off by less than the bound of bilinear interpolation.

    By hand: a fall of 39.08 log10(d) dB (UMa without line of sight) bends by at most
    39.08 / ln 10 / d² along either axis, 0.0034 dB/m² at the nearest place, 71 m away; the
    error is at most 10² / 8 times the sum of both bends: 0.085 dB.
    """
    columns, pixel_m = 61, 10.0
    x_m = 50.0 + np.arange(columns) * pixel_m
    exact_db = -39.08 * np.log10(np.hypot(x_m[None, :], x_m[:, None]))
    radio_map = RadioMap(
        50.0, 50.0, pixel_m, columns, columns, np.zeros((1, columns**2), np.float32),
        np.zeros(1, np.int32),
    )  # fmt: skip
    gain_db = exact_db.reshape(-1, 1).astype(np.float32)
    rng = np.random.default_rng(1)
    errors = [
        float(interpolate_gain(radio_map, gain_db, x, y)[0]) + 39.08 * math.log10(math.hypot(x, y))
        for x, y in rng.uniform(50.0, 650.0, (500, 2))
    ]
    assert max(np.abs(errors)) < 0.085
    assert max(np.abs(errors)) > 0.001  # there is something to measure


def test_a_map_of_ten_metres_keeps_the_quantiles_of_sinr() -> None:
    """Gains read from every fourth pixel of a 2.5 m map move no quantile of SINR by 0.2 dB.

    The shadowing of TR 38.901 is rough, so single places differ by more; the acceptance
    test of the model is on quantiles.
    """
    network, half_m = hex_grid(1, 500.0, SiteDesign(carrier_hz=2.1e9)), 440.0
    network = replace(network, x_m=network.x_m - 150.0)
    radio_map = build_radio_map(
        network, np.random.default_rng(5), pixel_m=2.5, bounds=(-half_m, -half_m, half_m, half_m)
    )
    fine = total_gain_db(radio_map, network, np.full(3, 11.0))
    shape = (radio_map.rows, radio_map.columns)
    coarse = fine.copy()
    kept_y, kept_x = np.arange(0, shape[0], 4), np.arange(0, shape[1], 4)
    for cell in range(3):
        kept = fine[:, cell].reshape(shape)[::4, ::4]
        across = np.stack([np.interp(np.arange(shape[1]), kept_x, row) for row in kept])
        along = np.stack([np.interp(np.arange(shape[0]), kept_y, column) for column in across.T])
        coarse[:, cell] = along.T.ravel()
    power = reference_power_dbm(network, np.full(3, 46.0))
    quantiles = [
        np.quantile(
            sinr_db_raster(radio_map, network, gain, power, np.full(3, 0.5)).values,
            [0.05, 0.25, 0.5, 0.75, 0.95],
        )
        for gain in (fine, coarse)
    ]
    assert np.abs(quantiles[1] - quantiles[0]).max() < 0.2
