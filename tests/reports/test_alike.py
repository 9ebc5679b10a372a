"""Equal recommendations are told once, with a table of where; others stay as they are."""

from dataclasses import replace

import pytest

from cellhive.diagnose.advice.recommendation import Limits, Recommendation, Topic
from cellhive.flows.advice.advise import Advised
from cellhive.flows.advice.plan import planned
from cellhive.reports.advice.alike import alike
from cellhive.reports.advice.section import advice_html, advice_markdown
from cellhive.reports.advice.words import summary


def order(headline: str, *objects: str, code: str = "one-way") -> Recommendation:
    """Return a work order of the audit."""
    return Recommendation(
        Topic.CONFIGURATION, objects, headline, (), None,
        (f"audit, {code}: {objects[0]} is alone", "users cannot come back"), float("nan"),
        "none", 0.05, None, "remove it again", 0.8, 0.005,
    )  # fmt: skip


def advised(*every: Recommendation) -> Advised:
    """Return advice of these."""
    plan = planned(every, {}, None, 1.7e9)
    return Advised(every, (), 0, (), plan, Limits(), (), ())


@pytest.fixture
def relations() -> list[Recommendation]:
    """Return three relations to add, one thing else, and a fourth relation."""
    adds = [order(f"Add the neighbour relation {a}->14427", a, "14427") for a in "1357"]
    other = order("Cells X, Y: check the position", "X", "Y", code="far-neighbour")
    return [*adds[:3], other, adds[3]]


def test_equal_orders_are_one_card_with_a_table(relations: list[Recommendation]) -> None:
    """Four of five differ in the cell only."""
    html = str(advice_html(advised(*relations)))
    assert html.count('<article class="advice') == 2
    assert "1 to 3 and others. Add the neighbour relation (4 places)" in html
    assert "7-&gt;14427" in html
    assert "audit, one-way: 7 is alone" in html
    text = advice_markdown(advised(*relations))
    (row,) = [line for line in text if "(4 places)" in line]
    assert "1-&gt;14427; 3-&gt;14427; 5-&gt;14427; 7-&gt;14427" in row


def test_what_is_common_may_stand_at_the_end() -> None:
    """The places are what comes before it."""
    every = [order(f"Cells {a}, B1: check it, then bar it", a, "B1") for a in ("A1", "A2", "A3")]
    (group,) = alike(every)
    assert group.headline == "Check it, then bar it (3 places)"
    assert group.places == ("Cells A1, B1", "Cells A2, B1", "Cells A3, B1")


def test_two_or_those_with_figures_of_their_own_stay_apart(
    relations: list[Recommendation],
) -> None:
    """Users are counted for each; two of a kind are short enough."""
    assert len(alike(relations[:2])) == 2
    assert len(alike([replace(one, users=9.0) for one in relations])) == 5
    assert [group.ranks for group in alike(relations[:2])] == ["1", "2"]


def test_counts_are_said_once(relations: list[Recommendation]) -> None:
    """No "1 recommendation, the most useful first: 1 work order"."""
    assert summary(advised(relations[0])) == ["1 recommendation: a work order."]
    assert summary(advised(*relations[:2])) == [
        "2 recommendations, the most useful first: all of them work orders."
    ]
    assert "No effect is foretold" not in str(advice_html(advised(relations[0])))
