"""Recorded periods as a network, and whether two runs are the same bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cellhive.core.errors import Conflict, NotFound
from cellhive.core.types import KpiFrame, Network, Parameters, Plan
from cellhive.flows.trial import RunRecord
from cellhive.ran.parameters import apply_changes


class RecordedNetwork:
    """Recorded periods as a network: they can be observed again, nothing can be applied."""

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        frames: Sequence[KpiFrame],
        applied: Sequence[Plan] = (),
    ) -> None:
        """Start before the first period.

        Args:
            network: The network.
            parameters: Its parameters in the first period.
            frames: The periods, oldest first.
            applied: Plans that were applied meanwhile; they show in the parameters
                once the period at whose end they were applied was observed.
        """
        self._network, self._parameters = network, parameters.copy()
        self._frames, self._next = frames, 0
        self._to_come = sorted(applied, key=lambda plan: plan.time_s)

    @property
    def network(self) -> Network:
        """Sites, sectors and relations."""
        return self._network

    @property
    def periods_left(self) -> int:
        """How many periods can still be observed."""
        return len(self._frames) - self._next

    def observe(self) -> KpiFrame:
        """Return the next recorded period."""
        if self._next >= len(self._frames):
            message = f"expected another recorded period, found the end after {self._next}"
            raise NotFound(message)
        frame = self._frames[self._next]
        # A plan that was applied at the end of a period shows from the next one on.
        while self._to_come and self._to_come[0].time_s <= frame.time_s:
            plan = self._to_come.pop(0)
            self._parameters = apply_changes(self._parameters, self._network, plan.changes)
        self._next += 1
        return frame

    def parameters(self) -> Parameters:
        """Return the parameters that the last observed period was recorded with."""
        return self._parameters.copy()

    def apply(self, plan: Plan) -> None:
        """Refuse: what is recorded cannot be changed."""
        message = (
            f"expected a network that can be changed, found recorded periods of "
            f"{self._network.name}; plan {plan.plan_id} was not applied"
        )
        raise Conflict(message)


def compare_frames(first: KpiFrame, second: KpiFrame) -> str | None:
    """Return the first difference of two frames, bit for bit, in words; None if equal."""
    for name in ("time_s", "period_s", "observed_s", "columns", "relation_columns"):
        if getattr(first, name) != getattr(second, name):
            return f"{name}: {getattr(first, name)} and {getattr(second, name)}"
    for name, columns in (
        ("values", first.columns),
        ("valid", first.columns),
        ("relation_values", first.relation_columns),
    ):
        left, right = getattr(first, name), getattr(second, name)
        if left.shape != right.shape or left.dtype != right.dtype:
            return f"{name}: {left.dtype}{left.shape} and {right.dtype}{right.shape}"
        differ = _bits(left) != _bits(right)
        if differ.any():
            row, column = (int(i) for i in np.argwhere(differ)[0])
            pair = f"{left[row, column]!r} and {right[row, column]!r}"
            return f"{name}, row {row}, {columns[column]}: {pair}"
    return None


def _bits(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return values as integers, so that NaN equals NaN and zero not minus zero."""
    same = np.ascontiguousarray(values)
    return same.view(np.uint8 if same.dtype == np.bool_ else np.uint32)


def _bare(plans: Sequence[Plan]) -> list[Plan]:
    """Return plans without what was foretold of them: older records do not hold it."""
    return [replace(plan, predicted=(), unpredicted="") for plan in plans]


def compare_runs(first: RunRecord, second: RunRecord) -> str | None:
    """Return the first difference between two runs, in words; None if they are the same.

    Compared are all frames bit for bit, the applied plans and the verdicts over them. What was
    foretold of plans is compared where the first run holds any.
    """
    for arm in ("frames", "baseline"):
        left, right = getattr(first, arm), getattr(second, arm)
        for index, (one, other) in enumerate(zip(left, right, strict=False)):
            difference = compare_frames(one, other)
            if difference is not None:
                return f"{arm}, period {index + 1}, {difference}"
        if len(left) != len(right):
            return f"{arm}: {len(left)} and {len(right)} periods"
    if _bare(first.applied) != _bare(second.applied):
        return "the applied plans differ"
    foretold = any(plan.predicted or plan.unpredicted for plan in first.applied)
    if foretold and first.applied != second.applied:
        return "what was foretold of the applied plans differs"
    verdicts = [
        [(o.plan.plan_id, o.verdict) for o in record.outcomes] for record in (first, second)
    ]
    return None if verdicts[0] == verdicts[1] else "the outcomes differ"
