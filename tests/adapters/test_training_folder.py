"""Checkpoints that can be trusted, and a curve that goes on where it was cut."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cellhive.adapters.training.folder import TrainingFolder
from cellhive.adapters.training.tensorboard import TensorBoard, scalars
from cellhive.core.errors import BadInput, Conflict, NotFound, Unavailable
from cellhive.flows.training.train import IterationDone, Row


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    """A new training."""
    return TrainingFolder.create(tmp_path / "t", {"name": "small"})


def state(value: float) -> dict[str, np.ndarray]:
    """Return a state of two arrays."""
    return {"joint/actor.own.weight": np.full((2, 3), value, np.float32),
            "trainer": np.array([1, 2], np.int64)}  # fmt: skip


def test_state_comes_back_as_it_was(folder: TrainingFolder) -> None:
    """Names, types, shapes and every bit."""
    folder.save(7, state(0.1))
    checkpoint, wrong = folder.newest()
    assert (checkpoint.number, wrong) == (7, ())
    assert checkpoint.state.keys() == state(0.1).keys()
    for name, array in state(0.1).items():
        assert checkpoint.state[name].dtype == array.dtype
        np.testing.assert_array_equal(checkpoint.state[name], array)


def test_last_three_are_kept(folder: TrainingFolder) -> None:
    """Older ones make room, both files of each."""
    for number in range(1, 6):
        folder.save(number, state(number))
    assert folder.numbers() == [3, 4, 5]
    assert len(list(folder.checkpoints.iterdir())) == 6


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "lost", "manifest"])
def test_damaged_checkpoint_is_left_out(folder: TrainingFolder, damage: str) -> None:
    """The one before it is taken, and what was wrong is said; with none left it is refused."""
    folder.save(1, state(1.0))
    folder.save(2, state(2.0))

    def spoil(number: int) -> None:
        path = folder.checkpoints / f"checkpoint-{number:06d}.npz"
        data = bytearray(path.read_bytes())
        match damage:
            case "flip":
                data[len(data) // 2] ^= 1
                path.write_bytes(data)
            case "cut":
                path.write_bytes(data[:-50])
            case "empty":
                path.write_bytes(b"")
            case "lost":
                path.unlink()
            case _:
                path.with_suffix(".json").write_text("{")

    spoil(2)
    checkpoint, wrong = folder.newest()
    assert checkpoint.number == 1
    assert "checkpoint-000002" in wrong[0]
    spoil(1)
    with pytest.raises(BadInput, match="begin anew"):
        folder.newest()


def test_objects_are_never_unpickled(folder: TrainingFolder) -> None:
    """Neither written nor read: only plain arrays are a state."""
    with pytest.raises(ValueError, match="allow_pickle"):
        folder.save(1, {"evil": np.array([{"a": 1}], object)})
    assert folder.numbers() == []
    with pytest.raises(NotFound, match="begin anew"):
        folder.newest()


def test_full_disk_leaves_what_was_there(
    folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says that there is no room, and the checkpoint before is whole."""
    folder.save(1, state(1.0))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Unavailable, match=r"No space left on device.* train resume"):
            folder.save(2, state(2.0))
    assert folder.newest()[0].number == 1
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == [
        "checkpoint-000001.json", "checkpoint-000001.npz",
    ]  # fmt: skip


@contextmanager
def no_file_beyond(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_curve_waits_for_room_and_loses_no_point(folder: TrainingFolder) -> None:
    """A full disk ends no training; no checkpoint is kept without the curve that led to it."""
    rows = [{"number": number, "reward": 0.5 * number} for number in range(1, 5)]
    folder.append(rows[0])
    folder.save(1, state(1.0))
    with no_file_beyond(folder.curve_path.stat().st_size + 10):  # room for a part of a line
        folder.append(rows[1])
        with pytest.raises(Unavailable, match=r"curve\.jsonl: expected room .* train resume"):
            folder.save(2, state(2.0))
        folder.append(rows[2])
    assert folder.curve() == rows[:1]
    assert folder.newest()[0].number == 1
    folder.append(rows[3])
    assert folder.curve() == rows
    folder.save(4, state(4.0))
    assert folder.newest()[0].number == 4


def test_curve_is_cut_where_it_is_gone_on_from(folder: TrainingFolder) -> None:
    """What follows the checkpoint goes, and so does a line that was cut by a kill."""
    for number in range(1, 5):
        folder.append({"number": number, "reward": 0.5 * number})
    with folder.curve_path.open("a") as file:
        file.write('{"number": 5, "rew')
    assert [row["number"] for row in folder.curve()] == [1, 2, 3, 4]
    assert [row["number"] for row in folder.cut_curve(2)] == [1, 2]
    folder.append({"number": 3, "reward": 1.5})
    lines = folder.curve_path.read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3]


def test_folder_has_to_be_that_of_a_training(folder: TrainingFolder, tmp_path: Path) -> None:
    """A second beginning, nothing there, and facts of another format are refused."""
    with pytest.raises(Conflict, match=f"cellhive train resume {folder.path}"):
        TrainingFolder.create(folder.path, {})
    with pytest.raises(NotFound, match=r"no training\.json"):
        TrainingFolder.open(tmp_path)
    assert folder.facts()["name"] == "small"
    folder.facts_path.write_text('{"format": 9}')
    with pytest.raises(BadInput, match="format 1, found 9"):
        folder.facts()


def row(number: int) -> Row:
    """Return a point of a curve."""
    return Row(number, 40 * number, -0.25, 0.5, {"mobility": -0.1}, {"joint": {"kl": 0.01}}, 3, 1,
               0.001, "", {"update": 0.2})  # fmt: skip


def test_curve_is_written_for_tensorboard(tmp_path: Path) -> None:
    """Every number has a name with its group; the files hold them."""
    pytest.importorskip("tensorboardX", reason="needs tensorboardX: pip install '.[train]'")
    board = TensorBoard(tmp_path, now_s=lambda: 1.8e9)
    for number in (1, 2):
        board(IterationDone(row(number), 2, 1.0, 0.0))
    board.close()
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    names = scalars(row(1))
    assert names["joint/kl"] == 0.01
    assert all(name.encode() in data for name in names)
    assert data.count(b"reward/gain") == 2


def test_without_room_tensorboards_files_end_and_the_training_does_not(tmp_path: Path) -> None:
    """Nothing is raised and nothing waits, however many points follow; later files work again."""
    pytest.importorskip("tensorboardX", reason="needs tensorboardX: pip install '.[train]'")
    board = TensorBoard(tmp_path, now_s=lambda: 1.8e9)
    board(IterationDone(row(1), 30, 1.0, 0.0))
    (file,) = tmp_path.iterdir()
    with no_file_beyond(file.stat().st_size + 10):
        for number in range(2, 31):
            board(IterationDone(row(number), 30, 1.0, 0.0))
        board.close()
    assert file.read_bytes().count(b"reward/gain") == 1
    again = TensorBoard(tmp_path, 1, now_s=lambda: 1.8e9 + 60.0)
    again(IterationDone(row(2), 30, 1.0, 0.0))
    again.close()
    (newer,) = set(tmp_path.iterdir()) - {file}
    assert newer.read_bytes().count(b"reward/gain") == 1


def test_two_trainings_do_not_share_a_folder(folder: TrainingFolder) -> None:
    """The second is refused until the first ends: one curve, and checkpoints that stay."""
    folder.hold()
    second = TrainingFolder.open(folder.path)
    with pytest.raises(Conflict, match="found another process at work on it"):
        second.hold()
    second.close()  # what it never held
    folder.close()
    second.hold()
    second.close()


@pytest.mark.parametrize("damage", [b"[1]\n", b'{"number": 2', b"\xff\xfe\n", b'{"number": "x"}\n'])
def test_lines_that_are_no_points_are_left_out(folder: TrainingFolder, damage: bytes) -> None:
    """Those after them are kept."""
    folder.append({"number": 1})
    with folder.curve_path.open("ab") as file:
        file.write(damage.removesuffix(b"\n") + b"\n")
    folder.append({"number": 3})
    assert folder.curve() == [{"number": 1}, {"number": 3}]
