"""Every file, and what became of it, stands in each form of the report."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from cellhive.app.analysis import analyse_paths
from cellhive.app.whole import Wanted, whole_of
from cellhive.core.inputs import FileOutcome
from cellhive.reports.reading.section import FilesRead, files_html, files_markdown

CSV = "Time,Cell,RRC Setup Success Rate (%),Foo\n"


@pytest.mark.parametrize("form", ["html", "json", "md"])
def test_each_form_lists_every_file(tmp_path: Path, form: str) -> None:
    """Members of archives, what is left out and why, hostile names, columns and their meaning."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text(CSV + "".join(f"2024-03-{d:02d},A,9{d},{d}\n" for d in (1, 2)))
    with tarfile.open(folder / "export.tgz", "w:gz") as book:
        book.add(folder / "a.csv", "<b>day.csv")
    (folder / "a.csv").unlink()
    (folder / "packed.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(60))
    (folder / "notes.md").write_text("# hello")
    result, analysis = analyse_paths([folder])
    path = tmp_path / f"report.{form}"
    whole_of(analysis, result, Wanted(causes=False)).write(path)
    text = path.read_text()
    assert "<b>day" not in text or form == "json"
    if form != "json":
        for words in ("3 files: 1 read, 1 ignored, 1 failed", "not a format of measurements",
                      "found a 7z archive", "day.csv", "Foo"):  # fmt: skip
            assert words in text
        return
    files = {Path(one.pop("file")).name: one for one in json.loads(text)["sections"]["files"]}
    assert files["<b>day.csv"] == {
        "kind": "text", "status": "read", "taken_for": ["measurements"], "rows": 2, "note": "",
        "columns": {"RRC Setup Success Rate (%)": "rrc_setup_success_ratio", "Foo": ""},
        "findings": sum("day.csv" in one.file for one in result.findings),
    }  # fmt: skip
    assert [files[name]["status"] for name in ("packed.7z", "notes.md")] == ["failed", "ignored"]


def test_a_folder_that_all_files_share_is_named_once(tmp_path: Path) -> None:
    """Rows begin where files differ; absolute and relative names together share none."""
    names = ("north/a.csv", "south/b.csv")
    files = [FileOutcome(Path(f"/srv/inbox/{name}"), "text", "read", 1) for name in names]
    html = files_html(FilesRead(files))
    assert html.count(">/srv/inbox/") == 0
    assert ">north/a.csv</td>" in html
    assert "All in /srv/inbox/" in html
    assert files_markdown(FilesRead(files))[-1].startswith("- **south/b.csv**")
    mixed = [*files, FileOutcome(Path("c.csv"), "text", "read", 1)]
    assert ">/srv/inbox/north/a.csv</td>" in files_html(FilesRead(mixed))
