"""What becomes champion is taken over, once; what cannot be is told, and the old one stays."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from model_stores import ModelStores, manifest, open_embedded, tensors

from cellhive.adapters.models.follow import Follower, ModelNotTaken, ModelTaken
from cellhive.core.errors import BadInput


@pytest.fixture
def stores(tmp_path: Path):
    """Return a store with three versions, the first of them champion."""
    made = ModelStores(tmp_path, open_embedded)
    store = made.open()
    for number in (1.0, 2.0, 3.0):
        store.add(manifest(), tensors(number))
    store.set_alias("city", "champion", 1)
    yield made
    for one in made.opened:
        one.close()


def test_promotions_are_taken_over_once(stores: ModelStores) -> None:
    """Also those of another opening; changes of something else are none."""
    mine, theirs = stores.opened[0], stores.open()
    taken, told = [], []
    follower = Follower(
        mine, "city", lambda m, t: taken.append((m.version, t["joint/own.bias"][0])),
        version=1, observer=told.append,
    )  # fmt: skip
    assert not follower.look()
    theirs.set_alias("city", "candidate", 2)
    assert not follower.look()
    theirs.set_alias("city", "champion", 3)
    assert follower.look()
    assert not follower.look()
    theirs.set_alias("city", "champion", 1)
    theirs.set_alias("city", "champion", 2)
    assert follower.look()
    assert taken == [(3, 3.0), (2, 2.0)]
    assert told == [ModelTaken("city", 3, 1), ModelTaken("city", 2, 3)]
    theirs.set_alias("city", "champion", 0)
    assert not follower.look()
    assert follower.version == 2


def test_what_cannot_be_taken_is_told_once_and_the_old_one_stays(stores: ModelStores) -> None:
    """A version that is refused, and one whose file is damaged; a mended one is taken."""
    store, told = stores.opened[0], []

    def take(made, arrays) -> None:
        if made.version == 2:
            raise BadInput(expected="other features", found="these")

    follower = Follower(store, "city", take, version=1, observer=told.append)
    store.set_alias("city", "champion", 2)
    assert not follower.look()
    store.set_alias("city", "candidate", 3)
    assert not follower.look()
    assert [type(event) for event in told] == [ModelNotTaken]
    assert "other features" in told[0].why
    path = store._tensor_path(store.manifest("city", 3).tensors_sha256)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    store.set_alias("city", "champion", 3)
    assert not follower.look()
    assert "SHA-256" in told[1].why
    assert follower.version == 1
    path.write_bytes(whole)
    store.set_alias("city", "champion", 1)
    follower.look()
    store.set_alias("city", "champion", 3)
    assert follower.look()
    assert follower.version == 3


def test_a_thread_looks_until_it_is_closed(stores: ModelStores) -> None:
    """It survives errors of the store."""
    store, arrived, told = stores.opened[0], threading.Event(), []
    failed = threading.Event()

    def tell(event) -> None:
        told.append(event)
        if isinstance(event, ModelNotTaken):
            failed.set()

    follower = Follower(store, "city", lambda m, t: arrived.set(), version=1, observer=tell)

    def damaged(name):
        raise BadInput(expected="sound books", found="others")

    names, store.aliases = store.aliases, damaged
    follower.start(0.005)
    assert failed.wait(20)
    store.aliases = names
    store.set_alias("city", "champion", 2)
    assert arrived.wait(20)
    follower.close()
    follower.close()
    assert ModelTaken("city", 2, 1) in told
