"""Experience as learning takes it: what was seen, done and paid in whole episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32, Ints
from cellhive.rl.replay import Array, Field

Options = npt.NDArray[np.int8]


@dataclass(frozen=True)
class History:
    """What was seen, done and paid in S episodes of one network, each T decisions long."""

    seen: Floats32
    """Observations before every decision and after the last, (T + 1, S, C, F)."""
    mask: Options
    """1 where an option would have been let through on its own, (T, S, C, D, 3)."""
    action: Options
    """Options chosen, (T, S, C, D)."""
    reward: Floats32
    """Reward of each cell for the period after the decision, (T, S, C)."""
    network_reward: Floats
    """The same of the whole network, (T, S)."""
    paired: bool
    """Whether rewards are the difference to the same users with nothing done."""
    near: Ints
    """Cells next to each cell, (C, K), -1 for none; see ``rl.policy.next_cells``."""
    columns: tuple[str, ...]
    """Names of the columns of an action, D."""
    taken: int
    """Changes that an option stands for."""
    left_out: int
    """Changes that no column expresses: offsets to weak neighbours, heads that are not turned."""

    @property
    def decisions(self) -> int:
        """Decisions of networks in it: T S."""
        return self.network_reward.size

    def of_columns(self, names: Sequence[str]) -> History:
        """Return it for a policy that has only some of the columns.

        Raises:
            BadInput: A column is not there.
        """
        unknown = [name for name in names if name not in self.columns]
        if unknown:
            raise BadInput(
                place="columns", expected=f"some of {', '.join(self.columns)}",
                found=", ".join(unknown),
            )  # fmt: skip
        places = [self.columns.index(name) for name in names]
        return replace(
            self, columns=tuple(names), mask=np.ascontiguousarray(self.mask[..., places, :]),
            action=np.ascontiguousarray(self.action[..., places]),
        )  # fmt: skip

    def replay_fields(self) -> dict[str, Field]:
        """Return the columns of a replay whose rows are decisions of whole networks."""
        return {
            "seen": Field(self.seen.shape[2:], followed=True),
            "mask": Field(self.mask.shape[2:], "int8"),
            "action": Field(self.action.shape[2:], "int8"), "reward": Field(self.reward.shape[2:]),
        }  # fmt: skip

    def block(self) -> dict[str, Array]:
        """Return it as a block to add to such a replay."""
        return {name: getattr(self, name) for name in self.replay_fields()}


def joined(parts: Sequence[History]) -> History:
    """Return several histories of one network as one.

    Raises:
        BadInput: There are none, or they differ in network, columns or length.
    """
    if not parts:
        raise BadInput(place="histories", expected="one or more", found="none")
    first = parts[0]
    for part in parts[1:]:
        alike = part.seen.shape[0] == first.seen.shape[0] and part.columns == first.columns
        alike &= part.paired == first.paired
        if not alike or not np.array_equal(part.near, first.near):
            raise BadInput(
                place="histories", expected="one network, the same columns and as many decisions",
                found=f"{part.seen.shape} of {', '.join(part.columns)} beside {first.seen.shape}",
            )  # fmt: skip
    together: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("seen", "mask", "action", "reward", "network_reward")
    }
    return replace(
        first, **together, taken=sum(part.taken for part in parts),
        left_out=sum(part.left_out for part in parts),
    )  # fmt: skip
