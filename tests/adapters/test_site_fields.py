"""Headers of site lists are recognised whatever they are called."""

import pytest

from cellhive.adapters.files import Table
from cellhive.adapters.sites.site_fields import find_columns


def columns(*header: str) -> dict[str, tuple[str, str]]:
    """Return header and unit of each field that is found beside latitude and longitude."""
    table = Table("f", ("lat", "lon", *header), (), ())
    found = find_columns(table)
    return {f: (c.header, c.unit) for f, c in found.items() if f not in {"lat", "lon"}}


@pytest.mark.parametrize(
    ("header", "field", "unit"),
    [
        ("Azimuth (deg)", "azimuth", "deg"),
        ("bearing", "azimuth", ""),
        ("HBA [m]", "height", "m"),
        ("antenna_height", "height", ""),
        ("Tx Power (dBm)", "power", "dbm"),
        ("power_W", "power", "w"),
        ("TX_POWER_MW", "power", "mw"),
        ("carrier_hz", "frequency", "hz"),
        ("Carrier GHz", "frequency", "ghz"),
        ("DL frequency MHz", "frequency", "mhz"),
        ("EARFCN_DL", "arfcn", ""),
        ("carrier", "band", ""),
        ("bandwidth_khz", "bandwidth", "khz"),
        ("E-Tilt", "electrical_tilt", ""),
        ("mechanical tilt (deg)", "mechanical_tilt", "deg"),
        ("Downtilt", "tilt", ""),
        ("ECI", "cell", ""),
        ("eNB ID", "site", ""),
        ("aggregated_bs_id", "site", ""),
        ("last seen", "seen", ""),
    ],
)
def test_headers_are_recognised(header: str, field: str, unit: str) -> None:
    """Case, blanks, marks and units at the end do not matter."""
    assert columns(header) == {field: (header, unit)}


def test_better_name_wins_and_others_are_left() -> None:
    """Of two headers for one field the more telling one is read."""
    assert columns("bearing", "azimuth") == {"azimuth": ("azimuth", "")}
    assert columns("created", "updated") == {"seen": ("updated", "")}
    assert columns("colour", "EIRP", "range") == {}


def test_grid_squares_are_not_cells() -> None:
    """Beside a base station and a distance, cellId numbers the squares of a grid."""
    assert columns("bs_id", "cellId", "distance") == {"site": ("bs_id", "")}
    assert set(columns("bs_id", "cellId")) == {"site", "cell"}
