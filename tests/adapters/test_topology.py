"""Site lists become networks, what is assumed is said, and what is wrong is refused."""

import gzip
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellhive.adapters.sites.topology import BoundingBox, SiteList, read_sites, write_sites
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Network
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.parameters import default_parameters

DATA = Path(__file__).parents[3] / "shared" / "data"
FULL = (
    "cell;site;latitude;longitude;azimuth_deg;height_m;power_dBm;band;bandwidth_MHz;etilt;mtilt;"
    "environment\n"
    "A1;A;45,4600;9,1900;30;28;46;n78;100;4;1;UMa\n"
    "A2;A;45,4600;9,1900;150;28;46;n78;100;4,5;1;UMa\n"
    "A3;A;45,4600;9,1900;-90;28;43;B3;20;6;0;urban\n"
    "B1;B;45,4650;9,1950;0;12;40;3500 MHz;20;3;0;micro cell\n"
)


def put(folder: Path, data: bytes | str, name: str = "sites.csv") -> Path:
    """Write a site list to read."""
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def read(folder: Path, text: str, bbox: str = "") -> SiteList:
    """Return what a site list with this content gives."""
    return read_sites(put(folder, text), bbox=BoundingBox.parse(bbox) if bbox else None)


def test_full_list_is_taken_as_it_stands(tmp_path: Path) -> None:
    """Every column is read in its unit; only what is not in the list is assumed."""
    result = read(tmp_path, FULL)
    network = result.network
    assert network.name == "sites"
    assert network.cell_ids == ("A1", "A2", "A3", "B1")
    assert network.site_ids == ("A", "A", "A", "B")
    assert network.azimuth_deg.tolist() == [30, 150, 270, 0]
    assert network.height_m.tolist() == [28, 28, 28, 12]
    assert network.mechanical_tilt_deg.tolist() == [1, 1, 0, 0]
    assert network.carrier_hz.tolist() == [3.55e9, 3.55e9, 1842.5e6, 3.5e9]  # middle of n78, B3
    assert network.bandwidth_hz.tolist() == [100e6, 100e6, 20e6, 20e6]
    assert network.environment == ("UMa", "UMa", "UMa", "UMi")
    assert network.coverage_cell.tolist() == [False, False, True, True]
    assert network.relations == 0
    assert result.electrical_tilt_deg.tolist() == [4, 4.5, 6, 3]
    assert result.tx_power_dbm.tolist() == [46, 46, 43, 40]
    assert len(result.notes) == 1
    assert result.notes[0].startswith("coverage cells: all 4 cells without; 2 on the lowest")
    assert result.findings == ()


def test_positions_are_metres_around_the_middle(tmp_path: Path) -> None:
    """0.005 deg are 555.97 m north and, at 45.4625 deg, 389.91 m east (computed by hand)."""
    network = read(tmp_path, FULL).network
    assert (network.origin_lat_deg, network.origin_lon_deg) == pytest.approx((45.4625, 9.1925))
    north, east = np.ptp(network.y_m), np.ptp(network.x_m)
    assert north == pytest.approx(6371008.8 * math.radians(0.005))
    assert east == pytest.approx(north * math.cos(math.radians(45.4625)))


def test_bare_positions_get_defaults_that_are_said(tmp_path: Path) -> None:
    """Two points become two sites of three sectors; each default is a note with its number."""
    result = read(tmp_path, "lon,lat\n9.19,45.46\n9.20,45.46\n")
    network = result.network
    assert network.cell_ids == (
        "site-1-1", "site-1-2", "site-1-3", "site-2-1", "site-2-2", "site-2-3",
    )  # fmt: skip
    assert network.azimuth_deg.tolist() == [30, 150, 270] * 2
    assert network.environment == ("UMa",) * 6  # 780 m apart
    assert network.height_m.tolist() == [25] * 6
    assert set(network.carrier_hz.tolist()) == {3.5e9}
    assert result.tx_power_dbm.tolist() == [46] * 6
    said = "\n".join(result.notes)
    for word in ("azimuth", "environment", "carrier", "height", "tilt", "bandwidth", "power"):
        assert re.search(rf"^{word}|^\w+ {word}", said, re.MULTILINE), word
    assert "2 sites got three sectors each" in said
    assert "median 780 m" in said


def test_rows_on_one_point_are_spread_evenly(tmp_path: Path) -> None:
    """Three rows without azimuth on a point look 120 deg apart; a lone cell is omni."""
    text = "cell,lat,lon\na,45.46,9.19\nb,45.46,9.19\nc,45.46,9.19\nd,45.47,9.19\n"
    result = read(tmp_path, text)
    assert result.network.azimuth_deg.tolist() == [30, 150, 270, 0]
    assert result.network.omnidirectional is not None
    assert result.network.omnidirectional.tolist() == [False, False, False, True]
    assert result.network.site_ids == ("a", "a", "a", "d")
    assert "azimuth: not in the file; 3 cells were spread evenly around their site" in result.notes
    assert "azimuth: not in the file; 1 cells alone on their site were made omni" in result.notes


def test_site_named_rows_with_azimuths_are_its_sectors(tmp_path: Path) -> None:
    """A site id that repeats with other azimuths is no duplicate; its cells are numbered."""
    text = "enb,lat,lon,azimuth\n7,45.46,9.19,0\n7,45.46,9.19,120\n8,45.47,9.19,\n"
    network = read(tmp_path, text).network
    assert network.cell_ids == ("7-1", "7-2", "8")
    assert network.azimuth_deg.tolist() == [0, 120, 0]


@pytest.mark.parametrize(
    ("header", "values", "dbm"),
    [
        ("power_w", ["40", "20"], [46.0, 43.0]),
        ("Power [mW]", ["40000", "10000"], [46.0, 40.0]),
        ("tx_power (dBm)", ["20", "23.5"], [20.0, 23.5]),
        ("power", ["46", "43"], [46.0, 43.0]),
        ("power", ["20", "5"], [43.0, 37.0]),
        ("power", ["80", "40"], [49.0, 46.0]),
    ],
)
def test_power_is_read_in_its_unit(
    tmp_path: Path, header: str, values: list[str], dbm: list[float]
) -> None:
    """10 log10(40 W / 1 mW) = 46.02 dBm, 20 W 43.01, 80 W 49.03, 5 W 36.99, 10 W 40."""
    text = f"cell,lat,lon,azimuth,{header}\n" + "".join(
        f"c{i},45.46,9.19,{i},{value}\n" for i, value in enumerate(values)
    )
    result = read(tmp_path, text)
    assert result.tx_power_dbm.tolist() == dbm
    guessed = any("names no unit" in note for note in result.notes)
    assert guessed == (header == "power")


def test_tilt_of_unknown_kind_is_taken_for_electrical(tmp_path: Path) -> None:
    """A column that only says tilt fills what the electrical one leaves open, and that is said."""
    result = read(tmp_path, "cell,lat,lon,azimuth,tilt\na,45.46,9.19,0,4\nb,45.46,9.19,9,\n")
    assert result.electrical_tilt_deg.tolist() == [4, 6]
    assert "tilt: taken for electrical tilt in 1 of 2 cells" in result.notes
    assert "electrical tilt: 1 of 2 cells without; 6 deg assumed" in result.notes


@pytest.mark.parametrize(
    ("row", "environment", "height_m"),
    [
        ("10,", "UMi", 10.0),
        ("30,", "UMa", 30.0),
        (",", "UMa", 25.0),
        ("0,", "UMa", 25.0),
        (",rural", "RMa", 35.0),
        ("40,RMa", "RMa", 40.0),
    ],
)
def test_environment_and_height_complete_one_another(
    tmp_path: Path, row: str, environment: str, height_m: float
) -> None:
    """A low antenna means UMi; an unknown height, or one of 0 m, is that of the scenario."""
    text = f"cell,lat,lon,azimuth,height,environment\na,45.46,9.19,0,{row}\n"
    network = read(tmp_path, text).network
    assert network.environment == (environment,)
    assert network.height_m.tolist() == [height_m]


@pytest.mark.parametrize(("step_deg", "expected"), [(0.002, "UMi"), (0.008, "UMa"), (0.03, "RMa")])
def test_environment_follows_site_distance(tmp_path: Path, step_deg: float, expected: str) -> None:
    """Sites 222 m, 890 m and 3.3 km apart are taken for UMi, UMa and RMa."""
    rows = "".join(f"{45 + i * step_deg},{9.0}\n" for i in range(2))
    assert set(read(tmp_path, "lat,lon\n" + rows).network.environment) == {expected}


def test_repeated_rows_are_merged(tmp_path: Path) -> None:
    """The same cell on the same point, listed twice, is one cell."""
    result = read(tmp_path, "id,lat,lon\na,45.46,9.19\na,45.46,9.19\nb,45.47,9.19\n")
    assert len(set(result.network.site_ids)) == 2
    assert result.notes[0] == "1 repeated rows were merged"


def test_later_row_wins_only_where_there_are_dates(tmp_path: Path) -> None:
    """Contradicting rows of a cell are an error without dates, else the latest is kept."""
    rows = "a,45.46,9.19,2015-01-01\na,45.47,9.19,2020-01-01\nb,45.46,9.18,2016-01-01\n"
    result = read(tmp_path, "cell,lat,lon,updated\n" + rows)
    assert np.ptp(result.network.y_m) == pytest.approx(1111.95, abs=0.1)
    assert "1 rows contradicted a later one" in result.notes[0]
    undated = re.sub(r",20\d\d-01-01", "", rows)
    with pytest.raises(BadInput, match="'a' differs in lines 2, 3"):
        read(tmp_path, "cell,lat,lon\n" + undated)
    same_day = re.sub(r"20\d\d-01-01", "2020-01-01", rows)
    with pytest.raises(BadInput, match="'a' differs in lines 2, 3"):
        read(tmp_path, "cell,lat,lon,updated\n" + same_day)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,longitude\na,9\n", "a column with the latitude"),
        ("id,lat\na,45\n", "a column with the longitude"),
        ("lat,lon\n45,9\nx,9\n45,\nnan,9\n", "line 3: lat 'x' is not a number; line 4: the"),
        ("lat,lon\n45,9\ninf,9\n", "line 3: lat 'inf' is not a number"),
        ("lat,lon\n45,181\n", "line 2: latitude 45, longitude 181"),
        ("lat,lon\n-91,170\n", "line 2: latitude -91, longitude 170"),
        ("lat,lon\n120,45\n121,45\n", "rows that look swapped, found line 2"),
        ("lat,lon\n45,9\n45.01,9.01\n9.02,45.02\n", "rows that look swapped, found line 4"),
        ("lat,lon\n45,9\n45.01,9.01\n91,9.02\n", "latitudes from -90 to 90 and longitudes"),
        ("cell,lat,lon\n,45,9\n", "line 2: the cell is missing"),
        ("cell,lat,lon,height\na,45,9,-3\n", "line 2: height -3 is not 0 to 500 m"),
        ("cell,lat,lon,azimuth\na,45,9,400\n", "azimuth 400 is not -360 to 360 deg"),
        ("cell,lat,lon,etilt\na,45,9,16\n", "electrical_tilt 16 is not 0 to 15 deg"),
        ("cell,lat,lon,band\na,45,9,n999\n", "band 'n999' is no band"),
        ("cell,lat,lon,environment\na,45,9,moon\n", "environment 'moon' is not UMa, UMi or RMa"),
        ("cell,lat,lon,bandwidth\na,45,9,3\n", "line 2: 3 MHz"),
        ("cell,lat,lon,power_dbm\na,45,9,63\n", "from 0 to 53 dBm (not EIRP), found line 2: 63"),
        ("cell,lat,lon,power_w\na,45,9,0\n", "line 2: 0"),
        ("cell,lat,lon,omni\na,45,9,maybe\n", "omni 'maybe' is not yes or no"),
        ("lat,lon\n", "found no rows"),
        ("", "an empty file"),
        ("\x00\x01", "a binary file"),
        ("lat,lon\n45,9,7\n", "line 2: expected 2 fields as in the header, found 3"),
        ('[{"lat": 45}, {"lat": 46}]', "a column with the longitude"),
        ('{"a": 1', "broken JSON"),
        ("[1, 2]", "a JSON list with one object per site or cell"),
        ("[]", "a JSON list"),
        ("[" * 100_000, "broken JSON"),
    ],
)
def test_bad_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Each way a list can be wrong is named, with its first rows."""
    path = put(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        read_sites(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_many_bad_rows_give_one_short_message(tmp_path: Path) -> None:
    """Five rows are named, the others counted."""
    with pytest.raises(BadInput, match=r"line 6: .*; and 95 more; correct") as caught:
        read(tmp_path, "lat,lon\n" + "x,9\n" * 100)
    assert len(str(caught.value)) < 500


def test_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    """A path that is not there, and a folder, are told apart."""
    with pytest.raises(NotFound, match="no such file"):
        read_sites(tmp_path / "none.csv")
    with pytest.raises(BadInput, match="a folder"):
        read_sites(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "four degrees"),
        ("1,2,3,4,5", "four degrees"),
        ("a,b,c,d", "four degrees"),
        ("nan,0,1,1", "four degrees"),
        ("9.3,45.3,9.1,45.5", "not above its minimum"),
        ("45.3,9.1,45.5,95", "longitude comes first"),
    ],
)
def test_bad_boxes_are_refused(text: str, message: str) -> None:
    """A box is four numbers, west and south first."""
    with pytest.raises(BadInput, match=message):
        BoundingBox.parse(text)


def test_box_cuts_and_says_where_the_sites_are(tmp_path: Path) -> None:
    """A box keeps the sites in it; an empty one is answered with the extent of the file."""
    text = "cell,lat,lon\na,45.46,9.19\nb,45.47,9.20\n"
    assert read(tmp_path, text, "9.18,45.45,9.195,45.465").network.cell_ids == ("a",)
    with pytest.raises(BadInput, match=r"the 2 rows of the file lie in 9.19,45.46,9.2,45.47"):
        read(tmp_path, text, "10,45,11,46")
    with pytest.raises(BadInput, match="once latitude and longitude are swapped"):
        read(tmp_path, "cell,lat,lon\na,9.19,45.46\nb,9.20,45.47\n", "9,45,10,46")


@settings(deadline=None)
@given(
    box=st.builds(
        lambda w, s, dx, dy: BoundingBox(w, s, w + dx, s + dy),
        st.integers(-179, 170), st.integers(-89, 80), st.integers(1, 9), st.integers(1, 9),
    )
)  # fmt: skip
def test_boxes_come_back(box: BoundingBox) -> None:
    """A box reads what it writes."""
    assert BoundingBox.parse(str(box)) == box


def test_too_much_for_one_twin_suggests_a_box_that_works(tmp_path: Path) -> None:
    """Too many cells, or too far apart: the box in the message can be used as it stands."""
    rng = np.random.default_rng(1)
    spots = np.concatenate([rng.normal((45.5, 9.2), 0.004, (60, 2)), rng.uniform(45, 46, (200, 2))])
    spots[60:, 1] -= 36.4
    text = "lat,lon\n" + "".join(f"{lat:.5f},{lon:.5f}\n" for lat, lon in spots)
    with pytest.raises(BadInput, match="780 cells") as caught:
        read(tmp_path, text)
    box = re.search(r"--bbox (\S+)$", str(caught.value))
    assert box is not None
    network = read(tmp_path, text, box[1]).network
    assert 60 <= network.cells <= 200
    assert BoundingBox.parse(box[1]).holds(45.5, 9.2)


def test_far_apart_sites_are_refused(tmp_path: Path) -> None:
    """Two cells 111 km apart are no city."""
    with pytest.raises(BadInput, match=r"2 cells within 111.2 km") as caught:
        read(tmp_path, "cell,lat,lon\na,45,9\nb,46,9\n")
    box = BoundingBox.parse(str(caught.value).split("--bbox ")[1])  # a mast alone is a box too
    assert box.holds(45, 9) or box.holds(46, 9)


def test_json_with_one_object_per_cell_is_read(tmp_path: Path) -> None:
    """Flat objects, and objects one level down, as simulators write them."""
    text = (
        '{"cellList": [{"Cell": {"cellId": "c1", "latitude": "45.46", "longitude": 9.19},'
        ' "neighbor": [{"cellId": "c2"}]},'
        ' {"Cell": {"cellId": "c2", "latitude": 45.47, "longitude": "9.19"}, "neighbor": []}]}'
    )
    assert read_sites(put(tmp_path, text, "a.json")).network.cell_ids == ("c1", "c2")
    with pytest.raises(BadInput, match="item 1: lat 'x'"):
        read(tmp_path, '[{"lat": "x", "lon": 9}]')


def test_cell_identities_are_gathered_at_their_base_station(tmp_path: Path) -> None:
    """28-bit identities without azimuths: base station = identity // 256, at the median."""
    node = 500_000
    rows = "".join(
        f"{node * 256 + i},{45.46 + i * 0.001:.3f},9.19\n{(node + 1) * 256 + i},45.5,9.2\n"
        for i in range(3)
    )
    result = read(tmp_path, "bs_id,lat,lon\n" + rows)
    assert set(result.network.site_ids) == {"500000", "500001"}
    first = [i for i, site in enumerate(result.network.site_ids) if site == "500000"]
    assert np.ptp(result.network.y_m[first]) == 0
    assert result.network.azimuth_deg[first].tolist() == [30, 150, 270]
    assert any("looks like E-UTRAN cell identities" in note for note in result.notes)


def test_odd_lists_are_remarked_on(tmp_path: Path) -> None:
    """Sites on one point, equal sectors and very high masts can be used but are said."""
    text = (
        "cell,site,lat,lon,azimuth,height\na,A,45.46,9.19,0,200\nb,B,45.46,9.19,0,30\n"
        "c,C,45.46,9.1905,0,30\nd,C,45.46,9.1905,0,30\n"
    )
    findings = "\n".join(read(tmp_path, text).findings)
    assert "1 points with several sites within 5 m, such as A, B" in findings
    assert "1 groups of cells share site, azimuth and carrier" in findings
    assert "1 antennas are higher than 150 m" in findings
    assert "may hold several operators" in findings


def assert_same(one: SiteList, two: SiteList) -> None:
    """Compare two site lists; positions to a millimetre."""
    for name in ("cell_ids", "site_ids", "environment"):
        assert getattr(one.network, name) == getattr(two.network, name)
    for name in ("x_m", "y_m"):
        a, b = getattr(one.network, name), getattr(two.network, name)
        np.testing.assert_allclose(a - a[0], b - b[0], rtol=1e-5, atol=1e-3)
    for name in (
        "height_m", "azimuth_deg", "mechanical_tilt_deg", "carrier_hz", "bandwidth_hz",
        "coverage_cell", "protected", "omnidirectional",
    ):  # fmt: skip
        np.testing.assert_array_equal(getattr(one.network, name), getattr(two.network, name))
    np.testing.assert_array_equal(one.electrical_tilt_deg, two.electrical_tilt_deg)
    np.testing.assert_array_equal(one.tx_power_dbm, two.tx_power_dbm)


def test_generated_network_comes_back(tmp_path: Path) -> None:
    """A hexagonal city with two layers survives a site list, with nothing to assume."""
    design = SiteDesign(capacity_carrier_hz=2.6e9, capacity_bandwidth_hz=20e6)
    network = hex_grid(7, 500.0, design)
    network = replace(
        network,
        protected=np.arange(network.cells) == 3,
        omnidirectional=np.arange(network.cells) == 5,
        origin_lat_deg=45.46,
        origin_lon_deg=9.19,
    )
    parameters = default_parameters(network, tx_power_dbm=43.5, electrical_tilt_deg=7.0)
    path = tmp_path / "city.csv"
    write_sites(network, path, parameters)
    result = read_sites(path)
    expected = SiteList(network, parameters.electrical_tilt_deg, parameters.tx_power_dbm, (), ())
    assert_same(result, expected)
    assert result.notes == ()
    assert [p.name for p in tmp_path.iterdir()] == ["city.csv"]


def test_power_and_tilt_are_left_out_where_they_are_not_known(tmp_path: Path) -> None:
    """Without parameters the columns are not written, and reading says what it assumes."""
    path = tmp_path / "city.csv"
    write_sites(hex_grid(1, 500.0), path)
    assert "power" not in path.read_text().splitlines()[0]
    result = read_sites(path)
    assert len(result.notes) == 2


SLACK = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAME = st.text(
    st.characters(codec="ascii", exclude_categories=("Cc",)), min_size=1, max_size=8
).filter(lambda name: name == name.strip() and not name.startswith(("{", "[")))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Return any network of a few cells that a site list can hold."""
    names = draw(st.lists(NAME, min_size=1, max_size=5, unique=True))
    count = len(names)

    def floats(low: float, high: float) -> np.ndarray:
        values = st.floats(low, high).map(lambda v: round(v, 3))
        return np.array(draw(st.lists(values, min_size=count, max_size=count)))

    def flags() -> np.ndarray:
        return np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))

    return Network(
        name="any",
        cell_ids=tuple(names),
        site_ids=tuple(f"site {i // 3}" for i in range(count)),
        x_m=floats(-9000, 9000),
        y_m=floats(-9000, 9000),
        height_m=floats(1, 60),
        azimuth_deg=floats(0, 359),
        mechanical_tilt_deg=floats(0, 9),
        carrier_hz=floats(0.7, 28) * 1e9,
        bandwidth_hz=np.full(count, draw(st.sampled_from([5e6, 20e6, 100e6]))),
        environment=tuple(draw(st.sampled_from(["UMa", "UMi", "RMa"])) for _ in names),
        coverage_cell=flags(),
        protected=flags(),
        relation_source=np.zeros(0, np.int32),
        relation_target=np.zeros(0, np.int32),
        origin_lat_deg=draw(st.floats(-60, 60)),
        origin_lon_deg=draw(st.floats(-170, 170)),
        omnidirectional=flags(),
    )


@SLACK
@given(network=networks(), power=st.floats(0, 53), tilt=st.floats(0, 15))
def test_any_network_comes_back(
    tmp_path: Path, network: Network, power: float, tilt: float
) -> None:
    """What is written is read, and reading it again gives the very same network."""
    parameters = default_parameters(network, tx_power_dbm=power, electrical_tilt_deg=tilt)
    path = tmp_path / "any.csv"
    write_sites(network, path, parameters)
    once = read_sites(path)
    given_list = SiteList(network, parameters.electrical_tilt_deg, parameters.tx_power_dbm, (), ())
    for name in ("cell_ids", "site_ids", "environment"):
        assert getattr(once.network, name) == getattr(network, name)
    np.testing.assert_array_equal(once.tx_power_dbm, given_list.tx_power_dbm)
    write_sites(once.network, path, parameters)
    assert_same(read_sites(path), once)


@SLACK
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_random_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    """No bytes give anything but an error that says what is wrong."""
    with pytest.raises(BadInput):
        read_sites(put(tmp_path, data))


@SLACK
@given(where=st.integers(0, 400), new=st.binary(max_size=6), cut=st.integers(0, 30))
def test_damaged_lists_give_a_network_or_an_error(
    tmp_path: Path, where: int, new: bytes, cut: int
) -> None:
    """A list with some bytes exchanged is refused or read; nothing else happens."""
    data = FULL.encode()
    try:
        network = read_sites(put(tmp_path, data[:where] + new + data[where + cut :])).network
    except BadInput:
        return
    assert network.cells == len(set(network.cell_ids)) > 0
    assert np.isfinite(np.stack([network.x_m, network.y_m, network.carrier_hz])).all()


MILAN = "milan_bs_opencellid"
ONAP = "topology_onap_ransim"


@pytest.mark.parametrize(
    ("name", "sites"),
    [
        (f"{MILAN}/aggregated_bs_data-LTE.csv", 5812),
        (f"{MILAN}/aggregated_bs_data-LTE-UMTS.csv", 8280),
        (f"{MILAN}/cell_base_stations_aggregated-LTE.csv", 5812),
        (f"{MILAN}/cell_base_stations_mapped-LTE.csv.gz", 2492),
        (f"{ONAP}/1050cells.json.gz", 1001),
        (f"{ONAP}/testsuite_5gson_dump_file.json.gz", 1001),
        (f"{ONAP}/latestDump.json.gz", 360),
    ],
)
def test_real_lists_are_read_through_the_box_they_suggest(name: str, sites: int) -> None:
    """Whole lists are too large for a twin; the suggested part of each becomes a network.

    The number of sites is that of distinct ids in the file (of base stations, identity //
    256, in the mapped list), counted independently.
    """
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"the site list shared/data/{name} is not there")
    with pytest.raises(BadInput, match="at most 400 cells within 60 km") as caught:
        read_sites(path)
    found = re.search(r"found ([\d,]+) cells", str(caught.value))
    box = re.search(r"--bbox (\S+)$", str(caught.value))
    assert found is not None
    assert box is not None
    cells = int(found[1].replace(",", ""))
    assert cells == (9291 if "mapped" in name else 3 * sites)
    result = read_sites(path, bbox=BoundingBox.parse(box[1]))
    assert 3 <= result.network.cells <= 400
    assert any(note.startswith("azimuth: not in the file") for note in result.notes)
    if "mapped" in name:
        assert f"each of the {sites:,} base stations" in "\n".join(result.notes)


@pytest.mark.parametrize("name", ["gNBCUConfig.json", "ransimdata.json"])
def test_real_lists_without_positions_are_refused(name: str) -> None:
    """Cell lists without coordinates are no site lists, and are told so."""
    path = DATA / ONAP / name
    if not path.is_file():
        pytest.skip(f"the file shared/data/{ONAP}/{name} is not there")
    with pytest.raises(BadInput, match="a column with the latitude"):
        read_sites(path)


def test_gzip_bombs_are_stopped(tmp_path: Path) -> None:
    """A small file that grows beyond the bound is refused, not unpacked."""
    bomb = gzip.compress(b"lat,lon\n" + b"45,9\n" * 14_000_000)
    assert len(bomb) < 2**20
    with pytest.raises(BadInput, match="at most 64 MiB"):
        read_sites(put(tmp_path, bomb, "bomb.csv.gz"))
