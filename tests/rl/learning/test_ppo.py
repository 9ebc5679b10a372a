"""PPO: advantages and loss against sums made by hand, and roles that decide together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cellhive.rl.actions import DOWN, HEADS, KEEP, UP, ActionSettings
from cellhive.rl.policy import FLAT, PolicyShape

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
from cellhive.rl.learning.gradients import loss_gradient, tanh  # noqa: E402
from cellhive.rl.learning.networks import surroundings  # noqa: E402
from cellhive.rl.learning.ppo import (  # noqa: E402
    Batch,
    Learner,
    Scale,
    TrainingSettings,
    advantages,
    first_networks,
    loss_terms,
)
from cellhive.rl.learning.roles import columns_in, function_roles, merged  # noqa: E402
from cellhive.rl.learning.rollout import drawn  # noqa: E402


def test_advantages_by_hand() -> None:
    """Two decisions: the last value counts, because the episode is cut off, not over."""
    rewards, values = np.array([1.0, 2.0]), np.array([0.5, 1.0, 3.0])
    found, returns = advantages(rewards, values, discount=0.5, trace_decay=0.5)
    last = 2.0 + 0.5 * 3.0 - 1.0
    first = 1.0 + 0.5 * 1.0 - 0.5
    np.testing.assert_allclose(found, [first + 0.25 * last, last])
    np.testing.assert_allclose(returns, found + values[:2])


def test_advantages_with_lambda_one_are_returns_less_values() -> None:
    """With a trace that does not decay, the discounted sum of rewards and of the last value."""
    rng = np.random.default_rng(1)
    rewards, values = rng.normal(size=(5, 2, 3)), rng.normal(size=(6, 2, 3))
    _, returns = advantages(rewards, values, discount=0.9, trace_decay=1.0)
    total = values[5]
    for t in reversed(range(5)):
        total = rewards[t] + 0.9 * total
        np.testing.assert_allclose(returns[t], total)


def _batch(logits: torch.Tensor, moves: list[int], advantage: float, before: float) -> Batch:
    shape = logits.shape
    return Batch(
        seen=torch.zeros(1, 1, 1), near=torch.zeros(1, 1, dtype=torch.long),
        mask=torch.ones(shape, dtype=torch.bool), moves=torch.tensor([[moves]]),
        likely=torch.tensor([[before]]), advantages=torch.tensor([[advantage]]),
        returns=torch.tensor([[2.0]]), around=torch.zeros(1, 2),
        curious=torch.full((1, 1), 3.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("advantage", "before", "policy", "clipped"),
    [
        (1.0, 0.0, -1.2, 1.0),  # twice as likely as before and good: held at 1.2
        (-1.0, 0.0, 2.0, 1.0),  # twice as likely and bad: not held
        (1.0, math.log(2.0) - math.log(1.1), -1.1, 0.0),
    ],
)
def test_loss_by_hand(advantage: float, before: float, policy: float, clipped: float) -> None:
    """One cell with two columns; its probability is the product of those of its columns."""
    logits = torch.log(torch.tensor([[[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]]))
    now = math.log(0.25 * 0.8)
    batch = _batch(logits, [KEEP, UP], advantage, now - math.log(2.0) + before)
    terms = loss_terms(logits, torch.tensor([[0.5]]), batch, 0.2)
    assert float(terms.policy) == pytest.approx(policy, rel=1e-5)
    assert float(terms.clipped) == clipped
    assert float(terms.value) == pytest.approx(1.5**2)
    entropy = -(0.5 * math.log(0.5) + 0.5 * math.log(0.25) + 0.2 * math.log(0.1)
                + 0.8 * math.log(0.8))  # fmt: skip
    assert float(terms.entropy) == pytest.approx(entropy, rel=1e-5)
    assert float(terms.curiosity) == pytest.approx(3.0 * entropy, rel=1e-5)
    ratio = 2.0 / math.exp(before)
    assert float(terms.kl) == pytest.approx(ratio - 1 - math.log(ratio), rel=1e-4)


def test_masked_options_are_never_drawn_and_chances_are_right() -> None:
    """Shares of many draws are the probabilities; what is masked out has none."""
    chances = torch.tensor([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.4, 0.6, 0.0], [0.0, 0.7, 0.3]])
    mask = (chances > 0).numpy().astype(np.int8)
    logits = torch.where(chances > 0, chances.log(), torch.tensor(-1e9))
    many = 20_000
    moves, likely = drawn(
        logits.expand(many, 4, 3), np.broadcast_to(mask, (many, 4, 3)), np.random.default_rng(3)
    )
    shares = np.stack([(moves == option).mean(axis=0) for option in (DOWN, KEEP, UP)], axis=-1)
    np.testing.assert_allclose(shares, chances.numpy(), atol=0.012)
    assert (shares[mask == 0] == 0).all()
    one_by_one = np.take_along_axis(chances.numpy()[None], moves[..., None], -1)[..., 0]
    np.testing.assert_allclose(likely, np.log(one_by_one).sum(axis=-1), rtol=1e-4)


def test_no_head_is_without_a_function() -> None:
    """Roles by function turn between them whatever one role for everything turns."""
    turned = {head for role in function_roles() for head in role.shape.heads}
    assert turned == set(HEADS)
    assert [role.name for role in function_roles(("filter_coefficient",))] == ["mobility"]


def test_who_asks_goes_before_who_keeps_and_the_first_prevails() -> None:
    """Load and mobility both turn the CIO; load is listed first, as with the rules."""
    actions = ActionSettings(heads=("cio_db", "a3_offset_db"), neighbours=2)
    roles = function_roles(actions.heads, neighbours=2)
    assert [role.name for role in roles] == ["load", "mobility"]
    places = [columns_in(role, actions) for role in roles]
    load = np.array([[UP, KEEP]], np.int8)
    mobility = np.array([[DOWN, DOWN, UP]], np.int8)
    assert merged([load, mobility], places, 3).tolist() == [[UP, DOWN, UP]]
    assert merged([mobility, load], places[::-1], 3).tolist() == [[DOWN, DOWN, UP]]


def test_learns_which_option_pays() -> None:
    """A bandit: turning up pays, whatever is seen; the update finds it and the value of it."""
    shape = PolicyShape(heads=("a3_offset_db",), neighbours=1, hidden=8, encoder=FLAT)
    settings = TrainingSettings(learning_rate=0.02, minibatch=64, keep_bias=0.0, entropy=0.0)
    learner = Learner(first_networks(shape, 1, settings.keep_bias), settings)
    rng = np.random.default_rng(1)
    seen = rng.uniform(0, 1, (64, 4, shape.features)).astype(np.float32)
    near, mask = torch.zeros(4, 1, dtype=torch.long), np.ones((64, 4, 1, 3), np.int8)
    for _ in range(30):
        with torch.no_grad():
            logits = learner.actor(torch.from_numpy(seen), near)
        moves, likely = drawn(logits, mask, rng)
        pay = (moves[..., 0] == UP) + 5.0
        batch = Batch(
            torch.from_numpy(seen), near, torch.from_numpy(mask > 0),
            torch.from_numpy(moves.astype(np.int64)), torch.from_numpy(likely),
            torch.from_numpy((pay - learner.values(seen)).astype(np.float32)),
            torch.from_numpy(pay.astype(np.float32)), surroundings(torch.from_numpy(seen)),
            torch.ones(64, 4),
        )  # fmt: skip
        losses = learner.update([batch], rng)
        assert learner.sound(losses) == ""
    assert float(torch.softmax(logits, -1)[..., UP].mean()) > 0.9
    assert learner.values(seen).mean() == pytest.approx(6.0, abs=0.2)


def test_scale_follows_the_returns() -> None:
    """Mean and deviation of what was seen, the first update included."""
    scale = Scale()
    assert (scale.centre, scale.deviation) == (0.0, 1.0)
    scale.learn(np.array([1.0, 3.0]))
    assert (scale.centre, scale.deviation) == (pytest.approx(2.0), pytest.approx(1.0))
    for _ in range(200):
        scale.learn(np.array([10.0, 20.0]))
    assert (scale.centre, scale.deviation) == (pytest.approx(15.0), pytest.approx(5.0))


def test_gradient_written_out_is_that_of_torch() -> None:
    """Masked options, clipped and unclipped cells, good and bad advantages, entropy by cell."""
    rng = np.random.default_rng(4)
    mask = rng.random((5, 7, 3, 3)) < 0.7
    mask[..., KEEP] = True
    masked = torch.from_numpy(mask)
    logits = torch.from_numpy(rng.normal(size=mask.shape).astype(np.float32)).requires_grad_()
    low = torch.where(masked, logits, torch.tensor(-1e9))
    moves, likely = drawn(low.detach(), mask.astype(np.int8), rng)
    likely += rng.normal(0, 0.3, likely.shape).astype(np.float32)
    advantages_ = torch.from_numpy(rng.normal(size=likely.shape).astype(np.float32))
    batch = Batch(
        torch.zeros(0), torch.zeros(0), masked, torch.from_numpy(moves.astype(np.int64)),
        torch.from_numpy(likely), advantages_, torch.zeros(5, 7), torch.zeros(0),
        torch.from_numpy(rng.uniform(0.2, 3.0, likely.shape).astype(np.float32)),
    )  # fmt: skip
    terms = loss_terms(low, torch.zeros(5, 7), batch, 0.2)
    (terms.policy - 0.05 * terms.curiosity).backward()
    gradient, sums = loss_gradient(
        logits, masked, batch.moves, batch.likely, batch.advantages, batch.curious, (0.2, 0.05)
    )
    assert logits.grad is not None
    torch.testing.assert_close(gradient, logits.grad, atol=1e-7, rtol=1e-4)
    expected = [
        float(term.detach()) for term in (terms.policy, terms.entropy, terms.kl, terms.clipped)
    ]
    np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-6)
    assert 0 < expected[3] < 1


def test_tanh_and_its_gradient_are_those_of_torch() -> None:
    """On values from the straight to the flat part of the curve."""
    values = torch.linspace(-4, 4, 101, requires_grad=True)
    others = values.detach().clone().requires_grad_()
    tanh(values).sum().backward()
    torch.tanh(others).sum().backward()
    torch.testing.assert_close(tanh(values), torch.tanh(others))
    torch.testing.assert_close(values.grad, others.grad, atol=1e-6, rtol=1e-3)
