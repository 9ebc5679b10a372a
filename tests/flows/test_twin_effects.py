"""Effects from what an operator sees, and the same effects from clones."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cellhive.causal.dependent.bagging import BagSettings
from cellhive.causal.graph import constraints_of
from cellhive.causal.posterior import Settings
from cellhive.core.types import Floats
from cellhive.flows.causes.twin_effects import (
    CAUSES,
    STEPS,
    CityRecord,
    EffectRow,
    EstimateSettings,
    TrialPlan,
    Trials,
    compared,
    estimated_effects,
    knowledge_of_panel,
    middles_of,
    true_effects,
    watch_city,
)
from cellhive.flows.causes.varied_city import (
    ALLOWED,
    DEMAND,
    KPIS,
    LEVERS,
    NEAR,
    NEAR_LOAD,
    OFFSET,
    PANEL,
    POWER,
    Habits,
    Season,
    varied_scenario,
)

AT = {name: k for k, name in enumerate(PANEL)}
SEASON = Season(periods=6, observed_s=12.0, warm_up_s=12.0, start_s=64_800.0)


@cache
def watched(*, trials: bool) -> CityRecord:
    """Return one site over six periods, with or without clones beside it."""
    plan = TrialPlan(2, 2, 2, 1) if trials else TrialPlan(1000, 1, 1000)
    habits = Habits(audit=0.3, react=0.5)
    return watch_city(varied_scenario(1), 3, SEASON, plan=plan, habits=habits)


def test_clones_do_not_disturb_the_city() -> None:
    """What the operator sees does not depend on what is tried beside."""
    beside, alone = watched(trials=True).panel, watched(trials=False).panel
    assert np.allclose(beside, alone, rtol=1e-5, equal_nan=True)
    assert len(watched(trials=False).trials.cause) == 0


def test_the_operator_stays_within_the_limits_and_changes_things() -> None:
    """Levers move, by whole steps, and not beyond what is allowed."""
    panel = watched(trials=True).panel
    for name in LEVERS:
        one, values = ALLOWED[name], panel[:, :, AT[name]]
        assert values.min() >= one.low
        assert values.max() <= one.high
        assert np.allclose(np.mod(values - one.low, one.step), 0.0)
    levers = [AT[name] for name in LEVERS]
    assert (np.diff(panel[:, :, levers], axis=0) != 0).any(axis=(0, 1)).all()


def test_a_trial_differs_by_its_step_alone() -> None:
    """Same period, same users, same other settings; less power draws less and reaches less."""
    record = watched(trials=True)
    one, levers = record.trials, [AT[name] for name in LEVERS]
    seen = {tuple(row) for row in np.nan_to_num(record.panel).reshape(-1, len(PANEL))}
    assert all(tuple(row) in seen for row in np.nan_to_num(one.without))
    moved = one.with_step[:, levers] - one.without[:, levers]
    for k, name in enumerate(LEVERS):
        mine = one.cause == k
        assert mine.any()
        wanted = np.zeros((mine.sum(), len(LEVERS)))
        wanted[:, k] = one.up[mine] * STEPS[name]
        assert moved[mine] == pytest.approx(wanted)
        gap = one.with_step[mine, 0] - one.without[mine, 0]
        assert gap == pytest.approx(0.0, abs=0.05), "a lever changed how many users there are"
    users = one.cause == CAUSES.index(DEMAND)
    assert moved[users] == pytest.approx(0.0)
    power = true_effects([record]).mean[CAUSES.index(POWER)]
    assert power[KPIS.index("PEE.AvgPower")] < 0.0
    assert power[KPIS.index("rsrp_mean_dbm")] < 0.0


def test_tenth_more_users_are_counted_as_a_tenth() -> None:
    """However many came: the number of users a cell has grows by a tenth of its mean."""
    record = watched(trials=True)
    users = record.trials.cause == CAUSES.index(DEMAND)
    before = record.trials.without[users, AT["RRC.ConnMean"]]
    effect = true_effects([record]).mean[CAUSES.index(DEMAND), KPIS.index("RRC.ConnMean")]
    assert effect == pytest.approx(0.1 * before.mean(), rel=1e-6)


def test_rules_answer_to_what_they_saw() -> None:
    """Each rule moves its lever in the direction that ought to help."""
    seen = np.zeros((3, len(PANEL)))
    seen[:, AT["prb_utilisation_ratio"]] = 0.9, 0.5, 0.1
    seen[:, AT[NEAR_LOAD]] = 0.5
    seen[:, AT["interference_ratio"]] = 0.3, 0.0, 0.0
    seen[:, AT["weak_coverage_ratio"]] = 0.0, 0.0, 0.3
    seen[:, AT["x.HoPingPong"]] = 4.0, 0.0, 0.0
    seen[:, AT["x.RadioLinkFailure"]] = 0.0, 0.0, 4.0
    wanted = Habits().wanted(seen)
    assert wanted == pytest.approx(np.outer([1.0, 0.0, -1.0], np.ones(4)))


def test_knowledge_is_consistent_and_lets_causes_act() -> None:
    """It can be turned into constraints; nothing causes a lever within a period."""
    names = (DEMAND, *LEVERS, *KPIS, NEAR_LOAD)
    known = constraints_of(knowledge_of_panel(), names, 0)
    causes = [names.index(name) for name in CAUSES]
    kpis = [names.index(name) for name in KPIS]
    assert known.required[np.ix_(causes, kpis)].all()
    assert not known.allowed[:, causes].any()


# ------------------------------------------------------------------ a world with a known answer

OFFLOAD, PULL = -0.05, 0.02
"""What a dB of offset, and one of the neighbours', does to the load of a cell."""


def made_up_city(seed: int, days: int, day: int) -> CityRecord:
    """Return a panel in which load makes the offset rise, and the offset makes load fall."""
    rng, cells = np.random.default_rng(seed), 8
    panel = rng.standard_normal((days * day, cells, len(PANEL)))
    crowd, lasting = np.zeros(cells), 0.1 * rng.standard_normal(cells)
    levers = np.array([[one.low + 2.0 for one in ALLOWED.values()]] * cells)
    low, high = (
        np.array([getattr(one, end) for one in ALLOWED.values()]) for end in ("low", "high")
    )
    for row in panel:
        crowd = 0.8 * crowd + 0.1 * rng.standard_normal(cells)
        row[:, 0] = 100.0 * np.exp(0.3 * rng.standard_normal())
        row[:, [AT[name] for name in LEVERS]] = levers
        near = (levers.sum(axis=0) - levers) / (cells - 1)
        row[:, [AT[NEAR + name] for name in LEVERS]] = near
        load = 0.5 + lasting + crowd + OFFLOAD * levers[:, 3] + PULL * near[:, 3]
        load += 0.2 * (row[:, 0] / 100.0 - 1.0) + 0.03 * rng.standard_normal(cells)
        row[:, AT["prb_utilisation_ratio"]] = load
        row[:, AT["ue_throughput_mbps"]] = 6.0 - 4.0 * load + 0.1 * rng.standard_normal(cells)
        rule = np.zeros((cells, 4))
        rule[:, 3] = (rng.random(cells) < 0.4) * np.sign(load - 0.5)
        audit = (rng.random((cells, 4)) < 0.1) * rng.choice([-1.0, 1.0], (cells, 4))
        levers = np.clip(levers + rule + audit, low, high)
    nothing = np.empty((0, len(PANEL)))
    none = np.empty(0, np.int32)
    return CityRecord(seed, panel, Trials(none, np.empty(0), none, nothing, nothing))


def slope(panel: Floats, cause: str, effect: str) -> float:
    """Return the slope of a plain regression over all cells and periods."""
    flat = panel.reshape(-1, len(PANEL))
    return float(np.polyfit(flat[:, AT[cause]], flat[:, AT[effect]], 1)[0])


def test_estimate_is_right_where_rules_make_what_goes_together_mislead() -> None:
    """Offset goes with load, as rules raise it where load is high; it lowers load all the same."""
    records = [made_up_city(seed, days=6, day=40) for seed in range(3)]
    panels = np.concatenate([record.panel for record in records])
    assert slope(panels, OFFSET, "prb_utilisation_ratio") > 0.0
    quick = BagSettings(8, Settings(candidates=16, chains=1, graphs=15, starts=2))
    found = estimated_effects(records, np.random.default_rng(1), EstimateSettings(40, quick))
    (low, high), mean = found.interval(0.9), found.mean()
    cause = found.causes.index(OFFSET)
    for kpi, truth in (("prb_utilisation_ratio", OFFLOAD), ("ue_throughput_mbps", -4.0 * OFFLOAD)):
        at = found.names.index(kpi)
        assert mean[cause, at] * truth > 0.0
        assert low[cause, at] <= truth <= high[cause, at]
        assert high[cause, at] - low[cause, at] < 1.2 * abs(truth)


def test_steps_lie_where_there_is_room() -> None:
    """At the upper limit a step up is taken down: its middle lies below."""
    record = made_up_city(0, days=1, day=4)
    record.panel[:, :, AT[OFFSET]] = 2.0
    record.panel[:, :, AT[POWER]] = 46.0
    middles = middles_of([record])
    assert middles[LEVERS.index(OFFSET)] == pytest.approx(1.0)
    assert middles[LEVERS.index(POWER)] == pytest.approx(45.0)


def test_rows_say_what_they_mean() -> None:
    """Clear, claimed, covered: by the noise of the truth where it says so."""
    row = EffectRow(OFFSET, "RRC.ConnMean", mean=1.0, low=0.5, high=1.5, truth=1.6, noise=0.3)
    assert row.clear
    assert row.sign_right
    assert row.claimed
    assert not row.covered
    assert row.covered_with_noise
    vague = EffectRow(OFFSET, "RRC.ConnMean", mean=0.1, low=-0.5, high=0.5, truth=-0.1, noise=0.3)
    assert not vague.clear
    assert not vague.sign_right
    assert not vague.claimed
    assert vague.covered


def test_comparison_turns_intervals_round_with_negative_steps() -> None:
    """Power is asked about downwards: the lower end comes from the upper one."""
    records = [made_up_city(seed, days=2, day=30) for seed in range(2)]
    quick = BagSettings(2, Settings(candidates=16, chains=1, graphs=10, starts=2))
    found = estimated_effects(records, np.random.default_rng(1), EstimateSettings(30, quick))
    rows = compared(found, true_effects([watched(trials=True)]))
    assert len(rows) == len(CAUSES) * len(KPIS)
    assert all(row.low <= row.mean <= row.high for row in rows)
    power = next(row for row in rows if (row.cause, row.kpi) == (POWER, "PEE.AvgPower"))
    at = found.causes.index(POWER), found.names.index("PEE.AvgPower")
    assert power.mean == pytest.approx(-2.0 * found.mean()[at])
    assert power.low == pytest.approx(-2.0 * found.interval(0.9)[1][at])
