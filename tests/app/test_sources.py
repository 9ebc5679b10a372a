"""The digest of results covers what they follow from, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellhive.app.learning import sources
from cellhive.app.learning.sources import digest_of, modules_under


def test_results_follow_from_twin_and_loop_but_not_from_measured_data() -> None:
    """Neither pictures nor readers of files come into a simulated run."""
    found = modules_under("cellhive.flows.arms.run", "cellhive.ran.son")
    assert {"cellhive.ran.kernel", "cellhive.flows.decide", "cellhive.ran.son.mlb"} <= set(found)
    assert "cellhive.core.measurements" not in found
    assert "cellhive.ran.picture" not in found
    assert "cellhive.flows.policy.together" not in found


def test_what_is_imported_counts_however_deep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module behind a module changes the digest; one that nobody imports does not."""
    package = tmp_path / "cellhive"
    texts = {
        "__init__.py": "",
        "top.py": "from cellhive.room import middle\n",
        "room/__init__.py": "",
        "room/middle.py": "def go():\n    import cellhive.deep\n    import numpy.linalg\n",
        "deep.py": "from cellhive.top import go\n",
        "aside.py": "",
    }
    for name, text in texts.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(sources, "_PACKAGE", package)
    assert list(modules_under("cellhive.top")) == [
        "cellhive.deep", "cellhive.room", "cellhive.room.middle", "cellhive.top"
    ]  # fmt: skip
    digest_of.cache_clear()
    before = digest_of("cellhive.top")
    (package / "aside.py").write_text("x = 1\n")
    digest_of.cache_clear()
    assert digest_of("cellhive.top") == before
    (package / "deep.py").write_text("x = 1\n")
    digest_of.cache_clear()
    assert digest_of("cellhive.top") != before
    digest_of.cache_clear()
