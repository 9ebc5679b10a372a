"""The four functions together, as one optimiser."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from cellhive.core.types import KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.ran.son.coverage import Coverage, CoverageSettings
from cellhive.ran.son.energy_saving import EnergySaving, EnergySavingSettings
from cellhive.ran.son.mlb import Mlb, MlbSettings
from cellhive.ran.son.mro import Mro, MroSettings
from cellhive.ran.son.view import Proposal, SonFunction, View


@dataclass(frozen=True)
class RuleSettings:
    """Settings of each function."""

    mro: MroSettings = field(default_factory=MroSettings)
    mlb: MlbSettings = field(default_factory=MlbSettings)
    energy_saving: EnergySavingSettings = field(default_factory=EnergySavingSettings)
    coverage: CoverageSettings = field(default_factory=CoverageSettings)


class Rules:
    """Energy saving, coverage, load balancing and mobility robustness in this order.

    What shapes the cells comes first: where it has just acted, the handover functions
    wait anyway. Each function proposes at most one plan a period, named after function
    and period. The parameters first seen are the base that offsets are measured from.
    """

    def __init__(
        self, settings: RuleSettings | None = None, functions: Collection[str] | None = None
    ) -> None:
        """Start without having seen a network.

        Args:
            settings: Settings of each function.
            functions: Names of those that act; None means all.
        """
        settings = RuleSettings() if settings is None else settings
        every: tuple[SonFunction, ...] = (
            EnergySaving(settings.energy_saving),
            Coverage(settings.coverage),
            Mlb(settings.mlb),
            Mro(settings.mro),
        )
        self.functions = tuple(one for one in every if functions is None or one.name in functions)
        self._base: Parameters | None = None

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Take in the last period and return at most one plan of each function.

        Args:
            network: The network.
            parameters: Its parameters, read back.
            frames: Periods observed so far, oldest first; call once for each new one.
            now_s: End of the last period [s].
        """
        if self._base is None:
            self._base = parameters.copy()
        if not frames:
            return []
        view = View(network, parameters, self._base, frames, now_s)
        proposals = [(function.name, function.propose(view)) for function in self.functions]
        return [_plan(name, proposal, view) for name, proposal in proposals if proposal.changes]

    def learn(self, outcome: Outcome) -> None:
        """Tell the function that made a plan what became of it."""
        for function in self.functions:
            if function.name == outcome.plan.function:
                function.learn(outcome)


def _plan(name: str, proposal: Proposal, view: View) -> Plan:
    """Return a proposal as a plan, named after the function and the end of the period."""
    last = view.frames[-1]
    return Plan(
        plan_id=f"{name}-{round(view.now_s / last.period_s)}",
        function=name,
        time_s=view.now_s,
        changes=proposal.changes,
        expected=proposal.expected,
        evidence=(f"period from {last.time_s:.0f} s to {view.now_s:.0f} s",),
    )
