"""The search for the best fixed setting: what it tries, and that it finds what was hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellhive.core.types import KpiFrame, Network
from cellhive.flows.tuning import (
    Course,
    SearchSettings,
    Setting,
    admissible,
    spread_out,
    try_settings,
    tune,
)
from cellhive.flows.watch import Scoring
from cellhive.ran.kpi import cells_kpis
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.parameters import default_parameters
from cellhive.ran.scenarios import HexLayout, Scenario, activity_curve, build_world

TWO_LAYERS = Scenario(
    "tiny", "One site with two carriers.", ("power_w",),
    HexLayout(1, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)),
    users_per_cell=3,
)  # fmt: skip
MOMENTS_S = (9 * 3600.0, 18 * 3600.0)


def course(seed: int = 5) -> Course:
    """Return two short moments of a day, the second twice as busy as the first."""
    return Course(
        MOMENTS_S, activity_curve(TWO_LAYERS), lambda time_s: time_s / MOMENTS_S[1], seed,
        warm_up_s=4.0, settle_s=2.0, observed_s=4.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def start() -> tuple[object, Setting]:
    """Return the place and the setting as found."""
    world, parameters = build_world(TWO_LAYERS, 1)
    return world, Setting(parameters, ~world.network.coverage_cell)


def test_a_setting_sleeps_while_it_is_quiet(start) -> None:
    """Only sleepers, only below the threshold; what slept before sleeps on."""
    _, setting = start
    dozing = replace(setting, sleep_below=0.5)
    assert not dozing.at(0.5).asleep.any()
    np.testing.assert_array_equal(dozing.at(0.49).asleep, setting.sleepers)
    asleep = setting.parameters.asleep.copy()
    asleep[0] = True
    before = replace(dozing, parameters=replace(setting.parameters, asleep=asleep))
    assert before.at(1.0).asleep.tolist() == [True, *[False] * 5]


def test_equal_settings_have_equal_frames_and_sleep_is_seen(start) -> None:
    """Settings tried together see the same users: common random numbers, to the last bit."""
    world, setting = start
    first, second, dozing = try_settings(
        world, [setting, setting, replace(setting, sleep_below=0.6)], course()
    )
    for one, other in zip(first, second, strict=True):
        assert one.values.tobytes() == other.values.tobytes()
    power = [[cells_kpis(frame, range(6))["power_w"] for frame in arm] for arm in (first, dozing)]
    assert power[1][0] < 0.8 * power[0][0], "three of six cells sleep at half the traffic"
    assert power[1][1] == pytest.approx(power[0][1], rel=0.05), "nobody sleeps at the peak"


def test_a_setting_alone_is_what_it_is_among_others(start) -> None:
    """How many settings a job tries together changes nothing."""
    world, setting = start
    other = replace(setting, sleep_below=2.0)
    together = try_settings(world, [other, setting], course())[1]
    alone = try_settings(world, [setting], course())[0]
    for one, two in zip(together, alone, strict=True):
        assert one.values.tobytes() == two.values.tobytes()


def power_only(kpis: dict[str, float], _cells: int) -> float:
    """Return a score whose best setting is known: less power is all that counts."""
    return -kpis["power_w"]


def test_the_search_finds_the_setting_that_was_planted(start) -> None:
    """Where only power counts, every capacity cell sleeps all the time: nothing beats it.

    Coverage cells cannot sleep, so of the six cells the three with a capacity carrier do,
    at 9 h and at 18 h alike.
    """
    world, setting = start
    scoring = Scoring(objective=power_only)
    tuned = tune(world, setting, course(), SearchSettings(evaluations=40, scoring=scoring))
    assert tuned.setting.sleep_below > 1.0
    np.testing.assert_array_equal(tuned.setting.at(1.0).asleep, ~world.network.coverage_cell)
    assert tuned.objective > tuned.start
    assert tuned.steps
    assert 40 < tuned.evaluations <= 60, "the budget, and a choice among the steps"


def test_where_nothing_counts_nothing_is_changed(start) -> None:
    """A score that is always the same leaves the setting as it was."""
    world, setting = start
    scoring = Scoring(objective=lambda _kpis, _cells: 1.0)
    tuned = tune(world, setting, course(), SearchSettings(evaluations=12, scoring=scoring))
    assert tuned.setting is setting
    assert tuned.steps == ()
    assert tuned.objective == tuned.start == 1.0


def test_what_only_suited_the_users_of_the_search_is_not_chosen(start) -> None:
    """Steps that other users do not confirm are taken back.

    The score praises less power to the users of the search, and blames it afterwards, when
    moments are observed for twice as long.
    """
    world, setting = start

    def kpis(frame: KpiFrame, cells: list[int]) -> dict[str, float]:
        return {**cells_kpis(frame, cells), "long": float(frame.observed_s > 6)}

    def two_faced(values: dict[str, float], _cells: int) -> float:
        return values["power_w"] * (1 if values["long"] else -1)

    scoring = Scoring(cells=kpis, objective=two_faced)
    tuned = tune(world, setting, course(), SearchSettings(evaluations=30, scoring=scoring))
    assert tuned.setting is setting
    assert tuned.steps == ()


def chain(cells: int) -> Network:
    """Return cells in a row, each a neighbour of the next and of the one before."""
    network = hex_grid(7, 500.0, SiteDesign())
    pairs = [(a, b) for a in range(cells) for b in (a - 1, a + 1) if 0 <= b < cells]
    source, target = np.array(pairs, np.int32).T
    return replace(network, relation_source=source, relation_target=target)


def test_cells_tried_together_do_not_share_surroundings() -> None:
    """In a row of seven, surroundings of three cells: every third cell may go together."""
    groups = spread_out(chain(7), range(7), neighbours=2)
    assert groups == [[0, 3, 6], [1, 4], [2, 5]]
    assert spread_out(chain(7), range(7), neighbours=0) == [list(range(7))]


def test_settings_that_loop_are_not_admissible() -> None:
    """Both ways earlier than the A3 threshold together (1 + 1 dB) is a loop."""
    network = chain(2)
    parameters = default_parameters(network, a3_offset_db=1.0, hysteresis_db=0.0)
    quiet = Setting(replace(parameters, cio_db=np.array([1.0, 1.0])), np.zeros(21, bool))
    loop = Setting(replace(parameters, cio_db=np.array([2.0, 1.0])), np.zeros(21, bool))
    assert admissible(network, quiet)
    assert not admissible(network, loop)
    assert admissible(network, loop, least_slack_db=-1.0)
