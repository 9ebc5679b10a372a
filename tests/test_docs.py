"""The pages say what the code does: generated parts are current, links and commands exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer takes names click deprecates
    import typer

from typer.core import TyperArgument, TyperGroup, TyperOption

from cellhive import __version__
from cellhive.adapters.scenarios import scenario_names
from cellhive.cli import app
from cellhive.core.schema import COUNTERS, KPIS, PARAMETERS, RELATION_COUNTERS
from cellhive.ran.guard.rules import RULES
from cellhive.ran.handover import Procedures
from cellhive.reports.reference import (
    benchmarks_table,
    block_names,
    commands_of,
    field_texts,
    settings_table,
    table,
    with_blocks,
)

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
MEASURED = {
    "run-output", "branch-the-twin", "analyse-a-table", "calibration-output",
    "benchmarks", "all-benchmarks", "benchmark-notes",
}  # fmt: skip
"""Blocks that ``make docs`` makes from real runs: other machines have other figures."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    """Return the name of a page, for test ids."""
    return path.relative_to(ROOT).as_posix()


@cache
def build() -> ModuleType:
    """Return docs/build.py as a module."""
    spec = importlib.util.spec_from_file_location("build_docs", DOCS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def generated() -> dict[Path, str]:
    """Return every page that is made in seconds, as it should be."""
    made: dict[Path, str] = build().generated()
    return made


@cache
def commands() -> dict[str, typer.core.TyperCommand]:
    """Return every command by its full name."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return dict(commands_of(group, "cellhive"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as code hosts make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
            for heading in headings}  # fmt: skip


@pytest.mark.parametrize("path", sorted(generated()), ids=name_of)
def test_generated_parts_are_current(path: Path) -> None:
    """Whatever is made from the code is as the code would make it now (else: make docs)."""
    assert path.read_text(encoding="utf-8") == generated()[path], (
        "out of date: .venv/bin/python docs/build.py"
    )


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_blocks_are_known_and_filled(path: Path) -> None:
    """Every generated block of a page has a maker, and stands there filled."""
    text = path.read_text(encoding="utf-8")
    known = set(build().all_blocks()) | MEASURED
    assert set(block_names(text)) <= known
    assert text.count("<!-- begin ") == text.count("<!-- end ") == len(block_names(text))
    assert not re.search(r"<!-- begin ([a-z-]+) -->\s*<!-- end", text)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link and picture is a file, and every anchor a heading."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    broken = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached() -> None:
    """From the README and the index one gets to every page."""
    reachable, waiting = set(), [ROOT / "README.md", DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reachable:
            continue
        reachable.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")))
        found = ((page.parent / link).resolve() for link in links if link.endswith(".md"))
        waiting += [file for file in found if file.exists()]
    assert set(PAGES) - reachable == set()


def test_every_command_and_option_is_in_the_reference() -> None:
    """The page of the command line names every command, argument and option."""
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(commands()) - {"cellhive"}
    for name, command in commands().items():
        if name == "cellhive" or isinstance(command, TyperGroup):
            continue
        for parameter in command.params:
            if isinstance(parameter, TyperOption):
                for option in (*parameter.opts, *parameter.secondary_opts):
                    assert f"`{option}`" in sections[name]
            elif isinstance(parameter, TyperArgument):
                assert f"`{(parameter.name or '').upper()}" in sections[name]


def test_every_quantity_is_in_the_reference() -> None:
    """Every counter, KPI and parameter of the schema has its row."""
    kpis = (DOCS / "reference" / "kpis.md").read_text(encoding="utf-8")
    parameters = (DOCS / "reference" / "parameters.md").read_text(encoding="utf-8")
    for quantity in (*COUNTERS, *KPIS, *RELATION_COUNTERS):
        assert f"| `{quantity.name}` |" in kpis
        assert quantity.description in kpis
    for quantity in PARAMETERS:
        assert f"| `{quantity.name}` |" in parameters


def test_every_rule_of_the_guard_is_explained() -> None:
    """The page of the guard names every rule in order."""
    text = (DOCS / "guard.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `([a-z-]+)` \| (.+) \|$", text, re.MULTILINE)
    assert [(int(place), name) for place, name, _ in rows] == [
        (place, name) for place, (name, _) in enumerate(RULES, start=1)
    ]


def test_readme_names_the_two_commands() -> None:
    """A newcomer finds how to run it and how to test it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make run" in text
    assert "make test" in text


def test_scenario_names_in_the_pages_exist() -> None:
    """Whatever follows --scenario on a page is a scenario."""
    for page in PAGES:
        named = re.findall(r"--scenario[ =]([a-z][a-z-]+)", page.read_text(encoding="utf-8"))
        assert set(named) <= set(scenario_names())


def test_the_changelog_has_this_version() -> None:
    """The version of the package has an entry."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(__version__)}\b", text, re.MULTILINE)


def shell_lines() -> list[tuple[str, str]]:
    """Return (page, command line) of every ``cellhive`` command in a code block."""
    found = []
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
            if language in {"console", "sh", "bash"}:
                lines = re.findall(r"^\$ (cellhive\b.*)$", block, re.MULTILINE)
                found += [(name_of(page), line) for line in lines]
    return found


@pytest.mark.parametrize(("page", "line"), shell_lines())
def test_commands_on_the_pages_exist(page: str, line: str) -> None:
    """A command in a code block names a command and options that there are."""
    outside_quotes = r"[>|](?=(?:[^']*'[^']*')*[^']*$)"
    words = shlex.split(re.split(outside_quotes, line.partition("#")[0])[0])
    name = words.pop(0)
    while words and f"{name} {words[0]}" in commands():
        name = f"{name} {words.pop(0)}"
    assert name != "cellhive", f"{page}: no command in {line!r}"
    command = commands()[name]
    known = {option for parameter in command.params
             for option in (*parameter.opts, *parameter.secondary_opts)}  # fmt: skip
    used = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert used <= known
    takes_none = not any(isinstance(p, TyperArgument) for p in command.params)
    flags = {option for p in command.params if getattr(p, "is_flag", False)
             for option in (*p.opts, *p.secondary_opts)}  # fmt: skip
    plain = [word for before, word in zip(["", *words], words, strict=False)
             if not word.startswith("-")
             and not (before.startswith("-") and before not in flags)]  # fmt: skip
    assert not (takes_none and plain)


def test_a_block_is_filled_and_others_are_left_alone() -> None:
    """Only the named block changes, and filling it twice changes nothing more."""
    page = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n<!-- begin y -->\nstays\n<!-- end y -->\n"
    once = with_blocks(page, {"x": "new \\1\n"})
    assert once == page.replace("old", "new \\1")
    assert with_blocks(once, {"x": "new \\1\n"}) == once
    assert block_names(page) == ["x", "y"]


def test_table_escapes_what_would_end_a_cell() -> None:
    """A bar in a text does not open a column."""
    assert table(("a", "b"), [("1|2", "3")]).splitlines() == ["| a | b |", "|---|---|",
                                                              r"| 1\|2 | 3 |"]  # fmt: skip


def test_settings_come_with_the_text_below_them() -> None:
    """A setting is described by the string under its field, or by its name."""
    guard = build().all_blocks()["guard-limits"]
    assert "| `window_s` | 3600 | Window of the change budgets [s]. |" in guard
    assert "minimum_stay_s" in field_texts(Procedures)
    assert "| `q_out_db` | -8 | Q out [dB]. |" in settings_table(Procedures)


def test_benchmarks_show_measured_and_promised() -> None:
    """A figure stands beside its goal and what it was compared with."""
    row = {"name": "time", "value": 2.41, "unit": "s", "goal": "< 30", "peer": "other",
           "peer_value": 5.0, "ratio": 2.07, "spread": 0.1}  # fmt: skip
    shown = benchmarks_table([{"name": "pm", "rows": [row]}]).splitlines()[-1]
    assert shown == "| `pm` | time | 2.41 ± 0.1 s | < 30 | other: 5 s (×2.1) |"
    large = benchmarks_table([{"name": "pm", "rows": [{**row, "ratio": 10_894.7}]}])
    assert "(×11,000)" in large
