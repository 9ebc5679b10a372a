"""Makes again whatever in README and docs is made by code.

    python docs/build.py            reference pages and blocks: seconds
    python docs/build.py --all      also the output of real runs, and the pictures: minutes

Pictures are taken of a real report by a headless Chromium; without one they stay as they
are, and a line says so.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from cellhive.adapters.scenarios import fields, library
from cellhive.adapters.scenarios.studies import library_study, load_arms
from cellhive.app.analysis import analyse_paths
from cellhive.cli import app
from cellhive.core.errors import BadInput
from cellhive.flows.arms.compare import ArmStudy
from cellhive.flows.arms.run import UNLEARNED
from cellhive.reports.analysis.report import write_analysis
from cellhive.reports.arms import arms_markdown, arms_picture, shown_scenarios
from cellhive.reports.drawing.svg import standalone_svg
from cellhive.reports.headroom import headroom_markdown
from cellhive.reports.reference import (
    benchmarks_table,
    blocks,
    machines_text,
    pages,
    table,
    with_blocks,
)

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"
STUDIES = ROOT / "benchmarks" / "studies"
"""Results of cellhive train evaluate."""
RUN_ID = re.compile(r"\d{8}-\d{6}-(?=[a-z-]+-s\d)")
COLUMNS = "100"

PICTURES = {
    "summary.png": ("summary", 1100, 1060),
    "course.png": ("course", 1400, 630),
    "maps.png": ("maps", 1060, 550),
}
"""Pictures of a run's report: section, width and height [px]."""
ANALYSIS_PICTURES = {
    "analysis-summary.png": ("summary", 1100, 480),
    "analysis-incidents.png": ("incidents", 1100, 480),
    "analysis-cells.png": ("cells", 1100, 580),
}
"""Pictures of the report of an analysis: section, width and height [px]."""


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def hand_written() -> list[Path]:
    """Return the pages that people write and that may hold generated blocks."""
    made = {*pages(command()), Path("headroom.md")}
    found = (path for path in DOCS.rglob("*.md") if path.relative_to(DOCS) not in made)
    return [ROOT / "README.md", *sorted(found)]


def command() -> typer.core.TyperGroup:
    """Return the command line as a tree."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)  # noqa: S101  # it has commands
    return group


def promises(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows with a goal, each figure once: beside the first of its peers."""
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row.get("goal"):
            first.setdefault(str(row["name"]), row)
    return list(first.values())


def measured_blocks() -> dict[str, str]:
    """Return the blocks that are made from the results of benchmarks."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*"))]
    if not results:
        nothing = "Nothing measured yet: `make bench`."
        return {"benchmarks": nothing, "all-benchmarks": nothing, "benchmark-notes": nothing}
    promised = [{**result, "rows": promises(result["rows"])} for result in results]
    return {
        "benchmarks": f"{benchmarks_table(promised)}\n\n{machines_text(results)}",
        "all-benchmarks": benchmarks_table(results),
        "benchmark-notes": "\n".join(
            f"- `{result['name']}`: {note}" for result in results for note in result["notes"]
        ),
    }


def generated() -> dict[Path, str]:
    """Return every page that is made from the code, as it should be, by its path."""
    made = {DOCS / path: text for path, text in pages(command()).items()}
    return {**made, **headroom_page(), **arms_pictures(), **filled(all_blocks())}


def all_blocks() -> dict[str, str]:
    """Return every block that is made from the code and the scenario files, by name."""
    return {**blocks(library().values()), "scenario-keys": keys_table(), "arms": arms_text()}


def arms_study() -> ArmStudy | None:
    """Return the comparison of arms, whose scenarios have a file each; None where there is none.

    Raises:
        BadInput: Two files are of other terms, and may not stand in one page.
    """
    whole: ArmStudy | None = None
    for path in sorted(STUDIES.glob("arms-*.json")):
        part = load_arms(path)
        if whole is None:
            whole = part
            continue
        if not whole.same_terms(part):
            raise BadInput(place=str(path), expected="the terms of the others", found="others")
        whole = replace(whole, results=(*whole.results, *part.results))
    return whole


def arms_text() -> str:
    """Return the comparison of arms, a picture above the table of every scenario."""
    study = arms_study()
    if study is None:
        where = STUDIES.relative_to(ROOT) / "arms-NAME.json"
        return f"Nothing compared yet: `cellhive train evaluate --scenario NAME --out {where}`."
    titles = shown_scenarios(list(library().values()))
    text = arms_markdown(study, titles, arms_command(study))
    for name in study.scenarios:
        heading = f"### All arms: {name}\n"
        shown = f"![Score less that of the rules](pictures/arms-{name}.svg)"
        text = text.replace(heading, f"{heading}\n{shown}\n")
    return text


def arms_command(study: ArmStudy) -> str:
    """Return what to type to have every arm of a comparison again."""
    place = {arm: index for index, arm in enumerate(UNLEARNED)}
    run = {one.arm for one in study.results}
    arms = sorted(run, key=lambda arm: (place.get(arm, len(place)), arm))
    cities = Counter((one.scenario, one.arm, one.guarded) for one in study.results).values()
    seeds = statistics.mode(cities)
    guard = "on" if all(one.guarded for one in study.results) else "both"
    settings = study.settings
    return (
        "cellhive train evaluate --scenario NAME (each of those below) --sites LIST-OF-OPENCELLID "
        + " ".join(f"--arm {arm}" for arm in arms)
        + f" --seeds {seeds}{' (or as many as a table says)' if set(cities) != {seeds} else ''}"
        + ("" if settings.hours is None else f" --hours {settings.hours:g}")
        + f" --observed {settings.observed_s:g} --guard {guard}"
    )


def arms_pictures() -> dict[Path, str]:
    """Return the picture of every scenario that was compared, by its path."""
    study = arms_study()
    if study is None:
        return {}
    return {
        DOCS / "pictures" / f"arms-{name}.svg": standalone_svg(arms_picture(study, name))
        for name in study.scenarios
    }


def keys_table() -> str:
    """Return every key of a scenario file."""
    sections: list[tuple[str, fields.Fields]] = [
        *((f"layout ({kind})", keys) for kind, keys in fields.LAYOUTS.items()),
        *fields.SECTIONS.items(),
        ("events[]", fields.EVENT),
        *((f"faults.{kind}", keys) for kind, keys in fields.FAULTS.items()),
    ]
    rows = [
        (section, f"`{name}`", field.expected, field.meaning)
        for section, keys in sections
        for name, field in keys.items()
    ]
    return table(("section", "key", "value", "what it is"), rows)


def headroom_page() -> dict[Path, str]:
    """Return the page of the headroom, from the results that come with the package."""
    study = library_study()
    cities = max(len(found) for found in study.cities.values())
    command = (
        f"cellhive headroom --seeds {cities} --evaluations {study.evaluations} "
        f"--observed {study.observed_s:g}"
    )
    return {DOCS / "headroom.md": headroom_markdown(library(), study, command)}


def filled(made: Mapping[str, str]) -> dict[Path, str]:
    """Return the hand-written pages with some of their blocks made anew."""
    return {path: with_blocks(path.read_text(encoding="utf-8"), made) for path in hand_written()}


def write(made: Mapping[Path, str]) -> None:
    """Write the pages that have changed."""
    for path, text in made.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            say(f"wrote {path.relative_to(ROOT)}")


def output_of(*arguments: str, cwd: Path) -> str:
    """Run a command and return what it printed, as a page shows it."""
    environment = {**os.environ, "COLUMNS": COLUMNS, "NO_COLOR": "1"}
    done = subprocess.run(  # noqa: S603  # our own commands
        list(arguments), cwd=cwd, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        message = f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-2000:]}"
        raise SystemExit(message)
    text = RUN_ID.sub("<date>-<time>-", done.stdout.replace(f"{cwd}/", ""))
    return "\n".join(wrapped(line) for line in text.strip().splitlines())


def wrapped(line: str) -> str:
    """Return a line as a terminal of our width shows it."""
    return textwrap.fill(line, int(COLUMNS), drop_whitespace=True) if line.strip() else ""


def shown(command_line: str, output: str) -> str:
    """Return a command with its output as a block of a page."""
    return f"```console\n$ {command_line}\n{output}\n```"


def outputs(folder: Path) -> dict[str, str]:
    """Return the blocks that real runs make, and leave the run folder behind."""
    cellhive = str(Path(sys.executable).with_name("cellhive"))
    say("cellhive run (minutes) ...")
    made = {"run-output": shown("cellhive run", output_of(cellhive, "run", cwd=folder))}
    for name in ("branch_the_twin", "analyse_a_table"):
        say(f"examples/{name}.py ...")
        text = output_of(sys.executable, str(ROOT / "examples" / f"{name}.py"), cwd=folder)
        made[name.replace("_", "-")] = shown(f"python examples/{name}.py", text)
    return {**made, **calibrated(folder)}


def calibrated(folder: Path) -> dict[str, str]:
    """Return the block that the calibration makes, and draw its picture."""
    cellhive = str(Path(sys.executable).with_name("cellhive"))
    say("cellhive twin validate ...")
    picture = folder / "calibration.svg"
    text = output_of(cellhive, "twin", "validate", "--picture", str(picture), cwd=folder)
    (DOCS / "pictures").mkdir(exist_ok=True)
    shutil.copyfile(picture, DOCS / "pictures" / picture.name)
    lines = text.removesuffix(picture.name).rstrip()
    return {"calibration-output": shown("cellhive twin validate", lines)}


def analysis_report(folder: Path) -> Path:
    """Return the report of the table that examples/analyse_a_table.py makes."""
    example = runpy.run_path(str(ROOT / "examples" / "analyse_a_table.py"))
    table, report = folder / "kpis.csv", folder / "analysis.html"
    example["make_table"](table)
    write_analysis(analyse_paths([table])[1], report)
    return report


def take_pictures(
    report: Path, folder: Path, pictures: Mapping[str, tuple[str, int, int]] = PICTURES
) -> None:
    """Photograph sections of a report."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser",
                                                   "google-chrome"))), None)  # fmt: skip
    if browser is None:
        say("no Chromium: the pictures stay as they are")
        return
    page = report.read_text(encoding="utf-8").replace("<html ", '<html data-theme="light" ', 1)
    for name, (section, width, height) in pictures.items():
        alone = f"nav.toc, header, footer, section {{ display: none !important }} " \
                f"#{section} {{ display: block !important; margin: 0 }} " \
                f".columns {{ display: block !important; max-width: none }} " \
                f"body, main {{ margin: 0; padding: 6px; max-width: none }}"  # fmt: skip
        html = folder / f"{section}.html"
        html.write_text(page.replace("</head>", f"<style>{alone}</style></head>", 1))
        picture = folder / name
        subprocess.run(  # noqa: S603  # a browser on a file of our own
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--virtual-time-budget=4000",
             f"--window-size={width},{height}", f"--screenshot={picture}", html.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        shutil.copyfile(picture, DOCS / "pictures" / name)
        say(f"wrote docs/pictures/{name} ({picture.stat().st_size // 1024} KiB)")


def main(arguments: list[str]) -> None:
    """Make everything, or only what takes seconds."""
    write(generated())
    write(filled(measured_blocks()))
    if "--all" not in arguments:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = outputs(folder)
        write(filled(made))
        (DOCS / "pictures").mkdir(exist_ok=True)
        take_pictures(next(folder.glob("runs/*/report.html")), folder)
        take_pictures(analysis_report(folder), folder, ANALYSIS_PICTURES)


if __name__ == "__main__":
    main(sys.argv[1:])
