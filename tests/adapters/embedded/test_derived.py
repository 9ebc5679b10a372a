"""Indexes in a folder: whole or not there, checked, mapped, and owned by one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellhive.adapters.embedded.derived import FolderFiles
from cellhive.core.errors import BadInput, Unavailable

ARRAYS: dict[str, npt.NDArray[Any]] = {
    "codes": np.arange(5000, dtype=np.uint8).reshape(50, 100),
    "scales": np.linspace(0, 1, 7, dtype=np.float32),
    "ids": np.array([2**62, -1, 0], np.int64),
    "nothing": np.zeros((0, 3), np.float64),
    "one": np.array(7),
    "turned": np.arange(6.0).reshape(2, 3).T,
}


@pytest.fixture
def files(tmp_path: Path) -> Iterator[FolderFiles]:
    """Return an empty folder."""
    made = FolderFiles(tmp_path / "indexes")
    yield made
    made.close()


def test_arrays_come_back_as_they_were(files: FolderFiles) -> None:
    """Values, types and shapes return; saving again replaces; nothing else is left behind."""
    assert files.load("index") is None
    files.save("index", {"old": np.ones(3)})
    files.save("index", ARRAYS)
    found = files.load("index")
    assert found is not None
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert isinstance(found["codes"], np.memmap)
    assert sorted(x.name for x in files.folder.iterdir()) == ["index.arrays", "owner"]
    with pytest.raises(BadInput, match="objects"):
        files.save("index", {"bad": np.array([object()])})
    assert files.load("index") is not None


def test_what_is_mapped_outlasts_being_replaced(files: FolderFiles) -> None:
    """Arrays loaded before stay as they were when the index is saved again."""
    files.save("index", {"a": np.arange(1000)})
    before = files.load("index")
    files.save("index", {"a": np.zeros(1000)})
    assert before is not None
    np.testing.assert_array_equal(before["a"], np.arange(1000))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1), change=st.integers(1, 255), cut=st.booleans())
def test_damage_is_noticed(files: FolderFiles, place: float, change: int, cut: bool) -> None:
    """A file with a byte changed, or cut off anywhere, holds what was saved or is not there."""
    files.save("index", ARRAYS)
    path = files.folder / "index.arrays"
    data = bytearray(path.read_bytes())
    at = min(int(place * len(data)), len(data) - 1)
    if cut:
        del data[at:]
    else:
        data[at] ^= change
    path.write_bytes(data)
    found = files.load("index")
    if found is not None:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 300, "nul\0"])
def test_names_stay_in_the_folder(files: FolderFiles, name: str) -> None:
    """A name that could lead elsewhere is refused."""
    for attempt in (
        lambda: files.load(name), lambda: files.save(name, ARRAYS), lambda: files.floats(name, 3),
    ):  # fmt: skip
        with pytest.raises(BadInput, match="name"):
            attempt()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way is bad input."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="folder"):
        FolderFiles(tmp_path / "file")


def test_vectors_come_back_by_row(tmp_path: Path) -> None:
    """Rows may be written in any order, again, and far beyond the end; the rest holds zeros."""
    rng = np.random.default_rng(1)
    expected = np.zeros((70_000, 5), np.float32)
    for opening in range(3):
        files = FolderFiles(tmp_path)
        vectors = files.floats("v", 5)
        np.testing.assert_array_equal(vectors.take(np.arange(70_000)), expected)
        for _ in range(5):
            rows = rng.choice(1000 if opening == 0 else 60_000, 200, replace=False)
            written = rng.standard_normal((200, 5), dtype=np.float32)
            vectors.write(rows, written)
            expected[rows] = written
            asked = rng.integers(0, 70_000, 300)
            np.testing.assert_array_equal(vectors.take(asked), expected[asked])
        files.close()


def test_vectors_outlast_a_process_that_never_closed(tmp_path: Path) -> None:
    """What was written before a kill is there, unchecked where it was not yet summed up."""
    pid = os.fork()
    if pid == 0:
        vectors = FolderFiles(tmp_path).floats("v", 4)
        vectors.write(np.arange(100), np.full((100, 4), 3, np.float32))
        vectors.flush()
        vectors.write(np.arange(50, 150), np.full((100, 4), 4, np.float32))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    files = FolderFiles(tmp_path)
    assert files.owned
    taken = files.floats("v", 4).take(np.arange(150))[:, 0]
    assert taken.tolist() == [3.0] * 50 + [4.0] * 100
    files.close()


def test_damaged_vectors_are_noticed(tmp_path: Path) -> None:
    """A changed vector raises when its block is touched, by reading and by writing; others not."""
    files = FolderFiles(tmp_path)
    files.floats("v", 4).write(np.arange(40_000), np.ones((40_000, 4), np.float32))
    files.close()
    with (tmp_path / "v.floats").open("r+b") as file:
        file.seek(4096 + 16 * 20_000)
        file.write(b"\x01")
    files = FolderFiles(tmp_path)
    vectors = files.floats("v", 4)
    assert vectors.take(np.array([1, 39_999])).tolist() == [[1.0] * 4] * 2
    with pytest.raises(BadInput, match="as they were written"):
        vectors.take(np.array([20_001]))
    with pytest.raises(BadInput, match="as they were written"):
        vectors.write(np.array([20_001]), np.ones((1, 4), np.float32))
    files.close()


def test_vectors_of_another_dimension_begin_anew(tmp_path: Path) -> None:
    """A file of other vectors, of something else, or without checksums is not read."""
    files = FolderFiles(tmp_path)
    files.floats("v", 4).write(np.arange(10), np.ones((10, 4), np.float32))
    files.close()
    for spoiled in ("", "v.floats", "v.floats.sums"):
        if spoiled:
            (tmp_path / spoiled).unlink()
        files = FolderFiles(tmp_path)
        vectors = files.floats("v", 8)
        assert not vectors.take(np.arange(10)).any()
        vectors.write(np.arange(10), np.ones((10, 8), np.float32))
        files.close()


def test_rows_are_read_in_any_order(files: FolderFiles) -> None:
    """Neighbours, gaps, repeats, backwards, none, and rows beyond the end, which hold zeros."""
    vectors = files.floats("v", 3)
    stored = np.arange(9000, dtype=np.float32).reshape(3000, 3)
    vectors.write(np.arange(3000), stored)
    rows = np.array([5, 6, 7, 7, 2999, 2998, 0, 10**7, 1, 2, 2000])
    expected = np.where(rows[:, None] < 3000, stored[np.minimum(rows, 2999)], 0)
    assert vectors.take(rows).tolist() == expected.tolist()
    assert vectors.take(np.arange(3000)).tolist() == stored.tolist()
    assert vectors.take(np.array([], np.int64)).shape == (0, 3)


def test_what_is_read_does_not_stay_in_memory(tmp_path: Path) -> None:
    """No page of the file is mapped into the process by reading all of it."""
    writing = FolderFiles(tmp_path)
    writing.floats("v", 16).write(np.arange(20_000), np.ones((20_000, 16), np.float32))
    writing.close()
    files = FolderFiles(tmp_path)
    assert files.floats("v", 16).take(np.arange(20_000)).sum() == 320_000
    maps = Path("/proc/self/smaps").read_text(encoding="utf-8").split("VmFlags:")
    resident = [part.split("\nRss:")[1].split()[0] for part in maps
                if f"{tmp_path}/v.floats\n" in part]  # fmt: skip
    files.close()
    assert set(resident) == {"0"}


def test_a_file_cut_short_is_noticed(tmp_path: Path) -> None:
    """What another program cut off is told, not taken for zeros."""
    files = FolderFiles(tmp_path)
    vectors = files.floats("v", 16)
    vectors.write(np.arange(20_000), np.ones((20_000, 16), np.float32))
    vectors.flush()
    os.truncate(tmp_path / "v.floats", 100_000)
    with pytest.raises(BadInput, match="ends too early"):
        vectors.take(np.array([19_000]))


def test_rows_are_not_negative(files: FolderFiles) -> None:
    """A negative row is refused rather than counted from the end."""
    vectors = files.floats("v", 2)
    with pytest.raises(BadInput, match="row"):
        vectors.take(np.array([3, -1]))
    with pytest.raises(BadInput, match="row"):
        vectors.write(np.array([-1]), np.zeros((1, 2), np.float32))


def test_one_process_owns_the_folder(tmp_path: Path) -> None:
    """Whoever comes second reads indexes that need no vectors, and spoils none of the first's."""
    first = FolderFiles(tmp_path)
    first.save("index", {"a": np.ones(3)})
    second = FolderFiles(tmp_path)
    assert (first.owned, second.owned) == (True, False)
    assert second.load("index") is not None
    second.save("index", {"a": np.zeros(3)})
    found = first.load("index")
    assert found is not None
    assert found["a"].tolist() == [1.0] * 3
    first.floats("v", 2).write(np.array([1]), np.ones((1, 2), np.float32))
    assert second.load("index") is None
    own = second.floats("v", 2)
    assert not own.take(np.array([1])).any()
    own.write(np.array([1]), np.full((1, 2), 5, np.float32))
    assert first.floats("v", 2).take(np.array([1])).tolist() == [[1.0, 1.0]]
    second.close()
    first.close()
    third = FolderFiles(tmp_path)
    assert third.owned
    third.close()


def test_no_room_leaves_what_was_saved(files: FolderFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails the last whole index stays, and no half one lies about."""
    files.save("index", {"a": np.ones(3)})

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Unavailable, match="room"):
        files.save("index", {"a": np.zeros(3)})
    monkeypatch.undo()
    found = files.load("index")
    assert found is not None
    assert found["a"].tolist() == [1.0] * 3
    assert not list(files.folder.glob("*.part"))
