"""The twin in the ns-3 study: trends that need no reference, and the comparison itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cellhive.ran.simulator import STEP_S
from cellhive.ran.validation.a3_study import (
    A3Setting,
    Comparison,
    Condition,
    Rates,
    StudyRow,
    mean_rates,
    rank_correlation,
    run_study,
    simulate,
    trend,
)
from cellhive.ran.validation.urban_grid import build_place

OFFSETS_DB, TIMES_S, SPEEDS_M_S = (1.0, 3.0, 6.0), (0.1, 0.5, 1.0), (8.0, 30.0)
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def measured() -> dict[tuple[float, float, float], Rates]:
    """Rates by (offset, time to trigger, speed): seven sites at 200 m, three seeds of 90 s."""
    settings = [A3Setting(offset, time_s) for offset in OFFSETS_DB for time_s in TIMES_S]
    runs: dict[tuple[float, float, float], list[Rates]] = {}
    for seed in SEEDS:
        place = build_place(200, seed)
        for speed in SPEEDS_M_S:
            condition = Condition(200, speed, warm_up_s=20.0)
            for setting, rates in zip(
                settings, simulate(place, condition, settings, seed), strict=True
            ):
                key = (setting.offset_db, setting.time_to_trigger_s, speed)
                runs.setdefault(key, []).append(rates)
    return {key: mean_rates(found) for key, found in runs.items()}


def means(measured: dict[tuple[float, float, float], Rates], name: str, axis: int) -> list[float]:
    """Return the mean of a rate for every value on one axis of the key, ascending."""
    values = sorted({key[axis] for key in measured})
    return [
        float(np.mean([getattr(r, name) for key, r in measured.items() if key[axis] == value]))
        for value in values
    ]


def test_handovers_fall_with_offset_and_time_to_trigger(
    measured: dict[tuple[float, float, float], Rates],
) -> None:
    """More offset and more patience mean fewer handovers, by a tenth per step at least."""
    for axis in (0, 1):
        found = means(measured, "handovers", axis)
        assert all(after < 0.9 * before for before, after in pairwise(found))


def test_failures_rise_with_time_to_trigger_and_speed(
    measured: dict[tuple[float, float, float], Rates],
) -> None:
    """Corners come faster than a patient handover: many times the failures."""
    by_time = means(measured, "failures", 1)
    assert by_time[0] < by_time[1] < by_time[2]
    assert by_time[2] > 2 * by_time[0]
    slow, fast = means(measured, "failures", 2)
    assert fast > 1.5 * slow
    lost = means(measured, "links_lost", 1)
    assert lost[2] > 3 * lost[0], "patience costs links, not only executions"


def test_ping_pongs_fall_with_time_to_trigger(
    measured: dict[tuple[float, float, float], Rates],
) -> None:
    """A second of patience leaves no return within a second; a tenth leaves some."""
    found = means(measured, "ping_pongs", 1)
    assert found[0] > found[1] >= found[2]
    assert found[0] > 0.2
    assert found[2] == 0.0


def test_faster_vehicles_hand_over_more_often(
    measured: dict[tuple[float, float, float], Rates],
) -> None:
    """Cells are crossed faster, though not in proportion: vehicles lose some by failing."""
    slow, fast = means(measured, "handovers", 2)
    assert 1.1 * slow < fast < 30 / 8 * slow


def test_runs_repeat_and_settings_do_not_disturb_one_another() -> None:
    """A setting has the same rates alone and beside others, and again."""
    place, condition = build_place(400, 5), Condition(400, 16.0, warm_up_s=4.0, measured_s=8.0)
    settings = [A3Setting(1.0, 0.1), A3Setting(6.0, 1.0)]
    both = simulate(place, condition, settings, 5)
    assert simulate(place, condition, settings[1:], 5) == both[1:]
    assert both[0] != both[1]


@pytest.mark.parametrize(
    ("asked_s", "applied_s"), [(0.1, 0.12), (0.3, 0.32), (0.5, 0.52), (1.0, 1.0), (0.04, 0.04)]
)
def test_times_to_trigger_are_rounded_up_to_steps(asked_s: float, applied_s: float) -> None:
    """Steps are 40 ms: 100 ms is 120 ms, and a whole second stays one."""
    assert A3Setting(1.0, asked_s).quantised_s == pytest.approx(applied_s)
    assert STEP_S == 0.04


def test_every_failure_is_counted_once() -> None:
    """Links lost and executions failed are disjoint, and failures are their sum."""
    rates = Rates(10.0, 0.5, 0.25, 1.0, 12.0)
    assert rates.failures == 0.75
    assert mean_rates([rates, Rates(20.0, 1.5, 0.75, 3.0, 14.0)]) == Rates(
        15.0, 1.0, 0.5, 2.0, 13.0
    )


# ------------------------------------------------------------------ comparison


def row(
    handovers: float, failures: float = 0.0, *, part: str = "A", ttt_s: float = 0.1
) -> StudyRow:
    """Return a row of which only some numbers matter."""
    return StudyRow(
        part, Condition(200, 16.0), A3Setting(1.0, ttt_s), handovers, 0.0, failures, 9.0
    )


def rates(handovers: float, links_lost: float = 0.0, executions_failed: float = 0.0) -> Rates:
    """Return rates of which only some matter."""
    return Rates(handovers, links_lost, executions_failed, 0.0, 9.0)


def test_rank_correlation_by_hand() -> None:
    """Ranks 1 2 3 4 against 1 2 4 3: 1 - 6 x 2 / (4 x 15) = 0.8; ties share a mean rank."""
    assert rank_correlation(
        np.array([1, 2, 3, 4.0]), np.array([10, 20, 40, 30.0])
    ) == pytest.approx(0.8)
    # Ranks 1.5 1.5 3 against 1 2 3: 1.5 / sqrt(1.5 x 2).
    assert rank_correlation(np.array([1, 1, 2.0]), np.array([1, 2, 3.0])) == pytest.approx(
        1.5 / 3**0.5
    )
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))


def test_comparison_by_hand() -> None:
    """Ratios 0.5, 1 and 2 have the median 1; failures 3 against 4 are 0.75, links alone 0.5."""
    both = Comparison(
        (row(2.0, 1.0), row(4.0, 1.0), row(6.0, 2.0, part="B")),
        (rates(1.0, 0.5, 0.0), rates(4.0, 0.5, 0.5), rates(12.0, 1.0, 0.5)),
    )
    assert both.median_ratio == 1.0
    assert both.handover_rank == pytest.approx(1.0)
    assert both.failure_ratio() == pytest.approx(0.75)
    assert both.failure_ratio("links_lost") == pytest.approx(0.5)
    assert both.agrees
    part = both.of_part("A")
    assert len(part.rows) == len(part.twin) == 2
    assert part.median_ratio == 0.75
    assert not part.agrees, "0.75 is outside 0.8 to 1.25"


def test_trend_is_the_mean_over_equal_values() -> None:
    """Rows at 100 ms and at 1 s, two of the first."""
    both = Comparison(
        (row(2.0), row(4.0, 1.0), row(6.0, ttt_s=1.0)), (rates(1.0), rates(3.0), rates(5.0, 2.0))
    )
    points = trend(both, lambda each: each.setting.time_to_trigger_s)
    assert [(p.value, p.rows, p.twin.handovers, p.handovers, p.failures) for p in points] == [
        (0.1, 2, 2.0, 3.0, 0.5), (1.0, 1, 5.0, 6.0, 0.0),
    ]  # fmt: skip


def test_rows_keep_their_order_whatever_shares_a_run() -> None:
    """Rows of one condition are run together, and each gets its own rates back."""
    condition = Condition(400, 16.0, warm_up_s=4.0, measured_s=40.0)
    mixed = [
        StudyRow("A", condition, A3Setting(6.0, 1.0), 1.0, 0.0, 0.0, 9.0),
        StudyRow("C", Condition(400, 8.0, users=3, warm_up_s=1.0, measured_s=4.0),
                 A3Setting(6.0, 0.1), 1.0, 0.0, 0.0, 9.0),
        StudyRow("A", condition, A3Setting(1.0, 0.1), 1.0, 0.0, 0.0, 9.0),
    ]  # fmt: skip
    told: list[tuple[int, int]] = []
    found = run_study(mixed, [1], told=lambda done, total: told.append((done, total)))
    assert found.rows == tuple(mixed)
    assert found.twin[2].handovers > found.twin[0].handovers
    alone = simulate(build_place(400, 1), condition, [mixed[2].setting], 1)
    assert found.twin[2] == alone[0]
    assert told[-1] == (3, 3)
