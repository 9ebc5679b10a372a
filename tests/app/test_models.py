"""The models as the command line uses them: yours first, then those that ship."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from model_stores import FAILED, PASSED, tensors
from policies import case, drawn

from cellhive.adapters.models.files import FolderModels
from cellhive.adapters.models.follow import ModelNotTaken, ModelTaken
from cellhive.app.learning.models import Models, following, open_models, publish
from cellhive.app.learning.policies import export_as
from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.models import Lineage, ModelManifest
from cellhive.rl.act import Acting
from cellhive.rl.policy import FLAT, PolicyShape, role_of

SHAPES = {
    "mobility": PolicyShape(("cio_db", "a3_offset_db"), hidden=8, message=4),
    "energy": PolicyShape(("asleep",), hidden=8, encoder=FLAT),
}


def made(name: str = "city", shapes=SHAPES, **changed) -> ModelManifest:
    """Return a manifest of policies."""
    roles = tuple(role_of(role, shape) for role, shape in shapes.items())
    return ModelManifest(name, roles, **{"gates": PASSED, **changed})


def weights(seed: int, shapes=SHAPES):
    """Return tensors of policies."""
    return {
        f"{role}/{name}": array
        for role, shape in shapes.items()
        for name, array in drawn(shape, seed).items()
    }


@pytest.fixture
def models(tmp_path: Path):
    """Return opened models with two versions of one of the user's and one that ships."""
    with open_models(tmp_path / "theirs") as theirs:
        theirs.add(made("base"), weights(9), alias="champion")
        theirs.export("base:1", tmp_path / "shipped")
    with open_models(tmp_path / "models") as opened:
        both = Models(opened.store, FolderModels(tmp_path / "shipped"))
        both.add(made(lineage=Lineage(("highway",))), weights(1), alias="champion")
        both.add(made(gates=FAILED), weights(2), alias="candidate")
        yield both


def test_what_ships_again_is_the_next_version(tmp_path: Path) -> None:
    """The one before stays, for the records that name it; the champion is the new one."""
    mine, there = tmp_path / "mine", tmp_path / "there"
    for seed in (1, 2):
        with open_models(mine / str(seed)) as models:  # a fresh store counts from 1 each time
            models.add(made("next"), weights(seed))
        export_as("next:1", there, "base", mine / str(seed))
    ship = FolderModels(there)
    for which, seed in ((1, 1), (2, 2), ("champion", 2)):
        manifest, tensors_ = ship.get("base", which)
        assert manifest.name == "base"
        np.testing.assert_array_equal(
            tensors_["energy/trunk.bias"], weights(seed)["energy/trunk.bias"]
        )
    assert ship.get("base", "champion")[0].version == 2


def test_rows_tell_what_there_is(models: Models) -> None:
    """Of the user and of the package, with aliases and gates."""
    rows = [(r.name, r.version, r.aliases, r.gates_passed, r.ships) for r in models.rows()]
    assert rows == [
        ("city", 1, ("champion",), True, False), ("city", 2, ("candidate",), False, False),
        ("base", 1, ("champion",), True, True),
    ]  # fmt: skip
    assert models.rows("city")[0].roles == ("mobility", "energy")
    assert models.rows("city")[0].scenarios == ("highway",)
    assert len(models.rows("base")) == 1
    with pytest.raises(NotFound, match="out of base, city; found 'alps'"):
        models.rows("alps")


def test_promotion_asks_for_gates_and_for_your_own(models: Models) -> None:
    """What ships is not changed; a reason overrules a gate."""
    with pytest.raises(Conflict, match="gates"):
        models.promote("city:2")
    with pytest.raises(BadInput, match="city:candidate"):
        models.promote("city")
    with pytest.raises(Conflict, match="comes with CellHive"):
        models.promote("base:1")
    with pytest.raises(Conflict, match="choose another"):
        models.add(made("base"), weights(3))
    assert models.promote("city:candidate", before=1, reason="in the lab").version == 2
    assert [move.alias for move in models.history("city")] == ["champion", "candidate", "champion"]
    assert models.history("base") == []
    assert models.load("city").manifest.version == 2
    models.remove("city:1")
    assert [row.version for row in models.rows("city")] == [2]


def test_diff_and_load(models: Models) -> None:
    """Across stores; a model of other features is refused when it is to decide."""
    assert models.diff("city:1", "city:1") == ()
    assert "gate: rules" in {d.what for d in models.diff("city:1", "city:2")}
    assert "name" in {d.what for d in models.diff("city", "base")}
    loaded = models.load("base")
    assert dict(loaded.shapes) == SHAPES
    stranger = ModelManifest("old", (role_of("joint", SHAPES["energy"]),), gates=PASSED)
    (role,) = stranger.roles
    old = role.__class__(**{**role.__dict__, "features": role.features[::-1]})
    arrays = {f"joint/{n}": a for n, a in drawn(SHAPES["energy"], 1).items()}
    models.add(ModelManifest("old", (old,), gates=PASSED), arrays, alias="champion")
    with pytest.raises(BadInput, match="old:1, role joint, features"):
        models.load("old")
    with pytest.raises(BadInput, match="tensors"):
        models.add(made("wrong"), tensors())


def test_without_a_folder_there_are_only_those_that_ship(tmp_path: Path) -> None:
    """Looking makes none."""
    with open_models(tmp_path / "none", existing=True) as models:
        assert models.store is None
        models.rows()
        with pytest.raises(NotFound):
            models.load("city")
        with pytest.raises(NotFound, match="folder"):
            models.add(made(), weights(1))
    assert not (tmp_path / "none").exists()


def test_what_is_promoted_decides_soon(models: Models) -> None:
    """Another champion is swapped in; one of another shape is told and left out."""
    loaded = models.load("city")
    published = publish(loaded)
    seen, near, _ = case(SHAPES["mobility"], 9, 1)
    acting = Acting.of(published, "mobility", near)
    told, came = [], threading.Event()

    def tell(event) -> None:
        told.append(event)
        came.set()

    with following(models, loaded, published, tell) as version:
        assert version() == 1
        models.promote("city:2", reason="a test")
        assert came.wait(20)
        came.clear()
        assert version() == 2
        wanted = Acting(SHAPES["mobility"], near, drawn(SHAPES["mobility"], 2)).logits(seen)
        np.testing.assert_array_equal(acting.logits(seen), wanted)
        other = {"joint": SHAPES["energy"]}
        models.add(made(shapes=other), weights(3, other), alias="champion")
        assert came.wait(20)
    assert [type(event) for event in told] == [ModelTaken, ModelNotTaken]
    assert published.current.label == "city:2"
    base = models.load("base")
    with following(models, base, publish(base)) as version:
        assert version() == 1
