"""What site lists call a carrier becomes its frequency."""

import itertools

import pytest

from cellhive.adapters.sites.bands import BAND_MHZ, EARFCN, frequency_hz


@pytest.mark.parametrize(
    ("text", "meaning", "mhz"),
    [
        ("n78", "band", 3550.0),  # TS 38.104: 3300 to 3800 MHz
        ("B3", "band", 1842.5),  # TS 36.104: 1805 to 1880 MHz
        ("band 20", "band", 806.0),  # 791 to 821 MHz
        ("7", "band", 2655.0),  # 2620 to 2690 MHz
        ("800", "band", 800.0),
        ("n28", "frequency", 780.5),
        ("LTE1800", "band", 1800.0),
        ("L800", "band", 800.0),
        ("NR 3500", "frequency", 3500.0),
        ("3.5 GHz", "frequency", 3500.0),
        ("2,6GHz", "band", 2600.0),
        ("3.5", "frequency", 3500.0),
        ("3500", "frequency", 3500.0),
        ("3500000000", "frequency", 3500.0),
        ("1300", "arfcn", 1815.0),  # band 3: 1805 + 0.1 (1300 - 1200)
        ("6300", "arfcn", 806.0),  # band 20: 791 + 0.1 (6300 - 6150)
        ("632448", "arfcn", 3486.72),  # 3000 + 0.015 (632448 - 600000)
        ("156100", "arfcn", 780.5),  # 0.005 * 156100
        ("2054166", "arfcn", 26500.02),  # 24250.08 + 0.06 (2054166 - 2016667)
    ],
)
def test_names_become_frequencies(text: str, meaning: str, mhz: float) -> None:
    """Expected values from the tables of TS 36.104 and TS 38.104, by hand."""
    assert frequency_hz(text, meaning=meaning) == pytest.approx(mhz * 1e6)


@pytest.mark.parametrize(("unit", "number"), [("hz", "2.1e9"), ("khz", "2.1e6"), ("mhz", "2100"),
                                              ("ghz", "2.1")])  # fmt: skip
def test_unit_of_the_header_counts(unit: str, number: str) -> None:
    """A number is read in the unit that its header gives."""
    assert frequency_hz(number, meaning="frequency", unit=unit) == pytest.approx(2.1e9)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [("n999", "band"), ("", "band"), ("fast", "frequency"), ("0", "frequency"),
     ("-3", "frequency"), ("70000", "arfcn"), ("nan", "frequency"), ("300 GHz", "band")],
)  # fmt: skip
def test_other_texts_are_refused(text: str, meaning: str) -> None:
    """Unknown bands, channels outside every raster and frequencies out of range."""
    with pytest.raises(ValueError, match=r".+"):
        frequency_hz(text, meaning=meaning)


def test_channel_ranges_do_not_overlap() -> None:
    """Each EARFCN has one frequency, and each band one downlink."""
    ordered = sorted(EARFCN)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ordered))
    assert all(600 < mhz < 40_000 for mhz in BAND_MHZ.values())
