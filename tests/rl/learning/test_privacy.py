"""Private cloning: every decision's gradient is cut, noise is added, and what is spent counted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.rl.actions import KEEP, UP, ActionSettings, columns_of
from cellhive.rl.experience import History
from cellhive.rl.policy import PolicyShape

pytest.importorskip("torch", reason="needs torch: pip install torch==2.13.0 '.[train]'")
pytest.importorskip("opacus", reason="needs opacus: pip install '.[train]'")
import torch

from cellhive.rl.learning import privacy
from cellhive.rl.learning.imitation import likeness
from cellhive.rl.learning.networks import Actor
from cellhive.rl.learning.privacy import PrivacySettings, clone_privately

SHAPE = PolicyShape(heads=("cio_db", "electrical_tilt_deg"), neighbours=2, hidden=8, message=4)
COLUMNS = tuple(c.name for c in columns_of(ActionSettings(heads=SHAPE.heads, neighbours=2)))
CELLS = 4


def history(seed: int, steps: int = 60) -> History:
    """Return made-up experience: the tilt goes up where the first feature is above one half."""
    rng = np.random.default_rng(seed)
    seen = rng.random((steps + 1, 2, CELLS, SHAPE.features)).astype(np.float32)
    mask = np.ones((steps, 2, CELLS, 3, 3), np.int8)
    action = np.full(mask.shape[:-1], KEEP, np.int8)
    action[..., 2] = np.where(seen[:-1, ..., 0] > 0.5, UP, KEEP)
    near = np.stack([(np.arange(CELLS) + 1) % CELLS, np.full(CELLS, -1)], 1).astype(np.int32)
    zero = np.zeros(action.shape[:3], np.float32)
    return History(seen, mask, action, zero, zero.mean(-1), True, near, COLUMNS, 0, 0)


def actor() -> Actor:
    """Return an actor with seeded weights that say something."""
    torch.manual_seed(1)
    one = Actor(SHAPE)
    with torch.no_grad():
        for tensor in one.parameters():
            tensor.add_(0.3 * torch.randn_like(tensor))
    return one


@pytest.mark.filterwarnings("ignore")
def test_the_gradient_of_every_decision_is_cut_to_the_longest() -> None:
    """Without noise the step is the sum of gradients, each cut by itself, of all layers.

    Computed a second time by autograd, one decision after the other.
    """
    one, rows = history(1), np.arange(6)
    settings = PrivacySettings(longest=0.05, batch=6)
    policy = actor()
    data = privacy._Data([one])
    expected = {name: torch.zeros_like(p) for name, p in policy.named_parameters()}
    for row in rows:
        policy.zero_grad()
        data.losses(policy, torch.tensor([row])).sum().backward()
        length = torch.sqrt(sum(p.grad.square().sum() for p in policy.parameters()))
        assert length > settings.longest
        for name, p in policy.named_parameters():
            expected[name] += p.grad * settings.longest / length / settings.batch
    policy = actor()
    with privacy._flattened(policy):
        private = privacy._Private(privacy._opacus(), policy, settings, 0.0, 1)
        found = {}
        private._optimiser.original_optimizer.step = lambda *_: found.update(
            {name: p.grad.clone() for name, p in policy.named_parameters()}
        )
        private.step(data, rows)
        private.leave()
    assert len(found) == len(expected)
    for name, gradient in expected.items():
        other = found.get(name, found.get(name.replace(".", ".inner.", 1)))
        torch.testing.assert_close(other, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_budget_is_kept_and_something_is_learnt() -> None:
    """A loose budget learns, a tight one adds more noise; tensors keep their names."""
    shown, unseen = history(1, 200), history(2)
    spent, losses = [], []
    for epsilon in (8.0, 0.5):
        policy = actor()
        before = likeness(policy, [unseen]).loss
        settings = PrivacySettings(epsilon, 1e-4, steps=60, batch=40, learning_rate=2e-2)
        spent.append(clone_privately(policy, [shown], settings, np.random.default_rng(1)))
        losses.append(likeness(policy, [unseen]).loss / before)
        assert set(policy.arrays()) == set(SHAPE.actor_tensors())
        assert spent[-1].epsilon <= epsilon
    assert spent[0].epsilon > 7.0
    assert spent[1].noise > 3 * spent[0].noise
    assert losses[0] < 0.6
    assert losses[0] < losses[1]
    assert spent[0].decisions == 400


@pytest.mark.filterwarnings("ignore")
def test_steps_without_a_record_add_noise_too() -> None:
    """An empty draw is a step like any other: nothing tells that it was empty."""
    policy = actor()
    before = policy.arrays()
    with privacy._flattened(policy):
        private = privacy._Private(privacy._opacus(), policy, PrivacySettings(), 1.0, 1)
        private.step(privacy._Data([history(1)]), np.array([], np.int64))
        private.leave()
    after = policy.arrays()
    assert all((after[name] != before[name]).any() for name in before)


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_protected_is_refused() -> None:
    """Too few decisions, several networks, budgets that mean nothing."""
    rng = np.random.default_rng(1)
    with pytest.raises(BadInput, match="at least 32"):
        clone_privately(actor(), [history(1, 5)], PrivacySettings(), rng)
    other = SimpleNamespace(**history(1).__dict__)
    other.near = other.near[::-1].copy()
    with pytest.raises(BadInput, match="one network"):
        clone_privately(actor(), [history(1), History(**other.__dict__)], PrivacySettings(), rng)
    for wrong in ({"epsilon": 0.0}, {"delta": 1.0}, {"batch": 0}, {"longest": 0.0}):
        with pytest.raises(BadInput):
            PrivacySettings(**wrong)
