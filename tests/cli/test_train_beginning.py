"""``cellhive train start --learn-from``: policies that are taught before they play."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellhive.adapters.scenarios import library_text
from cellhive.adapters.training.folder import TrainingFolder

pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
from cellhive.flows.training.causal_mask import known_causes, visible_features

Command = Callable[..., Any]
HEADS = ("a3_offset_db", "hysteresis_db", "time_to_trigger_s")
QUICK = ("--cities", 1, "--networks", 1, "--periods", 4, "--observed", 6, "--hidden", 8,
         "--heads", ",".join(HEADS), "--iterations", 1, "--no-gates",
         "--no-tensorboard")  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a short stretch of a highway whose handovers come too late."""
    text = library_text("highway-corridor")
    for old, new in (("name: highway-corridor", "name: road"), ("sites: 10", "sites: 3"),
                     ("duration_h: 12", "duration_h: 2")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "road.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(cellhive: Command, *more: object) -> Any:
    """Train on the road."""
    return cellhive("train", "start", "--name", "tiny", "--scenario", "road.yaml", *QUICK, *more)


def actor(place: Path) -> dict[str, Any]:
    """Return the actor's tensors after the only training, which is put aside."""
    (path,) = (place / "training").iterdir()
    checkpoint, _ = TrainingFolder.open(path).newest()
    facts = TrainingFolder.open(path).facts()
    path.rename(place / f"done-{len(list(place.glob('done-*')))}")
    weights = {name: array for name, array in checkpoint.state.items() if "actor" in name}
    return {"facts": facts, **weights}


def test_rules_teach_the_same_way_twice_and_a_mask_blinds_for_good(
    cellhive: Command, place: Path
) -> None:
    """Weights of what the mask hides are 0 after learning too; recipe and source are kept."""
    ended = start(cellhive, "--learn-from", "rules", "--causal-mask")
    assert ended.code == 0, ended.err
    assert "taught by rules: 16 decisions of networks" in ended.err
    first = actor(place)
    facts = first.pop("facts")
    assert facts["recipe"]["beginning"]["teachers"] == ["rules"]
    assert facts["taught"]
    start(cellhive, "--learn-from", "rules", "--causal-mask")
    again = actor(place)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    (own,) = [array for name, array in first.items() if name.endswith("own.weight")]
    visible = visible_features(known_causes(), HEADS, 4)[: own.shape[1]]
    assert not visible.all()
    assert not own[:, ~visible].any()
    assert own[:, visible].any()
    start(cellhive)
    fresh = actor(place)
    assert any(not np.array_equal(first[name], fresh[name]) for name in first)


def test_a_recorded_run_teaches_offline(cellhive: Command, place: Path) -> None:
    """The run folder of the rules is enough; what it did is counted."""
    done = cellhive("run", "--scenario", "road.yaml", "--hours", 2, "--observed", 20)
    assert done.code == 0, done.err
    (folder,) = (place / "runs").iterdir()
    ended = start(cellhive, "--learn-from", folder, "--learn-how", "offline")
    assert ended.code == 0, ended.err
    assert f"taught by {folder.name}: 7 decisions" in ended.err


def test_privacy_is_accounted(cellhive: Command) -> None:
    """What was spent is at most what was allowed, and is said."""
    pytest.importorskip("opacus", reason="needs opacus: pip install '.[train]'")
    ended = start(cellhive, "--networks", 2, "--learn-from", "rules", "--privacy", 8)
    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.err.splitlines() if "privacy spent" in line]
    assert float(line.split("epsilon ")[1].split(",")[0]) <= 8.0


@pytest.mark.parametrize(("options", "said"), [
    (("--learn-from", "runs/none"), "runs/none"),
    (("--learn-from", "memory:none"), "none"),
    (("--learn-how", "offline"), "nobody to learn from"),
    (("--privacy", "4"), "nobody to learn from"),
    (("--learn-from", "rules", "--roles", "functions"), "joint"),
    (("--learn-from", "rules", "--learn-how", "offline", "--privacy", "4"), "--privacy"),
    (("--learn-from", "rules", "--parent", "general"), "--parent"),
    (("--learn-from", "rules", "--heads", "asleep"), "changes of asleep"),
])  # fmt: skip
def test_what_cannot_teach_is_refused_and_nothing_is_made(
    cellhive: Command, place: Path, options: tuple[str, ...], said: str
) -> None:
    """Before any folder is made, with what to do."""
    ended = start(cellhive, *options)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert not (place / "training").exists() or not list((place / "training").iterdir())
