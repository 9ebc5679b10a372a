"""The report of a causal model says what was found, what failed, and shows the graph."""

import json
import re
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from cellhive.causal.posterior import Settings
from cellhive.causal.queries.validation import Check
from cellhive.core.errors import BadInput
from cellhive.diagnose.incidents import Anomaly, rank
from cellhive.diagnose.search import Search
from cellhive.flows.analyse import Analysis
from cellhive.flows.causes.change import Proposals
from cellhive.flows.causes.model import Asked, Told, modelled
from cellhive.flows.causes.observations import table_observations
from cellhive.flows.causes.summary import EdgeFound, Summary, summary_of
from cellhive.flows.causes.why import Causes
from cellhive.reports.analysis.report import analysis_json, analysis_markdown, render_analysis
from cellhive.reports.causal.layout import BOX_HEIGHT, BOX_WIDTH, Way, layout_of
from cellhive.reports.causal.picture import drawn_edges, graph_picture
from cellhive.reports.causal.report import (
    causal_json,
    causal_markdown,
    render_causal,
    write_causal_report,
)

EVIL = "<script>alert('x')</script>|`A`"
POWER, SIGNAL, QUALITY = "tx_power_dbm", "rsrp_mean_dbm", "sinr_mean_db"


@cache
def summary(*, lags: int = 0) -> Summary:
    """Return what a model of a chain says: power, signal, quality, and a name that is hostile."""
    rng = np.random.default_rng(3)
    power = rng.standard_normal(400)
    signal = 0.9 * power + 0.5 * rng.standard_normal(400)
    quality = 0.8 * signal + 0.5 * rng.standard_normal(400)
    evil = -0.7 * np.roll(quality, lags) + 0.5 * rng.standard_normal(400)
    table = {POWER: power, SIGNAL: signal, QUALITY: quality, EVIL: evil, "flat": np.ones(400)}
    asked = Asked(lags=lags, settings=Settings(graphs=100))
    return summary_of(modelled(table_observations(table), Told(), asked))


def edge(cause: str, effect: str, probability: float = 1.0, lag: int = 0) -> EdgeFound:
    """Return an edge."""
    return EdgeFound(cause, effect, lag, probability, 0.5, 0.5, 0.4, 0.6, "")


def test_the_chain_is_told() -> None:
    """Edges, effects and a pattern's steps are in every form."""
    page, text = render_causal(summary()), causal_markdown(summary())
    record = json.loads(causal_json(summary()))
    edges = {(e["cause"], e["effect"]): e for e in record["edges"]}
    assert edges[POWER, SIGNAL]["probability"] > 0.95
    assert edges[POWER, SIGNAL]["mean"] == pytest.approx(0.9, abs=0.1)
    assert edges[POWER, SIGNAL]["low"] < edges[POWER, SIGNAL]["mean"] < edges[POWER, SIGNAL]["high"]
    effects = {(e["cause"], e["effect"]): e for e in record["effects"]}
    assert effects[SIGNAL, EVIL]["mean"] < 0.0
    assert "power loss" in page
    assert "power loss" in text
    assert any(p["name"] == "power loss" and p["probability"] > 0.9 for p in record["patterns"])
    assert {"name": "flat", "reason": "flat did not vary: it is 1 everywhere."} in record[
        "left_out"
    ]
    assert "flat did not vary" in page


def test_hostile_names_are_escaped() -> None:
    """No name becomes markup, in the page, the picture or the Markdown."""
    for text in (render_causal(summary()), causal_markdown(summary())):
        assert "<script>alert" not in text
    assert "\\|" in causal_markdown(summary())


def test_what_failed_comes_first() -> None:
    """A failed check is in the banner at the head, and first in the table."""
    checks = [
        Check("held out", SIGNAL, 0.5, 0.0, True, "later values are predicted"),
        Check("linear", QUALITY, 0.3, 0.05, False, "its mechanism is not linear"),
    ]
    page = render_causal(summary(), checks=checks)
    assert page.index("banner worse") < page.index("its mechanism is not linear")
    assert page.index("its mechanism is not linear") < page.index('id="graph"')
    assert page.rindex("FAILED") < page.rindex("later values are predicted")
    assert "FAILED" not in render_causal(summary(), checks=checks[:1])


def test_edges_of_earlier_periods_are_dashed_and_say_so() -> None:
    """A lag is seen in the picture, and patterns are not looked for."""
    lagged = summary(lags=1)
    found = {(e.cause, e.effect, e.lag): e for e in lagged.edges}
    assert found[QUALITY, EVIL, 1].probability > 0.95
    picture = graph_picture(lagged.edges, lagged.tiers)
    assert 'stroke-dasharray="6 4"' in picture
    assert "1 earlier" in picture
    assert "none was sought" in render_causal(lagged)


def test_a_picture_is_well_formed_and_says_what_it_is() -> None:
    """It is XML with a role and a title; negative edges have another colour."""
    picture = graph_picture(summary().edges, summary().tiers)
    root = ElementTree.fromstring(picture)  # noqa: S314  # our own text
    assert root.get("role") == "img"
    assert root[0].text == "Causal graph"
    assert re.search(r'class="line c1" style', picture)
    assert graph_picture([edge("a", "b", 0.1)], {}) == ""


def test_only_probable_edges_are_drawn_and_not_too_many() -> None:
    """Weak ones give way; improbable ones are never drawn."""
    many = [edge(f"a{k}", f"b{k}") for k in range(80)]
    assert len(drawn_edges([*many, edge("x", "y", 0.4)])) == 48
    assert [e.cause for e in drawn_edges([edge("x", "y", 0.4), edge("u", "v", 0.2)])] == ["x"]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_overlaps(seed: int) -> None:
    """Boxes stand apart, inside the picture; lanes of edges run between them."""
    rng = np.random.default_rng(seed)
    names = [f"v{k}" for k in range(30)]
    pairs = [tuple(sorted(rng.choice(30, 2, replace=False))) for _ in range(48)]
    ways = [Way(names[a], names[b], int(rng.integers(0, 2))) for a, b in dict.fromkeys(pairs)]
    tiers = {name: k // 7 for k, name in enumerate(names)} if seed % 2 else {}
    made = layout_of(names, ways, tiers, top=60.0)
    boxes = [(made.columns[made.column_of[n]], made.middle[n]) for n in names]
    for (x, y), (u, v) in combinations(boxes, 2):
        assert abs(x - u) >= BOX_WIDTH or abs(y - v) >= BOX_HEIGHT
    lanes = {point for chain in made.lanes.values() for point in chain}
    for x, y in lanes:
        assert all(u != x or abs(y - v) > BOX_HEIGHT / 2 for u, v in boxes)
    assert max(y for _, y in boxes) + BOX_HEIGHT / 2 <= made.height
    assert len(made.columns) <= 6
    for way in ways:
        if not way.lag and tiers and tiers[way.cause] < tiers[way.effect]:
            assert made.column_of[way.cause] < made.column_of[way.effect]


def test_a_search_that_has_not_settled_says_so_first() -> None:
    """No probability is shown without that word."""
    model = summary().model
    torn = replace(model.posterior.convergence, apart=0.6, error=0.3)
    model = replace(model, posterior=replace(model.posterior, convergence=torn))
    page = render_causal(replace(summary(), model=model))
    assert page.index("has NOT settled") < page.index('id="graph"')


def test_the_suffix_says_the_form(tmp_path: Path) -> None:
    """Three forms, and a refusal of others."""
    for suffix in ("html", "json", "md"):
        write_causal_report(summary().model, tmp_path / f"r.{suffix}", title="Mine")
        assert "Mine" in (tmp_path / f"r.{suffix}").read_text("utf-8")
    with pytest.raises(BadInput, match=r"\.html"):
        write_causal_report(summary().model, tmp_path / "r.pdf")


def test_an_analysis_shows_causes_or_why_there_are_none() -> None:
    """The sections stand in every form; without a model its reason does, escaped."""
    empty = Analysis((), (), Search((), 0, {}, 0, 0.05, ()), ())
    check = Check("linear", QUALITY, 0.3, 0.05, False, "its mechanism is not linear")
    proposals = Proposals((), (), "The data hold no setting that varied.")
    causes = Causes(summary(), (), proposals, (check,), {EVIL: "radio"}, ("A note.",))
    page = render_analysis(empty, causes=causes)
    assert (
        page.index('id="why"') < page.index("its mechanism is not linear") < page.index("<figure")
    )
    assert "no setting that varied" in page
    assert "<script>alert" not in page
    text = analysis_markdown(empty, causes=causes)
    assert "## What if, and what to change" in text
    assert "<script>alert" not in text
    assert json.loads(analysis_json(empty, causes=causes))["causes"]["model"]["edges"]
    none = Causes(None, (), None, (), {}, (), f"too few rows {EVIL}")
    odd = Anomaly("A", "v", "", "spike", 0.0, 3600.0, 1.0, 2.0, 9.0, 1e-9, "worse")
    asked = replace(empty, search=Search(rank([(odd,)]), 1, {}, 1, 0.05, ()))
    assert "No causal model was made: too few rows" in render_analysis(asked, causes=none)
    assert "No causal model" not in render_analysis(empty, causes=none)  # why what?
    assert "<script>alert" not in render_analysis(empty, causes=none)
    assert json.loads(analysis_json(empty, causes=none))["causes"]["problem"].startswith("too few")
    assert "causes" not in json.loads(analysis_json(empty))
    assert 'id="why"' not in render_analysis(empty)
