"""What a policy knows before it first plays: what it was shown, and what it may look at."""

from __future__ import annotations

from dataclasses import dataclass

from cellhive.core.errors import BadInput

RULES = "rules"
"""Teacher: the rules, at work in the training cities."""
MEMORY = "memory:"
"""Teacher: a memory of earlier runs; what follows says where it is."""


@dataclass(frozen=True)
class Beginning:
    """How a policy begins. By default it knows nothing."""

    teachers: tuple[str, ...] = ()
    """Whom it learns from: "rules", "memory:FOLDER", or folders of recorded runs."""
    offline: bool = False
    """Judge what was done, and imitate more of what went well (advantage-weighted regression,
    Peng et al. 2019) instead of all alike."""
    episodes: int = 4
    """Episodes that rules and memory are watched for in each network of each city."""
    strayed: float = 0.05
    """Share of the columns in which they try something else in half of the episodes, with
    ``offline``: what only ever did the same says nothing of what else could be done."""
    causal_mask: bool = False
    """Let the policy see only what, by what is known of causes, can matter to its parameters."""
    epsilon: float = 0.0
    """Most privacy loss that what is shown may suffer, by Rényi accounting; 0 protects nothing."""
    delta: float = 1e-4
    """Chance with which that does not hold."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.episodes < 1 or not 0 <= self.strayed < 1:
            raise BadInput(
                place="beginning", expected="1 episode or more, a share below 1 that strays",
                found=f"{self.episodes}, {self.strayed:g}",
            )  # fmt: skip
        if not self.epsilon >= 0:
            raise BadInput(
                place="--privacy", expected="an epsilon above 0", found=f"{self.epsilon:g}"
            )
        if not self.teachers and (self.offline or self.epsilon):
            raise BadInput(
                place="--learn-from", expected="rules, memory:FOLDER or the folder of a run",
                found="nobody to learn from", remedy="name somebody, or leave the rest out",
            )  # fmt: skip
        if self.offline and self.epsilon:
            raise BadInput(
                place="--privacy", expected="imitation", found="--learn-how offline",
                remedy="what judges the past is not accounted for; leave one of them out",
            )  # fmt: skip
