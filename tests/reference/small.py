"""Scenarios that a test can run to their end."""

from cellhive.adapters.scenarios import library_text
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.scenarios import Scenario
from cellhive.ran.users import Traffic, UserMix

AWAKE = Traffic(mean_session_s=5.0, mean_pause_s=5.0)
"""Half of the users want something at any time."""
ASLEEP = Traffic(mean_session_s=2.0, mean_pause_s=30.0)
"""Hardly anybody does."""


def small_scenario() -> str:
    """Return the text of a scenario of one site and one hour, in which nothing is wrong."""
    text = library_text("healthy")
    for old, new in (("name: healthy", "name: small"), ("sites: 19", "sites: 1"),
                     ("duration_h: 12", "duration_h: 1")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    return text


def two_layers(
    users_per_cell: int, hours: float, traffic: Traffic = AWAKE, sites: int = 1
) -> Scenario:
    """Return sites of three sectors with two carriers, of whose six cells three may sleep."""
    return Scenario(
        "small", "Some sites, two layers.", (),
        lambda: hex_grid(sites, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)),
        users_per_cell=users_per_cell,
        mix=UserMix(users=0, indoor_share=0.3, pedestrian_share=0.2, street_share=0.5),
        traffic=traffic, capacity_offset_db=6.0, tilt_deg=6.0, hours=hours,
    )  # fmt: skip
