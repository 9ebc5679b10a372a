"""Set-ups with published results that the twin is compared with."""

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
