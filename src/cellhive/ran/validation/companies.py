"""What 21 companies found in the calibration of TR 38.901 §7.8.1, at 6 GHz.

3GPP R1-165974, as distributed with HandoverLab 2.8.0 (MIT), to 0.01 dB, at the percentiles
that are checked. Means and extremes are over companies, at each percentile apart.
"""

from __future__ import annotations

from typing import NamedTuple

ORIGIN = "3GPP R1-165974, as distributed with HandoverLab 2.8.0 (MIT)"
PERCENT = (5.0, 10.0, 50.0, 90.0, 95.0)
"""Percentiles that are checked."""


class Spread(NamedTuple):
    """What the companies found for one quantity, one entry per percentile in every tuple."""

    companies: int
    """How many companies."""
    percent: tuple[float, ...]
    """Share of users at or below the values [%], rising."""
    mean: tuple[float, ...]
    low: tuple[float, ...]
    """Smallest value of any company."""
    high: tuple[float, ...]
    """Largest value of any company."""


COMPANIES = {
    ("UMa", "coupling_gain_db"): Spread(
        21,
        PERCENT,
        (-150.38, -144.73, -120.35, -93.66, -86.00),
        (-153.88, -146.66, -123.08, -94.73, -87.33),
        (-147.54, -142.48, -118.09, -91.87, -83.35),
    ),
    ("UMa", "sinr_db"): Spread(
        21,
        PERCENT,
        (-9.48, -4.63, 5.83, 21.73, 24.71),
        (-13.04, -6.08, 5.37, 20.74, 24.09),
        (-6.78, -3.30, 6.34, 23.01, 25.09),
    ),
    ("UMa", "sir_db"): Spread(
        21,
        PERCENT,
        (-0.97, 0.14, 8.55, 23.38, 25.55),
        (-1.35, -0.14, 7.80, 22.54, 24.82),
        (-0.60, 0.26, 8.90, 24.20, 25.86),
    ),
    ("UMi", "coupling_gain_db"): Spread(
        21,
        PERCENT,
        (-142.30, -136.37, -112.23, -82.05, -74.79),
        (-145.96, -140.03, -114.92, -83.64, -77.19),
        (-140.09, -134.84, -110.54, -80.37, -73.53),
    ),
    ("UMi", "sinr_db"): Spread(
        21,
        PERCENT,
        (-6.97, -3.23, 5.54, 20.71, 23.94),
        (-10.40, -5.27, 4.48, 19.28, 22.84),
        (-5.55, -2.51, 6.09, 22.06, 24.69),
    ),
    ("UMi", "sir_db"): Spread(
        21,
        PERCENT,
        (-1.69, -0.47, 7.34, 22.09, 24.85),
        (-2.02, -0.86, 6.54, 20.95, 23.86),
        (-1.50, -0.28, 7.79, 23.48, 25.57),
    ),
    ("InH", "coupling_gain_db"): Spread(
        20,
        PERCENT,
        (-71.08, -69.44, -59.30, -47.22, -45.01),
        (-71.89, -70.00, -59.99, -47.82, -45.77),
        (-70.51, -69.03, -58.47, -46.38, -43.80),
    ),
    ("InH", "sinr_db"): Spread(
        20,
        PERCENT,
        (-4.39, -3.46, 3.02, 15.61, 17.92),
        (-4.77, -3.70, 2.48, 15.02, 17.41),
        (-4.19, -3.17, 3.42, 16.49, 18.43),
    ),
    ("InH", "sir_db"): Spread(
        20,
        PERCENT,
        (-4.39, -3.46, 3.02, 15.61, 17.92),
        (-4.77, -3.70, 2.48, 15.02, 17.41),
        (-4.19, -3.17, 3.42, 16.49, 18.43),
    ),
}
"""By scenario and quantity [dB]."""
