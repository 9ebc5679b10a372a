"""What was experienced is drawn as often as it should be, whole, and comes back from disk."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from cellhive.core.errors import BadInput, Conflict
from cellhive.rl.replay import Field, Replay
from cellhive.rl.sum_tree import SumTree

FIELDS = {
    "seen": Field((2,), followed=True),
    "action": Field((3,), "int8"),
    "reward": Field((), "float64"),
}


def block(steps: int, streams: int, first: int = 0) -> dict[str, np.ndarray]:
    """Return steps whose numbers say which stream and step they are: 100 stream + step."""
    name = 100.0 * (first + np.arange(streams))[None, :] + np.arange(steps + 1)[:, None]
    seen = np.stack([name, -name], axis=-1)
    action = np.zeros((steps, streams, 3), np.int8)
    action[...] = np.arange(steps)[:, None, None] % 3
    return {"seen": seen, "action": action, "reward": name[:-1]}


def test_transitions_are_whole_and_evenly_drawn() -> None:
    """Before, after and reward belong together; every transition is drawn equally often."""
    replay = Replay(FIELDS, 100)
    replay.add(block(5, 3))
    replay.add(block(5, 2, first=3))
    assert len(replay) == 25
    drawn = replay.sample(20_000, np.random.default_rng(1))
    names = drawn.columns["reward"]
    np.testing.assert_array_equal(drawn.columns["seen"][:, 0], names)
    np.testing.assert_array_equal(drawn.columns["next_seen"][:, 0], names + 1)
    np.testing.assert_array_equal(drawn.columns["action"][:, 1], names % 100 % 3)
    found, times = np.unique(names, return_counts=True)
    assert found.size == 25
    # 800 each; 5 standard deviations of a binomial
    assert np.abs(times - 800).max() < 5 * np.sqrt(800 * 24 / 25)
    assert replay.sample(0 + 7, np.random.default_rng(1)).rows.tolist() == drawn.rows[:7].tolist()


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    """A full ring keeps the newest; what is left of a stretch is its end, and still whole."""
    replay = Replay(FIELDS, 20)
    size = replay.nbytes
    for first in range(7):
        replay.add(block(5, 1, first=first))
    assert replay.nbytes == size
    assert replay.added == 35
    drawn = replay.sample(2000, np.random.default_rng(1)).columns
    # 20 rows of stretches of 6: three whole ones and the last two rows, one transition, of another
    kept = [304, *(100 * s + t for s in (4, 5, 6) for t in range(5))]
    assert sorted(set(drawn["reward"].tolist())) == kept
    np.testing.assert_array_equal(drawn["next_seen"][:, 0], drawn["seen"][:, 0] + 1)


def test_a_block_larger_than_the_ring_leaves_its_last_streams() -> None:
    """Streams that would be overwritten by their own block are left out."""
    replay = Replay(FIELDS, 20)
    replay.add(block(5, 9))
    drawn = replay.sample(2000, np.random.default_rng(1)).columns["reward"]
    assert sorted(set((drawn // 100).tolist())) == [6, 7, 8]


def test_sequences_never_leave_their_stretch() -> None:
    """Every possible start is drawn, none whose sequence would run into another stream."""
    replay = Replay(FIELDS, 31)
    for first in range(6):
        replay.add(block(5, 1, first=first))
    drawn = replay.sequences(5000, 3, np.random.default_rng(1))
    reward = drawn.columns["reward"]
    assert reward.shape == (5000, 3)
    np.testing.assert_array_equal(np.diff(reward, axis=1), 1)
    np.testing.assert_array_equal(drawn.columns["seen"][:, :, 0], np.c_[reward, reward[:, -1] + 1])
    assert sorted(set((reward[:, 0] % 100).tolist())) == [0, 1, 2]
    assert len(set(reward[:, 0].tolist())) == 15
    with pytest.raises(Conflict, match="6 steps"):
        replay.sequences(1, 6, np.random.default_rng(1))


def test_priorities_set_how_often_something_is_drawn() -> None:
    """Shares follow priority ** exponent, and the weights undo them."""
    replay = Replay(FIELDS, 16, exponent=0.5)
    replay.add(block(4, 1))
    rng = np.random.default_rng(1)
    drawn = replay.sample_by_priority(4000, rng)
    rows = np.unique(drawn.rows)
    np.testing.assert_allclose(drawn.weights, 1.0)
    replay.set_priorities(rows, np.array([1.0, 4.0, 9.0, 16.0]))
    drawn = replay.sample_by_priority(4000, rng, correction=1.0)
    times = np.bincount(np.searchsorted(rows, drawn.rows))
    np.testing.assert_allclose(times, [400, 800, 1200, 1600], atol=1)  # stratified
    # what is rare counts more: each row's weights sum to the same
    sums = np.bincount(np.searchsorted(rows, drawn.rows), drawn.weights)
    np.testing.assert_allclose(sums / sums.mean(), 1.0, atol=0.01)
    assert drawn.weights.max() == 1.0


def test_what_is_new_is_drawn_like_the_most_surprising() -> None:
    """A transition without a priority gets the highest so far; what was closed is never drawn."""
    replay = Replay(FIELDS, 16, exponent=1.0)
    replay.add(block(2, 1))
    replay.set_priorities(np.array([0, 1, 2]), np.array([1.0, 7.0, 50.0]))
    replay.add(block(2, 1, first=1))
    drawn = replay.sample_by_priority(2900, np.random.default_rng(1)).columns["reward"]
    counts = {int(name): int((drawn == name).sum()) for name in set(drawn.tolist())}
    assert set(counts) == {0, 1, 100, 101}
    # 1, 7, 50 and 50 of 108; a share begins anywhere, so each count is exact to one
    np.testing.assert_allclose([counts[name] for name in (0, 1, 100, 101)],
                               2900 * np.array([1, 7, 50, 50]) / 108, atol=1)  # fmt: skip


def test_a_sum_tree_finds_what_a_cumulated_sum_finds() -> None:
    """Against NumPy, with zeros among the priorities and any number of rows."""
    rng = np.random.default_rng(5)
    for rows in (1, 2, 3, 64, 100):
        tree = SumTree(rows)
        values = rng.random(rows) * (rng.random(rows) < 0.6)
        values[rng.integers(rows)] = 1.0
        tree.set(np.arange(rows), np.ones(rows))
        tree.set(np.arange(rows), values)
        shares = np.append(rng.random(500), [0.0, np.nextafter(1.0, 0.0)])
        found, chance = tree.find(shares)
        near = np.searchsorted(np.cumsum(values), shares[:-1] * values.sum(), side="right")
        np.testing.assert_array_equal(found[:-1], near)
        assert (values[found] > 0).all()
        np.testing.assert_allclose(chance, values[found] / values.sum())
        assert tree.whole == pytest.approx(values.sum())


@pytest.mark.parametrize("exponent", [None, 0.6])
def test_a_saved_replay_goes_on_alike(exponent: float | None) -> None:
    """After loading, draws and what is added next are the same to the bit."""
    replay = Replay(FIELDS, 20, exponent=exponent)
    for first in range(5):
        replay.add(block(4, 1, first=first))
    if exponent is not None:
        drawn = replay.sample(6, np.random.default_rng(2))
        replay.set_priorities(drawn.rows, np.arange(1.0, 7.0))
    file = io.BytesIO()
    replay.save(file)
    file.seek(0)
    other = Replay.load(file)
    for each in (replay, other):
        each.add(block(3, 2, first=9))
    assert (len(other), other.added) == (len(replay), replay.added)
    for draw in ("sample",) if exponent is None else ("sample", "sample_by_priority"):
        one, two = (getattr(each, draw)(50, np.random.default_rng(3)) for each in (replay, other))
        np.testing.assert_array_equal(one.rows, two.rows)
        np.testing.assert_array_equal(one.weights, two.weights)
        for name, column in one.columns.items():
            np.testing.assert_array_equal(column, two.columns[name])


def broken(how: str) -> bytes:
    """Return an archive that is not what a replay would have saved."""
    replay = Replay(FIELDS, 20)
    replay.add(block(4, 2))
    file = io.BytesIO()
    replay.save(file)
    if how == "cut short":
        return file.getvalue()[:-40]
    if how == "no archive":
        return b"not an archive"
    file.seek(0)
    with np.load(file) as saved:
        arrays = dict(saved)
    if how == "other format":
        about = json.loads(arrays["about"].tobytes()) | {"format": 99}
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    elif how == "stretches":
        arrays["left"][2] = 9
    elif how == "not finite":
        arrays["column seen"][3, 0] = np.nan
    elif how == "shape":
        arrays["column reward"] = arrays["column reward"][:-1]
    elif how == "lacks":
        del arrays["column action"]
    changed = io.BytesIO()
    np.savez(changed, **arrays)
    return changed.getvalue()


@pytest.mark.parametrize(
    "how",
    ["cut short", "no archive", "other format", "stretches", "not finite", "shape", "lacks"],
)
def test_a_damaged_archive_is_refused(how: str) -> None:
    """What cannot have been saved is not loaded."""
    with pytest.raises(BadInput, match="saved replay"):
        Replay.load(io.BytesIO(broken(how)))


def test_an_archive_that_is_too_large_is_refused_before_it_is_read() -> None:
    """The bound is on what it would become in memory."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.npy", bytes(1 << 20))
    file.seek(0)
    with pytest.raises(BadInput, match="more than 1000"):
        Replay.load(file, most_bytes=1000)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"seen": np.zeros((5, 2, 2))}, "column reward"),
        ({"reward": np.full((4, 2), np.nan)}, "finite"),
        ({"seen": np.full((5, 2, 2), 1e300)}, "finite"),
        ({"action": np.full((4, 2, 3), 300)}, "fit int8"),
        ({"action": np.zeros((4, 2, 3))}, "int8"),
        ({"more": np.zeros((4, 2))}, "block"),
    ],
)
def test_a_block_that_does_not_fit_is_refused(change: dict[str, np.ndarray], expected: str) -> None:
    """Nothing is added of a block that is wrong anywhere."""
    replay = Replay(FIELDS, 40)
    given = block(4, 2) | change
    if expected == "column reward":
        given["reward"] = given["reward"][:3]
    with pytest.raises(BadInput, match=expected):
        replay.add(given)
    assert len(replay) == replay.added == 0
    with pytest.raises(Conflict):
        replay.sample(1, np.random.default_rng(1))


def test_settings_that_cannot_be_are_refused() -> None:
    """Each with what was expected."""
    for make in (
        lambda: Replay({}, 10),
        lambda: Replay({"next_seen": Field(())}, 10),
        lambda: Replay(FIELDS, 1),
        lambda: Replay(FIELDS, 1 << 50),
        lambda: Replay(FIELDS, 10, exponent=2.0),
        lambda: Field((0,)),
        lambda: Field((2,), "object"),
    ):
        with pytest.raises(BadInput):
            make()
    plain = Replay(FIELDS, 10)
    plain.add(block(4, 1))
    with pytest.raises(Conflict, match="exponent"):
        plain.sample_by_priority(1, np.random.default_rng(1))
    with pytest.raises(Conflict, match="exponent"):
        plain.set_priorities(np.array([0]), np.array([1.0]))
