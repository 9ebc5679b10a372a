"""What is particular to models in MLflow: whose entries they are, its own pages, who answers."""

from __future__ import annotations

import json
import socket
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from model_stores import ModelStores, Ticking, manifest, open_mlflow, tensors

from cellhive.adapters.models.follow import Follower, ModelTaken
from cellhive.adapters.models.mlflow import EXPERIMENT, LOOK_EVERY_S, MlflowModels, check_uri
from cellhive.core.errors import BadInput, CellHiveError, Conflict, NotFound, Unavailable

pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*")  # SQLAlchemy warns MLflow


@pytest.fixture
def there(tmp_path: Path):
    """Return an open store, MLflow's own client of the same database, and its folder."""
    stores = ModelStores(tmp_path, open_mlflow)
    store = stores.open()
    import mlflow  # noqa: PLC0415  # skipped above where it is not installed

    uri = f"sqlite:///{tmp_path / 'one' / 'mlflow.db'}"
    yield SimpleNamespace(
        store=store, client=mlflow.MlflowClient(uri, uri), folder=tmp_path / "one", stores=stores
    )
    for one in stores.opened:
        one.close()


def test_its_pages_show_what_a_model_is(there: Any) -> None:
    """Metrics, lineage and gates are those of the run, the files its artifacts."""
    made = manifest(metrics={"highway, over rules": 1.5})
    there.store.add(made, tensors(), alias="candidate")
    (run,) = there.client.search_runs(
        [there.client.get_experiment_by_name(EXPERIMENT).experiment_id]
    )
    assert run.data.metrics == {"highway/over rules": 1.5}
    assert run.data.params["scenarios"] == "highway"
    assert run.data.params["budget/decisions"] == "1e+06"
    assert run.data.params["gate/rules"] == "passed: 0.62 points better"
    version = there.client.get_model_version_by_alias("city", "candidate")
    assert (version.version, version.run_id) == (1, run.info.run_id)
    files = {Path(file.path).name for file in there.client.list_artifacts(run.info.run_id, "model")}
    assert files == {"manifest.json", "tensors.safetensors"}
    assert (there.folder / "artifacts").is_dir()


def test_what_is_promoted_on_its_pages_is_followed(
    there: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias set with MLflow's own client is noticed, when it is time to look again."""
    for number in (1.0, 2.0):
        there.store.add(manifest(), tensors(number))
    there.store.set_alias("city", "champion", 1)
    told: list[object] = []
    follower = Follower(there.store, "city", lambda m, t: None, version=1, observer=told.append)
    assert not follower.look()
    there.client.set_registered_model_alias("city", "champion", "2")
    monkeypatch.setattr(there.store, "_looked_s", there.store._looked_s - LOOK_EVERY_S)
    assert follower.look()
    assert told == [ModelTaken("city", 2, 1)]


def test_files_that_were_changed_are_refused(there: Any) -> None:
    """By the digest of the manifest, which the version carries, and that of the tensors."""
    for number in (1.0, 2.0):
        there.store.add(manifest(), tensors(number))
    (first, second) = (
        Path(there.client.get_model_version("city", str(v)).source.removeprefix("file://"))
        for v in (1, 2)
    )
    told = json.loads((first / "manifest.json").read_text())
    told["metrics"]["reward"] = 99.0
    (first / "manifest.json").write_text(json.dumps(told))
    (second / "tensors.safetensors").write_bytes(b"cut")
    store = there.stores.open()
    with pytest.raises(BadInput, match=r"city:1, manifest\.json: expected a manifest as it was"):
        store.get("city", 1)
    with pytest.raises(BadInput, match=r"city:1"):
        store.models()
    unreadable: list[CellHiveError] = []
    assert [made.reference for made in store.models(unreadable)] == ["city:2"]
    assert [type(error) for error in unreadable] == [BadInput]
    with pytest.raises(BadInput, match=r"city:2, tensors\.safetensors: expected \d+ bytes"):
        store.get("city", 2)
    (second / "tensors.safetensors").unlink()
    with pytest.raises(BadInput, match=r"city:2, tensors\.safetensors: expected its file"):
        store.get("city", 2)


def test_entries_of_others_are_left_alone(there: Any) -> None:
    """A registered model that is not ours is not listed, read or added to."""
    there.client.create_registered_model("alps")
    there.client.create_model_version("alps", str(there.folder))
    assert there.store.names() == []
    with pytest.raises(NotFound):
        there.store.get("alps", 1)
    with pytest.raises(Conflict, match="registered by something else; choose another name"):
        there.store.add(manifest("alps"), tensors())
    there.store.add(manifest(), tensors())
    there.client.create_model_version("city", str(there.folder))
    there.client.set_registered_model_alias("city", "champion", "2")
    assert [one.reference for one in there.store.models()] == ["city:1"]
    with pytest.raises(NotFound, match="expected champion at a version that CellHive registered"):
        there.store.get("city", "champion")
    assert there.store.add(manifest(), tensors()) == 3


def test_databases_of_others_are_refused(tmp_path: Path) -> None:
    """MLflow would write its tables into any database: into that of our own folder, for one."""
    pytest.importorskip("mlflow")
    file = tmp_path / "models.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE models (name TEXT)")
    database.close()
    before = file.read_bytes()
    with pytest.raises(BadInput, match="found an SQLite database of something else"):
        MlflowModels(f"sqlite:///{file}", now_s=Ticking())
    assert file.read_bytes() == before
    (tmp_path / "text.db").write_text("no database at all, and long enough to be none" * 9)
    with pytest.raises(BadInput, match="expected a database of MLflow"):
        MlflowModels(f"sqlite:///{tmp_path / 'text.db'}", now_s=Ticking())


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("", "expected mlflow:sqlite:///PATH or mlflow:http://HOST:PORT, found mlflow:"),
        ("models", "found mlflow:models"),
        ("http://me:secret@host:5000", "MLFLOW_TRACKING_PASSWORD"),
        ("postgresql://me:secret@host/db", "PGPASSWORD"),
    ],
)
def test_addresses_that_cannot_be_are_refused(uri: str, told: str) -> None:
    """And passwords, which would end up in records; they are not repeated."""
    with pytest.raises(BadInput) as refused:
        check_uri(uri)
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within seconds, and that it may be tried again."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = MlflowModels(f"http://127.0.0.1:{port}", now_s=Ticking())
    with pytest.raises(Unavailable, match="expected MLflow to answer"):
        store.names()
