"""The course of a training: it ends when it should, and can always be gone on from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.flows.training.gates import (
    CANDIDATE,
    CHAMPION,
    NOTHING,
    RULES,
    CityJudged,
    difference,
    gates_of,
)
from cellhive.flows.training.recipe import (
    RECIPES,
    GateTerms,
    TrainingRecipe,
    recipe_named,
    training_seeds,
    with_changes,
)
from cellhive.flows.training.train import (
    CheckpointFailed,
    CheckpointSaved,
    Course,
    IterationDone,
    TrainingEnded,
    TrainingHooks,
    train,
)


class Loss(NamedTuple):
    """What an update came to."""

    kl: float


@dataclass(frozen=True)
class Played:
    """An iteration of the doubling learner."""

    number: int
    decisions: int
    reward: float
    gain: float = float("nan")
    parts: dict[str, float] = field(default_factory=dict)
    losses: dict[str, Loss] = field(default_factory=lambda: {"joint": Loss(0.01)})
    made: int = 3
    refused: dict[str, int] = field(default_factory=lambda: {"step": 1, "budget": 2})
    seconds: dict[str, float] = field(default_factory=dict)
    taken_back: str = ""
    learning_rate: float = 0.001


class Doubling:
    """A learner whose weight doubles with every iteration, and which may fail in one."""

    def __init__(self, fails: dict[int, BaseException] | None = None) -> None:
        """Begin with a weight of 1."""
        self.number, self.weight, self.fails = 0, 1.0, fails or {}

    def iterate(self) -> Played:
        """Double the weight; what fails leaves it half done."""
        self.weight *= 2.0
        if self.number + 1 in self.fails:
            raise self.fails[self.number + 1]
        self.number += 1
        return Played(self.number, 10 * self.number, self.weight)

    def state(self) -> dict[str, Any]:
        """Return number and weight."""
        return {"number": np.array(self.number), "weight": np.array(self.weight)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take both over."""
        self.number, self.weight = int(state["number"]), float(state["weight"])

    def arrays(self, role: str) -> dict[str, Any]:
        """Return no tensors."""
        return {}


class Stage:
    """Surroundings whose clock goes on by a second with every look."""

    def __init__(self, broken: frozenset[int] = frozenset(), stop_after: int = 10**9) -> None:
        """Choose which saves fail, and after how many iterations somebody stops."""
        self.events: list[object] = []
        self.saved: dict[int, dict[str, Any]] = {}
        self._broken, self._stop_after = broken, stop_after
        self._seconds: Iterator[int] = iter(range(10**6))
        self.hooks = TrainingHooks(
            self._save, lambda: float(next(self._seconds)), self.events.append, self._stops
        )

    def _save(self, number: int, state: dict[str, Any]) -> None:
        if number in self._broken:
            raise BadInput(expected="room", found="none", place="disk")
        self.saved[number] = state

    def _stops(self) -> bool:
        return len(self.of(IterationDone)) >= self._stop_after

    def of(self, kind: type) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def test_goes_to_the_end_with_checkpoints_on_the_way() -> None:
    """Every third iteration and the last; refusals are summed, losses named."""
    stage = Stage()
    ended = train(Doubling(), Course(7, checkpoint_every=3), stage.hooks)
    assert ended == TrainingEnded(7, "done")
    assert sorted(stage.saved) == [3, 6, 7]
    assert [event.number for event in stage.of(CheckpointSaved)] == [3, 6, 7]
    row = stage.of(IterationDone)[-1].row
    assert (row.reward, row.refused, row.losses) == (128.0, 3, {"joint": {"kl": 0.01}})
    assert row.score == 128.0


def test_estimate_is_that_of_the_last_iterations() -> None:
    """A clock that steps by one at each look: two looks, and so two seconds, an iteration..."""
    stage = Stage()
    train(Doubling(), Course(4), stage.hooks)
    done = stage.of(IterationDone)
    assert done[-1].left_s == 0.0
    assert done[0].left_s > 0.0
    assert [event.elapsed_s for event in done] == sorted(event.elapsed_s for event in done)


@pytest.mark.parametrize(
    ("stage", "learner", "course", "why", "number"),
    [
        (Stage(stop_after=2), Doubling(), Course(9), "interrupted", 2),
        (Stage(), Doubling({4: KeyboardInterrupt()}), Course(9), "interrupted", 3),
        (Stage(), Doubling(), Course(9, time_limit_s=7.0), "out of time", 2),
    ],
    ids=["asked", "at once", "time"],
)
def test_what_is_stopped_can_be_gone_on_with(
    stage: Stage, learner: Doubling, course: Course, why: str, number: int
) -> None:
    """The state is that after the last whole iteration, and leads to the same end."""
    assert train(learner, course, stage.hooks) == TrainingEnded(number, why)
    assert float(stage.saved[number]["weight"]) == 2.0**number
    again, rest = Doubling(), Stage()
    again.restore(stage.saved[number])
    train(again, Course(9), rest.hooks)
    assert [event.row.reward for event in rest.of(IterationDone)] == [
        2.0**n for n in range(number + 1, 10)
    ]


def test_learner_that_gives_up_leaves_its_last_good_state() -> None:
    """What was learnt before is not lost with it."""
    stage = Stage()
    with pytest.raises(Conflict, match="taken back"):
        train(Doubling({6: Conflict("taken back")}), Course(9), stage.hooks)
    assert float(stage.saved[5]["weight"]) == 2.0**5


def test_full_disk_is_told_and_training_goes_on() -> None:
    """A checkpoint that fails is tried again; only the last one has to succeed."""
    stage = Stage(frozenset({2, 3}))
    train(Doubling(), Course(5, checkpoint_every=2), stage.hooks)
    assert [event.number for event in stage.of(CheckpointFailed)] == [2, 3]
    assert sorted(stage.saved) == [4, 5]
    with pytest.raises(BadInput, match="room"):
        train(Doubling(), Course(5, checkpoint_every=2), Stage(frozenset({5})).hooks)


# ------------------------------------------------------------------------------- recipes


def test_recipes_refuse_what_cannot_be_trained() -> None:
    """With what was expected and found."""
    for changes, told in (
        ({"heads": ("volume",)}, "volume"),
        ({"iterations": 0}, "iterations: expected 1 or more, found 0"),
        ({"roles": "all"}, "joint or functions"),
        ({"gates": GateTerms(cities=1)}, "2 cities or more"),
        ({"scenarios": ()}, "at least one"),
    ):
        with pytest.raises(BadInput, match=told):
            with_changes(TrainingRecipe("x"), changes)
    with pytest.raises(
        NotFound, match="expected one of quick, champion, sleep, tilt, found 'best'"
    ):
        recipe_named("best")


def test_recipes_of_the_package_can_be_followed() -> None:
    """Their scenarios are those of the package, and their cities lie in the splits."""
    from cellhive.adapters.scenarios import library  # noqa: PLC0415

    scenarios = library()
    for recipe in RECIPES.values():
        for name in recipe.scenarios:
            seeds = training_seeds(scenarios[name], recipe.cities)
            first, last = scenarios[name].splits.train
            assert first <= seeds[0] <= seeds[-1] <= last
    with pytest.raises(BadInput, match="at most 100, its split 'train'"):
        training_seeds(scenarios["healthy"], 101)


# --------------------------------------------------------------------------------- gates


def city(
    seed: int, candidate: float, scenario: str = "highway-corridor", **changes: Any
) -> CityJudged:
    """Return a city in which rules and champion come to 1 and 2 points, doing nothing to 0."""
    objective = {CANDIDATE: candidate, RULES: 1.0, CHAMPION: 2.0, NOTHING: 0.0}
    usual = {"refused": {"budget": 4}, "made": 30, "undone": 1}
    return CityJudged(scenario, seed, objective, **(usual | changes))


def passed(cities: list[CityJudged], latency_s: float = 0.001) -> dict[str, bool]:
    """Return which gates were passed, by name."""
    gates = gates_of(cities, GateTerms(), [latency_s] * 100)
    return {gate.name: gate.passed for gate in gates}


def test_candidate_has_to_be_clearly_better_and_safe() -> None:
    """Everything passes, then one thing after the other fails."""
    good = [city(1, 5.0), city(2, 5.5), city(3, 5.2), city(4, 0.1, "healthy"),
            city(5, 0.2, "healthy")]  # fmt: skip
    # Over the champion: 3, 3.5, 3.2, and in the healthy cities -1.9 and -1.8.
    assert passed(good[:3]) == {
        "better than the rules": True, "nowhere far below the rules": True,
        "better than the champion": True, "within the guard": True, "quick to decide": True,
    }  # fmt: skip
    assert passed(good)["no harm where nothing is wrong"]
    assert not passed(good)["better than the champion"]
    assert not passed([city(1, 0.0), city(2, 9.0)])["better than the rules"]
    assert not passed([city(1, 9.0), city(2, 0.4, "mis-tilted")])["nowhere far below the rules"]
    assert not passed([city(1, 5.0, refused={"step": 1}), city(2, 5.5)])["within the guard"]
    assert not passed(good, latency_s=0.006)["quick to decide"]
    harm = [city(4, -0.9, "healthy"), city(5, -0.8, "healthy")]
    assert not passed(harm)["no harm where nothing is wrong"]


def test_difference_is_paired_with_students_interval() -> None:
    """Gaps 4 and 5: mean 4.5, and t(0.975, 1) = 12.706 times 0.5 on either side."""
    gap = difference([city(1, 5.0), city(2, 6.0)], RULES)
    assert (gap.mean, gap.low, gap.high) == pytest.approx((4.5, 4.5 - 6.353, 4.5 + 6.353), abs=1e-3)
