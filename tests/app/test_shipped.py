"""The policy that ships: it loads, says where it comes from, and decides in the twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.models.files import MANIFEST, FolderModels
from cellhive.adapters.scenarios import scenario_named
from cellhive.app.learning.models import Models
from cellhive.app.learning.policies import load, model_of, policy_named, trusting
from cellhive.core.errors import NotFound
from cellhive.core.types import Mode, Parameters
from cellhive.flows.policy.plans import AUTHOR
from cellhive.flows.policy.together import PolicyWithRules
from cellhive.flows.trial import Hooks, RunRecord, RunStart, TrialSettings, run_trial
from cellhive.ran.guard import Guard
from cellhive.ran.scenarios import HOUR_S, activity_curve, build_world
from cellhive.ran.simulator import Clock, Twin

TIMING = ("a3_offset_db", "hysteresis_db", "time_to_trigger_s", "filter_coefficient")


@pytest.mark.parametrize(
    ("policy", "heads", "scenarios"),
    [
        ("general", [TIMING], {"highway-corridor", "healthy"}),
        ("general-tilt", [("electrical_tilt_deg",), TIMING], {"night-energy", "stadium-surge"}),
    ],
)
def test_it_says_what_it_is_and_where_it_comes_from(
    tmp_path: Path, policy: str, heads: list[tuple[str, ...]], scenarios: set[str]
) -> None:
    """Command, scenarios and gates stand in its manifest; test cities are not among its own."""
    manifest = load(f"rl:{policy}", tmp_path).manifest
    assert [role.heads for role in manifest.roles] == heads
    assert "cellhive train" in manifest.lineage.command
    assert scenarios <= set(manifest.lineage.scenarios)
    assert manifest.gates
    assert all(gate.passed for gate in manifest.gates)
    for name in manifest.lineage.scenarios:
        first, last = scenario_named(name).splits.test
        assert not [seed for seed in manifest.lineage.seeds[1:] if first <= seed <= last]


def test_versions_that_left_are_refused_with_what_to_do(tmp_path: Path) -> None:
    """Those that know no filter coefficient left: records of runs name them still."""
    with pytest.raises(NotFound, match="versions, 3; found 2; it was trained for other features"):
        load("rl:general@2+rules", tmp_path)
    with pytest.raises(NotFound, match=r"versions, 3; found 9 \(looked in"):
        load("rl:general@9", tmp_path)


def test_damage_of_another_version_is_no_reason_not_to_say_what_is_missing(tmp_path: Path) -> None:
    """A version that is not there is said to be not there, whatever else cannot be read."""
    (tmp_path / "city" / "3").mkdir(parents=True)
    (tmp_path / "city" / "3" / MANIFEST).write_text("{")
    with pytest.raises(NotFound, match="found 2"):
        Models(None, FolderModels(tmp_path)).load("city:2")


def test_the_one_that_learned_beside_the_rules_has_both_roles(tmp_path: Path) -> None:
    """What it joined decides as it did before; alone it is that."""
    beside, joined = model_of(load("rl:general-tilt", tmp_path)).roles
    (timing,) = model_of(load("rl:general@3", tmp_path)).roles
    assert beside.beside_rules
    assert not joined.beside_rules
    assert all(np.array_equal(joined.tensors[k], timing.tensors[k]) for k in timing.tensors)
    together = policy_named("rl:general-tilt+rules", tmp_path)
    assert isinstance(together, PolicyWithRules)
    assert {one.name for one in together.rules.functions} == {"ES", "CCO", "MLB", "MRO"}
    alone = policy_named("rl:general-tilt", tmp_path)
    assert [role.name for role in alone.deciding.roles] == ["joint"]


def two_hours(scenario_name: str, optimizer: PolicyWithRules) -> tuple[Twin, Parameters, RunRecord]:
    """Return a city after two hours with a policy and the rules, as it was, and the record."""
    scenario = scenario_named(scenario_name)
    world, initial = build_world(scenario, 105)
    twin = Twin(
        world, initial, seed=105, clock=Clock(900.0, 8.0, start_s=scenario.start_h * HOUR_S),
        activity=activity_curve(scenario),
    )  # fmt: skip
    settings = TrialSettings(
        periods=8, loop=trusting("rl:any", Mode.AUTONOMOUS), branches=False, baseline=False
    )
    start = RunStart("shipped", "", "", scenario_name, 105, {})
    return twin, initial, run_trial(twin, start, settings, optimizer, Guard(), Hooks())


@pytest.mark.parametrize(("scenario", "layer"), [("night-energy", 1), ("stadium-surge", 0)])
def test_it_tilts_the_layer_that_the_scenario_asks_for(
    tmp_path: Path, scenario: str, layer: int
) -> None:
    """Down go the capacity cells in the night and the coverage cells at the stadium."""
    optimizer = policy_named("rl:general-tilt+rules", tmp_path)
    assert isinstance(optimizer, PolicyWithRules)
    twin, initial, record = two_hours(scenario, optimizer)
    functions = {plan.function for plan in record.applied}
    assert "RL/beside-coverage" in functions
    assert functions & {"ES", "MLB"}, "the rules are at work, too"
    tilted = twin.parameters().electrical_tilt_deg - initial.electrical_tilt_deg
    coverage = twin.network.coverage_cell
    layers = tilted[coverage].mean(), tilted[~coverage].mean()
    assert layers[layer] > 0.5
    assert layers[layer] > layers[1 - layer] + 0.5


def test_it_makes_handovers_sooner_on_a_highway(tmp_path: Path) -> None:
    """In two hours, with the rules beside it and under the guard, handovers come sooner."""
    optimizer = policy_named("rl:general+rules", tmp_path)
    assert isinstance(optimizer, PolicyWithRules)
    twin, initial, record = two_hours("highway-corridor", optimizer)
    assert [plan for plan in record.applied if plan.function.startswith(AUTHOR)]
    after = twin.parameters()
    assert after.time_to_trigger_s.mean() < 0.7 * initial.time_to_trigger_s.mean()
    assert after.filter_coefficient.mean() < initial.filter_coefficient.mean() - 1.0
