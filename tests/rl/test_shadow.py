"""A candidate in the shadow: compared by column, never applied."""

from __future__ import annotations

import numpy as np
import pytest
from policies import case, drawn

from cellhive.core.errors import BadInput
from cellhive.rl.act import Acting
from cellhive.rl.policy import FLAT, PolicyShape
from cellhive.rl.shadow import Compared, Shadow

SHAPE = PolicyShape(heads=("cio_db", "tx_power_dbm"), neighbours=2, hidden=16, message=8)


def test_the_champion_decides_and_both_are_counted() -> None:
    """Counts by column are those a slow loop finds; the answers are recorded."""
    seen, near, mask = case(SHAPE, 12, 3)
    champion = Acting(SHAPE, near, drawn(SHAPE, 1), networks=3)
    flat = PolicyShape(SHAPE.heads, SHAPE.neighbours, hidden=8, encoder=FLAT)
    candidate = Acting(flat, near, drawn(flat, 2), networks=3)
    alone = champion.choose(seen, mask).copy()
    other = candidate.choose(seen, mask).copy()
    told: list[Compared] = []
    shadow = Shadow(champion, candidate, told.append)
    np.testing.assert_array_equal(shadow.choose(seen, mask, now_s=9.0), alone)
    wanted = np.zeros((3, 3, 3), int)
    for e, c, d in np.ndindex(3, 12, 3):
        if mask[e, c, d].sum() > 1:
            wanted[d, alone[e, c, d], other[e, c, d]] += 1
    np.testing.assert_array_equal(shadow.counts, wanted)
    assert told[0].now_s == 9.0
    np.testing.assert_array_equal(told[0].instead, other)
    for column, counts in zip(shadow.agreement(), wanted, strict=True):
        assert column.decisions == counts.sum()
        assert column.agreed_ratio == pytest.approx(np.trace(counts) / counts.sum())
        assert column.champion_turns_ratio == pytest.approx(counts[[0, 2]].sum() / counts.sum())
        assert column.candidate_turns_ratio == pytest.approx(counts[:, [0, 2]].sum() / counts.sum())
        opposite = (counts[0, 2] + counts[2, 0]) / counts.sum()
        assert column.opposite_ratio == pytest.approx(opposite)
    assert [column.column for column in shadow.agreement()] == [
        "cio_db[0]", "cio_db[1]", "tx_power_dbm",
    ]  # fmt: skip


def test_new_weights_are_counted_anew_and_equal_ones_agree() -> None:
    """A count is of one pair of versions."""
    seen, near, mask = case(SHAPE, 12, 1)
    champion, candidate = (Acting(SHAPE, near, drawn(SHAPE, seed)) for seed in (3, 4))
    shadow = Shadow(champion, candidate)
    assert np.isnan(shadow.agreement()[0].agreed_ratio)
    shadow.choose(seen, mask)
    assert min(column.agreed_ratio for column in shadow.agreement()) < 1.0
    candidate.swap(drawn(SHAPE, 3), "city:2")
    shadow.choose(seen)
    assert shadow.compared == ("", "city:2")
    assert [(c.agreed_ratio, c.decisions) for c in shadow.agreement()] == [(1.0, 12)] * 3


def test_a_candidate_that_cannot_answer_harms_nobody() -> None:
    """It is counted as failed; one for other heads is refused from the start."""
    seen, near, mask = case(SHAPE, 5, 1)
    champion, candidate = (Acting(SHAPE, near, drawn(SHAPE, seed)) for seed in (5, 6))
    shadow = Shadow(champion, candidate)
    candidate._free.clear()  # as if another thread were deciding with it
    np.testing.assert_array_equal(shadow.choose(seen, mask).shape, (1, 5, 3))
    assert shadow.failed == 1
    assert shadow.counts.sum() == 0
    other = PolicyShape(heads=("cio_db",), neighbours=2)
    with pytest.raises(BadInput, match="heads"):
        Shadow(champion, Acting(other, near, drawn(other, 1)))
