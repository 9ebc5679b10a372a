"""What every store of models does, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from model_stores import FAILED, MODEL_STORES, ModelStores, manifest, tensors

from cellhive.core.errors import BadInput, CellHiveError, Conflict, NotFound, Unavailable
from cellhive.core.models import ModelManifest
from cellhive.core.ports import ModelStore

pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")  # SQLAlchemy warns MLflow


@pytest.fixture(params=list(MODEL_STORES))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModelStores]:
    """Each adapter of the store in turn."""
    made = ModelStores(tmp_path, MODEL_STORES[request.param])
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def store(stores: ModelStores) -> ModelStore:
    """Return an empty store."""
    return stores.open()


def told(made: ModelManifest) -> ModelManifest:
    """Return a manifest without what the store fills in."""
    return replace(made, version=0, created_s=0.0, tensors_sha256="", tensors_bytes=0)


def test_what_is_added_comes_back_and_stays(stores: ModelStores) -> None:
    """Versions count from 1 within a name; another opening finds the same."""
    store = stores.open()
    assert (store.models(), store.names(), store.aliases("city")) == ([], [], {})
    assert store.add(manifest(), tensors(1.0)) == 1
    assert store.add(manifest(note="better"), tensors(2.0), alias="candidate") == 2
    assert store.add(manifest("alps"), tensors(3.0)) == 1
    again = stores.open()
    for one in (store, again):
        assert one.names() == ["alps", "city"]
        assert [m.reference for m in one.models()] == ["alps:1", "city:1", "city:2"]
        found, arrays = one.get("city", "candidate")
        assert told(found) == manifest(note="better")
        assert found.version == 2
        assert found.created_s > 1.8e9
        assert found.tensors_bytes > 0
        assert one.manifest("city", 2) == found
        assert {n: a.tolist() for n, a in arrays.items()} == {
            n: a.tolist() for n, a in tensors(2.0).items()
        }


def test_aliases_move_and_remember(store: ModelStore) -> None:
    """Each move is kept with its reason; one that expects another place is refused."""
    for number in (1.0, 2.0):
        store.add(manifest(), tensors(number))
    change = store.last_change()
    assert store.set_alias("city", "champion", 1, before=0).before == 0
    assert store.last_change() > change
    with pytest.raises(Conflict, match="champion at version none, found it at 1"):
        store.set_alias("city", "champion", 2, before=0)
    move = store.set_alias("city", "champion", 2, before=1, reason="trial 7")
    assert (move.version, move.before, move.reason) == (2, 1, "trial 7")
    store.set_alias("city", "candidate", 2)
    store.set_alias("city", "candidate", 0)
    assert dict(store.aliases("city")) == {"champion": 2}
    assert [(m.alias, m.version, m.before) for m in store.history("city")] == [
        ("champion", 1, 0), ("champion", 2, 1), ("candidate", 2, 0), ("candidate", 0, 2),
    ]  # fmt: skip
    times = [move.time_s for move in store.history("city")]
    assert times == sorted(times)


def test_a_champion_passed_its_gates_or_has_a_reason(store: ModelStore) -> None:
    """A failed gate and no gate at all are both refused."""
    store.add(manifest(gates=FAILED), tensors())
    store.add(manifest(gates=()), tensors())
    for version, why in ((1, "worse"), (2, "put to none")):
        with pytest.raises(Conflict, match=why):
            store.set_alias("city", "champion", version)
        store.set_alias("city", "candidate", version)
    with pytest.raises(Conflict, match="worse"):
        store.add(manifest(gates=FAILED), tensors(), alias="champion")
    assert len(store.models()) == 2
    store.set_alias("city", "champion", 1, reason="only for the lab")
    assert store.aliases("city")["champion"] == 1


def test_what_is_in_use_is_not_removed_and_numbers_do_not_come_again(store: ModelStore) -> None:
    """A version with an alias stays; a removed one is gone, and its number with it."""
    for number in (1.0, 2.0, 2.0):
        store.add(manifest(), tensors(number))
    store.set_alias("city", "champion", 2)
    with pytest.raises(Conflict, match="champion"):
        store.remove("city", 2)
    store.remove("city", 3)
    store.remove("city", 1)
    assert [m.version for m in store.models()] == [2]
    np.testing.assert_array_equal(store.get("city", 2)[1]["joint/own.bias"], [2.0, -2.0])
    assert store.add(manifest(), tensors(4.0)) == 4
    for gone in (1, 3, 9, "candidate"):
        with pytest.raises(NotFound):
            store.get("city", gone)


BAD_NAMES = ("", "../city", "a/b", "City", "7up", "a" * 64, "a b", "a.b", "a\n", "con:1", "ü")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_are_names_and_no_paths(store: ModelStore, name: str) -> None:
    """Every method refuses them."""
    attempts: list[Callable[[], object]] = [
        lambda: store.add(manifest(name), tensors()),
        lambda: store.get(name, 1),
        lambda: store.manifest(name, "champion"),
        lambda: store.aliases(name),
        lambda: store.set_alias(name, "champion", 1),
        lambda: store.history(name),
        lambda: store.remove(name, 1),
    ]
    for attempt in attempts:
        with pytest.raises(BadInput, match="name of lower-case"):
            attempt()
    assert store.models() == []


def test_what_does_not_belong_together_is_refused(store: ModelStore) -> None:
    """Nothing of it is kept."""
    spoilt = tensors()
    spoilt["joint/own.bias"] = np.array([np.inf, 0], np.float32)
    wide = {**tensors(), "joint/own.bias": np.zeros(3, np.float32)}
    double = {name: array.astype(np.float64) for name, array in tensors().items()}
    role = manifest().roles[0]
    cases = [
        (manifest(), {}), (manifest(), spoilt), (manifest(), wide), (manifest(), double),
        (manifest(), {**tensors(), "load/own.bias": np.zeros(2, np.float32)}),
        (manifest(version=3), tensors()), (manifest(roles=()), {}),
        (manifest(roles=(role, role)), tensors()),
        (manifest(roles=(replace(role, units=("ratio",)),)), tensors()),
        (manifest(metrics={"reward": float("nan")}), tensors()),
        (manifest(lineage=replace(manifest().lineage, parents=("city",))), tensors()),
        (manifest(note="x" * 20_000), tensors()), (manifest(format=2), tensors()),
    ]  # fmt: skip
    for made, arrays in cases:
        with pytest.raises(BadInput):
            store.add(made, arrays)
    with pytest.raises(BadInput, match="alias"):
        store.add(manifest(), tensors(), alias="Champion of all")
    assert store.models() == []
    assert store.add(manifest(), tensors()) == 1
    with pytest.raises(NotFound, match="version"):
        store.set_alias("city", "champion", 2)
    with pytest.raises(NotFound):
        store.set_alias("alps", "champion", 1)
    with pytest.raises(NotFound, match="alias"):
        store.set_alias("city", "candidate", 0)


def test_many_write_at_once_and_readers_see_whole_versions(stores: ModelStores) -> None:
    """Two openings and four threads: every version once, none half there."""
    one, two = stores.open(), stores.open()

    def write(number: int) -> int:
        return (one, two)[number % 2].add(manifest(note=str(number)), tensors(number))

    def read(_: int) -> bool:
        for made in two.models():
            _, arrays = one.get("city", made.version)
            if arrays["joint/own.bias"][0] != float(made.note):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(write, range(12)))
        assert all(pool.map(read, range(4)))
        mixed = list(pool.map(lambda n: write(n) > 0 if n % 2 else read(n), range(12)))
    assert sorted(versions) == list(range(1, 13))
    assert all(mixed)


def test_one_of_two_promotions_at_once_wins(stores: ModelStores) -> None:
    """Whoever comes second is told."""
    one, two = stores.open(), stores.open()
    for number in (1.0, 2.0):
        one.add(manifest(), tensors(number))

    def promote(pair: tuple[ModelStore, int]) -> bool:
        try:
            pair[0].set_alias("city", "champion", pair[1], before=0)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(promote, [(one, 1), (two, 2)])) == [False, True]


def test_a_closed_store_says_so(store: ModelStore) -> None:
    """Closing twice does nothing."""
    store.close()
    store.close()
    with pytest.raises(Unavailable, match="closed"):
        store.models()


def test_store_does_as_a_list_would(stores: ModelStores) -> None:  # noqa: C901  # a machine
    """Any sequence of calls, with openings in between, leaves what a simple model says."""

    class Machine(RuleBasedStateMachine):
        runs = 0

        def __init__(self) -> None:
            super().__init__()
            Machine.runs += 1
            self.place = f"run{Machine.runs}"
            self.store = stores.open(self.place)
            self.versions: dict[int, float] = {}
            self.aliases: dict[str, int] = {}
            self.last = 0

        @rule(number=st.integers(0, 3), alias=st.sampled_from(["", "candidate", "champion"]))
        def add(self, number: int, alias: str) -> None:
            self.last += 1
            assert self.store.add(manifest(), tensors(number), alias=alias) == self.last
            self.versions[self.last] = number
            if alias:
                self.aliases[alias] = self.last

        @rule(version=st.integers(0, 6), alias=st.sampled_from(["candidate", "champion"]))
        def point(self, version: int, alias: str) -> None:
            possible = version in self.versions or (version == 0 and alias in self.aliases)
            try:
                self.store.set_alias("city", alias, version)
            except NotFound:
                assert not possible
                return
            assert possible
            self.aliases.pop(alias, None)
            if version:
                self.aliases[alias] = version

        @rule(version=st.integers(1, 6))
        def remove(self, version: int) -> None:
            try:
                self.store.remove("city", version)
            except CellHiveError:
                assert version not in self.versions or version in self.aliases.values()
                return
            del self.versions[version]

        @rule()
        def open_again(self) -> None:
            self.store.close()
            self.store = stores.open(self.place)

        @invariant()
        def same(self) -> None:
            assert [m.version for m in self.store.models()] == sorted(self.versions)
            assert dict(self.store.aliases("city")) == self.aliases
            for version, number in self.versions.items():
                assert self.store.get("city", version)[1]["joint/own.bias"][0] == number

        def teardown(self) -> None:
            self.store.close()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=15, stateful_step_count=12, deadline=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
