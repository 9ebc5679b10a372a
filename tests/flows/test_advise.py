"""What to change, from tables with planted faults to a plan that the guard passes."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    TIME_TYPE,
    ColumnInfo,
    Measurements,
    Role,
)
from cellhive.core.types import Floats
from cellhive.diagnose.advice.configuration import new_identities
from cellhive.diagnose.advice.recommendation import (
    Basis,
    Expected,
    Limits,
    Recommendation,
    Step,
    Topic,
)
from cellhive.diagnose.audit.configuration import Configuration
from cellhive.diagnose.audit.run import audit
from cellhive.flows.advice.advise import Advised, Known, advise
from cellhive.flows.advice.plan import planned, undo_of, without_conflicts
from cellhive.flows.analyse import analyse

START = datetime(2025, 3, 3, tzinfo=UTC)
DAYS, CELLS = 56, 12
NAMES = tuple(f"S{k // 3 + 1}-{k % 3 + 1}" for k in range(CELLS))
RATIO = {"unit": "%", "role": Role.RATIO, "share": "percent", "scale": 0.01, "confidence": 1.0}


def table(objects: tuple[str, ...], step_s: float, **columns: tuple[ColumnInfo, Floats]) -> (
    Measurements
):  # fmt: skip
    """Return measurements of objects, each column (N, T)."""
    periods = next(iter(columns.values()))[1].shape[1]
    times = [START + timedelta(seconds=step_s * t) for t in range(periods)]
    frame = pl.DataFrame(
        {
            OBJECT: np.repeat(objects, periods), TIME: times * len(objects),
            PERIOD_S: [step_s] * (periods * len(objects)),
            SUSPECT: [False] * (periods * len(objects)),
            **{name: values.ravel() for name, (_, values) in columns.items()},
        },
        schema_overrides={TIME: TIME_TYPE},
    )  # fmt: skip
    infos = {name: info for name, (info, _) in columns.items()}
    return Measurements("net", frame, infos, (), "cell", "UTC", ("net.csv",))


def loads(*, planted: bool, seed: int) -> Measurements:
    """Return hourly load and users; planted: S1-1 is full by day, S3-2 grows."""
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * DAYS)
    shape = np.where((hours % 24 >= 8) & (hours % 24 < 22), 1.0, 0.25)
    load = 0.45 * shape * np.exp(0.06 * rng.standard_normal((CELLS, hours.size)))
    if planted:
        load[0] *= 2.1
        load[7] *= 1.0 + 0.6 * hours / hours.size
    load = np.minimum(load, 1.0)
    prb = ColumnInfo("PRB (%)", quantity="prb_utilisation_ratio", **RATIO)  # type: ignore[arg-type]
    users = ColumnInfo("Users", quantity="RRC.ConnMean", role=Role.GAUGE, confidence=1.0)
    return table(NAMES, 3600.0, **{"PRB (%)": (prb, 100 * load), "Users": (users, 40 * load)})


def relations(*, planted: bool, seed: int) -> Measurements:
    """Return daily handover counters; planted: S1-2->S2-1 is late, S2-2->S1-3 bounces."""
    rng = np.random.default_rng(seed)
    pairs = [(a, b) for a in NAMES[:6] for b in NAMES[:6] if a != b]
    late, bounced = np.full(len(pairs), 0.01), np.full(len(pairs), 0.03)
    if planted:
        late[pairs.index(("S1-2", "S2-1"))] = 0.13
        bounced[pairs.index(("S2-2", "S1-3"))] = 0.22
    attempts = rng.poisson(150, (len(pairs), DAYS))
    counters = {
        "MM.HoExeInterReq": attempts,
        "HO.IntraSys.TooLate": rng.binomial(attempts, late[:, None]),
        "x.HoPingPong": rng.binomial(attempts, bounced[:, None]),
    }
    columns = {
        name: (ColumnInfo(name, quantity=name, role=Role.COUNTER, confidence=1.0),
               values.astype(float))
        for name, values in counters.items()
    }  # fmt: skip
    return table(tuple(f"{a}->{b}" for a, b in pairs), 86400.0, **columns)


def advised(*, planted: bool, seed: int) -> Advised:
    """Return what to change in a network with or without planted faults."""
    analysis = analyse([loads(planted=planted, seed=seed), relations(planted=planted, seed=seed)])
    return advise(analysis)


@pytest.fixture(scope="module")
def planted() -> Advised:
    """Return what to change where four faults were planted."""
    return advised(planted=True, seed=1)


def test_each_planted_fault_is_found_and_nothing_else(planted: Advised) -> None:
    """A full cell with room beside it, a growing one, a late and a bouncing relation."""
    about = {(one.topic, one.objects[0]) for one in planted.recommendations}
    assert about == {
        (Topic.CAPACITY, "S1-1"), (Topic.BALANCE, "S1-1"), (Topic.CAPACITY, "S3-2"),
        (Topic.MOBILITY, "S1-2"), (Topic.MOBILITY, "S2-2"),
    }  # fmt: skip
    scores = [one.score for one in planted.recommendations]
    assert scores == sorted(scores, reverse=True)
    for one in planted.recommendations:
        assert one.evidence
        assert one.undo
        assert one.risk
        assert 0.5 <= one.confidence <= 1.0
        assert one.effect is not None
        assert one.effect.low_90 <= one.effect.low_50 <= one.effect.high_50 <= one.effect.high_90
    assert any("bulk CM" in line for line in planted.missing)
    assert any("causal engine" in line for line in planted.missing)


def test_nothing_is_recommended_on_a_healthy_network() -> None:
    """Three networks in which nothing is wrong."""
    for seed in (2, 3, 4):
        assert advised(planted=False, seed=seed).recommendations == ()


# ------------------------------------------------------------------ plan


def recommended(step: Step, *more: Step, score: float = 1.0) -> Recommendation:
    """Return a recommendation that sets something."""
    effect = Expected("x", "", -1.0, -1.2, -0.8, -1.5, -0.5, Basis.RULE)
    return Recommendation(
        Topic.MOBILITY, (step.cell,), f"set {step.object_id} {step.parameter} {step.after:g}",
        (step, *more), effect, (), 10.0, "", 0.1, None, "", 0.9, score,
    )  # fmt: skip


def cio(source: str, target: str, before: float, after: float) -> Step:
    """Return the change of an offset."""
    return Step(source, "cio_db", before, after, after - before, target)


def test_of_two_changes_of_one_thing_the_first_stays() -> None:
    """Offsets of one pair, triggers against offsets, sleep against tilt; others do not touch."""
    first = recommended(cio("A", "B", 0, 2), cio("B", "A", 0, -2))
    same_pair = recommended(cio("B", "A", 0, -1))
    triggers = recommended(Step("A", "time_to_trigger_s", 0.16, 0.128))
    elsewhere = recommended(cio("C", "D", 0, 1))
    sleep = recommended(Step("E", "asleep", 0, 1))
    tilt = recommended(Step("E", "electrical_tilt_deg", 4, 5))
    kept, aside = without_conflicts([first, same_pair, triggers, elsewhere, sleep, tilt])
    assert kept == [first, elsewhere, sleep]
    assert [one.recommendation for one in aside] == [same_pair, triggers, tilt]
    assert first.headline in aside[0].why


def test_the_guard_stops_loops_and_large_steps_and_the_undo_takes_the_rest_back() -> None:
    """A3 offsets of 3 dB leave 6 dB both ways, less 1 dB of margin: 4 and 2 are too much."""
    loop = recommended(cio("A", "B", 2, 4))
    far = recommended(Step("C", "electrical_tilt_deg", 2, 7))
    pair = recommended(cio("E", "F", 0, 2), cio("F", "E", 0, -2))
    good = recommended(Step("D", "electrical_tilt_deg", 4, 5))
    found = planned([loop, far, pair, good], {("B", "A", "cio_db"): 2.0}, None, 100.0)
    assert found.plan is not None
    assert [(c.object_id, c.before, c.after) for c in found.plan.changes] == [
        ("E->F", 0, 2), ("F->E", 0, -2), ("D", 4, 5),
    ]  # fmt: skip
    assert [one.recommendation for one in found.refused] == [loop, far]
    assert "loop" in found.refused[0].why
    assert "at most 2 deg" in found.refused[1].why
    assert "a3_offset_db = 3 dB" in found.assumed
    undone = undo_of(found.plan)
    assert [(c.object_id, c.before, c.after) for c in undone.changes] == [
        ("D", 5, 4), ("F->E", -2, 0), ("E->F", 2, 0),
    ]  # fmt: skip


def test_a_step_from_an_unknown_value_is_a_work_order() -> None:
    """Nothing to start from: not in the plan."""
    unknown = recommended(Step("A", "cio_db", math.nan, math.nan, 1.0, "B"))
    assert unknown.is_order
    assert planned([unknown], {}, None, 0.0).plan is None


# ------------------------------------------------------------------ configuration


def ring(pci: list[int]) -> Configuration:
    """Return cells on a ring, each the neighbour of the next two, both ways."""
    count = len(pci)
    ends = [(k, (k + d) % count) for k in range(count) for d in (1, 2, -1, -2)]
    nan = np.full(count, np.nan)
    return Configuration(
        tuple(f"c{k}" for k in range(count)), ("",) * count, nan, nan, nan,
        np.array(pci, np.int32), ("1850",) * count,
        np.array([a for a, _ in ends], np.int32), np.array([b for _, b in ends], np.int32),
        np.ones(len(ends), np.bool_),
    )  # fmt: skip


def changed(conf: Configuration) -> Iterator[int]:
    """Yield the identities after the changes that are proposed."""
    new = new_identities(audit(conf), conf)
    for cell, pci in zip(conf.cell_ids, conf.physical_cell_id.tolist(), strict=True):
        yield new.get(cell, pci)


@pytest.mark.parametrize("seed", range(5))
def test_new_identities_end_every_conflict_and_make_none(seed: int) -> None:
    """Twenty cells with eight identities are full of conflicts; then there are none."""
    rng = np.random.default_rng(seed)
    conf = ring(rng.integers(0, 8, 20).tolist())
    before = audit(conf)
    assert before.count("pci-collision") + before.count("pci-confusion") > 0
    after = audit(ring(list(changed(conf))))
    assert after.count("pci-collision") == after.count("pci-confusion") == 0
    advice = advise(analyse([loads(planted=False, seed=2)]), None, Known(conf, before))
    steps = [s for one in advice.recommendations for s in one.steps if s.parameter == "PCI"]
    assert len({step.cell for step in steps}) == len(steps) > 0
    assert advice.plan.plan is None


def test_limits_bound_the_list() -> None:
    """Two of five are listed, the others are counted."""
    analysis = analyse([loads(planted=True, seed=1), relations(planted=True, seed=1)])
    found = advise(analysis, limits=Limits(most=2))
    assert len(found.recommendations) == 2
    assert found.beyond == 3
