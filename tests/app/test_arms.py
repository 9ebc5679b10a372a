"""A comparison goes on where it stopped, and mixes no terms."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.scenarios.studies import load_arms
from cellhive.app.learning.arms import ArmsOptions, Progress, compare_arms
from cellhive.app.learning.policies import open_models
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.models import Lineage, ModelManifest
from cellhive.flows.arms.run import ArmSettings
from cellhive.rl.policy import PolicyShape, role_of

TINY = """\
version: 1
name: tiny
title: One site.
focus: [demand_satisfied_ratio]
layout: {kind: hex, sites: 1, inter_site_distance_m: 500, carrier_mhz: 2100}
time: {start_h: 12, duration_h: 1}
users: {per_cell: 6}
"""
QUICK = ArmSettings(observed_s=8.0)


@pytest.fixture
def options(tmp_path: Path) -> ArmsOptions:
    """Three arms in two cities of one site."""
    scenario = tmp_path / "tiny.yaml"
    scenario.write_text(TINY)
    return ArmsOptions(
        (str(scenario),), ("nothing", "set-4", "rules"), 2, QUICK, tmp_path / "arms.json", workers=1
    )


def without_times(path: Path) -> list[dict[str, object]]:
    """Return the results of a file without processor times."""
    results = json.loads(path.read_text())["results"]
    return [{k: v for k, v in row.items() if not k.endswith("_s")} for row in results]


def test_stopped_comparison_goes_on(options: ArmsOptions, tmp_path: Path) -> None:
    """Stopped after two of ten results and begun again, it ends with the same figures."""
    told: list[Progress] = []
    compare_arms(options, on_progress=told.append)
    assert [(at.done, at.total) for at in told] == [(n, 10) for n in (1, 3, 5, 6, 8, 10)]
    assert told[-1].left_s == 0.0
    cut = replace(options, out=tmp_path / "cut.json")

    def stop(at: Progress) -> None:
        if at.done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare_arms(cut, on_progress=stop)
    assert len(load_arms(cut.out).results) == 3
    compare_arms(cut, on_progress=told.append)
    assert told[6].done == 5
    assert without_times(cut.out) == without_times(options.out)
    again: list[Progress] = []
    compare_arms(cut, on_progress=again.append)
    assert [at.last for at in again] == ["nothing lacks"]


def test_two_processes_find_the_same(options: ArmsOptions, tmp_path: Path) -> None:
    """The figures do not depend on where they are computed."""
    few = replace(options, arms=("nothing", "rules"))
    compare_arms(few)
    two = replace(few, workers=2, out=tmp_path / "two.json")
    compare_arms(two)
    assert without_times(two.out) == without_times(few.out)
    study = load_arms(two.out)
    assert study.scenarios == ("tiny",)
    assert all(np.isfinite(one.kpis["objective"]) for one in study.results)


def test_results_on_other_terms_are_kept_apart(options: ArmsOptions) -> None:
    """Other radio time per period is another comparison; nothing is overwritten."""
    few = replace(options, arms=("nothing",))
    compare_arms(few)
    before = options.out.read_bytes()
    with pytest.raises(BadInput, match="same options"):
        compare_arms(replace(few, settings=ArmSettings(observed_s=16.0)))
    assert options.out.read_bytes() == before


def test_wrong_options_are_refused_before_anything_runs(options: ArmsOptions) -> None:
    """Unknown arms, too many cities, the unseen city without its list."""
    with pytest.raises(NotFound, match="found 'greedy'"):
        compare_arms(replace(options, arms=("greedy",)))
    with pytest.raises(BadInput, match="test cities"):
        compare_arms(replace(options, seeds=101))
    with pytest.raises(NotFound, match="--sites"):
        compare_arms(replace(options, scenarios=("milan",)))
    with pytest.raises(BadInput, match="--workers"):
        compare_arms(replace(options, workers=0))
    for settings, told in (
        (ArmSettings(hours=math.nan), "--hours: expected a finite number above 0, found nan"),
        (ArmSettings(hours=-1.0), "--hours"),
        (ArmSettings(observed_s=math.inf), "--observed"),
        (ArmSettings(evaluations=0), "--evaluations: expected 1 or more, found 0"),
    ):
        with pytest.raises(BadInput, match=told):
            compare_arms(replace(options, settings=settings))
    options.out.write_text("{}")
    with pytest.raises(BadInput, match="cellhive train evaluate"):
        compare_arms(options)


def test_policies_are_named_by_version_and_may_not_know_the_test(
    options: ArmsOptions, tmp_path: Path
) -> None:
    """A policy that learnt from city 201 is refused; one that did not stands with its budget."""
    shape = PolicyShape(heads=("a3_offset_db",), neighbours=1, hidden=2, message=1)
    rng = np.random.default_rng(0)
    tensors = {
        f"joint/{name}": rng.normal(size=size).astype(np.float32)
        for name, size in shape.actor_tensors().items()
    }
    for name, city in (("honest", 100), ("cheat", 201)):
        lineage = Lineage(("tiny",), (201, 1, city), budget={"decisions": 5.0, "wall_s": 60.0})
        with open_models(tmp_path) as store:
            store.add(ModelManifest(name, (role_of("joint", shape),), lineage), tensors)
    known = replace(options, arms=("rl:honest@1",), models=tmp_path)
    study = compare_arms(known)
    assert {one.arm for one in study.results} == {"rl:honest@1"}
    assert [(one.arm, one.decisions, one.wall_s) for one in study.budgets] == [
        ("rl:honest@1", 5.0, 60.0)
    ]
    with pytest.raises(BadInput, match="found 201"):
        compare_arms(replace(known, arms=("rl:cheat@1",)))
