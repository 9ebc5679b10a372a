"""Scenario files: what they mean, that nothing wrong gets through, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from cellhive.adapters.scenarios import (
    library,
    library_text,
    load_scenario,
    parse_scenario,
    scenario_named,
    scenario_names,
    scenario_text,
)
from cellhive.adapters.scenarios.fields import SPLITS
from cellhive.adapters.scenarios.tree import MOST_BYTES
from cellhive.core.errors import BadInput, NotFound
from cellhive.ran.layout import SiteDesign
from cellhive.ran.scenarios import (
    FLAT_CURVE,
    HOUR_S,
    Event,
    HexLayout,
    HighwayLayout,
    Scenario,
    activity_curve,
    build_world,
)
from cellhive.ran.users import UserMix

CITY = HexLayout(19, 500.0, SiteDesign(carrier_hz=2.1e9))

RECIPES = (
    Scenario(
        "hex-urban",
        "A city of 57 cells over a day: hot spots, some wrong tilts, a quiet night.",
        ("demand_satisfied_ratio", "ue_throughput_p5_mbps", "rlf_per_ue_min"),
        CITY, 14, hours=24.0, start_h=6.0, hot_spots=4, hot_spot_share=0.15,
        mistilted_share=0.07,
    ),
    Scenario(
        "highway-corridor",
        "A highway at 120 km/h under TR 36.839 Set 1 (A3 3 dB, 480 ms): handovers too late.",
        ("handover_failure_ratio", "rlf_per_ue_min"),
        HighwayLayout(
            10, 1000.0, SiteDesign(carrier_hz=2.1e9, height_m=35.0, environment="RMa")
        ),
        9,
        mix=UserMix(
            users=0, indoor_share=0.0, pedestrian_share=0.0, street_share=0.05,
            highway_share=0.95,
        ),
        curve=FLAT_CURVE, a3_offset_db=3.0, hysteresis_db=0.0, time_to_trigger_s=0.48,
        tilt_deg=4.0,
    ),
    Scenario(
        "stadium-surge",
        "A stadium fills: three times the traffic within 250 m for four hours, on two "
        "carriers of which users crowd the lower.",
        ("demand_satisfied_ratio", "ue_throughput_p5_mbps"),
        HexLayout(7, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.1e9)),
        12, hours=8.0, start_h=15.0, hot_spots=1, hot_spot_share=0.3,
        hot_spot_radius_m=200.0, events=(Event(17 * HOUR_S, 21 * HOUR_S, 3.0),),
        peak_share=0.3,
    ),
    Scenario(
        "night-energy",
        "Two carriers through the night: capacity cells that nobody needs stay on.",
        ("power_w", "demand_satisfied_ratio"),
        HexLayout(7, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)),
        9, start_h=20.0, capacity_offset_db=6.0,
    ),
    Scenario(
        "mis-tilted",
        "One cell in ten points six degrees too far up and disturbs its neighbours.",
        ("ue_throughput_p5_mbps", "demand_satisfied_ratio", "interference_ratio"),
        CITY, 14, start_h=10.0, mistilted_share=0.1,
    ),
    Scenario(
        "healthy",
        "A well-tuned city at moderate load: nothing to repair, so nothing must break.",
        ("demand_satisfied_ratio", "ue_throughput_p5_mbps", "rlf_per_ue_min"),
        CITY, 10,
    ),
)  # fmt: skip
"""What the files of the package mean, written out by hand: published results rest on them."""

SMALL = """\
version: 1
name: small
title: One site.
focus: [demand_satisfied_ratio]
layout:
  kind: hex
  sites: 1
  inter_site_distance_m: 500
  carrier_mhz: 2100
users:
  per_cell: 5
"""


def changed(old: str, new: str) -> str:
    """Return the small scenario with one part written differently."""
    assert old in SMALL
    return SMALL.replace(old, new)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_file_means_what_the_recipe_says(recipe: Scenario) -> None:
    """Every number of the file is that of the recipe, so results do not move unnoticed."""
    assert scenario_named(recipe.name) == recipe


def test_the_library_has_these_scenarios_in_order() -> None:
    """Names, file names and order agree."""
    assert scenario_names() == tuple(recipe.name for recipe in RECIPES)
    assert [scenario.name for scenario in library().values()] == list(scenario_names())
    assert library_text("healthy").startswith("# The control")


@pytest.mark.parametrize("name", scenario_names())
def test_text_and_scenario_round_trip(name: str) -> None:
    """A scenario written out in full reads back as itself, and says the same again."""
    scenario = scenario_named(name)
    text = scenario_text(scenario)
    assert parse_scenario(text, "again") == scenario
    assert scenario_text(parse_scenario(text, "again")) == text


def test_everything_a_file_can_say_arrives(tmp_path: Path) -> None:
    """Keys that no scenario of the package uses reach the twin as well."""
    text = (
        SMALL
        + """\
  near_sites_share: 0.5
  indoor_loss_mean_db: 20
hot_spots: {count: 1, user_share: 0.2}
traffic:
  best_effort_mbps: 3
  peak_session_share: 0.4
  daily_curve: [[6, 0.25], [18, 1]]
events:
- {start_h: 22, end_h: 26, factor: 2}
faults:
  a3: {cell_share: 0.34, off_by_db: 2.5}
splits: {train: [1, 1], validation: [2, 3], test: [4, 9]}
"""
    )
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    scenario = scenario_named(str(path))
    assert scenario == load_scenario(path)
    assert scenario.mix.near_sites_share == 0.5
    assert scenario.mix.indoor_loss_db == (20.0, 4.4)
    assert scenario.traffic.elastic_mbps == 3.0
    assert scenario.splits.test == (4, 9)
    activity = activity_curve(scenario)
    # At noon the curve is half-way from 0.25 to 1: share 0.25, so 1/3 of a session per pause.
    np.testing.assert_allclose(activity(12 * HOUR_S), [1 / 3, 1 / 3])
    # At 0 and at 24 h the event is at its height: hot spots twice the share.
    night = activity(0.0)
    share = 0.4 * 0.625
    np.testing.assert_allclose(night, [share / (1 - share), 2 * share / (1 - 2 * share)])
    np.testing.assert_allclose(activity(24 * HOUR_S), night)
    world, parameters = build_world(scenario, 1)
    assert sorted(parameters.a3_offset_db) == [1.0, 1.0, 3.5]
    assert len(world.mix.clusters) == 1


BAD = {
    "unknown key": (changed("users:", "user:"), r"line 10: expected one of .*found 'user'; did you "
                    r"mean 'users'\?"),
    "unknown key inside": (changed("per_cell", "percell"),
        r"line 11, users: .*did you mean 'per_cell'"),
    "wrong unit": (changed("carrier_mhz: 2100", "carrier_hz: 2.1e9"),
        r"line 9, layout: .*'carrier_hz'; did you mean 'carrier_mhz'\?; "
        r"the unit is part"),
    "no unit": (changed("inter_site_distance_m", "inter_site_distance"),
                r"did you mean 'inter_site_distance_m'"),
    "key of another layout": (changed("inter_site_distance_m", "spacing_m"), r"line 8, layout"),
    "not a number": (changed("per_cell: 5", "per_cell: .nan"),
        r"line 11, users.per_cell: expected a number from 0.1 "
        r"to 200 users, found '.nan'"),
    "infinite": (changed("per_cell: 5", "per_cell: .inf"), r"found '.inf'"),
    "python infinite": (changed("per_cell: 5", "per_cell: 1e999"), r"found '1e999'"),
    "negative": (changed("per_cell: 5", "per_cell: -5"),
        r"expected a number from 0.1 .* found '-5'"),
    "a number in quotes": (changed("per_cell: 5", "per_cell: '5'"), r"expected a number"),
    "a time of day": (SMALL + "time: {start_h: 8:30}\n", r"time.start_h: .* found '8:30'"),
    "a yes": (changed("per_cell: 5", "per_cell: yes"), r"found 'yes'"),
    "a list": (changed("per_cell: 5", "per_cell: [5]"), r"found a list of 1"),
    "nothing": (changed("per_cell: 5", "per_cell:"), r"found nothing"),
    "half a site": (changed("sites: 1", "sites: 1.5"), r"a whole number from 1 to 127 sites"),
    "too many sites": (changed("sites: 1", "sites: 128"),
        r"line 7, layout.sites: expected a whole number from 1 to 127 sites, found '128'"),
    "hertz for megahertz": (changed("mhz: 2100", "mhz: 2.1e9"), r"500 to 7125 MHz, found '2.1e9'"),
    "no such channel": (changed("mhz: 2100", "mhz: 2100\n  bandwidth_mhz: 7"),
        r"line 10, layout.bandwidth_mhz: expected one of 5, .* found 7 MHz"),
    "one carrier twice": (
        changed("mhz: 2100", "mhz: 2100\n  capacity_carrier_mhz: 2100"),
        r"line 10, layout.capacity_carrier_mhz: expected another carrier",
    ),
    "no such environment": (changed("mhz: 2100", "mhz: 2100\n  environment: Mars"),
        r"UMa, UMi, RMa"),
    "a layout too many": (changed("kind: hex", "kind: ring"),
        r"one of hex, highway, sites, found 'ring'"),
    "missing key": (changed("  carrier_mhz: 2100\n", ""),
        r"the key carrier_mhz, found no such key"),
    "missing section": (SMALL.partition("layout")[0], r"expected the key layout"),
    "version to come": (changed("version: 1", "version: 2"), r"version: .* found '2'"),
    "twice": (SMALL + "version: 1\n",
        r"line 12: expected version once, found it again, first in line 1"),
    "a name with a path": (changed("name: small", "name: ../small"), r"lower-case letters"),
    "no such KPI": (changed("demand_satisfied_ratio", "happiness"), r"focus\[1\]: .*'happiness'"),
    "same KPI twice": (changed("ratio]", "ratio, demand_satisfied_ratio]"), r"different KPIs"),
    "shares beyond one": (
        SMALL + "  indoor_share: 0.5\n  pedestrian_share: 0.5\n  street_share: 0.5\n"
        "  highway_share: 0\n", r"that add up to 1, found 1.5"),
    "one share alone": (SMALL + "  indoor_share: 1\n", r"all four shares .* found no pedestrian"),
    "speeds the wrong way": (SMALL + "  street_m_s: [14, 6]\n", r"\[smallest, largest\]"),
    "too many hot spots": (SMALL + "hot_spots: {count: 2, user_share: 0.1}\n",
                           r"at most as many hot spots as sites, 1, found 2"),
    "an event for nobody": (SMALL + "events: [{start_h: 1, end_h: 2, factor: 1.5}]\n",
                            r"expected hot spots, whose users join events"),
    "an event backwards": (
        SMALL + "hot_spots: {count: 1, user_share: 0.1}\n"
        "events: [{start_h: 22, end_h: 2, factor: 1.5}]\n", r"22 to 2 h; add 24"),
    "more in session than there are": (
        SMALL + "hot_spots: {count: 1, user_share: 0.1}\n"
        "events: [{start_h: 1, end_h: 2, factor: 3}]\n", r"at most 0.95, found 1.5"),
    "hours that jump": (SMALL + "traffic: {daily_curve: [[6, 1], [2, 1]]}\n", r"hours that ascend"),
    "no hour at all": (SMALL + "traffic: {daily_curve: []}\n", r"hours that ascend"),
    "a curve unheard of": (SMALL + "traffic: {daily_curve: rural}\n", r"urban, flat"),
    "an offset off the grid": (SMALL + "parameters: {a3_offset_db: 1.2}\n",
                               r"TS 38.331 .* the nearest are 1 and 1.5"),
    "a tilt upwards": (SMALL + "parameters: {electrical_tilt_deg: -1}\n", r"0 to 15 deg"),
    "a layer that is not there": (SMALL + "parameters: {capacity_offset_db: 6}\n",
                                  r"give layout.capacity_carrier_mhz"),
    "half a fault": (SMALL + "faults: {tilt: {cell_share: 0.1}}\n", r"the key off_by_deg"),
    "splits that overlap": (
        SMALL + "splits: {train: [1, 10], validation: [10, 20], test: [30, 40]}\n",
        r"splits.validation: expected seeds that are not in train \(1 to 10\), found 10 to 20"),
    "a split forgotten": (SMALL + "splits: {train: [1, 10]}\n", r"the key validation"),
    "empty": ("", r"nothing in the file"),
    "a comment alone": ("# nothing\n", r"nothing in the file"),
    "not a mapping": ("- 1\n- 2\n", r"expected the keys version.* found a list of 2"),
    "a word": ("hello", r"found 'hello'"),
    "not YAML": ("a: [1,\nb: }", r"line 2: expected YAML"),
    "two documents": (SMALL + "---\n" + SMALL, r"expected YAML"),
    "a control character": ("name: \x00\n", r"expected YAML"),
    "an alias bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{n}: &{n} [{', '.join(['*' + p] * 9)}]\n"
                  for p, n in zip("abcdefg", "bcdefgh", strict=True)), r"an anchor or an alias"),
    "a python object": ("name: !!python/object/apply:os.system ['true']\n", r"plain values"),
    "deep nesting": ("a: " + "[" * 5000 + "]" * 5000, r"at most 8 levels"),
    "huge": ("# " + "x" * MOST_BYTES + "\n" + SMALL, r"at most 64 KiB"),
    "a site list from nowhere": (
        "version: 1\nname: a\ntitle: b\nfocus: [power_w]\nlayout: {kind: sites, file: x.csv}\n"
        "users: {per_cell: 1}\n", r"expected a generated layout, found a site list"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_refused_with_place_and_reason(text: str, message: str) -> None:
    """Each mistake names the text, what was expected there and what was found."""
    with pytest.raises(BadInput, match=message) as caught:
        parse_scenario(text, "bad.yaml")
    assert str(caught.value).startswith("bad.yaml")
    assert len(str(caught.value)) < 700


def test_the_small_scenario_is_good() -> None:
    """What the mistakes are made from is in order itself."""
    assert parse_scenario(SMALL, "small.yaml").users_per_cell == 5


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"a" * (MOST_BYTES + 1)],
                         ids=["empty", "not UTF-8", "huge"])  # fmt: skip
def test_files_that_are_no_text_are_refused(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no page of text never reach the parser."""
    path = tmp_path / "bad.yaml"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"bad\.yaml: expected"):
        load_scenario(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere is not taken for a name."""
    with pytest.raises(NotFound, match=r"none\.yaml"):
        scenario_named(str(tmp_path / "none.yaml"))


def test_a_site_list_lies_beside_its_scenario(tmp_path: Path) -> None:
    """Sites of a list keep their own tilts; the file is found from anywhere afterwards."""
    (tmp_path / "sites.csv").write_text(
        "id,lat,lon,azimuth,tilt\nA,52.5,13.4,0,4\nB,52.505,13.4,120,7\n", encoding="utf-8"
    )
    path = tmp_path / "town.yaml"
    head, _, tail = SMALL.partition("layout:")
    users = tail[tail.index("users:") :]
    path.write_text(f"{head}layout: {{kind: sites, file: sites.csv}}\n{users}", encoding="utf-8")
    scenario = load_scenario(path)
    assert scenario.network().cells == 2
    assert scenario.real_sites is not None
    recorded = yaml.safe_load(scenario_text(scenario))
    assert recorded["layout"] == {"kind": "sites", "file": str(tmp_path / "sites.csv")}
    _, parameters = build_world(scenario, 1)
    np.testing.assert_array_equal(
        parameters.electrical_tilt_deg, scenario.real_sites.electrical_tilt_deg
    )


@pytest.mark.parametrize("name", scenario_names())
def test_splits_are_disjoint(name: str) -> None:
    """No seed of the package's scenarios is in two splits."""
    seeds: list[int] = []
    for split in SPLITS:
        low, high = getattr(scenario_named(name).splits, split)
        seeds += range(low, high + 1)
    assert len(seeds) == len(set(seeds)) == 300
