"""What the counters recommend, on networks in which the right answer is known."""

import math

import numpy as np
import pytest

from cellhive.core.types import Floats
from cellhive.diagnose.advice.balance import balance_advice, pairs
from cellhive.diagnose.advice.coverage import REACH, coverage_advice, radio_findings
from cellhive.diagnose.advice.energy import energy_advice, sleeps
from cellhive.diagnose.advice.mobility import ends, mobility_advice, prior_of
from cellhive.diagnose.advice.network import place_of, surroundings
from cellhive.diagnose.advice.recommendation import Basis, Limits, Seen
from cellhive.diagnose.advice.verification import least_seen, noise_of, periods_to_see

DAYS = 28
HOUR = np.arange(24 * DAYS) % 24


def rng() -> np.random.Generator:
    """Return where chance comes from."""
    return np.random.default_rng(11)


def day_shape(peak: float, night: float) -> Floats:
    """Return hourly loads, busy from 8 to 22 h, (T,)."""
    busy = (HOUR >= 8) & (HOUR < 22)
    return np.where(busy, peak, night) * np.exp(0.05 * rng().standard_normal(HOUR.size))


def loads(**cells: Floats) -> Seen:
    """Return hourly PRB utilisation by cell; "_" in a name stands for "-"."""
    names = tuple(name.replace("_", "-") for name in cells)
    return Seen(names, 0.0, 3600.0, {"prb_utilisation_ratio": np.stack(list(cells.values()))})


def handovers(late: list[float], early: list[float], bounced: list[float]) -> Seen:
    """Return daily handover counters of relations with given shares, 300 attempts a day."""
    draw = rng()
    attempts = draw.poisson(300, (len(late), DAYS)).astype(float)
    counted = {
        name: draw.binomial(attempts.astype(int), np.array(share)[:, None]).astype(float)
        for name, share in (("HO.IntraSys.TooLate", late), ("HO.IntraSys.TooEarly", early),
                            ("x.HoPingPong", bounced))
    }  # fmt: skip
    names = tuple(f"A{k}->B{k}" for k in range(len(late)))
    return Seen(names, 0.0, 86400.0, {"MM.HoExeInterReq": attempts, **counted})


# ------------------------------------------------------------------ mobility


def test_late_handovers_are_made_earlier_and_bouncing_ones_later() -> None:
    """Relation 0 is late, relation 1 bounces; the others are as they should be."""
    measured = handovers([0.12, *[0.01] * 9], [0.01] * 10, [0.03, 0.2, *[0.03] * 8])
    present = {("A0", "B0", "cio_db"): 2.0}
    found = {one.objects: one for one in mobility_advice(measured, Limits(), rng(), present)}
    assert set(found) == {("A0", "B0"), ("A1", "B1")}
    earlier, later = found["A0", "B0"], found["A1", "B1"]
    assert (earlier.steps[0].before, earlier.steps[0].after) == (2.0, 3.0)
    assert earlier.steps[0].in_plan
    assert math.isnan(later.steps[0].before)
    assert later.steps[0].by == -1.0
    assert later.is_order
    assert earlier.effect is not None
    assert earlier.effect.basis is Basis.RULE
    assert -0.12 < earlier.effect.low_90 < earlier.effect.mean < earlier.effect.high_90 < 0.0


def test_a_share_of_few_handovers_is_not_taken_at_its_word() -> None:
    """Three late of twenty-five is 12 %, but the network around it has one in a hundred."""
    attempts = np.array([[25.0], *[[3000.0]] * 30])
    late = np.array([[3.0], *[[30.0]] * 30])
    names = tuple(f"A{k}->B{k}" for k in range(31))
    values = {"MM.HoExeInterReq": attempts, "HO.IntraSys.TooLate": late}
    assert mobility_advice(Seen(names, 0.0, 86400.0, values), Limits(), rng()) == []


def test_the_prior_is_the_spread_that_the_relations_have() -> None:
    """Shares drawn from Beta(2, 38): mean 5 %, strength 40."""
    draw = rng()
    share = draw.beta(2, 38, 400)
    a, b = prior_of(draw.binomial(500, share).astype(float), np.full(400, 500.0))
    assert a / (a + b) == pytest.approx(0.05, abs=0.005)
    assert a + b == pytest.approx(40, rel=0.4)


def test_relations_are_known_by_their_names() -> None:
    """Arrows, and distinguished names."""
    assert ends("A->B") == ("A", "B")
    assert ends("ManagedElement=1,NRCellCU=A,NRCellRelation=B") == ("A", "B")
    assert ends("ManagedElement=1,NRCellDU=A") is None
    assert ends("SITE-1") is None


# ------------------------------------------------------------------ sleep


def test_a_capacity_cell_sleeps_when_its_traffic_fits_and_never_alone() -> None:
    """At night 5 % moves onto 10 %; by day 50 % would not fit onto 40 %; S2 stands alone."""
    measured = loads(
        S1_L800_1=day_shape(0.4, 0.10), S1_L1800_1=day_shape(0.5, 0.05),
        S2_L1800_1=day_shape(0.5, 0.05),
    )  # fmt: skip
    around = surroundings(measured.objects)
    found, why = sleeps(measured, around, Limits(), rng())
    assert why == ()
    (one,) = found
    assert (one.cell, one.covering) == ("S1-L1800-1", ("S1-L800-1",))
    assert (one.first_hour, one.hours) == (22, 10)
    assert one.load_after == pytest.approx(0.1 + 1.5 * 0.05, abs=0.01)
    assert one.risk <= 0.05
    (advice,) = energy_advice(found, measured, around, Limits())
    # EARTH: 2 x 130 W awake less 2 x 75 W asleep, and a little for what is radiated
    assert advice.effect is not None
    assert -advice.effect.mean == pytest.approx(10 * 0.110, abs=0.06)
    assert advice.effect.low_90 < advice.effect.high_90 < 0.0
    assert "assumption" in " ".join(advice.evidence)
    assert advice.is_order


def test_no_sleep_where_one_night_in_seven_is_busy() -> None:
    """A weekly night market: the risk of a night is more than the accepted 5 %."""
    host = day_shape(0.4, 0.10)
    market = (np.arange(HOUR.size) // 24 % 7 == 5) & ((HOUR < 8) | (HOUR >= 20))
    host[market] = 0.9
    measured = loads(S1_L800_1=host, S1_L1800_1=day_shape(0.5, 0.05))
    assert sleeps(measured, surroundings(measured.objects), Limits(), rng())[0] == ()


def test_who_covers_whom_is_read_from_names() -> None:
    """Bands in front of or behind the sector, and layers by a letter."""
    assert place_of("SITE01-L800-1") == place_of("SITE01_1_L800")
    place = place_of("S07-2b")
    assert place is not None
    assert (place.site, place.sector) == ("S07", "2")
    assert place_of("whatever") is None


# ------------------------------------------------------------------ balance


def test_a_full_cell_gets_the_neighbour_that_has_room_in_the_same_hours() -> None:
    """S1-1 is full from 8 to 22 h; S1-2 is full then, too; S1-3 has room."""
    measured = loads(
        S1_1=np.minimum(day_shape(0.95, 0.2), 1.0), S1_2=day_shape(0.75, 0.1),
        S1_3=day_shape(0.3, 0.6),
    )  # fmt: skip
    around = surroundings(measured.objects)
    (pair,) = pairs(measured, around, Limits())
    assert (pair.full, pair.other) == ("S1-1", "S1-3")
    assert pair.hours == tuple(range(8, 22))
    known = {("S1-1", "S1-3", "cio_db"): 0.0, ("S1-3", "S1-1", "cio_db"): 1.0}
    (advice,) = balance_advice((pair,), measured, around, Limits(), (known, None, rng()))
    assert [(s.object_id, s.before, s.after) for s in advice.steps] == [
        ("S1-1->S1-3", 0.0, 2.0), ("S1-3->S1-1", 1.0, -1.0),
    ]  # fmt: skip
    assert not advice.is_order
    assert "cannot tell" in " ".join(advice.evidence)


def test_nobody_is_balanced_where_no_cell_is_full() -> None:
    """All below 80 %."""
    measured = loads(S1_1=day_shape(0.6, 0.2), S1_2=day_shape(0.2, 0.1))
    assert pairs(measured, surroundings(measured.objects), Limits()) == ()


# ------------------------------------------------------------------ coverage


def test_the_cell_that_shoots_too_far_is_tilted_down() -> None:
    """Thirty cells reach 1 km, give or take 10 %; one reaches 4 km."""
    draw = rng()
    reach = draw.normal(1.0, 0.1, (30, 1)) + draw.normal(0, 0.05, (30, 40))
    reach[4] += 3.0
    names = tuple(f"c{k}" for k in range(30))
    measured = Seen(names, 0.0, 86400.0, {REACH: reach})
    found = radio_findings(measured, Limits())
    present = {("c4", None, "electrical_tilt_deg"): 4.0}
    (advice,) = coverage_advice(found, measured, present, Limits(), rng())
    assert advice.objects == ("c4",)
    assert (advice.steps[0].before, advice.steps[0].after) == (4.0, 5.0)
    assert advice.effect is None  # in kilometres nothing is foretold


def test_weak_coverage_beyond_its_limit_is_tilted_up() -> None:
    """30 % of the time weak, against a limit of 10 %; the other cells at 2 %."""
    share = np.clip(0.02 + rng().normal(0, 0.005, (10, 40)), 0, 1)
    share[3] += 0.28
    names = tuple(f"c{k}" for k in range(10))
    measured = Seen(names, 0.0, 86400.0, {"weak_coverage_ratio": share})
    (advice,) = coverage_advice(radio_findings(measured, Limits()), measured, {}, Limits(), rng())
    assert advice.objects == ("c3",)
    assert advice.steps[0].by == -1.0
    assert advice.effect is not None
    assert -0.3 < advice.effect.mean < 0.0


# ------------------------------------------------------------------ verification


def test_the_periods_to_watch_are_those_of_the_textbook() -> None:
    """One-sided 5 %, power 80 %: n = (2.486 sigma / effect)^2 against a known mean."""
    assert periods_to_see(0.5, 1.0, 0.0, before=10**9) == math.ceil(2.4864749**2 / 0.25)
    assert periods_to_see(0.01, 1.0, 0.0, before=28) == 0
    assert least_seen(1.0, 0.0, 28, periods_to_see(1.0, 1.0, 0.0, 28)) <= 1.0


def test_noise_is_what_is_left_of_a_week() -> None:
    """Noise of 2 on a week of 50; by hand its standard deviation is 2."""
    day = np.arange(200)
    values = 50.0 * np.sin(2 * np.pi * day / 7) + rng().normal(0, 2.0, 200)
    spread, follows = noise_of(values, 86400.0)
    assert spread == pytest.approx(2.0, rel=0.2)
    assert follows < 0.3
