"""A loop that remembers: what it learns from verdicts, proposes, holds back, and replays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.pattern_file import FILE, read_patterns, write_patterns
from cellhive.adapters.scenarios import scenario_named
from cellhive.core.errors import BadInput
from cellhive.core.records import PRIVACY, PRIVATE
from cellhive.core.types import Change, KpiFrame, Mode, Network, Outcome, Parameters, Plan
from cellhive.flows.decide import Loop, LoopSettings, Silent
from cellhive.flows.recall.experiences import Ledger, action_of, place_of
from cellhive.flows.recall.history import episodes, lessons_of
from cellhive.flows.recall.optimizer import PatternsLearned, Recall, RecallSettings, most_doubt
from cellhive.flows.recall.situations import (
    CELLS,
    FEATURES,
    RELATIONS,
    Situations,
    lost,
    situations,
)
from cellhive.flows.recall.warmth import CityWarmth, paired, sooner, time_to
from cellhive.flows.replay import compare_runs
from cellhive.flows.trial import Hooks, RunRecord, RunStart, TrialSettings, run_trial
from cellhive.flows.watch import Scoring
from cellhive.memory.patterns import (
    NOTHING,
    Action,
    Evidence,
    Pattern,
    PatternRules,
    Patterns,
    Share,
)
from cellhive.ran.guard import Guard
from cellhive.ran.layout import SiteDesign, highway
from cellhive.ran.parameters import apply_changes
from cellhive.ran.scenarios import build_twin
from cellhive.ran.simulator import Twin
from cellhive.ran.son import Rules

START = RunStart("small", "0", "2026-01-01T00:00:00+00:00", "highway-corridor", 3, {})
PERIODS = 6
FASTER = Action("MRO", "time_to_trigger_s", -1)


@pytest.fixture(scope="module")
def settled() -> Twin:
    """Four sites along a road on which handovers come too late; tests run on clones."""
    scenario = replace(
        scenario_named("highway-corridor"),
        network=lambda: highway(4, 1000.0, SiteDesign(carrier_hz=2.1e9)),
    )
    return build_twin(scenario, 3, observed_s=12.0)


def rooms(*patterns: Pattern) -> dict[str, Patterns]:
    """Return patterns by room."""
    return {room: Patterns(room, PatternRules(), patterns) for room in (CELLS, RELATIONS)}


def now(twin: Twin) -> tuple[Situations, list[KpiFrame], float]:
    """Return the situations after one more period, and what they were made of."""
    frame = twin.observe()
    fresh = np.ones((1, twin.network.cells), np.bool_)
    parameters = twin.parameters()
    here = situations(twin.network, parameters, parameters, [frame], fresh)
    return here, [frame], frame.time_s + frame.period_s


def seen(
    situation: np.ndarray, action: Action, effect: float, times: int = 60, undone: float = 0.0,
    runs: int = 6,
) -> Pattern:  # fmt: skip
    """Return a pattern of so many experiences of so many runs that scatter by one point."""
    evidence = Evidence(times, float(times), effect, float(times), undone * times, 0.0)
    later = situation.copy()
    place = FEATURES[CELLS].index("time to trigger from default")
    if action.parameter == "time_to_trigger_s":
        later[place] += action.steps / 2.0
    part = times // runs
    each = Evidence(part, float(part), effect, float(part), undone * part, 0.0)
    shares = tuple(Share(f"run-{place}", each) for place in range(runs))
    return Pattern(CELLS, action, situation, later, evidence, False, shares)


@dataclass
class Says:
    """An optimiser that always proposes the same changes, from what holds now."""

    steps: dict[str, float]
    learned: list[Outcome] = field(default_factory=list)

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return one plan for the times to trigger of some cells."""
        changes = tuple(
            Change(cell, "time_to_trigger_s",
                   float(parameters.time_to_trigger_s[network.cell_index[cell]]), after)
            for cell, after in self.steps.items()
        )  # fmt: skip
        return [Plan(f"MRO-{round(now_s / 900)}", "MRO", now_s, changes)]

    def learn(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self.learned.append(outcome)


def proposed(
    twin: Twin, then: Callable[[], object], settings: RecallSettings, *patterns: Pattern
) -> list[Plan]:
    """Return what a remembering optimiser proposes after one more period."""
    frame = twin.observe()
    recall = Recall(then(), rooms(*patterns), Ledger(Scoring()), settings)  # type: ignore[arg-type]
    return recall.propose(twin.network, twin.parameters(), [frame], frame.time_s + frame.period_s)


def test_situations_are_relative_and_name_nothing(settled: Twin) -> None:
    """Renaming and moving every cell and site leaves every vector as it is."""
    twin = settled.clone()
    here, frames, _ = now(twin)
    network, parameters = twin.network, twin.parameters()
    moved = replace(
        network,
        cell_ids=tuple(f"other-{i}" for i in range(network.cells)),
        site_ids=tuple(f"elsewhere-{i}" for i in range(network.cells)),
        x_m=network.x_m + 5e4,
        name="another",
    )
    fresh = np.ones((1, network.cells), np.bool_)
    there = situations(moved, parameters, parameters, frames, fresh)
    for room in (CELLS, RELATIONS):
        assert there.of(room)[0].tobytes() == here.of(room)[0].tobytes()
        assert here.of(room)[0].shape[1] == len(FEATURES[room])
        assert np.isfinite(here.of(room)[0]).all()
    late = here.cells[:, FEATURES[CELLS].index("late")]
    assert late.max() > 1.0  # what is wrong on this road shows


def test_cell_without_data_is_not_known(settled: Twin) -> None:
    """A cell whose period is missing gets no advice, and spoils nobody else's situation."""
    twin = settled.clone()
    frame = twin.observe()
    values, valid = frame.values.copy(), frame.valid.copy()
    values[0], valid[0] = np.nan, False
    blind = replace(frame, values=values, valid=valid)
    parameters, fresh = twin.parameters(), np.ones((1, twin.network.cells), np.bool_)
    here = situations(twin.network, parameters, parameters, [blind], fresh)
    assert not here.known_cells[0]
    assert here.known_cells[1:].all()
    assert np.isfinite(here.cells).all()


def test_what_troubles_cost_is_what_the_objective_says(settled: Twin) -> None:
    """By hand: one late handover in ten, a failure per UE-minute, a tenth not served."""
    here, _, _ = now(settled.clone())
    cell = np.zeros((1, len(FEATURES[CELLS])), np.float32)
    for name, units in (("late", 0.1 / 0.15), ("failures per UE-minute", 1.0),
                        ("unserved", 0.1 / 0.15), ("weak coverage", 0.5)):  # fmt: skip
        cell[0, FEATURES[CELLS].index(name)] = units
    assert lost(CELLS, cell)[0] == pytest.approx(3.0 + 20.0 + 10.0 + 0.5, rel=1e-5)
    relation = np.zeros((1, len(FEATURES[RELATIONS])), np.float32)
    relation[0, FEATURES[RELATIONS].index("late")] = 0.1 / 0.15
    relation[0, FEATURES[RELATIONS].index("share of handovers")] = 0.5 / 0.3
    assert lost(RELATIONS, relation)[0] == pytest.approx(1.5, rel=1e-5)
    assert (lost(CELLS, here.cells[here.known_cells]) > 3.0).any()  # this road has troubles


def test_gain_beyond_what_is_lost_is_not_believed(settled: Twin) -> None:
    """Where a cell lacks nothing, what helped others like it is not proposed."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    known = []
    for cell in np.flatnonzero(here.known_cells):
        most = float(lost(CELLS, here.cells)[cell])
        known += [seen(here.cells[cell], FASTER, 3.0 * most + 30.0, 600, runs=20),
                  seen(here.cells[cell], NOTHING, 0.0)]  # fmt: skip
    assert proposed(twin, Silent, RecallSettings(), *known) == []


def test_action_counts_grid_steps() -> None:
    """From 480 to 160 ms are three values of the standard's grid, whatever the seconds."""
    change = Change("a", "time_to_trigger_s", 0.48, 0.16)
    assert action_of("MRO", change) == Action("MRO", "time_to_trigger_s", -3)
    assert action_of("MRO", replace(change, after=0.48)) is None


def test_remembered_steps_are_taken_at_once(settled: Twin) -> None:
    """Where each next step is known to be good, memory goes as far as the guard allows."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    place = FEATURES[CELLS].index("time to trigger from default")
    known = []
    for cell in np.flatnonzero(here.known_cells):
        for back in range(6):
            situation = here.cells[cell].copy()
            situation[place] -= back / 2.0
            known += [seen(situation, FASTER, 6.0), seen(situation, NOTHING, 0.0)]
    plans = proposed(twin, Silent, RecallSettings(), *known)
    assert [plan.function for plan in plans] == ["MRO"]
    changes = plans[0].changes
    assert len(changes) == here.known_cells.sum()
    assert {(c.before, c.after) for c in changes} == {(0.48, 0.16)}
    assert all(c.reason.startswith("Memory (pattern-") for c in changes)
    assert all("90 % interval" in c.reason for c in changes)
    assert any(piece.startswith("pattern-") for piece in plans[0].evidence)
    verdict = Guard().check(plans[0], twin.network, twin.parameters(), twin.time_s)
    assert verdict.refused == ()


def test_one_run_alone_proposes_nothing(settled: Twin) -> None:
    """However many cells gained in it, what only two runs have tried is not proposed."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    found = {}
    for runs in (2, 6):
        known = []
        for cell in np.flatnonzero(here.known_cells):
            known += [seen(here.cells[cell], FASTER, 20.0, 600, runs=runs),
                      seen(here.cells[cell], NOTHING, 0.0)]  # fmt: skip
        found[runs] = proposed(twin.clone(), Silent, RecallSettings(), *known)
    assert found[2] == []
    assert found[6] != []


def test_nothing_is_proposed_where_leaving_alone_was_never_seen(settled: Twin) -> None:
    """Without something to compare with, a gain may be what would have come anyway."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    known = [seen(here.cells[cell], FASTER, 20.0) for cell in np.flatnonzero(here.known_cells)]
    assert proposed(twin, Silent, RecallSettings(), *known) == []


def test_few_of_many_chance_answers_are_taken() -> None:
    """Of a thousand answers by chance next to none is taken; of good ones nearly all are."""
    rng = np.random.default_rng(4)
    chance = [rng.random(1000) for _ in range(200)]
    taken = [(each <= most_doubt(each, 0.1)).sum() for each in chance]
    assert np.mean([count > 0 for count in taken]) < 0.2
    mixed = np.concatenate([rng.random(500), rng.random(500) * 1e-3])
    limit = most_doubt(mixed, 0.1)
    assert (mixed[500:] <= limit).all()
    assert (mixed[:500] <= limit).sum() < 100
    assert most_doubt(np.zeros(0), 0.1) < 0
    assert most_doubt(np.array([0.01, 0.06, 0.2, 0.9]), 0.1) == 0.01


def test_one_step_is_taken_where_the_next_did_harm(settled: Twin) -> None:
    """Memory stops where it knows that a further step is bad."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    place = FEATURES[CELLS].index("time to trigger from default")
    known = []
    for cell in np.flatnonzero(here.known_cells):
        far = here.cells[cell].copy()
        far[place] -= 0.5
        known += [seen(here.cells[cell], FASTER, 6.0), seen(here.cells[cell], NOTHING, 0.0),
                  seen(far, FASTER, -30.0, 300)]  # fmt: skip
    plans = proposed(twin, Silent, replace(RecallSettings(), gain=0.1), *known)
    steps = {action_of("MRO", c) for plan in plans for c in plan.changes}
    assert steps <= {FASTER}


def test_nothing_known_changes_nothing(settled: Twin) -> None:
    """With an empty memory the wrapped optimiser's plans pass untouched."""
    one, other = settled.clone(), settled.clone()
    plain = Rules()
    for _ in range(3):
        frame = one.observe()
        expected = plain.propose(
            one.network, one.parameters(), [frame], frame.time_s + frame.period_s
        )
    recall = Recall(Rules(), rooms(), Ledger(Scoring()))
    for _ in range(3):
        frame = other.observe()
        found = recall.propose(
            other.network, other.parameters(), [frame], frame.time_s + frame.period_s
        )
    assert found == expected


@pytest.mark.parametrize(("effect", "undone", "times"), [(-8.0, 0.0, 60), (0.0, 1.0, 6)])
def test_what_did_harm_is_held_back(
    settled: Twin, effect: float, undone: float, times: int
) -> None:
    """A change that harmed, or was rolled back, in such situations is not tried again."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    cells = twin.network.cell_ids
    known = [
        seen(here.cells[0], FASTER, effect, times, undone),
        seen(here.cells[0], NOTHING, 0.0),
    ]
    other = int(np.argmax(np.linalg.norm(here.cells - here.cells[0], axis=1)))
    says = {cells[0]: 0.32, cells[other]: 0.32}
    plans = proposed(twin, lambda: Says(says), replace(RecallSettings(), gain=50.0), *known)
    assert [c.cell for plan in plans for c in plan.changes] == [cells[other]]


def test_one_bad_run_holds_nothing_back(settled: Twin) -> None:
    """What went wrong in two runs only may have been their fault, not that of the action."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    bad = seen(here.cells[0], FASTER, -8.0, 60, 1.0, runs=2)
    says = {twin.network.cell_ids[0]: 0.32}
    plans = proposed(twin, lambda: Says(says), RecallSettings(), bad)
    assert [c.after for plan in plans for c in plan.changes] == [0.32]


def test_good_changes_of_the_wrapped_optimiser_pass(settled: Twin) -> None:
    """Memory of other situations holds nothing back."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    far = here.cells[0] + np.float32(20.0)
    plans = proposed(
        twin, lambda: Says({twin.network.cell_ids[0]: 0.32}), RecallSettings(),
        seen(far, FASTER, -8.0),
    )  # fmt: skip
    assert [c.after for plan in plans for c in plan.changes] == [0.32]


def test_protected_and_sleeping_cells_get_no_ideas(settled: Twin) -> None:
    """What must not be touched is not proposed, however good it was elsewhere."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    known = []
    for cell in range(twin.network.cells):
        known += [seen(here.cells[cell], FASTER, 6.0), seen(here.cells[cell], NOTHING, 0.0)]
    twin.protect(range(twin.network.cells))
    assert proposed(twin, Silent, RecallSettings(), *known) == []


def run(twin: Twin, recall: Recall, mode: Mode = Mode.AUTONOMOUS) -> RunRecord:
    """Return a short run."""
    settings = TrialSettings(PERIODS, LoopSettings(mode=mode), baseline=False, branches=False)
    return run_trial(twin, START, settings, recall, Guard(), Hooks())


def test_loop_learns_from_its_verdicts_and_the_record_teaches_the_same(settled: Twin) -> None:
    """What a loop learnt while it ran can be learnt again from the record of the run."""
    learned: list[PatternsLearned] = []

    def see(event: object) -> None:
        if isinstance(event, PatternsLearned):
            learned.append(event)

    recall = Recall(Rules(), rooms(), Ledger(Scoring()), observer=see)
    record = run(settled.clone(), recall)
    assert any(o.verdict == "kept" for o in record.outcomes)
    lessons = list(lessons_of(record, now_s=0.0))
    live = [(e.time_s, p.action, p.evidence) for e in learned for p in e.experiences]
    told = [(e.time_s, p.action, p.evidence) for e in lessons for p in e.experiences]
    assert len(live) > 0
    assert [each[:2] for each in told] == [each[:2] for each in live]
    for (_, _, one), (_, _, other) in zip(live, told, strict=True):
        assert one.mean == pytest.approx(other.mean, abs=1e-6)
    changes = [c for o in record.outcomes if o.verdict != "unconfirmed" for c in o.plan.changes]
    taught = [p for lesson in lessons if lesson.outcome for p in lesson.experiences]
    assert 0 < len(taught) <= len(changes)


def test_episodes_are_private_and_patterns_name_nothing(settled: Twin) -> None:
    """Records that name cells are labelled private; patterns hold no name of any cell."""
    record = run(settled.clone(), Recall(Rules(), rooms(), Ledger(Scoring())))
    names = [*record.network.cell_ids, *record.network.site_ids]
    told = 0
    for lesson in lessons_of(record, now_s=0.0):
        for episode in episodes(lesson, record.run_id, record):
            told += 1
            assert episode.metadata[PRIVACY] == PRIVATE
            assert episode.vector is not None
            assert np.isfinite(episode.vector).all()
        for pattern in lesson.experiences:
            body = repr((pattern.action, pattern.evidence, pattern.room, pattern.id))
            assert not any(name in body for name in names)
    assert told > 0


def test_shadow_mode_teaches_what_leaving_alone_does(settled: Twin) -> None:
    """Where nothing is applied, everything learnt is of nothing done."""
    record = run(settled.clone(), Recall(Rules(), rooms(), Ledger(Scoring())), Mode.SHADOW)
    found = [p.action for lesson in lessons_of(record, now_s=0.0) for p in lesson.experiences]
    assert set(found) == {NOTHING}


def test_same_patterns_same_run(settled: Twin, tmp_path: Path) -> None:
    """A run with the patterns kept in its folder repeats bit for bit; without them it differs."""
    here, _, _ = now(settled.clone())
    known = []
    for cell in np.flatnonzero(here.known_cells):
        known += [seen(here.cells[cell], FASTER, 6.0), seen(here.cells[cell], NOTHING, 0.0)]
    first = run(settled.clone(), Recall(Silent(), rooms(*known), Ledger(Scoring())))
    write_patterns(tmp_path, known, 7.0)
    kept, now_s = read_patterns(tmp_path)
    assert now_s == 7.0
    again = run(settled.clone(), Recall(Silent(), rooms(*kept), Ledger(Scoring())))
    cold = run(settled.clone(), Recall(Silent(), rooms(), Ledger(Scoring())))
    assert first.applied
    assert compare_runs(first, again) is None
    assert compare_runs(first, cold) is not None


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"now_s": 0, "patterns": [{}]}'])
def test_damaged_patterns_of_a_run_are_named(tmp_path: Path, content: bytes) -> None:
    """A run whose patterns are damaged says so instead of running with others."""
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(BadInput, match=FILE):
        read_patterns(tmp_path)


def test_memory_does_not_turn_back_what_it_did(settled: Twin) -> None:
    """Two patterns that contradict one another do not make a cell swing."""
    twin = settled.clone()
    here, _, _ = now(twin.clone())
    place = FEATURES[CELLS].index("time to trigger from default")
    known = []
    for cell in np.flatnonzero(here.known_cells):
        there = here.cells[cell].copy()
        there[place] -= 0.5
        known += [seen(here.cells[cell], FASTER, 6.0), seen(here.cells[cell], NOTHING, 0.0),
                  seen(there, replace(FASTER, steps=1), 6.0)]  # fmt: skip
    record = run(twin, Recall(Silent(), rooms(*known), Ledger(Scoring())))
    for cell in record.network.cell_ids:
        changes = [c for plan in record.applied if plan.function != "rollback"
                   for c in plan.changes if c.cell == cell]  # fmt: skip
        signs = {np.sign(c.after - c.before) for c in changes}
        assert len(signs) <= 1


def test_time_to_a_level_by_hand() -> None:
    """The mean of the last periods counts; the first period never does."""
    assert time_to(np.array([9.0, 0, 0, 4, 4, 4]), 3.0, 2) == 5
    assert time_to(np.array([9.0, 3, 0, 0]), 3.0, 2) == 2
    assert time_to(np.array([9.0, 0, 0, 0]), 3.0, 2) is None


def test_sooner_counts_an_arm_that_never_arrives_as_late() -> None:
    """Never is one period more than there were, for both arms alike."""
    zeros = (0.0,) * 10
    city = CityWarmth(1, zeros, zeros, zeros, 1.0, {"cold": None, "warm": 4, "rules": 9},
                      {}, 0, 0)  # fmt: skip
    assert sooner(city) == 7.0
    assert sooner(city, "rules") == 5.0
    effect = paired("x", [city, city], sooner, np.random.default_rng(0))
    assert (effect.mean, effect.low, effect.high) == (7.0, 7.0, 7.0)


def test_place_of_a_relation(settled: Twin) -> None:
    """A change of an offset belongs to its relation, any other to its cell."""
    network = settled.network
    source, target = int(network.relation_source[1]), int(network.relation_target[1])
    names = network.cell_ids
    assert place_of(network, Change(names[source], "cio_db", 0, 1, names[target])) == (RELATIONS, 1)
    assert place_of(network, Change(names[source], "electrical_tilt_deg", 0, 1)) == (CELLS, source)


def test_rolled_back_plans_are_learnt_as_such(settled: Twin) -> None:
    """An experience of a plan that was undone carries that; unconfirmed plans teach nothing."""
    twin = settled.clone()
    ledger = Ledger(Scoring())
    frames: list[KpiFrame] = []
    plan = None
    for period in range(4):
        frame = twin.observe()
        frames.append(frame)
        end_s = frame.time_s + frame.period_s
        ledger.take(twin.network, twin.parameters(), frames, end_s)
        if period == 1:
            change = Change(twin.network.cell_ids[2], "time_to_trigger_s", 0.48, 0.32)
            plan = Plan("MRO-1", "MRO", end_s, (change,))
            twin.apply(plan)
    assert plan is not None
    outcome = Outcome(plan, "rolled back", "harm", end_s, {}, {})
    found = list(ledger.of(outcome))
    assert [p.action for p in found] == [FASTER]
    assert found[0].evidence.undone == 1.0
    assert list(ledger.of(replace(outcome, verdict="unconfirmed"))) == []
    held = apply_changes(twin.parameters(), twin.network, ())
    assert held.time_to_trigger_s[2] == 0.32


def test_loop_takes_the_recalling_optimiser(settled: Twin) -> None:
    """It is an optimiser like any other: the loop runs it and tells it what came of plans."""
    says = Says({settled.network.cell_ids[1]: 0.32})
    twin = settled.clone()
    loop = Loop(twin, Recall(says, rooms(), Ledger(Scoring())), Guard(),
                LoopSettings(mode=Mode.AUTONOMOUS))  # fmt: skip
    for _ in range(4):
        loop.step()
    assert [o.plan.changes[0].cell for o in says.learned] == [settled.network.cell_ids[1]]


def test_taking_back_is_never_held_back(settled: Twin) -> None:
    """Who wants to undo the last change may, whatever memory thinks of the direction."""
    twin = settled.clone()
    ledger, cell = Ledger(Scoring()), twin.network.cell_ids[0]
    there = Change(cell, "time_to_trigger_s", 0.48, 0.32)
    for period in range(2):
        frame = twin.observe()
        end_s = frame.time_s + frame.period_s
        ledger.take(twin.network, twin.parameters(), [frame], end_s)
        if period == 0:
            twin.apply(Plan("MRO-1", "MRO", end_s, (there,)))
    assert ledger.takes_back(there.reverted(""))
    assert not ledger.takes_back(replace(there, before=0.32, after=0.16))
    assert not ledger.takes_back(replace(there.reverted(""), cell=twin.network.cell_ids[1]))
