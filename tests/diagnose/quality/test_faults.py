"""Faults planted in a healthy table are found, counted as pandas counts them, and located."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    TIME_TYPE,
    ColumnInfo,
    Finding,
    Measurements,
    Role,
)
from cellhive.core.types import Floats
from cellhive.diagnose.quality.changes import two_levels
from cellhive.diagnose.quality.examination import Examined, examine
from cellhive.diagnose.quality.times import between

pandas = pytest.importorskip("pandas")

CELLS, DAYS = 8, 14
HOURS = DAYS * 24
START = datetime(2024, 3, 4, tzinfo=UTC)
INFOS = {
    "volume": ColumnInfo("volume", unit="MB", role=Role.COUNTER),
    "attempts": ColumnInfo("attempts", role=Role.COUNTER),
    "successes": ColumnInfo("successes", role=Role.COUNTER),
    "handovers": ColumnInfo("handovers", role=Role.COUNTER),
    "users": ColumnInfo("users", role=Role.GAUGE),
    "rate": ColumnInfo("rate", unit="%", role=Role.RATIO, better="higher"),
}


def healthy(seed: int = 0) -> dict[str, Floats]:
    """Return counters with a daily cycle, (cells, hours)."""
    rng = np.random.default_rng(seed)
    hour = np.arange(HOURS) % 24
    load = rng.lognormal(0, 0.3, (CELLS, 1)) * (1.1 + np.sin((hour - 9) / 24 * 2 * np.pi))
    load = load * rng.lognormal(0, 0.1, (CELLS, HOURS))
    attempts = np.rint(300 * load + 20)
    return {
        "volume": np.round(900 * load * rng.lognormal(0, 0.1, load.shape) + 1, 3),
        "attempts": attempts,
        "successes": attempts - rng.binomial(attempts.astype(int), 0.02),
        "users": np.round(20 * load * rng.lognormal(0, 0.05, load.shape) + 1, 3),
        "rate": np.round(99.5 - rng.gamma(2, 0.2, load.shape), 3),
    }


def table(values: dict[str, Floats], zone: str = "UTC", start: datetime = START) -> Measurements:
    """Return hourly measurements of the cells A, B, ..."""
    frame = pl.DataFrame(
        {
            OBJECT: np.repeat([chr(65 + i) for i in range(CELLS)], HOURS),
            TIME: [start + timedelta(hours=h) for _ in range(CELLS) for h in range(HOURS)],
            PERIOD_S: [3600.0] * (CELLS * HOURS),
            SUSPECT: [False] * (CELLS * HOURS),
            **{name: array.ravel() for name, array in values.items()},
        },
        schema_overrides={TIME: TIME_TYPE},
    )
    frame = frame.with_columns(pl.col(list(values)).fill_nan(None))
    infos = {name: INFOS[name] for name in values}
    return Measurements("t", frame, infos, (), "cell", zone, ("t.csv",))


def told(examined: Examined) -> dict[str, Finding]:
    """Return the findings by code; each occurs once."""
    codes = [one.code for one in examined.findings]
    assert len(codes) == len(set(codes)), codes
    return {one.code: one for one in examined.findings}


def after(examined: Examined, column: str) -> Floats:
    """Return a column after the examination, (cells, hours)."""
    return np.asarray(
        examined.measurements.frame[column].to_numpy().reshape(CELLS, -1), dtype=np.float64
    )


def test_a_healthy_table_has_no_finding() -> None:
    """And nothing of it is touched."""
    values = healthy()
    examined = examine(table(values))
    assert examined.findings == ()
    assert all(np.array_equal(after(examined, name), values[name]) for name in values)
    assert [one.values for one in examined.counters] == [CELLS * HOURS] * 5


@pytest.mark.parametrize("hour", [120, 131])
def test_a_unit_that_changes_at_any_hour(hour: int) -> None:
    """The rarer unit is left empty from its very hour; the other stays."""
    values = healthy()
    values["volume"][:, :hour] *= 1000
    one = told(examine(table(values)))["unit-changed"]
    assert (one.column, one.count, one.objects) == ("volume", CELLS * hour, CELLS)
    assert one.start == START
    assert one.end == START + timedelta(hours=hour - 1)
    assert "1000 times larger" in one.found
    clean = after(examine(table(values)), "volume")
    assert np.isnan(clean[:, :hour]).all()
    assert np.array_equal(clean[:, hour:], values["volume"][:, hour:])


def test_an_outage_is_no_change_of_unit() -> None:
    """Everything of two cells falls to a thousandth: kept, and not called a unit."""
    values = healthy()
    for name in ("volume", "attempts", "successes", "users"):
        values[name][:2, 200:] /= 1000
    examined = examine(table(values))
    assert "unit-changed" not in {one.code for one in examined.findings}
    assert np.array_equal(after(examined, "volume"), values["volume"])


def test_two_levels_are_told_from_scatter() -> None:
    """By hand: a gap of two between levels that scatter by a tenth; none in even values."""
    rng = np.random.default_rng(1)
    step = np.concatenate([rng.normal(0, 0.1, 10), rng.normal(2, 0.1, 8)])
    two = two_levels(np.stack([step, np.linspace(0, 2, 18)]), 0.5)
    assert two.found.tolist() == [True, False]
    assert two.high[0].tolist() == [False] * 10 + [True] * 8
    assert two.ratio[0] == pytest.approx(2.0, abs=0.15)


def test_running_totals_become_what_each_period_added() -> None:
    """As pandas differences them; the first value and a reset are left empty."""
    values = healthy()
    adds = values["volume"].copy()
    total = np.cumsum(adds, axis=1)
    total[3, 150:] -= total[3, 149]
    values["volume"] = total
    examined = examine(table(values))
    one = told(examined)["running-total"]
    assert one.count == CELLS * HOURS
    assert "1 resets and 0 wraps" in one.found
    assert f"{CELLS + 1} after a gap, a reset or at the start" in one.action
    frame = pandas.DataFrame(total.T)
    expected = np.array(frame.diff().T)
    expected[3, 150] = np.nan
    np.testing.assert_allclose(after(examined, "volume"), expected)


def test_running_totals_are_told_beside_cells_that_carry_nothing() -> None:
    """One short stretch in which a third of the cells add up and the others stay at 0."""
    values = {"volume": healthy()["volume"].copy()}
    adds = values["volume"]
    adds[CELLS // 3 :] = 0.0
    values["volume"] = np.cumsum(adds, axis=1)
    whole = table(values)
    examined = examine(
        replace(whole, frame=whole.frame.filter(pl.col(TIME) < START + timedelta(hours=24)))
    )
    assert told(examined)["running-total"].count == 24 * (CELLS // 3)
    np.testing.assert_allclose(after(examined, "volume")[0, 1:], adds[0, 1:24])


def test_copied_days_and_cells_are_named() -> None:
    """B on the 9th repeats its 8th; D is C all the time."""
    values = healthy()
    for array in values.values():
        array[1, 120:144] = array[1, 96:120]
        array[3] = array[2]
    found = told(examine(table(values)))
    assert (found["copied-time"].count, found["copied-time"].named) == (1, ("B",))
    assert "B from 2024-03-09 00:00 on are exactly those from 2024-03-08 00:00" in (
        found["copied-time"].found
    )
    assert (found["copied-object"].count, found["copied-object"].named) == (DAYS, ("D",))


def test_successes_above_attempts_are_counted_as_pandas_counts_them() -> None:
    """A tenth of the rows has five successes too many."""
    values = healthy()
    at = np.random.default_rng(3).random((CELLS, HOURS)) < 0.1
    values["successes"][at] = values["attempts"][at] + 5
    one = told(examine(table(values)))["contradicting-counters"]
    frame = pandas.DataFrame({k: v.ravel() for k, v in values.items()})
    assert one.count == int((frame.successes > frame.attempts).sum())
    assert "at worst by 5" in one.found


def test_means_over_changing_objects_are_compared_as_pandas_compares_them() -> None:
    """Two busy cells go: the mean of all falls, that of the cells that stay does not."""
    values = healthy()
    values["users"][:2] *= 5
    m = table(values)
    gone = pl.col(OBJECT).is_in(["A", "B"]) & (pl.col(TIME) >= START + timedelta(hours=HOURS // 2))
    one = told(examine(replace(m, frame=m.frame.filter(~gone))))["changing-population"]
    assert (one.count, one.named, one.column) == (2, ("A", "B"), "users")
    left = m.frame.filter(~gone).select(OBJECT, TIME, "users")
    frame = pandas.DataFrame(left.to_dict(as_series=False))
    third = (frame[TIME].max() - frame[TIME].min()) / 3
    head = frame[frame[TIME] < frame[TIME].min() + third]
    tail = frame[frame[TIME] > frame[TIME].max() - third]
    stay = ~head[OBJECT].isin(["A", "B"])
    everyone = 100 * (tail.users.mean() / head.users.mean() - 1)
    same = 100 * (tail.users.mean() / head[stay].users.mean() - 1)
    numbers = [float(text) for text in re.findall(r"([+-][\d.]+) %", one.found)]
    assert numbers == pytest.approx([everyone, same], rel=0.01)


def test_missing_values_are_counted_per_counter() -> None:
    """A counter is empty in two cells and at one hour of the others."""
    values = healthy()
    values["users"][:2] = np.nan
    values["users"][2:, 100] = np.nan
    examined = examine(table(values))
    missing = int(np.isnan(values["users"]).sum())
    assert told(examined)["values-missing"].count == missing
    assert "2 of 8 in users" in told(examined)["values-missing"].found
    (users,) = (one for one in examined.counters if one.column == "users")
    assert (users.values, users.rows) == (CELLS * HOURS - missing, CELLS * HOURS)
    assert (users.objects, users.without, users.lowest) == (6, 2, "C")
    assert users.lowest_ratio == pytest.approx(1 - 1 / HOURS)


def test_clock_changes_are_no_gaps_and_no_contradictions() -> None:
    """Local times: 31 March has no 02:00, 27 October has it twice."""
    spring = table(healthy(), "", datetime(2024, 3, 25, tzinfo=UTC))
    lost = spring.frame.filter(pl.col(TIME) != datetime(2024, 3, 31, 2, tzinfo=UTC))
    found = told(examine(replace(spring, frame=lost)))
    assert set(found) == {"clock-change-skipped-hour", "time-zone-unknown"}
    autumn = table(healthy(), "", datetime(2024, 10, 21, tzinfo=UTC))
    again = autumn.frame.filter(pl.col(TIME) == datetime(2024, 10, 27, 3, tzinfo=UTC))
    again = again.with_columns(pl.lit(datetime(2024, 10, 27, 2, tzinfo=UTC), TIME_TYPE).alias(TIME))
    both = pl.concat([autumn.frame, again]).sort(OBJECT, TIME, maintain_order=True)
    examined = examine(replace(autumn, frame=both))
    found = told(examined)
    assert set(found) == {"clock-change-doubled-hour", "time-zone-unknown"}
    assert found["clock-change-doubled-hour"].count == CELLS
    assert examined.measurements.frame.equals(autumn.frame)


def test_days_in_another_zone_are_seen_by_their_course() -> None:
    """From the ninth day on everything is three hours early."""
    values = {name: array.copy() for name, array in healthy().items()}
    for array in values.values():
        array[:, 192:] = np.roll(array, -3, axis=1)[:, 192:]
    one = told(examine(table(values, "")))["daily-course-shifted"]
    assert (one.count, one.start) == (6, START + timedelta(hours=192))
    assert "3 h earlier" in one.found


def test_values_that_lose_their_decimals() -> None:
    """From the eighth day on the users are whole numbers."""
    values = healthy()
    values["users"][:, 168:] = np.rint(values["users"][:, 168:])
    one = told(examine(table(values)))["resolution-changed"]
    assert (one.column, one.count) == ("users", CELLS * (HOURS - 168))


def test_one_object_under_two_names_and_a_total_among_the_objects() -> None:
    """H is written h in the second half; G holds the sum of the others."""
    values = healthy()
    for name in ("volume", "attempts", "successes"):
        values[name][6] = np.delete(values[name], 6, axis=0).sum(axis=0)
    m = table(values)
    late = (pl.col(OBJECT) == "H") & (pl.col(TIME) >= START + timedelta(hours=HOURS // 2))
    named = m.frame.with_columns(pl.when(late).then(pl.lit("h")).otherwise(OBJECT).alias(OBJECT))
    found = {one.code: one for one in examine(replace(m, frame=named)).findings}
    assert found["object-names-differ"].named == ("H", "h")
    assert found["total-among-objects"].object == "G"


def test_impossible_times_and_rows_beside_the_grid() -> None:
    """One row of 1985 is left out; a clock seven minutes off is said and kept."""
    m = table(healthy())
    wrong = (pl.col(OBJECT) == "A") & (pl.col(TIME) == START + timedelta(hours=5))
    off = (pl.col(OBJECT) == "B") & (pl.col(TIME) >= START + timedelta(hours=300))
    frame = m.frame.with_columns(
        pl.when(wrong).then(pl.lit(datetime(1985, 1, 1, tzinfo=UTC), TIME_TYPE))
        .when(off).then(pl.col(TIME) + timedelta(minutes=7)).otherwise(TIME).alias(TIME)
    )  # fmt: skip
    found = told(examine(replace(m, frame=frame.sort(OBJECT, TIME))))
    assert (found["impossible-time"].count, found["impossible-time"].named) == (1, ("A",))
    assert found["times-beside-the-grid"].count == HOURS - 300
    assert found["times-beside-the-grid"].named == ("B",)


def test_tables_of_several_periods_and_zones_are_said() -> None:
    """Hours and days in one table; the same counters in UTC and in local time."""
    m = table(healthy())
    days = m.frame.filter(pl.col(TIME).dt.hour() == 0).with_columns(pl.lit(86400.0).alias(PERIOD_S))
    both = replace(m, frame=pl.concat([m.frame, days]))
    found = between([both, replace(m, time_zone="Europe/Berlin", sources=("u.csv",))])
    assert [one.code for one in found] == ["several-periods", "time-zones-differ"]
    assert f"{CELLS * HOURS} rows of 3600 s, {CELLS * DAYS} rows of 86400 s" in found[0].found


# Values that were filled in, cut off or misread -------------------------------------------


def test_a_gap_filled_with_a_straight_line_is_said_with_its_values() -> None:
    """Ten values between two measured ones: twelve on a line; a bend of 1 % is none."""
    values = healthy()
    values["users"][2, 100:112] = np.linspace(10.0, 21.0, 12)
    values["volume"][1, 100:112] = np.linspace(500.0, 610.0, 12) * np.tile([1.0, 1.01], 6)
    (one,) = (f for f in examine(table(values)).findings if f.code == "interpolated")
    assert (one.column, one.named, one.count) == ("users", ("C",), 12)


def test_a_value_that_recurs_is_a_filled_gap_and_the_largest_one_a_limit_of_counting() -> None:
    """Ten times 12.345 in one cell; and what is above 1500 is written as 1500."""
    values = healthy()
    values["users"][3, 5:305:30] = 12.345
    over = values["volume"] > 1500.0
    values["volume"][over] = 1500.0
    found = told(examine(table(values)))
    assert (found["recurring-value"].column, found["recurring-value"].named) == ("users", ("D",))
    assert found["recurring-value"].count == 10
    assert (found["saturated"].column, found["saturated"].count) == ("volume", int(over.sum()))


def test_seven_times_the_same_value_may_be_chance() -> None:
    """One below the least number of times."""
    values = healthy()
    values["users"][3, 5:215:30] = 12.345
    assert "recurring-value" not in told(examine(table(values)))


def test_a_last_hour_of_a_third_is_unfinished_and_half_of_the_cells_are_no_sign() -> None:
    """Counters of all cells fall to a third in the last hour; gauges do not."""
    values = healthy()
    values["volume"][:, -1] /= 3.0
    values["attempts"][: CELLS // 2, -1] = np.floor(values["attempts"][: CELLS // 2, -1] / 3)
    values["successes"][: CELLS // 2, -1] = np.floor(values["successes"][: CELLS // 2, -1] / 3)
    (one,) = (f for f in examine(table(values)).findings if f.code == "period-unfinished")
    assert (one.column, one.count) == ("volume", CELLS)
    assert one.start == START + timedelta(hours=HOURS - 1)


def test_an_hour_that_is_as_quiet_every_other_day_is_finished() -> None:
    """What is little on half of the days before is little by its nature."""
    values = healthy()
    values["volume"][:, -1::-48] /= 3.0
    assert "period-unfinished" not in told(examine(table(values)))


def test_single_values_a_thousand_times_as_large_are_said() -> None:
    """Six of them; four would be too few, and a factor of 100 is another matter."""
    values = healthy()
    values["volume"][4, 10:310:50] *= 1000.0
    values["users"][5, 10:310:50] *= 100.0
    values["attempts"][1, 10:210:50] *= 1000.0
    (one,) = (f for f in examine(table(values)).findings if f.code == "stray-scale")
    assert (one.column, one.named, one.count) == ("volume", ("E",), 6)


def test_one_cell_that_is_the_mean_of_the_others_is_said() -> None:
    """In every counter; in one alone it may be chance."""
    values = healthy()
    values["handovers"] = np.rint(values["attempts"] * 0.3 * (1.0 + 0.1 * values["users"] / 40.0))
    for name in ("volume", "attempts", "successes", "handovers"):
        values[name][5] = np.delete(values[name], 5, axis=0).mean(axis=0)
    found = told(examine(table(values)))["total-among-objects"]
    assert found.named == ("F",)
    assert "mean" in found.found
    values["volume"][5] *= 1.05
    assert "total-among-objects" not in told(examine(table(values)))


def test_one_counter_whose_day_moves_alone_is_named() -> None:
    """Users come four hours late from the eighth day on, the other columns do not."""
    values = healthy()
    values["users"][:, 8 * 24 :] = np.roll(values["users"], 4, axis=1)[:, 8 * 24 :]
    one = told(examine(table(values)))["daily-course-shifted"]
    assert (one.column, one.count) == ("users", DAYS - 8)
    assert "4 h later" in one.found


def test_days_and_months_that_are_exchanged_are_said() -> None:
    """4 to 12 March are read as 3 April to 3 December; 13 to 17 March are right."""
    measured = table(healthy())
    turned = (
        pl.when(pl.col(TIME).dt.day() <= 12)
        .then(pl.datetime(2024, pl.col(TIME).dt.day(), 3, pl.col(TIME).dt.hour(), time_zone="UTC"))
        .otherwise(pl.col(TIME))
        .cast(TIME_TYPE)
    )
    wrong = replace(measured, frame=measured.frame.with_columns(turned.alias(TIME)))
    one = told(examine(wrong))["day-and-month-exchanged"]
    assert one.count == 9 * 24 * CELLS
    assert "2024-04-03 for 2024-03-04" in one.found
    assert "day-and-month-exchanged" not in told(examine(measured))
