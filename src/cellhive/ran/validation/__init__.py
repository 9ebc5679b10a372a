"""Is the radio right: the calibration of TR 38.901 §7.8.1, and what others found in it."""

from cellhive.ran.validation.calibration import (
    QUANTITIES,
    TOLERANCE_DB,
    Calibration,
    Check,
    calibrate,
    checks,
)
from cellhive.ran.validation.companies import COMPANIES, ORIGIN, PERCENT, Spread
from cellhive.ran.validation.setups import SETUPS, SetUp, setups_named

__all__ = [
    "COMPANIES",
    "ORIGIN",
    "PERCENT",
    "QUANTITIES",
    "SETUPS",
    "TOLERANCE_DB",
    "Calibration",
    "Check",
    "SetUp",
    "Spread",
    "calibrate",
    "checks",
    "setups_named",
]
