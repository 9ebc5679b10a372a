"""What a link carries: fast float32 logarithms, SINR, spectral efficiency, fair shares."""

from __future__ import annotations

import numpy as np

from cellhive.core.compiled import Scalar, compiled

F32, I32 = np.float32, np.int32

NOISE_FIGURE_DB = 9.0
"""Noise figure of a UE [dB], TR 38.901 table 7.8-1 and R1-165974."""
NOISE_RE_DBM = -174.0 + 10.0 * np.log10(15e3) + NOISE_FIGURE_DB
"""Noise power in one 15 kHz resource element [dBm]."""
NOISE_RE_MW = 10.0 ** (NOISE_RE_DBM / 10.0)

MAX_SPECTRAL_EFFICIENCY = 7.4063
"""MCS 27 of TS 38.214 table 5.1.3.1-2 [bit/s/Hz]."""
_SLOPE, _GAP = F32(0.93), F32(1.30)
_CEILING = F32(MAX_SPECTRAL_EFFICIENCY)
PRB_HZ = 180e3
"""Bandwidth of a physical resource block at 15 kHz spacing [Hz]."""
OVERHEAD_RATIO = 0.14
"""Share of downlink resource elements lost to control and reference signals, FR1,
TS 38.306 §4.1.2."""

_MANTISSA, _ONE_BITS, _EXPONENT_SHIFT, _BIAS = (
    I32(0x7FFFFF), I32(0x3F800000), I32(23), I32(127),
)  # fmt: skip
_DB_TO_LOG2 = F32(np.log2(10.0) / 10.0)
_LOG2_TO_DB = F32(10.0 / np.log2(10.0))
_SMALLEST = F32(1e-6)


@compiled
def log2_f32(x: Scalar) -> Scalar:
    """Return log2 of a positive, normal float32; absolute error below 4e-6.

    Exponent from the bits, mantissa by a polynomial fitted at Chebyshev nodes on [1, 2):
    loops over it vectorise, which a call into the C library does not.
    """
    bits = F32(x).view(I32)
    exponent = F32(I32(I32(bits >> _EXPONENT_SHIFT) - _BIAS))
    mantissa = I32(I32(bits & _MANTISSA) | _ONE_BITS).view(F32)
    t = mantissa - F32(1.5)
    poly = t * (F32(0.04392863) + t * F32(-0.0251232))
    poly = t * (F32(0.14171816) + t * (F32(-0.07058968) + poly))
    poly = F32(0.58496277) + t * (F32(0.96182123) + t * (F32(-0.32063233) + poly))
    return exponent + poly


@compiled
def exp2_f32(x: Scalar) -> Scalar:
    """Return 2**x in float32, x up to 127; relative error below 4e-7; below -120 counts as -120."""
    x = max(F32(x), F32(-120.0))
    whole = np.floor(x)
    t = x - whole
    poly = t * (F32(0.05586328) + t * (F32(0.00894621) + t * F32(0.00189511)))
    poly = F32(0.9999999) + t * (F32(0.69315462) + t * (F32(0.24014077) + poly))
    return I32(I32(I32(whole) + _BIAS) << _EXPONENT_SHIFT).view(F32) * poly


@compiled
def mw_from_dbm(level_dbm: Scalar) -> Scalar:
    """Return a level [dBm] as power [mW], float32."""
    return exp2_f32(F32(level_dbm) * _DB_TO_LOG2)


@compiled
def db_from_ratio(ratio: Scalar) -> Scalar:
    """Return a linear ratio in dB, float32; ratios below 1e-6 count as -60 dB."""
    return _LOG2_TO_DB * log2_f32(max(F32(ratio), _SMALLEST))


@compiled
def spectral_efficiency(sinr: Scalar) -> Scalar:
    """Return the spectral efficiency [bit/s/Hz] at a linear SINR, 0 to 7.4063.

    SE = 0.93 log2(1 + SINR / 1.30): fitted to the SINR at 10 % block error rate of MCS 2
    to 26 of TS 38.214 table 5.1.3.1-2 (256QAM), RMS error 0.18 dB in SINR.
    """
    return min(_SLOPE * log2_f32(F32(1.0) + F32(sinr) / _GAP), _CEILING)


@compiled
def diversity_gain(users: Scalar, most: Scalar) -> Scalar:
    """Return the multi-user diversity gain in SINR of a proportional fair scheduler.

    With Rayleigh fading every user is scheduled at its own best of n draws, whose mean is
    the harmonic number H_n (Bonald, SIGMETRICS 2004). ``most`` bounds n, because a
    wideband allocation averages the fading over the channel.
    """
    gain = F32(0.0)
    for n in range(1, int(max(1.0, min(users, most))) + 1):
        gain += F32(1.0) / F32(n)
    return gain


@compiled
def fair_share(needs: np.ndarray, granted: np.ndarray, available: Scalar) -> Scalar:
    """Fill ``granted`` with equal shares capped by each need and return their sum.

    Max-min fairness in resources ("water filling"): users that need less than an equal
    share get what they need and the rest is divided again. This is round robin, and
    proportional fair in the fluid limit.

    Args:
        needs: PRBs each user could use, (n,), >= 0.
        granted: PRBs each user gets, (n,), written.
        available: PRBs to divide, >= 0.
    """
    left, open_users = available, needs.size
    for index in range(needs.size):
        granted[index] = F32(-1.0)
    while open_users > 0:
        share = left / open_users
        closed = 0
        for index in range(needs.size):
            if granted[index] < 0 and needs[index] <= share:
                granted[index] = needs[index]
                left -= needs[index]
                closed += 1
        open_users -= closed
        if closed == 0:
            for index in range(needs.size):
                if granted[index] < 0:
                    granted[index] = share
            left = 0.0
            break
    return available - max(left, 0.0)
