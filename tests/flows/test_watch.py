"""What counts as harm: figures worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cellhive.core.types import Change, Plan
from cellhive.flows.watch import (
    OBJECTIVE,
    Area,
    Comparison,
    Kpis,
    WatchRules,
    area_of,
    control_cells,
    judge,
    mean_kpis,
    placebo_groups,
)


def rows(*values: float, name: str = OBJECTIVE) -> list[Kpis]:
    """Return one row per period, always with an objective."""
    return [{OBJECTIVE: 0.0} | {name: value} for value in values]


def area(*changed: int) -> Area:
    """Return an area of changed cells on a line, with one neighbour on each side."""
    near = {cell + step for cell in changed for step in (-1, 0, 1)}
    return Area(frozenset(changed), frozenset(near))


def test_change_is_that_of_the_cells_less_that_of_the_control() -> None:
    """Watched 10 -> 16, control 4 -> 7: 3 remain."""
    comparison = Comparison(rows(9, 11), rows(16), rows(4, 4), rows(7))
    assert comparison.change(OBJECTIVE) == 3.0
    alone = Comparison(rows(9, 11), rows(16))
    assert alone.change(OBJECTIVE) == 6.0


def test_chance_from_steps_between_periods() -> None:
    """Steps of 1, -1, 1: variance 1/2; error sqrt(1/2 (1/4 + 1/2)); t(3) at 95 % is 2.353."""
    comparison = Comparison(rows(0, 1, 0, 1), rows(0, 0))
    assert comparison.chance(OBJECTIVE, 0.95) == pytest.approx(2.353 * np.sqrt(0.375), abs=1e-3)
    short = Comparison(rows(0, 1), rows(0, 0))
    assert np.isnan(short.chance(OBJECTIVE, 0.95))


def test_chance_from_cells_left_alone() -> None:
    """Groups changed by 2, -2 and 2, a quarter of the size: root mean square 2, halved; t(3)."""
    placebos = [(rows(0.0), rows(change)) for change in (2.0, -2.0, 2.0)]
    comparison = Comparison(rows(0.0), rows(0.0), rows(0.0), rows(0.0), placebos, 0.25)
    assert comparison.chance(OBJECTIVE, 0.95) == pytest.approx(2.353 * 1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("after", "harmful"), [((5.0, 5.0), False), ((-0.4, -0.4), False), ((-2.0, -2.0), True)]
)
def test_loss_beyond_margin_and_chance_is_harm(after: tuple[float, float], harmful: bool) -> None:
    """Without scatter the margin alone decides: -0.4 is within 0.5, -2 is not."""
    comparison = Comparison(rows(0, 0, 0), rows(*after), rows(1, 1, 1), rows(1, 1))
    finding = judge(comparison, WatchRules(margin=0.5))
    assert finding.harmful is harmful
    assert finding.reason.startswith("harm: " if harmful else "no harm: ")


def test_without_an_idea_of_the_scatter_only_a_large_loss_is_harm() -> None:
    """One period before and no control: -4 is kept, -6 is beyond the blind margin of 5."""
    small, large = (Comparison(rows(0.0), rows(loss)) for loss in (-4.0, -6.0))
    assert not judge(small, WatchRules()).harmful
    assert judge(large, WatchRules()).harmful
    assert "no cells to compare with" in judge(large, WatchRules()).reason


def test_red_line_is_harm_though_the_objective_holds() -> None:
    """Radio link failures up by 0.2 per UE-minute against a line of 0.05."""
    name = "rlf_per_ue_min"
    comparison = Comparison(rows(0.1, 0.1, 0.1, name=name), rows(0.3, name=name))
    finding = judge(comparison, WatchRules())
    assert finding.harmful
    assert finding.reason.startswith("harm: RLF per UE-minute +0.2")
    better = Comparison(rows(0.3, 0.3, 0.3, name=name), rows(0.1, name=name))
    assert not judge(better, WatchRules()).harmful


def test_no_data_is_not_a_verdict() -> None:
    """Where the objective is not known, nothing is decided."""
    finding = judge(Comparison(rows(0.0), rows(float("nan"))), WatchRules())
    assert (finding.decidable, finding.harmful) == (False, False)


def test_control_cells_are_the_farthest_left_alone() -> None:
    """Cells outside every area; where too few, those nobody changes; else none."""
    everything = range(12)
    assert control_cells(area(1), [area(5)], everything) == frozenset({3, *range(7, 12)})
    crowded = [area(4), area(7), area(10)]
    assert control_cells(area(1), crowded, everything) == frozenset({0, 2, 3, 5, 6, 8, 9, 11})
    full = Area(frozenset(range(10)), frozenset(range(12)))
    assert control_cells(full, [], everything) == frozenset()


def test_placebo_groups_share_out_the_control_cells() -> None:
    """Fourteen cells make six groups of two or three; five make none."""
    groups = placebo_groups(range(14))
    assert sorted(len(group) for group in groups) == [2, 2, 2, 2, 3, 3]
    assert frozenset().union(*groups) == frozenset(range(14))
    assert placebo_groups(range(5)) == []


def test_area_holds_changed_cells_targets_and_their_first_neighbours(toy: Any) -> None:
    """On the ring c0 has c1 first and c11 second; a relation's target counts as changed."""
    network = toy.Network().network
    tilt = Plan("p", "CCO", 0.0, (Change("c0", "electrical_tilt_deg", 6.0, 7.0),))
    assert area_of(tilt, network, 1) == Area(frozenset({0}), frozenset({0, 1}))
    assert area_of(tilt, network, 6) == Area(frozenset({0}), frozenset({0, 1, 11}))
    cio = Plan("p", "MRO", 0.0, (Change("c0", "cio_db", 0.0, 1.0, target="c1"),))
    assert area_of(cio, network, 6) == Area(frozenset({0, 1}), frozenset({11, 0, 1, 2}))


def test_mean_leaves_out_what_is_not_known() -> None:
    """NaN periods do not count; a KPI that is never known stays NaN."""
    nan = float("nan")
    means = mean_kpis([{"a": 1.0, "b": nan}, {"a": nan, "b": nan}, {"a": 3.0}])
    assert means["a"] == 2.0
    assert np.isnan(means["b"])
