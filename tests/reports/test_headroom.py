"""The page of the headroom: what it says of rules that are below, equal and above."""

from __future__ import annotations

import pytest

from cellhive.adapters.scenarios import library
from cellhive.flows.headroom import CityResult, HeadroomStudy
from cellhive.reports.headroom import headroom_markdown, headroom_words

NAME = "night-energy"


def study(best: float, scatter: float) -> HeadroomStudy:
    """Return three cities: nothing 100, rules 104, and the best setting as given."""
    cities = []
    for index in range(3):
        off = scatter * (index - 1)
        arms = [{"objective": value, "power_w": 1e4 - value, "demand_satisfied_ratio": 0.9}
                for value in (100.0, 104.0 - off, best + off)]  # fmt: skip
        cities.append(
            CityResult(201 + index, *arms, promised=9.0, evaluations=64, steps=("tilt 3: +9",))
        )
    return HeadroomStudy("abcdef", 64, 60.0, None, {NAME: tuple(cities)})


@pytest.mark.parametrize(
    ("best", "scatter", "words", "verdict"),
    [
        (110.0, 0.1, "rules reach 40\u00a0%", "clearly above the rules"),
        (102.0, 0.1, "rules reach 200\u00a0%", "**The rules end above the best fixed setting"),
        (104.5, 0.5, "rules reach 89\u00a0%", "cannot be told apart"),
        (99.0, 0.1, "points", "**The rules end above the best fixed setting"),
    ],
)
def test_the_page_says_plainly_who_is_above(
    best: float, scatter: float, words: str, verdict: str
) -> None:
    """Of a headroom of 10, 4 is 40 %; rules above the search are said to be so."""
    found = study(best, scatter)
    page = headroom_markdown(library(), found, "cellhive headroom")
    assert words in headroom_words(found, NAME)
    assert verdict in page
    assert f"| [{NAME}](#{NAME}) | 3 | 100.0 | 104.0 | {best:.1f} |" in page
    assert ("no clear headroom" in page.partition("## ")[0]) == (best < 100)
    assert "found in 64 trials" in page
    assert "60 s of radio time" in page
    assert "cities 201, 202, 203" in page


def test_one_city_is_no_study() -> None:
    """Without an interval nothing is stated."""
    found = study(110.0, 0.1)
    alone = HeadroomStudy("abcdef", 64, 60.0, None, {NAME: found.cities[NAME][:1]})
    assert headroom_words(alone, NAME) == ""
    assert f"[{NAME}]" not in headroom_markdown(library(), alone, "cellhive headroom")
