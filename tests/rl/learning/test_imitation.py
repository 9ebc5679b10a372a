"""A clone does what was shown, as often as it was shown; offline learning prefers what paid."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.rl.actions import DOWN, KEEP, UP, ActionSettings, columns_of
from cellhive.rl.experience import History
from cellhive.rl.policy import NETWORK, PolicyShape

pytest.importorskip("torch", reason="needs torch: pip install torch==2.13.0 '.[train]'")
import torch

from cellhive.rl.learning.imitation import CloningSettings, clone, likeness, option_weights
from cellhive.rl.learning.networks import Actor, Critic
from cellhive.rl.learning.offline import OfflineSettings, learn_offline, learn_values, weights_of

SHAPE = PolicyShape(heads=("cio_db", "electrical_tilt_deg"), neighbours=2, hidden=16, message=8)
COLUMNS = tuple(c.name for c in columns_of(ActionSettings(heads=SHAPE.heads, neighbours=2)))
CELLS, TILT = 5, 2


def history(seed: int, *, rule: float = 0.95, paid: bool = False, steps: int = 40) -> History:
    """Return made-up experience: tilt goes up where the first feature is above ``rule``.

    The CIO towards the neighbour whose load is above 0.9 goes down. With ``paid`` the tilt is
    turned at random, and going up pays where the first feature is above one half, else costs.
    """
    rng = np.random.default_rng(seed)
    seen = rng.random((steps + 1, 3, CELLS, SHAPE.features)).astype(np.float32)
    near = np.stack([(np.arange(CELLS) + 1) % CELLS, (np.arange(CELLS) - 1) % CELLS], 1)
    mask = np.ones((steps, 3, CELLS, 3, 3), np.int8)
    mask[..., UP] = rng.random(mask.shape[:-1]) < 0.9
    action = np.full(mask.shape[:-1], KEEP, np.int8)
    now = seen[:-1]
    loads = now[..., SHAPE.own_features :].reshape(*now.shape[:3], 2, -1)[..., 0]
    action[..., :2] = np.where(loads > 0.9, DOWN, KEEP)
    up = rng.random(now.shape[:3]) < 0.5 if paid else now[..., 0] > rule
    action[..., TILT] = np.where(up & (mask[..., TILT, UP] > 0), UP, KEEP)
    turned = action[..., TILT] == UP
    reward = np.where(turned, np.where(now[..., 0] > 0.5, 1.0, -1.0), 0.0)
    reward += 0.5 * rng.standard_normal(reward.shape)
    return History(
        seen=seen, mask=mask, action=action, reward=reward.astype(np.float32),
        network_reward=reward.mean(-1), paired=True, near=near.astype(np.int32), columns=COLUMNS,
        taken=int((action != KEEP).sum()), left_out=0,
    )  # fmt: skip


def actor(seed: int = 1) -> Actor:
    """Return an actor with seeded weights."""
    torch.manual_seed(seed)
    return Actor(SHAPE)


def shown_rate(one: History, policy: Actor) -> tuple[float, float]:
    """Return how often the tilt was turned up, and how often the policy would."""
    with torch.no_grad():
        logits = policy(
            torch.from_numpy(one.seen[:-1].reshape(-1, CELLS, SHAPE.features)),
            torch.from_numpy(one.near), torch.from_numpy(one.mask.reshape(-1, CELLS, 3, 3)),
        )  # fmt: skip
    chances = torch.softmax(logits, -1).numpy()
    return float((one.action[..., TILT] == UP).mean()), float(chances[:, :, TILT, UP].mean())


def test_a_clone_does_what_was_shown_as_often_as_it_was_shown() -> None:
    """On episodes it never saw: likelier than blind turning, most of what was turned found."""
    policy, unseen = actor(), history(9, steps=100)
    before = likeness(policy, [unseen])
    losses = clone(
        policy, [history(1), history(2)], CloningSettings(steps=800), np.random.default_rng(1)
    )
    after = likeness(policy, [unseen])
    assert np.mean(losses[-50:]) < 0.5 * losses[0]
    assert after.loss < 0.5 * after.keeping < before.loss
    assert after.recall > 0.5
    assert after.precision > 0.7
    shown, said = shown_rate(unseen, policy)
    assert 0.3 * shown < said < 2.0 * shown  # exactly so where there is nothing to learn, below


def test_balance_is_taken_back_unless_boldness_leaves_it() -> None:
    """Without anything to go by, rates are those shown; a bold policy turns more."""
    plain = history(1)
    blind = History(**{**plain.__dict__, "seen": np.zeros_like(plain.seen)})
    settings = {"steps": 300, "learning_rate": 5e-3, "balance": 1.0}
    rates = []
    for boldness in (0.0, 1.0):
        policy = actor()
        clone(policy, [blind], CloningSettings(**settings, boldness=boldness),
              np.random.default_rng(1))  # fmt: skip
        shown, said = shown_rate(blind, policy)
        rates.append(said)
    assert rates[0] == pytest.approx(shown, abs=0.025)
    assert rates[1] > 0.3


def test_weights_of_options_are_inverse_shares_and_shared_by_slots() -> None:
    """By hand: 8 keep, 1 up, 1 of nothing else; weights are 1 on average."""
    one = history(1)
    weights = option_weights([one], 2, 1.0)
    np.testing.assert_array_equal(weights[0], weights[1])
    free = one.mask.sum(-1) > 1
    counts = np.array([((one.action == o) & free)[..., TILT].sum() + 1 for o in range(3)])
    share = counts / counts.sum()
    np.testing.assert_allclose(weights[TILT], 1 / share / 3)
    np.testing.assert_allclose(option_weights([one], 2, 0.0), 1.0)


def test_offline_learning_prefers_what_paid() -> None:
    """Where turning at random was shown, the policy learns when it pays; a clone does not."""
    shown = [history(seed, paid=True) for seed in (1, 2, 3, 4)]
    settings = OfflineSettings(
        CloningSettings(steps=600, learning_rate=1e-2), 0.5, trace_decay=0.0, discount=0.0,
        critic_steps=150,
    )  # fmt: skip
    offline, plain = actor(), actor()
    torch.manual_seed(2)
    judged = learn_offline(offline, Critic(SHAPE), shown, settings, np.random.default_rng(1))
    clone(plain, shown, settings.cloning, np.random.default_rng(1))
    unseen = history(9, paid=True)
    worth = []
    for policy in (plain, offline):
        with torch.no_grad():
            logits = policy(
                torch.from_numpy(unseen.seen[:-1].reshape(-1, CELLS, SHAPE.features)),
                torch.from_numpy(unseen.near),
            )  # fmt: skip
        up = torch.softmax(logits, -1).numpy()[:, :, TILT, UP]
        good = unseen.seen[:-1, ..., 0].reshape(up.shape) > 0.5
        worth.append(float(np.where(good, up, -up).mean()))
    assert worth[1] > worth[0] + 0.1
    assert worth[1] > 0.12
    assert [one.shape for one in judged.advantages] == [one.reward.shape for one in shown]


def test_a_critic_learns_what_is_to_be_expected_and_an_expectile_leans() -> None:
    """Returns that follow from what is seen are explained; advantages are then small."""
    one = history(1)
    told = History(**{**one.__dict__, "reward": (4 * one.seen[:-1, ..., 0]).astype(np.float32)})
    settings = OfflineSettings(discount=0.0, trace_decay=0.0, rounds=2)
    torch.manual_seed(1)
    judged = learn_values(Critic(SHAPE), [told], settings, np.random.default_rng(1))
    assert judged.explained > 0.9
    means = []
    for expectile in (0.5, 0.9):
        torch.manual_seed(1)
        leaning = OfflineSettings(discount=0.0, trace_decay=0.0, rounds=1, expectile=expectile)
        found = learn_values(Critic(SHAPE), [one], leaning, np.random.default_rng(1))
        means.append(float(found.advantages[0].mean()))
    assert abs(means[0]) < 0.1
    assert means[1] < -0.2  # values lean up, so what came is mostly below them
    weights = weights_of(judged, OfflineSettings(temperature=0.1, most_weight=5.0))
    assert np.mean(weights) == pytest.approx(1.0, abs=1e-5)
    assert (weights[0] == weights[0].max()).mean() > 0.05  # cut off, not one that decides


def test_what_does_not_fit_is_refused() -> None:
    """Other columns, a policy of the whole network, settings that mean nothing."""
    other = PolicyShape(heads=("cio_db",), neighbours=2, hidden=16)
    with pytest.raises(BadInput, match="electrical_tilt_deg"):
        likeness(Actor(other), [history(1)])
    assert likeness(Actor(other), [history(1).of_columns(COLUMNS[:2])]).loss > 0
    whole = PolicyShape(heads=SHAPE.heads, neighbours=2, encoder=NETWORK)
    with pytest.raises(BadInput, match="every cell"):
        likeness(Actor(whole), [history(1)])
    with pytest.raises(BadInput, match="one or more"):
        clone(actor(), [], CloningSettings(), np.random.default_rng(1))
    for make in (
        lambda: CloningSettings(balance=2.0), lambda: CloningSettings(steps=0),
        lambda: OfflineSettings(expectile=1.0), lambda: OfflineSettings(temperature=0.0),
    ):  # fmt: skip
        with pytest.raises(BadInput):
            make()
