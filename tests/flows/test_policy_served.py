"""A promoted version takes over at the next decision; a candidate is compared, never applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from policies import drawn

from cellhive.core.errors import Unavailable
from cellhive.core.types import Change, KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.flows.decide import KEPT
from cellhive.flows.policy.beside import (
    MOST_TOLD,
    Agreement,
    Beside,
    CandidateCompared,
    Differing,
    compared,
)
from cellhive.flows.policy.optimizer import Model, PolicyRole
from cellhive.flows.policy.served import PolicyNotTaken, PolicyTaken, ServedPolicy
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.rl.policy import PolicyShape

NETWORK = hex_grid(1, 500.0, SiteDesign(carrier_hz=1.8e9))
FAULT = "its own fault"
SHAPE = PolicyShape(("a3_offset_db",), 2, 8, 4)


def parameters() -> Parameters:
    """Return the parameters that nobody here looks at."""
    return Parameters.__new__(Parameters)


def model(version: int) -> Model:
    """Return a version of a policy."""
    return Model(f"city@{version}", (PolicyRole("joint", SHAPE, drawn(SHAPE, version)),))


def plan(name: str, *changes: Change) -> Plan:
    """Return a plan."""
    return Plan(name, "RL/mobility", 0.0, changes)


def offset(cell: int, before: float, after: float, reason: str = "why") -> Change:
    """Return a change of an A3 offset."""
    return Change(f"c{cell}", "a3_offset_db", before, after, reason=reason)


@dataclass
class Scripted:
    """Proposes one plan a period, named after the model that decides."""

    deciding: Model = field(default_factory=lambda: model(1))
    plans: list[Plan] | None = None
    learnt: list[Outcome] = field(default_factory=list)

    def take(self, other: Model) -> None:
        """Decide with another."""
        self.deciding = other

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return the plans."""
        return [plan(self.deciding.name)] if self.plans is None else self.plans

    def learn(self, outcome: Outcome) -> None:
        """Keep what was told."""
        self.learnt.append(outcome)


def test_what_was_promoted_makes_the_very_next_decision() -> None:
    """Once, and it is told; between promotions nothing is."""
    told: list[object] = []
    coming = {900.0: None, 1800.0: model(2), 2700.0: None, 3600.0: model(1)}
    served = ServedPolicy(Scripted(), coming.__getitem__, told.append)
    decided = [
        served.propose(NETWORK, parameters(), [], now_s)[0].plan_id for now_s in coming
    ]  # fmt: skip
    assert decided == ["city@1", "city@2", "city@2", "city@1"]
    assert told == [
        PolicyTaken(1800.0, "city@1", "city@2"), PolicyTaken(3600.0, "city@2", "city@1"),
    ]  # fmt: skip


def test_what_cannot_be_used_leaves_the_one_before_deciding() -> None:
    """Whatever is wrong with it; the reason is told."""
    told: list[object] = []

    def broken(now_s: float) -> Model:
        raise (Unavailable("busy", retry_after_s=1.0) if now_s < 1000 else ValueError("odd"))

    served = ServedPolicy(Scripted(), broken, told.append)
    for now_s in (900.0, 1800.0):
        assert served.propose(NETWORK, parameters(), [], now_s)[0].plan_id == "city@1"
    assert told == [
        PolicyNotTaken(900.0, "city@1", "busy"), PolicyNotTaken(1800.0, "city@1", "odd"),
    ]  # fmt: skip


def test_changes_are_compared_by_value_and_direction() -> None:
    """Both, opposite, only one of them: each counted once, and told with both wishes."""
    border = Change("c5", "cio_db", 0.0, 1.0, "c6", "why")
    ours = [plan("a", offset(1, 3, 4), offset(2, 3, 2)), plan("b", offset(3, 3, 4), border)]
    theirs = [plan("x", offset(1, 3, 5), offset(2, 3, 4, "up"), offset(4, 1, 0, "new"))]
    agreements, differing = compared(ours, theirs)
    assert agreements == (Agreement("a3_offset_db", 1, 1, 1, 1), Agreement("cio_db", 0, 0, 1, 0))
    assert differing == (
        Differing("c2", "a3_offset_db", 3, 2, 4, "up"),
        Differing("c4", "a3_offset_db", 1, 1, 0, "new"),
        Differing("c3", "a3_offset_db", 3, 4, 3, ""),
        Differing("c5->c6", "cio_db", 0, 1, 0, ""),
    )
    many = [plan("a", *(offset(cell, 3, 4) for cell in range(MOST_TOLD + 9)))]
    agreements, differing = compared(many, [])
    assert agreements == (Agreement("a3_offset_db", only_deciding=MOST_TOLD + 9),)
    assert len(differing) == MOST_TOLD
    assert agreements[0] + agreements[0] == Agreement("a3_offset_db", 0, 0, 2 * MOST_TOLD + 18, 0)


def test_a_candidate_is_never_applied_and_its_failure_reaches_nobody() -> None:
    """The plans are those of the one that decides; both learn what became of them."""
    told: list[CandidateCompared] = []
    ours, theirs = [plan("a", offset(1, 3, 4))], [plan("x", offset(2, 3, 4))]
    deciding, candidate = Scripted(plans=ours), Scripted(plans=theirs)
    both = Beside(deciding, candidate, "city@2", told.append)
    assert both.propose(NETWORK, parameters(), [], 900.0) == ours
    assert (told[0].candidate, told[0].failed) == ("city@2", "")
    assert told[0].agreements == (Agreement("a3_offset_db", 0, 0, 1, 1),)
    outcome = Outcome(ours[0], KEPT, "", 1800.0, {}, {})
    both.learn(outcome)
    assert deciding.learnt == candidate.learnt == [outcome]

    class Broken(Scripted):
        def propose(self, *_: object) -> list[Plan]:
            raise ZeroDivisionError(FAULT)

        def learn(self, outcome: Outcome) -> None:
            raise ZeroDivisionError(FAULT)

    both = Beside(deciding, Broken(), "city@2", told.append)
    assert both.propose(NETWORK, parameters(), [], 1800.0) == ours
    assert told[1] == CandidateCompared(1800.0, "city@2", (), (), FAULT)
    both.learn(outcome)
    assert deciding.learnt == [outcome, outcome]


def test_an_unchanged_wish_is_no_difference() -> None:
    """The same plans leave nothing to tell."""
    plans = [plan("a", offset(1, 3, 4))]
    assert compared(plans, plans) == ((Agreement("a3_offset_db", same=1),), ())
    assert compared([], []) == ((), ())
