"""An environment in which the rules act too: a policy learns there what to add to them.

A policy that learns alone and is then put beside the rules undoes some of their work, or stands
in its way. Here they are part of the world. Changing nothing means leaving it to the rules, so
that what a paired training pays for is what the policy adds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Floats32
from cellhive.flows.training.proposing import Asked, Proposer, allowed
from cellhive.ran.son.rules import Rules
from cellhive.rl.actions import KEEP
from cellhive.rl.env import CellEnvironment, EnvironmentSettings, Masks, Step


class BesideRules(CellEnvironment):
    """Copies of a network under the rules and whoever decides beside them.

    Whatever the rules propose and the guard allows is done, but for the columns that the
    decision turns itself. Plans of the rules are not watched here, so that they act somewhat
    faster than in the loop.
    """

    def __init__(
        self, settings: EnvironmentSettings, networks: int = 1,
        make: Callable[[], Proposer] = Rules,
    ) -> None:  # fmt: skip
        """Build the city.

        Args:
            settings: What the environment is; its columns should hold what the rules turn,
                or they cannot.
            networks: Number of copies E.
            make: Returns whoever acts beside, anew for every episode and network.

        Raises:
            BadInput: Actions are not discrete.
        """
        super().__init__(settings, networks)
        if not self.actions.discrete:
            raise BadInput(
                place="kind of the actions", expected="discrete, where rules act beside",
                found=settings.actions.kind,
            )  # fmt: skip
        self._make = make

    def reset(
        self, seeds: Sequence[int] | None = None, *, start_h: float | None = None
    ) -> tuple[Floats32, Masks]:
        """Begin an episode, with rules that know nothing of the one before."""
        seen, self._mask = super().reset(seeds, start_h=start_h)
        self._asked = Asked(self, self._make)
        return seen, self._mask

    def step(self, actions: Any) -> Step:
        """Make a decision, and what the rules propose where it keeps things as they are."""
        decided = self.actions.checked(actions, self.networks)
        options, _, _ = self._asked.options()
        ruled = allowed(options, self._mask).astype(np.int64)
        done = super().step(np.where(decided == KEEP, ruled, decided))
        self._mask = done.mask
        return done

    def clone(self) -> CellEnvironment:
        """Refuse: what the rules remember is not copied.

        Raises:
            Conflict: Always.
        """
        message = "expected an environment without rules, found one with them: it has no copies"
        raise Conflict(message)

    def branch(
        self, copies: int, e: int = 0, seeds: Sequence[int] | None = None
    ) -> CellEnvironment:
        """Refuse as ``clone`` does.

        Raises:
            Conflict: Always.
        """
        del copies, e, seeds
        return self.clone()
