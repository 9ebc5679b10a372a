"""Faults: each does what its kind says, in one twin only, and no parameter shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import KpiFrame
from cellhive.flows.incidents.cases import Recipe
from cellhive.flows.incidents.faults import Fault, FaultKind, inject
from cellhive.ran.scenarios import build_twin
from cellhive.ran.simulator import Twin

CELL = 1
NAME = "S01-2"
Told = Callable[[KpiFrame, KpiFrame, Twin], bool]


@pytest.fixture(scope="module")
def sound() -> Twin:
    """Return a twin of 21 cells."""
    twin = build_twin(Recipe(users_per_cell=20.0).scenario(), 3, observed_s=60.0)
    twin.observe()
    return twin


@pytest.fixture(scope="module")
def usual(sound: Twin) -> KpiFrame:
    """Return what the twin reports without a fault."""
    return sound.clone().observe()


def lower(name: str) -> Told:
    """Return whether a column of the cell falls."""
    return lambda now, before, twin: now.column(name)[CELL] < before.column(name)[CELL]


def higher(name: str) -> Told:
    """Return whether it rises."""
    return lambda now, before, twin: now.column(name)[CELL] > before.column(name)[CELL]


def refused(now: KpiFrame, before: KpiFrame, twin: Twin) -> bool:
    """Return whether handovers are refused and nobody is served."""
    fails = now.column("MM.HoPrepInterFail").sum() > before.column("MM.HoPrepInterFail").sum() + 10
    return bool(fails and now.column("RRC.ConnMean")[CELL] < 0.5)


def forgotten(now: KpiFrame, before: KpiFrame, twin: Twin) -> bool:
    """Return whether no handover goes to the site any more to which some went."""
    network = twin.network
    there = np.array([network.site_ids[t] == "S04" for t in network.relation_target.tolist()])
    there &= network.relation_source == CELL
    count = [frame.relation_column("MM.HoPrepInterReq.nCI")[there].sum() for frame in (now, before)]
    return bool(count[0] == 0 < count[1])


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(FaultKind.POWER, NAME, 8.0), lower("PEE.AvgPower")),
        (Fault(FaultKind.POWER, NAME, 8.0), lower("RRC.ConnMean")),
        (Fault(FaultKind.TILT_DOWN, NAME, 8.0), lower("RRC.ConnMean")),
        (Fault(FaultKind.TILT_UP, NAME, 8.0), lower("rsrp_mean_dbm")),
        (Fault(FaultKind.AZIMUTH, NAME, 120.0), lower("sinr_mean_db")),
        (Fault(FaultKind.OBSTRUCTION, NAME, 25.0), lower("rsrp_mean_dbm")),
        (Fault(FaultKind.OUTAGE, NAME), lower("RRU.PrbAvailDl")),
        (Fault(FaultKind.BARRED, NAME), refused),
        (Fault(FaultKind.PRBS, NAME, 0.5), lower("RRU.PrbAvailDl")),
        (Fault(FaultKind.NEIGHBOUR, NAME, 0.0, "S04"), forgotten),
        (Fault(FaultKind.INTERFERENCE, NAME, 20.0, "120"), lower("sinr_mean_db")),
        (Fault(FaultKind.INTERFERENCE, NAME, 20.0, "120"), higher("interference_ratio")),
    ],
)
def test_a_fault_shows_in_counters_and_in_no_parameter(
    sound: Twin, usual: KpiFrame, fault: Fault, told: Told
) -> None:
    """The same users, the same configuration, other counters; the sound twin stays sound."""
    broken = sound.clone()
    inject(broken, fault)
    assert told(broken.observe(), usual, broken)
    configured, before = broken.parameters(), sound.parameters()
    for one in fields(configured):
        assert np.array_equal(getattr(configured, one.name), getattr(before, one.name)), one.name
    np.testing.assert_array_equal(sound.clone().observe().values, usual.values)


def test_a_surge_makes_the_users_of_a_hot_spot_busier(sound: Twin, usual: KpiFrame) -> None:
    """More is asked of the network, from the next period on."""
    broken = sound.clone()
    inject(broken, Fault(FaultKind.SURGE, NAME, 8.0, "1"))
    asked = broken.observe().column("x.OfferedVolumeDl").sum()
    assert asked > 1.02 * usual.column("x.OfferedVolumeDl").sum()


def test_faults_that_mean_nothing_are_refused(sound: Twin) -> None:
    """Unknown cells, sites and groups, and impossible amounts."""
    twin = sound.clone()
    with pytest.raises(NotFound, match="nowhere"):
        inject(twin, Fault(FaultKind.OUTAGE, "nowhere"))
    with pytest.raises(NotFound, match="S99"):
        inject(twin, Fault(FaultKind.NEIGHBOUR, NAME, 0.0, "S99"))
    with pytest.raises(BadInput, match="share"):
        inject(twin, Fault(FaultKind.PRBS, NAME, 0.0))
    with pytest.raises(BadInput, match="group"):
        inject(twin, Fault(FaultKind.SURGE, NAME, 2.0, "99"))
