"""The embedded store and folders of models: crashes, damage, full disks, other processes."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_stores import ModelStores, manifest, open_embedded, tensors

from cellhive.adapters.models import embedded, files
from cellhive.adapters.models.embedded import EmbeddedModels
from cellhive.adapters.models.files import (
    FolderModels,
    export_model,
    manifest_bytes,
    manifest_of,
    tensor_bytes,
)
from cellhive.core.errors import BadInput, CellHiveError, Conflict, NotFound, Unavailable


@pytest.fixture
def store(tmp_path: Path):
    """Return a store with one version."""
    made = open_embedded(ModelStores(tmp_path, open_embedded), "one")
    made.add(manifest(), tensors(), alias="champion")
    yield made
    made.close()


def tensor_file(store: EmbeddedModels) -> Path:
    """Return the only file of tensors."""
    (path,) = (store.folder / "tensors").iterdir()
    return path


@pytest.mark.parametrize("moment", ["before the file", "after the file", "after the row"])
def test_a_crash_leaves_all_or_nothing(tmp_path: Path, moment: str) -> None:
    """A process killed while it adds: nothing half there, and the next add works."""
    script = """
import os, signal, sys
from pathlib import Path
from model_stores import ModelStores, manifest, open_embedded, tensors
from cellhive.adapters.models import embedded
store = open_embedded(ModelStores(Path(sys.argv[1]), open_embedded), "one")
store.add(manifest(), tensors(1.0), alias="champion")
moment, write, move = sys.argv[2], embedded.write_durably, store._move
def die(*args): os.kill(os.getpid(), signal.SIGKILL)
def write_then_die(*args): write(*args); die()
def move_then_die(*args): move(*args); die()
if moment == "after the row": store._move = move_then_die
else: embedded.write_durably = die if moment == "before the file" else write_then_die
store.add(manifest(), tensors(2.0), alias="champion")
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script, str(tmp_path), moment], check=False, capture_output=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    store = open_embedded(ModelStores(tmp_path, open_embedded), "one")
    assert [m.version for m in store.models()] == [1]
    assert store.get("city", "champion")[1]["joint/own.bias"][0] == 1.0
    assert store.add(manifest(), tensors(3.0)) == 2
    store.remove("city", 2)
    assert tensor_file(store).is_file()  # what the crash left is cleared away with it
    store.close()


@pytest.mark.parametrize("how", ["cut", "changed", "empty", "gone", "another"])
def test_damaged_tensors_are_refused(store: EmbeddedModels, how: str) -> None:
    """The error names the file; other versions are still there."""
    store.add(manifest(), tensors(2.0))
    digest = store.manifest("city", 1).tensors_sha256
    path = store.folder / "tensors" / f"{digest}.safetensors"
    data = bytearray(path.read_bytes())
    if how == "changed":
        data[-1] ^= 1
    contents = {
        "cut": data[:-3],
        "changed": data,
        "empty": b"",
        "another": tensor_bytes(tensors(9), "city"),
    }
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(contents[how])
    with pytest.raises(BadInput, match=digest):
        store.get("city", 1)
    assert store.get("city", 2)[1]["joint/own.bias"][0] == 2.0
    assert store.add(manifest(), tensors(1.0)) == 3  # heals the file as it has the same digest
    assert store.get("city", 1)[1]["joint/own.bias"][0] == 1.0


def test_a_changed_manifest_is_refused(store: EmbeddedModels) -> None:
    """A row that somebody edited is not believed."""
    store.close()
    with sqlite3.connect(store.folder / "models.db") as books:
        books.execute("UPDATE models SET manifest = replace(manifest, '-1.25', '99.25')")
    books.close()
    again = EmbeddedModels(store.folder, now_s=lambda: 0.0)
    with pytest.raises(BadInput, match="as it was written"):
        again.get("city", 1)
    again.close()


@pytest.mark.parametrize("what", ["newer", "foreign", "damaged", "no folder"])
def test_what_is_no_store_is_refused(store: EmbeddedModels, what: str) -> None:
    """It is left as it is."""
    store.close()
    path, folder = store.folder / "models.db", store.folder
    if what in {"newer", "foreign"}:
        books = sqlite3.connect(path)
        pragma = "user_version=2" if what == "newer" else "application_id=7"
        books.execute(f"PRAGMA {pragma}")
        books.close()
    elif what == "damaged":
        path.write_bytes(b"no database at all" * 400)
    else:
        folder = path
    before = path.read_bytes()
    wanted = {"newer": "format 2", "foreign": "something else", "damaged": "damaged or foreign",
              "no folder": "no folder"}  # fmt: skip
    with pytest.raises(BadInput, match=wanted[what]):
        EmbeddedModels(folder, now_s=lambda: 0.0)
    assert path.read_bytes() == before


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """Neither while the tensors are written nor while the books are; afterwards it goes on."""
    script = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from dataclasses import replace
from model_stores import ROLE, ModelStores, manifest, open_embedded, tensors
from cellhive.core.errors import Unavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_embedded(ModelStores(Path(sys.argv[1]), open_embedded), "one")
assert store.add(manifest(), tensors(1.0)) == 1
big = replace(ROLE, tensors={"own.weight": (512, 512)})
whole = resource.getrlimit(resource.RLIMIT_FSIZE)
books = (store.folder / "models.db-wal").stat().st_size
for limit, made, arrays in (
    (600_000, manifest(roles=(big,)), {"joint/own.weight": np.ones((512, 512), np.float32)}),
    (books + 3000, manifest(note="long" * 2000), tensors(2.0)),
):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, whole[1]))
    try:
        store.add(made, arrays)
    except Unavailable as error:
        assert "kept" in str(error), error
    else:
        raise SystemExit(f"it had room with {limit}")
    resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    assert [m.version for m in store.models()] == [1]
assert store.add(manifest(), tensors(3.0)) == 2
assert store.get("city", 1)[1]["joint/own.bias"][0] == 1.0
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script, str(tmp_path)], check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "one" / "tensors").glob(".draft-*"))


def test_readers_in_another_process_see_whole_versions(store: EmbeddedModels) -> None:
    """While this one writes, another process reads all that there is, again and again."""
    script = """
import sys
from pathlib import Path
from cellhive.adapters.models.embedded import EmbeddedModels
store, most = EmbeddedModels(Path(sys.argv[1]), now_s=lambda: 0.0), 0
print("ready", flush=True)
while most < 12:
    for made in store.models():
        tensors = store.get(made.name, made.version)[1]
        assert tensors["joint/own.bias"][0] == float(made.version), made.reference
        most = max(most, made.version)
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", script, str(store.folder)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for version in range(2, 13):
        store.add(manifest(), tensors(version))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said


def test_damage_of_one_hides_no_other(store: EmbeddedModels) -> None:
    """What can be read is listed; the rest is an error, unless somebody takes what is wrong."""
    store.add(manifest(), tensors(2.0))
    with sqlite3.connect(store.folder / "models.db") as books:
        books.execute("UPDATE models SET manifest = ? WHERE version = 1", (b"{}",))
    books.close()
    with pytest.raises(BadInput, match="as it was written"):
        store.models()
    unreadable: list[CellHiveError] = []
    assert [made.version for made in store.models(unreadable)] == [2]
    assert "city:1" in str(unreadable.pop())
    assert unreadable == []


def test_a_busy_store_says_so(store: EmbeddedModels) -> None:
    """Somebody who keeps the turn is waited for only so long; reading goes on."""
    other = EmbeddedModels(store.folder, now_s=lambda: 0.0, patience_s=0.05)
    with store._writing(), pytest.raises(Unavailable, match="another process"):
        other.add(manifest(), tensors())
    with store._writing():
        assert len(other.models()) == 1
    assert other.add(manifest(), tensors()) == 2
    other.close()


def test_a_folder_of_models_is_read_as_it_was_written(
    store: EmbeddedModels, tmp_path: Path
) -> None:
    """What is exported comes back; a missing folder is empty."""
    folder = tmp_path / "shipped"
    assert (FolderModels(folder).names(), FolderModels(folder).models()) == ([], [])
    made, arrays = store.get("city", 1)
    target = export_model(folder, made, arrays, {"champion": 1})
    assert sorted(path.name for path in target.iterdir()) == [
        "manifest.json",
        "tensors.safetensors",
    ]
    source = FolderModels(folder)
    assert (source.names(), source.models()) == (["city"], [made])
    assert dict(source.aliases("city")) == {"champion": 1}
    found, same = source.get("city", "champion")
    assert found == made
    assert all(np.array_equal(same[name], arrays[name]) for name in arrays)
    export_model(folder, made, arrays, {"champion": 1})
    with pytest.raises(BadInput, match="no other model"):
        export_model(folder, replace(made, note="other"), arrays, {})
    with pytest.raises(NotFound):
        source.get("city", 2)
    with pytest.raises(BadInput, match="name"):
        source.get("../city", 1)
    (target / "tensors.safetensors").write_bytes(b"{}")
    with pytest.raises(BadInput, match="SHA-256"):
        source.get("city", 1)
    (target / "manifest.json").write_bytes(manifest_bytes(replace(made, version=2)))
    with pytest.raises(BadInput, match="that of city:2"):
        source.models()
    export_model(folder, replace(made, name="delta"), arrays, {})
    unreadable: list[CellHiveError] = []
    assert [there.name for there in source.models(unreadable)] == ["delta"]
    assert "that of city:2" in str(unreadable.pop())
    assert unreadable == []


@pytest.mark.parametrize(
    ("data", "what"),
    [(b"", "manifest of a model"), (b"{" * 9, "manifest of a model"), (b"[]", "manifest"),
     (b'{"format": 1}', "manifest of a model"), (b'{"format": 3, "new": 1}', "format 3"),
     (b"[" * 100_000, "manifest of a model"), (b'{"format": 1e999}', "manifest of a model"),
     (b"\xff\xfe", "manifest of a model")],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(data: bytes, what: str) -> None:
    """With the reason, and of a newer format with the advice to use a newer version."""
    with pytest.raises(BadInput, match=what):
        manifest_of(data, "here")


def test_safetensors_that_lie_are_refused() -> None:
    """A file whose digest is right but which holds something else."""
    for data in (b"", b"\x08" + b"\0" * 7 + b"{}      ", b"\xff" * 40, tensor_bytes({}, "city")):
        made = manifest(version=1, tensors_bytes=len(data), tensors_sha256=files.sha256(data))
        with pytest.raises(BadInput):
            files.tensors_of(data, made, "here")


def test_removal_in_use_is_a_conflict(store: EmbeddedModels) -> None:
    """The champion is not removed even by somebody with another opening."""
    other = EmbeddedModels(store.folder, now_s=lambda: 0.0)
    with pytest.raises(Conflict, match="champion"):
        other.remove("city", 1)
    other.close()
    assert embedded.BOOKS == "models.db"
