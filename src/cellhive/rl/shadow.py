"""A candidate decides beside the champion, on the same input; it is compared, never applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import compiled
from cellhive.core.errors import BadInput, CellHiveError
from cellhive.core.ports import Observer
from cellhive.core.types import Floats32
from cellhive.rl.act import Acting, Chosen, Masks
from cellhive.rl.actions import DOWN, KEEP, OPTIONS, UP, ActionSettings, columns_of

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Compared:
    """What both would do; arrays of their own, (E, C, D)."""

    now_s: float
    champion: str
    """Label of the weights."""
    candidate: str
    chosen: Chosen
    """By the champion: this is what is applied."""
    instead: Chosen
    """By the candidate."""


@dataclass(frozen=True)
class Agreement:
    """How two policies compare in one column, where there was a choice."""

    column: str
    decisions: int
    agreed_ratio: float
    """Share in which both chose the same; NaN without decisions."""
    champion_turns_ratio: float
    """Share in which the champion turned the knob."""
    candidate_turns_ratio: float
    opposite_ratio: float
    """Share in which one turned it up and the other down."""


class Shadow:
    """Decides as the champion does, and keeps count of what the candidate would have done."""

    def __init__(
        self, champion: Acting, candidate: Acting, observer: Observer | None = None
    ) -> None:
        """Put a candidate beside a champion.

        Args:
            champion: Decides.
            candidate: For the same cells, neighbours and heads; its network may be another.
            observer: Is told of every decision, as ``Compared``.

        Raises:
            BadInput: The two do not see or turn the same.
        """
        sides = (champion, candidate)
        one, other = (
            (s.networks, s.cells, s.shape.deciding(s.cells), s.shape.neighbours, s.shape.heads)
            for s in sides
        )  # fmt: skip
        if one != other:
            raise BadInput(
                place="candidate",
                expected=f"networks, cells, deciding ones, neighbours and heads {one}",
                found=str(other), remedy="train it for the same, or judge it in a trial",
            )  # fmt: skip
        self._champion, self._candidate, self._observer = champion, candidate, observer
        heads = ActionSettings(heads=champion.shape.heads, neighbours=champion.shape.neighbours)
        self.columns = tuple(column.name for column in columns_of(heads))
        self.counts: Counts = np.zeros((len(self.columns), OPTIONS, OPTIONS), np.int64)
        """Decisions by column, choice of the champion and choice of the candidate."""
        self.compared = ("", "")
        """Labels of the weights that are counted."""
        self.failed = 0
        """Decisions in which the candidate gave no answer."""
        self._serials = (0, 0)
        rows = (champion.networks, champion.shape.deciding(champion.cells), len(self.columns))
        self._options = np.ones((*rows, OPTIONS), np.int8)
        nothing = np.ones(rows, np.int64)
        _count(nothing, nothing, self._options, self.counts)  # compiled before anybody waits
        self.counts[:] = 0

    def choose(self, seen: Floats32, mask: Masks | None = None, *, now_s: float = 0.0) -> Chosen:
        """Return what the champion chooses; see ``Acting.choose``.

        The count begins anew where either of them got other weights.
        """
        theirs, others = self._champion.published.current, self._candidate.published.current
        if (theirs.serial, others.serial) != self._serials:
            self._serials = (theirs.serial, others.serial)
            self.compared = (theirs.label, others.label)
            self.counts[:] = 0
            self.failed = 0
        chosen = self._champion.choose(seen, mask, weights=theirs)
        try:
            instead = self._candidate.choose(seen, mask, weights=others)
        except CellHiveError:  # no failure of a candidate may reach the network
            self.failed += 1
            return chosen
        if mask is None:
            self._options[:] = 1
        else:
            np.not_equal(mask, 0, out=self._options.view(np.bool_))
        _count(chosen, instead, self._options, self.counts)
        if self._observer is not None:
            self._observer(Compared(now_s, *self.compared, chosen.copy(), instead.copy()))
        return chosen

    def agreement(self) -> tuple[Agreement, ...]:
        """Return how the two compare in every column, since either got other weights."""
        return tuple(
            Agreement(
                column, int(counts.sum()), _share(np.trace(counts), counts),
                _share(counts.sum() - counts[KEEP].sum(), counts),
                _share(counts.sum() - counts[:, KEEP].sum(), counts),
                _share(counts[DOWN, UP] + counts[UP, DOWN], counts),
            )
            for column, counts in zip(self.columns, self.counts, strict=True)
        )  # fmt: skip


def _share(part: int, counts: Counts) -> float:
    total = int(counts.sum())
    return int(part) / total if total else float("nan")


@compiled
def _count(chosen: Chosen, instead: Chosen, mask: npt.NDArray[np.int8], counts: Counts) -> None:
    """Count pairs of choices wherever more than one option may be chosen."""
    for e in range(chosen.shape[0]):
        for c in range(chosen.shape[1]):
            for d in range(chosen.shape[2]):
                free = 0
                for option in range(mask.shape[3]):
                    if mask[e, c, d, option] != 0:
                        free += 1
                if free > 1:
                    counts[d, chosen[e, c, d], instead[e, c, d]] += 1
