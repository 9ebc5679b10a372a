"""What a run amounts to, against sums and a jackknife written out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cellhive.core.types import KpiFrame
from cellhive.flows.trial import RunRecord
from cellhive.reports.run.summary import (
    cell_kpis,
    compare,
    effective_window,
    network_series,
    pooled_kpis,
)


def total(frames: tuple[KpiFrame, ...], name: str) -> float:
    """Return a counter summed over cells and periods."""
    return float(sum(np.nansum(frame.column(name).astype(np.float64)) for frame in frames))


def throughput(frames: tuple[KpiFrame, ...]) -> float:
    """Return volume over time, summed first."""
    return total(frames, "x.ElasticVolume") / total(frames, "x.ElasticTime")


def test_kpis_are_pooled_from_counters(run_record: RunRecord) -> None:
    """A ratio of sums, not a mean of ratios; power is a mean over periods."""
    kpis = pooled_kpis(run_record.frames)
    assert kpis["ue_throughput_mbps"] == pytest.approx(throughput(run_record.frames))
    power = total(run_record.frames, "PEE.AvgPower") / len(run_record.frames)
    assert kpis["power_w"] == pytest.approx(power)
    bits = 1e6 * total(run_record.frames, "DRB.PdcpSduVolumeDL")
    joules = power * 60.0 * len(run_record.frames)
    assert kpis["energy_efficiency_bit_per_j"] == pytest.approx(bits / joules)
    assert pooled_kpis(()) == {}


def test_intervals_are_those_of_a_block_jackknife(run_record: RunRecord) -> None:
    """Four blocks of two periods left out in turn; t with three degrees of freedom."""
    run, base = run_record.frames, run_record.baseline
    one = compare(run, base)["ue_throughput_mbps"]
    partial = []
    for block in range(4):
        keep = [i for i in range(8) if i // 2 != block]
        partial.append(
            throughput(tuple(run[i] for i in keep)) - throughput(tuple(base[i] for i in keep))
        )
    spread = np.sqrt(3 / 4 * np.sum((np.array(partial) - np.mean(partial)) ** 2))
    half = stats.t.ppf(0.975, 3) * spread
    assert one.change == pytest.approx(throughput(run) - throughput(base))
    assert one.high - one.change == pytest.approx(half)
    assert one.change - one.low == pytest.approx(half)


def test_the_same_frames_show_no_change(run_record: RunRecord) -> None:
    """Without a difference nothing is better, worse or clear."""
    for one in compare(run_record.baseline, run_record.baseline).values():
        assert one.change == 0
        assert one.tone == ""


def test_a_steady_gain_is_clear_and_has_a_direction(run_record: RunRecord) -> None:
    """A fifth more throughput since the first plan is better."""
    window = effective_window(run_record)
    one = compare(window.run, window.baseline)["ue_throughput_mbps"]
    assert one.run == pytest.approx(1.2 * one.baseline, rel=1e-6)
    assert (one.clear, one.tone, one.slight) == (True, "better", False)


def test_too_few_periods_give_no_interval(run_record: RunRecord) -> None:
    """Two periods bear out a change and no statement about it."""
    one = compare(run_record.frames[:2], run_record.baseline[:2])["power_w"]
    assert math.isnan(one.low)
    assert not one.clear


def test_the_window_begins_with_the_first_plan(run_record: RunRecord) -> None:
    """Periods before the first applied plan are alike and left out."""
    assert effective_window(run_record).first == 2
    assert len(effective_window(run_record).run) == 6
    assert len(effective_window(replace(run_record, applied=())).run) == 8
    late = replace(run_record, applied=(replace(run_record.applied[0], time_s=1e9),))
    assert len(effective_window(late).run) == 1


def test_cells_add_up_to_the_network(run_record: RunRecord) -> None:
    """A cell's KPI is from its own sums; an unknown cell is not known."""
    cells = cell_kpis(run_record.frames)
    volume = sum(frame.column("x.ElasticVolume") for frame in run_record.frames)
    time = sum(frame.column("x.ElasticTime") for frame in run_record.frames)
    assert cells["ue_throughput_mbps"] == pytest.approx(np.asarray(volume / time), rel=1e-5)
    assert cells["power_w"].sum() == pytest.approx(pooled_kpis(run_record.frames)["power_w"])
    blind = run_record.frames[0]
    valid = blind.valid.copy()
    valid[3] = False
    assert math.isnan(cell_kpis([replace(blind, valid=valid)])["power_w"][3])


def test_series_have_one_value_per_period(run_record: RunRecord) -> None:
    """As many values as periods; none without periods."""
    assert network_series(run_record.frames)["power_w"].shape == (8,)
    assert network_series(()) == {}
