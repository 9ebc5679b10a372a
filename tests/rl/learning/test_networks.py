"""The networks: one policy for any number of cells, whatever the order of the neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.rl.observations import SLOT_FEATURES
from cellhive.rl.policy import FLAT, NEIGHBOURS, NETWORK, PolicyShape

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
from cellhive.rl.learning.networks import Actor, Critic  # noqa: E402

SHAPES = (
    PolicyShape(), PolicyShape(encoder=FLAT), PolicyShape(heads=("cio_db",), neighbours=3),
    PolicyShape(heads=("electrical_tilt_deg", "tx_power_dbm"), hidden=16, message=8),
)  # fmt: skip


def _case(shape: PolicyShape, cells: int = 7, batch: int = 2):
    rng = np.random.default_rng(cells)
    seen = rng.uniform(0, 1, (batch, cells, shape.features)).astype(np.float32)
    near = rng.integers(-1, cells, (cells, shape.neighbours))
    return torch.from_numpy(seen), torch.from_numpy(near)


@pytest.mark.parametrize("shape", SHAPES)
def test_tensors_are_those_listed_and_travel(shape: PolicyShape) -> None:
    """The actor has the tensors of its shape, and they can be copied."""
    torch.manual_seed(1)
    actor = Actor(shape)
    assert {n: a.shape for n, a in actor.arrays().items()} == shape.actor_tensors()
    seen, near = _case(shape)
    logits = actor(seen, near)
    assert logits.shape == (2, 7, shape.columns, 3)
    other = Actor(shape)
    other.load(actor.arrays())
    assert torch.equal(other(seen, near), logits)


def test_order_of_neighbours_only_moves_their_columns() -> None:
    """Equivariant in the slots; a flat encoder is not."""
    shape = PolicyShape(neighbours=4)
    torch.manual_seed(2)
    actor = Actor(shape)
    with torch.no_grad():
        for tensor in actor.parameters():
            tensor.add_(0.1 * torch.randn_like(tensor))
    seen, near = _case(shape)
    turned = [2, 0, 3, 1]
    own = shape.own_features
    slots = seen[..., own:].reshape(2, 7, 4, len(SLOT_FEATURES))[:, :, turned]
    moved = torch.cat([seen[..., :own], slots.reshape(2, 7, -1)], -1)
    before, after = actor(seen, near), actor(moved, near[:, turned])
    torch.testing.assert_close(after[:, :, :4], before[:, :, turned])
    torch.testing.assert_close(after[:, :, 4:], before[:, :, 4:])
    flat = Actor(PolicyShape(encoder=FLAT))
    with torch.no_grad():
        flat.cell.weight += 1.0 * torch.randn_like(flat.cell.weight)
    assert not torch.allclose(flat(moved, near)[:, :, 4:], flat(seen, near)[:, :, 4:])


def test_order_of_cells_does_not_matter_and_their_number_is_free() -> None:
    """Renaming cells renames results; 300 cells need no new weights."""
    shape = PolicyShape()
    torch.manual_seed(3)
    actor, critic = Actor(shape), Critic(shape)
    seen, near = _case(shape)
    order = torch.randperm(7)
    place = torch.empty(7, dtype=torch.int64)
    place[order] = torch.arange(7)
    renamed = torch.where(near >= 0, place[near.clamp(min=0)], -1)[order]
    torch.testing.assert_close(actor(seen[:, order], renamed), actor(seen, near)[:, order])
    torch.testing.assert_close(critic(seen[:, order]), critic(seen)[:, order])
    many, links = _case(shape, cells=300)
    assert actor(many, links).shape == (2, 300, shape.columns, 3)


def test_what_is_masked_is_never_chosen_and_missing_neighbours_say_nothing() -> None:
    """A mask gives zero probability; a slot without a neighbour has no part."""
    shape = PolicyShape()
    torch.manual_seed(4)
    actor = Actor(shape)
    seen, near = _case(shape)
    mask = torch.ones((2, 7, shape.columns, 3))
    mask[..., 0] = 0
    chances = torch.softmax(actor(seen, near, mask), -1).detach()
    assert float(chances[..., 0].max()) == 0.0
    alone = torch.full_like(near, -1)
    noisy = seen.clone()
    noisy[..., shape.own_features :] += 1.0
    torch.testing.assert_close(actor(noisy, alone), actor(seen, alone))


def test_wrong_tensors_are_refused() -> None:
    """Names, shapes and finiteness are checked before anything is taken over."""
    actor = Actor(PolicyShape())
    arrays = actor.arrays()
    with pytest.raises(BadInput, match=r"trunk\.weight"):
        actor.load({n: a for n, a in arrays.items() if n != "trunk.weight"})
    with pytest.raises(BadInput, match="shape"):
        actor.load({**arrays, "own.bias": np.zeros(3, np.float32)})
    spoilt = arrays["own.bias"].copy()
    spoilt[0] = np.nan
    with pytest.raises(BadInput, match="1 numbers not finite"):
        actor.load({**arrays, "own.bias": spoilt})
    with pytest.raises(BadInput, match="encoder"):
        PolicyShape(encoder="recurrent")
    assert PolicyShape().encoder == NEIGHBOURS


def test_one_decision_for_the_whole_network() -> None:
    """It depends on every cell and on no order of them, and on no number of them."""
    shape = PolicyShape(encoder=NETWORK)
    torch.manual_seed(3)
    actor = Actor(shape)
    assert {n: a.shape for n, a in actor.arrays().items()} == shape.actor_tensors()
    seen, near = _case(shape)
    logits = actor(seen, near)
    assert logits.shape == (2, 1, shape.columns, 3)
    torch.testing.assert_close(actor(seen.flip(1), near), logits)
    torch.testing.assert_close(actor(torch.cat([seen, seen], 1), near), logits)
    changed = seen.clone()
    changed[:, 5] += 0.5
    assert not torch.allclose(actor(changed, near), logits)
