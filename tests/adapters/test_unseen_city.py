"""The city that nothing is trained on: real sites, faults by seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.scenarios.unseen_city import LIST, NAME, SITES, unseen_city
from cellhive.core.errors import BadInput, NotFound
from cellhive.ran.scenarios import build_world

DATA = Path(__file__).parents[3] / "shared" / "data" / "milan_bs_opencellid"


def made_list(tmp_path: Path) -> Path:
    """Return a list of 25 base stations on a grid around the centre, some of others."""
    rows = ["bs_id,type,range,created,lng,lat,cellId,distance"]
    for index in range(25):
        lat, lon = 45.4642 + 0.003 * (index // 5 - 2), 9.19 + 0.004 * (index % 5 - 2)
        node = 21_500 + index
        rows += [f"{256 * node + cell},LTE,1000,x,{lon},{lat},1,0" for cell in (1, 2, 3)]
        rows.append(f"{256 * (node + 5000) + 1},LTE,1000,x,{lon + 0.001},{lat},1,0")
    rows.append(f"{256 * 21_600 + 1},LTE,1000,x,9.1901,45.4642,1,0")  # 8 m from the middle one
    file = tmp_path / "list.csv"
    file.write_text("\n".join(rows))
    return file


def test_nearest_sites_of_one_operator(tmp_path: Path) -> None:
    """Nineteen of the 25 base stations, three sectors each; ten in a hundred tilts are wrong."""
    scenario = unseen_city(made_list(tmp_path), 1)
    sites = scenario.real_sites
    assert sites is not None
    network = sites.network
    assert network.cells == 3 * SITES
    assert "21512" in set(network.site_ids)  # in the middle
    assert not {"21500", "21504", "21600", "26512"} & set(network.site_ids)
    assert sorted(set(sites.electrical_tilt_deg)) == [5.0, 11.0]
    assert int((sites.electrical_tilt_deg == 5.0).sum()) == 6
    other = unseen_city(made_list(tmp_path), 2).real_sites
    assert other is not None
    assert (other.electrical_tilt_deg != sites.electrical_tilt_deg).any()
    again = unseen_city(made_list(tmp_path), 1).real_sites
    assert again is not None
    np.testing.assert_array_equal(again.electrical_tilt_deg, sites.electrical_tilt_deg)


def test_faults_are_in_the_network_that_is_built(tmp_path: Path) -> None:
    """What is wrong in the recipe is wrong in the twin; event A3 waits everywhere."""
    scenario = replace(unseen_city(made_list(tmp_path), 1), users_per_cell=1)
    _, parameters = build_world(scenario, 1)
    assert int((parameters.electrical_tilt_deg == 5.0).sum()) == 6
    assert set(parameters.a3_offset_db) == {3.0}
    assert set(parameters.time_to_trigger_s) == {0.32}


def test_other_files_are_refused(tmp_path: Path) -> None:
    """No file, another table, no base station of the operator."""
    with pytest.raises(NotFound):
        unseen_city(tmp_path, 1)
    table = tmp_path / "table.csv"
    table.write_text("site,lat,lon\nA,45,9\n")
    with pytest.raises(BadInput, match="bs_id"):
        unseen_city(table, 1)
    table.write_text("bs_id,lat,lng\n769,45.46,9.19\n")
    with pytest.raises(BadInput, match="found 0 of them"):
        unseen_city(table, 1)


def test_central_milan() -> None:
    """The real list: 57 cells of one operator within two kilometres of the cathedral."""
    if not (DATA / LIST).is_file():
        pytest.skip(f"the site list shared/data/milan_bs_opencellid/{LIST} is not there")
    scenario = unseen_city(DATA, 201)
    sites = scenario.real_sites
    assert sites is not None
    assert scenario.name == NAME
    assert 50 <= sites.network.cells <= 60
    assert np.hypot(sites.network.x_m, sites.network.y_m).max() < 2500.0
