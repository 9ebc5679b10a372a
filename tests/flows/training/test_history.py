"""Experience from rules and from recorded runs is what happened, and can be lived through again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from small import two_layers

from cellhive.core.errors import BadInput
from cellhive.core.types import Change, KpiFrame, Mode, Network, Outcome, Parameters, Plan
from cellhive.flows.decide import LoopSettings
from cellhive.flows.recall.optimizer import RecallSettings
from cellhive.flows.recall.situations import CELLS, lost, situations
from cellhive.flows.training.history import (
    Remembered,
    demonstrate,
    history_of,
)
from cellhive.flows.training.proposing import nearest_options, values_of
from cellhive.flows.trial import Hooks, RunRecord, RunStart, TrialSettings, run_trial
from cellhive.memory.patterns import NOTHING, Action, Evidence, Pattern, Share
from cellhive.ran.guard import Guard
from cellhive.ran.scenarios import build_twin
from cellhive.rl.actions import DOWN, KEEP, UP, Actions, ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.experience import joined
from cellhive.rl.replay import Replay
from cellhive.rl.rewards import CONSTANT, RewardSettings

SMALL = two_layers(8, 2.0)


class Scripted:
    """Proposes the given changes, one list per period: cell, parameter, by how much, target."""

    def __init__(self, *script: list[tuple[int, str, float, int | None]]) -> None:
        """Begin with the first list."""
        self.script, self.times = list(script), []

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return the next list as a plan."""
        self.times.append((len(frames), frames[-1].time_s, now_s))
        if not self.script:
            return []
        changes = []
        for cell, name, by, target in self.script.pop(0):
            place = cell if target is None else network.relation_index[cell, target]
            before = float(getattr(parameters, name)[place])
            changes.append(
                Change(network.cell_ids[cell], name, before, before + by,
                       None if target is None else network.cell_ids[target])
            )  # fmt: skip
        return [Plan(f"S-{now_s:.0f}", "operator", now_s, tuple(changes))] if changes else []

    def learn(self, outcome: Outcome) -> None:
        """Take in nothing."""


def environment(networks: int = 1, **changes: object) -> CellEnvironment:
    """Return a quick environment."""
    usual = {"observed_s": 4.0, "warm_up_s": 4.0, "periods": 4} | changes
    return CellEnvironment(EnvironmentSettings(SMALL, **usual), networks)  # type: ignore[arg-type]


def test_the_nearest_option_stands_for_a_change() -> None:
    """Half an option up is up; less is keep; weak neighbours and other heads are left out."""
    env = environment()
    env.reset([1])
    network = env.network
    actions = Actions(ActionSettings(neighbours=2), network)
    columns = [column.name for column in actions.columns]
    values = values_of(env.parameters())
    cells, first = network.cells, 7 * network.cells
    wanted = values.copy()
    wanted[0] += 2.0  # a3_offset_db of cell 0, options are 0.5 dB
    wanted[cells + 1] += 0.2  # hysteresis of cell 1: nearer to keeping
    wanted[4 * cells + 2] -= 0.5  # tilt of cell 2, options are 1 deg: keeping is as near
    wanted[4 * cells + 3] -= 1.0
    strong, weak = actions.slots[4, 1], np.flatnonzero(network.relation_source == 4)[2]
    wanted[first + strong] += 1.0
    wanted[first + weak] += 1.0
    chosen, taken, left_out = nearest_options(actions, values, wanted)
    expected = np.full(chosen.shape, KEEP)
    expected[0, columns.index("a3_offset_db")] = UP
    expected[3, columns.index("electrical_tilt_deg")] = DOWN
    expected[4, columns.index("cio_db[1]")] = UP
    np.testing.assert_array_equal(chosen, expected)
    assert (taken, left_out) == (3, 3)


def test_demonstrations_are_what_the_rules_did_and_can_be_lived_again() -> None:
    """The same actions in a fresh environment lead to the same observations and rewards."""
    made: list[Scripted] = []

    def make() -> Scripted:
        up = [(0, "a3_offset_db", 0.5, None), (1, "electrical_tilt_deg", 1.0, None)]
        made.append(Scripted(up, [], [(0, "a3_offset_db", -0.5, None)]))
        return made[-1]

    env = environment(2)
    history = demonstrate(env, [5, 6, 7, 8], make=make, paired=False)
    assert history.action.shape == (4, 4, env.network.cells, len(history.columns))
    assert history.decisions == 16
    a3, tilt = history.columns.index("a3_offset_db"), history.columns.index("electrical_tilt_deg")
    assert (history.action[0, :, 0, a3] == UP).all()
    assert (history.action[0, :, 1, tilt] == UP).all()
    assert (history.action[2, :, 0, a3] == DOWN).all()
    assert (history.action != KEEP).sum() == history.taken == 12
    assert made[0].times[0] == (1, 0.0, 900.0)
    assert made[0].times[3] == (4, 2700.0, 3600.0)
    again = environment(2)
    seen, mask = again.reset([7, 8])
    for t in range(4):
        np.testing.assert_array_equal(seen, history.seen[t, 2:])
        np.testing.assert_array_equal(mask, history.mask[t, 2:])
        step = again.step(history.action[t, 2:].astype(int))
        seen, mask = step.observation, step.mask
        np.testing.assert_array_equal(step.reward.network, history.network_reward[t, 2:])
    np.testing.assert_array_equal(seen, history.seen[4, 2:])


def test_rewards_of_a_pair_are_what_was_done_and_nothing_else() -> None:
    """Who does nothing is paid nothing; otherwise it is the difference of two episodes."""
    idle = demonstrate(environment(2), [5, 6], make=Scripted)
    assert idle.paired
    assert not idle.reward.any()
    assert not idle.network_reward.any()

    def turn() -> Scripted:
        return Scripted([(0, "electrical_tilt_deg", 1.0, None)])

    whole = [demonstrate(environment(2), [5, 6], make=m, paired=False) for m in (turn, Scripted)]
    paired = demonstrate(environment(2), [5, 6], make=turn)
    assert paired.reward.any()
    np.testing.assert_allclose(paired.reward, whole[0].reward - whole[1].reward, atol=1e-5)


def test_what_the_guard_refuses_is_kept_and_strays_are_allowed() -> None:
    """No action of a history is masked out, however much strays."""
    refused = [(0, "a3_offset_db", 0.5, None)]
    history = demonstrate(environment(), [5], make=lambda: Scripted(refused, [], refused))
    protected = demonstrate(
        environment(guarded=True), [5], strayed=0.5, rng=np.random.default_rng(1)
    )
    for one in (history, protected):
        chosen = np.take_along_axis(one.mask, one.action[..., None].astype(int), -1)
        assert (chosen == 1).all()
    assert 0.05 < (protected.action != KEEP).mean() < 0.5
    replay = Replay(protected.replay_fields(), 20)
    replay.add(protected.block())
    assert len(replay) == protected.decisions == 4


@pytest.fixture(scope="module")
def record() -> RunRecord:
    """A run in which an operator turned three things, one of them twice."""
    twin = build_twin(replace(SMALL, start_h=17.0), 3, observed_s=12.0)
    script = Scripted(
        [], [(0, "a3_offset_db", 0.5, None), (4, "electrical_tilt_deg", -1.0, None)],
        [(0, "cio_db", 1.0, 1)], [(0, "a3_offset_db", 0.5, None)],
    )  # fmt: skip
    return run_trial(
        twin, RunStart("r1", "0", "", "small", 3, {}),
        TrialSettings(6, LoopSettings(Mode.AUTONOMOUS), branches=False), script, Guard(), Hooks(),
    )  # fmt: skip


def test_a_recorded_run_is_an_episode(record: RunRecord) -> None:
    """What was applied after a period is the action of it; rewards are the objective."""
    alone, history = history_of(replace(record, baseline=())), history_of(record)
    assert (alone.paired, history.paired) == (False, True)
    assert history.action.shape[:2] == (5, 1)
    found = [
        (t, int(c), history.columns[d], int(history.action[t, 0, c, d]))
        for t, c, d in np.argwhere(history.action[:, 0] != KEEP).tolist()
    ]
    parts = {(p.time_s, c.cell, c.parameter) for p in record.applied for c in p.changes}
    assert len(parts) == history.taken + history.left_out == len(found)
    assert (1, 0, "a3_offset_db", UP) in found
    assert (1, 4, "electrical_tilt_deg", DOWN) in found
    points = alone.network_reward[:, 0] / RewardSettings().scale + CONSTANT
    np.testing.assert_allclose(points, record.objective[1:], atol=1e-3)
    gained = np.subtract(record.objective, record.baseline_objective)[1:]
    np.testing.assert_allclose(history.network_reward[:, 0] * 10, gained, atol=1e-3)
    some = history.of_columns(["cio_db[1]", "asleep"])
    np.testing.assert_array_equal(some.action[..., 1], history.action[..., -1])
    np.testing.assert_array_equal(some.mask[..., 0, :], history.mask[..., 1, :])
    with pytest.raises(BadInput, match="elsewhere"):
        history.of_columns(["elsewhere"])
    day = history.seen[0, 0, 0, 28:30] * 2 - 1
    turn = 2 * np.pi * 17 / 24
    np.testing.assert_allclose(day, [np.sin(turn), np.cos(turn)], atol=1e-6)


def test_masks_of_a_recorded_run_know_what_was_done(record: RunRecord) -> None:
    """A tilt that was just turned may not be turned again for two periods."""
    history = history_of(record)
    tilt = history.columns.index("electrical_tilt_deg")
    allowed = history.mask[:, 0, 4, tilt]
    assert allowed[1].all()
    np.testing.assert_array_equal(allowed[2], [0, 1, 0])
    np.testing.assert_array_equal(allowed[3], [1, 1, 1])
    chosen = np.take_along_axis(history.mask, history.action[..., None].astype(int), -1)
    assert (chosen == 1).all()


def test_what_cannot_be_history_is_refused(record: RunRecord) -> None:
    """Too short, without counters, of different networks, seeds that do not fit."""
    with pytest.raises(BadInput, match="two periods"):
        history_of(replace(record, frames=record.frames[:1]))
    frames = tuple(
        replace(f, columns=tuple("other" if c == "x.WeakTime" else c for c in f.columns))
        for f in record.frames
    )
    with pytest.raises(BadInput, match="WeakTime"):
        history_of(replace(record, frames=frames))
    with pytest.raises(BadInput, match="multiple of 2"):
        demonstrate(environment(2), [1, 2, 3])
    with pytest.raises(BadInput, match="none"):
        joined([])
    one, other = history_of(record), history_of(replace(record, frames=record.frames[:4]))
    with pytest.raises(BadInput, match="as many decisions"):
        joined([one, other])


def _known(situation: np.ndarray, action: Action, effect: float) -> Pattern:
    """Return a pattern of sixty experiences of six runs."""
    each = Evidence(10, 10.0, effect, 0.01, 0.0, 0.0)
    shares = tuple(Share(f"run-{run}", each) for run in range(6))
    whole = Evidence(60, 60.0, effect, 0.06, 0.0, 0.0)
    return Pattern(CELLS, action, situation, situation.copy(), whole, False, shares)


def test_a_memory_is_a_teacher_where_it_knows_the_situation() -> None:
    """What did well in the situation of a cell is shown there, and nothing without a memory."""
    env = environment()
    env.reset([5])
    held = env.parameters()
    frame = env.simulator.frame(0, 0.0, 900.0)
    fresh = np.ones((1, env.network.cells), np.bool_)
    here = situations(env.network, held, held, [frame], fresh)
    loss = np.where(here.known_cells, lost(CELLS, here.cells), 0.0)
    cell = int(loss.argmax())  # memory promises nothing where nothing is lost
    good = _known(here.cells[cell], Action("MRO", "time_to_trigger_s", -1), 0.9 * loss[cell])
    idle = _known(here.cells[cell], NOTHING, 0.0)
    eager = RecallSettings(gain=0.01, wrong=0.5)
    shown = demonstrate(
        env, [5], make=lambda: Remembered([good, idle], settings=eager), paired=False
    )
    timer = shown.columns.index("time_to_trigger_s")
    assert shown.action[0, 0, cell, timer] == DOWN
    others = np.delete(shown.action[0, 0], timer, axis=-1)
    assert (others == KEEP).all()
    blank = demonstrate(env, [5], make=lambda: Remembered([]), paired=False)
    assert (blank.action == KEEP).all()
