"""Departures that belong together become one incident, ranked by what matters."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from cellhive.diagnose.cycles import Panel
from cellhive.diagnose.incidents import ALL_KPIS, Anomaly, merge, rank, severity_of, sites_of
from cellhive.diagnose.search import Known, Looked, find_incidents, look

HOUR = 3600.0
DAY = 86400.0

BASE = Anomaly("A", "drop", "%", "level shift", 10 * DAY, 12 * DAY, 1.0, 3.0, 8.0, 1e-8, "worse")


def test_same_time_on_other_cells_and_kpis_is_one_incident() -> None:
    """Half of the union decides for other objects, a quarter for the same one."""
    other_cell = replace(BASE, object="B", start_s=10.5 * DAY, p_value=1e-6)
    other_kpi = replace(BASE, kpi="throughput", end_s=10.6 * DAY, p_value=1e-5)
    elsewhen = replace(BASE, object="C", start_s=11.5 * DAY, end_s=14 * DAY, p_value=1e-4)
    groups = merge([elsewhen, other_kpi, BASE, other_cell])
    assert [len(group) for group in groups] == [3, 1]
    assert groups[0][0] == BASE


def test_long_shifts_that_begin_weeks_apart_stay_apart() -> None:
    """Overlap alone does not make a common cause."""
    first = replace(BASE, end_s=200 * DAY)
    second = replace(BASE, object="B", start_s=50 * DAY, end_s=200 * DAY)
    assert len(merge([first, second])) == 2


def test_drifts_join_by_kpi_and_direction() -> None:
    """A network-wide drift is one incident; drifts the other way are another."""
    drift = replace(BASE, kind="drift", start_s=0.0, end_s=60 * DAY)
    up, down = replace(drift, object="B"), replace(drift, object="C", sigmas=-8.0)
    assert sorted(len(group) for group in merge([drift, up, down])) == [1, 2]
    again = [replace(one, kpi="the same column") for one in (drift, up)]
    assert sorted(len(group) for group in merge([drift, up, *again, down])) == [1, 4]


def test_severity_by_hand() -> None:
    """8 sigmas, one object, one KPI, two days: 8 x sqrt(2); four objects double it."""
    assert severity_of([BASE]) == pytest.approx(8 * math.sqrt(2))
    four = [replace(BASE, object=name) for name in "ABCD"]
    assert severity_of(four) == pytest.approx(2 * severity_of([BASE]))
    better = replace(BASE, effect="better")
    assert severity_of([better]) == pytest.approx(0.3 * severity_of([BASE]))


def test_rank_puts_the_worst_first_and_leads_with_what_is_worse() -> None:
    """The lead goes the way of the incident, however large the others are."""
    small = (replace(BASE, sigmas=3.0),)
    other_way = replace(BASE, kpi="x", effect="better", sigmas=9.0)
    second, third = (replace(BASE, object=name, sigmas=19.0) for name in "BC")
    big = (other_way, BASE, second, third)
    ranked = rank([small, big])
    assert [one.rank for one in ranked] == [1, 2]
    assert ranked[0].effect == "worse"
    assert ranked[0].lead.object == "B"
    assert ranked[0].objects == ("B", "C", "A")
    assert ranked[1].confidence == "very high"


def test_what_is_gone_leads_and_few_drops_of_few_users_are_no_good_news() -> None:
    """A site without power carries 4 % of its traffic, and drops nobody."""
    traffic = replace(BASE, kpi="traffic", unit="GB", expected=100.0, observed=4.0, sigmas=-9.0)
    quality = replace(traffic, kpi="cqi", unit="", expected=9.0, observed=1.0, sigmas=-19.0)
    drops = replace(BASE, effect="better", sigmas=-19.0)
    (one,) = rank([(drops, quality, traffic)])
    assert (one.effect, one.lead.kpi) == ("worse", "traffic")
    elsewhere = replace(drops, object="B")
    (other,) = rank([(elsewhere, quality, traffic)])
    assert other.effect == "mixed"  # B carries its traffic: fewer drops there are good news
    day = replace(traffic, kpi=ALL_KPIS, unit="", expected=1.0, observed=0.0)
    (silent,) = rank([(day, drops, traffic)])
    assert silent.lead.kpi == "traffic"  # a day without rows says less than days without traffic
    (slight,) = rank([(drops, quality, replace(traffic, observed=60.0))])
    assert slight.lead.kpi == "cqi"


def network(seed: int = 0) -> dict[str, Panel]:
    """Return two KPIs of 20 cells over 30 days, hourly, with daily cycle and noise."""
    rng = np.random.default_rng(seed)
    hours = np.arange(720)
    names = tuple(f"cell-{i:02d}" for i in range(20))
    traffic = 100 * (1 + 0.5 * np.sin(2 * np.pi * hours / 24))
    traffic = traffic * np.exp(0.05 * rng.standard_normal((20, 720)))
    success = 99.0 + 0.2 * rng.standard_normal((20, 720))
    return {
        "traffic": Panel("traffic", names, 0.0, HOUR, traffic, "GB"),
        "success": Panel("success", names, 0.0, HOUR, success, "%"),
    }


def test_outage_in_two_cells_is_found_with_size_and_time() -> None:
    """Truth: cells 3 and 4 from hour 400 to 430, traffic halved, success 5 points down."""
    panels = network()
    for row in (3, 4):
        panels["traffic"].values[row, 400:430] *= 0.5
        panels["success"].values[row, 400:430] -= 5.0
    search = find_incidents(tuple(panels.values()), {"success": "higher", "traffic": "higher"})
    assert search.series == 40
    assert search.cycles == ("daily", "weekly")
    top = search.incidents[0]
    assert set(top.objects) == {"cell-03", "cell-04"}
    assert set(top.kpis) == {"traffic", "success"}
    assert (top.start_s / HOUR, top.end_s / HOUR) == (400, 430)
    assert top.effect == "worse"
    assert len(search.incidents) <= 2
    of_success = next(one for one in top.members if one.kpi == "success")
    assert of_success.size == pytest.approx(-5.0, abs=0.2)
    of_traffic = next(one for one in top.members if one.kpi == "traffic")
    assert of_traffic.observed / of_traffic.expected == pytest.approx(0.5, abs=0.05)


def test_healthy_network_has_no_incident() -> None:
    """Cycles and noise are not news."""
    assert find_incidents(tuple(network(1).values())).incidents == ()


def test_a_silent_cell_is_an_incident() -> None:
    """Missing rows of one cell while the others report are said, not filled."""
    panels = network(2)
    for panel in panels.values():
        panel.values[5, 100:112] = np.nan
    search = find_incidents(tuple(panels.values()))
    assert [one.lead.kpi for one in search.incidents] == [ALL_KPIS]
    assert search.incidents[0].objects == ("cell-05",)
    assert search.incidents[0].start_s == 100 * HOUR


def test_nothing_to_search_is_no_error() -> None:
    """No panels, and panels with too little in them."""
    assert find_incidents(()).series == 0
    one = Panel("k", ("a",), 0.0, HOUR, np.ones((1, 3)))
    search = find_incidents((one,))
    assert search.series == 0
    assert search.refused == {"fewer than 12 values": 1}


def test_panels_may_be_looked_at_at_once_and_in_any_order() -> None:
    """Nothing passes from one panel to another while they are looked at."""
    rng = np.random.default_rng(11)
    objects = tuple(f"cell{i}" for i in range(6))
    panels = []
    for kpi in ("a", "b", "c"):
        values = 100 + rng.standard_normal((6, 24 * 20))
        values[1, 200:260] += 6
        values[2] += np.linspace(0, 8, 24 * 20)
        values[3, 100:] -= 5
        panels.append(Panel(kpi, objects, 0.0, 3600.0, values))

    def backwards(look: Callable[[Panel], Looked], items: Sequence[Panel]) -> list[Looked]:
        return [look(panel) for panel in reversed(items)][::-1]

    alone = find_incidents(panels)
    assert {one.kind for one in alone.incidents} >= {"drift", "level shift"}
    assert find_incidents(panels, each=backwards) == alone
    with ThreadPoolExecutor(2) as pool:
        assert find_incidents(panels, each=pool.map) == alone


def test_a_drift_is_found_beside_a_departure_that_is_taken_out_and_one_that_is_not() -> None:
    """What has departed is taken out of its row before the drift is judged."""
    rng = np.random.default_rng(5)
    values = 50 + rng.standard_normal((8, 24 * 20))
    values[0] += np.linspace(0, 6, 24 * 20)
    values[0, 300:312] += 12
    panel = Panel("k", tuple("abcdefgh"), 0.0, 3600.0, values)
    looked = look(panel, "", 0.025)
    assert looked.rows == (0,)
    assert looked.departed.residual.shape == (1, 24 * 20)
    kept = (getattr(looked.departed, name) for name in ("residual", "weak", "cycle", "spread"))
    assert all(a.base is None or a.base.size <= a.size for a in kept)  # nor is a panel kept
    found = find_incidents([panel])
    kinds = {(m.object, m.kind) for one in found.incidents for m in one.members}
    assert ("a", "drift") in kinds
    assert len(kinds) > 1


def test_cells_of_other_sites_join_only_what_is_alike() -> None:
    """Unrelated events of a large network meet by chance; sites are read from names."""
    one = replace(BASE, object="S1-1")
    beside = replace(BASE, object="S1-2", start_s=10.5 * DAY, kpi="throughput", p_value=1e-6)
    elsewhere = replace(BASE, object="S2-1", start_s=10.5 * DAY, kpi="throughput", p_value=1e-5)
    same = replace(BASE, object="S3-1", p_value=1e-4)
    names = ("S1-1", "S1-2", "S2-1", "S3-1", "S3-2")
    panel = Panel("drop", names, 0.0, HOUR, np.ones((5, 3)))
    sites = sites_of([panel], {})
    assert sites["S1-2"] == "S1"
    assert [len(group) for group in merge([one, beside, elsewhere, same], sites)] == [3, 1]


def test_names_without_a_sector_have_no_sites() -> None:
    """Every object may then join every other, as before."""
    panel = Panel("drop", ("Mast", "Harbour", "Mill"), 0.0, HOUR, np.ones((3, 3)))
    assert sites_of([panel], {}) == {}
    assert sites_of([panel], {"Mast": "x"}) == {"Mast": "x", "Harbour": "Harbour", "Mill": "Mill"}
    assert sites_of([panel], {"Tower of another network": "x"}) == {}


def test_what_is_told_of_sites_goes_before_names_and_leaves_the_rest_to_them() -> None:
    """A configuration may know some of the cells only."""
    panel = Panel("drop", ("S1-1", "S1-2", "S2-1", "S2-2"), 0.0, HOUR, np.ones((4, 3)))
    assert sites_of([panel], {"S1-1": "Mill", "S1-2": "Mill", "S2-1": ""}) == {
        "S1-1": "Mill", "S1-2": "Mill", "S2-1": "S2", "S2-2": "S2",
    }  # fmt: skip


def test_an_outage_is_called_one_and_weighs_by_its_users() -> None:
    """Two cells fall to nothing at the same depth; the one with five times the users is first."""
    panels = network(4)
    values = panels["traffic"].values
    values[2] *= 5
    values[2, 400:406] = 0.0
    values[9, 300:306] = 0.0
    known = Known({"success": "higher"}, ("traffic",))
    search = find_incidents(tuple(panels.values()), known=known)
    assert [(one.kind, one.objects) for one in search.incidents] == [
        ("outage", ("cell-02",)), ("outage", ("cell-09",)),
    ]  # fmt: skip
    assert search.load == ("traffic",)
    loads = [one.load for one in search.incidents]
    assert loads[0] == pytest.approx(5 * (loads[1] or 0), rel=0.8)
    assert search.incidents[0].lead.relative == pytest.approx(-1.0)


def test_a_cycle_that_comes_late_is_said_in_words() -> None:
    """Three hours late for a week, in one cell."""
    panels = network(5)
    traffic = panels["traffic"].values
    traffic[7, 240:408] = traffic[7, 237:405]
    search = find_incidents(tuple(panels.values()))
    (one,) = search.incidents
    assert (one.kind, one.objects) == ("seasonality break", ("cell-07",))
    assert "late" in one.lead.detail
    assert abs(one.start_s / HOUR - 240) <= 6
