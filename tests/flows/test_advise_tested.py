"""Advice that rests on changes which were made in the network itself."""

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
from cellhive.diagnose.advice.recommendation import Basis
from cellhive.flows.advice.advise import Advised, advise
from cellhive.flows.analyse import Analysis, analyse
from cellhive.flows.causes.why import causes_of

CELLS, DAYS = 12, 70
SINR_PER_DEG, MBPS_PER_DB = 0.8, 1.5
START = datetime(2025, 3, 3, tzinfo=UTC)


def tilted() -> Analysis:
    """Return daily KPIs of cells whose tilt was changed now and then, by 1 deg at a time."""
    rng = np.random.default_rng(2)
    tilt = np.empty((CELLS, DAYS))
    tilt[:, 0] = rng.integers(3, 7, CELLS)
    for day in range(1, DAYS):
        turned = rng.choice([-1, 1], CELLS) * (rng.random(CELLS) < 0.08)
        tilt[:, day] = np.clip(tilt[:, day - 1] + turned, 1, 10)
    load = np.clip(0.4 + 0.1 * rng.standard_normal((CELLS, DAYS)), 0.05, 1.0)
    sinr = 8 + SINR_PER_DEG * tilt - 5 * load + 0.6 * rng.standard_normal((CELLS, DAYS))
    speed = 5 + MBPS_PER_DB * sinr - 12 * load + rng.standard_normal((CELLS, DAYS))
    columns = {
        "electrical_tilt_deg": (tilt, Role.ATTRIBUTE, ""),
        "prb_utilisation_ratio": (load, Role.RATIO, ""),
        "sinr_mean_db": (sinr, Role.GAUGE, "higher"),
        "ue_throughput_mbps": (speed, Role.GAUGE, "higher"),
    }
    frame = pl.DataFrame(
        {
            OBJECT: np.repeat([f"c{k:02d}" for k in range(CELLS)], DAYS),
            TIME: [START + timedelta(days=day) for _ in range(CELLS) for day in range(DAYS)],
            PERIOD_S: [86400.0] * (CELLS * DAYS), SUSPECT: [False] * (CELLS * DAYS),
            **{name: values.ravel() for name, (values, _, _) in columns.items()},
        },
        schema_overrides={TIME: TIME_TYPE},
    )  # fmt: skip
    infos = {
        name: ColumnInfo(
            name, quantity=name, role=role, better=better, confidence=1.0,
            share="fraction" if role is Role.RATIO else "",
        )
        for name, (_, role, better) in columns.items()
    }  # fmt: skip
    return analyse([Measurements("net", frame, infos, (), "cell", "UTC", ("net.csv",))])


@pytest.fixture(scope="module")
def advised() -> Advised:
    """Return what to change, asked of the causal engine as well."""
    analysis = tilted()
    return advise(analysis, causes_of(analysis))


def test_a_change_made_before_tells_what_it_does_and_goes_into_the_plan(advised: Advised) -> None:
    """By hand: a degree gives 0.8 dB and 1.2 Mbit/s; the interval holds that."""
    (one,) = [r for r in advised.recommendations if r.effect and r.effect.basis is Basis.POSTERIOR]
    assert one.effect is not None
    step = one.steps[0]
    assert step.parameter == "electrical_tilt_deg"
    assert 0 < step.after - step.before <= 2
    per_deg = SINR_PER_DEG * (MBPS_PER_DB if "ue_throughput" in one.effect.figure else 1.0)
    assert one.effect.low_90 < per_deg * (step.after - step.before) < one.effect.high_90
    assert advised.plan.plan is not None
    assert {(c.cell, c.before, c.after) for c in advised.plan.plan.changes} == {
        (s.cell, s.before, s.after) for s in one.steps
    }


def test_without_the_engine_nothing_is_claimed_of_the_tilt() -> None:
    """The same data, the engine not asked: no effect of a tilt, and the report says why."""
    found = advise(tilted())
    assert not any(s.parameter == "electrical_tilt_deg"
                   for one in found.recommendations for s in one.steps)  # fmt: skip
    assert any("not asked" in line for line in found.missing)
