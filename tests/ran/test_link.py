"""Logarithms, spectral efficiency and fair shares against slow twins and a table."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellhive.ran import link

_SPEC = importlib.util.spec_from_file_location(
    "reference_link", Path(__file__).parents[1] / "reference" / "link.py"
)
assert _SPEC is not None
assert _SPEC.loader is not None
reference = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(reference)

F32 = np.float32

# TS 38.214 table 5.1.3.1-2: spectral efficiency, and the SINR at 10 % block error rate
# from published link simulations (code block of 2000 bits).
MCS = [
    (0.6016, -1.53), (0.8770, 0.61), (1.1758, 2.29), (1.4766, 4.18), (1.6953, 5.17),
    (1.9141, 6.05), (2.1602, 7.03), (2.4063, 8.10), (2.5703, 8.68), (2.7305, 9.75),
    (3.0293, 10.73), (3.3223, 11.66), (3.6094, 12.79), (3.9023, 13.70), (4.2129, 14.59),
    (4.5234, 15.53), (4.8164, 16.43), (5.1152, 17.56), (5.3320, 18.64), (5.5547, 19.05),
    (5.8906, 20.13), (6.2266, 21.10), (6.5703, 22.18), (6.9141, 23.29), (7.1602, 24.07),
]  # fmt: skip


def test_log2_keeps_its_promise() -> None:
    """Absolute error below 4e-6 over the normal float32 numbers, and more on [1, 2)."""
    rng = np.random.default_rng(1)
    x = np.concatenate([
        2.0 ** rng.uniform(-125, 127, 4000), rng.uniform(1, 2, 4000), [1.0, 2.0, 0.5, 1.3],
    ]).astype(F32)  # fmt: skip
    ours = np.array([link.log2_f32(value) for value in x], np.float64)
    exact = np.log2(x.astype(np.float64))
    # A result near 100 has its own rounding of 4e-6 on top.
    error = np.abs(ours - exact)
    assert np.all(error < 4e-6 + np.abs(exact) * 2**-23)


def test_exp2_keeps_its_promise() -> None:
    """Relative error below 4e-7 from -120 to 127, and the value at -120 below that."""
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.uniform(-120, 126.99, 4000), np.arange(-120, 127)]).astype(F32)
    ours = np.array([link.exp2_f32(value) for value in x], np.float64)
    exact = 2.0 ** x.astype(np.float64)
    assert np.max(np.abs(ours / exact - 1)) < 4e-7
    assert link.exp2_f32(F32(-500)) == link.exp2_f32(F32(-120))


def test_milliwatts() -> None:
    """dBm become mW; the error of the level's float32 included."""
    for level in (-123.24, -80.0, 0.0, 46.0):
        assert link.mw_from_dbm(F32(level)) == pytest.approx(10 ** (level / 10), rel=1e-5)
    assert 10 * np.log10(link.NOISE_RE_MW) == pytest.approx(-123.239, abs=1e-3)
    assert abs(link.NOISE_RE_MW / reference.NOISE_MW - 1) < 1e-9


def test_spectral_efficiency_agrees_with_the_slow_twin() -> None:
    """From -40 to 60 dB; the logarithm's error is an absolute one."""
    for sinr_db in np.arange(-40, 60, 0.37):
        sinr = 10 ** (sinr_db / 10)
        expected = reference.spectral_efficiency(sinr)
        assert link.spectral_efficiency(F32(sinr)) == pytest.approx(expected, rel=1e-5, abs=5e-6)
    assert link.spectral_efficiency(F32(0)) == pytest.approx(0, abs=5e-6)
    assert link.spectral_efficiency(F32(1e6)) == pytest.approx(7.4063)


def test_spectral_efficiency_follows_the_table() -> None:
    """The SINR of each MCS is met within 0.5 dB, 0.18 dB RMS."""
    errors = []
    for efficiency, sinr_db in MCS:
        # Invert the twin's formula: SINR = 1.3 (2^(SE / 0.93) - 1).
        assert reference.spectral_efficiency(10 ** (sinr_db / 10)) < 7.4063
        errors.append(10 * np.log10(1.3 * (2 ** (efficiency / 0.93) - 1)) - sinr_db)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(0.18, abs=0.01)
    assert np.max(np.abs(errors)) < 0.5


@pytest.mark.parametrize(
    ("users", "most", "gain"),
    [(0, 4, 1.0), (1, 4, 1.0), (2, 4, 1.5), (3, 4, 11 / 6), (4, 4, 25 / 12), (90, 4, 25 / 12),
     (90, 1, 1.0)],
)  # fmt: skip
def test_diversity_gain_is_a_bounded_harmonic_number(users: int, most: int, gain: float) -> None:
    """1, 3/2, 11/6, 25/12 by hand."""
    assert link.diversity_gain(float(users), float(most)) == pytest.approx(gain, rel=1e-6)
    assert reference.harmonic(min(users, most)) == pytest.approx(gain)


def shares(needs: list[float], available: float) -> tuple[np.ndarray, float]:
    """Return what every user gets, and the sum the kernel reports."""
    granted = np.full(len(needs), np.nan, F32)
    used = link.fair_share(np.array(needs, F32), granted, float(available))
    return granted, float(used)


def test_fair_share_by_hand() -> None:
    """10 PRBs for needs 1, 2, 8, 8: 1 + 2 are filled, 7 are halved."""
    granted, used = shares([8, 1, 8, 2], 10)
    np.testing.assert_allclose(granted, [3.5, 1, 3.5, 2])
    assert used == pytest.approx(10)
    granted, used = shares([1, 2], 10)
    np.testing.assert_allclose(granted, [1, 2])
    assert used == pytest.approx(3)
    assert shares([], 10)[1] == 0
    np.testing.assert_allclose(shares([1, 2], 0)[0], [0, 0])


@given(
    st.lists(st.floats(0, 500, width=32), min_size=0, max_size=12),
    st.floats(0, 300),
)
def test_fair_share_is_water_filling(needs: list[float], available: float) -> None:
    """Equal to the level found from sorted needs; nobody over need, nothing over what there is."""
    granted, used = shares(needs, available)
    expected = reference.water_filling(np.array(needs), available)
    scale = max(available, 1.0)
    np.testing.assert_allclose(granted, expected, rtol=1e-5, atol=1e-5 * scale)
    assert np.all(granted <= np.array(needs, F32))
    assert np.all(granted >= 0)
    assert used <= available
    assert used == pytest.approx(min(sum(needs), available), rel=1e-5, abs=1e-5 * scale)
