"""The report opens anywhere: one file, every anchor there once, every cell in it, nothing run."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
import polars as pl
import pytest

from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    ColumnInfo,
    Measurements,
    Role,
)
from cellhive.diagnose.audit.configuration import Configuration
from cellhive.diagnose.audit.run import audit
from cellhive.flows.analyse import Analysis, analyse
from cellhive.reports.analysis import tables, words
from cellhive.reports.analysis.clock import Clock, clock_of
from cellhive.reports.analysis.drawn import cells as cells_drawn
from cellhive.reports.analysis.drawn import places
from cellhive.reports.analysis.drawn.cells import drilled, json_in_html
from cellhive.reports.analysis.drawn.places import map_of
from cellhive.reports.analysis.report import (
    analysis_json,
    analysis_markdown,
    render_analysis,
)
from cellhive.reports.analysis.sections import PLACES, Section, composed
from cellhive.reports.analysis.summary import Users, points

START = datetime(2025, 3, 2, 23, tzinfo=UTC)
"""Midnight of 3 March in Rome."""
EVIL = "</script><img src=x onerror=alert(1)>'\"\u2028,=1+1"


def hourly(
    cells: int = 12,
    days: int = 8,
    kpis: int = 3,
    *,
    first: str = "cell-0",
    zone: str = "Europe/Rome",
) -> Measurements:
    """Return hourly measurements with positions; the first cell loses a third for a night."""
    rng = np.random.default_rng(1)
    periods = days * 24
    hour = np.arange(periods)
    names = [first, *(f"cell-{i}" for i in range(1, cells))]
    columns: dict[str, Any] = {}
    infos: dict[str, ColumnInfo] = {}
    for kpi in range(kpis):
        level = rng.uniform(10.0, 30.0, (cells, 1)) * (1 + 0.4 * np.sin(2 * np.pi * hour / 24))
        values = level * (1 + 0.05 * rng.standard_normal((cells, periods)))
        values[0, 100:112] *= 0.3
        name = "Avg RRC users" if kpi == 0 else f"Throughput {kpi}"
        quantity = "RRC.ConnMean" if kpi == 0 else None
        columns[name] = values.ravel()
        infos[name] = ColumnInfo(
            name, unit="" if kpi == 0 else "Mbit/s", role=Role.GAUGE, quantity=quantity,
            confidence=1.0, better="" if kpi == 0 else "higher",
        )  # fmt: skip
    for name, values in (
        ("Latitude", 44 + 0.01 * (np.arange(cells) // 3)), ("Longitude", np.full(cells, 11.0)),
        ("Azimuth", np.arange(cells) % 3 * 120.0),
    ):  # fmt: skip
        columns[name] = np.repeat(values, periods)
        infos[name] = ColumnInfo(name, role=Role.ATTRIBUTE)
    times = pl.datetime_range(
        START, START + pl.duration(hours=periods - 1), "1h", time_zone="UTC", time_unit="us",
        eager=True,
    )  # fmt: skip
    frame = pl.DataFrame({
        OBJECT: np.repeat(np.array(names, dtype=object), periods).tolist(),
        TIME: pl.concat([times] * cells),
        PERIOD_S: [3600.0] * (cells * periods),
        SUSPECT: [False] * (cells * periods),
        **columns,
    })  # fmt: skip
    return Measurements("kpis.csv", frame, infos, (), "cell", zone, ("/data/in/kpis.csv",))


class Page(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text: str) -> None:
        """Parse it."""
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.outside: list[str] = []
        self.handlers: list[str] = []
        self.tags: Counter[str] = Counter()
        self.headings: list[int] = []
        self.unscoped = 0
        self.nameless = 0
        self.data: dict[str, str] = {}
        self._into = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids, links, addresses, and what a screen reader needs."""
        held = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self.handlers += [name for name in held if name.startswith("on")]
        if "id" in held:
            self.ids[held["id"]] += 1
        if tag == "a" and held.get("href", "").startswith("#"):
            self.links.append(held["href"][1:])
        self.outside += [
            held[name] for name in ("src", "href", "action", "data", "poster", "srcset")
            if name in held and not held[name].startswith(("#", "data:"))
        ]  # fmt: skip
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.unscoped += tag == "th" and "scope" not in held
        self.nameless += tag == "svg" and "role" not in held and "aria-hidden" not in held
        if tag == "script" and held.get("type") == "application/json":
            self._into = held["id"]

    def handle_data(self, data: str) -> None:
        """Keep what scripts read."""
        if self._into:
            self.data[self._into] = self.data.get(self._into, "") + data

    def handle_endtag(self, tag: str) -> None:
        """Leave a script."""
        if tag == "script":
            self._into = ""


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Return an analysis with one incident of two KPIs and the users."""
    return analyse([hourly()])


@pytest.fixture(scope="module")
def page(analysis: Analysis) -> Page:
    """Return its page, parsed."""
    return Page(render_analysis(analysis))


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    """A link within the page finds its place; those of cells are for the script."""
    assert [name for name, count in page.ids.items() if count > 1] == []
    missing = {link for link in page.links if not link.startswith("cell=")} - set(page.ids)
    assert missing == set()


def test_nothing_comes_from_outside(page: Page) -> None:
    """No address, no handler in an attribute, no frame, no object."""
    assert page.outside == []
    assert page.handlers == []
    assert not {"link", "iframe", "object", "embed", "form", "base"} & set(page.tags)


def test_a_screen_reader_finds_its_way(page: Page) -> None:
    """One h1, no level left out, scopes on headings of tables, names of pictures."""
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert page.unscoped == 0
    assert page.nameless == 0
    assert page.tags["main"] == page.tags["nav"] == 1


def test_contents_need_no_script(analysis: Analysis) -> None:
    """The table of contents is in the page as it is sent."""
    text = render_analysis(analysis)
    contents = text[text.index('<ol id="toc">') : text.index("</ol>")]
    for name in ("summary", "incidents", "map", "cells", "kpis", "quality", "about"):
        assert f'href="#{name}"' in contents


def test_every_incident_has_an_anchor_that_lasts_and_a_plot(analysis: Analysis) -> None:
    """The anchor hangs on what happened, not on the rank."""
    text = render_analysis(analysis)
    assert analysis.search.incidents
    for one in analysis.search.incidents:
        place = words.anchor(one)
        start = text.index(f'id="{place}"')
        article = text[start : text.index("</article>", start)]
        assert "<svg" in article
        assert 'class="span' in article
        assert 'class="band baseline"' in article
        assert words.anchor(replace(one, rank=99)) == place


def test_hostile_names_stay_text_in_every_form() -> None:
    """A cell called like a script, in tables, plots, map, links and data."""
    plain, evil = (Page(render_analysis(analyse([hourly(first=n)]))) for n in ("cell-0", EVIL))
    assert set(evil.tags) - {"wbr"} == set(plain.tags)
    assert evil.tags["script"] == plain.tags["script"]
    assert evil.handlers == []
    assert evil.outside == []
    data = json.loads(evil.data["cells-data"])
    assert words.clean(EVIL) in data["cells"]
    assert "<img" not in analysis_markdown(analyse([hourly(first=EVIL)]))


def test_json_in_a_script_cannot_end_it() -> None:
    """No character of markup is left, and it reads back the same."""
    text = str(json_in_html({"a": EVIL}))
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == {"a": EVIL}


def series(data: dict[str, Any], kpi: int, cell: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the lows and highs of a series as the script of the page unpacks them."""
    raw, at = zlib.decompress(base64.b64decode(data["packed"])), 0
    width = 2 if data["top"] > 255 else 1
    for index, one in enumerate(data["kpis"]):
        order = data["orders"][one["cells"]]
        rows, planes = len(order) + 1, 2 if one["pairs"] else 1
        size = rows * one["points"] * planes * width
        if index == kpi:
            row = order.index(cell) + 1
            low, high = struct.unpack_from("<2f", raw, at + row * 8)
            kind = "<u2" if width == 2 else "<u1"
            codes = np.frombuffer(raw, kind, size // width, at + rows * 8)
            codes = codes.reshape(planes, rows, one["points"])[:, row].astype(float)
            return low + codes / data["top"] * (high - low)
        at += rows * 8 + size + (-size) % 4
    raise AssertionError


@pytest.mark.parametrize(("cells", "kpis", "days"), [(12, 3, 8), (60, 40, 30)])
def test_packed_series_unpack_to_the_values(cells: int, kpis: int, days: int) -> None:
    """Exact to the step of the codes; where thinned, the low and the high of each stretch."""
    found = analyse([hourly(cells, days, kpis)])
    clock = clock_of(found)
    data = json.loads(str(drilled(found, clock).data))
    panel = found.parts[0].panels[1]
    one = data["kpis"][1]
    assert (one["name"], one["unit"], one["better"]) == ("Throughput 1", "Mbit/s", "higher")
    assert one["start"] == clock.wall_s(panel.start_s)
    block = round(one["step"] / panel.step_s)
    assert one["pairs"] == (block > 1)
    folded = panel.values[panel.objects.index("cell-5")].reshape(-1, block)
    ends = (folded.min(axis=1), folded.max(axis=1)) if block > 1 else (folded[:, 0],)
    step = np.ptp(folded) / data["top"]
    got = series(data, 1, data["cells"].index("cell-5"))
    assert got == pytest.approx(np.stack(ends), abs=0.51 * step + 1e-4)


def test_a_large_network_fits_into_five_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """1000 cells x 50 KPIs x 30 days, from a tenth of the cells with a tenth of the room."""
    monkeypatch.setattr(cells_drawn, "ROOM_BYTES", cells_drawn.ROOM_BYTES // 10)
    text = render_analysis(analyse([hourly(100, 30, 50)]))
    sections = dict(re.findall(r'<section id="(\w+)">(.*?)</section>', text, re.DOTALL))
    data = Page(text).data["cells-data"]
    assert json.loads(data)["kpis"][0]["points"] == 30, "a day each"
    grows = len(data) + len(sections["cells"]) + len(sections["map"])
    plot = len(re.findall(r"<article class=.incident.*?</article>", text, re.DOTALL)[0]) / 2
    assert 10 * grows + (len(text) - grows) + tables.PLOTS * plot < 5_000_000


def test_times_are_those_of_the_network() -> None:
    """Midnight in Rome is 23:00 or 22:00 UTC; a zone that nobody knows stays UTC."""
    found = analyse([hourly(days=5)])
    clock = clock_of(found)
    assert clock.said == "in Europe/Rome time"
    assert clock.written(START.timestamp()) == "2025-03-03 00:00"
    assert (
        clock.written(datetime(2025, 7, 1, 22, tzinfo=UTC).timestamp(), days=True) == "2025-07-02"
    )
    assert clock.is_midnight(START.timestamp())
    assert "2025-03-03 00:00 to" in words.part_line(found.parts[0], clock)
    for zone, name, offset in (
        ("+02:00", "+02:00", 7200.0),
        ("nowhere", "UTC", 0.0),
        ("", "", 0.0),
    ):
        other = clock_of(analyse([hourly(3, 1, 1, zone=zone)]))
        assert (other.name, other.wall_s(0.0)) == (name, offset)
    assert Clock().written(1.5) == "1970-01-01 00:00:01.500"


def test_users_are_counted_where_the_data_say(analysis: Analysis) -> None:
    """The mean of the users of its cells, by hand: a cell that is down still has its users."""
    users = Users(analysis)
    incident = analysis.search.incidents[0]
    panel = analysis.parts[0].panels[0]
    rows = [panel.objects.index(name) for name in incident.objects]
    assert users.of(incident) == pytest.approx(panel.values[rows].mean(axis=1).sum())
    who = next(p for p in points(analysis, None, (), Clock()) if p.question == "Who is affected")
    assert "users at a time on average (Avg RRC users)" in who.answer


def test_the_map_shows_cells_where_they_stand(analysis: Analysis) -> None:
    """North is up, worse is orange; the sites' own list fills in what measurements lack."""
    names = drilled(analysis, Clock()).names
    found = map_of(analysis, names)
    assert found is not None
    tips = re.findall(r'<path class="sector" data-cell="(\d+)"[^>]*><title>([^<]*)<', found.chart)
    assert len(tips) == 12
    for place, tip in tips:
        assert tip.startswith(names[found.cells[int(place)]])
    bare = hourly()
    bare = Measurements("m", bare.frame.drop("Latitude"),
                        {k: v for k, v in bare.columns.items() if k != "Latitude"})  # fmt: skip
    without = analyse([bare])
    assert map_of(without, names) is None
    conf = configuration(("cell-1", "cell-2", "elsewhere"))
    seen = map_of(without, names, conf)
    assert seen is not None
    assert sorted(names[i] for i in seen.cells) == ["cell-1", "cell-2"]


def configuration(cell_ids: tuple[str, ...]) -> Configuration:
    """Return cells with one physical cell identity at two places."""
    cells = len(cell_ids)
    return Configuration(
        cell_ids, ("s",) * cells, 44 + 0.001 * np.arange(cells), np.full(cells, 11.0),
        np.zeros(cells), np.full(cells, 7, np.int32), ("1800",) * cells,
        np.array([0], np.int32), np.array([1], np.int32), np.array([True]),
    )  # fmt: skip


def test_sections_of_others_take_their_place_in_every_form(analysis: Analysis) -> None:
    """A body, lines, a record, a line of the summary; in the order that was asked for."""
    added = [
        Section(f"from-{place}", f"From {place}", "<p>body</p>", ["a line"], {"a": 1}, place)
        for place in PLACES
    ]
    added.append(Section("todo", "To do", "", (), None, "why", ("What to do", "Begin with this.")))
    text = render_analysis(analysis, sections=added)
    order = [text.index(f'<section id="{name}">') for name in
             ("incidents", "from-incidents", "from-why", "map", "from-map", "cells", "from-cells",
              "kpis", "from-kpis", "quality", "from-quality", "about")]  # fmt: skip
    assert order == sorted(order)
    assert "Begin with this." in text
    assert 'href="#todo"' in text
    record = json.loads(analysis_json(analysis, sections=added))
    assert record["sections"]["from-map"] == {"a": 1}
    (todo,) = (one["answer"] for one in record["summary"] if one["question"] == "What to do")
    assert todo.startswith("Check alarms")  # of the incident; the other is about all
    assert todo.endswith(" Besides: Begin with this.")
    assert "## From quality\n\na line" in analysis_markdown(analysis, sections=added)


def test_the_audit_of_a_configuration_is_a_section(analysis: Analysis) -> None:
    """What is found is in the page; its sites are on the map."""
    conf = configuration(("cell-1", "cell-2", "cell-3"))
    (section,) = composed(audited=(conf, audit(conf)))
    text = render_analysis(analysis, sections=[section], configuration=conf)
    assert '<section id="configuration"><h2>Configuration audit</h2>' in text
    assert "pci-co" in text
    assert section.record["cells"] == 3
    assert any(line.startswith("| ") for line in section.markdown)


def test_a_map_says_when_it_leaves_objects_out(
    analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three places are drawn: that is no lack of positions."""
    names = ("cell-0", "cell-1", "cell-2")
    monkeypatch.setattr(places, "MOST_PLACED", 2)
    wide = replace(analysis.parts[0], objects=names)
    drawn = map_of(replace(analysis, parts=(wide,)), names, configuration(names))
    assert drawn is not None
    assert len(drawn.cells) == 2
    assert drawn.notes[0].startswith("The first 2 of these 3 are drawn")


def test_a_configuration_alone_has_no_empty_sections() -> None:
    """Without measurements the page opens with what the configuration holds."""
    conf = configuration(("A", "B", "C"))
    nothing = analyse([])
    added = composed(audited=(conf, audit(conf)))
    text = render_analysis(nothing, sections=added, configuration=conf)
    page = Page(text)
    sections = re.findall(r'<section id="([a-z]+)"', text)
    assert sections == ["summary", "configuration", "quality", "about"]
    assert set(page.links) <= set(page.ids)
    assert '<p class="subtitle">3 cells</p>' in text
    first = points(nothing, None, added, Clock())[0]
    assert (first.question, first.tone) == ("Is it configured rightly", "worse")
    assert first.answer.startswith("3 cells at 1 site, 1 neighbour relation: ")


def test_a_configuration_that_cannot_be_checked_is_not_praised() -> None:
    """Names alone say nothing of whether they are right."""
    bare = replace(
        configuration(("A", "B")), site_ids=("", ""), carrier=("", ""),
        latitude_deg=np.full(2, np.nan), longitude_deg=np.full(2, np.nan),
        azimuth_deg=np.full(2, np.nan), physical_cell_id=np.full(2, -1, np.int32),
        relation_source=np.zeros(0, np.int32), relation_target=np.zeros(0, np.int32),
        handover_allowed=np.zeros(0, np.bool_),
    )  # fmt: skip
    (section,) = composed(audited=(bare, audit(bare)))
    assert section.summary[1] == "2 cells: too little is stated of them for any check."
    assert section.tone == ""


def test_files_are_named_without_their_folders(analysis: Analysis) -> None:
    """A report that is sent says nothing of the sender's disk."""
    text = render_analysis(analysis)
    assert "/data/in" not in text
    assert "kpis.csv" in text
