"""Analyses in notebooks: frames of any library in, objects that show themselves out."""

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import cellhive
from cellhive.core.errors import BadInput, NotFound

START = datetime(2025, 3, 3, tzinfo=UTC)


def table(cells: int = 6, days: int = 14) -> dict[str, list[Any]]:
    """Return hourly values of cells; the throughput of one falls by half for a day."""
    rng = np.random.default_rng(5)
    count = days * 24
    usual = 30 + 8 * np.sin(2 * np.pi * np.arange(count) / 24)
    values = usual + rng.standard_normal((cells, count))
    values[2, 200:224] *= 0.5
    return {
        "Time": [START + timedelta(hours=i) for _ in range(cells) for i in range(count)],
        "Cell Name": np.repeat([f"<b>cell</b> {i}" for i in range(cells)], count).tolist(),
        "DL Throughput (Mbps)": values.ravel().tolist(),
    }


class Seen(HTMLParser):
    """The tags of a fragment, those left open, and its words."""

    def __init__(self, text: str) -> None:
        """Read it."""
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an opening tag."""
        del attrs
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag that closes itself."""
        del attrs
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        """Take a closing tag."""
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        """Take words."""
        self.words += data


def frames() -> list[tuple[str, Any]]:
    """Return the same table in every form that is taken."""
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    plain = table()
    pandas = pd.DataFrame(plain)
    return [
        ("mapping", plain),
        ("polars", pl.DataFrame(plain)),
        ("lazy", pl.DataFrame(plain).lazy()),
        ("pandas", pandas),
        ("named index", pandas.set_index(["Time", "Cell Name"])),
        ("times as index", pandas.set_index("Time").rename_axis(None)),
    ]


@pytest.mark.parametrize(("form", "data"), frames(), ids=lambda one: one if isinstance(one, str)
                         else "")  # fmt: skip
def test_every_form_of_a_table_gives_the_same_incident(form: str, data: Any) -> None:
    """The row order, the index and the library make no difference."""
    found = cellhive.analyse(data, causes=False)
    top = found.incidents.row(0, named=True)
    assert top["objects"] == ["<b>cell</b> 2"], form
    assert top["start"] == START + timedelta(hours=200)
    assert top["observed"] == pytest.approx(0.5 * top["expected"], rel=0.1)
    assert found.analysis.parts[0].rows == 6 * 14 * 24


def test_an_analysis_shows_itself_and_nothing_in_it_is_taken_for_markup() -> None:
    """Fragments are whole, without scripts, and names stay names."""
    found = cellhive.analyse(pl.DataFrame(table()))
    seen = Seen(found._repr_html_())
    assert not seen.open, "tags that are not closed"
    assert {"table", "svg"} <= seen.tags
    assert "b" not in seen.tags
    assert "script" not in seen.tags
    assert "<b>cell</b> 2" in seen.words
    assert "1 incident" in repr(found)
    one = Seen(found.incident(1)._repr_html_())
    assert not one.open
    assert "svg" in one.tags
    assert "<b>cell</b> 2" in one.words
    assert "DL Throughput" in repr(found.incident(1))
    with pytest.raises(BadInput, match="1 to"):
        found.incident(99)


def test_frames_say_what_was_read_and_what_is_wrong(tmp_path: Path) -> None:
    """Columns and findings are frames; the report is written."""
    plain = table(cells=3)
    plain["DL Throughput (Mbps)"][5] = -1e9
    found = cellhive.analyse(plain, causes=False)
    read_as = found.columns.filter(pl.col("column") == "DL Throughput (Mbps)").row(0, named=True)
    assert read_as["unit"] == "Mbit/s"
    assert "cellhive" not in found.findings["file"].to_list()
    assert found.findings.filter(pl.col("column") == "DL Throughput (Mbps)").height
    written = json.loads(found.report(tmp_path / "report.json").read_text(encoding="utf-8"))
    assert written["parts"][0]["rows"] == 3 * 14 * 24
    assert "advice" in written["sections"], "the report of a notebook holds all that others do"


def test_files_are_taken_too(tmp_path: Path) -> None:
    """One path or several; one that is not there is refused."""
    path = tmp_path / "kpis.parquet"
    pl.DataFrame(table()).write_parquet(path)
    assert cellhive.analyse(path, causes=False).incidents.equals(
        cellhive.analyse([str(path)], causes=False).incidents
    )
    with pytest.raises(NotFound):
        cellhive.analyse(tmp_path / "missing.csv")


@pytest.mark.parametrize("nothing", [3, {}, {"Time": []}, pl.DataFrame()])
def test_what_is_no_table_is_refused(nothing: Any) -> None:
    """With the error that files give, too."""
    with pytest.raises(BadInput):
        cellhive.analyse(nothing)


def test_a_table_without_incidents_says_so() -> None:
    """An empty frame with all its columns."""
    rng = np.random.default_rng(1)
    quiet = cellhive.analyse({
        "Time": [START + timedelta(hours=i) for i in range(240)],
        "Cell Name": ["a"] * 240,
        "Users": rng.normal(100, 5, 240).tolist(),
    }, causes=False)  # fmt: skip
    assert quiet.incidents.height == 0
    assert set(quiet.incidents.columns) >= {"rank", "start", "objects"}
    assert Seen(quiet._repr_html_()).words


def test_a_wide_frame_is_turned_as_a_file_of_the_same_form_is(tmp_path: Path) -> None:
    """A column for each cell; a file and a frame give the same rows."""
    hours = [f"2025-03-{1 + i // 24:02d} {i % 24:02d}:00" for i in range(48)]
    noise = np.random.default_rng(2).normal(30, 1, (48, 3)).round(3)
    lines = ["KPI,Cell," + ",".join(hours)]
    lines += [f"DL Throughput (Mbps),C{c}," + ",".join(map(str, noise[:, c])) for c in range(3)]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join(lines) + "\n")
    part = cellhive.analyse(path, causes=False).analysis.parts[0]
    other = cellhive.analyse(pl.read_csv(path), causes=False).analysis.parts[0]
    assert (other.objects, other.rows) == (part.objects, part.rows) == (("C0", "C1", "C2"), 144)
