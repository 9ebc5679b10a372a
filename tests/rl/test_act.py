"""Decisions without torch: equal to the networks, masked, swapped whole, without new arrays."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys
from policies import SHAPES, case, drawn, logits_of

from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.rl.act import Acting, Published, by_role
from cellhive.rl.policy import FLAT, PolicyShape

NAMES = ["neighbours", "flat", "cio only", "own columns only", "network"]


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_logits_are_those_of_the_slow_twin(shape: PolicyShape) -> None:
    """Every encoder and set of heads, several networks, cells with and without neighbours."""
    arrays = drawn(shape, 1)
    seen, near, mask = case(shape, 11, 3)
    acting = Acting(shape, near, arrays, networks=3)
    wanted = logits_of(shape, arrays, seen, near)
    np.testing.assert_allclose(acting.logits(seen), wanted, atol=2e-5)
    masked = np.where(mask == 1, wanted, -1e9)
    np.testing.assert_allclose(acting.logits(seen, mask), masked, atol=2e-5)
    np.testing.assert_array_equal(acting.choose(seen, mask), masked.argmax(-1))
    chances = np.exp(masked - masked.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    np.testing.assert_allclose(acting.probabilities(seen, mask), chances, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_logits_are_those_of_torch(shape: PolicyShape) -> None:
    """What was learned is what decides."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install '.[ray]'")
    from cellhive.rl.learning.networks import Actor  # noqa: PLC0415

    actor, arrays = Actor(shape), drawn(shape, 2)
    actor.load(arrays)
    seen, near, mask = case(shape, 30, 2)
    args = torch.from_numpy(seen), torch.from_numpy(near).long(), torch.from_numpy(mask)
    wanted = actor(*args).detach().numpy()
    acting = Acting(shape, near, actor.arrays(), networks=2)
    np.testing.assert_allclose(acting.logits(seen, mask), wanted, atol=2e-5)
    np.testing.assert_array_equal(acting.choose(seen, mask), wanted.argmax(-1))


def test_masks_of_any_type_and_layout_are_obeyed() -> None:
    """Nothing masked is chosen or drawn; where nothing may be chosen the knob is kept."""
    shape = PolicyShape()
    seen, near, mask = case(shape, 9, 1)
    acting = Acting(shape, near, drawn(shape, 3))
    plain = acting.choose(seen, mask).copy()
    assert (np.take_along_axis(mask, plain[..., None], -1) == 1).all()
    assert (acting.choose(seen).copy() != plain).any()
    for other in (mask.astype(bool), mask.astype(np.float64) * 7, np.asfortranarray(mask)):
        np.testing.assert_array_equal(acting.choose(seen, other), plain)
    np.testing.assert_array_equal(
        acting.choose(np.asfortranarray(seen.astype(np.float64)), mask), plain
    )
    assert (acting.choose(seen, np.zeros_like(mask)) == 1).all()
    rng = np.random.default_rng(1)
    for _ in range(20):
        sampled = acting.sample(seen, mask, rng)
        assert (np.take_along_axis(mask, sampled[..., None], -1) == 1).all()


def test_samples_follow_the_probabilities_and_the_generator() -> None:
    """Shares over many draws are the probabilities; one seed gives one sequence."""
    shape = PolicyShape(encoder=FLAT, hidden=16)
    seen, near, mask = case(shape, 5, 1)
    acting = Acting(shape, near, drawn(shape, 4))
    chances = acting.probabilities(seen, mask).copy()
    rng, counts, draws = np.random.default_rng(2), np.zeros(chances.shape), 4000
    for _ in range(draws):
        counts += np.eye(3)[acting.sample(seen, mask, rng)]
    assert np.abs(counts / draws - chances).max() < 5 * 0.5 / np.sqrt(draws)
    one, two = (acting.sample(seen, mask, np.random.default_rng(3)).copy() for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_cell_decides_the_same_alone_and_among_many() -> None:
    """The same bits, whatever stands beside it in the batch."""
    shape = PolicyShape()
    arrays = drawn(shape, 5)
    seen, near, _ = case(shape, 40, 6)
    near[:] = np.where(near < 10, near, -1)
    many = Acting(shape, near, arrays, networks=6).logits(seen)
    one = Acting(shape, near, arrays)
    for e in range(6):
        np.testing.assert_array_equal(one.logits(seen[e : e + 1])[0], many[e])
    few = Acting(shape, near[:10], arrays)
    np.testing.assert_array_equal(few.logits(seen[:1, :10])[0], many[0, :10])


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_a_call_makes_no_array(shape: PolicyShape) -> None:
    """No memory is taken that grows with the cells, by NumPy or by the kernels.

    What is left are the few views and numbers of a call, given back at its end.
    """
    _nrt_python.memsys_enable_stats()
    peaks, kernels = [], []
    for cells in (10, 20_000):
        seen, near, mask = case(shape, cells, 1)
        acting = Acting(shape, near, drawn(shape, 6))
        acting.choose(seen, mask)
        tracemalloc.start()
        before = rtsys.get_allocation_stats()
        for _ in range(20):
            acting.choose(seen, mask)
        after = rtsys.get_allocation_stats()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        kernels.append(after.alloc - before.alloc)
    assert max(peaks) < 10_000  # one byte per cell would be twice that
    assert kernels[0] == kernels[1]


def test_a_swap_is_whole_while_others_decide() -> None:
    """Threads hammer on two roles; every decision is of one version in both, and none fails."""
    shape = PolicyShape(heads=("cio_db", "a3_offset_db"), hidden=32, message=16)
    roles = {"mobility": shape, "load": shape}
    seen, near, _ = case(shape, 60, 1)
    versions = [
        {f"{role}/{n}": a for role in roles for n, a in drawn(shape, seed).items()}
        for seed in (7, 8)
    ]
    wanted = [Acting(shape, near, by_role(tuple(roles), v)["load"]).logits(seen).copy()
              for v in versions]  # fmt: skip
    published = Published(roles, versions[0], "a:1")
    stop, wrong, decided = threading.Event(), [], []

    def decide() -> None:
        mine = [Acting.of(published, role, near) for role in roles]
        count = 0
        while not stop.is_set():
            weights = published.current
            answers = [acting.logits(seen, weights=weights) for acting in mine]
            which = int(weights.label[2:]) - 1
            if not all(np.array_equal(answer, wanted[which]) for answer in answers):
                wrong.append(weights.serial)
            loose = mine[0].logits(seen)  # the version published last, whichever that is
            if not any(np.array_equal(loose, w) for w in wanted):
                wrong.append(-1)
            count += 1
        decided.append(count)

    threads = [threading.Thread(target=decide) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(300):
        published.swap(versions[turn % 2], f"a:{turn % 2 + 1}")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert min(decided) >= 1
    assert published.current.serial == 301


def test_weights_that_do_not_fit_leave_those_in_use() -> None:
    """A swap is refused before anything changes."""
    shape = PolicyShape(encoder=FLAT, hidden=8)
    arrays = drawn(shape, 9)
    seen, near, _ = case(shape, 4, 1)
    acting = Acting(shape, near, arrays)
    before = acting.logits(seen).copy()
    spoilt = {**arrays, "own.bias": np.full(8, np.nan, np.float32)}
    for bad in ({}, spoilt, {**arrays, "x/own.bias": arrays["own.bias"]}):
        with pytest.raises(BadInput):
            acting.swap(bad)
    np.testing.assert_array_equal(acting.logits(seen), before)
    with pytest.raises(BadInput, match="role"):
        Published({}, {})
    with pytest.raises(NotFound, match="joint"):
        Acting.of(acting.published, "energy", near)


def test_input_that_is_none_is_refused() -> None:
    """Shapes and values are named, and the call after it works."""
    shape = PolicyShape()
    seen, near, mask = case(shape, 6, 2)
    acting = Acting(shape, near, drawn(shape, 10), networks=2)
    good = acting.choose(seen, mask).copy()
    with pytest.raises(BadInput, match="observations"):
        acting.choose(seen[:1], mask)
    with pytest.raises(BadInput, match="mask"):
        acting.choose(seen, mask[..., :2])
    spoilt = seen.copy()
    spoilt[1, 4, 3] = np.nan
    with pytest.raises(BadInput, match="network 1, cell 4"):
        acting.choose(spoilt, mask)
    for wrong in (near[:, :2], np.where(near < 0, 6, near), near[:0]):
        with pytest.raises(BadInput, match="next to"):
            Acting(shape, wrong, drawn(shape, 10))
    np.testing.assert_array_equal(acting.choose(seen, mask), good)


def test_two_threads_do_not_share_room() -> None:
    """The second is told; ``beside`` has room of its own, and the same weights."""
    shape = PolicyShape(encoder=FLAT, hidden=8)
    seen, near, mask = case(shape, 4, 1)
    acting = Acting(shape, near, drawn(shape, 11))

    class Asking(np.random.Generator):
        def random(self, *args, **kwargs):
            with pytest.raises(Conflict, match="beside"):
                acting.choose(seen, mask)
            return super().random(*args, **kwargs)

    acting.sample(seen, mask, Asking(np.random.PCG64(1)))
    other = acting.beside()
    first = acting.choose(seen, mask)
    np.testing.assert_array_equal(other.choose(seen, mask), first)
    acting.swap(drawn(shape, 12))
    swapped = other.choose(seen, mask, out=np.zeros_like(first))
    np.testing.assert_array_equal(acting.choose(seen, mask), swapped)
    assert other.published is acting.published
