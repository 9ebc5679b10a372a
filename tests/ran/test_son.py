"""The self-optimisation rules do what they say on frames made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from cellhive.core.schema import CELL_COLUMNS, RELATION_COLUMNS
from cellhive.core.types import Change, KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.ran.guard import Guard
from cellhive.ran.layout import SiteDesign, hex_grid, with_relations
from cellhive.ran.parameters import apply_changes, default_parameters
from cellhive.ran.son import (
    Coverage,
    CoverageSettings,
    EnergySaving,
    Mlb,
    Mro,
    Proposal,
    Rules,
    SonFunction,
    View,
)

PERIOD_S = 900.0
QUIET = {
    "RRU.PrbUsedDl": 30.0,
    "RRU.PrbAvailDl": 100.0,
    "prb_utilisation_ratio": 0.3,
    "demand_satisfied_ratio": 1.0,
    "RRC.ConnMean": 10.0,
    "DRB.MeanActiveUeDl": 5.0,
    "x.OfferedVolumeDl": 1000.0,
    "DRB.PdcpSduVolumeDL": 1000.0,
    "PEE.AvgPower": 300.0,
}
"""A cell that nothing is wrong with; all else is zero."""


def mesh(network: Network) -> Network:
    """Make all cells of a network neighbours of one another."""
    pairs = [(i, j) for i in range(network.cells) for j in range(network.cells) if i != j]
    source, target = np.array(pairs).T
    return with_relations(network, source, target)


@pytest.fixture
def network() -> Network:
    """Three cells S01-1 to S01-3 of one site, all neighbours."""
    return mesh(hex_grid(1, 500.0))


@pytest.fixture
def layers() -> Network:
    """Three coverage cells S01-1 to S01-3 and three capacity cells S01-1b to S01-3b."""
    return mesh(hex_grid(1, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)))


CellFigures = Mapping[str, Mapping[str, float]]
"""Per cell, the columns that differ from QUIET."""
RelationFigures = Mapping[str, Mapping[str, float]]
"""Per "source->target", the counters that are not zero."""


def frame(
    network: Network, cells: CellFigures | None = None, relations: RelationFigures | None = None
) -> KpiFrame:
    """Return a period of a quiet network with some figures of its own."""
    values = np.zeros((network.cells, len(CELL_COLUMNS)), np.float32)
    for name, value in QUIET.items():
        values[:, CELL_COLUMNS.index(name)] = value
    for cell, figures in (cells or {}).items():
        for name, value in figures.items():
            values[network.cell_index[cell], CELL_COLUMNS.index(name)] = value
    counters = np.zeros((network.relations, len(RELATION_COLUMNS)), np.float32)
    for pair, figures in (relations or {}).items():
        source, target = (network.cell_index[cell] for cell in pair.split("->"))
        for name, value in figures.items():
            place = network.relation_index[source, target]
            counters[place, RELATION_COLUMNS.index(f"{name}.nCI")] = value
    return KpiFrame(
        0.0, PERIOD_S, 60.0, CELL_COLUMNS, values, np.isfinite(values), RELATION_COLUMNS, counters
    )


def handovers(success: float, **events: float) -> dict[str, float]:
    """Return relation counters: successes, and failures by cause."""
    names = {
        "late": "HO.IntraSys.TooLate",
        "early": "HO.IntraSys.TooEarly",
        "wrong": "HO.IntraSys.ToWrongCell",
        "taken": "x.HoWrongCellTaken",
        "pingpong": "x.HoPingPong",
        "fail": "MM.HoExeInterFail",
    }
    return {"MM.HoExeInterSucc": success} | {names[key]: value for key, value in events.items()}


class Bench:
    """A function under test on a network whose frames are made by hand."""

    def __init__(self, function: SonFunction, network: Network) -> None:
        """Start with default parameters."""
        self.function, self.network = function, network
        self.base = self.parameters = default_parameters(network)
        self.frames: list[KpiFrame] = []

    def show(
        self, cells: CellFigures | None = None, relations: RelationFigures | None = None
    ) -> tuple[Change, ...]:
        """Show one period and return what the function wants changed."""
        return self.propose(cells, relations).changes

    def propose(
        self, cells: CellFigures | None = None, relations: RelationFigures | None = None
    ) -> Proposal:
        """Show one period and return the proposal."""
        self.frames.append(frame(self.network, cells, relations))
        return self.function.propose(
            View(self.network, self.parameters, self.base, self.frames, self.now_s)
        )

    @property
    def now_s(self) -> float:
        """End of the last period [s]."""
        return len(self.frames) * PERIOD_S

    def grant(self, changes: tuple[Change, ...]) -> None:
        """Carry changes out."""
        self.parameters = apply_changes(self.parameters, self.network, changes)

    def undo(self, changes: tuple[Change, ...]) -> None:
        """Roll changes back and tell the function."""
        self.grant(tuple(change.reverted("harm") for change in changes))
        plan = Plan("p", self.function.name, self.now_s, changes)
        self.function.learn(Outcome(plan, "rolled back", "harm", self.now_s, {}, {}))


def steps_of(changes: tuple[Change, ...]) -> dict[str, float]:
    """Return by how much each object is changed."""
    return {change.object_id: change.after - change.before for change in changes}


@pytest.mark.parametrize(
    ("figures", "step", "words"),
    [
        (handovers(68, late=12), 1.0, "12 of 80 (15.0 %) handovers S01-1->S01-2 were too late"),
        (handovers(60, early=4, pingpong=8), -1.0, "12 of 60 (20.0 %) .* too early or bounced"),
        (handovers(60, pingpong=12), -1.0, "12 of 60 (20.0 %)"),
        (handovers(60, late=6, pingpong=12), 1.0, "6 of 66 (9.1 %) .* too late"),
        (handovers(97, late=3), None, ""),  # 3 %: below 5 %
        (handovers(94, pingpong=6), None, ""),  # 6 %: below 10 %
        (handovers(30, late=2), None, ""),  # two events are no pattern
        (handovers(3, late=6), None, ""),  # 9 attempts: fewer than 10
        (handovers(27, late=3), None, ""),  # 10 %, but of 30: 3 < 1.5 + 1.64 * 1.19
        (handovers(25, late=5), 1.0, "5 of 30"),  # 5 > 1.5 + 1.64 * 1.19
        (handovers(0), None, ""),
    ],
)
def test_robustness_of_a_relation(
    network: Network, figures: dict[str, float], step: float | None, words: str
) -> None:
    """Late failures raise the offset, early ones and ping-pongs lower it, noise does nothing."""
    changes = Bench(Mro(), network).show(relations={"S01-1->S01-2": figures})
    assert steps_of(changes) == ({} if step is None else {"S01-1->S01-2": step})
    for change in changes:
        assert change.parameter == "cio_db"
        assert all(part in change.reason for part in words.split(" .* "))


def test_robustness_adds_periods_up(network: Network) -> None:
    """Four quiet periods with one failure in fifteen are nothing each, but a pattern together."""
    bench = Bench(Mro(), network)
    quarter = {"S01-1->S01-2": handovers(14, late=1)}
    assert [len(bench.show(relations=quarter)) for _ in range(4)] == [0, 0, 0, 1]  # 4 of 60


def test_robustness_starts_anew_after_a_change(network: Network) -> None:
    """What was counted under other settings does not count any more."""
    bench = Bench(Mro(), network)
    late = {"S01-1->S01-2": handovers(34, late=6)}
    changes = bench.show(relations=late)
    bench.grant(changes)
    assert bench.show(relations={"S01-1->S01-2": handovers(40)}) == ()
    assert steps_of(bench.show(relations=late)) == {"S01-1->S01-2": 1.0}  # 6 of 80


def test_robustness_sends_users_to_the_right_cell(network: Network) -> None:
    """Failures after S01-1->S01-2 that S01-3 took over make S01-3 more attractive."""
    changes = Bench(Mro(), network).show(
        relations={
            "S01-1->S01-2": handovers(60, wrong=6),
            "S01-1->S01-3": handovers(60, taken=6),
        }
    )
    assert steps_of(changes) == {"S01-1->S01-3": 1.0}
    assert "6 of 60 (10.0 %) handovers S01-1->S01-2 ended in another cell, 6 of them in S01-3" in (
        changes[0].reason
    )


def test_robustness_stays_clear_of_loops(network: Network) -> None:
    """Thresholds of 3 + 3 dB and 5 dB of offset on the way back leave no room."""
    bench = Bench(Mro(), network)
    bench.parameters = replace(bench.parameters, cio_db=bench.parameters.cio_db.copy())
    bench.parameters.cio_db[network.relation_index[1, 0]] = 5.0
    late = {"S01-1->S01-2": handovers(60, late=12)}
    assert bench.show(relations=late) == ()


def test_robustness_stays_near_the_base(network: Network) -> None:
    """Six dB from the base is the end; back is always open."""
    bench = Bench(Mro(), network)
    bench.parameters = replace(bench.parameters, cio_db=bench.parameters.cio_db.copy())
    bench.parameters.cio_db[network.relation_index[0, 1]] = -6.0
    assert bench.show(relations={"S01-1->S01-2": handovers(60, early=12)}) == ()
    late = {"S01-1->S01-2": handovers(60, late=24)}
    assert steps_of(bench.show(relations=late)) == {"S01-1->S01-2": 1.0}


def test_robustness_does_not_repeat_what_did_harm(network: Network) -> None:
    """After a roll-back the direction rests for four hours, then it may be tried again."""
    bench = Bench(Mro(), network)
    late = {"S01-1->S01-2": handovers(60, late=12)}
    changes = bench.show(relations=late)
    bench.grant(changes)
    bench.undo(changes)
    assert [len(bench.show(relations=late)) for _ in range(16)] == [0] * 15 + [1]


@pytest.mark.parametrize(
    ("figures", "ttt_s", "parameter", "before", "after"),
    [
        (handovers(30, late=6), 0.48, "time_to_trigger_s", 0.48, 0.32),
        (handovers(30, pingpong=9), 0.16, "time_to_trigger_s", 0.16, 0.256),
        (handovers(30, pingpong=9), 0.64, "hysteresis_db", 1.0, 1.5),
        (handovers(30, late=6), 0.08, "hysteresis_db", 1.0, 0.5),
    ],
)
def test_robustness_tunes_a_cell_whose_relations_agree(
    network: Network,
    figures: dict[str, float],
    ttt_s: float,
    parameter: str,
    before: float,
    after: float,
) -> None:
    """One value of time to trigger, or half a dB of hysteresis at the end of its range."""
    bench = Bench(Mro(), network)
    bench.parameters = default_parameters(network, time_to_trigger_s=ttt_s, hysteresis_db=1.0)
    relations = {"S01-1->S01-2": figures, "S01-1->S01-3": figures}
    (change,) = bench.show(relations=relations)
    assert (change.object_id, change.parameter) == ("S01-1", parameter)
    assert (change.before, change.after) == (before, after)
    assert "on 2 of its 2 used relations" in change.reason


def test_robustness_tunes_the_relation_where_only_one_is_bad(network: Network) -> None:
    """One bad relation of three used ones is its own affair."""
    layers = mesh(hex_grid(1, 500.0, SiteDesign(capacity_carrier_hz=2.6e9)))
    good = {f"S01-1->S01-{name}": handovers(60) for name in ("3", "1b", "2b")}
    changes = Bench(Mro(), layers).show(relations=good | {"S01-1->S01-2": handovers(40, late=40)})
    assert steps_of(changes) == {"S01-1->S01-2": 1.0}


FULL = {
    "prb_utilisation_ratio": 0.95,
    "RRU.PrbUsedDl": 95.0,
    "DRB.MeanActiveUeDl": 20.0,
}
BORDER = {"S01-1->S01-2": {"x.BorderUe": 4.0}, "S01-1->S01-3": {"x.BorderUe": 0.1}}


def test_balancing_moves_border_users_both_ways(network: Network) -> None:
    """The offset out goes up and the one back down by the same step, with the loads named."""
    changes = Bench(Mlb(), network).show({"S01-1": FULL}, BORDER)
    assert steps_of(changes) == {"S01-1->S01-2": 2.0, "S01-2->S01-1": -2.0}
    assert "S01-1 is 95% full and S01-2 30%; 4.0 users are within 3 dB" in changes[0].reason


@pytest.mark.parametrize(
    "cells",
    [
        {"S01-1": FULL | {"prb_utilisation_ratio": 0.79}},
        {"S01-1": FULL, "S01-2": {"prb_utilisation_ratio": 0.66}},
        {"S01-1": FULL, "S01-2": {"prb_utilisation_ratio": float("nan")}},
        # 100 / 20 PRB here; there 100 / 13 or 100 - 93, times 0.75: 15 % more, below 20 %
        {"S01-1": FULL, "S01-2": {"DRB.MeanActiveUeDl": 12.0, "RRU.PrbUsedDl": 93.0}},
    ],
    ids=["not full", "no room", "unknown", "no gain"],
)
def test_balancing_needs_load_room_and_gain(network: Network, cells: CellFigures) -> None:
    """Each condition alone keeps the rule from acting."""
    assert Bench(Mlb(), network).show(cells, BORDER) == ()


def test_balancing_takes_its_time_and_stops_at_its_limit(network: Network) -> None:
    """A step every second period, up to 6 dB, while the load lasts."""
    bench = Bench(Mlb(), network)
    sizes = []
    for _ in range(9):
        changes = bench.show({"S01-1": FULL}, BORDER)
        bench.grant(changes)
        sizes.append(len(changes))
    assert sizes == [2, 0, 2, 0, 2, 0, 0, 0, 0]
    assert bench.parameters.cio_db[network.relation_index[0, 1]] == 6.0
    assert bench.parameters.cio_db[network.relation_index[1, 0]] == -6.0


def test_balancing_gives_back_when_the_load_has_fallen(network: Network) -> None:
    """After two calm periods it steps back, and ends where it began."""
    bench = Bench(Mlb(), network)
    for _ in range(3):
        bench.grant(bench.show({"S01-1": FULL}, BORDER))
    assert bench.parameters.cio_db.max() == 4.0
    taken = []
    for _ in range(6):
        changes = bench.show()
        bench.grant(changes)
        taken.append(steps_of(changes).get("S01-1->S01-2", 0.0))
    assert taken == [0.0, -2.0, 0.0, -2.0, 0.0, 0.0]
    assert np.all(bench.parameters.cio_db == 0.0)


def test_balancing_the_other_way_takes_back_what_is_held(network: Network) -> None:
    """When the neighbour fills up instead, its step undoes the first, and both end at zero."""
    bench = Bench(Mlb(), network)
    bench.grant(bench.show({"S01-1": FULL}, BORDER))
    other = {"S01-2->S01-1": {"x.BorderUe": 4.0}}
    bench.show({"S01-2": FULL}, other)
    changes = bench.show({"S01-2": FULL}, other)
    assert steps_of(changes) == {"S01-2->S01-1": 2.0, "S01-1->S01-2": -2.0}
    bench.grant(changes)
    assert np.all(bench.parameters.cio_db == 0.0)
    assert [bench.show() for _ in range(5)] == [()] * 5


def test_balancing_forgets_what_was_not_granted(network: Network) -> None:
    """An offset that was refused is not taken back later."""
    bench = Bench(Mlb(), network)
    assert bench.show({"S01-1": FULL}, BORDER)
    assert [bench.show() for _ in range(4)] == [(), (), (), ()]


def test_balancing_rests_after_a_roll_back(network: Network) -> None:
    """Eight periods for the pair that did harm."""
    bench = Bench(Mlb(), network)
    changes = bench.show({"S01-1": FULL}, BORDER)
    bench.grant(changes)
    bench.undo(changes)
    sizes = [len(bench.show({"S01-1": FULL}, BORDER)) for _ in range(9)]
    assert sizes == [0] * 7 + [2, 2]  # again, because the first was not granted


IDLE = {"prb_utilisation_ratio": 0.1, "RRU.PrbUsedDl": 10.0}


def test_an_idle_capacity_cell_sleeps_after_two_periods(layers: Network) -> None:
    """Its sector has 30 of 100 PRBs in use: 30 % + 1.5 * 10 % is below 60 %."""
    bench = Bench(EnergySaving(), layers)
    assert bench.show({"S01-1b": IDLE}) == ()
    proposal = bench.propose({"S01-1b": IDLE})
    (change,) = proposal.changes
    assert (change.cell, change.parameter, change.after) == ("S01-1b", "asleep", 1.0)
    assert "10% full, below 20% for 2 periods" in change.reason
    assert "S01-1 45%" in change.reason
    (effect,) = proposal.expected
    assert effect.kpi == "power_w"
    assert effect.mean == -150.0  # 300 W drawn, 2 * 75 W asleep: EARTH macro, two transceivers


@pytest.mark.parametrize(
    "cells",
    [
        {"S01-1": IDLE},
        {"S01-1b": IDLE | {"prb_utilisation_ratio": 0.21}},
        {"S01-1b": IDLE, "S01-1": {"prb_utilisation_ratio": 0.46}},
        {"S01-1b": IDLE | {"prb_utilisation_ratio": float("nan")}},
        {"S01-1b": IDLE, "S01-1": {"prb_utilisation_ratio": float("nan")}},
    ],
    ids=["coverage cell", "not idle", "no room where users go", "unknown", "room unknown"],
)
def test_cells_that_are_needed_stay_awake(layers: Network, cells: CellFigures) -> None:
    """Coverage, own load, the load of the stand-in, or not knowing keep a cell awake."""
    bench = Bench(EnergySaving(), layers)
    assert [bench.show(cells) for _ in range(3)] == [(), (), ()]


@pytest.mark.parametrize(
    "figures",
    [
        {"prb_utilisation_ratio": 0.75},
        {"prb_utilisation_ratio": 0.45, "demand_satisfied_ratio": 0.9},
    ],
    ids=["busy", "demand unserved"],
)
def test_a_sleeper_is_woken_when_its_stand_in_is_busy(
    layers: Network, figures: dict[str, float]
) -> None:
    """Load above 70 %, or unserved demand at some load, in the same sector."""
    bench = Bench(EnergySaving(), layers)
    bench.show({"S01-1b": IDLE})
    bench.grant(bench.show({"S01-1b": IDLE}))
    assert bench.show() == ()
    assert bench.show({"S01-2": figures}) == ()  # another sector
    (change,) = bench.show({"S01-1": figures})
    assert (change.cell, change.after) == ("S01-1b", 0.0)
    assert "S01-1 took over from S01-1b" in change.reason


def test_a_cell_that_had_to_be_woken_stays_awake(layers: Network) -> None:
    """For two hours, however idle it is, so that it does not flap."""
    bench = Bench(EnergySaving(), layers)
    bench.show({"S01-1b": IDLE})
    bench.grant(bench.show({"S01-1b": IDLE}))
    bench.grant(bench.show({"S01-1": {"prb_utilisation_ratio": 0.75}}))
    assert not bench.parameters.asleep.any()
    assert [len(bench.show({"S01-1b": IDLE})) for _ in range(8)] == [0] * 7 + [1]


def test_a_cell_whose_sleep_did_harm_stays_awake(layers: Network) -> None:
    """For four hours after the roll-back."""
    bench = Bench(EnergySaving(), layers)
    bench.show({"S01-1b": IDLE})
    changes = bench.show({"S01-1b": IDLE})
    bench.grant(changes)
    bench.undo(changes)
    assert [len(bench.show({"S01-1b": IDLE})) for _ in range(16)] == [0] * 15 + [1]


def test_stand_ins_are_not_put_to_sleep_together() -> None:
    """Without a coverage layer, one of three idle cells takes over and must stay awake."""
    network = replace(mesh(hex_grid(1, 500.0)), coverage_cell=np.zeros(3, np.bool_))
    bench = Bench(EnergySaving(), network)
    idle = dict.fromkeys(network.cell_ids, IDLE)
    bench.show(idle)
    for _ in range(3):
        changes = bench.show(idle)
        bench.grant(changes)
    assert bench.parameters.asleep.sum() == 1


@pytest.fixture
def city() -> Network:
    """Twenty-one cells on seven sites; neighbours are cells of the same or the next site."""
    network = hex_grid(7, 500.0)
    apart = np.hypot(network.x_m[:, None] - network.x_m, network.y_m[:, None] - network.y_m)
    source, target = np.nonzero((apart < 600.0) & ~np.eye(21, dtype=bool))
    return with_relations(network, source, target)


def with_tilt(bench: Bench, cell: str, tilt_deg: float) -> None:
    """Set one tilt, as if it always had been so."""
    tilts = bench.parameters.electrical_tilt_deg.copy()
    tilts[bench.network.cell_index[cell]] = tilt_deg
    bench.base = bench.parameters = replace(bench.parameters, electrical_tilt_deg=tilts)


@pytest.mark.parametrize(
    ("figures", "step", "words"),
    [
        ({"weak_coverage_ratio": 0.10}, -1.0, "10.0% of UE time in the cell is weakly covered"),
        ({"weak_coverage_ratio": 0.05}, None, ""),
        ({"weak_coverage_ratio": 0.10, "interference_ratio": 0.12}, None, ""),
    ],
)
def test_weak_coverage_turns_the_antenna_up(
    city: Network, figures: dict[str, float], step: float | None, words: str
) -> None:
    """From 10 % of UE time on, unless interference is the greater evil."""
    changes = Bench(Coverage(), city).show({"S01-1": figures})
    assert steps_of(changes) == ({} if step is None else {"S01-1": step})
    assert all(words in change.reason for change in changes)


def test_interference_turns_one_antenna_of_an_area_down(city: Network) -> None:
    """All cells see 20 % interference: of cells around one another only one is turned."""
    bench = Bench(Coverage(), city)
    changes = bench.show({cell: {"interference_ratio": 0.2} for cell in city.cell_ids})
    turned = [city.cell_index[change.cell] for change in changes]
    assert turned
    assert set(steps_of(changes).values()) == {1.0}
    assert "coverage to spare (0.0% weak)" in changes[0].reason
    for cell in turned:
        closest = (cell, *sorted(city.neighbours_of(cell))[:6])  # all tie: lowest index first
        assert [other for other in turned if other in closest] == [cell]


@pytest.mark.parametrize(("tilt_deg", "step"), [(12.0, -2.0), (9.0, -2.0), (8.5, None), (1.0, 2.0)])
def test_a_tilt_that_stands_out_is_brought_back(
    city: Network, tilt_deg: float, step: float | None
) -> None:
    """From 3 deg off the median of the cells around it, which is 6 deg."""
    bench = Bench(Coverage(), city)
    with_tilt(bench, "S01-2", tilt_deg)
    changes = bench.show()
    assert steps_of(changes) == ({} if step is None else {"S01-2": step})


def test_a_mis_tilted_cell_is_repaired_step_by_step(city: Network) -> None:
    """12 deg among cells at 6 deg come within 2.5 deg of them, judged after each step."""
    bench = Bench(Coverage(), city)
    with_tilt(bench, "S01-2", 12.0)
    tilts = []
    for _ in range(8):
        bench.grant(bench.show())
        tilts.append(bench.parameters.electrical_tilt_deg[city.cell_index["S01-2"]])
    assert tilts == [10.0, 10.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]


def test_a_step_that_does_harm_is_taken_back_and_not_repeated(city: Network) -> None:
    """Weak coverage around the cell rises by 10 points while the rest stays as it was."""
    bench = Bench(Coverage(), city)
    weak = {"S01-1": {"weak_coverage_ratio": 0.10}}
    bench.grant(bench.show(weak))
    near = {c: {"weak_coverage_ratio": 0.05} for c in city.cell_ids[1:7]}
    worse = {"S01-1": {"weak_coverage_ratio": 0.2}} | near
    assert bench.show(worse) == ()
    (change,) = bench.show(worse)
    assert (change.cell, change.after - change.before) == ("S01-1", 1.0)
    assert "went up by" in change.reason
    bench.grant((change,))
    assert [c for _ in range(15) for c in bench.show(weak) if c.cell == "S01-1"] == []
    assert steps_of(bench.show(weak)) == {"S01-1": -1.0}  # four hours later


def test_a_step_that_cannot_be_judged_stays(city: Network) -> None:
    """Where nobody is left around the cell there is no harm to be seen, and no warning."""
    bench = Bench(Coverage(), city)
    bench.grant(bench.show({"S01-1": {"weak_coverage_ratio": 0.10}}))
    empty = {cell: {"RRC.ConnMean": 0.0, "x.OfferedVolumeDl": 0.0} for cell in city.cell_ids}
    changes = [change for _ in range(6) for change in bench.show(empty)]
    assert all(change.after < 5.0 for change in changes)  # a next step perhaps, never one back


def test_a_rush_hour_is_not_taken_for_harm(city: Network) -> None:
    """When unserved demand rises everywhere alike, the step stays."""
    bench = Bench(Coverage(), city)
    bench.grant(bench.show({"S01-1": {"weak_coverage_ratio": 0.10}}))
    rush = {cell: {"DRB.PdcpSduVolumeDL": 800.0} for cell in city.cell_ids}
    bench.show(rush)
    assert bench.show(rush) == ()
    assert bench.parameters.electrical_tilt_deg[0] == 5.0


@pytest.mark.parametrize(
    ("figures", "step"),
    [
        ({}, 1.0),
        ({"weak_coverage_ratio": 0.03}, None),
        ({"weak_coverage_ratio": 0.30}, None),
    ],
    ids=["coverage to spare", "none to spare", "weak, but full"],
)
def test_a_full_cell_among_lighter_ones_becomes_smaller(
    city: Network, figures: dict[str, float], step: float | None
) -> None:
    """One degree down where there is coverage to spare; it never becomes larger."""
    changes = Bench(Coverage(), city).show({"S01-1": FULL | figures})
    assert steps_of(changes) == ({} if step is None else {"S01-1": step})


def test_interference_where_cells_are_crowded_is_left_alone(city: Network) -> None:
    """20 % interference asks for more tilt, but not beside a cell that is 85 % full."""
    interfered = {cell: {"interference_ratio": 0.2} for cell in city.cell_ids}
    crowded = {cell: {"prb_utilisation_ratio": 0.85} | figures
               for cell, figures in interfered.items()}  # fmt: skip
    assert Bench(Coverage(), city).show(interfered)
    assert Bench(Coverage(), city).show(crowded) == ()


def test_a_tilt_stays_within_reach_of_its_base(city: Network) -> None:
    """Six degrees from the initial tilt is the end."""
    bench = Bench(Coverage(CoverageSettings(outlier_deg=99.0)), city)
    tilts = bench.base.electrical_tilt_deg.copy()
    tilts[0] = 0.0
    bench.parameters = replace(bench.base, electrical_tilt_deg=tilts)
    assert bench.show({"S01-1": {"weak_coverage_ratio": 0.3}}) == ()


def test_sleeping_and_protected_cells_are_not_tilted(city: Network) -> None:
    """A symptom of theirs is nothing to act on."""
    weak = {"S01-1": {"weak_coverage_ratio": 0.3}}
    bench = Bench(Coverage(), city)
    bench.parameters = replace(bench.parameters, asleep=np.arange(21) == 0)
    assert bench.show(weak) == ()
    guarded = replace(city, protected=np.arange(21) == 0)
    assert Bench(Coverage(), guarded).show(weak) == ()


def _all_at_once(layers: Network) -> tuple[CellFigures, RelationFigures]:
    """Return figures under which every function has something to do."""
    cells = {
        "S01-2b": IDLE,
        "S01-1": FULL,
        "S01-3": {"weak_coverage_ratio": 0.1},
    }
    relations = {
        "S01-1->S01-2": {"x.BorderUe": 4.0},
        "S01-3->S01-1b": handovers(60, late=12),
    }
    return cells, relations


def test_rules_make_one_plan_of_each_function(layers: Network) -> None:
    """Named after function and period, with reasons, and nothing twice."""
    rules, parameters = Rules(), default_parameters(layers)
    frames = [frame(layers, *_all_at_once(layers)) for _ in range(2)]
    rules.propose(layers, parameters, frames[:1], 900.0)
    plans = rules.propose(layers, parameters, frames, 1800.0)
    assert [plan.plan_id for plan in plans] == ["ES-2", "CCO-2", "MLB-2", "MRO-2"]
    for plan in plans:
        assert plan.time_s == 1800.0
        assert plan.evidence
        assert all(change.reason.endswith(".") for change in plan.changes)
        objects = [(change.object_id, change.parameter) for change in plan.changes]
        assert len(set(objects)) == len(objects)


def test_rules_learn_from_their_own_plans_only(layers: Network) -> None:
    """A roll-back teaches the function whose plan it was."""
    parameters = default_parameters(layers)
    frames = [frame(layers, *_all_at_once(layers)) for _ in range(2)]
    rules = Rules()
    first = {p.function: p for p in rules.propose(layers, parameters, frames, 1800.0)}
    rules.learn(Outcome(first["ES"], "rolled back", "harm", 1800.0, {}, {}))
    rules.learn(Outcome(first["MRO"], "kept", "no harm", 1800.0, {}, {}))
    again = {p.function for p in rules.propose(layers, parameters, frames, 2700.0)}
    assert "ES" not in again
    assert "MRO" in again


def test_rules_say_nothing_without_a_period(layers: Network) -> None:
    """There is nothing to go by before the first frame."""
    assert Rules().propose(layers, default_parameters(layers), [], 0.0) == []


def test_a_sound_network_is_left_alone(city: Network) -> None:
    """Where no threshold is crossed no plan is made, however long."""
    rules, parameters = Rules(), default_parameters(city)
    busy = {
        f"{city.cell_ids[s]}->{city.cell_ids[t]}": handovers(50, late=1, pingpong=2)
        for s, t in city.relation_index
    }
    frames = [frame(city, {}, busy) for _ in range(12)]
    for period in range(1, 13):
        assert rules.propose(city, parameters, frames[:period], period * PERIOD_S) == []


def test_what_the_rules_want_passes_the_guard(layers: Network) -> None:
    """On a network at rest the guard has nothing to say against single plans."""
    parameters: Parameters = default_parameters(layers)
    frames = [frame(layers, *_all_at_once(layers)) for _ in range(2)]
    for plan in Rules().propose(layers, parameters, frames, 1800.0):
        verdict = Guard().check(plan, layers, parameters, 1800.0)
        assert verdict.refused == ()
