"""Why, what if, what to change: known causes are found, and nothing breaks an analysis."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from cellhive.causal.motifs import Tier
from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    TIME_TYPE,
    ColumnInfo,
    Measurements,
    Role,
)
from cellhive.core.types import Floats
from cellhive.flows.analyse import Analysis, analyse
from cellhive.flows.causes import why
from cellhive.flows.causes.naming import alike, tier_guess
from cellhive.flows.causes.varied_city import PANEL, Habits, Season, VariedCity, varied_scenario
from cellhive.flows.causes.why import Causes, causes_of, independent_share

TILT, SIGNAL, THROUGHPUT = "Tilt (deg)", "rsrp_mean_dbm", "ue_throughput_mbps"
START = datetime(2025, 3, 3, tzinfo=UTC)


def measured(panel: Floats, infos: list[ColumnInfo]) -> Measurements:
    """Return measurements of a panel, (T, C, V)."""
    periods, cells, _ = panel.shape
    frame = pl.DataFrame(
        {
            OBJECT: [f"cell-{c}" for _ in range(periods) for c in range(cells)],
            TIME: [START + timedelta(hours=t) for t in range(periods) for _ in range(cells)],
            PERIOD_S: [3600.0] * (periods * cells),
            SUSPECT: [False] * (periods * cells),
            **{one.name: panel[:, :, k].ravel() for k, one in enumerate(infos)},
        },
        schema_overrides={TIME: TIME_TYPE},
    )
    columns = {one.name: one for one in infos}
    return Measurements("kpis.csv", frame, columns, (), "cell", "", ("kpis.csv",))


@cache
def tilted() -> Analysis:
    """Return an analysis in which one cell is tilted by mistake, and throughput falls by it."""
    rng = np.random.default_rng(4)
    cells, periods = 12, 96
    tilt = 6.0 + rng.integers(-1, 2, (periods, cells))
    tilt[60:72, 3] = 14.0
    signal = -80.0 - 1.5 * (tilt - 6.0) + 0.5 * rng.standard_normal(tilt.shape)
    throughput = 30.0 + 2.0 * (signal + 80.0) + 1.0 * rng.standard_normal(tilt.shape)
    infos = [
        ColumnInfo(TILT, unit="deg", role=Role.ATTRIBUTE),
        ColumnInfo(SIGNAL, unit="dBm", quantity=SIGNAL, role=Role.GAUGE, better="higher"),
        ColumnInfo(THROUGHPUT, unit="Mbit/s", quantity=THROUGHPUT, role=Role.GAUGE,
                   better="higher"),
    ]  # fmt: skip
    return analyse([measured(np.stack([tilt, signal, throughput], axis=2), infos)])


@cache
def found() -> Causes:
    """Return what the model says of it."""
    return causes_of(tilted())


def test_an_incident_began_where_something_was_set() -> None:
    """The fall of throughput is put down to the tilt, in its size, and hardly to the signal."""
    assert not found().problem
    one = next(e for e in found().explained if e.target in (SIGNAL, THROUGHPUT))
    assert one.incident.lead.object == "cell-3"
    first = one.causes[0]
    slope = {SIGNAL: -1.5, THROUGHPUT: -3.0}[one.target]
    assert first.name == TILT
    assert first.mean == pytest.approx(slope * (first.after - first.before), rel=0.15)
    assert abs(first.mean) > 0.8 * abs(one.difference)
    assert first.probability > 0.95
    total = sum(c.mean for c in one.causes) + one.itself[1]
    assert total == pytest.approx(one.difference, rel=0.1)


def test_the_lever_that_varied_is_proposed_in_the_right_direction() -> None:
    """Less tilt is advised for more throughput, by about what it truly brings."""
    proposals = found().proposals
    assert proposals is not None
    assert proposals.levers == (TILT,)
    one = next(p for p in proposals.proposals if p.goal == THROUGHPUT)
    best = one.advice.options[0]
    assert best.changes[TILT] < 0.0
    low, _, high = best.effects[THROUGHPUT]
    assert low <= -3.0 * best.changes[TILT] <= high


def test_without_a_setting_it_says_what_to_bring() -> None:
    """No lever, no advice; the reason is said."""
    bare = tilted()
    part = replace(bare.parts[0], settings=())
    without = causes_of(replace(bare, parts=(part,)))
    assert without.proposals is not None
    assert without.proposals.levers == ()
    assert "no setting that varied" in without.proposals.why


def test_few_periods_are_refused_with_the_reason() -> None:
    """Too little to learn from: no model, and a sentence instead."""
    rng = np.random.default_rng(0)
    infos = [ColumnInfo(f"k{k}", role=Role.GAUGE) for k in range(3)]
    short = causes_of(analyse([measured(rng.standard_normal((4, 30, 3)), infos)]))
    assert "at least 8 periods" in short.problem
    thin = causes_of(analyse([measured(rng.standard_normal((8, 5, 3)), infos)]))
    assert "rows" in thin.problem
    assert causes_of(analyse([])).problem


def test_an_error_never_breaks_an_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw becomes a note."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("so it goes")  # noqa: EM101

    monkeypatch.setattr(why, "modelled", fail)
    assert "so it goes" in causes_of(tilted()).problem


def test_gappy_variables_go_before_rows_get_too_few() -> None:
    """A variable that is seldom there does not cost the others."""
    rng = np.random.default_rng(1)
    panel = rng.standard_normal((20, 4, 4))
    panel[::2, :, 2] = np.nan
    panel[1:8, :, 2] = np.nan
    panel[1::2, :, 3] = np.nan
    infos = [ColumnInfo(f"k{k}", role=Role.GAUGE) for k in range(4)]
    some = causes_of(analyse([measured(panel, infos)]))
    assert some.summary is not None
    assert set(some.summary.model.names) == {"k0", "k1"}
    assert {name for name, _ in some.summary.model.seen.left_out} == {"k2", "k3"}


def test_rows_that_follow_themselves_count_less() -> None:
    """An AR(1) of 0.8 leaves (1 - 0.64) / (1 + 0.64) of the rows; white noise leaves them all."""
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((600, 4, 2))
    slow = noise.copy()
    for t in range(1, 600):
        slow[t] = 0.8 * slow[t - 1] + 0.6 * noise[t]
    assert independent_share(noise) == pytest.approx(1.0, abs=0.01)
    assert independent_share(slow) == pytest.approx(0.36 / 1.64, abs=0.04)


@pytest.mark.parametrize(
    ("heading", "tier"),
    [
        ("Outgoing HO success rate (%)", Tier.MOBILITY), ("DL PRB Utilization", Tier.LOAD),
        ("avg_cqi", Tier.RADIO), ("electricalTilt", Tier.CONFIGURATION),
        ("rrc_drop_rate_%", Tier.EXPERIENCE), ("pmCounter17", None),
    ],
)  # fmt: skip
def test_words_tell_the_tier(heading: str, tier: Tier | None) -> None:
    """Headings of vendors are put where their words say."""
    assert tier_guess(heading) is tier


def test_what_the_registry_knows_is_not_guessed() -> None:
    """A mapped column is its quantity; one of the registry needs nothing."""
    info = ColumnInfo("x", quantity=SIGNAL)
    assert alike(["x", SIGNAL, "avg_cqi"], {"x": info}) == {"x": SIGNAL, "avg_cqi": "radio"}


def test_the_twin_s_settings_are_found_in_its_kpis() -> None:
    """Where an operator changes tilt and power, the table of KPIs tells what they act on."""
    season = Season(periods=60, observed_s=3.0, warm_up_s=6.0, start_s=36_000.0)
    city = VariedCity(varied_scenario(1), 5, season, Habits(audit=0.5, react=0.0))
    panel = np.stack([city.observe() for _ in range(60)])
    tilt, power, weak, energy = (
        "electrical_tilt_deg", "tx_power_dbm", "weak_coverage_ratio", "PEE.AvgPower",
    )  # fmt: skip
    wanted = [tilt, power, SIGNAL, "sinr_mean_db", weak, "RRC.ConnMean", energy]
    infos = [ColumnInfo(n, role=Role.ATTRIBUTE if n == tilt else Role.GAUGE) for n in wanted]
    seen = causes_of(analyse([measured(panel[:, :, [PANEL.index(n) for n in wanted]], infos)]))
    assert seen.summary is not None, seen.problem
    edge = {(e.cause, e.effect): e for e in seen.summary.edges}
    assert edge[power, energy].probability > 0.9
    assert edge[power, energy].low > 0.0
    assert edge[tilt, weak].probability > 0.7
    assert edge[tilt, weak].mean > 0.0
    assert seen.proposals is not None
    assert set(seen.proposals.levers) == {tilt, power}


def test_a_model_of_many_objects_is_learned_from_some_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of incidents among them; the rest say how many they are."""
    monkeypatch.setattr("cellhive.flows.causes.why.MOST_ROWS", 1)
    monkeypatch.setattr("cellhive.flows.causes.why.FEWEST_OBJECTS", 4)
    some = causes_of(tilted())
    assert not some.problem
    assert some.summary is not None
    cells = some.summary.model.seen.cells
    assert len(cells) == 4
    assert "cell-3" in cells
    assert any("4 of the" in note for note in some.notes)
    assert not any("of the" in note and "evenly" in note for note in found().notes)
    assert some.explained[0].incident.lead.object == "cell-3"
