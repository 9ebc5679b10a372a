"""``cellhive train`` as a person uses it: begin, stop, go on, judge, promote, run."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import small_scenario

from cellhive.adapters.runs import load_run
from cellhive.adapters.training.folder import TrainingFolder

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
        (("train", "start", "--recipe", "best"), "one of quick, champion, sleep, found 'best'"),
        (("train", "start", "--joins", "general"), "learns beside the rules, such as sleep"),
        (("train", "start", "--recipe", "sleep", "--joins", "nobody"), "nobody"),
        (("train", "start", "--recipe", "sleep", "--on", "ray"), "expected --on here"),
        (("train", "start", "--scenario", "nowhere"), "expected a scenario out of"),
        (("train", "start", "--heads", "volume"), "found volume"),
        (("train", "start", "--learning", "speed=2"), "--learning: expected some of"),
        (("train", "start", "--learning", "fast"), "expected NAME=NUMBER"),
        (("train", "start", "--name", "No Name"), "--name"),
        (("train", "start", "--parent", "nobody"), "'nobody'"),
        (("train", "start", "--time-limit", "0"), "more than 0 minutes"),
        (("train", "start", "--device", "abacus", "--scenario", "small.yaml", *QUICK), "'abacus'"),
        (("train", "start", "--on", "moon"), "--on: expected here or ray, found 'moon'"),
        (("train", "resume", "nothing"), "found no training.json"),
        (
            ("train", "promote", "nobody@1"),
            "out of general, general-sleep; found 'nobody'",
        ),
        (("train", "promote", "nobody"), "nobody:3 or nobody:candidate"),
        (
            ("run", "--optimizer", "rl:nobody"),
            "out of general, general-sleep; found 'nobody'",
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
