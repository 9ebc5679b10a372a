"""All that CellHive asks of the world outside, one Protocol each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cellhive.core.types import KpiFrame, Network, Parameters, Plan


class RadioNetwork(Protocol):
    """A network that can be observed and changed: the twin, recorded files, a live one."""

    @property
    def network(self) -> Network:
        """Sites, sectors and relations."""
        ...

    def observe(self) -> KpiFrame:
        """Return the next reporting period, waiting for it or simulating it."""
        ...

    def parameters(self) -> Parameters:
        """Read the parameters back as the network holds them now."""
        ...

    def apply(self, plan: Plan) -> None:
        """Apply every change of a plan, or raise and apply none."""
        ...


Observer = Callable[[object], None]
"""Where algorithms report frozen events; logging and views subscribe."""
