"""``cellhive train`` as a person uses it: begin, stop, go on, judge, promote, run."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import small_scenario

from cellhive.adapters.runs import load_run
from cellhive.adapters.training.folder import TrainingFolder
from cellhive.core.errors import Unavailable

pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
from cellhive.rl.learning.training import Trainer

Command = Callable[..., Any]

QUICK = ("--cities", 1, "--networks", 1, "--periods", 3, "--observed", 4, "--hidden", 8,
         "--heads", "a3_offset_db,cio_db", "--checkpoint-every", 1)  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a small scenario: one site, an hour, nothing wrong."""
    (tmp_path / "small.yaml").write_text(small_scenario())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(place: Path) -> Path:
    """Return the folder of the only training."""
    (path,) = (place / "training").iterdir()
    return path


def start(cellhive: Command, *more: object) -> Any:
    """Train in the small scenario."""
    return cellhive("train", "start", "--name", "tiny", "--scenario", "small.yaml", *QUICK, *more)


def curve(path: Path) -> list[dict[str, Any]]:
    """Return the curve without what depends on the clock."""
    return [{k: v for k, v in row.items() if k != "seconds"}
            for row in TrainingFolder(path).curve()]  # fmt: skip


def test_stopped_training_goes_on_to_the_same_end(
    cellhive: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C leaves a checkpoint and says how to go on; the curve is that of a whole run."""
    whole = start(cellhive, "--iterations", 4, "--no-gates", "--no-tensorboard")
    assert whole.code == 0
    assert "tiny@1 registered, put to no gate" in whole.out
    first = begun(place)
    expected = curve(first)
    (place / "training").rename(place / "before")
    append = TrainingFolder.append

    def stop(folder: TrainingFolder, row: Any) -> None:
        append(folder, row)
        if row["number"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingFolder, "append", stop)
        stopped = start(cellhive, "--iterations", 4, "--no-gates", "--no-tensorboard")
    path = begun(place)
    assert stopped.code == 130
    assert (
        f"interrupted after iteration 2 of 4; go on: cellhive train resume training/{path.name}"
        in (stopped.out)
    )
    newest = TrainingFolder(path).checkpoints / "checkpoint-000002.npz"
    newest.write_bytes(newest.read_bytes()[:-1])
    resumed = cellhive("train", "resume", path, "--no-gates", "--no-tensorboard")
    assert resumed.code == 0
    assert "checkpoint-000002.npz: expected the file that was written" in resumed.err
    assert curve(path) == expected
    assert "tiny@2 registered" in resumed.out
    again = cellhive("train", "resume", path, "--no-gates")
    assert again.out.startswith("all 4 iterations are done, and tiny@2 is registered; go further")
    back = cellhive("train", "resume", path, "--iterations", 3)
    assert back.code == 2
    assert "--iterations: expected 4 or more, which are done, found 3" in back.err
    same = cellhive("train", "diff", "tiny@1", "tiny@2")
    assert same.code == 0
    # unless the two took as long to a tenth of a second, that alone differs
    assert "wall_s" in same.out or same.out == "tiny@1 and tiny@2 are the same\n"
    assert "root mean square" not in same.out  # the weights are the same to the bit


def test_policy_is_judged_promoted_and_run(cellhive: Command, place: Path) -> None:
    """What passes no gate is no candidate; with a reason it is promoted, and the loop takes it."""
    ended = start(cellhive, "--iterations", 2)
    assert ended.code == 1
    assert "NOT PASSED" in ended.out
    assert "it is no candidate, because it did not pass every gate" in ended.out
    assert "Judging in 8 cities held out ..." in ended.err
    assert "cellhive train list" not in ended.err
    listed = cellhive("train", "list")
    assert "tiny@1" in listed.out
    rows = json.loads(cellhive("train", "list", "--json").out)
    (row,) = [one for one in rows if "tiny" in json.dumps(one)]  # beside what ships
    assert (row["scenarios"], row["gates_passed"]) == (["small"], False)
    refused = cellhive("train", "promote", "tiny@1")
    assert refused.code == 1
    assert "give a reason" in refused.err
    promoted = cellhive("train", "promote", "tiny@1", "--reason", "to try it")
    assert promoted.out == "tiny@1 is the champion\n"
    exported = Path(cellhive("train", "export", "tiny@1", "there", "--as", "other").out.strip())
    line = json.loads((exported / "manifest.json").read_text())["lineage"]
    assert line["budget"]["iterations"] == 2.0
    assert line["command"].startswith("cellhive train start --name tiny")
    ran = cellhive("run", "--scenario", "small.yaml", "--observed", 4, "--optimizer", "rl:tiny",
                   "--no-branches", "--no-predict", "--json")  # fmt: skip
    assert ran.code == 0
    (folder,) = (place / "runs").iterdir()
    assert load_run(folder).settings["optimizer"] == "rl:tiny@1"  # and not where an alias points
    replayed = cellhive("replay", folder)
    assert replayed.out == "4 periods replayed: every number is the same\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("train", "start", "--recipe", "best"),
            "one of quick, champion, sleep, tilt, found 'best'",
        ),
        (("train", "start", "--joins", "general"), "learns beside the rules, such as sleep"),
        (("train", "start", "--recipe", "sleep", "--joins", "nobody"), "nobody"),
        (("train", "start", "--recipe", "sleep", "--on", "ray"), "expected --on here"),
        (("train", "start", "--scenario", "nowhere"), "expected a scenario out of"),
        (("train", "start", "--heads", "volume"), "found volume"),
        (("train", "start", "--learning", "speed=2"), "--learning: expected some of"),
        (("train", "start", "--learning", "fast"), "expected NAME=NUMBER"),
        (("train", "start", "--learning", "epochs=1.5"), "epochs: expected a whole number, found"),
        (("train", "start", "--learning", "epochs=nan"), "epochs: expected a whole number, found"),
        (("train", "start", "--learning", "minibatch=inf"), "expected a whole number, found inf"),
        (("train", "start", "--learning", "adaptive=2"), "adaptive: expected 0 or 1, found 2"),
        (("train", "start", "--learning", "clip=nan"), "clip: expected a finite number"),
        (("train", "start", "--networks", "100000000"), "networks: expected 1 to 4096"),
        (("train", "start", "--time-limit", "-1"), "more than 0 minutes, found -1"),
        (("train", "start", "--name", "No Name"), "--name"),
        (("train", "start", "--parent", "nobody"), "'nobody'"),
        (("train", "start", "--time-limit", "0"), "more than 0 minutes"),
        (("train", "start", "--device", "abacus", "--scenario", "small.yaml", *QUICK), "'abacus'"),
        (("train", "start", "--on", "moon"), "--on: expected here or ray, found 'moon'"),
        (("train", "start", "--runners", "4"), "--runners: expected --on ray, found --on here"),
        (("train", "resume", "nothing"), "found no training.json"),
        (
            ("train", "promote", "nobody@1"),
            "out of general, general-tilt; found 'nobody'",
        ),
        (("train", "promote", "nobody"), "nobody@3 or nobody@candidate"),
        (
            ("run", "--optimizer", "rl:nobody"),
            "out of general, general-tilt; found 'nobody'",
        ),
        (("run", "--optimizer", "rl:no body"), "a name of lower-case letters"),
        (("evaluate", "--optimizer", "rl:nobody"), "'nobody'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    cellhive: Command, place: Path, arguments: tuple[object, ...], told: str
) -> None:
    """Exit code 2, one line, and no folder."""
    ended = cellhive(*arguments)
    assert ended.code == 2
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1
    assert [path.name for path in place.iterdir()] == ["small.yaml"]


def test_rewards_that_are_no_numbers_stop_it_with_what_was_learnt(
    cellhive: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Updates are taken back; after three in a row it ends, with the last good checkpoint."""
    play, played = Trainer._play, 0

    def broken(self: Trainer, which: int, spend: Any) -> Any:
        nonlocal played
        rollout, played = play(self, which, spend), played + 1
        if played > 2:
            rollout.points[0, 0, 0, 0] = np.nan
        return rollout

    monkeypatch.setattr(Trainer, "_play", broken)
    ended = start(cellhive, "--iterations", 9, "--no-tensorboard")
    assert ended.code == 1
    assert "training stopped after 3 updates in a row were taken back" in ended.err
    assert "the mobility reward of environment 0" in ended.err
    path = begun(place)
    assert "What was learnt before is kept in training/" in ended.err
    rows = TrainingFolder(path).curve()
    assert [bool(row["taken_back"]) for row in rows] == [False, False, True, True]
    assert TrainingFolder(path).newest()[0].number >= 2


def test_interrupted_judging_loses_nothing(
    cellhive: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C says what is kept and the command that judges and registers it."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cellhive.app.learning.training.judge", interrupted)
        stopped = start(cellhive, "--iterations", 1, "--no-tensorboard")
    path = begun(place)
    assert stopped.code == 130
    assert stopped.out.endswith(
        "interrupted after the last iteration; what was learnt is kept; register it: "
        f"cellhive train resume training/{path.name}\n"
    )
    resumed = cellhive("train", "resume", path, "--no-gates", "--no-tensorboard")
    assert "tiny@1 registered" in resumed.out


def test_training_is_registered_elsewhere_where_its_store_is_gone(
    cellhive: Command, place: Path
) -> None:
    """The store is refused before anything is trained for it, and --models names another."""
    assert start(cellhive, "--iterations", 1, "--no-gates", "--models", "kept").code == 0
    path = begun(place)
    (place / "lost").write_text("no folder")
    refused = cellhive("train", "resume", path, "--iterations", 2, "--no-gates", "--models", "lost")
    assert refused.code == 2
    assert "--models: expected a path in a folder that can be written" in refused.err
    went = cellhive("train", "resume", path, "--iterations", 2, "--no-gates", "--models", "other")
    assert "tiny@1 registered" in went.out
    assert "tiny@1" in cellhive("train", "list", "--models", "other").out


def test_training_that_cannot_be_registered_says_how_to_go_on(
    cellhive: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was learnt is kept, and the command that registers it is said."""

    def full(*_: object) -> None:
        message = "models.db: expected room, found none; make room"
        raise Unavailable(message, retry_after_s=1.0)

    with monkeypatch.context() as patch:
        patch.setattr("cellhive.app.learning.training.register", full)
        ended = start(cellhive, "--iterations", 1, "--no-gates", "--no-tensorboard")
    assert ended.code == 1
    assert (
        f"register it: cellhive train resume training/{begun(place).name} --no-gates" in ended.err
    )
    again = cellhive("train", "resume", begun(place), "--no-gates", "--no-tensorboard")
    assert "tiny@1 registered" in again.out


def test_damaged_curve_keeps_nobody_from_going_on(cellhive: Command, place: Path) -> None:
    """Its points are left out, said so, and the training goes on and is registered."""
    assert start(cellhive, "--iterations", 2, "--no-gates", "--no-tensorboard").code == 0
    path = begun(place)
    lines = (path / "curve.jsonl").read_bytes().splitlines()
    (path / "curve.jsonl").write_bytes(b'{"number": 1}\n\xff\xfe' + lines[1] + b"\n")
    went = cellhive("train", "resume", path, "--iterations", 3, "--no-gates", "--no-tensorboard")
    assert "curve.jsonl: expected 2 points, found 0 that are whole" in went.err
    assert "tiny@2 registered" in went.out


def test_folder_that_somebody_trains_in_is_left_alone(cellhive: Command, place: Path) -> None:
    """Two at once would mix their curves: the second is refused, and the first not disturbed."""
    assert start(cellhive, "--iterations", 1, "--no-gates", "--no-tensorboard").code == 0
    first = TrainingFolder.open(begun(place))
    first.hold()
    refused = cellhive("train", "resume", first.path, "--iterations", 2)
    assert refused.code == 1
    assert "found another process at work on it" in refused.err
    assert len(first.curve()) == 1
    first.close()


def test_one_damaged_policy_hides_no_other(cellhive: Command, place: Path) -> None:
    """The list has the others; what is damaged is said behind it, and the exit code says so."""
    assert start(cellhive, "--iterations", 1, "--no-gates", "--no-tensorboard").code == 0
    went = cellhive("train", "resume", begun(place), "--iterations", 2, "--no-gates")
    assert went.code == 0
    with sqlite3.connect(place / "models" / "models.db") as books:
        (count,) = books.execute("SELECT count(*) FROM models").fetchone()
        books.execute("UPDATE models SET manifest = ?", (b"{}",))
    books.close()
    assert count == 2
    for words in ((), ("--json",)):
        listed = cellhive("train", "list", *words)
        assert listed.code == 2
        assert "general-tilt" in listed.out
        assert "tiny@" not in listed.out
        told = [line.split("expected")[0].rstrip(" :") for line in listed.err.splitlines()]
        assert [line[-6:] for line in told] == ["tiny:1", "tiny:2"]


def test_models_that_are_not_there_are_said(cellhive: Command) -> None:
    """A folder that was misspelt is not passed over in silence; the list itself stays JSON."""
    listed = cellhive("train", "list", "--models", "mistyped", "--json")
    assert listed.err == (
        "There are no policies of yours in mistyped; train one: cellhive train start\n"
    )
    assert all(row["ships"] for row in json.loads(listed.out))
