"""Episodes dealt out in shares, and put together again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cellhive.rl.env import CellEnvironment

pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
from cellhive.rl.learning.episodes import Played, joined, play
from cellhive.rl.learning.ppo import TrainingSettings, first_networks
from cellhive.rl.learning.roles import function_roles
from cellhive.rl.learning.rollout import Stage

Build = Callable[..., CellEnvironment]
ROLES = function_roles(("cio_db", "a3_offset_db"), hidden=8)
STILL = TrainingSettings(keep_bias=60.0, episode_seeds=8)
"""A policy that all but never turns anything: what is drawn does not matter."""


def played(build: Build, settings: TrainingSettings, share: tuple[int, int]) -> Played:
    """Play a share of four networks."""
    stage = Stage(build(4 // share[1], periods=3), ROLES)
    actors = [first_networks(role.shape, 1, settings.keep_bias)[0] for role in ROLES]
    return joined([play(stage, actors, settings, 5, 1, 2, share)])


def test_shares_put_together_are_the_whole(build: Build) -> None:
    """The same users in the same networks, in their order; and tallies add up."""
    whole = played(build, STILL, (0, 1))
    halves = joined([played(build, STILL, (0, 2)), played(build, STILL, (1, 2))])
    np.testing.assert_array_equal(halves.seen, whole.seen)
    np.testing.assert_array_equal(halves.near, whole.near)
    for half, part in zip(halves.roles, whole.roles, strict=True):
        for left, right in zip(half, part, strict=True):
            np.testing.assert_array_equal(left, right)
    assert halves.tally.decisions == whole.tally.decisions == 3 * 4 * 6
    np.testing.assert_allclose(halves.tally.parts, whole.tally.parts, rtol=1e-12)
    assert (halves.tally.gain, halves.tally.made, halves.tally.trouble) == (0.0, 0, "")


def test_shares_draw_for_themselves(build: Build) -> None:
    """Whoever plays a share gets the same; two shares do not draw alike."""
    eager = replace(STILL, keep_bias=0.0)
    first, again = (played(build, eager, (0, 2)) for _ in range(2))
    second = played(build, eager, (1, 2))
    np.testing.assert_array_equal(first.roles[0].moves, again.roles[0].moves)
    assert (first.roles[0].moves != second.roles[0].moves).any()
    assert first.tally.made > 0
