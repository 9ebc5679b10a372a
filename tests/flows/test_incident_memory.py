"""Incidents in a memory: alike ones are found again in another network, and keep their notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import cellhive
from cellhive.app.memory.opening import open_memory
from cellhive.core.errors import BadInput, NotFound
from cellhive.flows.analyse import Analysis
from cellhive.flows.recall.incidents import (
    FEATURES,
    every,
    family_of,
    noted,
    precedents,
    remember,
    situation,
)
from cellhive.memory.store import Memory

START = datetime(2025, 3, 3, tzinfo=UTC)
QUALITY = ("Average SINR (dB)", "DL Throughput (Mbps)")
DROPS = ("Call Drop Rate (%)",)


def network(hit: Sequence[str], *, seed: int, at: int = 200, prefix: str = "cell") -> Analysis:
    """Return two weeks of a network in which some KPIs of one cell are bad for a day."""
    rng = np.random.default_rng(seed)
    cells, count = 5, 14 * 24
    shape = (cells, count)
    values = {
        "DL Throughput (Mbps)": rng.normal(30, 1, shape),
        "Average SINR (dB)": rng.normal(12, 0.5, shape),
        "Call Drop Rate (%)": np.abs(rng.normal(1.0, 0.05, shape)),
    }
    harm = {"DL Throughput (Mbps)": -12.0, "Average SINR (dB)": -6.0, "Call Drop Rate (%)": 2.0}
    for name in hit:
        values[name][1, at : at + 24] += harm[name]
    frame = pl.DataFrame({
        "Time": [START + timedelta(hours=i) for _ in range(cells) for i in range(count)],
        "Cell Name": np.repeat([f"{prefix}-{i}" for i in range(cells)], count),
        **{name: grid.ravel() for name, grid in values.items()},
    })  # fmt: skip
    return cellhive.analyse(frame, causes=False).analysis


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """Return an empty memory on disk."""
    with open_memory(tmp_path / "memory") as held:
        yield held


def test_an_incident_of_another_network_is_found_again_and_another_one_is_not(
    memory: Memory,
) -> None:
    """Names of cells and the time of the day make no difference."""
    assert precedents(memory, network(QUALITY, seed=1)) == {}
    assert remember(memory, network(QUALITY, seed=1)) == 1
    assert remember(memory, network(DROPS, seed=2, prefix="town")) == 1
    again = precedents(memory, network(QUALITY, seed=3, at=100, prefix="other"))
    assert [one.facts["lead_object"] for one in again[1]] == ["cell-1"]
    assert again[1][0].similarity > 0.95
    assert set(again[1][0].alike) <= set(FEATURES)
    assert {"throughput", "quality"} & set(again[1][0].alike)
    drops = precedents(memory, network(DROPS, seed=4, at=60, prefix="other"))
    assert [one.facts["lead_object"] for one in drops[1]] == ["town-1"]


def test_the_same_data_again_is_the_same_incident_and_keeps_its_note(memory: Memory) -> None:
    """Analysed twice, it is kept once; its note can be found by words."""
    analysis = network(QUALITY, seed=1)
    remember(memory, analysis)
    (record,) = every(memory)
    noted(memory, record.id[:5], "feeder wet,\njumper replaced")
    assert remember(memory, analysis) == 0
    (again,) = every(memory)
    assert again.id == record.id
    assert again.metadata["note"] == "feeder wet,\njumper replaced"
    assert precedents(memory, analysis) == {}, "an incident is no precedent of itself"
    later = precedents(memory, network(QUALITY, seed=9, at=250))
    assert later[1][0].note.startswith("feeder wet")
    assert memory.find("incidents", text="jumper")[0].record.id == record.id
    noted(memory, record.id, "")
    assert "note" not in every(memory)[0].metadata


def test_what_a_person_explained_comes_first(memory: Memory) -> None:
    """Of four alike three are named, the one with a note first."""
    for seed, prefix in ((1, "a"), (2, "b"), (3, "c"), (4, "d")):
        remember(memory, network(QUALITY, seed=seed, prefix=prefix))
    known = next(one for one in every(memory) if one.metadata["lead_object"] == "c-1")
    noted(memory, known.id, "tilt motor stuck")
    found = precedents(memory, network(QUALITY, seed=7, at=90, prefix="e"))[1]
    assert len(found) == 3
    assert found[0].facts["lead_object"] == "c-1"
    assert found[1].similarity >= found[2].similarity


def test_a_vector_names_no_object_and_tells_directions_apart() -> None:
    """Two networks that differ in names only give the same vector."""
    worse, other = network(QUALITY, seed=1), network(QUALITY, seed=1, prefix="zz")
    columns = worse.parts[0].columns
    one = situation(worse.search.incidents[0], columns)
    assert one.shape == (len(FEATURES),)
    assert np.array_equal(one, situation(other.search.incidents[0], other.parts[0].columns))
    assert one[FEATURES.index("throughput")] < -0.5
    assert one[FEATURES.index("quality")] < -0.5
    drops = situation(network(DROPS, seed=1).search.incidents[0], columns)
    assert drops[FEATURES.index("retainability")] > 0.5


@pytest.mark.parametrize(("name", "quantity", "family"), [
    ("VS.HO.PingPong", None, "ping-pong"), ("LTE_5218g_E-UTRAN Avg PRB usage", None, "load"),
    ("L.Traffic.User.Avg", None, "traffic volume"),
    ("pmErabEstabSucc setup", None, "accessibility"),
    ("anything", "rlf_per_ue_min", "retainability"), ("anything", "RRC.ReEstabAtt",
     "re-establishment"), ("no_of_something", None, "other KPIs"),
    ("Cell Availability (%)", None, "availability"), ("E-RAB Drop Rate", None, "retainability"),
])  # fmt: skip
def test_names_of_kpis_fall_into_families(name: str, quantity: str | None, family: str) -> None:
    """The name in the registry counts more than that of the vendor."""
    assert family_of(name, quantity) == family


def test_unknown_and_ambiguous_names_and_long_notes_are_refused(memory: Memory) -> None:
    """Nothing is written then."""
    remember(memory, network((*QUALITY, *DROPS), seed=1))
    (record,) = every(memory)
    for name in ("", "zz"):
        with pytest.raises(NotFound, match="one remembered incident"):
            noted(memory, name, "x")
    with pytest.raises(BadInput, match="2000"):
        noted(memory, record.id, "x" * 2001)
