"""The page asks for nothing outside, escapes all text, and appears whole or not at all."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import pytest

from cellhive.reports.page import (
    Cell,
    Column,
    Table,
    environment,
    render,
    resource,
    write_atomic,
)

BAD = '"><img src=x onerror=alert(1)>'


def page(body: str, **context: object) -> str:
    """Return a page with a body written for the test."""
    source = '{% extends "page.html" %}{% block body %}' + body + "{% endblock %}"
    shell = environment().from_string(source)
    shared = {"page_css": "", "chart_css": "", "page_js": "", "version": "0", "title": "t"}
    return shell.render(**{**shared, **context})


def test_a_page_loads_nothing_from_outside() -> None:
    """No address, and a policy that would forbid one."""
    html = render("page.html", title="t")
    assert "default-src 'none'" in html
    without_names = html.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//cdn|@import|url\(|<link|<iframe", without_names)
    assert not re.search(r'<script[^>]+src|<img[^>]+src="(?!data:)', html)


def test_light_and_dark_are_both_there() -> None:
    """The reader's preference and a button decide."""
    html = render("page.html", title="t")
    assert "prefers-color-scheme: dark" in html
    assert 'data-theme="dark"' in html
    assert 'id="theme"' in html
    assert "@media print" in html


def test_text_is_escaped_everywhere() -> None:
    """Titles, cells, headings and tooltips cannot become markup."""
    table = Table([Column(BAD, title=BAD)], [[Cell(BAD, title=BAD)], [BAD]], caption=BAD)
    html = page("{{ table(t) }}", t=table, title=BAD, subtitle=BAD)
    assert "<img" not in html
    assert html.count("&lt;img src=x") >= 6


def test_rows_carry_keys_to_sort_by() -> None:
    """Numbers sort by value, unknown ones last, text by itself."""
    rows = [["b", 10.0, Cell("x", 2.5)], ["a", math.nan, Cell("y", math.nan)]]
    columns = [Column("n"), Column("v", numeric=True), Column("k")]
    html = page("{{ table(t) }}", t=Table(columns, rows))
    assert re.findall(r'data-key="([^"]*)"', html) == ["b", "10.0", "2.5", "a", "", ""]
    assert ">–<" in html


def test_long_tables_can_be_filtered_and_empty_ones_say_so() -> None:
    """A filter from nine rows on; words instead of an empty table."""
    short = Table([Column("n")], [["x"]] * 8)
    long = Table([Column("n")], [["x"]] * 9)
    assert 'type="search"' not in page("{{ table(t) }}", t=short)
    assert 'type="search"' in page("{{ table(t) }}", t=long)
    assert "Nobody came." in page(
        "{{ table(t) }}", t=Table([Column("n")], [], empty="Nobody came.")
    )


def test_a_file_appears_whole(tmp_path: Path) -> None:
    """Text in, text out, in a folder that did not exist, with the usual rights."""
    path = tmp_path / "new" / "r.html"
    write_atomic(path, "grüße\n")
    assert path.read_bytes() == "grüße\n".encode()
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert [p.name for p in path.parent.iterdir()] == ["r.html"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """What cannot be encoded leaves neither a new file nor a torn one."""
    path = tmp_path / "r.html"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "new \ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.parametrize("name", ["page.js", "analysis.js"])
def test_no_script_declares_a_name_twice(name: str) -> None:
    """A second "const" of the same name in one function stops the whole script."""
    outer = re.findall(r"^  const (\w+) =", resource(name), flags=re.M)
    assert sorted(set(outer)) == sorted(outer)
