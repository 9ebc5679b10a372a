"""A policy that gives way to the version promoted last, while it runs a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cellhive.core.ports import Observer
from cellhive.core.types import KpiFrame, Network, Outcome, Parameters, Plan

if TYPE_CHECKING:
    from cellhive.flows.policy.optimizer import Model


@dataclass(frozen=True)
class PolicyTaken:
    """Another version of the policy decides, from this moment on."""

    time_s: float
    before: str
    """"NAME@VERSION"."""
    after: str


@dataclass(frozen=True)
class PolicyNotTaken:
    """A version was promoted that cannot decide here; the one before goes on."""

    time_s: float
    still: str
    """"NAME@VERSION" of what decides."""
    why: str


Newest = Callable[[float], "Model | None"]
"""Returns what was promoted since it was asked last, given the time [s]; None where nothing was.

Raises CellHiveError where what was promoted cannot be used.
"""


class TakesModels(Protocol):
    """An optimiser that decides with a model, and can be given another."""

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return plans; see ``Optimizer``."""
        ...

    def learn(self, outcome: Outcome) -> None:
        """Take in what became of a plan."""
        ...

    @property
    def deciding(self) -> Model:
        """The model that decides."""
        ...

    def take(self, model: Model) -> None:
        """Decide with another model; what was done in the network stays known."""
        ...


class ServedPolicy:
    """Asks before every decision what was promoted, and decides with that."""

    def __init__(self, policy: TakesModels, newest: Newest, observer: Observer) -> None:
        """Serve a policy.

        Args:
            policy: Decides.
            newest: Tells what was promoted.
            observer: Is told ``PolicyTaken`` and ``PolicyNotTaken``.
        """
        self._policy, self._newest, self._observer = policy, newest, observer

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return the plans of the version that is in use now."""
        before = self._policy.deciding.name
        try:
            model = self._newest(now_s)
            if model is not None:
                self._policy.take(model)
                self._observer(PolicyTaken(now_s, before, model.name))
        except Exception as error:  # whatever is wrong with it, the network goes on being run
            self._observer(PolicyNotTaken(now_s, before, f"{error}"))
        return self._policy.propose(network, parameters, frames, now_s)

    def learn(self, outcome: Outcome) -> None:
        """Tell the policy what became of a plan."""
        self._policy.learn(outcome)
