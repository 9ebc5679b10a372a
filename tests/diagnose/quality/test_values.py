"""Values that cannot be are found, said, and left empty; odd ones are said and kept."""

import math
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
from cellhive.diagnose.quality.column import Rows
from cellhive.diagnose.quality.examination import examine_values
from cellhive.diagnose.quality.values import limits_of

HOURS = 60


def table(columns: dict[str, Floats], infos: dict[str, ColumnInfo]) -> Measurements:
    """Return measurements of objects A, B, ... from (objects, hours) arrays."""
    count = next(iter(columns.values())).shape[0]
    start = datetime(2025, 1, 1, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            OBJECT: np.repeat([chr(65 + i) for i in range(count)], HOURS),
            TIME: [start + timedelta(hours=h) for _ in range(count) for h in range(HOURS)],
            PERIOD_S: [3600.0] * (count * HOURS),
            SUSPECT: [False] * (count * HOURS),
            **{name: values.ravel() for name, values in columns.items()},
        },
        schema_overrides={TIME: TIME_TYPE},
    )
    return Measurements("t", frame.with_columns(pl.col(list(columns)).fill_nan(None)), infos)


def examined(values: Floats, info: ColumnInfo) -> tuple[Floats, list[Finding], ColumnInfo]:
    """Return the cleaned values, findings and column of one column beside a healthy one."""
    other = np.random.default_rng(9).uniform(5, 6, values.shape)
    m = table(
        {"v": values, "other": other}, {"v": info, "other": ColumnInfo("other", role=Role.GAUGE)}
    )
    findings: list[Finding] = []
    clean = examine_values(m, Rows.of(m.frame, 3600.0), findings)
    column = clean.frame["v"].fill_null(math.nan).to_numpy().reshape(values.shape)
    return column, findings, clean.columns["v"]


def noise(objects: int = 3, low: float = 10.0, high: float = 20.0) -> Floats:
    """Return healthy values."""
    return np.random.default_rng(1).uniform(low, high, (objects, HOURS))


@pytest.mark.parametrize("sentinel", [-1.0, 9999.0, 65535.0, 2147483647.0, 1e9])
def test_sentinels_become_empty(sentinel: float) -> None:
    """Stand-ins for "no value" must not enter a mean."""
    values = noise()
    values[1, 5:8] = sentinel
    clean, findings, _ = examined(values, ColumnInfo("v", role=Role.GAUGE))
    assert [(one.code, one.count, one.object) for one in findings] == [("sentinel", 3, "B")]
    assert np.isnan(clean[1, 5:8]).all()
    assert np.isnan(clean).sum() == 3


def test_large_numbers_among_their_like_are_no_sentinels() -> None:
    """65535 bytes is a fine volume where others are of that size."""
    values = noise(low=20000, high=90000)
    values[0, 3] = 65535.0
    clean, findings, _ = examined(values, ColumnInfo("v", role=Role.COUNTER))
    assert findings == []
    assert clean[0, 3] == 65535.0


def test_negative_counts_and_shares_above_the_limit_become_empty() -> None:
    """Two counts below zero; 104 % and not 100.2 %."""
    counts = np.rint(noise())
    counts[0, 4], counts[2, 9] = -3, -7
    clean, findings, _ = examined(counts, ColumnInfo("v", role=Role.COUNTER))
    assert [(one.code, one.count) for one in findings] == [("impossible", 2)]
    assert np.isnan(clean[0, 4])
    shares = noise(low=90, high=99)
    shares[1, 1], shares[1, 2] = 104.0, 100.2
    clean, findings, info = examined(shares, ColumnInfo("v", unit="%", role=Role.RATIO))
    assert [(one.code, one.count) for one in findings] == [
        ("share-above-limit-slightly", 1), ("share-above-limit", 1),
    ]  # fmt: skip
    assert np.isnan(clean[1, 1])
    assert clean[1, 2] == 100.2
    assert info.share == "percent"


def test_rsrp_outside_the_reporting_range_becomes_empty() -> None:
    """TS 38.133 reports -156 to -31 dBm."""
    values = noise(low=-110, high=-80)
    values[0, 0] = 20.0
    clean, findings, _ = examined(values, ColumnInfo("v", unit="dBm", role=Role.GAUGE))
    assert findings == []  # 20 dBm is a possible power; the name decides
    info = ColumnInfo("mean_rsrp", unit="dBm", role=Role.GAUGE)
    assert limits_of(info)[:2] == (-156.0, -31.0)
    assert clean[0, 0] == 20.0


def test_registry_limits_hold_in_the_columns_own_unit() -> None:
    """rrc_setup_success_ratio goes to 1; in per cent (scale 0.01) that is 100."""
    info = ColumnInfo("x", quantity="rrc_setup_success_ratio", confidence=0.9, scale=0.01)
    assert limits_of(info)[:2] == (0.0, 100.0)
    unsure = ColumnInfo("x", quantity="rrc_setup_success_ratio", confidence=0.2, scale=0.01)
    assert limits_of(unsure)[0] == -math.inf


def test_a_guess_without_a_unit_does_not_set_the_limit_of_a_share() -> None:
    """ "PRB rate" could be PRBs per second; what a person or a unit says is another matter."""
    guess = ColumnInfo(
        "PRB rate", quantity="prb_utilisation_ratio", confidence=0.8, role=Role.RATIO
    )
    assert limits_of(guess)[:2] == (0.0, math.inf)
    assert limits_of(replace(guess, origin="mapping"))[:2] == (0.0, 1.0)
    assert limits_of(replace(guess, unit="%", scale=0.01))[:2] == (0.0, 100.0)


def test_fractions_under_a_percent_heading_are_said_and_kept() -> None:
    """0.97 under "%" stays 0.97; the column knows it is a fraction."""
    values = noise(low=0.95, high=0.999)
    info = ColumnInfo("v", unit="%", role=Role.RATIO, better="higher")
    clean, findings, info = examined(values, info)
    assert [one.code for one in findings] == ["fraction-under-percent"]
    assert info.share == "fraction"
    assert np.array_equal(clean, values)


def test_small_rates_follow_the_other_columns() -> None:
    """0.002 under "%": a fraction beside fractions, per cent beside per cent."""
    drop = noise(low=0.001, high=0.02)
    for other, share in (
        (noise(low=0.95, high=0.99), "fraction"),
        (noise(low=95, high=99), "percent"),
    ):
        infos = {
            "drop": ColumnInfo("drop", unit="%", role=Role.RATIO, better="lower"),
            "succ": ColumnInfo("succ", unit="%", role=Role.RATIO, better="higher"),
        }
        m = table({"drop": drop, "succ": other}, infos)
        clean = examine_values(m, Rows.of(m.frame, 3600.0), [])
        assert clean.columns["drop"].share == share


def test_objects_that_mix_fractions_and_percent_are_named() -> None:
    """A writes 0.97, B and C write 97."""
    values = np.vstack([noise(1, 0.95, 0.99), noise(2, 95, 99)])
    info = ColumnInfo("v", unit="%", role=Role.RATIO, better="higher")
    _, findings, _ = examined(values, info)
    assert [(one.code, one.object) for one in findings] == [("fraction-and-percent", "A")]


def test_dead_constant_and_stuck_counters_are_told_apart() -> None:
    """Always 0 in one object, always 7.25 in another, six equal values in a row in a third."""
    values = noise()
    values[0] = 0.0
    values[1] = 7.25
    values[2, 20:30] = 15.5
    _, findings, _ = examined(values, ColumnInfo("v", role=Role.GAUGE))
    assert sorted((one.code, one.object, one.count) for one in findings) == [
        ("constant-in-objects", "B", 1), ("dead-in-objects", "A", 1), ("frozen", "C", 10),
    ]  # fmt: skip
    _, findings, _ = examined(np.zeros((3, HOURS)), ColumnInfo("v", role=Role.COUNTER))
    assert [(one.code, one.severity.value) for one in findings] == [("dead-counter", "warning")]


def test_counter_switched_on_later_loses_its_zeros_before() -> None:
    """Twenty zeros while the other counter ran are "not counted yet"."""
    values = noise()
    values[:, :20] = 0.0
    clean, findings, _ = examined(values, ColumnInfo("v", role=Role.COUNTER))
    assert [(one.code, one.count, one.counted) for one in findings] == [
        ("switched-on", 3, "series")
    ]
    assert "the 60 zeros before" in findings[0].action
    assert np.isnan(clean[:, :20]).all()
    assert np.array_equal(clean[:, 20:], values[:, 20:])


def test_only_objects_that_begin_or_end_quietly_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred thousand healthy series must not each be searched for a switch."""
    seen: list[int] = []

    def leading(line: Floats, alive: Floats) -> tuple[int, bool]:
        seen.append(line.size)
        return 0, False

    monkeypatch.setattr("cellhive.diagnose.quality.counters._leading", leading)
    values = noise(5)
    values[2, :9] = 0.0
    values[4, -1] = np.nan
    examined(values, ColumnInfo("v", role=Role.COUNTER))
    assert seen == [HOURS] * 4  # the front and the back of two objects


def test_counter_switched_off_keeps_its_zeros() -> None:
    """The end may be a real outage, so it is said and kept."""
    values = noise()
    values[1, 40:] = 0.0
    clean, findings, _ = examined(values, ColumnInfo("v", role=Role.COUNTER))
    assert [(one.code, one.object, one.count) for one in findings] == [("switched-off", "B", 1)]
    assert "(20 zeros)" in findings[0].action
    assert np.array_equal(clean, values)


def test_nearly_empty_columns_and_rounded_identifiers_are_said() -> None:
    """One value in sixty; an identifier beyond 2^53."""
    values = np.full((3, HOURS), np.nan)
    values[0, 0] = 5.0
    _, findings, _ = examined(values, ColumnInfo("v", role=Role.GAUGE))
    assert [one.code for one in findings] == ["nearly-empty-column"]
    ids = np.full((3, HOURS), 2.0**60)
    _, findings, _ = examined(ids, ColumnInfo("v", role=Role.ATTRIBUTE))
    assert [one.code for one in findings] == ["identifier-lost-digits"]


def test_infinite_values_become_empty() -> None:
    """An infinity is no measurement."""
    values = noise()
    values[0, 0] = np.inf
    clean, findings, _ = examined(values, ColumnInfo("v", role=Role.GAUGE))
    assert [one.code for one in findings] == ["impossible"]
    assert np.isnan(clean[0, 0])
