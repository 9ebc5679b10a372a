"""What every process of a training must know, and how the work is dealt among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats32
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.learning.ppo import TrainingSettings
from cellhive.rl.learning.roles import Role, check_roles, columns_in


class Place(NamedTuple):
    """An environment to be built where it is played."""

    settings: EnvironmentSettings
    networks: int


class Piece(NamedTuple):
    """Work of one call: some networks of one environment."""

    which: int
    """Environment."""
    share: int
    """Which of its equal shares."""


@dataclass(frozen=True)
class Plan:
    """A training, apart from what it has come to."""

    roles: tuple[Role, ...]
    settings: TrainingSettings
    places: tuple[Place, ...]
    seed: int
    runners: int = 0
    """Processes that play; 0 means the one that asks."""
    learners: int = 0
    """Processes that learn; 0 means the one that asks."""
    device: str = "cpu"
    """Of the learners."""
    actors: Mapping[str, Mapping[str, Floats32]] = field(default_factory=dict)
    """First weights of some roles."""

    def __post_init__(self) -> None:
        """Refuse what cannot be dealt.

        Raises:
            BadInput: There is nothing to play, or roles do not fit it.
        """
        check_roles(self.roles)
        if not self.places:
            raise BadInput(place="environments", expected="one or more", found="none")
        if self.device not in {"cpu", "cuda"}:
            raise BadInput(place="device", expected="cpu or cuda", found=repr(self.device))
        for name, count in (("runners", self.runners), ("learners", self.learners)):
            if count < 0:
                raise BadInput(place=name, expected="0 or more", found=str(count))
        unknown = sorted(set(self.actors) - {role.name for role in self.roles})
        if unknown:
            raise BadInput(
                place="actors", expected=f"some of {', '.join(r.name for r in self.roles)}",
                found=", ".join(unknown),
            )  # fmt: skip
        for place in self.places:
            for role in self.roles:
                columns_in(role, place.settings.actions)

    def shares(self, which: int) -> int:
        """Return into how many equal shares the networks of an environment are dealt.

        As few as keep all runners busy: with as many environments as runners, an environment
        stays whole, and the training comes to the same as in one process, to the bit.
        """
        networks = self.places[which].networks
        wanted = min(networks, -(-self.runners // len(self.places)) or 1)
        return next(n for n in range(wanted, networks + 1) if networks % n == 0)

    def pieces(self) -> list[Piece]:
        """Return the work of an iteration."""
        return [
            Piece(which, share)
            for which in range(len(self.places))
            for share in range(self.shares(which))
        ]

    def cells(self) -> list[int]:
        """Return the number of cells of each environment, where cells differ in curiosity."""
        if not self.settings.adaptive:
            return []
        return [place.settings.scenario.network().cells for place in self.places]

    def environment(self, which: int) -> CellEnvironment:
        """Build an environment with the networks of a share."""
        place = self.places[which]
        return CellEnvironment(place.settings, place.networks // self.shares(which))


def places_of(environments: Sequence[CellEnvironment]) -> tuple[Place, ...]:
    """Return what such environments are built from."""
    return tuple(Place(env.settings, env.networks) for env in environments)
