"""``cellhive run`` with a policy that is replaced in flight, and with a candidate beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_stores import PASSED
from policies import drawn
from small import small_scenario

from cellhive.adapters.runs import RunFolder, load_run
from cellhive.app.learning.models import open_models
from cellhive.core.models import CANDIDATE, CHAMPION, ModelManifest
from cellhive.flows.decide import PeriodObserved
from cellhive.flows.policy.served import PolicyTaken
from cellhive.rl.policy import PolicyShape, role_of

Command = Callable[..., Any]
SHAPES = (PolicyShape(("a3_offset_db",), 3, 8, 4), PolicyShape(("cio_db", "a3_offset_db"), 2, 8, 4))
RUN = ("run", "--scenario", "small.yaml", "--observed", 4, "--no-branches", "--no-predict")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a small scenario and two versions of a policy, of other shapes."""
    (tmp_path / "small.yaml").write_text(small_scenario())
    monkeypatch.chdir(tmp_path)
    with open_models("models") as models:
        for number, shape in enumerate(SHAPES):
            tensors = {f"joint/{name}": array for name, array in drawn(shape, number).items()}
            manifest = ModelManifest("serve", (role_of("joint", shape),), gates=PASSED)
            models.add(manifest, tensors, alias=(CHAMPION, CANDIDATE)[number])
    return tmp_path


def folder_of(place: Path) -> Path:
    """Return the folder of the only run."""
    (path,) = (place / "runs").iterdir()
    return path


def test_what_another_process_promotes_makes_the_next_decision(
    cellhive: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the journal, in the report and in the JSON, and a replay does the same again."""
    write, promoted = RunFolder.__call__, []

    def promote(folder: RunFolder, event: object) -> None:
        write(folder, event)
        if isinstance(event, PeriodObserved) and event.index == 5:
            command = "import cellhive.cli as c; c.main()"
            told = subprocess.run(  # noqa: S603  # our own program
                [sys.executable, "-W", "ignore", "-c", command, "train", "promote", "serve@2"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            promoted.append((told.stdout, event.frame.time_s + event.frame.period_s))

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "__call__", promote)
        ran = cellhive(*RUN, "--hours", 2, "--optimizer", "rl:serve", "--json")
    assert ran.code == 0, ran.err
    ((told, now_s),) = promoted
    assert told == "serve@2 is the champion, before: serve@1\n"
    taken = PolicyTaken(now_s, "serve@1", "serve@2")
    path = folder_of(place)
    record = load_run(path)
    assert record.taken == (taken,)
    assert (record.settings["optimizer"], record.settings["follow"]) == ("rl:serve@1", True)
    by_version = {
        version: [v.plan.time_s for v in record.verdicts if f"policy {version}" in v.plan.evidence]
        for version in ("serve@1", "serve@2")
    }
    assert max(by_version["serve@1"]) < now_s <= min(by_version["serve@2"])
    assert json.loads(ran.out)["taken"] == [
        {"time_s": now_s, "before": "serve@1", "after": "serve@2"}
    ]
    report = (path / "report.html").read_text()
    assert "serve@2 was promoted meanwhile and decided from 09:30 on" in report
    replayed = cellhive("replay", path)
    assert replayed.out == "8 periods replayed: every number is the same\n", replayed.err


def test_a_version_that_was_asked_for_stays(cellhive: Command, place: Path) -> None:
    """Nothing is followed where a version is named, whatever is promoted."""
    assert cellhive("train", "promote", "serve@2").code == 0
    ran = cellhive(*RUN, "--optimizer", "rl:serve@1", "--json")
    assert ran.code == 0, ran.err
    record = load_run(folder_of(place))
    assert (record.taken, record.settings["follow"]) == ((), False)
    evidence = {each for v in record.verdicts for each in v.plan.evidence[:1]}
    assert evidence == {"policy serve@1"}


@pytest.mark.parametrize("optimizer", ["rl:serve@1", "rules"])
def test_a_candidate_beside_changes_nothing_and_is_compared(
    cellhive: Command, place: Path, optimizer: str
) -> None:
    """The frames are those of a run without it; where the two differ is told."""
    alone = cellhive(*RUN, "--optimizer", optimizer, "--json", "--runs", "alone")
    ran = cellhive(*RUN, "--optimizer", optimizer, "--shadow", "serve", "--json")
    assert (alone.code, ran.code) == (0, 0), ran.err
    record = load_run(folder_of(place))
    (other,) = (place / "alone").iterdir()
    assert [v.plan.plan_id for v in record.verdicts] == [
        v.plan.plan_id for v in load_run(other).verdicts
    ]
    assert json.loads(ran.out)["kpis"] == json.loads(alone.out)["kpis"]
    assert len(record.compared) == 4
    assert {one.candidate for one in record.compared} == {"serve@2"}
    assert not any(one.failed for one in record.compared)
    told = json.loads(ran.out)["candidate"]
    assert sum(told["a3_offset_db"][k] for k in ("same", "opposite", "only_candidate")) > 0
    report = (folder_of(place) / "report.html").read_text()
    assert "What serve@2 would have done" in report
    assert "The policy gives this step" in report
    assert cellhive("replay", folder_of(place)).code == 0


def test_a_candidate_that_is_not_there_is_refused(cellhive: Command, place: Path) -> None:
    """Before anything runs; what ships has no candidate."""
    for named, told in (("nobody", "found 'nobody'"), ("general", "found 'candidate'"),
                        ("serve@7", "1 to 2; found 7")):  # fmt: skip
        ended = cellhive(*RUN, "--shadow", named)
        assert ended.code == 2
        assert told in ended.err
    assert not (place / "runs").exists()


@pytest.mark.filterwarnings("ignore:.*noload.*")  # SQLAlchemy warns MLflow
def test_models_may_be_in_mlflow(cellhive: Command, place: Path) -> None:
    """Every command takes the address in place of a folder; a record and a replay too."""
    pytest.importorskip("mlflow", reason="needs mlflow: pip install '.[mlflow]'")
    where = "mlflow:sqlite:///there/mlflow.db"
    empty = cellhive("train", "list", "--models", where)
    assert (empty.code, "general@3" in empty.out) == (0, True)
    assert not (place / "there").exists()  # looking makes nothing
    with open_models("models") as folder, open_models(where) as there:
        for version in (1, 2):
            loaded = folder.load(f"serve:{version}")
            manifest = replace(
                loaded.manifest, version=0, created_s=0.0, tensors_sha256="", tensors_bytes=0
            )
            there.add(manifest, loaded.tensors)
    promoted = cellhive("train", "promote", "serve@2", "--models", where)
    assert promoted.out == "serve@2 is the champion\n"
    listed = cellhive("train", "list", "--models", where)
    assert [line.split()[:2] for line in listed.out.splitlines() if "@2" in line] == [
        ["serve@2", "champion"]
    ]
    assert cellhive("train", "diff", "serve@1", "serve@2", "--models", where).code == 0
    ran = cellhive(*RUN, "--optimizer", "rl:serve", "--models", where, "--json")
    assert ran.code == 0, ran.err
    assert load_run(folder_of(place)).settings["models"] == where
    assert cellhive("replay", folder_of(place)).code == 0


def test_without_mlflow_it_is_said_what_to_install(
    cellhive: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, before anything is done."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    for command in (("train", "list"), ("train", "start", "--scenario", "small.yaml")):
        ended = cellhive(*command, "--models", "mlflow:http://localhost:1")
        assert ended.code == 2
        assert "pip install 'cellhive[mlflow]'" in ended.err
        assert len(ended.err.splitlines()) == 1
