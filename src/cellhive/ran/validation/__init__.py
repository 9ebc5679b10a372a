"""Is the radio right: the calibration of TR 38.901 §7.8.1, and what others found in it."""

from cellhive.ran.validation.calibration import (
    QUANTITIES,
    Calibration,
    Check,
    calibrate,
    checks,
)
from cellhive.ran.validation.companies import COMPANIES, PERCENT, Spread
from cellhive.ran.validation.setups import SETUPS, SetUp

__all__ = [
    "COMPANIES",
    "PERCENT",
    "QUANTITIES",
    "SETUPS",
    "Calibration",
    "Check",
    "SetUp",
    "Spread",
    "calibrate",
    "checks",
]
