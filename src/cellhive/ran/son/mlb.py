"""Load balancing: border users of a full cell to a neighbour with room."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cellhive.core.types import Change, Floats, Outcome
from cellhive.ran.parameters import TOLERANCE, snap
from cellhive.ran.son.view import ROLLED_BACK, Proposal, View


@dataclass(frozen=True)
class MlbSettings:
    """Thresholds of mobility load balancing.

    Overload, room, antisymmetric step, feasibility, hold and block follow the public
    project cdd_oran; its cycles of 30 s become reporting periods, so a step is 2 dB, the
    largest the guard passes, instead of 1 dB.
    """

    overload: float = 0.80
    """PRB utilisation from which a cell is full."""
    room: float = 0.65
    """PRB utilisation up to which a neighbour has room."""
    calm: float = 0.60
    """PRB utilisation below which offsets are taken back."""
    step_db: float = 2.0
    """Step of the offset, up one way and down the other [dB]."""
    most_db: float = 6.0
    """Largest offset that balancing adds [dB]."""
    deviation_db: float = 6.0
    """Largest distance of an offset from its base [dB]."""
    border_users: float = 0.5
    """Fewest users, on average, within 3 dB of the neighbour."""
    gain: float = 0.20
    """Smallest gain in rate that a moved user must be able to expect."""
    rate_loss: float = 0.75
    """Rate per PRB of a user moved early, relative to that before (lower SINR)."""
    hold_periods: int = 2
    """Periods between two steps of a pair, and of calm before offsets are taken back."""
    targets: int = 2
    """Neighbours of a full cell that take users in one period."""
    lesson_periods: int = 8
    """Periods for which a pair is left alone after a roll-back."""


Pair = tuple[int, int]
"""Relation out of the full cell, and the relation back."""


@dataclass
class Mlb:
    """Mobility load balancing by antisymmetric offsets.

    ``CIO_ij`` goes up and ``CIO_ji`` down by the same step, so users that move stay, and no
    handover loop can appear. Offsets are taken back step by step when the load has fallen.
    """

    settings: MlbSettings = field(default_factory=MlbSettings)
    name: str = "MLB"
    _start_db: dict[Pair, float] = field(default_factory=dict, repr=False)
    """Offset of the way out before balancing began, for each pair it holds."""
    _stepped: dict[Pair, tuple[int, float]] = field(default_factory=dict, repr=False)
    """Period of the last step of a pair, and the offset of the way out before it."""
    _calm: dict[int, int] = field(default_factory=dict, repr=False)
    _rest_until: dict[str, int] = field(default_factory=dict, repr=False)
    _period: int = field(default=0, repr=False)

    def learn(self, outcome: Outcome) -> None:
        """Leave the pairs of a plan that was rolled back alone for a while."""
        if outcome.verdict == ROLLED_BACK:
            for change in outcome.plan.changes:
                self._rest_until[change.object_id] = self._period + self.settings.lesson_periods

    def propose(self, view: View) -> Proposal:
        """Take in the last period and return offsets to change, two for each pair."""
        self._period += 1
        load = view.latest("prb_utilisation_ratio")
        self._forget_released(view)
        changes = self._release(view, load)
        busy = np.flatnonzero(np.nan_to_num(load) > self.settings.overload)
        for cell in busy[np.argsort(-load[busy], kind="stable")].tolist():
            changes += self._relieve(view, cell, load)
        return Proposal(tuple(_once(changes)))

    def _forget_released(self, view: View) -> None:
        """Drop pairs that hold no offset, and steps that were not granted or rolled back."""
        cio_db = view.parameters.cio_db
        for pair, (_, before_db) in list(self._stepped.items()):
            if abs(cio_db[pair[0]] - before_db) <= TOLERANCE:
                del self._stepped[pair]
        for pair, start_db in list(self._start_db.items()):
            if abs(cio_db[pair[0]] - start_db) <= TOLERANCE:
                del self._start_db[pair]

    def _release(self, view: View, load: Floats) -> list[Change]:
        """Return the steps back of pairs whose full cell has been calm for long enough."""
        s, changes = self.settings, []
        held_db = {pair: float(view.parameters.cio_db[pair[0]]) - start_db
                   for pair, start_db in self._start_db.items()}  # fmt: skip
        relieved = {pair: view.ends(pair[0])[held < 0] for pair, held in held_db.items()}
        for cell in set(relieved.values()):
            calm = load[cell] < s.calm
            self._calm[cell] = self._calm.get(cell, 0) + 1 if calm else 0
        for pair, source in relieved.items():
            if self._calm[source] < s.hold_periods or not self._rested(view, pair):
                continue
            back_db = -float(np.sign(held_db[pair])) * min(s.step_db, abs(held_db[pair]))
            reason = (
                f"Load of {view.network.cell_ids[source]} is down to {load[source]:.0%} "
                f"for {self._calm[source]} periods: balancing takes its offset back."
            )
            changes += self._shift(view, pair, back_db, reason)
        return changes

    def _relieve(self, view: View, cell: int, load: Floats) -> list[Change]:
        """Return the offsets that move border users of a full cell to its neighbours."""
        s, ranked = self.settings, []
        border = view.relation("x.BorderUe.nCI")
        for relation in np.flatnonzero(view.network.relation_source == cell).tolist():
            target, back = view.ends(relation)[1], view.back(relation)
            if back is None or view.parameters.asleep[target] or not load[target] < s.room:
                continue
            gain = self._gain(view, cell, target)
            if border[relation] >= s.border_users and gain >= s.gain:
                room = border[relation] * (s.room - load[target])
                ranked.append((-room, relation, back, gain))
        changes: list[Change] = []
        for _, relation, back, gain in sorted(ranked)[: s.targets]:
            target = view.ends(relation)[1]
            reason = (
                f"{view.network.cell_ids[cell]} is {load[cell]:.0%} full and "
                f"{view.network.cell_ids[target]} {load[target]:.0%}; {border[relation]:.1f} users "
                f"are within 3 dB of both and may gain {gain:.0%} in rate."
            )
            if self._has_room(view, (relation, back)) and self._rested(view, (relation, back)):
                changes += self._shift(view, (relation, back), s.step_db, reason)
        return changes

    def _gain(self, view: View, cell: int, target: int) -> float:
        """Return the relative gain in rate of a user moved to the target.

        A user's rate is taken as its share of the PRBs: the bandwidth over the active
        users, and in a cell that is not full at least what is free.
        """
        active = view.latest("DRB.MeanActiveUeDl")
        prbs = view.latest("RRU.PrbAvailDl")
        used = view.latest("RRU.PrbUsedDl")
        here = prbs[cell] / max(active[cell], 1.0)
        there = max(prbs[target] / (active[target] + 1.0), prbs[target] - used[target])
        gain = self.settings.rate_loss * there / here - 1.0
        return float(gain) if np.isfinite(gain) else -1.0

    def _has_room(self, view: View, pair: Pair) -> bool:
        """Return whether a pair may take one more step out."""
        s, cio_db, base_db = self.settings, view.parameters.cio_db, view.base.cio_db
        start_db = self._start_db.get(pair, float(cio_db[pair[0]]))
        out_db, in_db = cio_db[pair[0]] + s.step_db, cio_db[pair[1]] - s.step_db
        return bool(
            out_db - start_db <= s.most_db + TOLERANCE
            and abs(out_db - base_db[pair[0]]) <= s.deviation_db + TOLERANCE
            and abs(in_db - base_db[pair[1]]) <= s.deviation_db + TOLERANCE
        )

    def _rested(self, view: View, pair: Pair) -> bool:
        """Return whether a pair may be changed again after its last step or roll-back."""
        last, _ = self._stepped.get(pair, (-self.settings.hold_periods, 0.0))
        source, target = view.ends(pair[0])
        name = f"{view.network.cell_ids[source]}->{view.network.cell_ids[target]}"
        due = max(last + self.settings.hold_periods, self._rest_until.get(name, 0))
        return self._period >= due

    def _shift(self, view: View, pair: Pair, step_db: float, reason: str) -> list[Change]:
        """Return the two changes of a step, and note it."""
        cio_db = view.parameters.cio_db
        if pair[::-1] not in self._start_db:  # else the step takes back what the other way holds
            self._start_db.setdefault(pair, float(cio_db[pair[0]]))
        self._stepped[pair] = self._period, float(cio_db[pair[0]])
        return [
            view.change(
                view.relation_address(relation),
                snap("cio_db", float(cio_db[relation]) + sign * step_db),
                reason,
            )
            for relation, sign in zip(pair, (1, -1), strict=True)
        ]


def _once(changes: list[Change]) -> list[Change]:
    """Return the changes without those of relations that an earlier one has changed."""
    kept: dict[frozenset[str | None], list[Change]] = {}
    for change in changes:
        pair = kept.setdefault(frozenset((change.cell, change.target)), [])
        if change.object_id not in {other.object_id for other in pair}:
            pair.append(change)
    return [change for pair in kept.values() for change in pair]
