"""The page every report stands on: one self-contained HTML file that asks for nothing outside.

Templates live in ``templates/``; a report's own template extends ``page.html``. All
text is escaped by Jinja2; SVG drawn by this package is passed in as ``Markup``.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cellhive import __version__
from cellhive.core.errors import BadInput
from cellhive.reports.drawing.svg import chart_css
from cellhive.reports.numbers import (
    direction,
    format_change,
    format_clock,
    format_duration,
    format_number,
    format_quantity,
    format_signed,
    label_of,
    visible,
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell whose sorting key or look differs from its text."""

    text: str | Markup
    key: float | str | None = None
    """What the column is sorted by; None sorts by the text."""
    tone: str = ""
    """"better", "worse", "warn", "muted" or ""."""
    title: str = ""
    """Shown on hover."""


Writer = Callable[..., str]
"""Returns a report as text."""

Row = Sequence[Cell | str | float | int]
"""One row of a table: numbers are written and sorted as numbers."""


@dataclass(frozen=True, slots=True)
class Column:
    """Heading of a table column."""

    text: str
    numeric: bool = False
    title: str = ""
    """What the column means; shown on hover."""
    wide: bool = False
    """Running text that may take the room it needs."""
    keep: bool = False
    """Lines that must not be broken."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that the reader can sort by any column and filter by text."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    caption: str = ""
    empty: str = "Nothing to list."
    """What to say where there are no rows."""
    filterable: bool = True
    """Offer a filter box when there are more than a few rows."""

    def cells(self) -> list[list[Cell]]:
        """Return every row as cells: numbers become text that sorts by value."""
        return [[_cell(item) for item in row] for row in self.rows]


def _cell(item: Cell | str | float | int) -> Cell:
    if isinstance(item, Cell):
        return item
    if isinstance(item, str):
        return Cell(item)
    return Cell(format_number(float(item)), float(item))


def _sort_key(cell: Cell) -> str:
    """Return the sorting key as an attribute; unknown numbers sort last."""
    key = cell.key
    if isinstance(key, float | int):
        return repr(float(key)) if math.isfinite(key) else ""
    return str(key) if key is not None else str(cell.text)


@cache
def environment() -> Environment:
    """Return the Jinja2 environment of the reports: escaping on, unknown names are errors."""
    env = Environment(
        loader=PackageLoader("cellhive.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        number=format_number,
        signed=format_signed,
        quantity=format_quantity,
        change=format_change,
        clock=format_clock,
        duration=format_duration,
        label=label_of,
        sort_key=_sort_key,
    )
    env.globals.update(direction=direction)
    return env


def resource(name: str) -> Markup:
    """Return a style sheet or a script of this package, to be put into a page."""
    text = (resources.files("cellhive.reports") / "templates" / name).read_text("utf-8")
    return Markup(text)  # noqa: S704  # our own style and script, not input


def render(template: str, **context: object) -> str:
    """Return a template of this package as HTML.

    Args:
        template: Name of a file in ``templates/``, usually one that extends ``page.html``.
        **context: Values the template uses; ``title`` is what ``page.html`` needs.
    """
    shared: Mapping[str, object] = {
        "page_css": resource("page.css"),
        "chart_css": Markup(chart_css()),  # noqa: S704  # our own style sheet
        "page_js": resource("page.js"),
        "version": __version__,
    }
    page = environment().get_template(template).render(**{**shared, **context})
    return visible(_with_contents(page))


def render_piece(template: str, **context: object) -> str:
    """Return a template that is part of a page as HTML, such as a section."""
    return environment().get_template(template).render(**context)


_SECTION = re.compile(r'<section id="([\w-]+)"[^>]*>\s*<h2>(.*?)</h2>', re.DOTALL)


def _with_contents(page: str) -> str:
    """Fill in the table of contents: a link to each section that has an id and a heading."""
    links = "".join(
        f'<li><a href="#{name}">{heading}</a></li>' for name, heading in _SECTION.findall(page)
    )
    return page.replace('<ol id="toc"></ol>', f'<ol id="toc">{links}</ol>', 1)


def safe_svg(svg: str) -> Markup:
    """Mark SVG that this package has drawn (and escaped) as safe to embed."""
    return Markup(svg)  # noqa: S704  # drawn by charts, bars and map, which escape all text


def writer_for(path: Path, html: Writer, json: Writer, markdown: Writer) -> Writer:
    """Return what writes a report in the form that the ending of its file says.

    Args:
        path: Ends in .html, .htm, .json or .md.
        html: Returns it as a page.
        json: Returns it for programs.
        markdown: Returns it for messages.

    Raises:
        BadInput: The ending says none of the forms.
    """
    writers = {".html": html, ".htm": html, ".json": json, ".md": markdown}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        wanted = "a report that ends in .html, .json or .md"
        raise BadInput(place=str(path), expected=wanted, found=f'"{path.suffix}"')
    return writer


def write_atomic(path: Path, text: str) -> None:
    """Write a text file so that a reader sees either the old file or all of the new one.

    Raises:
        BadInput: It cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text)
    except OSError as error:
        raise BadInput(
            place=str(path), expected="a path that can be written",
            found=error.strerror or str(error), remedy="free space or choose another path",
        ) from error  # fmt: skip


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
