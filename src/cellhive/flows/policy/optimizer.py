"""A policy as an optimiser of the loop: observations, masks, choices, plans with reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import (
    Bools,
    Change,
    Floats32,
    Ints,
    KpiFrame,
    Network,
    Outcome,
    Parameters,
    Plan,
)
from cellhive.flows.policy.plans import Grouping, Wanted, function_of, plans_of
from cellhive.flows.policy.reasons import Logits, Wording, influence, odds
from cellhive.flows.policy.track import Track
from cellhive.ran.guard.state import Limits
from cellhive.rl.act import Acting
from cellhive.rl.actions import (
    DOWN,
    HEADS,
    KEEP,
    UP,
    Actions,
    ActionSettings,
    Column,
    columns_of,
)
from cellhive.rl.admission import NOTHING, admit, fill_masks
from cellhive.rl.env import GOLDEN, Masks
from cellhive.rl.observations import KPI_FEATURES, RATE_FEATURES, Observations
from cellhive.rl.policy import NETWORK, PolicyShape, check_tensors, next_cells

Tensors = dict[str, Floats32]


class PolicyRole(NamedTuple):
    """One role of a model: its name, its shape, and the tensors of its actor."""

    name: str
    shape: PolicyShape
    tensors: Tensors
    beside_rules: bool = False
    """See ``core.models.ModelRole``."""


@dataclass(frozen=True)
class Model:
    """A policy as it was trained."""

    name: str
    """What plans name as their evidence, for example "champion@3"."""
    roles: tuple[PolicyRole, ...]
    """In order of precedence: where two turn the same knob, the first prevails."""

    def __post_init__(self) -> None:
        """Refuse what cannot decide.

        Raises:
            BadInput: There is no role, roles see other neighbours, or tensors do not fit.
        """
        if not self.roles:
            raise BadInput(place=self.name, expected="at least one role", found="none")
        seen = {role.shape.neighbours for role in self.roles}
        if len(seen) > 1:
            raise BadInput(
                place=self.name, expected="roles that see as many neighbours",
                found=", ".join(str(count) for count in sorted(seen)),
            )  # fmt: skip
        for role in self.roles:
            check_tensors(role.shape, role.tensors)

    def without_rules(self) -> Model:
        """Return what of a model decides where no rules are at work.

        Raises:
            BadInput: All of it learned beside rules.
        """
        alone = tuple(role for role in self.roles if not role.beside_rules)
        if not alone:
            raise BadInput(
                place=f"policy {self.name}", expected="a policy that learned to decide alone",
                found="one that learned beside the rules",
                remedy=f"let both decide: rl:{self.name}+rules",
            )  # fmt: skip
        return self if len(alone) == len(self.roles) else Model(self.name, alone)

    def decides_as(self, other: Model) -> bool:
        """Return whether another policy has the same roles with the same weights."""
        mine, its = (
            [(r.name, r.shape, r.beside_rules) for r in one.roles] for one in (self, other)
        )
        if mine != its:
            return False
        pairs = zip(self.roles, other.roles, strict=True)
        return all(
            own.tensors.keys() == that.tensors.keys()
            and all(np.array_equal(own.tensors[key], that.tensors[key]) for key in that.tensors)
            for own, that in pairs
        )

    @property
    def actions(self) -> ActionSettings:
        """The knobs of all roles together."""
        heads = {head for role in self.roles for head in role.shape.heads}
        ordered = tuple(head for head in HEADS if head in heads)
        return ActionSettings(heads=ordered, neighbours=self.roles[0].shape.neighbours)


def layered(network: Network) -> Bools:
    """Return whether the site of a cell has several carriers, for each cell, (C,)."""
    carriers: dict[str, set[float]] = {}
    for site, carrier_hz in zip(network.site_ids, network.carrier_hz.tolist(), strict=True):
        carriers.setdefault(site, set()).add(carrier_hz)
    return np.array([len(carriers[site]) > 1 for site in network.site_ids])


Forward = Callable[[PolicyRole, Network], Logits]
"""Makes what computes the logits of a role in a network, (C, F) to (A, D, 3)."""


def acting(role: PolicyRole, network: Network) -> Logits:
    """Return the compiled forward pass of a role in a network."""
    near = next_cells(network, role.shape.neighbours)
    made = Acting(role.shape, near, role.tensors)
    return lambda seen: made.logits(seen[None])[0].copy()


@dataclass(frozen=True)
class PolicySettings:
    """How a policy proposes."""

    limits: Limits = field(default_factory=Limits)
    """Those of the guard that will look at the plans."""
    grouping: Grouping = field(default_factory=Grouping)
    drivers: int = 3
    """Features that a reason names at most."""
    margin: float = 0.0
    """Log-odds by which a step must be preferred to keeping: 0 takes every preferred step, more
    makes a policy that settles and leaves room for others. Roles that learned beside the rules
    have learned what room to leave: theirs is 0."""
    beside_rules: bool = False
    """Whether rules are at work too; without them, roles that learned beside rules do nothing."""


class _Seat(NamedTuple):
    """A policy in one network."""

    network: Network
    track: Track
    actions: Actions
    observations: Observations
    logits: tuple[Logits, ...]
    places: tuple[Ints, ...]
    """Where the columns of each role stand among those of all."""
    layered: Bools
    """Cells of sites with several carriers, (C,): where roles that learned beside rules act."""
    words: Wording


class _Choice(NamedTuple):
    """What a period led to."""

    seen: Floats32
    """(C, F)"""
    mask: Masks
    """(C, D, 3)"""
    answers: list[Floats32]
    """Logits of each role, (A, D of the role, 3): of every cell, or one for all."""
    option: Ints
    """(C, D)"""
    role: Ints
    """Which role chose it, (C, D)."""


class PolicyOptimizer:
    """Proposes what a policy prefers, as far as the guard would let it through."""

    def __init__(
        self, model: Model, settings: PolicySettings | None = None, forward: Forward = acting
    ) -> None:
        """Take the model; it meets its network with the first period.

        Args:
            model: The policy.
            settings: How it proposes.
            forward: Makes what computes the logits of a role.

        Raises:
            BadInput: All of it learned beside rules, and none are at work.
        """
        self.settings = PolicySettings() if settings is None else settings
        self.model, self._forward = self._deciding(model), forward
        self._seat: _Seat | None = None
        self._periods = 0

    @property
    def deciding(self) -> Model:
        """The policy that decides."""
        return self.model

    def take(self, model: Model) -> None:
        """Decide with another policy; what was changed and undone in the network stays known."""
        self.model = self._deciding(model)
        if self._seat is not None:
            self._seat = self._laid_out(self._seat.network, self._seat.track)

    def _deciding(self, model: Model) -> Model:
        return model if self.settings.beside_rules else model.without_rules()

    def learn(self, outcome: Outcome) -> None:
        """Leave alone for a while what was rolled back."""
        if self._seat is not None:
            self._seat.track.undone(outcome)

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return plans, those that the policy wants most first.

        Raises:
            BadInput: The frames lack columns that the policy was trained with.
        """
        if not frames:
            return []
        seat = self._seated(network)
        course = seat.track.take(parameters, now_s)
        choice = self._choose(seat, frames[-1], now_s)
        after, made = self._admitted(seat, choice.option, now_s)
        self._periods += 1
        cells, columns = np.nonzero(made)
        values = course.values[0]
        chosen = [
            (int(c), int(d), int(choice.option[c, d]), float(after[c, d]))
            for c, d in zip(cells, columns, strict=True)
        ]
        wanted = [
            wish
            for which in range(len(self.model.roles))
            for wish in self._wishes(
                seat,
                choice,
                which,
                [one for one in chosen if choice.role[one[:2]] == which],
                values,
            )
        ]
        last = frames[-1]
        stamp = (str(round(now_s / last.period_s)), now_s)
        period = f"period from {last.time_s:.0f} s to {now_s:.0f} s"
        evidence = (f"policy {self.model.name}", period)
        return plans_of(wanted, network, self.settings.grouping, stamp, evidence)

    def _seated(self, network: Network) -> _Seat:
        """Return what belongs to a network; relations may be new after a change of it."""
        if self._seat is None or self._seat.network is not network:
            self._seat = self._laid_out(network, Track(network, self.settings.limits))
        return self._seat

    def _laid_out(self, network: Network, track: Track) -> _Seat:
        settings = self.model.actions
        actions = Actions(settings, network)
        observations = Observations(network, actions.slots)
        place = {column.name: index for index, column in enumerate(columns_of(settings))}
        return _Seat(
            network, track, actions, observations,
            tuple(self._forward(role, network) for role in self.model.roles),
            tuple(
                np.array([place[column.name] for column in _columns(role.shape)], np.int32)
                for role in self.model.roles
            ),
            layered(network),
            Wording(network, observations.features, next_cells(network, settings.neighbours)),
        )  # fmt: skip

    def _choose(self, seat: _Seat, frame: KpiFrame, now_s: float) -> _Choice:
        """Return what the roles prefer together, among what the guard would let through."""
        check_columns(frame, self.model.name)
        course = seat.track.course
        seen = seat.observations.of(frame, course.values, np.array([frame.time_s]))[0]
        mask = self._mask(seat, frame, now_s)
        option = np.full(mask.shape[:2], KEEP, np.int32)
        by = np.zeros(mask.shape[:2], np.int32)
        answers = [logits(seen) for logits in seat.logits]
        for which in reversed(range(len(answers))):
            place, answer, role = seat.places[which], answers[which], self.model.roles[which]
            may = role.shape.joined(mask[:, place])
            sure = answer.copy()
            sure[..., KEEP] += 0.0 if role.beside_rules else self.settings.margin
            best = np.where(may > 0, sure, -np.inf).argmax(axis=-1)
            if role.beside_rules:
                best = np.where(seat.layered[:, None], best, KEEP)
            prevails = best != KEEP
            option[:, place] = np.where(prevails, best, option[:, place])
            by[:, place] = np.where(prevails, which, by[:, place])
        # one decision for all cells asks for steps that some of them may not take
        option[np.take_along_axis(mask, option[..., None], axis=-1)[..., 0] == 0] = KEEP
        return _Choice(seen, mask, answers, option, by)

    def _mask(self, seat: _Seat, frame: KpiFrame, now_s: float) -> Masks:
        """Return which options the guard would let through, each on its own, (C, D, 3)."""
        track, place = seat.track, seat.actions.place
        options = seat.actions.options(track.course.values)
        allowed = np.empty(options.shape, np.bool_)
        fill_masks(track.course, track.rules, place, options, (now_s, True), allowed)
        allowed[0] &= ~track.blocked(place)
        cells: Bools = np.asarray(frame.valid.any(axis=1))
        known = np.repeat(cells, len(seat.actions.columns))
        towards = track.rules.target[np.maximum(place, 0)]
        known &= (place >= 0) & ((towards < 0) | cells[np.maximum(towards, 0)])
        mask = np.ones((place.size, 3), np.int8)
        mask[:, [DOWN, UP]] = allowed[0] & known[:, None]
        return mask.reshape(seat.network.cells, -1, 3)

    def _admitted(self, seat: _Seat, option: Ints, now_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Return what choices set each knob to, and which pass the guard together, (C, D)."""
        track, actions = seat.track, seat.actions
        cells = seat.network.cells
        turn = round(self._periods * GOLDEN * cells) % cells
        proposals = actions.proposals(
            option[None].astype(np.int64), track.course, track.rules, turn
        )
        reason = np.full(proposals.after.shape, -1, np.int32)
        trial = track.course.copied()
        admit(trial, track.rules, actions.place, *proposals, (now_s, True), reason)
        return proposals.after.reshape(option.shape), (reason == NOTHING).reshape(option.shape)

    def _wishes(
        self, seat: _Seat, choice: _Choice, which: int,
        chosen: Sequence[tuple[int, int, int, float]], values: np.ndarray,
    ) -> list[Wanted]:  # fmt: skip
        """Return the changes that a role wants, with reasons."""
        if not chosen:
            return []
        role, place = self.model.roles[which], seat.places[which]
        alike = role.shape.encoder == NETWORK
        own = {int(column): index for index, column in enumerate(place)}
        mine = np.array(
            [(0 if alike else c, own[d], option) for c, d, option, _ in chosen], np.int32
        )
        answer, mask = choice.answers[which], role.shape.joined(choice.mask[:, place])
        gave = None if alike else influence(seat.logits[which], choice.seen, mine)
        margins = answer[mine[:, 0], mine[:, 1], mine[:, 2]] - answer[mine[:, 0], mine[:, 1], KEEP]
        wanted = []
        for index, (cell, column, _, after) in enumerate(chosen):
            knob = seat.actions.columns[column]
            before = float(values[seat.actions.place[cell * len(seat.actions.columns) + column]])
            share, kept = odds(answer, mask, mine[index].tolist())
            reason = f"The policy gives this step {100 * share:.0f} %, keeping {100 * kept:.0f} %"
            if gave is None:
                reason += ", for all cells alike."
            else:
                most = self.settings.drivers
                drivers = seat.words.drivers(choice.seen, cell, gave[index], most)
                reason += f"; for it speak {drivers}." if drivers else "."
            change = self._change(seat, cell, knob, (before, after), reason)
            function = function_of(role.name, knob.parameter, beside_rules=role.beside_rules)
            wanted.append(Wanted(function, float(margins[index]), change))
        return wanted

    def _change(
        self, seat: _Seat, cell: int, knob: Column, step: tuple[float, float], reason: str
    ) -> Change:
        names, target = seat.network.cell_ids, None
        if knob.slot >= 0:
            relation = int(seat.actions.slots[cell, knob.slot])
            target = names[int(seat.network.relation_target[relation])]
        return Change(names[cell], knob.parameter, step[0], step[1], target, reason)


def _columns(shape: PolicyShape) -> tuple[Column, ...]:
    return columns_of(ActionSettings(heads=shape.heads, neighbours=shape.neighbours))


_RELATION_COLUMNS = (
    "MM.HoExeInterSucc.nCI", "HO.IntraSys.TooLate.nCI", "HO.IntraSys.TooEarly.nCI",
    "x.HoPingPong.nCI", "x.BorderUe.nCI",
)  # fmt: skip


def check_columns(frame: KpiFrame, model: str) -> None:
    """Refuse a frame that lacks what a policy sees.

    Raises:
        BadInput: With the columns that lack.
    """
    wanted = [f.name for f in (*KPI_FEATURES, *RATE_FEATURES) if f.name in QUANTITIES]
    lacking = [name for name in wanted if name not in frame.columns]
    lacking += [name for name in _RELATION_COLUMNS if name not in frame.relation_columns]
    if lacking:
        raise BadInput(
            place=f"policy {model}", expected="the counters that it was trained with",
            found=f"periods without {', '.join(lacking)}",
            remedy="map them, or let the rules decide: --optimizer rules",
        )  # fmt: skip
