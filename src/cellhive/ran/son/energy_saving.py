"""Energy saving: capacity cells sleep while their neighbours can do their work."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cellhive.core.types import Change, Effect, Floats, Network, Outcome
from cellhive.ran.energy import power_coefficients
from cellhive.ran.guard.rules import stand_ins
from cellhive.ran.son.view import Lessons, Proposal, View


@dataclass(frozen=True)
class EnergySavingSettings:
    """Thresholds of cell sleep: choices within the range that public rApps use."""

    sleep_below: float = 0.20
    """PRB utilisation below which a capacity cell is not needed."""
    hold_periods: int = 2
    """Consecutive periods for which that must hold."""
    absorb_below: float = 0.60
    """Highest PRB utilisation that may be expected of a cell that takes over."""
    wake_above: float = 0.70
    """PRB utilisation of a cell that took over, above which the sleeper is woken."""
    wake_satisfied: float = 0.95
    """Share of the demand served in a cell that took over, below which the sleeper is woken."""
    wake_busy: float = 0.40
    """PRB utilisation below which unserved demand is not for want of capacity."""
    prb_factor: float = 1.5
    """PRBs a moved user needs in the other cell, relative to its own (lower SINR)."""
    co_sector_deg: float = 30.0
    """Largest difference in azimuth of cells at one site that cover the same ground [deg]."""
    share: float = 0.15
    """Largest share of all cells that is put to sleep in one period."""
    rest_s: float = 7200.0
    """How long a cell that had to be woken stays awake [s]."""
    lesson_s: float = 14400.0
    """How long a cell whose sleep was rolled back stays awake [s]."""


@dataclass
class EnergySaving:
    """Cell sleep, TS 28.541 ``CESManagementFunction``; coverage cells never sleep.

    A cell is put to sleep when it has been nearly idle and its load fits into the cells
    that take over: the cell that covers the same sector on another carrier, else its awake
    neighbours by the handovers they took. It wakes when one of them gets busy.
    """

    settings: EnergySavingSettings = field(default_factory=EnergySavingSettings)
    name: str = "ES"
    _heirs: dict[int, tuple[int, ...]] = field(default_factory=dict, repr=False)
    """Who took over from each cell that was put to sleep."""

    def __post_init__(self) -> None:
        """Start without lessons."""
        self._lessons = Lessons(self.settings.lesson_s, {})
        self._woken = Lessons(self.settings.rest_s, {})

    def learn(self, outcome: Outcome) -> None:
        """Keep a cell awake for a while whose sleep was rolled back."""
        self._lessons.learn(outcome)

    def propose(self, view: View) -> Proposal:
        """Take in the last period and return which cells to wake and to put to sleep."""
        awake = [cell for cell in self._heirs if not view.parameters.asleep[cell]]
        for cell in awake:
            del self._heirs[cell]
        wakes = self._wake(view)
        if wakes:
            return Proposal(tuple(wakes))
        return self._sleep(view)

    def _wake(self, view: View) -> list[Change]:
        """Return the sleeping cells whose stand-ins are busy or leave demand unserved."""
        s, names, changes = self.settings, view.network.cell_ids, []
        load = view.latest("prb_utilisation_ratio")
        satisfied = view.latest("demand_satisfied_ratio")
        for cell in np.flatnonzero(view.parameters.asleep).tolist():
            heirs = self._heirs.get(cell) or tuple(self.takers(view, cell))
            for heir in heirs:
                short = satisfied[heir] < s.wake_satisfied and load[heir] > s.wake_busy
                if load[heir] > s.wake_above or short:
                    reason = (
                        f"{names[heir]} took over from {names[cell]} and now is "
                        f"{load[heir]:.0%} full, with {satisfied[heir]:.1%} of demand served."
                    )
                    change = view.change((names[cell], "asleep", None), 0.0, reason)
                    self._woken.note(change.reverted(""), view.now_s)
                    changes.append(change)
                    break
        return changes

    def _sleep(self, view: View) -> Proposal:
        """Return the cells to put to sleep, those that save most for the least load first."""
        s, network = self.settings, view.network
        load = view.latest("prb_utilisation_ratio")
        extra = np.zeros(network.cells)
        saving_w = _saving_w(view)
        candidates = [cell for cell in range(network.cells) if self._idle(view, cell)]
        candidates.sort(key=lambda cell: (-saving_w[cell] / (load[cell] + 0.05), cell))
        changes: list[Change] = []
        saved_w, busy = 0.0, set[int]()
        for cell in candidates:
            if len(changes) >= max(1, int(s.share * network.cells)):
                break
            shares = self.takers(view, cell)
            if cell in busy or not shares:
                continue
            after = self._load_after(view, cell, shares, extra)
            if not all(after[heir] < s.absorb_below for heir in shares):
                continue
            change = view.change((network.cell_ids[cell], "asleep", None), 1.0, "")
            if any(past.forbid(change, view.now_s) for past in (self._lessons, self._woken)):
                continue
            changes.append(_with_reason(change, view, s, load[cell], after))
            for heir in shares:
                extra[heir] = after[heir] - load[heir]
            busy.update(shares)
            self._heirs[cell] = tuple(shares)
            saved_w += float(saving_w[cell])
        expected = (Effect("power_w", -saved_w, -saved_w, -0.5 * saved_w),) if changes else ()
        return Proposal(tuple(changes), expected)

    def _idle(self, view: View, cell: int) -> bool:
        """Return whether a cell may sleep and has been nearly idle for long enough."""
        network = view.network
        if network.coverage_cell[cell] or network.protected[cell] or view.parameters.asleep[cell]:
            return False
        if any(cell in heirs for heirs in self._heirs.values()):
            return False
        return all(
            view.column("prb_utilisation_ratio", -back)[cell] < self.settings.sleep_below
            for back in range(1, self.settings.hold_periods + 1)
        )

    def takers(self, view: View, cell: int) -> dict[int, float]:
        """Return the cells that take over from a cell, and the share of its load each gets."""
        network, s = view.network, self.settings
        near = stand_ins(network, view.parameters, cell)
        same = [other for other in near if _co_sector(network, cell, other, s.co_sector_deg)]
        if same:
            return {other: 1.0 / len(same) for other in same}
        moved = view.relation("MM.HoExeInterSucc.nCI") + 1.0
        weights = {other: moved[network.relation_index[cell, other]] for other in near}
        total = sum(weights.values())
        return {other: float(weight / total) for other, weight in weights.items()}

    def _load_after(
        self, view: View, cell: int, shares: dict[int, float], extra: Floats
    ) -> dict[int, float]:
        """Return the PRB utilisation to expect of each cell that takes over."""
        load = view.latest("prb_utilisation_ratio")
        used, available = view.latest("RRU.PrbUsedDl"), view.latest("RRU.PrbAvailDl")
        moved = self.settings.prb_factor * used[cell]
        return {
            heir: float(load[heir] + extra[heir] + share * moved / available[heir])
            for heir, share in shares.items()
        }


def _with_reason(
    change: Change, view: View, settings: EnergySavingSettings, load: float, after: dict[int, float]
) -> Change:
    heirs = ", ".join(f"{view.network.cell_ids[heir]} {after[heir]:.0%}" for heir in after)
    reason = (
        f"{change.cell} was {load:.0%} full, below {settings.sleep_below:.0%} for "
        f"{settings.hold_periods} periods; expected where its users go: {heirs}."
    )
    return view.change((change.cell, change.parameter, None), change.after, reason)


def _co_sector(network: Network, cell: int, other: int, within_deg: float) -> bool:
    """Return whether two cells cover the same sector of a site."""
    turn = abs(network.azimuth_deg[cell] - network.azimuth_deg[other]) % 360
    apart = min(turn, 360 - turn)
    return network.site_ids[cell] == network.site_ids[other] and bool(apart <= within_deg)


def _saving_w(view: View) -> Floats:
    """Return what each cell would save asleep [W], (C,), from what it draws now."""
    idle_w, _, asleep_w = power_coefficients(view.network)
    drawn_w = view.latest("PEE.AvgPower")
    saving: Floats = np.where(np.isfinite(drawn_w), drawn_w, idle_w) - asleep_w
    return saving
