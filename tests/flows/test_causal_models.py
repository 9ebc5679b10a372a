"""Causal models from tables and as bytes: whatever comes in, an answer or a clear refusal."""

from __future__ import annotations

import contextlib
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cellhive.causal.effects import total_effects
from cellhive.causal.graph import Edge
from cellhive.causal.live.snapshots import packed, unpacked
from cellhive.causal.posterior import Settings
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats
from cellhive.flows.causes.model import (
    Asked,
    CausalModel,
    Told,
    model_bytes,
    model_of,
    modelled,
)
from cellhive.flows.causes.observations import Observations, table_observations

QUICK = Asked(settings=Settings(starts=2, graphs=40))
FREE = Told(radio=False)


def chain(periods: int = 80, cells: int = 3, variables: int = 3) -> Floats:
    """Return data in which each variable follows from the one before."""
    panel = np.random.default_rng(0).standard_normal((periods, cells, variables))
    for k in range(1, variables):
        panel[:, :, k] += 0.8 * panel[:, :, k - 1]
    return panel


def seen_of(panel: Floats) -> Observations:
    """Return a panel as observations of variables v0, v1, ..."""
    cells, variables = panel.shape[1:]
    return Observations(
        panel, tuple(f"v{k}" for k in range(variables)), ("",) * variables,
        tuple(f"c{k}" for k in range(cells)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> CausalModel:
    """Return a small model with a lag and one variable that did not vary."""
    panel = chain(variables=4)
    panel[:, :, 3] = 7.0
    told = Told(radio=False, encouraged=((Edge("v0", "v1"), 1.0),), forbidden=(Edge("v2", "v0"),))
    return modelled(seen_of(panel), told, Asked(lags=1, settings=Settings(starts=2, graphs=40)))


# ------------------------------------------------------------------ tables


def table(rows: int = 40) -> pl.DataFrame:
    """Return a table of two cells."""
    rng = np.random.default_rng(0)
    half = rows // 2
    return pl.DataFrame(
        {
            "time": np.tile(np.arange(half), 2), "cell": np.repeat(["x", "y"], half),
            "a": rng.standard_normal(rows), "b": rng.standard_normal(rows),
        }
    )  # fmt: skip


def test_polars_pandas_and_mappings_are_one_table() -> None:
    """The same rows in any kind of table, and in any sequence, are the same observations."""
    frame = table()
    usual = table_observations(frame, time="time", cell="cell")
    assert usual.values.shape == (20, 2, 2)
    np.testing.assert_array_equal(usual.values[:, 1, 0], frame["a"].to_numpy()[20:])
    others: list[Any] = [
        frame.sample(fraction=1.0, shuffle=True, seed=1), frame.lazy(), frame.to_dict(),
        frame.to_dict(as_series=False),
    ]  # fmt: skip
    pandas = pytest.importorskip("pandas")
    others.append(pandas.DataFrame(frame.to_dict(as_series=False)))
    for other in others:
        again = table_observations(other, time="time", cell="cell")
        np.testing.assert_array_equal(again.values, usual.values)
        assert (again.names, again.cells) == (("a", "b"), ("x", "y"))


def test_times_as_text_are_not_put_in_alphabetical_order() -> None:
    """Numbers in text follow as numbers, dates as dates with their length, zones included."""
    columns = {"a": [1.0, 2.0, 3.0], "b": [3.0, 1.0, 2.0]}
    found = table_observations({"t": ["10", "9", "8"], **columns}, time="t")
    np.testing.assert_array_equal(found.values[:, 0, 0], [3.0, 2.0, 1.0])
    hours = ["2026-05-01T02:00+02:00", "2026-05-01T01:00Z", "2026-05-01 02:00"]
    found = table_observations({"t": hours, **columns}, time="t")
    np.testing.assert_array_equal(found.values[:, 0, 0], [1.0, 2.0, 3.0])
    assert (found.start_s, found.step_s) == (1777593600.0, 3600.0)
    with pytest.raises(BadInput, match="numbers, dates, or text such as"):
        table_observations({"t": ["1st", "2nd", "3rd"], **columns}, time="t")


def test_a_gap_in_time_makes_no_neighbours() -> None:
    """Missing periods stand between as empty ones, a long gap as what lags can reach across."""
    found = table_observations(
        {"t": [0, 1, 2, 4, 5, 900], "a": np.arange(6.0), "b": np.arange(6.0) ** 2}, time="t"
    )
    gone = np.isnan(found.values[:, 0, 0])
    np.testing.assert_array_equal(gone, np.isin(np.arange(10), [3, 6, 7, 8]))
    assert found.names == ("a", "b")


def test_words_times_and_lists_are_no_variables() -> None:
    """What is no number is left out, with the reason; missing numbers are NaN."""
    odd = table().with_columns(
        pl.when(pl.col.a > 0).then(pl.lit("hi")).otherwise(pl.lit("lo")).alias("kind"),
        pl.datetime(2026, 1, 1).alias("since"), pl.concat_list("a", "b").alias("both"),
        pl.when(pl.col.time > 0).then(1).otherwise(None).alias("count"),
    )  # fmt: skip
    found = table_observations(odd, time="time", cell="cell")
    assert found.names == ("a", "b", "count")
    assert [name for name, _ in found.left_out] == ["kind", "since", "both"]
    assert np.isnan(found.values[0, :, 2]).all()
    assert (found.values[1:, :, 2] == 1.0).all()


@pytest.mark.parametrize(
    ("given_table", "said"),
    [
        (None, "NoneType"),
        ([1, 2], "list"),
        ({}, "an empty one"),
        ({"a": 1.0}, "a single value in 'a'"),
        ({"a": [1.0, 2.0], "b": [1.0]}, "1 to 2 rows"),
        ({"t": [0, None], "a": [1.0, 2.0]}, "1 missing"),
        ({"t": [0, np.inf], "a": [1.0, 2.0]}, "1 missing"),
        ({"t": [0, 0], "a": [1.0, 2.0]}, "several of the same"),
        ({"t": [0, 1], "a": ["x", "y"]}, "none beside time and cell"),
        ({1: [1.0], "1": [2.0], "t": [0]}, "1 more than once"),
    ],
)
def test_what_is_no_table_of_periods_is_refused(given_table: Any, said: str) -> None:
    """Other things, ragged and empty tables, missing times and doubled rows are named."""
    time = "t" if isinstance(given_table, dict) and "t" in given_table else ""
    with pytest.raises(BadInput, match=said):
        table_observations(given_table, time=time)


# ------------------------------------------------------------------ data


def test_panels_of_any_layout_give_the_same_posterior() -> None:
    """Fortran order, views, and single precision of the same numbers change nothing."""
    panel = chain().astype(np.float32).astype(np.float64)
    wide = np.repeat(np.repeat(panel, 2, axis=0), 2, axis=2)
    usual = modelled(seen_of(panel), FREE, QUICK).posterior
    for other in (np.asfortranarray(panel), wide[::2, :, ::2], panel.astype(np.float32)):
        again = modelled(seen_of(other), FREE, QUICK).posterior
        np.testing.assert_array_equal(again.chosen, usual.chosen)
        np.testing.assert_array_equal(again.log_score, usual.log_score)


def test_threads_share_nothing() -> None:
    """Models made at the same time are, bit for bit, the one made alone."""
    alone = model_bytes(modelled(seen_of(chain()), FREE, QUICK))
    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(modelled, seen_of(chain()), FREE, QUICK) for _ in range(3)]
    assert all(model_bytes(one.result()) == alone for one in made)


@pytest.mark.parametrize("size", [1e-100, 1e-13, 1e100])
def test_units_do_not_matter(size: float) -> None:
    """A variable in units that make it tiny or huge has the same effects in these units."""
    scale = np.array([size, 1.0, 1.0])
    usual = total_effects(modelled(seen_of(chain()), FREE, QUICK).mechanisms())
    found = modelled(seen_of(chain() * scale), FREE, QUICK)
    assert found.names == ("v0", "v1", "v2")
    back = total_effects(found.mechanisms()).mean[:, 0] / scale * scale[:, None]
    np.testing.assert_allclose(back, usual.mean[:, 0], rtol=1e-5)


def test_rounding_is_no_variation() -> None:
    """A cell's constant whose mean is not exact is constant, not noise of 1e-17."""
    panel = chain()
    panel[:, :, 1] = np.array([0.1, 1e9 / 3.0, 0.7])
    found = modelled(seen_of(panel), FREE, QUICK)
    assert found.names == ("v0", "v2")
    assert "did not vary" in found.unusable[0].reason


def test_too_few_samples_are_said_to_be_too_few() -> None:
    """Variables beyond the number of samples are not called copies of others."""
    found = modelled(seen_of(chain(10, 1, 20)), FREE, QUICK)
    assert len(found.names) == 9
    assert "10 samples cannot tell more than 9 variables apart" in found.unusable[0].reason


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        (np.zeros((0, 3, 2)), "none that was measured"),
        (np.zeros((9, 0, 2)), "none that was measured"),
        (np.zeros((9, 3, 0)), "none that was measured"),
        (np.full((9, 3, 2), np.nan), "none that was measured"),
        (chain() * 1e300, "numbers up to 1e[+]140"),
        (np.where(np.arange(2) > 0, np.nan, chain(9, 3, 2)), "none of v1"),
        (np.ones((9, 3, 2)), "v0 did not vary"),
        (chain(9, 3, 1), "at least two variables"),
        (chain(2, 1, 2), "2 samples"),
    ],
)
def test_data_without_anything_to_learn_are_refused(panel: Floats, said: str) -> None:
    """Empty, missing, huge and constant data say what they are."""
    with pytest.raises(BadInput, match=said):
        modelled(seen_of(panel), FREE, QUICK)


@pytest.mark.parametrize(
    "wrong",
    [
        {"chains": 0}, {"graphs": 1}, {"starts": -1}, {"candidates": 0}, {"betas": ()},
        {"betas": (0.5,)}, {"betas": (1.0, -1.0)}, {"moves_per_node": float("nan")},
        {"burn_in": -1.0},
    ],
)  # fmt: skip
def test_settings_that_no_chain_can_follow_are_refused(wrong: dict[str, Any]) -> None:
    """No chains, no rungs (which compiled code would read beyond), and a hot first rung."""
    with pytest.raises(BadInput, match="settings"):
        modelled(seen_of(chain()), FREE, Asked(settings=Settings(**wrong)))


def test_what_is_asked_is_checked() -> None:
    """Negative seeds, lags that are none, and endless preferences are refused."""
    for asked in (Asked(seed=-1), Asked(lags=4), Asked(lags=-1)):
        with pytest.raises(BadInput):
            modelled(seen_of(chain()), FREE, asked)
    with pytest.raises(BadInput, match="finite log odds"):
        modelled(
            seen_of(chain()), Told(radio=False, encouraged=((Edge("v0", "v1"), np.inf),)), QUICK
        )


# ------------------------------------------------------------------ bytes


def test_a_model_comes_back_as_it_was(model: CausalModel) -> None:
    """Bytes give the same posterior, the same answers and the same bytes."""
    data = model_bytes(model)
    back = model_of(data)
    assert model_bytes(back) == data
    np.testing.assert_array_equal(back.mechanisms().coefficients, model.mechanisms().coefficients)
    assert back.unusable == model.unusable


@settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(data=st.data())
def test_damaged_bytes_are_refused(model: CausalModel, data: st.DataObject) -> None:
    """Any bytes, and a model with some changed, cut or added, give BadInput."""
    good = model_bytes(model)
    at = data.draw(st.integers(0, len(good) - 1))
    some = data.draw(st.binary(min_size=1, max_size=8))
    kind = data.draw(st.sampled_from(["any", "changed", "cut", "added"]))
    bad = {
        "any": some * 9, "changed": good[:at] + some + good[at + len(some) :],
        "cut": good[:at], "added": good[:at] + some + good[at:],
    }[kind]  # fmt: skip
    if bad != good:
        with pytest.raises(BadInput):
            model_of(bad)


def signed(body: bytes) -> bytes:
    """Return bytes with the digest that belongs to them, as whoever forges them would."""
    return b"CHCAUSAL" + (1).to_bytes(4, "little") + hashlib.sha256(body).digest() + body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(data=st.data())
def test_forged_headers_are_refused(model: CausalModel, data: st.DataObject) -> None:
    """With a right digest, too, nothing but a refusal or a model that answers comes out."""
    values, arrays = unpacked(model_bytes(model))
    spot = data.draw(st.sampled_from([*((key,) for key in values),
                                      *(("seen", key) for key in values["seen"]),
                                      *(("told", key) for key in values["told"]),
                                      *(("asked", key) for key in values["asked"])]))  # fmt: skip
    inner = values if len(spot) == 1 else values[spot[0]]
    inner[spot[-1]] = data.draw(JSON)
    with contextlib.suppress(BadInput):
        total_effects(model_of(packed(values, arrays)).mechanisms())


@settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(data=st.data())
def test_forged_arrays_are_refused(model: CausalModel, data: st.DataObject) -> None:
    """Indices out of range, cycles, other shapes and kinds do not reach compiled code."""
    values, arrays = unpacked(model_bytes(model))
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = arrays[name]
    how = data.draw(st.sampled_from(["value", "cut", "kind", "gone"]))
    if how == "value":
        where = data.draw(st.integers(0, array.size - 1))
        array.reshape(-1)[where] = data.draw(
            st.integers(-(2**31), 2**31 - 1) if array.dtype.kind == "i" else st.floats()
        )
    elif how == "cut":
        arrays[name] = array[:-1]
    elif how == "kind":
        arrays[name] = array.astype(np.float32)
    else:
        del arrays[name]
    with contextlib.suppress(BadInput):
        total_effects(model_of(packed(values, arrays)).mechanisms())


def test_a_cycle_does_not_hang(model: CausalModel) -> None:
    """Graphs in which two variables cause each other are refused, not sorted for ever."""
    values, arrays = unpacked(model_bytes(model))
    arrays["candidates"][0, 0], arrays["candidates"][1, 0] = 1, 0
    arrays["chosen"][-1, :2] = 1
    with pytest.raises(BadInput, match="without cycles"):
        model_of(packed(values, arrays))


@pytest.mark.parametrize(
    "header",
    [b"[" * 100_000, b"null", b"[]", b'{"arrays": [["a", "<f8", [-1]]], "values": {}}',
     b'{"arrays": [["a", "<f8", [1e300]]], "values": {}}', b"\xff",
     json.dumps({"arrays": [["a", "<f8", [2**80]]], "values": {}}).encode()],
    ids=["deep", "null", "list", "negative", "float", "no text", "long"],
)  # fmt: skip
def test_forged_snapshots_are_refused(header: bytes) -> None:
    """Deep nesting, other JSON, and sizes that no array has."""
    with pytest.raises(BadInput, match="a header that cannot be read"):
        unpacked(signed(len(header).to_bytes(4, "little") + header + bytes(64)))


def test_unknown_cells_and_variables_are_named(model: CausalModel) -> None:
    """Names that are not there are refused with those that are."""
    with pytest.raises(NotFound, match="c0, c1, c2"):
        model.seen.cell("nowhere")
    with pytest.raises(NotFound, match="v0"):
        model.seen.chosen(["nothing*"])
