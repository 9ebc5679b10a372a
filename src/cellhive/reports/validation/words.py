"""How the report of a calibration writes values, verdicts and what was assumed."""

from __future__ import annotations

from collections.abc import Sequence

from cellhive.ran.validation import ORIGIN, QUANTITIES, SETUPS, TOLERANCE_DB, Calibration, Check

ASSUMPTIONS = (
    "TR 38.901 table 7.8-1 at 6 GHz and 20 MHz. Antennas: ten elements half a wavelength apart, "
    "table 7.3-1, steered 12° below the horizon (UMa, UMi) or 20° (office); three sectors per "
    "site at 30°, 150° and 270° from the x axis, which in the office is the long wall.",
    "UMa: 19 sites 500 m apart at 25 m, 49 dBm, users 35 m away or more. UMi: 200 m, 10 m, "
    "44 dBm, 10 m. Both repeat all around: each site counts at its nearest copy on the ground.",
    "Office: 12 sites 20 m apart in two rows under the ceiling (3 m) of 120 m by 50 m, 24 dBm; "
    "every user in the room at 1 m; path loss and line of sight of the open office.",
    "UMa and UMi: 80 % of users in buildings of 4 to 8 floors, on any of them; half of the "
    "buildings with coated glass (high loss), half without (low loss); 0 to 25 m inside (the "
    "smaller of two draws); the others in the street at 1.5 m. The calibration has no cars.",
    "Each user draws line of sight and shadowing for every site; sectors of a site share both. "
    "Shadowing of users in buildings is 7 dB. No fast fading.",
    "Users are served by the cell they receive most strongly, at once (0 dB). Every cell sends "
    "all the time. Noise: −174 dBm/Hz and a figure of 9 dB.",
    "Where the twin departs from the clauses, so does this: nulls of an antenna are filled 30 dB "
    "below its peak; below 10 m on the ground the outdoor loss is that of 10 m; the environment "
    "height of UMa is always 1 m.",
    "Where this departs from the twin: line of sight is there or not (the twin blends both "
    "states near the border), and shadowing is drawn per user, not from a map.",
    "Nothing is fitted: no constant was chosen to meet the companies' curves.",
)
"""What the set-ups take for granted."""


def db(value: float) -> str:
    """Return a level or a ratio with two places and a real minus sign."""
    text = f"{value:.2f}".replace("-", "−")
    return text.removeprefix("−") if float(f"{value:.2f}") == 0.0 else text


def listed_range(check: Check) -> str:
    """Return the companies' extremes."""
    return f"{db(check.low_db)} to {db(check.high_db)}"


def verdict(check: Check) -> str:
    """Return whether a value lies among the companies, and how far beyond them."""
    beyond = check.outside_db
    if beyond == 0.0:
        return "inside"
    return f"{'inside' if check.passes else 'OUTSIDE'}, {beyond:.2f} dB beyond"


def summary(checks: Sequence[Check]) -> list[str]:
    """Return the result in two sentences."""
    inside = sum(check.passes for check in checks)
    strict = sum(check.outside_db == 0.0 for check in checks)
    widest = max(checks, key=lambda check: check.outside_db)
    first = (
        f"{inside} of {len(checks)} percentiles lie inside the range of the companies widened "
        f"by {TOLERANCE_DB:g} dB; {strict} of them without widening."
    )
    if widest.outside_db == 0.0:
        return [first]
    place = f"{QUANTITIES[widest.quantity]} of {SETUPS[widest.scenario].title}"
    return [
        first,
        f"Farthest beyond: {place} at {widest.percent:g} %, by {widest.outside_db:.2f} dB.",
    ]


def sampling(calibrations: Sequence[Calibration], checks: Sequence[Check]) -> str:
    """Return how much the figures owe to the users that were drawn."""
    users = f"{calibrations[0].users:,}".replace(",", "\u202f")
    worst = max(check.error_db for check in checks)
    return (
        f"{users} users per set-up, seed {calibrations[0].seed}. Other users move a percentile by "
        f"its standard error (±), at most {worst:.2f} dB here."
    )


def origin(reference: str) -> str:
    """Return where the companies' figures come from.

    Args:
        reference: Name of the file they were read from; empty where they are the kept ones.
    """
    if reference:
        return f"Companies: {reference}."
    return f"Companies: {ORIGIN}; between the eleven percentiles kept, the range is drawn straight."
