"""Policies by their names, and policies that are put together."""

from __future__ import annotations

from policies import drawn

from cellhive.app.learning.policies import joined_roles
from cellhive.flows.policy.optimizer import PolicyRole
from cellhive.rl.policy import PolicyShape


def test_a_policy_that_is_joined_keeps_the_roles_that_turn_something_else() -> None:
    """What turns the same knobs is replaced; one that is only called alike gets a number."""

    def role(name: str, *heads: str, seed: int) -> PolicyRole:
        shape = PolicyShape(heads)
        return PolicyRole(name, shape, drawn(shape, seed), beside_rules=name == "beside")

    own = (role("beside", "electrical_tilt_deg", seed=1),)
    sleep, timing = role("beside", "asleep", seed=2), role("joint", "hysteresis_db", seed=3)
    together = joined_roles(own, (sleep, timing))
    assert [(one.name, one.shape.heads) for one in together] == [
        ("beside", ("electrical_tilt_deg",)), ("beside_2", ("asleep",)),
        ("joint", ("hysteresis_db",)),
    ]  # fmt: skip
    assert together[1].tensors is sleep.tensors
    again = joined_roles((role("beside", "asleep", seed=4),), together)
    assert [one.shape.heads for one in again] == [
        ("asleep",), ("electrical_tilt_deg",), ("hysteresis_db",)
    ]  # fmt: skip
    assert len({one.name for one in again}) == 3
