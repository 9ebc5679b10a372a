"""Slow and obvious twins of propagation, antenna and radio map: NumPy, no shortcuts.

Written from the tables and clauses of TR 38.901, apart from the code under test.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

C = 3.0e8


def path_loss_db(
    environment: str, d2d: Floats, h_bs: float, h_ut: float, f_hz: float
) -> tuple[Floats, Floats]:
    """Return LOS and NLOS path loss [dB], table 7.4.1-1, with h_E = 1 m."""
    if environment == "InH":
        d3d = np.maximum(np.sqrt(np.asarray(d2d) ** 2 + (h_bs - h_ut) ** 2), 1.0)
        los = 32.4 + 17.3 * np.log10(d3d) + 20 * np.log10(f_hz / 1e9)
        nlos = 38.3 * np.log10(d3d) + 17.3 + 24.9 * np.log10(f_hz / 1e9)
        return los, np.maximum(los, nlos)
    d2d = np.maximum(np.asarray(d2d, dtype=np.float64), 10.0)
    d3d = np.sqrt(d2d**2 + (h_bs - h_ut) ** 2)
    f = f_hz / 1e9
    if environment == "RMa":
        w, h = 20.0, 5.0

        def pl1(d: Floats | float) -> Floats:
            return np.asarray(
                20 * np.log10(40 * np.pi * d * f / 3)
                + min(0.03 * h**1.72, 10) * np.log10(d)
                - min(0.044 * h**1.72, 14.77)
                + 0.002 * np.log10(h) * d
            )

        bp = 2 * np.pi * h_bs * h_ut * f_hz / C
        los = np.where(d2d <= bp, pl1(d3d), pl1(bp) + 40 * np.log10(d3d / bp))
        nlos = (
            161.04
            - 7.1 * np.log10(w)
            + 7.5 * np.log10(h)
            - (24.37 - 3.7 * (h / h_bs) ** 2) * np.log10(h_bs)
            + (43.42 - 3.1 * np.log10(h_bs)) * (np.log10(d3d) - 3)
            + 20 * np.log10(f)
            - (3.2 * np.log10(11.75 * h_ut) ** 2 - 4.97)
        )
        return los, np.maximum(los, nlos)
    bp = 4 * (h_bs - 1) * (h_ut - 1) * f_hz / C
    if environment == "UMa":
        near = 28.0 + 22 * np.log10(d3d) + 20 * np.log10(f)
        far = 28.0 + 40 * np.log10(d3d) + 20 * np.log10(f)
        far = far - 9 * np.log10(bp**2 + (h_bs - h_ut) ** 2)
        nlos = 13.54 + 39.08 * np.log10(d3d) + 20 * np.log10(f) - 0.6 * (h_ut - 1.5)
    else:
        near = 32.4 + 21 * np.log10(d3d) + 20 * np.log10(f)
        far = 32.4 + 40 * np.log10(d3d) + 20 * np.log10(f)
        far = far - 9.5 * np.log10(bp**2 + (h_bs - h_ut) ** 2)
        nlos = 35.3 * np.log10(d3d) + 22.4 + 21.3 * np.log10(f) - 0.3 * (h_ut - 1.5)
    los = np.where(d2d <= bp, near, far)
    return los, np.maximum(los, nlos)


def los_probability(environment: str, d2d: Floats, h_ut: float) -> Floats:
    """Return the probability of line of sight, table 7.4.2-1."""
    d2d = np.maximum(np.asarray(d2d, dtype=np.float64), 1e-9)
    if environment == "InH":
        near, far = np.exp(-(d2d - 5) / 70.8), 0.54 * np.exp(-(d2d - 49) / 211.7)
        return np.where(d2d <= 5, 1.0, np.where(d2d <= 49, near, far))
    if environment == "RMa":
        return np.where(d2d <= 10, 1.0, np.exp(-(d2d - 10) / 1000))
    if environment == "UMi":
        return np.where(d2d <= 18, 1.0, 18 / d2d + np.exp(-d2d / 36) * (1 - 18 / d2d))
    c = 0.0 if h_ut <= 13 else ((h_ut - 13) / 10) ** 1.5
    beyond = (18 / d2d + np.exp(-d2d / 63) * (1 - 18 / d2d)) * (
        1 + c * 5 / 4 * (d2d / 100) ** 3 * np.exp(-d2d / 150)
    )
    return np.where(d2d <= 18, 1.0, beyond)


def soft_los(environment: str, d2d: Floats, field: Floats) -> Floats:
    """Return the soft line-of-sight state, after §7.6.3.3, for users at 1.5 m."""
    chance = np.clip(los_probability(environment, d2d, 1.5), 1e-6, 1 - 1e-6)
    f = np.vectorize(NormalDist().inv_cdf)(chance)
    return np.vectorize(NormalDist(sigma=0.35).cdf)(f + field)


def path_gain_db(
    environment: str, offsets: tuple[Floats, Floats], h_bs: float, f_hz: float, fields: Floats
) -> Floats:
    """Return path gain with shadowing [dB]; fields are LOS state, LOS and NLOS shadowing."""
    d2d = np.hypot(*offsets)
    sigma = {"UMa": (4.0, 4.0, 6.0), "UMi": (4.0, 4.0, 7.82), "RMa": (4.0, 6.0, 8.0),
             "InH": (3.0, 3.0, 8.03)}  # fmt: skip
    near, far, blocked = sigma[environment]
    los, nlos = path_loss_db(environment, d2d, h_bs, 1.5, f_hz)
    turn = 2 * np.pi * h_bs * 1.5 * f_hz / C
    los = los - np.where((environment != "RMa") | (d2d <= turn), near, far) * fields[1]
    nlos = nlos - blocked * fields[2]
    share = soft_los(environment, d2d, fields[0])
    return -(share * los + (1 - share) * nlos)


def antenna_gain_dbi(
    zenith_deg: float, azimuth_deg: float, electrical_deg: float, mechanical_deg: float
) -> float:
    """Return the gain of ten tilted elements [dBi]: rotation matrix, then a complex sum."""
    zenith, azimuth = np.radians(zenith_deg), np.radians(azimuth_deg)
    beta = np.radians(mechanical_deg)
    towards = np.array(
        [np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)]
    )
    # R = Ry(beta), equation 7.1-2 with alpha = gamma = 0; its transpose leads into the antenna
    rotation = np.array(
        [[np.cos(beta), 0, np.sin(beta)], [0, 1, 0], [-np.sin(beta), 0, np.cos(beta)]]
    )
    inside = rotation.T @ towards
    theta = np.degrees(np.arccos(np.clip(inside[2], -1, 1)))
    phi = np.degrees(np.arctan2(inside[1], inside[0]))
    a_v = -min(12 * ((theta - 90) / 65) ** 2, 30)
    a_h = -min(12 * (phi / 65) ** 2, 30)
    element = 8.0 - min(-(a_v + a_h), 30)
    steer = np.cos(np.radians(90 + electrical_deg))
    m = np.arange(10)
    total = np.sum(np.exp(2j * np.pi * m * 0.5 * (np.cos(np.radians(theta)) - steer)))
    column = max(abs(total / np.sqrt(10)) ** 2, 10 * 1e-3)
    return float(element + 10 * np.log10(column))
