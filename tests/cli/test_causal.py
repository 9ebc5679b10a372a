"""`cellhive causal`: from a table to answers, and what it says of wrong questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

Command = Callable[..., Any]

PERIODS, CELLS = 160, 8


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a week of a small network: tilt -> SINR -> PRBs -> throughput, demand -> PRBs."""
    rng = np.random.default_rng(11)
    shape = (PERIODS, CELLS)
    tilt_deg = np.repeat(rng.integers(2, 7, (PERIODS // 16, CELLS)), 16, axis=0).astype(float)
    offered = rng.gamma(9.0, 1.0, shape)
    sinr_db = 15.0 - tilt_deg + rng.standard_normal(shape) + np.linspace(-3.0, 3.0, CELLS)
    prbs = 30.0 + 3.0 * offered - 1.0 * sinr_db + rng.standard_normal(shape)
    throughput_mbps = 60.0 + 1.0 * sinr_db - 0.5 * prbs + rng.standard_normal(shape)
    columns = {
        "electrical_tilt_deg": tilt_deg, "x.OfferedVolumeDl": offered, "sinr_mean_db": sinr_db,
        "RRU.PrbUsedDl": prbs, "ue_throughput_mbps": throughput_mbps,
        "spare": np.full(shape, 4.0),
    }  # fmt: skip
    start = pl.datetime(2026, 1, 5)
    frame = pl.DataFrame({
        "period": np.repeat(np.arange(PERIODS), CELLS),
        "cell": [f"C{k}" for _ in range(PERIODS) for k in range(CELLS)],
        **{name: values.ravel() for name, values in columns.items()},
        "vendor": ["a"] * PERIODS * CELLS,
    }).select(
        (start + pl.duration(minutes=15) * pl.col("period")).alias("time"),
        pl.exclude("period"),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("causal") / "kpis.csv"
    frame.write_csv(path)
    return path


@pytest.fixture(scope="module")
def model(cellhive: Command, table: Path) -> Path:
    """Learn from it."""
    path = table.parent / "week.causal"
    ended = cellhive("causal", "discover", table, "-o", path)
    assert ended.code == 0, ended.err
    assert "left out spare" in ended.out
    assert "converged" in ended.out
    return path


def test_the_edges_are_those_of_the_network(cellhive: Command, table: Path, tmp_path: Path) -> None:
    """Each true edge is probable, with its slope in the interval; the same seed says the same."""
    said = [
        cellhive("causal", "discover", table, "-o", tmp_path / "m.causal", "--json").out
        for _ in range(2)
    ]
    assert said[0] == said[1]
    told = json.loads(said[0])
    assert told["cells"], told["periods"] == (CELLS, PERIODS)
    edges = {(edge["cause"], edge["effect"]): edge for edge in told["edges"]}
    for cause, effect, slope in (
        ("electrical_tilt_deg", "sinr_mean_db", -1.0), ("x.OfferedVolumeDl", "RRU.PrbUsedDl", 3.0),
        ("sinr_mean_db", "RRU.PrbUsedDl", -1.0), ("RRU.PrbUsedDl", "ue_throughput_mbps", -0.5),
    ):  # fmt: skip
        edge = edges[cause, effect]
        assert edge["probability"] > 0.95
        half = edge["high"] - edge["low"]
        assert edge["low"] - half < slope < edge["high"] + half


def test_effects_are_told_with_how_far_they_can_be_relied_on(
    cellhive: Command, model: Path
) -> None:
    """Two degrees down: the total effect of both ways is -2 x 1.5 Mbit/s."""
    asked = ("causal", "effect", model, "--effect", "ue_throughput_mbps")
    ended = cellhive(*asked, "--cause", "electrical_tilt_deg", "--change", 2, "--json")
    (answer,) = json.loads(ended.out)
    assert answer["verdict"] == "clear"
    assert answer["mean"] == pytest.approx(-3.0, abs=0.4)
    assert answer["most"][0] < answer["mean"] < answer["most"][1]
    far = cellhive(*asked, "--cause", "electrical_tilt_deg", "--change", 12)
    assert "[extrapolated]" in far.out
    copied = cellhive(*asked, "--cause", "spare")
    assert "cannot be told" in copied.out
    ranked = cellhive(*asked).out.splitlines()
    assert len(ranked) >= 3
    assert ranked[0].startswith("RRU.PrbUsedDl")


def test_a_what_if_gives_back_what_was_and_what_would_have_been(
    cellhive: Command, model: Path, table: Path
) -> None:
    """The factual column is the table's; a lower tilt would have helped; nothing else moves."""
    frame = pl.read_csv(table).filter(pl.col("cell") == "C3")
    ended = cellhive("causal", "whatif", model, "--cell", "C3", "--at", 40,
                     "--set", f"electrical_tilt_deg={frame['electrical_tilt_deg'][40] - 1}",
                     "--json")  # fmt: skip
    told = json.loads(ended.out)
    where = {name: k for k, name in enumerate(told["names"])}
    for name, k in where.items():
        assert told["factual"][0][k] == pytest.approx(frame[name][40])
    difference = told["difference"][0]
    assert difference[where["electrical_tilt_deg"]] == pytest.approx(-1.0)
    assert difference[where["ue_throughput_mbps"]] == pytest.approx(1.5, abs=0.25)
    assert abs(difference[where["x.OfferedVolumeDl"]]) < 0.01
    shown = cellhive("causal", "whatif", model, "--cell", "C3", "--set", "electrical_tilt_deg=30")
    assert f"C3, period {PERIODS - 1}" in shown.out
    assert "extrapolation" in shown.out


def test_a_plan_weighs_gain_and_harm(cellhive: Command, model: Path) -> None:
    """Less tilt gives more throughput; with a harm it surely does, nothing is left."""
    asked = ("causal", "plan", model, "--lever", "electrical_tilt_deg:-1,1",
             "--goal", "ue_throughput_mbps=1")  # fmt: skip
    best = json.loads(cellhive(*asked, "--json").out)["options"][0]
    assert best["changes"] == {"electrical_tilt_deg": -1.0}
    assert best["gain"] == pytest.approx(1.5, abs=0.25)
    barred = cellhive(*asked, "--harm", "RRU.PrbUsedDl<0.2@0.05", "--trial", 50)
    assert "risks one of the harms" in barred.out


def test_a_report_is_written_in_the_form_asked_for(
    cellhive: Command, model: Path, tmp_path: Path
) -> None:
    """A page that needs nothing else, and figures for programs."""
    page, figures = tmp_path / "causes.html", tmp_path / "causes.json"
    assert cellhive("causal", "report", model, "-o", page, "--title", "Week 2").code == 0
    text = page.read_text(encoding="utf-8")
    assert "Week 2" in text
    assert "electrical_tilt_deg" in text
    assert "<svg" in text
    assert cellhive("causal", "report", model, "-o", figures).code == 0
    assert json.loads(figures.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["effect", "MODEL", "--effect", "moon"], "found 'moon'"),
        (["effect", "TABLE", "--effect", "moon"], "expected a model that `cellhive causal"),
        (["effect", "MODEL", "--effect", "spare", "--change", "1"], "expected --cause"),
        (["whatif", "MODEL", "--cell", "C99", "--set", "sinr_mean_db=1"], "found 'C99'"),
        (["whatif", "MODEL", "--cell", "C1", "--at", "999", "--set", "sinr_mean_db=1"],
         "expected periods among 0 to 159"),
        (["whatif", "MODEL", "--cell", "C1", "--set", "sinr_mean_db"], "expected name=number"),
        (["plan", "MODEL", "--lever", "spare:1", "--goal", "sinr_mean_db=1"], "did not vary"),
        (["plan", "MODEL", "--lever", "sinr_mean_db", "--goal", "x=1"], "name:step,step"),
        (["plan", "MODEL", "--lever", "sinr_mean_db:1", "--goal", "RRU.PrbUsedDl=1",
          "--harm", "RRU.PrbUsedDl>-1"], "with a positive number"),
        (["discover", "TABLE", "-o", "model.txt"], ".causal"),
        (["discover", "TABLE", "-v", "moon*"], "found 'moon*'"),
        (["discover", "nowhere"], "nowhere"),
    ],
)  # fmt: skip
def test_wrong_questions_are_refused(
    cellhive: Command, model: Path, table: Path, words: list[str], told: str
) -> None:
    """Exit code 2 and a sentence that says what would have been right."""
    named = {"MODEL": str(model), "TABLE": str(table)}
    ended = cellhive("causal", *(named.get(word, word) for word in words))
    assert ended.code == 2
    assert told in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("like: 3", "`like` with a quantity"), ("nonsense: 1", "expected the keys"),
        ("- a", "expected keys"), ("required: [[sinr_mean_db]]", "[cause, effect]"),
        ("forbidden: [[sinr_mean_db, moon]]", "found moon"), ("like: {moon: load}", "found moon"),
        ("required: [[ue_throughput_mbps, sinr_mean_db]]", "rule out"),
        ("encouraged: [[sinr_mean_db, RRU.PrbUsedDl, much]]", "log odds last"),
        ("radio: perhaps", "true or false"), ("a: [", "a YAML file"),
    ],
)  # fmt: skip
def test_mistakes_in_a_knowledge_file_are_explained(
    cellhive: Command, table: Path, tmp_path: Path, text: str, told: str
) -> None:
    """Nothing is guessed."""
    (tmp_path / "known.yaml").write_text(text)
    ended = cellhive("causal", "discover", table, "-o", tmp_path / "m.causal",
                     "--knowledge", tmp_path / "known.yaml")  # fmt: skip
    assert ended.code == 2
    assert told in ended.err
    assert not (tmp_path / "m.causal").exists()


def test_what_a_person_knows_is_heeded(cellhive: Command, table: Path, tmp_path: Path) -> None:
    """A forbidden edge is gone, and its path goes another way."""
    (tmp_path / "known.yaml").write_text(
        "forbidden: [[sinr_mean_db, RRU.PrbUsedDl]]\nlike: {spare: configuration}\n"
    )
    ended = cellhive("causal", "discover", table, "-o", tmp_path / "m.causal", "--json",
                     "--knowledge", tmp_path / "known.yaml")  # fmt: skip
    edges = {(edge["cause"], edge["effect"]) for edge in json.loads(ended.out)["edges"]}
    assert ("sinr_mean_db", "RRU.PrbUsedDl") not in edges
